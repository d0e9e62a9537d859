//! What is said about a pod besides the patch.
//!
//! Invariant: the reasons follow from what was noted, so that a skip always has one, unless errors stand for it.

use crate::inject::error::ErrorCode;
use crate::inject::{Skip, SkipReason};

/// What was noted on the way.
#[derive(Default)]
pub(in crate::inject) struct Notes {
    pub warnings: Vec<String>,
    /// Errors that `onError: Skip` turned into warnings, each once.
    pub errors: Vec<ErrorCode>,
    /// Templates that the pod carries already.
    pub done: Vec<String>,
}

impl Notes {
    pub fn add_error(&mut self, code: ErrorCode) {
        if !self.errors.contains(&code) {
            self.errors.push(code);
        }
    }

    pub fn reasons(&self) -> Vec<SkipReason> {
        if self.done.is_empty() { Vec::new() } else { vec![SkipReason::AlreadyInjected] }
    }

    pub fn skip(self) -> Skip {
        let reasons = match self.reasons() {
            none if none.is_empty() && self.errors.is_empty() => vec![SkipReason::NotRequested],
            reasons => reasons,
        };
        Skip { reasons, errors: self.errors, templates: self.done, warnings: self.warnings }
    }
}
