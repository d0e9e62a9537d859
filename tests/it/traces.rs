//! Traces of the real binary, sent to a collector in this process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as Any, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use serde_json::json;

use crate::support::{Client, PATIENCE, Process, Serving, pod, review};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Takes what is sent to it, and nothing else.
pub struct Collector {
    pub address: SocketAddr,
    requests: Receiver<(String, ExportTraceServiceRequest)>,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    // Ends with the connection, or with the test.
                    while receive(&mut stream).is_some_and(|request| sender.send(request).is_ok()) {}
                });
            }
        });
        Self { address, requests }
    }

    /// The spans of the next request, with its path and its resource's attributes.
    pub fn next(&self) -> (String, Vec<KeyValue>, Vec<Span>) {
        let (path, request) = self.requests.recv_timeout(PATIENCE).expect("a request with spans");
        let [resource_spans] = request.resource_spans.as_slice() else { panic!("{request:?}") };
        let resource = resource_spans.resource.as_ref().expect("a resource").attributes.clone();
        let spans = resource_spans.scope_spans.iter().flat_map(|scope| scope.spans.iter().cloned()).collect();
        (path, resource, spans)
    }

    /// What was sent but not yet taken.
    pub fn rest(&self) -> Vec<ExportTraceServiceRequest> {
        self.requests.try_iter().map(|(_, request)| request).collect()
    }
}

/// One request of a connection: its path and its body.
fn receive(stream: &mut BufReader<TcpStream>) -> Option<(String, ExportTraceServiceRequest)> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let path = line.split(' ').nth(1).expect("a request line").to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).expect("a header");
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("the answer");
    Some((path, ExportTraceServiceRequest::decode(body.as_slice()).expect("protobuf")))
}

fn serving(directory: &Path, endpoint: &str) -> Serving {
    Serving::start(directory, &[&format!("--otlp-endpoint={endpoint}")])
}

fn post(client: &mut Client, traceparent: &str, body: &serde_json::Value) {
    let head = format!("POST /mutate HTTP/1.1\r\nContent-Type: application/json\r\n{traceparent}");
    let answer = client.request(head.trim_end(), body.to_string().as_bytes());
    assert_eq!(answer.status, if body.get("request").is_some() { 200 } else { 400 }, "{}", answer.text());
}

fn texts(value: Option<&Any>) -> Vec<String> {
    match value.and_then(|value| value.value.as_ref()) {
        Some(AnyValue::StringValue(text)) => vec![text.clone()],
        Some(AnyValue::IntValue(number)) => vec![number.to_string()],
        Some(AnyValue::BoolValue(flag)) => vec![flag.to_string()],
        Some(AnyValue::ArrayValue(list)) => list.values.iter().flat_map(|value| texts(Some(value))).collect(),
        other => panic!("{other:?}"),
    }
}

/// The value of an attribute as text, items of a list with commas between them.
fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(texts(found.value.as_ref()).join(","))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_review_is_a_span_below_that_of_the_api_server() {
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
fn what_the_api_server_does_not_record_is_not_recorded() {
    let collector = Collector::start();
    let directory = tempfile::tempdir().expect("a directory");
    let mut serving = serving(directory.path(), &format!("http://{}/other/path", collector.address));
    let skipped = review(&pod(&json!({})));
    post(&mut serving.client, &format!("traceparent: 00-{TRACE}-{PARENT}-00"), &skipped);
    // Without a parent a trace begins here.
    post(&mut serving.client, "", &skipped);
    post(&mut serving.client, "", &json!({}));
    // The end sends what is left, without waiting for the next batch.
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

/// A collector that is away, and one that takes connections and says nothing.
#[test]
fn a_collector_that_is_away_delays_nothing() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
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
fn an_endpoint_that_cannot_be_used_is_refused_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    for endpoint in ["https://collector:4318", "http://user:pass@collector:4318", "collector"] {
        let (code, _, stderr) = Process::run(directory.path(), &["serve", "--dev", "--otlp-endpoint", endpoint]);
        assert_eq!(code, Some(1));
        assert!(stderr.contains("--otlp-endpoint") && stderr.contains("expected an http:// URL"), "{stderr}");
    }
}
