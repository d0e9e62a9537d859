//! Traces in a build without OpenTelemetry: there are none, and the configuration refuses to ask
//! for them.

use prometheus::IntCounter;

use crate::admission::Record;

/// Never there.
pub(crate) enum Traces {}

/// A review that is traced: never there.
pub(crate) enum ReviewSpan {}

/// Fails: see the configuration, which says so first.
pub(crate) fn init(endpoint: &str, _: IntCounter) -> anyhow::Result<Traces> {
    anyhow::bail!("this build cannot send traces to {endpoint}: it lacks the feature otel")
}

/// No span.
pub(crate) fn begin<'h>(_: &'static str, _: impl FnOnce() -> Option<&'h [u8]>) -> Option<ReviewSpan> {
    None
}

impl ReviewSpan {
    pub(crate) const fn end(self, _: &Record, _: Option<u16>) {
        match self {}
    }
}
