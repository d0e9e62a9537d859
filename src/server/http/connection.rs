//! One connection: TLS handshake, HTTP/1.1 requests, and the deadlines of both.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::CertificateError;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::deadline::{AfterResponse, ConnectionState};
use super::deadline_body;
use super::deadline_io::DeadlineIo;
use super::drive::{ConnectionOutcome, drive};
use super::in_flight::InFlight;
use super::lingering_close::lingering_close;
use super::plain_http;
use crate::process::shutdown::{Lifecycle, Phase};
use crate::server::{Limits, Listener};
use crate::telemetry::metrics::{ConnectionEnd, Held, Metrics};
use crate::telemetry::throttle::EventThrottle;

/// hyper takes no smaller buffer.
const LEAST_BUFFER: usize = 8192;

/// What all connections of one listener share.
#[derive(Clone)]
pub(in crate::server) struct ConnectionServer {
    pub listener: Listener,
    /// Most connections that are open at a time.
    pub max_connections: usize,
    pub router: Router,
    pub tls: Option<TlsAcceptor>,
    pub limits: Arc<Limits>,
    pub lifecycle: Lifecycle,
    pub in_flight: InFlight,
    pub metrics: Arc<Metrics>,
}

impl ConnectionServer {
    /// The state of a new connection.
    pub(super) fn new_state(&self) -> ConnectionState {
        ConnectionState::new(self.in_flight.clone())
    }

    /// Serves a connection to its end.
    pub(super) fn serve(&self, stream: TcpStream, state: ConnectionState) -> impl Future<Output = ()> + Send + 'static {
        let open = OpenConnection { state: state.clone(), _gauge: self.is_counted().then(|| self.metrics.connect()) };
        let server = self.clone();
        async move {
            match server.tls.clone() {
                Some(acceptor) => server.serve_tls(acceptor, stream, state).await,
                None => Box::pin(server.serve_http1(stream, state)).await,
            }
            drop(open);
        }
    }

    /// Each step is boxed, so that an idle connection holds no memory for later steps.
    async fn serve_tls(self, acceptor: TlsAcceptor, stream: TcpStream, state: ConnectionState) {
        let Some(stream) = Box::pin(self.handshake(acceptor, stream)).await else { return };
        Box::pin(self.serve_http1(stream, state)).await;
    }

    async fn handshake(&self, acceptor: TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let handshake = async {
            if plain_http::is_spoken(&stream).await {
                return Err(stream);
            }
            Ok(acceptor.accept(stream).into_fallible().await)
        };
        match timeout(self.limits.handshake, handshake).await {
            Ok(Ok(Ok(stream))) => return Some(stream),
            Ok(Err(stream)) => {
                self.count(ConnectionEnd::PlainHttp);
                plain_http::refuse(stream, &self.limits).await;
            }
            Ok(Ok(Err((error, mut stream)))) => {
                if log_failed_handshake(&error, &stream) {
                    self.count(ConnectionEnd::HandshakeFailed);
                }
                // The TLS alert tells the peer why; a reset would overtake the alert.
                if stream.shutdown().await.is_ok() {
                    lingering_close(&mut stream, &self.limits).await;
                }
            }
            Err(_) => {
                self.count(ConnectionEnd::TookTooLong);
                tracing::debug!("TLS handshake exceeded its deadline");
            }
        }
        None
    }

    async fn serve_http1<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(self, stream: S, state: ConnectionState) {
        state.handshake_done();
        let mut stream = DeadlineIo::new(stream, state.clone(), Arc::clone(&self.limits));
        // Buffers are made with the first byte: thousands of connections may be idle at a time.
        if timeout(self.limits.idle, stream.wait_for_first_byte()).await != Ok(true) {
            state.begin_graceful_close();
            _ = timeout(self.limits.write + self.limits.linger, stream.shutdown()).await;
            return;
        }
        Box::pin(self.serve_requests(TokioIo::new(stream), state)).await;
    }

    async fn serve_requests<S>(self, io: TokioIo<DeadlineIo<S>>, state: ConnectionState)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = service_fn({
            let (state, router, lifecycle) = (state.clone(), self.router.clone(), self.lifecycle.clone());
            move |request| respond(request, router.clone(), state.clone(), lifecycle.clone())
        });
        let mut connection = http1::Builder::new()
            // `ConnectionState` has separate deadlines for idle connections and for heads.
            .header_read_timeout(None)
            .max_header_size(self.limits.head_bytes)
            .max_buf_size(self.limits.head_bytes.max(LEAST_BUFFER))
            // A client that closes its sending side still wants its response.
            .half_close(true)
            .serve_connection(io, service);
        let graceful_shutdown = http1::Connection::graceful_shutdown;
        let outcome = drive(Pin::new(&mut connection), graceful_shutdown, &state, &self.limits).await;
        if outcome == ConnectionOutcome::DeadlineExceeded {
            self.count(ConnectionEnd::TookTooLong);
            tracing::debug!("closing a connection that exceeded a deadline");
        }
    }

    /// Only connections of the webhook are counted, not those of probes and scrapes.
    fn is_counted(&self) -> bool {
        self.listener == Listener::Webhook
    }

    /// Counts a connection that the server closed before its peer was done.
    pub(super) fn count(&self, end: ConnectionEnd) {
        if self.is_counted() {
            self.metrics.connection_closed(end);
        }
    }
}

