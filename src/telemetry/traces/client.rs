//! Sends the exporter's requests to the collector over HTTP/1.1, each on a connection of its own.
//!
//! A batch leaves at most once a second, so keeping connections open would gain nothing. The client
//! that OpenTelemetry brings speaks HTTP/2 too, which nothing else in the program needs.
//! Invariant: an exchange takes at most the configured time and reads at most [`MAX_RESPONSE`]
//! bytes.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A collector says little: which spans it refused, and why.
const MAX_RESPONSE: usize = 64 * 1024;
/// OpenTelemetry's default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The exporter's client.
#[derive(Debug)]
pub(super) struct CollectorClient {
    timeout: Duration,
}

impl CollectorClient {
    /// A client with the time limit of OpenTelemetry's variables.
    pub(super) fn from_environment() -> Self {
        let variables = [OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT];
        let milliseconds = variables.iter().find_map(|name| std::env::var(name).ok()?.parse().ok());
        Self { timeout: milliseconds.map_or(DEFAULT_TIMEOUT, Duration::from_millis) }
    }
}

impl HttpClient for CollectorClient {
    fn send_bytes<'c, 'f>(
        &'c self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        'c: 'f,
        Self: 'f,
    {
        Box::pin(async move { timeout(self.timeout, exchange(request)).await? })
    }
}

async fn exchange(mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let no_host = || Error::new(ErrorKind::InvalidInput, "the collector's URL has no host");
    let authority = request.uri().authority().ok_or_else(no_host)?.clone();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the exchange: when its sender and the response's body are gone.
    tokio::spawn(connection);
    if let Some(path) = request.uri().path_and_query() {
        *request.uri_mut() = path.clone().into();
    }
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    let (head, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
    let body = Limited::new(body, MAX_RESPONSE).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread::{self, JoinHandle};

    use super::*;

    /// A collector that receives one request and sends this response; it returns what it received.
    fn collector(response: Vec<u8>) -> (SocketAddr, JoinHandle<String>) {
        let listener = TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("bound");
        let received = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
            let mut text = String::new();
            while reader.read_line(&mut text).expect("a line") > 2 {}
            let mut body = [0; 5];
            reader.read_exact(&mut body).expect("the body");
            // The client hangs up in the middle of a response that is too large.
            _ = stream.write_all(&response);
            text + std::str::from_utf8(&body).expect("text")
        });
        (address, received)
    }

    fn send(address: SocketAddr, limit: Duration) -> Result<Response<Bytes>, HttpError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let request = Request::post(format!("http://{address}/v1/traces?a=b"))
            .header("authorization", "Bearer of-a-test")
            .body(Bytes::from_static(b"spans"))
            .expect("a request");
        runtime.block_on(CollectorClient { timeout: limit }.send_bytes(request))
    }

    #[test]
    fn a_request_arrives_with_host_path_headers_and_body() {
        let (address, received) =
            collector(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno".to_vec());
        let response = send(address, DEFAULT_TIMEOUT).expect("a response, whatever its status");
        assert_eq!((response.status().as_u16(), response.body().as_ref()), (503, b"no".as_slice()));
        let received = received.join().expect("no panic");
        assert!(received.starts_with("POST /v1/traces?a=b HTTP/1.1\r\n"), "{received}");
        for line in [format!("host: {address}"), "authorization: Bearer of-a-test".to_owned()] {
            assert_eq!(received.matches(&format!("\r\n{line}\r\n")).count(), 1, "{received}");
        }
        assert!(received.ends_with("\r\n\r\nspans"), "{received}");
    }

    #[test]
    fn a_response_that_is_too_large_is_an_error() {
        for (size, is_read) in [(MAX_RESPONSE, true), (MAX_RESPONSE + 1, false)] {
            let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
            response.resize(response.len() + size, b'x');
            let (address, received) = collector(response);
            assert_eq!(send(address, DEFAULT_TIMEOUT).is_ok(), is_read, "{size}");
            received.join().expect("no panic");
        }
    }

    #[test]
    fn a_collector_that_does_not_respond_is_an_error_when_time_is_up() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let error = send(silent.local_addr().expect("bound"), Duration::from_millis(50)).expect_err("no response");
        assert!(error.to_string().contains("elapsed"), "{error}");
    }
}
