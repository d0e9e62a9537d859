//! Something that goes wrong again and again: said at once, then once a minute, and once when it is over.

use std::time::Instant;

use crate::telemetry::trouble::{Notice, Patience, Trouble};

/// One thing that may be wrong.
#[derive(Debug, Default)]
pub struct Complaint(Trouble);

impl Complaint {
    /// It is wrong; `log` says so where that is due.
    pub fn is(&mut self, problem: &str, log: impl FnOnce()) {
        self.is_for(problem, Patience::AtOnce, log);
    }

    /// As [`Self::is`], once it has lasted.
    pub fn is_for(&mut self, problem: &str, patience: Patience, log: impl FnOnce()) {
        if self.0.observe(Some(problem.to_owned()), patience, Instant::now()) == Some(Notice::Trouble) {
            log();
        }
    }

    /// It is not wrong, or no more; `log` says so where it was said before.
    pub fn is_over(&mut self, log: impl FnOnce()) {
        if self.0.observe(None, Patience::AtOnce, Instant::now()) == Some(Notice::Over) {
            log();
        }
    }
}
