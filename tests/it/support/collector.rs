//! A trace collector inside the test process: it decodes OTLP over HTTP.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as Any, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// Longest wait for a batch of spans.
const PATIENCE: Duration = Duration::from_secs(30);

/// A collector that records what it receives.
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
                    // The thread ends with the connection or with the test.
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

    /// Requests that were received but not yet read.
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

fn texts(value: Option<&Any>) -> Vec<String> {
    match value.and_then(|value| value.value.as_ref()) {
        Some(AnyValue::StringValue(text)) => vec![text.clone()],
        Some(AnyValue::IntValue(number)) => vec![number.to_string()],
        Some(AnyValue::BoolValue(flag)) => vec![flag.to_string()],
        Some(AnyValue::ArrayValue(list)) => list.values.iter().flat_map(|value| texts(Some(value))).collect(),
        other => panic!("{other:?}"),
    }
}

/// The value of an attribute as text; list items are separated by commas.
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(texts(found.value.as_ref()).join(","))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
