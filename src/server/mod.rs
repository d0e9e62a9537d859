//! The server: the webhook (HTTPS) and the admin listener (HTTP).
//!
//! States are types, so that nothing is served before both sockets are bound: [`Server`] has the
//! settings, [`BoundServer`] the sockets, and [`BoundServer::run`] serves until the process ends.
//! The server knows no files, certificate sources or clusters; snapshots come through [`Webhook`].
//! Invariants: accept never stalls; no peer holds a resource past its deadline; requests in flight
//! are finished at shutdown.

mod admin;
mod admission;
mod http;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub use admin::Admin;
pub use admission::freshness::Freshness;
pub use admission::webhook::{NamespaceLookup, OwnerNotifier, Snapshot, Webhook};

use crate::process::shutdown::Lifecycle;
use http::connection::ConnectionServer;
use http::in_flight::InFlight;

/// Limits on time and memory for each peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at a time, TLS handshakes included. At the limit the longest idle one is
    /// closed.
    pub connections: usize,
    /// The same for the admin listener, which must not use up the file descriptors of the webhook.
    pub admin_connections: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the end of the handshake, or of the last response, to the first byte of a request.
    /// Longer than the 90 s for which an API server keeps an idle connection: it never retries a
    /// POST that races with a close.
    pub idle: Duration,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// For a body; the request's own `?timeout=` if that is shorter.
    pub body: Duration,
    /// For a peer to read some bytes of a response. For all of a response the limit is `idle`.
    pub write: Duration,
    /// For the lingering close after the last response: its time, and the bytes that it discards.
    pub linger: Duration,
    /// Bytes that the lingering close discards.
    pub linger_bytes: usize,
    /// Longest head of a request.
    pub head_bytes: usize,
    /// Longest body of a request.
    pub body_bytes: usize,
    /// Memory for all bodies up to 1 MiB together, until they are answered.
    pub in_flight_bytes: usize,
    /// Memory for all bodies over 1 MiB together.
    pub in_flight_large_bytes: usize,
    /// At shutdown, after the last connection was accepted: for the requests in flight.
    pub closing: Duration,
}

const MIB: usize = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            admin_connections: 256,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            write: Duration::from_secs(10),
            linger: Duration::from_secs(5),
            linger_bytes: 32 * 1024 * 1024,
            head_bytes: 64 * 1024,
            body_bytes: 10 * MIB,
            in_flight_bytes: 16 * MIB,
            in_flight_large_bytes: 48 * MIB,
            closing: Duration::from_secs(15),
        }
    }
}

/// The addresses to listen on, and the limits.
#[derive(Clone, Debug)]
pub struct Server {
    /// Address of the webhook (HTTPS).
    pub webhook: SocketAddr,
    /// Address of the admin listener (HTTP).
    pub admin: SocketAddr,
    /// Limits on every peer.
    pub limits: Limits,
}

/// A server whose sockets are bound; connections already queue.
pub struct BoundServer {
    webhook: TcpListener,
    admin: TcpListener,
    limits: Arc<Limits>,
}

/// One of the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// `/mutate` and `/advise`, over TLS.
    Webhook,
    /// Probes, metrics and information, without TLS.
    Admin,
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Webhook => "webhook",
            Self::Admin => "admin",
        })
    }
}

/// An address that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({listener}): {source}")]
pub struct BindError {
    /// The listener that cannot be bound.
    pub listener: Listener,
    /// Its address.
    pub address: SocketAddr,
    /// Why.
    pub source: std::io::Error,
}

impl Server {
    /// Binds both sockets. Fails with the first address that cannot be bound.
    pub async fn bind(mut self) -> Result<BoundServer, BindError> {
        self.limits.connections = http::fd_limit::make_room(self.limits.connections, self.limits.admin_connections);
        Ok(BoundServer {
            webhook: bind(Listener::Webhook, self.webhook).await?,
            admin: bind(Listener::Admin, self.admin).await?,
            limits: Arc::new(self.limits),
        })
    }
}

async fn bind(listener: Listener, address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { listener, address, source })
}

impl BoundServer {
    /// The address of the webhook, with the real port when port 0 was requested.
    pub fn webhook_address(&self) -> std::io::Result<SocketAddr> {
        self.webhook.local_addr()
    }

    /// The address of the admin listener.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until shutdown, and returns when the requests in flight are answered or out of time.
    pub async fn run(self, tls: ServerConfig, webhook: Webhook, admin: Admin, lifecycle: Lifecycle) {
        let routes = admission::webhook::router(webhook, &self.limits, lifecycle.clone());
        self.run_routes(tls, routes, admin, lifecycle).await;
    }

    /// The same with other routes: a benchmark measures what connections cost by themselves.
    pub async fn run_routes(self, tls: ServerConfig, routes: Router, admin: Admin, lifecycle: Lifecycle) {
        let metrics = Arc::clone(&admin.metrics);
        let connections = |listener, router, tls| ConnectionServer {
            listener,
            max_connections: match listener {
                Listener::Webhook => self.limits.connections,
                Listener::Admin => self.limits.admin_connections,
            },
            router,
            tls,
            limits: Arc::clone(&self.limits),
            lifecycle: lifecycle.clone(),
            in_flight: InFlight::default(),
            metrics: Arc::clone(&metrics),
        };
        let reviews = connections(Listener::Webhook, routes, Some(TlsAcceptor::from(Arc::new(tls))));
        let admin = connections(Listener::Admin, admin::router(admin, lifecycle.clone()), None);
        // Probes and scrapes are answered to the very end; shutdown does not wait for them.
        tokio::select! {
            () = serve_reviews(self.webhook, &reviews) => {}
            () = http::accept::for_ever(&self.admin, &admin) => {}
        }
    }
}

/// Serves reviews, and finishes those in flight at shutdown.
async fn serve_reviews(listener: TcpListener, reviews: &ConnectionServer) {
    let connections = http::accept::until_closing(listener, reviews.lifecycle.clone(), reviews).await;
    if timeout(reviews.limits.closing, reviews.in_flight.wait_until_none()).await.is_err() {
        tracing::warn!("shutdown: requests are still in flight, exiting anyway");
    }
    drop(connections);
}
