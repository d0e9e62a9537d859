//! The parent of a span, out of the header `traceparent` ([W3C Trace
//! Context](https://www.w3.org/TR/trace-context/)).
//!
//! Invariant: ids and flags alone get through. `tracestate` is left out: it is free text of
//! somebody else's.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// The context that the header tells of; an empty one where there is none, or none that can be
/// read.
pub(super) fn context(traceparent: Option<&[u8]>) -> Context {
    let text = traceparent.and_then(|bytes| std::str::from_utf8(bytes).ok());
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Header(text))
}

struct Header<'h>(Option<&'h str>);

impl Extractor for Header<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.filter(|_| key == "traceparent")
    }

    fn keys(&self) -> Vec<&str> {
        self.0.map(|_| "traceparent").into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TraceContextExt;

    use super::*;

    fn ids(traceparent: &str) -> Option<(String, String, bool)> {
        let context = context(Some(traceparent.as_bytes()));
        let span = context.span();
        let parent = span.span_context();
        let ids = || (parent.trace_id().to_string(), parent.span_id().to_string(), parent.is_sampled());
        parent.is_valid().then(ids)
    }

    #[test]
    fn ids_and_the_flag() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for (flags, is_sampled) in [("01", true), ("00", false)] {
            let expected = Some((trace.to_owned(), span.to_owned(), is_sampled));
            assert_eq!(ids(&format!("00-{trace}-{span}-{flags}")), expected);
        }
    }

    #[test]
    fn what_is_no_traceparent_is_no_parent() {
        for text in ["", "00", "secret", "00-0-0-01", "00-00000000000000000000000000000000-0000000000000000-01"] {
            assert_eq!(ids(text), None, "{text}");
        }
        assert!(!context(None).has_active_span() && !context(Some(&[0xff])).has_active_span());
    }
}
