//! HTTP/2 over TLS, where the operator allows it: many requests on one connection, each a task of its own.
//!
//! What floods a peer can make without a request (settings, pings, resets, endless heads) h2 bounds; the bounds are set here.
//! Invariants: no connection waits without a limit, for its preface neither, and pings that are answered are no request; a
//! request whose answer is not taken is given up; a connection that is to end says so by GOAWAY, never by a header.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, header};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tower::ServiceExt;

use super::connection::Connections;
use super::deadline::{Clock, Http};
use super::deadline_io::Clocked;
use super::drive::{End, drive};
use crate::process::shutdown::{Lifecycle, Phase};

/// Requests of one connection at a time: more than one API server sends.
const STREAMS: u32 = 100;
/// So much of a body may come before it is read; bodies are read at once, or refused.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;
/// So much of an answer is held for a peer that does not read yet.
const SEND_BUFFER: usize = 64 * 1024;
/// Requests that were reset and whose tasks have not seen it yet; more are a flood, which ends the connection.
const RESETS: usize = 20;
/// Requests that we reset for a fault of the peer, in the life of a connection.
const FAULTS: usize = 100;
/// Between two questions whether the peer is still there, and for the answer.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(10);

/// Serves one connection to its end.
pub async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    connections: Connections,
    stream: S,
    clock: Clock,
) {
    clock.begin(Http::Two);
    let limits = &connections.limits;
    let io = TokioIo::new(Clocked::new(stream, clock.clone(), Arc::clone(limits)));
    let service = service_fn({
        let (clock, router, lifecycle) = (clock.clone(), connections.router.clone(), connections.lifecycle.clone());
        move |request| answer(request, router.clone(), clock.clone(), lifecycle.clone())
    });
    let streams = Streams { clock: clock.clone(), limit: limits.stream };
    let mut connection = http2::Builder::new(streams)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(FAULTS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .serve_connection(io, service);
    let mut lifecycle = connections.lifecycle.clone();
    let part = http2::Connection::graceful_shutdown;
    let end = drive(Pin::new(&mut connection), part, lifecycle.reached(Phase::Closing), &clock, limits).await;
    if end == End::TookTooLong {
        connections.took_too_long();
    }
}

/// Passes one request on. Once the process is to end, each answer is followed by GOAWAY, which loses no request: the client
/// opens a new connection for its next, which the network then leads elsewhere.
async fn answer(
    request: Request<Incoming>,
    router: Router,
    clock: Clock,
    lifecycle: Lifecycle,
) -> Result<Response<Body>, Infallible> {
    let mut response = router.oneshot(request.map(Body::new)).await?;
    if lifecycle.phase() > Phase::Serving {
        clock.leave();
    }
    // Of no meaning here: what is not read of a body concerns nobody else on the connection.
    response.headers_mut().remove(header::CONNECTION);
    Ok(response)
}

/// Gives each request a task of its own and a limit for all of it, since a peer may never take its answer.
#[derive(Clone)]
struct Streams {
    clock: Clock,
    limit: Duration,
}

/// One request in flight.
struct OpenStream(Clock);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.clock.open_stream();
        let (open, limit) = (OpenStream(self.clock.clone()), self.limit);
        tokio::spawn(async move {
            // Dropping it resets the stream.
            _ = timeout(limit, stream).await;
            drop(open);
        });
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.close_stream();
    }
}
