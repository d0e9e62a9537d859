//! Decides whether the status of a template object must be written, and what it says.
//!
//! Pure: it is given what is reported, what the API server has, what was counted, and the time.
//! Invariant: once the API server has what was planned, the same report plans nothing.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::seen::{self, Counts, SeenStatus};
use crate::api::template_object::{
    MAX_REVISIONS, READY, ReportedRevision, StoredRevision, TemplateCondition, TemplateObjectStatus, TemplateReport,
};

/// The text of all stored revisions of a template together. An object has at most 1.5 MiB.
const MAX_REVISION_BYTES: usize = 512 * 1024;
/// Lines of warnings.
const MAX_WARNINGS: usize = 50;
/// What the API allows for the message of a condition.
const MAX_MESSAGE: usize = 32 * 1024;

/// A status to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedStatus {
    pub status: TemplateObjectStatus,
    pub difference: Difference,
    /// Whether the template is not ready, and the status that is replaced says so not at all or
    /// with another message.
    pub is_new_problem: bool,
}

/// How a status differs from that which it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Only the numbers of pods do.
    Counts,
    Content,
}

/// The status to write, or `None` if the API server has it. Without `counts`, those that are there
/// stay. `now` is the time in the form of the API.
pub(super) fn plan(
    report: &TemplateReport,
    seen: &SeenStatus,
    counts: Option<&Counts>,
    now: &str,
) -> Option<PlannedStatus> {
    let status = desired(report, seen, counts.unwrap_or(&seen.counts), now);
    let difference = if seen::content(&status) != seen.content {
        Difference::Content
    } else if seen::counts(&status) != seen.counts {
        Difference::Counts
    } else {
        return None;
    };
    let message = status.conditions.first().map(|condition| seen::digest(&condition.message));
    let is_known = seen.ready.as_ref().is_some_and(|ready| !ready.is_true && Some(ready.message) == message);
    Some(PlannedStatus { status, difference, is_new_problem: !report.is_ready && !is_known })
}

fn desired(report: &TemplateReport, seen: &SeenStatus, counts: &Counts, now: &str) -> TemplateObjectStatus {
    let unchanged = seen.ready.as_ref().filter(|ready| ready.is_true == report.is_ready);
    let since = unchanged.map(|ready| ready.last_transition_time.as_str()).filter(|time| is_time(time));
    let condition = TemplateCondition {
        type_: READY.to_owned(),
        status: if report.is_ready { "True" } else { "False" }.to_owned(),
        reason: report.reason.to_owned(),
        message: start(&report.message, MAX_MESSAGE).to_owned(),
        last_transition_time: since.unwrap_or(now).to_owned(),
        observed_generation: report.generation,
    };
    let mut revisions = kept(report);
    for revision in &mut revisions {
        revision.pods = counts.by_revision.get(&revision.revision).copied().unwrap_or_default();
    }
    TemplateObjectStatus {
        observed_generation: report.generation,
        conditions: vec![condition],
        injection: report.injection.to_owned(),
        sidecars: report.sidecars.clone(),
        revision: report.revision.clone(),
        stable_revision: report.stable_revision.clone(),
        warnings: warnings(&report.warnings),
        revisions,
        pods: counts.pods,
        namespaces: counts.namespaces,
    }
}

/// The revisions that have room, the newest first. The stable one always has, since pods get it.
fn kept(report: &TemplateReport) -> Vec<StoredRevision> {
    let is_stable = |revision: &ReportedRevision| revision.revision == report.stable_revision;
    let (stable, others): (Vec<usize>, Vec<usize>) =
        (0..report.revisions.len()).partition(|index| is_stable(&report.revisions[*index]));
    let (mut chosen, mut bytes) = (BTreeSet::new(), 0);
    for (rank, index) in stable.iter().take(1).chain(&others).enumerate() {
        bytes += report.revisions[*index].spec.len().div_ceil(3) * 4;
        if rank >= MAX_REVISIONS || (rank > 0 && bytes > MAX_REVISION_BYTES) {
            break;
        }
        chosen.insert(*index);
    }
    let stored = |ReportedRevision { revision, spec }: &ReportedRevision| StoredRevision {
        revision: revision.clone(),
        spec: STANDARD.encode(spec),
        pods: 0,
    };
    chosen.into_iter().map(|index| stored(&report.revisions[index])).collect()
}

