//! Traces of the real binary, sent to a collector in this process.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::json;

use crate::support::collector::{Collector, attribute, hex};
use crate::support::{Client, Process, Serving, pod, review};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn serving(directory: &Path, endpoint: &str) -> Serving {
    Serving::start(directory, &[&format!("--otlp-endpoint={endpoint}")])
}

fn post(client: &mut Client, traceparent: &str, body: &serde_json::Value) {
    let head = format!("POST /mutate HTTP/1.1\r\nContent-Type: application/json\r\n{traceparent}");
    let answer = client.request(head.trim_end(), body.to_string().as_bytes());
    assert_eq!(answer.status, if body.get("request").is_some() { 200 } else { 400 }, "{}", answer.text());
}

#[test]
fn a_review_is_a_child_of_the_api_servers_span() {
    let collector = Collector::start();
    let directory = tempfile::tempdir().expect("a directory");
    let mut serving = serving(directory.path(), &format!("http://{}", collector.address));
    let injected = review(&pod(&json!({"outrigger.dev/inject": "log-collector"})));
    post(&mut serving.client, &format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: a=b"), &injected);
    let (path, resource, spans) = collector.next();
    assert_eq!(path, "/v1/traces");
    assert_eq!(attribute(&resource, "service.name").as_deref(), Some("outrigger"));
    assert_eq!(attribute(&resource, "service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!(
        (span.name.as_str(), span.kind, span.trace_state.as_str()),
        ("POST /mutate", SpanKind::Server as i32, "")
    );
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    for (key, value) in [
        ("http.request.method", "POST"),
        ("url.path", "/mutate"),
        ("http.response.status_code", "200"),
        ("outrigger.result", "injected"),
        ("outrigger.templates", "log-collector"),
        ("outrigger.dry_run", "false"),
        ("k8s.namespace.name", "demo"),
        ("k8s.pod.name", "web-*"),
    ] {
        assert_eq!(attribute(&span.attributes, key).as_deref(), Some(value), "{key}");
    }
    assert!(span.status.as_ref().is_none_or(|status| status.code == 0));
}

#[test]
fn a_trace_that_the_api_server_does_not_sample_is_not_exported() {
    let collector = Collector::start();
    let directory = tempfile::tempdir().expect("a directory");
    let mut serving = serving(directory.path(), &format!("http://{}/other/path", collector.address));
    let skipped = review(&pod(&json!({})));
    post(&mut serving.client, &format!("traceparent: 00-{TRACE}-{PARENT}-00"), &skipped);
    // Without a parent span a new trace begins.
    post(&mut serving.client, "", &skipped);
    post(&mut serving.client, "", &json!({}));
    // Shutdown exports the remaining spans without waiting for the next batch.
    serving.process.signal("TERM");
    assert_eq!(serving.process.wait().code(), Some(0));
    let (path, _, spans) = collector.next();
    assert_eq!(path, "/other/path");
    let [skipped, failed] = spans.as_slice() else { panic!("{spans:?}") };
    assert!(spans.iter().all(|span| hex(&span.trace_id) != TRACE && span.parent_span_id.is_empty()));
    assert_eq!(attribute(&skipped.attributes, "outrigger.reasons").as_deref(), Some("not_requested"));
    assert_eq!(attribute(&failed.attributes, "outrigger.errors").as_deref(), Some("review_version_unsupported"));
    assert_eq!(attribute(&failed.attributes, "http.response.status_code").as_deref(), Some("400"));
    assert_eq!(failed.status.as_ref().map(|status| status.code), Some(2));
    assert!(collector.rest().is_empty());
}

/// An unreachable collector, and one that accepts connections but does not respond.
#[test]
fn an_unreachable_collector_delays_neither_responses_nor_shutdown() {
    // Bound, but not listening: connections are refused, and nobody else gets the port.
    let refusing = tokio::net::TcpSocket::new_v4().expect("a socket");
    refusing.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let closed = refusing.local_addr().expect("bound");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    for address in [closed, silent.local_addr().expect("bound")] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut serving = serving(directory.path(), &format!("http://{address}"));
        let skipped = review(&pod(&json!({})));
        for _ in 0..3_000 {
            post(&mut serving.client, "", &skipped);
        }
        if address == closed {
            serving.process.wait_for_log("traces cannot be sent");
        }
        let start = Instant::now();
        serving.process.signal("TERM");
        assert_eq!(serving.process.wait().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(8), "the end took {:?}", start.elapsed());
        let log = serving.process.stderr();
        let complaints = log.matches("traces cannot be sent").count();
        assert!(complaints <= 1, "one a minute, not {complaints}: {log}");
    }
}

#[test]
fn an_invalid_endpoint_is_refused_at_start() {
    let directory = tempfile::tempdir().expect("a directory");
    for endpoint in ["https://collector:4318", "http://user:pass@collector:4318", "collector"] {
        let (code, _, stderr) = Process::run(directory.path(), &["serve", "--dev", "--otlp-endpoint", endpoint]);
        assert_eq!(code, Some(1));
        assert!(stderr.contains("--otlp-endpoint") && stderr.contains("expected an http:// URL"), "{stderr}");
    }
}
