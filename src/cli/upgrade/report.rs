//! What `outrigger upgrade` prints: what was done with each workload's pods.

use serde::Serialize;

use super::group::{Group, Way};
use crate::cli::table::{self, Cell};
use crate::cli::terminal::{Colour, Colours};

/// What became of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// They have the current revision already.
    Current,
    /// They have it now.
    Done,
    /// They would get it; nothing was done, because it is a dry run.
    Planned,
    /// They do not have it: it failed, or this command cannot do it.
    Failed,
    /// They do not have it: the command stopped before.
    NotStarted,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Done => "done",
            Self::Planned => "planned",
            Self::Failed => "failed",
            Self::NotStarted => "not-started",
        }
    }

    const fn colour(self) -> Colour {
        match self {
            Self::Current | Self::Done => Colour::Green,
            Self::Planned => Colour::Bold,
            Self::Failed => Colour::Red,
            Self::NotStarted => Colour::Yellow,
        }
    }
}

/// Pods of one workload with one revision, and one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    /// Namespace of the workload.
    pub namespace: String,
    /// Kind and name of the workload, such as `deploy/web`.
    pub workload: String,
    /// Names of the pods.
    pub pods: Vec<String>,
    /// The revision that they carried.
    pub from: String,
    /// The revision that new pods get, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `image`, `resize`, `image and resize`, `revision only`, `restart`, or `none`.
    pub how: &'static str,
    /// What became of them.
    pub outcome: Outcome,
    /// Why the workload is restarted, or why the pods do not have the revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Everything that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Name of the template.
    pub template: String,
    /// Whether nothing was done, because it was a dry run.
    pub dry_run: bool,
    /// A line for the pods of each workload with one revision and one outcome.
    pub workloads: Vec<Line>,
    /// Why the command stopped before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl Line {
    /// Pods of a group with one outcome.
    pub(super) fn of(group: &Group, pods: Vec<String>, outcome: Outcome, message: Option<String>) -> Self {
        let (how, why) = match &group.way {
            Way::Current(why) => ("none", why.clone()),
            Way::InPlace(what) => (*what, None),
            Way::Restart(reason) => ("restart", Some(reason.clone())),
            Way::Impossible(why) => ("none", Some(why.clone())),
        };
        Self {
            namespace: group.namespace.clone(),
            workload: group.owner.to_string(),
            pods,
            from: group.from.clone(),
            to: group.to.clone(),
            how,
            outcome,
            message: message.or(why),
        }
    }
}

impl Line {
    /// Whether it differs from another in its pods alone.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let without_pods = |line: &Self| Self { pods: Vec::new(), ..line.clone() };
        without_pods(self) == without_pods(other)
    }
}

impl Report {
    /// Number of pods with this outcome.
    pub(super) fn count(&self, outcome: Outcome) -> usize {
        self.workloads.iter().filter(|line| line.outcome == outcome).map(|line| line.pods.len()).sum()
    }

    /// Whether every pod has the current revision, or would get it.
    pub(super) fn is_complete(&self) -> bool {
        self.stopped.is_none() && self.count(Outcome::Failed) == 0 && self.count(Outcome::NotStarted) == 0
    }

    /// Whether the command has changed anything, as far as it knows.
    pub(super) fn has_changed(&self) -> bool {
        let is_change =
            |line: &Line| line.outcome == Outcome::Done || (line.outcome == Outcome::Failed && line.how != "none");
        !self.dry_run && self.workloads.iter().any(is_change)
    }

    /// `12 pods: 9 done, 3 not-started`
    pub(super) fn summary(&self) -> String {
        let all = [Outcome::Current, Outcome::Done, Outcome::Planned, Outcome::Failed, Outcome::NotStarted];
        let counts = all.into_iter().map(|outcome| (self.count(outcome), outcome.as_str()));
        let counts: Vec<(usize, &str)> = counts.filter(|(count, _)| *count > 0).collect();
        let total: usize = counts.iter().map(|(count, _)| count).sum();
        let pods = if total == 1 { "pod" } else { "pods" };
        let counts: Vec<String> = counts.into_iter().map(|(count, outcome)| format!("{count} {outcome}")).collect();
        format!("{total} {pods}: {}", counts.join(", "))
    }

    pub(super) fn text(&self, colours: Colours) -> String {
        let headings = ["NAMESPACE", "WORKLOAD", "PODS", "FROM", "TO", "HOW", "RESULT", ""];
        let cells = |line: &Line| {
            vec![
                Cell::of(&line.namespace),
                Cell::of(&line.workload),
                Cell::of(&line.pods.len().to_string()),
                Cell::of(&line.from),
                Cell::of(line.to.as_deref().unwrap_or("-")),
                Cell::of(line.how),
                Cell::coloured(line.outcome.as_str(), line.outcome.colour()),
                Cell::of(line.message.as_deref().unwrap_or_default()),
            ]
        };
        table::render(&headings, &self.workloads.iter().map(cells).collect::<Vec<_>>(), colours)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::schemas::tests::assert_published;
    use super::*;

    fn line(outcome: Outcome) -> Line {
        Line {
            namespace: "shop".to_owned(),
            workload: "deploy/web".to_owned(),
            pods: vec!["web-1".to_owned(), "web-2".to_owned()],
            from: "a".to_owned(),
            to: None,
            how: "image",
            outcome,
            message: None,
        }
    }

    #[test]
    fn published_schema_is_that_of_the_report() {
        assert_published::<Report>("upgrade");
    }

    #[test]
    fn a_report_is_complete_only_if_every_pod_is() {
        let report = |outcomes: &[Outcome], stopped: Option<&str>| Report {
            template: "p".to_owned(),
            dry_run: false,
            workloads: outcomes.iter().map(|outcome| line(*outcome)).collect(),
            stopped: stopped.map(str::to_owned),
        };
        assert!(report(&[Outcome::Current, Outcome::Done], None).is_complete());
        for outcome in [Outcome::Failed, Outcome::NotStarted] {
            assert!(!report(&[Outcome::Done, outcome], None).is_complete());
        }
        assert!(!report(&[Outcome::Done], Some("interrupted")).is_complete());
        let summary = report(&[Outcome::Done, Outcome::NotStarted], None).summary();
        assert_eq!(summary, "4 pods: 2 done, 2 not-started");
    }
}