/// Marks a connection as closed however it ends, also when its task is aborted.
struct OpenConnection {
    state: ConnectionState,
    _gauge: Option<Held>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.state.closed();
    }
}

/// Logs why a handshake failed. Returns whether the peer spoke TLS at all: port scans and TCP
/// probes are not logged. A wrong `caBundle` shows here and nowhere else.
fn log_failed_handshake(error: &io::Error, stream: &TcpStream) -> bool {
    static REFUSED: EventThrottle = EventThrottle::new();
    static FAILED: EventThrottle = EventThrottle::new();
    match error.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(reason)) => {
            if let Some(count) = REFUSED.due() {
                let reason = match reason {
                    CertificateError::Other(reason) => reason.0.to_string(),
                    reason => reason.to_string(),
                };
                tracing::warn!(reason, count, "refused a client's certificate");
            }
            true
        }
        // The self-test has no client certificate.
        Some(rustls::Error::NoCertificatesPresented) if is_local_peer(stream) => false,
        Some(error) => {
            if let Some(count) = FAILED.due() {
                tracing::warn!(reason = %error, count, "TLS handshakes fail");
            }
            true
        }
        None => {
            tracing::debug!(%error, "TLS handshake failed");
            false
        }
    }
}

fn is_local_peer(stream: &TcpStream) -> bool {
    let ip = |address: io::Result<std::net::SocketAddr>| address.ok().map(|address| address.ip());
    ip(stream.peer_addr()) == ip(stream.local_addr())
}

/// Passes one request to the router. While the server drains, each response asks the client to open
/// a new connection for its next request, which the network then routes to another replica.
fn respond(
    request: Request<Incoming>,
    router: Router,
    state: ConnectionState,
    lifecycle: Lifecycle,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    state.head_received();
    async move {
        let request = request.map(|body| deadline_body::body(body, &state));
        let mut response = router.oneshot(request).await?;
        if lifecycle.phase() > Phase::Serving {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let is_last = response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
        state.response_begins(if is_last { AfterResponse::Close } else { AfterResponse::KeepAlive });
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::shutdown;

    /// Thousands of connections may be idle at a time.
    #[tokio::test]
    async fn an_idle_connection_takes_little_memory() {
        let server = ConnectionServer {
            listener: Listener::Webhook,
            max_connections: 1,
            router: Router::new(),
            tls: None,
            limits: Arc::new(Limits::default()),
            lifecycle: shutdown::lifecycle().1,
            in_flight: InFlight::default(),
            metrics: Arc::new(Metrics::new().expect("metrics")),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        let task = server.serve(stream, server.new_state());
        assert!(size_of_val(&task) <= 2048, "{} bytes", size_of_val(&task));
    }
}
