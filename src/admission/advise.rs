//! Advises on a workload: reviews the pods of its template before there are any.
//!
//! Invariant: only [`AdviceMode::Deny`] refuses, and only what the pods would be refused for. A
//! workload that cannot be reviewed is allowed.

use std::sync::Arc;

use serde_json::Value;

use super::respond::{self, ReviewResponse};
use super::review::{self, checked_envelope};
use super::wire::AdmissionRequest;
use super::{ProtocolError, Record, ReviewResult};
use crate::inject::{Blame, InjectError, Injector, Namespace, Outcome};
use crate::workload::{Finding, Review, Reviewer, find};

/// How much advice about workloads is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdviceMode {
    /// Warnings.
    Warn,
    /// A refusal for what its pods would be refused for, and warnings for the rest.
    Deny,
    /// Nothing.
    Off,
}

/// Reviews with a longer body get no advice: it takes several times the memory of a pod's review,
/// and such a workload is at the limit of what an API server stores.
const MAX_BODY: usize = 1024 * 1024;

/// Responds to one review of a workload. `namespaces` looks up a namespace in memory.
pub fn advise(
    injector: &Injector,
    mode: AdviceMode,
    namespaces: impl Fn(&str) -> Option<Arc<Namespace>>,
    body: &[u8],
) -> ReviewResponse {
    let review = match review::parse(body) {
        Ok(review) => review,
        Err((error, detail)) => return respond::protocol_error(error, detail),
    };
    let request = match checked_envelope(&review) {
        Ok(request) => request,
        Err(error) => return respond::protocol_error(error, None),
    };
    let mut advice = Advice::new(request);
    let is_reviewed = mode != AdviceMode::Off
        && matches!(&*request.operation, "CREATE" | "UPDATE")
        && request.sub_resource.is_empty();
    if is_reviewed && body.len() > MAX_BODY {
        advice.warnings.push("outrigger: this object is too large for advice about its pods".to_owned());
    } else if is_reviewed {
        let Ok(document) = serde_json::from_str::<Value>(request.object()) else {
            return respond::protocol_error(ProtocolError::ObjectMissing, None);
        };
        if document.is_null() {
            return respond::protocol_error(ProtocolError::ObjectMissing, None);
        }
        let namespace = namespaces(&request.namespace);
        let reviewer = Reviewer { injector, namespace: &request.namespace, namespace_object: namespace.as_deref() };
        advice.review(&reviewer, &document);
    }
    advice.respond(request, mode)
}

/// What is said about one workload.
struct Advice {
    record: Record,
    warnings: Vec<String>,
    /// What the pods would be refused for.
    refusals: Vec<String>,
}

impl Advice {
    fn new(request: &AdmissionRequest<'_>) -> Self {
        let record = Record { result: ReviewResult::Skipped, ..review::empty_record(request, None) };
        Self { record, warnings: Vec::new(), refusals: Vec::new() }
    }

    fn review(&mut self, reviewer: &Reviewer<'_>, document: &Value) {
        let found = find(document, &reviewer.injector.settings().domain);
        for location in &found.pods {
            let review = reviewer.review(document, location);
            review::fill_record(&mut self.record, reviewer.injector, reviewer.namespace, &review.outcome);
            self.outcome(&review);
            review.findings.iter().for_each(|finding| self.finding(finding));
            if let Some(renewal) = reviewer.renewal(document, location) {
                self.finding(&renewal.difference);
            }
        }
        found.notes.iter().for_each(|note| self.finding(&note.finding));
    }

    fn outcome(&mut self, review: &Review) {
        match &review.outcome {
            Ok(Outcome::Injected(injection)) => self.warnings.extend(injection.warnings.iter().cloned()),
            Ok(Outcome::Skipped(skip)) => self.warnings.extend(skip.warnings.iter().cloned()),
            Err(error) if error.blame() == Blame::Pod => self.refusals.push(error.to_string()),
            Err(error) => self.no_verdict(error),
        }
    }

    /// What the template's author or nobody here can mend is no reason to refuse the workload.
    fn no_verdict(&mut self, error: &InjectError) {
        for problem in error.problems() {
            let sentence = match problem.code.blame() {
                Blame::Pod => problem.sentence().to_string(),
                Blame::Template | Blame::Injector => problem.sentence().redacted(),
            };
            self.warnings.push(format!("its pods cannot be injected: {sentence}"));
        }
    }

    fn finding(&mut self, finding: &Finding) {
        if finding.is_warning {
            self.warnings.push(finding.to_string());
            if !self.record.errors.contains(&finding.code.code()) {
                self.record.errors.push(finding.code.code());
            }
        }
    }

    fn respond(mut self, request: &AdmissionRequest<'_>, mode: AdviceMode) -> ReviewResponse {
        let refusal = (mode == AdviceMode::Deny && !self.refusals.is_empty()).then(|| self.refusals.join("; "));
        if refusal.is_none() {
            let warning = |refusal: &String| format!("its pods would be refused: {refusal}");
            self.warnings.splice(0..0, self.refusals.iter().map(warning));
        }
        respond::advice(&request.uid, refusal.as_deref(), &self.warnings, self.record)
    }
}
