//! One connection: TLS handshake, HTTP/1.1, and the limits of both.
//!
//! Only HTTP/1.1, chosen by us: hyper's automatic choice has no limit before the first byte.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::Limits;
use super::clock::{Clock, Clocked, InFlight};
use crate::shutdown::{Lifecycle, Phase};

/// What all connections of one listener share.
#[derive(Clone)]
pub struct Connections {
    pub router: Router,
    pub limits: Arc<Limits>,
    pub lifecycle: Lifecycle,
    pub in_flight: InFlight,
}

impl Connections {
    /// Shakes hands and serves.
    pub async fn serve_tls(self, acceptor: TlsAcceptor, stream: TcpStream) {
        match timeout(self.limits.handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            // Port scans and probes end up here, so this is nothing to wake anybody for.
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    /// Serves without TLS.
    pub async fn serve_plain(self, stream: TcpStream) {
        self.serve(stream).await;
    }

    async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(self, stream: S) {
        let clock = Clock::new(self.in_flight);
        let io = TokioIo::new(Clocked::new(stream, clock.clone()));
        let limits = Arc::clone(&self.limits);
        let service = service_fn({
            let (clock, router, lifecycle) = (clock.clone(), self.router, self.lifecycle);
            move |request| answer(request, router.clone(), clock.clone(), lifecycle.clone())
        });
        let connection = http1::Builder::new()
            // The clock has limits for idleness and for heads apart.
            .header_read_timeout(None)
            .max_buf_size(limits.head_bytes)
            .serve_connection(io, service);
        drive(connection, &clock, &limits).await;
    }
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
        let mut response = router.oneshot(request.map(Body::new)).await?;
        if lifecycle.phase() > Phase::Serving {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        clock.answered();
        Ok(response)
    }
}

/// Runs a connection to its end, or until it takes too long.
async fn drive(connection: impl Future<Output = hyper::Result<()>>, clock: &Clock, limits: &Limits) {
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep_until(tokio::time::Instant::now() + limits.idle));
    poll_fn(|context| {
        // How a connection ended is the peer's business.
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let Some(deadline) = clock.deadline(limits) else { return Poll::Pending };
            if deadline <= tokio::time::Instant::now() {
                tracing::debug!("closing a connection that took too long");
                return Poll::Ready(());
            }
            // The alarm is moved only when it would come too late, or has come: most requests leave it alone.
            if deadline < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(context));
        }
    })
    .await;
}
