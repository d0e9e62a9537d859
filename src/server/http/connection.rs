//! One connection: TLS handshake, HTTP, and the limits of both.
//!
//! Which HTTP is chosen by us from what TLS agreed on: hyper's automatic choice has no limit before the first byte.
//! HTTP/1.1 is here, HTTP/2 in [`super::http2`].

use std::convert::Infallible;
use std::future::{Future, pending};
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

use super::deadline::{Clock, Http, Then};
use super::deadline_io::Clocked;
use super::drive::{End, drive};
use super::in_flight::InFlight;
use super::lingering_close::linger;
use super::{deadline_body, http2};
use crate::process::shutdown::{Lifecycle, Phase};
use crate::server::{Limits, Listener};
use crate::telemetry::metrics::{ConnectionEnd, Held, Metrics};
use crate::telemetry::throttle::Seldom;

/// hyper takes no smaller buffer.
const LEAST_BUFFER: usize = 8192;

/// What all connections of one listener share.
#[derive(Clone)]
pub struct Connections {
    pub listener: Listener,
    /// At a time.
    pub most: usize,
    pub router: Router,
    pub tls: Option<TlsAcceptor>,
    pub limits: Arc<Limits>,
    pub lifecycle: Lifecycle,
    pub in_flight: InFlight,
    pub metrics: Arc<Metrics>,
}

impl Connections {
    /// The clock of a new connection.
    pub fn clock(&self) -> Clock {
        Clock::new(self.in_flight.clone())
    }

    /// Serves a connection to its end.
    pub fn serve(&self, stream: TcpStream, clock: Clock) -> impl Future<Output = ()> + Send + 'static {
        let open = Open { clock: clock.clone(), _held: self.is_counted().then(|| self.metrics.connect()) };
        let connections = self.clone();
        async move {
            match connections.tls.clone() {
                Some(acceptor) => connections.serve_tls(acceptor, stream, clock).await,
                None => Box::pin(connections.serve_http1(stream, clock)).await,
            }
            drop(open);
        }
    }

    /// What a connection does is boxed step by step, so that a silent one holds no room for what others do later.
    async fn serve_tls(self, acceptor: TlsAcceptor, stream: TcpStream, clock: Clock) {
        let Some(stream) = Box::pin(self.shake_hands(acceptor, stream)).await else { return };
        match agreed(&stream) {
            Http::One => Box::pin(self.serve_http1(stream, clock)).await,
            Http::Two => Box::pin(http2::serve(self, stream, clock)).await,
        }
    }

    async fn shake_hands(&self, acceptor: TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        match timeout(self.limits.handshake, acceptor.accept(stream).into_fallible()).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err((error, mut stream))) => {
                if tell_of_failure(&error, &stream) {
                    self.count(ConnectionEnd::HandshakeFailed);
                }
                // The alert says why; a reset would overtake it.
                if stream.shutdown().await.is_ok() {
                    linger(&mut stream, &self.limits).await;
                }
            }
            Err(_) => {
                self.count(ConnectionEnd::TookTooLong);
                tracing::debug!("TLS handshake took too long");
            }
        }
        None
    }

    async fn serve_http1<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(self, stream: S, clock: Clock) {
        clock.begin(Http::One);
        let mut stream = Clocked::new(stream, clock.clone(), Arc::clone(&self.limits));
        // hyper's buffers are for those who speak: thousands may be silent at a time.
        if timeout(self.limits.idle, stream.speaks()).await != Ok(true) {
            clock.takes_leave();
            _ = timeout(self.limits.write + self.limits.linger, stream.shutdown()).await;
            return;
        }
        Box::pin(self.serve_requests(TokioIo::new(stream), clock)).await;
    }

    async fn serve_requests<S>(self, io: TokioIo<Clocked<S>>, clock: Clock)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = service_fn({
            let (clock, router, lifecycle) = (clock.clone(), self.router.clone(), self.lifecycle.clone());
            move |request| answer(request, router.clone(), clock.clone(), lifecycle.clone())
        });
        let mut connection = http1::Builder::new()
            // The clock has limits for idleness and for heads apart.
            .header_read_timeout(None)
            .max_header_size(self.limits.head_bytes)
            .max_buf_size(self.limits.head_bytes.max(LEAST_BUFFER))
            // A client that has said all it has to say still wants its answer.
            .half_close(true)
            .serve_connection(io, service);
        // The last answer of a connection that is to end says so itself.
        let part = http1::Connection::graceful_shutdown;
        if drive(Pin::new(&mut connection), part, pending(), &clock, &self.limits).await == End::TookTooLong {
            self.took_too_long();
        }
    }

    /// Probes and scrapes are counted nowhere.
    fn is_counted(&self) -> bool {
        self.listener == Listener::Webhook
    }

    /// Counts a connection that was closed before its peer was done.
    pub fn count(&self, end: ConnectionEnd) {
        if self.is_counted() {
            self.metrics.connection_closed(end);
        }
    }

    pub(super) fn took_too_long(&self) {
        self.count(ConnectionEnd::TookTooLong);
        tracing::debug!("closing a connection that took too long");
    }
}

/// A connection until its end, however that comes.
struct Open {
    clock: Clock,
    _held: Option<Held>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.clock.end();
    }
}

/// The HTTP that client and server agreed on; who says nothing speaks HTTP/1.1.
fn agreed(stream: &TlsStream<TcpStream>) -> Http {
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Http::Two,
        _ => Http::One,
    }
}

/// Says why TLS could not agree, and whether it was TLS at all: port scans and probes end without a word of it. A wrong
/// `caBundle` is seen here and nowhere else.
fn tell_of_failure(error: &io::Error, stream: &TcpStream) -> bool {
    static REFUSED: Seldom = Seldom::new();
    static FAILED: Seldom = Seldom::new();
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
        // Our own call to ourselves has none.
        Some(rustls::Error::NoCertificatesPresented) if is_from_here(stream) => false,
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

fn is_from_here(stream: &TcpStream) -> bool {
    let ip = |address: io::Result<std::net::SocketAddr>| address.ok().map(|address| address.ip());
    ip(stream.peer_addr()) == ip(stream.local_addr())
}

/// Passes one request on. Once the process is to end, each answer asks the client to open a new connection next time,
/// which the network then leads elsewhere.
fn answer(
    request: Request<Incoming>,
    router: Router,
    clock: Clock,
    lifecycle: Lifecycle,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    clock.busy();
    async move {
        let request = request.map(|body| deadline_body::body(body, &clock));
        let mut response = router.oneshot(request).await?;
        if lifecycle.phase() > Phase::Serving {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let is_last = response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
        clock.answered(if is_last { Then::Close } else { Then::NextRequest });
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::shutdown;

    /// Thousands may be silent at a time.
    #[tokio::test]
    async fn a_silent_connection_holds_little() {
        let connections = Connections {
            listener: Listener::Webhook,
            most: 1,
            router: Router::new(),
            tls: None,
            limits: Arc::new(Limits::default()),
            lifecycle: shutdown::lifecycle().1,
            in_flight: InFlight::default(),
            metrics: Arc::new(Metrics::new().expect("metrics")),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
        let task = connections.serve(stream, connections.clock());
        assert!(size_of_val(&task) <= 2048, "{} bytes", size_of_val(&task));
    }
}
