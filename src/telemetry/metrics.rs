//! Every metric, registered in one place. Names and labels are part of what users see: they only grow.
//!
//! Invariant: label values come from closed sets, each starting at 0; names of templates are bounded in number.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::admission::{ProtocolError, Record, ReviewResult};
use crate::inject::{ErrorCode, SkipReason, TemplateSet};

/// The API server's own buckets are among these, so that both histograms can be compared.
const BUCKETS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Beyond so many names of templates the rest counts as `other`.
const MAX_TEMPLATE_LABELS: usize = 200;
const OTHER: &str = "other";

/// Which certificate a metric speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    Serving,
    Ca,
}

impl Certificate {
    const ALL: [Self; 2] = [Self::Serving, Self::Ca];

    const fn code(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Ca => "ca",
        }
    }
}

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    requests: [[IntCounter; 2]; ReviewResult::ALL.len()],
    duration: Histogram,
    skips: [IntCounter; SkipReason::ALL.len()],
    errors: IntCounterVec,
    injections: IntCounterVec,
    injected_templates: Mutex<BTreeSet<String>>,
    in_flight: IntGauge,
    in_flight_bytes: IntGauge,
    shed: IntCounter,
    active_templates: IntGauge,
    invalid_templates: IntGauge,
    reload_success: IntGauge,
    certificate_expiry: IntGaugeVec,
}

impl Metrics {
    /// Fails only where two metrics have one name, which a test would show.
    pub fn new() -> prometheus::Result<Self> {
        let register = Register(Registry::new());
        let requests = register.counters("admission_requests_total", "Requests by result", &["result", "dry_run"])?;
        let skips = register.counters(
            "admission_skips_total",
            "Reasons for which pods got nothing, or not all they asked for",
            &["reason"],
        )?;
        let errors = register.counters("admission_errors_total", "Refusals and errors by code", &["code"])?;
        for code in ErrorCode::ALL.map(ErrorCode::code).into_iter().chain(ProtocolError::ALL.map(ProtocolError::code)) {
            errors.with_label_values(&[code]);
        }
        let templates = register.gauges("templates", "Templates by state", &["state"])?;
        let certificate_expiry = register.gauges(
            "certificate_expiry_timestamp_seconds",
            "When a certificate expires, in seconds since 1970",
            &["certificate"],
        )?;
        for certificate in Certificate::ALL {
            certificate_expiry.with_label_values(&[certificate.code()]);
        }
        register.process_and_build()?;
        Ok(Self {
            requests: ReviewResult::ALL
                .map(|result| ["false", "true"].map(|dry_run| requests.with_label_values(&[result.code(), dry_run]))),
            duration: register
                .histogram("admission_request_duration_seconds", "Time from the head of a request to its answer")?,
            skips: SkipReason::ALL.map(|reason| skips.with_label_values(&[reason.code()])),
            errors,
            injections: register.counters(
                "injections_total",
                "Templates put into pods, dry runs left out",
                &["template"],
            )?,
            injected_templates: Mutex::default(),
            in_flight: register.gauge("admission_in_flight", "Requests that are being answered")?,
            in_flight_bytes: register
                .gauge("admission_in_flight_bytes", "Bytes of bodies that are being received or answered")?,
            shed: register.counter("admission_shed_total", "Requests answered with 503 for want of room")?,
            active_templates: templates.with_label_values(&["active"]),
            invalid_templates: templates.with_label_values(&["invalid"]),
            reload_success: register.gauge(
                "template_last_reload_success_timestamp_seconds",
                "When the templates were last loaded, in seconds since 1970",
            )?,
            certificate_expiry,
            registry: register.0,
        })
    }

    /// Counts one request.
    pub fn observe(&self, record: &Record, duration: Duration) {
        self.requests[record.result as usize][usize::from(record.dry_run)].inc();
        self.duration.observe(duration.as_secs_f64());
        for reason in &record.reasons {
            self.skips[*reason as usize].inc();
        }
        for code in &record.errors {
            self.errors.with_label_values(&[code]).inc();
            if *code == ProtocolError::Overloaded.code() {
                self.shed.inc();
            }
        }
        if record.result == ReviewResult::Injected && !record.dry_run {
            for template in &record.templates {
                self.injections.with_label_values(&[self.template_label(template)]).inc();
            }
        }
    }

