//! Tests that the webhook serves its own certificate: at the start, as a condition of readiness,
//! and after each rotation.
//!
//! Any response counts, a TLS alert too: with a client CA the webhook refuses this client, but only
//! after presenting its certificate. The test request is neither logged nor counted.
//! Invariants: a server that passes stays ready while its certificate changes, and one that fails
//! is not ready; only the served certificate, with proof of its key, passes, so no other process on
//! the port is mistaken for this one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::dev;
use crate::pki::PresentedChain;
use crate::process::health::{Promise, Readiness};
use crate::telemetry::throttle::{Notice, ProblemThrottle, Urgency};
use crate::tls::resolver::Resolver;

const CHECK: &str = "tls-self-call";
const LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);
/// The certificate may change between the lookup here and the handshake.
const ATTEMPTS: usize = 3;

/// Calls the webhook's address and compares the certificate.
pub(super) struct SelfTest {
    address: SocketAddr,
    resolver: Arc<Resolver>,
    readiness: Readiness,
    promise: Option<Promise>,
    problem_throttle: ProblemThrottle,
}

impl SelfTest {
    /// The replica is not ready until the first test has passed.
    pub(super) fn new(address: SocketAddr, resolver: Arc<Resolver>, readiness: Readiness) -> Self {
        let promise = Some(readiness.promise(CHECK));
        Self { address, resolver, readiness, promise, problem_throttle: ProblemThrottle::default() }
    }

    /// Repeats the test until it passes, announces it to the user, and tests again after each
    /// rotation.
    pub(super) async fn run(mut self, replaced: Arc<Notify>, announcement: Option<String>) {
        self.until_passed().await;
        tracing::info!("ready");
        if let Some(text) = announcement {
            // On its own thread: standard output may be a pipe without a reader.
            std::thread::spawn(move || dev::print(&text));
        }
        loop {
            replaced.notified().await;
            self.until_passed().await;
        }
    }

    async fn until_passed(&mut self) {
        while let Err(error) = self.attempt().await {
            // Keeps a promise that is still outstanding.
            let (readiness, promise) = (&self.readiness, &mut self.promise);
            promise.get_or_insert_with(|| readiness.promise(CHECK));
            let notice = self.problem_throttle.observe(Some(error.to_string()), Urgency::Immediate, Instant::now());
            if notice == Some(Notice::Problem) {
                tracing::warn!(%error, "the webhook does not respond to its own test request yet");
            }
            sleep(PAUSE).await;
        }
        self.promise = None;
        if self.problem_throttle.observe(None, Urgency::Immediate, Instant::now()) == Some(Notice::Cleared) {
            tracing::info!("the webhook responds to its own test request");
        }
    }

    async fn attempt(&self) -> io::Result<()> {
        for _ in 1..ATTEMPTS {
            if self.call().await.is_ok() {
                return Ok(());
            }
        }
        self.call().await
    }

    async fn call(&self) -> io::Result<()> {
        let leaf = self.resolver.leaf().ok_or_else(|| io::Error::other("there is no certificate"))?;
        timeout(LIMIT, connect_to_self(self.address, leaf))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A request that the server responds to without a review.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Calls the server at `address` and expects it to present the certificate `leaf`.
async fn connect_to_self(address: SocketAddr, leaf: CertificateDer<'static>) -> io::Result<()> {
    let (config, presented) = PresentedChain::client().map_err(io::Error::other)?;
    let result = call(address, config).await;
    let is_ours = presented.proven_leaf().is_some_and(|proven| proven == leaf);
    match result {
        Ok(()) if !is_ours => Err(io::Error::other("the port presents another certificate than this server's")),
        Err(error) if is_alert(&error) && is_ours => Ok(()),
        result => result,
    }
}

async fn call(address: SocketAddr, config: ClientConfig) -> io::Result<()> {
    let address = reachable(address);
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::IpAddress(address.ip().into());
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(REQUEST).await?;
    stream.flush().await?;
    stream.read_u8().await.map(drop)
}

/// Whether the server refused the handshake with a TLS alert.
fn is_alert(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::AlertReceived(_)))
}

/// The loopback address in place of an unspecified address, which cannot be called.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::CertificateSource;
    use std::time::SystemTime;

    #[tokio::test]
    async fn a_server_that_fails_its_self_test_is_not_ready() {
        let directory = tempfile::tempdir().expect("a directory");
        let hosts = vec!["localhost".to_owned()];
        let source = CertificateSource::SelfSigned { directory: directory.path().to_owned(), hosts };
        let certificate = source.load(SystemTime::now()).expect("a certificate");
        // Bound, but not listening: connections are refused, and nobody else gets the port.
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let address = socket.local_addr().expect("bound");
        let readiness = Readiness::default();
        let mut call = SelfTest::new(address, Arc::new(Resolver::new(certificate.key)), readiness.clone());
        assert!(!readiness.is_ready(), "before the first test has passed");
        call.promise = None;
        assert!(readiness.is_ready(), "passed once");
        let passed = timeout(Duration::from_millis(500), call.until_passed()).await;
        assert!(passed.is_err() && !readiness.is_ready(), "no server responds after a rotation");
    }
}
