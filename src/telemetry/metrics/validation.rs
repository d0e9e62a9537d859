//! `template_validations_*`: templates that the API server asked about before it stored them.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, Result};

use super::register::Register;
use crate::admission::{Record, ReviewResult};

/// What becomes of a template.
const RESULTS: [&str; 3] = ["allowed", "denied", "error"];

/// The metrics of `POST /validate`.
pub(super) struct ValidationMetrics {
    requests: [IntCounter; RESULTS.len()],
    duration: Histogram,
}

impl ValidationMetrics {
    pub(super) fn register(register: &Register) -> Result<Self> {
        let help = "Templates that were checked before the API server stores them, by result";
        let requests = register.counters("template_validations_total", help, &["result"])?;
        Ok(Self {
            requests: RESULTS.map(|result| requests.with_label_values(&[result])),
            duration: register.histogram(
                "template_validation_duration_seconds",
                "Time from the head of a request about a template to its response",
            )?,
        })
    }

    pub(super) fn observe(&self, record: &Record, duration: Duration) {
        let index = match record.result {
            ReviewResult::Injected | ReviewResult::Unchanged | ReviewResult::Skipped => 0,
            ReviewResult::Denied => 1,
            ReviewResult::Error => 2,
        };
        self.requests[index].inc();
        self.duration.observe(duration.as_secs_f64());
    }
}
