//! Compares what a pod gets with two sets of templates.

use serde::Serialize;
use serde_json::Value;

use super::find::PodLocation;
use super::review::{Review, Reviewer};
use super::trace::changes;
use crate::inject::{Outcome, uninject};

/// What one pod gets with two sets of templates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Comparison {
    /// Whether a pod that is created now differs.
    pub differs: bool,
    /// What it gets with the first templates, in one sentence.
    pub before: String,
    /// What it gets with the other templates.
    pub after: String,
    /// The changes that lead from the one pod to the other, as operations on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

impl Reviewer<'_> {
    /// What the pod at this place of the document gets with the templates of `other` instead. What an
    /// earlier injection added does not count. `None` if there is no pod at the place.
    pub fn compare(&self, other: &Self, document: &Value, location: &PodLocation) -> Option<Comparison> {
        let template = location.template(document)?;
        let domain = &self.injector.settings().domain;
        let bare = uninject(template, domain).ok().flatten().unwrap_or_else(|| template.clone());
        let mut document = document.clone();
        location.put(&mut document, bare.clone());
        let [one, two] = [self, other].map(|reviewer| reviewer.review(&document, location));
        let [before, after] = [&one, &two].map(outcome);
        let [old, new] = [&one, &two].map(|review| review.after.as_ref().unwrap_or(&bare));
        let changes = changes(domain, old, new);
        Some(Comparison { differs: before != after || !changes.is_empty(), before, after, changes })
    }
}

/// The end of a review in one sentence.
fn outcome(review: &Review) -> String {
    let joined = |codes: Vec<&str>| codes.join(", ");
    match &review.outcome {
        Ok(Outcome::Injected(injection)) => format!("gets {}", injection.templates.join(", ")),
        Ok(Outcome::Skipped(skip)) if skip.reasons.is_empty() => {
            format!("gets nothing: {}", joined(skip.errors.iter().map(|code| code.code()).collect()))
        }
        Ok(Outcome::Skipped(skip)) => {
            format!("gets nothing: {}", joined(skip.reasons.iter().map(|reason| reason.code()).collect()))
        }
        Err(error) => format!("is refused: {error}"),
    }
}
