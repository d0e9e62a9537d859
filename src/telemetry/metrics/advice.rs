//! `advice_*`: what was asked about workloads, and what was found.

use std::collections::HashMap;
use std::time::Duration;

use prometheus::{Histogram, IntCounter, Result};

use super::register::Register;
use crate::admission::{ProtocolError, Record, ReviewResult};
use crate::inject::ErrorCode;
use crate::workload::FindingCode;

/// The metrics of `POST /advise`.
pub(super) struct AdviceMetrics {
    requests: [[IntCounter; 2]; ReviewResult::ALL.len()],
    duration: Histogram,
    findings: HashMap<&'static str, IntCounter>,
}

impl AdviceMetrics {
    pub(super) fn register(register: &Register) -> Result<Self> {
        let help = "Workloads that were sent for advice, by what becomes of their pods";
        let requests = register.counters("advice_requests_total", help, &["result", "dry_run"])?;
        let of = |result: ReviewResult, dry_run| requests.with_label_values(&[result.code(), dry_run]);
        let findings = register.counters("advice_findings_total", "What was found in workloads, by code", &["code"])?;
        let codes = ErrorCode::ALL.map(ErrorCode::code).into_iter();
        let codes = codes.chain(ProtocolError::ALL.map(ProtocolError::code));
        let codes = codes.chain(FindingCode::ALL.map(FindingCode::code));
        Ok(Self {
            requests: ReviewResult::ALL.map(|result| ["false", "true"].map(|dry_run| of(result, dry_run))),
            duration: register.histogram(
                "advice_request_duration_seconds",
                "Time from the head of a request for advice to its response",
            )?,
            findings: codes.map(|code| (code, findings.with_label_values(&[code]))).collect(),
        })
    }

    pub(super) fn observe(&self, record: &Record, duration: Duration) {
        self.requests[record.result as usize][usize::from(record.dry_run)].inc();
        self.duration.observe(duration.as_secs_f64());
        for counter in record.errors.iter().filter_map(|code| self.findings.get(code)) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn advice_is_counted_apart_from_injection() {
        let metrics = Metrics::new().expect("the names are unique");
        let errors = vec![ErrorCode::TemplateNotFound.code(), FindingCode::KeyMisplaced.code()];
        let record = Record { result: ReviewResult::Denied, errors, ..Record::failed(ProtocolError::Panic) };
        metrics.observe_advice(&record, Duration::from_millis(1));
        let text = String::from_utf8(metrics.render().expect("a text")).expect("UTF-8");
        for line in [
            "outrigger_advice_requests_total{dry_run=\"false\",result=\"denied\"} 1",
            "outrigger_advice_requests_total{dry_run=\"true\",result=\"denied\"} 0",
            "outrigger_advice_findings_total{code=\"template_not_found\"} 1",
            "outrigger_advice_findings_total{code=\"key_misplaced\"} 1",
            "outrigger_advice_request_duration_seconds_count 1",
            "outrigger_admission_requests_total{dry_run=\"false\",result=\"denied\"} 0",
            "outrigger_admission_errors_total{code=\"template_not_found\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
