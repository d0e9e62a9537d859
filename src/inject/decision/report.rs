//! The report about a pod besides the patch: why templates are left out, warnings, and the
//! templates that it already had.
//!
//! Invariant: a skip has a reason, or an error that became a warning.

use crate::inject::error::{ErrorCode, Problem};
use crate::inject::outcome::{LeftOut, Skip, SkipReason};
use crate::inject::text::{Message, message, quote, words};

/// Warnings, errors and templates that the steps report.
#[derive(Clone, Default)]
pub(in crate::inject) struct InjectionReport {
    pub warnings: Vec<String>,
    /// Why the pod, or a template of its namespace's default list, is skipped.
    reasons: Vec<SkipReason>,
    /// Templates with errors that `onError: Skip` turned into warnings.
    left_out: Vec<LeftOut>,
    /// Templates that the pod already has.
    pub already_injected: Vec<String>,
    /// Whether a template brings nothing for this pod.
    pub has_nothing_to_add: bool,
}

impl InjectionReport {
    /// Reports that a template is left out: its `onError: Skip` turns this error into a warning.
    pub(crate) fn leave_out(&mut self, template: &str, code: ErrorCode, why: &Message) {
        self.warnings.push(format!("template {} is left out: {}: {why}", quote(template), code.code()));
        let left_out = LeftOut { template: template.to_owned(), code };
        if !self.left_out.contains(&left_out) {
            self.left_out.push(left_out);
        }
    }

    /// Reports a reason to skip the pod.
    pub(crate) fn skip_for(&mut self, reason: SkipReason) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// Reports a reason of which the pod's author must hear.
    pub(crate) fn warn_of(&mut self, reason: SkipReason, why: &Message) {
        self.skip_for(reason);
        self.warnings.push(format!("{}: {why}", reason.code()));
    }

    /// Reports a key that nothing reads.
    pub(crate) fn warn_of_key(&mut self, sentence: &Message) {
        self.warnings.push(format!("{}: {sentence}", ErrorCode::AnnotationUnknown.code()));
    }

    pub(crate) fn has(&self, reason: SkipReason) -> bool {
        self.reasons.contains(&reason)
    }

    /// Whether nothing is known of the pod but that it requests no template.
    pub(crate) fn is_not_requested(&self) -> bool {
        self.reasons == [SkipReason::NotRequested]
    }

    /// Why the pod does not get every template.
    pub(crate) fn reasons(&self) -> Vec<SkipReason> {
        let mut reasons = self.reasons.clone();
        reasons.extend((!self.already_injected.is_empty()).then_some(SkipReason::AlreadyInjected));
        reasons.extend(self.has_nothing_to_add.then_some(SkipReason::NothingToAdd));
        reasons.sort_unstable();
        reasons
    }

    /// The templates that are left out because of errors.
    pub(crate) fn take_left_out(&mut self) -> Vec<LeftOut> {
        std::mem::take(&mut self.left_out)
    }

    /// The report about a pod that is not changed.
    pub(crate) fn skip(self) -> Skip {
        let reasons = match self.reasons() {
            none if none.is_empty() && self.left_out.is_empty() => vec![SkipReason::NotRequested],
            reasons => reasons,
        };
        let mut errors: Vec<ErrorCode> = Vec::new();
        for LeftOut { code, .. } in &self.left_out {
            if !errors.contains(code) {
                errors.push(*code);
            }
        }
        let (left_out, templates, warnings) = (self.left_out, self.already_injected, self.warnings);
        Skip { reasons, errors, left_out, templates, warnings }
    }
}

/// A problem of an annotation.
pub(in crate::inject) fn annotation_problem(code: ErrorCode, key: &str, of: Message, why: Message) -> Problem {
    let message = message!["annotation ", words(key), of, ": ", why];
    Problem { annotation: Some(key.to_owned()), ..Problem::new(code, message) }
}