    fn template_label<'t>(&self, template: &'t str) -> &'t str {
        // A set of names cannot be left half changed.
        let mut known = self.injected_templates.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(template) {
            return template;
        }
        if known.len() >= MAX_TEMPLATE_LABELS {
            return OTHER;
        }
        known.insert(template.to_owned());
        template
    }

    /// A request that is being answered, until the value is dropped.
    pub fn enter(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Shows how many bytes of bodies are in flight.
    pub fn in_flight_bytes(&self) -> IntGauge {
        self.in_flight_bytes.clone()
    }

    /// The templates that are served from `now` on.
    pub fn templates_loaded(&self, templates: &TemplateSet, now: SystemTime) {
        self.active_templates.set(gauge_value(templates.len()));
        self.invalid_templates.set(gauge_value(templates.broken()));
        self.reload_success.set(unix_seconds(now));
    }

    pub fn certificate_expires(&self, certificate: Certificate, at: SystemTime) {
        self.certificate_expiry.with_label_values(&[certificate.code()]).set(unix_seconds(at));
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// Counts as in flight while it lives.
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Puts metrics under our prefix into the registry.
struct Register(Registry);

impl Register {
    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(prefixed(name), help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(prefixed(name), help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(prefixed(name), help)?)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(prefixed(name), help)?)
    }

    fn histogram(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(prefixed(name), help).buckets(BUCKETS.to_vec()))?)
    }

    fn process_and_build(&self) -> prometheus::Result<()> {
        #[cfg(target_os = "linux")]
        self.0.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        self.gauges("build_info", "1, labelled with what this is", &["version"])?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        Ok(())
    }
}

fn prefixed(name: &str) -> String {
    format!("outrigger_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(result: ReviewResult) -> Record {
        Record { result, errors: Vec::new(), ..Record::failed(ProtocolError::Panic) }
    }

    fn rendered(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render().expect("the metrics have a text")).expect("the text is UTF-8")
    }

    #[test]
    fn enums_are_indexed_by_their_order() {
        assert!(ReviewResult::ALL.iter().enumerate().all(|(index, result)| *result as usize == index));
        assert!(SkipReason::ALL.iter().enumerate().all(|(index, reason)| *reason as usize == index));
    }

    #[test]
    fn closed_sets_start_at_zero() {
        let text = rendered(&Metrics::new().expect("the names are unique"));
        for line in [
            "outrigger_admission_requests_total{dry_run=\"true\",result=\"denied\"} 0",
            "outrigger_admission_skips_total{reason=\"mirror_pod\"} 0",
            "outrigger_admission_errors_total{code=\"conflict\"} 0",
            "outrigger_admission_errors_total{code=\"body_too_large\"} 0",
            "outrigger_templates{state=\"active\"} 0",
            "outrigger_templates{state=\"invalid\"} 0",
            "outrigger_admission_request_duration_seconds_bucket{le=\"0.005\"} 0",
            concat!("outrigger_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_request_is_counted_once_with_its_reasons_and_codes() {
        let metrics = Metrics::new().expect("the names are unique");
        let reasons = vec![SkipReason::OptedOut, SkipReason::NamespaceExcluded];
        metrics.observe(&Record { reasons, ..record(ReviewResult::Skipped) }, Duration::from_millis(1));
        metrics.observe(
            &Record { errors: vec!["conflict"], dry_run: true, ..record(ReviewResult::Denied) },
            Duration::ZERO,
        );
        let text = rendered(&metrics);
        for line in [
            "outrigger_admission_requests_total{dry_run=\"false\",result=\"skipped\"} 1",
            "outrigger_admission_requests_total{dry_run=\"true\",result=\"denied\"} 1",
            "outrigger_admission_skips_total{reason=\"opted_out\"} 1",
            "outrigger_admission_skips_total{reason=\"namespace_excluded\"} 1",
            "outrigger_admission_errors_total{code=\"conflict\"} 1",
            "outrigger_admission_request_duration_seconds_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn names_of_templates_are_bounded() {
        let metrics = Metrics::new().expect("the names are unique");
        for number in 0..MAX_TEMPLATE_LABELS + 5 {
            let templates = vec![format!("t{number}")];
            metrics.observe(&Record { templates, ..record(ReviewResult::Injected) }, Duration::ZERO);
        }
        let text = rendered(&metrics);
        assert!(text.contains("outrigger_injections_total{template=\"other\"} 5"), "{text}");
        assert_eq!(text.matches("outrigger_injections_total{").count(), MAX_TEMPLATE_LABELS + 1);
    }

    #[test]
    fn in_flight_is_left_when_dropped() {
        let metrics = Metrics::new().expect("the names are unique");
        let entered = metrics.enter();
        assert!(rendered(&metrics).contains("outrigger_admission_in_flight 1"));
        drop(entered);
        assert!(rendered(&metrics).contains("outrigger_admission_in_flight 0"));
    }
}
