//! Every metric, registered in one place. Names and labels are part of what users see: they only
//! grow.
//!
//! [docs/reference/metrics.md](../../docs/reference/metrics.md) lists them; a test compares it with
//! what is registered here. Counting takes no lock and allocates nothing: every counter is found
//! when the process starts, or when a template is first used.
//! Invariant: label values come from closed sets, each starting at 0; names of templates are
//! bounded in number.

mod advice;
mod by_template;
mod cluster;
mod events;
#[cfg(target_os = "linux")]
mod process;
mod register;
mod validation;

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Encoder, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

use self::advice::AdviceMetrics;
use self::by_template::ByTemplate;
pub use self::cluster::{CaBundleMetrics, ClusterMetrics, StatusWriteResult};
pub use self::events::{EventMetrics, EventResult};
use self::register::Register;
use self::validation::ValidationMetrics;
use super::build;
use crate::admission::{ProtocolError, Record, ReviewResult};
use crate::inject::{ErrorCode, SkipReason, TemplateSet};

/// Which certificate a metric speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// The certificate that the webhook serves.
    Serving,
    /// The certificate authority that signs it.
    Ca,
}

impl CertificateKind {
    const ALL: [Self; 2] = [Self::Serving, Self::Ca];

    const fn code(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Ca => "ca",
        }
    }
}

/// Why a connection was closed before its peer was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// It had been silent longest, at the most connections.
    MadeRoom,
    /// At the most connections, all of them busy.
    Refused,
    /// A handshake, a head or the taking of an answer.
    TookTooLong,
    /// TLS could not agree: a certificate, a version.
    HandshakeFailed,
    /// The peer spoke plain HTTP on the TLS port.
    PlainHttp,
}

impl ConnectionEnd {
    const ALL: [Self; 5] = [Self::MadeRoom, Self::Refused, Self::TookTooLong, Self::HandshakeFailed, Self::PlainHttp];

    const fn code(self) -> &'static str {
        match self {
            Self::MadeRoom => "made_room",
            Self::Refused => "refused",
            Self::TookTooLong => "took_too_long",
            Self::HandshakeFailed => "handshake_failed",
            Self::PlainHttp => "plain_http",
        }
    }
}

/// How it went to take over templates or a certificate that had changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It was taken.
    Success,
    /// What was served before is served on.
    Error,
}

impl Reload {
    const ALL: [Self; 2] = [Self::Success, Self::Error];