fn warnings(all: &[String]) -> Vec<String> {
    let mut warnings: Vec<String> = all.iter().take(MAX_WARNINGS).cloned().collect();
    if all.len() > MAX_WARNINGS {
        warnings.push(format!("and {} more", all.len() - MAX_WARNINGS));
    }
    warnings
}

/// At most this many bytes of a text.
fn start(text: &str, limit: usize) -> &str {
    let end = (0..=text.len().min(limit)).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

/// Whether somebody else's text has the form of a time of the API.
fn is_time(text: &str) -> bool {
    text.parse::<k8s_openapi::jiff::Timestamp>().is_ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::template_object::ObjectKey;

    const NOW: &str = "2026-01-01T00:00:00Z";
    const LATER: &str = "2026-01-01T01:00:00Z";

    fn stored(revision: &str, bytes: usize) -> ReportedRevision {
        // So long in base64.
        ReportedRevision { revision: revision.to_owned(), spec: vec![0; bytes / 4 * 3].into() }
    }

    pub(in crate::cluster::templates) fn report(name: &str, generation: i64) -> TemplateReport {
        TemplateReport {
            key: ObjectKey { namespace: None, name: name.to_owned() },
            uid: format!("uid-of-{name}"),
            generation,
            is_ready: true,
            reason: "Loaded",
            message: "pods get this template".to_owned(),
            injection: "OptIn",
            sidecars: "proxy".to_owned(),
            revision: format!("{generation:010}"),
            stable_revision: format!("{generation:010}"),
            warnings: Vec::new(),
            revisions: vec![stored(&format!("{generation:010}"), 10)],
        }
    }

    fn seen(status: &TemplateObjectStatus) -> SeenStatus {
        SeenStatus::new("uid-of-a", "1", status)
    }

    fn broken() -> TemplateReport {
        TemplateReport { is_ready: false, reason: "Invalid", message: "no sidecar".to_owned(), ..report("a", 2) }
    }

    #[test]
    fn what_was_written_is_not_planned_again() {
        let nothing = seen(&TemplateObjectStatus::default());
        let planned = plan(&report("a", 1), &nothing, None, NOW).expect("a new status");
        assert_eq!((planned.difference, planned.is_new_problem), (Difference::Content, false));
        assert_eq!(planned.status.conditions[0].last_transition_time, NOW);
        // As the API server gives it back.
        let text = serde_json::to_string(&planned.status).expect("JSON");
        let stored: TemplateObjectStatus = serde_json::from_str(&text).expect("a status");
        assert_eq!(plan(&report("a", 1), &seen(&stored), None, LATER), None);
    }

    #[test]
    fn the_transition_time_changes_only_with_the_status_of_the_condition() {
        let first = plan(&report("a", 1), &seen(&TemplateObjectStatus::default()), None, NOW).expect("new").status;
        let changed = TemplateReport { message: "another".to_owned(), ..report("a", 2) };
        let second = plan(&changed, &seen(&first), None, LATER).expect("another message").status;
        assert_eq!(second.conditions[0].last_transition_time, NOW);
        assert_eq!((second.conditions[0].observed_generation, second.observed_generation), (2, 2));
        let third = plan(&broken(), &seen(&second), None, LATER).expect("not ready").status;
        assert_eq!(third.conditions[0].last_transition_time, LATER);
        let mut damaged = third;
        damaged.conditions[0].last_transition_time = "yesterday".to_owned();
        let repaired = plan(&broken(), &seen(&damaged), None, LATER).expect("no time").status;
        assert_eq!(repaired.conditions[0].last_transition_time, LATER);
    }

    #[test]
    fn a_status_of_somebody_else_is_put_right() {
        let right = plan(&report("a", 1), &seen(&TemplateObjectStatus::default()), None, NOW).expect("new").status;
        let mut wrong = right.clone();
        wrong.warnings.push("from somebody else".to_owned());
        wrong.conditions.push(TemplateCondition { type_: "Other".to_owned(), ..TemplateCondition::default() });
        let planned = plan(&report("a", 1), &seen(&wrong), None, LATER).expect("it differs");
        assert_eq!(planned.status, right);
    }

    #[test]
    fn a_problem_is_new_when_the_template_turns_not_ready_or_its_message_changes() {
        let ready = plan(&report("a", 1), &seen(&TemplateObjectStatus::default()), None, NOW).expect("new").status;
        let first = plan(&broken(), &seen(&ready), None, NOW).expect("not ready");
        assert!(first.is_new_problem);
        let more = TemplateReport { warnings: vec!["w".to_owned()], ..broken() };
        assert!(!plan(&more, &seen(&first.status), None, NOW).expect("a warning").is_new_problem);
        let other = TemplateReport { message: "no name".to_owned(), ..broken() };
        assert!(plan(&other, &seen(&first.status), None, NOW).expect("a message").is_new_problem);
        assert!(!plan(&report("a", 3), &seen(&first.status), None, NOW).expect("mended").is_new_problem);
    }

    #[test]
    fn counts_that_are_unknown_stay_and_known_ones_replace_them() {
        let counts = |pods, of_revision| Counts {
            pods,
            namespaces: 1,
            by_revision: [(format!("{:010}", 1), of_revision)].into(),
        };
        let nothing = seen(&TemplateObjectStatus::default());
        let first = plan(&report("a", 1), &nothing, Some(&counts(3, 2)), NOW).expect("new").status;
        assert_eq!((first.pods, first.namespaces, first.revisions[0].pods), (3, 1, 2));
        assert_eq!(plan(&report("a", 1), &seen(&first), None, NOW), None);
        let second = plan(&report("a", 1), &seen(&first), Some(&counts(4, 2)), NOW).expect("another number");
        assert_eq!((second.difference, second.status.pods), (Difference::Counts, 4));
    }

    #[test]
    fn the_oldest_revisions_fall_out_and_the_stable_one_stays() {
        let revisions = |report: &TemplateReport| {
            kept(report).iter().map(|revision| revision.revision.clone()).collect::<Vec<_>>().join(" ")
        };
        let many = (0..7).map(|index| stored(&index.to_string(), 10)).collect();
        let report = TemplateReport { revisions: many, stable_revision: "6".to_owned(), ..report("a", 1) };
        assert_eq!(revisions(&report), "0 1 2 3 6");
        let large = (0..4).map(|index| stored(&index.to_string(), 200 * 1024)).collect();
        let report = TemplateReport { revisions: large, stable_revision: "3".to_owned(), ..report };
        assert_eq!(revisions(&report), "0 3");
        let huge = vec![stored("0", 400 * 1024), stored("1", 600 * 1024)];
        let report = TemplateReport { revisions: huge, stable_revision: "1".to_owned(), ..report };
        assert_eq!(revisions(&report), "1");
    }

    #[test]
    fn texts_are_cut_to_their_limits() {
        let long = TemplateReport {
            message: "é".repeat(40_000),
            warnings: (0..60).map(|line| line.to_string()).collect(),
            ..report("a", 1)
        };
        let status = plan(&long, &seen(&TemplateObjectStatus::default()), None, NOW).expect("new").status;
        assert_eq!(status.conditions[0].message.len(), MAX_MESSAGE);
        assert_eq!((status.warnings.len(), status.warnings[50].as_str()), (51, "and 10 more"));
    }
}
