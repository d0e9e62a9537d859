//! The report about a pod besides the patch: warnings, and the templates that it already had.
//!
//! Invariant: a skip has a reason, or an error that became a warning.

use crate::inject::error::ErrorCode;
use crate::inject::outcome::{Skip, SkipReason};
use crate::inject::text::{Message, quote};

/// Warnings, errors and templates that the steps report.
#[derive(Default)]
pub(in crate::inject) struct InjectionReport {
    pub warnings: Vec<String>,
    /// Errors that `onError: Skip` turned into warnings, each once.
    errors: Vec<ErrorCode>,
    /// Templates that the pod already has.
    pub already_injected: Vec<String>,
}

impl InjectionReport {
    /// Reports that a template is left out: its `onError: Skip` turns this error into a warning.
    pub(crate) fn leave_out(&mut self, template: &str, code: ErrorCode, why: &Message) {
        self.warnings.push(format!("template {} is left out: {}: {why}", quote(template), code.code()));
        if !self.errors.contains(&code) {
            self.errors.push(code);
        }
    }

    pub(crate) fn reasons(&self) -> Vec<SkipReason> {
        if self.already_injected.is_empty() { Vec::new() } else { vec![SkipReason::AlreadyInjected] }
    }

    /// The report about a pod that is not changed.
    pub(crate) fn skip(self) -> Skip {
        let reasons = match self.reasons() {
            none if none.is_empty() && self.errors.is_empty() => vec![SkipReason::NotRequested],
            reasons => reasons,
        };
        Skip { reasons, errors: self.errors, templates: self.already_injected, warnings: self.warnings }
    }
}