    const fn code(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

/// A counter for each error code.
type ErrorCounters = [IntCounter; ErrorCode::ALL.len()];

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    requests: [[IntCounter; 2]; ReviewResult::ALL.len()],
    duration: Histogram,
    skips: [IntCounter; SkipReason::ALL.len()],
    errors: HashMap<&'static str, IntCounter>,
    injections: ByTemplate<IntCounter>,
    template_errors: ByTemplate<ErrorCounters>,
    advice: AdviceMetrics,
    validation: ValidationMetrics,
    in_flight: IntGauge,
    in_flight_bytes: IntGauge,
    shed: IntCounter,
    connections: IntGauge,
    connections_closed: [IntCounter; ConnectionEnd::ALL.len()],
    active_templates: IntGauge,
    invalid_templates: IntGauge,
    orphaned_templates: IntGauge,
    template_warnings: IntGauge,
    template_reloads: [IntCounter; Reload::ALL.len()],
    reload_success: IntGauge,
    certificate_expiry: [IntGauge; CertificateKind::ALL.len()],
    certificate_lifetime: [IntGauge; CertificateKind::ALL.len()],
    certificate_rotations: [IntCounter; Reload::ALL.len()],
    log_lines_dropped: IntCounter,
    trace_spans_lost: IntCounter,
}

impl Metrics {
    /// Fails only where two metrics have one name, which a test would show.
    pub fn new() -> prometheus::Result<Self> {
        let register = Register(Registry::new());
        register.process()?;
        build_info(&register)?;
        let templates = register.gauges("templates", "Templates by state", &["state"])?;
        Ok(Self {
            requests: requests(&register)?,
            duration: register
                .histogram("admission_request_duration_seconds", "Time from the head of a request to its response")?,
            skips: skips(&register)?,
            errors: errors(&register)?,
            injections: injections(&register)?,
            template_errors: template_errors(&register)?,
            advice: AdviceMetrics::register(&register)?,
            validation: ValidationMetrics::register(&register)?,
            in_flight: register.gauge("admission_in_flight", "Requests in flight")?,
            in_flight_bytes: register
                .gauge("admission_in_flight_bytes", "Bytes reserved for the bodies of requests in flight")?,
            shed: register
                .counter("admission_shed_total", "Requests shed with 503 because the server was out of capacity")?,
            connections: register.gauge("connections", "Open connections to the webhook")?,
            connections_closed: connections_closed(&register)?,
            active_templates: templates.with_label_values(&["active"]),
            invalid_templates: templates.with_label_values(&["invalid"]),
            orphaned_templates: templates.with_label_values(&["orphaned"]),
            template_warnings: register.gauge("template_warnings", "Warnings about the loaded templates")?,
            template_reloads: reloads(&register, "template_reloads_total", "Reloads of changed templates")?,
            reload_success: register.gauge(
                "template_last_reload_success_timestamp_seconds",
                "Time of the last successful load of templates, in seconds since 1970",
            )?,
            certificate_expiry: certificates(
                &register,
                "certificate_expiry_timestamp_seconds",
                "Time at which a certificate expires, in seconds since 1970; 0 if there is none",
            )?,
            certificate_lifetime: certificates(
                &register,
                "certificate_lifetime_seconds",
                "Time from the start to the end of a certificate's validity, in seconds; 0 if there is none",
            )?,
            certificate_rotations: reloads(
                &register,
                "certificate_rotations_total",
                "Rotations of the serving certificate",
            )?,
            log_lines_dropped: register.counter(
                "log_lines_dropped_total",
                "Log lines dropped because the reader of standard error was too slow",
            )?,
            trace_spans_lost: register
                .counter("trace_spans_lost_total", "Spans that were not delivered to the trace collector")?,
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
        for counter in record.errors.iter().filter_map(|code| self.errors.get(code)) {
            counter.inc();
        }
        for (template, code) in &record.template_errors {
            self.template_errors.count(template, |counters| counters[*code as usize].inc());
        }
        if record.result == ReviewResult::Injected && !record.dry_run {
            record.templates.iter().for_each(|template| self.injections.count(template, IntCounter::inc));
        }
    }

    /// Counts one request about a template.
    pub fn observe_validation(&self, record: &Record, duration: Duration) {
        self.validation.observe(record, duration);
    }

    /// Counts one request for advice.
    pub fn observe_advice(&self, record: &Record, duration: Duration) {
        self.advice.observe(record, duration);
    }

    /// A request that is being answered, until the value is dropped.
    pub fn enter(&self) -> Held {
        Held::one_of(&self.in_flight)
    }

    /// A connection to the webhook, until the value is dropped.
    pub fn connect(&self) -> Held {
        Held::one_of(&self.connections)
    }

    /// Counts a connection that was closed before its peer was done.
    pub fn connection_closed(&self, end: ConnectionEnd) {
        self.connections_closed[end as usize].inc();
    }

    /// Shows how many bytes are reserved for bodies.
    pub fn in_flight_bytes(&self) -> IntGauge {
        self.in_flight_bytes.clone()
    }

    /// A request was turned away for want of room.
    pub fn shed(&self) {
        self.shed.inc();
    }

    /// The templates that are served from now on.
    pub fn templates_served(&self, templates: &TemplateSet) {
        self.active_templates.set(gauge_value(templates.len()));
        self.invalid_templates.set(gauge_value(templates.invalid()));
        self.orphaned_templates.set(gauge_value(templates.orphaned()));
        self.injections.announce(templates.iter().map(|template| template.name));
    }

    /// How many warnings the loaded templates gave.
    pub fn template_warnings(&self, count: usize) {
        self.template_warnings.set(gauge_value(count));
    }

    /// The templates were loaded at the start, or all of them without a problem since.
    pub fn templates_loaded(&self, now: SystemTime) {
        self.reload_success.set(unix_seconds(now));
    }

    /// Templates had changed.
    pub fn templates_reloaded(&self, result: Reload) {
        self.template_reloads[result as usize].inc();
    }

    /// A certificate is in use that is valid during this time.
    pub fn certificate_valid(&self, certificate: CertificateKind, from: SystemTime, until: SystemTime) {
        self.certificate_expiry[certificate as usize].set(unix_seconds(until));
        self.certificate_lifetime[certificate as usize].set(unix_seconds(until) - unix_seconds(from));
    }

    /// The files of the serving certificate had changed.
    pub fn certificate_rotated(&self, result: Reload) {
        self.certificate_rotations[result as usize].inc();
    }

    /// Counts the lines that the log loses.
    pub fn log_lines_dropped(&self) -> &IntCounter {
        &self.log_lines_dropped
    }

    /// The metrics that exist only in a cluster; to be called once.
    pub fn in_cluster(&self) -> prometheus::Result<ClusterMetrics> {
        ClusterMetrics::register(&Register(self.registry.clone()))
    }

    /// The metric that exists only where certificates are made in a cluster; to be called once.
    pub fn ca_bundle(&self) -> prometheus::Result<CaBundleMetrics> {
        CaBundleMetrics::register(&Register(self.registry.clone()))
    }

    /// The counters of Events, which exist only in a cluster; to be called once.
    pub fn events(&self) -> prometheus::Result<EventMetrics> {
        EventMetrics::register(&Register(self.registry.clone()))
    }

    /// Counts the spans of traces that are lost.
    pub fn trace_spans_lost(&self) -> &IntCounter {
        &self.trace_spans_lost
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// Counts in a gauge while it lives.
pub struct Held(IntGauge);

impl Held {
    fn one_of(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn build_info(register: &Register) -> prometheus::Result<()> {
    let info =
        register.gauges("build_info", "Always 1, with the version and revision as labels", &["version", "revision"])?;
    info.with_label_values(&[build::VERSION, build::REVISION.unwrap_or_default()]).set(1);
    Ok(())
}

fn connections_closed(register: &Register) -> prometheus::Result<[IntCounter; ConnectionEnd::ALL.len()]> {
    let help = "Connections closed by the server before the peer was done, by reason";
    let closed = register.counters("connections_closed_total", help, &["reason"])?;
    Ok(ConnectionEnd::ALL.map(|end| closed.with_label_values(&[end.code()])))
}

fn requests(register: &Register) -> prometheus::Result<[[IntCounter; 2]; ReviewResult::ALL.len()]> {
    let requests = register.counters("admission_requests_total", "Requests by result", &["result", "dry_run"])?;
    let of = |result: ReviewResult, dry_run| requests.with_label_values(&[result.code(), dry_run]);
    Ok(ReviewResult::ALL.map(|result| ["false", "true"].map(|dry_run| of(result, dry_run))))
}

fn skips(register: &Register) -> prometheus::Result<[IntCounter; SkipReason::ALL.len()]> {
    let help = "Reasons why pods were not injected, or not with all requested templates";
    let skips = register.counters("admission_skips_total", help, &["reason"])?;
    Ok(SkipReason::ALL.map(|reason| skips.with_label_values(&[reason.code()])))
}

fn errors(register: &Register) -> prometheus::Result<HashMap<&'static str, IntCounter>> {
    let errors = register.counters("admission_errors_total", "Refusals and errors by code", &["code"])?;
    let codes = ErrorCode::ALL.map(ErrorCode::code).into_iter().chain(ProtocolError::ALL.map(ProtocolError::code));
    Ok(codes.map(|code| (code, errors.with_label_values(&[code]))).collect())
}

fn injections(register: &Register) -> prometheus::Result<ByTemplate<IntCounter>> {
    let help = "Templates injected into pods, without dry runs";
    let injections = register.counters("injections_total", help, &["template"])?;
    Ok(ByTemplate::new(move |template| injections.with_label_values(&[template])))
}

fn template_errors(register: &Register) -> prometheus::Result<ByTemplate<ErrorCounters>> {
    let help = "Errors that concern one template, by template and code";
    let errors = register.counters("template_errors_total", help, &["template", "code"])?;
    Ok(ByTemplate::new(move |template| ErrorCode::ALL.map(|code| errors.with_label_values(&[template, code.code()]))))
}

fn reloads(register: &Register, name: &str, help: &str) -> prometheus::Result<[IntCounter; Reload::ALL.len()]> {
    let counters: IntCounterVec = register.counters(name, help, &["result"])?;
    Ok(Reload::ALL.map(|result| counters.with_label_values(&[result.code()])))
}

fn certificates(
    register: &Register,
    name: &str,
    help: &str,
) -> prometheus::Result<[IntGauge; CertificateKind::ALL.len()]> {
    let gauges: IntGaugeVec = register.gauges(name, help, &["certificate"])?;
    Ok(CertificateKind::ALL.map(|certificate| gauges.with_label_values(&[certificate.code()])))
}

fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
