//! OpenTelemetry traces: one span a review, sent by OTLP to a collector. Off until an endpoint is
//! configured.
//!
//! The span's parent is what the API server says in `traceparent`, and with it whether to record at
//! all.
//! Invariants: a span is made of a [`Record`], which holds no value of a pod, and of nothing else
//! that a peer sends but the ids in `traceparent`; where traces are off, a request costs one look
//! at that.

mod client;
mod export;
mod parent;

use std::sync::OnceLock;

use anyhow::Context;
use opentelemetry::trace::{Span, SpanKind, Status, Tracer, TracerProvider};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use prometheus::IntCounter;

use self::client::CollectorClient;
use self::export::{Exporting, SpanQueue};
use super::build;
use crate::admission::{Record, ReviewResult};

const SERVICE: &str = "outrigger";

/// The tracer of the process.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sends what is left when it is dropped.
#[must_use = "spans that are not yet sent when the process ends are lost"]
pub(crate) struct Traces {
    _exporting: Exporting,
    _provider: SdkTracerProvider,
}

/// Sends spans to the collector at `endpoint` from now on; `lost` counts those that it does not
/// get. A second call changes nothing: the first one holds.
pub(crate) fn init(endpoint: &str, lost: IntCounter) -> anyhow::Result<Traces> {
    let resource = resource();
    let exporter = || {
        let builder = SpanExporter::builder().with_http().with_endpoint(endpoint).with_protocol(Protocol::HttpBinary);
        builder.with_http_client(CollectorClient::from_environment()).build()
    };
    let (queue, exporting) = Exporting::start(exporter, &resource, endpoint, lost)
        .with_context(|| format!("cannot send traces to {endpoint}"))?;
    let provider = provider(queue, resource);
    _ = TRACER.set(provider.tracer(SERVICE));
    Ok(Traces { _exporting: exporting, _provider: provider })
}

fn provider(queue: SpanQueue, resource: Resource) -> SdkTracerProvider {
    SdkTracerProvider::builder().with_resource(resource).with_span_processor(queue).build()
}

/// What we are; the standard variables `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say it
/// better.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", build::VERSION);
    let resource = Resource::builder().with_attribute(version);
    let is_named = std::env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty())
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|text| text.contains("service.name="));
    if is_named { resource.build() } else { resource.with_service_name(SERVICE).build() }
}

/// A review that is being answered. It ends when it is dropped.
pub(crate) struct ReviewSpan(opentelemetry_sdk::trace::Span);

/// Begins the span of a review that came with this `traceparent`, which is looked for only where
/// traces are on; `None` where they are off, or this one is not recorded.
pub(crate) fn begin<'h>(path: &'static str, traceparent: impl FnOnce() -> Option<&'h [u8]>) -> Option<ReviewSpan> {
    let tracer = TRACER.get()?;
    let parent = parent::context(traceparent());
    let attributes = [
        KeyValue::new("http.request.method", "POST"),
        KeyValue::new("http.route", path),
        KeyValue::new("url.path", path),
        KeyValue::new("url.scheme", "https"),
    ];
    let builder = tracer.span_builder(format!("POST {path}")).with_kind(SpanKind::Server).with_attributes(attributes);
    let span = tracer.build_with_context(builder, &parent);
    span.is_recording().then_some(ReviewSpan(span))
}

impl ReviewSpan {
    /// Says how it went; `status` is that of the HTTP answer, where there was one.
    pub(crate) fn end(mut self, record: &Record, status: Option<u16>) {
        let span = &mut self.0;
        if let Some(status) = status {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        }
        span.set_attribute(KeyValue::new("outrigger.result", record.result.code()));
        span.set_attribute(KeyValue::new("outrigger.dry_run", record.dry_run));
        let texts =
            [("outrigger.uid", &record.uid), ("k8s.namespace.name", &record.namespace), ("k8s.pod.name", &record.name)];
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            span.set_attribute(KeyValue::new(key, text.clone()));
        }
        list(span, "outrigger.templates", record.templates.iter().cloned());
        list(span, "outrigger.reasons", record.reasons.iter().map(|reason| reason.code()));
        list(span, "outrigger.errors", record.errors.iter().copied());
        // A refusal is the pod's fault, and an answer like any other.
        if record.result == ReviewResult::Error {
            span.set_attribute(KeyValue::new("error.type", record.errors.first().copied().unwrap_or("_OTHER")));
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// An attribute of several texts, left out where there is none.
fn list<T: Into<StringValue>>(span: &mut impl Span, key: &'static str, items: impl Iterator<Item = T>) {
    let items: Vec<StringValue> = items.map(Into::into).collect();
    if !items.is_empty() {
        span.set_attribute(KeyValue::new(key, Value::Array(Array::String(items))));
    }
}
