//! The explanation of one pod: the webhooks, the decision, what it carries, its existing pods.

use serde::Serialize;
use serde_json::Value;

use super::webhooks::{Asked, WebhookTrace};
use crate::inject::decision_trace::{Check, DecisionTrace, TraceVerdict};
use crate::workload::{Carried, Comparison, PodLocation, Reviewer};

/// Everything that is explained.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ExplainReport {
    /// One for each pod or pod template, in the order of the input.
    pub explanations: Vec<Explanation>,
    /// What could not be read, one sentence each; then the exit code is 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// What becomes of the pod in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum Effect {
    /// It gets at least one template.
    Injected,
    /// Outrigger is asked, and gives it nothing.
    Skipped,
    /// Outrigger refuses it.
    Refused,
    /// Outrigger gives no verdict, and the `failurePolicy` decides.
    Failed,
    /// The API server does not ask Outrigger: it is created as it is.
    NotAsked,
}

/// Existing pods of a workload that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PodGroup {
    /// How they differ from a new pod, or that they do not.
    pub state: String,
    /// Whether they carry what a new pod would get.
    pub is_current: bool,
    /// Their names.
    pub pods: Vec<String>,
}

/// One pod or pod template.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Explanation {
    /// The object, with its file and line if it comes from one.
    pub object: String,
    /// Namespace of the pods.
    pub namespace: String,
    /// What becomes of a pod that is created now.
    pub effect: Effect,
    /// The same in one sentence, with the first cause.
    pub summary: String,
    /// Whether the API server would ask Outrigger.
    pub asked: Asked,
    /// What Outrigger decides if it is asked.
    pub decision: DecisionTrace,
    /// What the object carries of an earlier injection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried: Option<Carried>,
    /// What it gets with the templates of `--against`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Comparison>,
    /// Existing pods of the workload.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodGroup>,
    /// What else is to be said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Explanation {
    /// The explanation of the pod at this place of the document. `None` if there is no pod at it.
    pub(super) fn of(
        object: String,
        reviewer: &Reviewer<'_>,
        document: &Value,
        location: &PodLocation,
        other: Option<&Reviewer<'_>>,
        asked: impl FnOnce(&Value) -> Asked,
    ) -> Option<Self> {
        let traced = reviewer.trace(document, location)?;
        let review = reviewer.review(document, location);
        let asked = asked(&traced.pod);
        let decision = traced.decision;
        let effect = match (asked.is_called(), decision.verdict) {
            (Some(false), _) => Effect::NotAsked,
            (_, TraceVerdict::Injected) => Effect::Injected,
            (_, TraceVerdict::Skipped) => Effect::Skipped,
            (_, TraceVerdict::Refused) => Effect::Refused,
            (_, TraceVerdict::Failed) => Effect::Failed,
        };
        let mut notes: Vec<String> = review.findings.iter().map(ToString::to_string).collect();
        if reviewer.namespace_object.is_none() {
            notes.push(format!(
                "labels and annotations of namespace {:?} are not known, so default lists and Automatic templates do \
                 not apply here; for files give --namespace-file",
                reviewer.namespace
            ));
        }
        Some(Self {
            summary: summary(effect, &asked, &decision),
            carried: reviewer.carried(document, location, &review),
            object,
            namespace: reviewer.namespace.to_owned(),
            effect,
            asked,
            decision,
            against: other.and_then(|other| reviewer.compare(other, document, location)),
            pods: Vec::new(),
            notes,
        })
    }
}

impl ExplainReport {
    pub(super) fn extend(&mut self, other: Self) {
        self.explanations.extend(other.explanations);
        self.unread.extend(other.unread);
    }

    /// What could not be read.
    pub(super) fn unread(&self) -> Vec<String> {
        self.unread.clone()
    }
}

/// The end of the decision in one sentence.
fn summary(effect: Effect, asked: &Asked, decision: &DecisionTrace) -> String {
    let sentences = |list: &[crate::inject::decision_trace::CodedSentence]| {
        list.iter().map(|one| format!("{}: {}", one.code, one.sentence)).collect::<Vec<_>>().join("; ")
    };
    let end = match effect {
        Effect::Injected if decision.reasons.is_empty() => format!("gets {}", decision.injected.join(", ")),
        Effect::Injected => format!("gets {}, not all: {}", decision.injected.join(", "), sentences(&decision.reasons)),
        Effect::Skipped if decision.reasons.is_empty() => {
            format!("gets nothing: {}", decision.warnings.join("; "))
        }
        Effect::Skipped => format!("gets nothing: {}", sentences(&decision.reasons)),
        Effect::Refused => format!("is refused: {}", sentences(&decision.problems)),
        Effect::Failed => format!("gets no verdict, failurePolicy decides: {}", sentences(&decision.problems)),
        Effect::NotAsked => format!("gets nothing, the API server does not ask Outrigger: {}", why_not(asked)),
    };
    match asked.is_called() {
        None => format!("{end} (if the API server asks, which is not known)"),
        Some(_) => end,
    }
}

/// The first failing check of each webhook.
fn why_not(asked: &Asked) -> String {
    let first = |webhook: &WebhookTrace| {
        let check = webhook.checks.iter().find(|check| check.fails())?;
        Some(format!("{}: {}: {}", webhook.name, check.what, check.found))
    };
    let of_webhooks: Vec<String> = asked.webhooks.iter().filter_map(first).collect();
    if of_webhooks.is_empty() { asked.notes.join("; ") } else { of_webhooks.join("; ") }
}

/// The mark of a check.
pub(super) const fn mark(check: &Check) -> &'static str {
    match check.holds {
        Some(true) => "✓",
        Some(false) => "✗",
        None => "–",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_schema_is_that_of_the_explanation() {
        super::super::super::schemas::tests::assert_published::<ExplainReport>("explain");
    }
}
