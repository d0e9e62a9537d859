//! The server: states as types, so that nothing is served before everything could be bound.
//!
//! [`Server`] is settings, [`BoundServer`] has its sockets, [`BoundServer::run`] serves to the end of the process.
//! It knows nothing of files, certificates' sources or clusters: snapshots and facts come through [`Webhook`].
//! Invariants: accept never stalls; no peer holds anything for longer than its limit; what is in flight at the end is finished.

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
pub use admission::webhook::{MUTATE_PATH, NamespaceLookup, Snapshot, Webhook};

use crate::process::shutdown::Lifecycle;
use http::connection::Connections;
use http::in_flight::InFlight;

/// How long and how much a peer may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, those that shake hands included. The one that has been silent longest makes room for another.
    pub connections: usize,
    /// The same of the admin listener, so that nobody takes the webhook's files there.
    pub admin_connections: usize,
    pub handshake: Duration,
    /// From the end of the handshake, or of the last answer, to the first byte of a request. More than the 90 s for which an
    /// API server keeps a connection: it never repeats a POST that meets a closing one.
    pub idle: Duration,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// For a body; the request's own `?timeout=` where that is shorter.
    pub body: Duration,
    /// For a peer to take some of its answer. For all of it, it has as long as it may be idle.
    pub write: Duration,
    /// HTTP/2: from the head of a request to the end of its answer. No API server waits for longer.
    pub stream: Duration,
    /// After the last answer, for what the peer still sends, and so many bytes of it.
    pub linger: Duration,
    pub linger_bytes: usize,
    pub head_bytes: usize,
    pub body_bytes: usize,
    /// For all bodies up to 1 MiB together, while they are received and answered.
    pub in_flight_bytes: usize,
    /// For all bodies over 1 MiB together.
    pub in_flight_large_bytes: usize,
    /// After the last connection is taken, for what is in flight.
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
            stream: Duration::from_secs(30),
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

/// Where to listen, and what peers may take.
#[derive(Clone, Debug)]
pub struct Server {
    pub webhook: SocketAddr,
    pub admin: SocketAddr,
    pub limits: Limits,
}

/// A server whose sockets are bound: connections already queue.
pub struct BoundServer {
    webhook: TcpListener,
    admin: TcpListener,
    limits: Arc<Limits>,
}

/// One of the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    Webhook,
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
    pub listener: Listener,
    pub address: SocketAddr,
    pub source: std::io::Error,
}

impl Server {
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
    /// The address of the webhook, with the port that the system chose where it was asked to.
    pub fn webhook_address(&self) -> std::io::Result<SocketAddr> {
        self.webhook.local_addr()
    }

    /// The address of the admin listener.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until the process is to end, and returns when everything in flight is answered or its time is over.
    pub async fn run(self, tls: ServerConfig, webhook: Webhook, admin: Admin, lifecycle: Lifecycle) {
        let routes = admission::webhook::router(webhook, &self.limits, lifecycle.clone());
        self.run_routes(tls, routes, admin, lifecycle).await;
    }

    /// The same with other routes in the webhook's place: so a benchmark sees what connections cost by themselves.
    pub async fn run_routes(self, tls: ServerConfig, routes: Router, admin: Admin, lifecycle: Lifecycle) {
        let metrics = Arc::clone(&admin.metrics);
        let of = |listener, router, tls| Connections {
            listener,
            most: match listener {
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
        let reviews = of(Listener::Webhook, routes, Some(TlsAcceptor::from(Arc::new(tls))));
        let admin = of(Listener::Admin, admin::router(admin, lifecycle.clone()), None);
        // Probes and metrics are answered to the very end, and nobody waits for them.
        tokio::select! {
            () = serve_reviews(self.webhook, &reviews) => {}
            () = http::accept::for_ever(&self.admin, &admin) => {}
        }
    }
}

/// Serves reviews, and finishes what is in flight at the end.
async fn serve_reviews(listener: TcpListener, reviews: &Connections) {
    let connections = http::accept::until_closing(listener, reviews.lifecycle.clone(), reviews).await;
    if timeout(reviews.limits.closing, reviews.in_flight.none()).await.is_err() {
        tracing::warn!("requests are still in flight, ending all the same");
    }
    drop(connections);
}
