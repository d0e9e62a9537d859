//! The load generator: keep-alive TLS connections that post one review repeatedly, with as little
//! work per request as possible.
//!
//! It uses no HTTP library: it builds the request bytes once, and reads only the length and the
//! status of a response.
//!
//! Invariant: a response other than 200, or without the expected verdict, fails the bench, so that
//! no figure measures an error.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The rate of requests.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each connection sends the next request when it has its response.
    Saturating,
    /// This many requests a second on all connections together, whether or not responses arrive.
    PerSecond(u32),
}

/// The result of one round.
pub struct Round {
    pub elapsed: Duration,
    /// The latency of each request, sorted.
    pub latencies: Vec<Duration>,
}

impl Round {
    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the requests does not exceed.
    pub fn percentile(&self, part: f64) -> Duration {
        let last = self.latencies.len() - 1;
        self.latencies[((last as f64) * part).round() as usize]
    }
}

/// Open connections to one server.
pub struct Connections(Vec<Connection>);

struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Connections {
    /// Opens `count` connections to the server that this authority has certified.
    pub async fn open(address: SocketAddr, authority: &[u8], count: usize) -> io::Result<Self> {
        let connector = TlsConnector::from(Arc::new(config(authority)));
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
            let stream = connector.connect(name, stream).await?;
            connections.push(Connection { stream, buffer: Vec::with_capacity(64 * 1024) });
        }
        Ok(Self(connections))
    }

    /// The body of the response to one request.
    pub async fn post(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        let connection = self.0.first_mut().ok_or(io::ErrorKind::NotConnected)?;
        let (start, end) = connection.exchange(request).await?;
        Ok(connection.buffer[start..end].to_vec())
    }

    /// Sends one request repeatedly on all connections at once.
    pub async fn load(&mut self, request: &Arc<[u8]>, pace: Pace, duration: Duration) -> io::Result<Round> {
        let start = Instant::now();
        let count = u32::try_from(self.0.len()).map_err(io::Error::other)?;
        let tasks: Vec<_> = std::mem::take(&mut self.0)
            .into_iter()
            .zip(0..)
            .map(|(connection, index)| {
                let schedule = Schedule::new(pace, start, duration, count, index);
                tokio::spawn(connection.run(Arc::clone(request), schedule))
            })
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            let (connection, mut own) = task.await.map_err(io::Error::other)??;
            self.0.push(connection);
            latencies.append(&mut own);
        }
        let elapsed = start.elapsed();
        latencies.sort_unstable();
        Ok(Round { elapsed, latencies })
    }
}

/// The schedule of one connection.
struct Schedule {
    end: Instant,
    /// The time of the first request and the interval; no interval means: as soon as the response
    /// arrives.
    fixed: Option<(Instant, Duration)>,
}

impl Schedule {
    fn new(pace: Pace, start: Instant, duration: Duration, connections: u32, index: u32) -> Self {
        let fixed = match pace {
            Pace::Saturating => None,
            Pace::PerSecond(rate) => {
                let period = Duration::from_secs(1) * connections / rate;
                Some((start + period * index / connections, period))
            }
        };
        Self { end: start + duration, fixed }
    }
}

impl Connection {
    async fn run(mut self, request: Arc<[u8]>, mut schedule: Schedule) -> io::Result<(Self, Vec<Duration>)> {
        let mut latencies = Vec::with_capacity(4096);
        loop {
            let start = match &mut schedule.fixed {
                None => Instant::now(),
                Some((due, period)) => {
                    // The latency counts from the time when the request was due, even if the
                    // previous response was late.
                    let start = if *due > Instant::now() { wait(*due).await } else { *due };
                    *due += *period;
                    start
                }
            };
            if start >= schedule.end {
                return Ok((self, latencies));
            }
            self.exchange(&request).await?;
            latencies.push(start.elapsed());
        }
    }

    /// Sends a request and reads its response; returns the offset of the body in the buffer.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<(usize, usize)> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some(head) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else { continue };
            let end = head + 4 + content_length(&self.buffer[..head])?;
            if self.buffer.len() >= end {
                return Ok((head + 4, end));
            }
        }
    }
}

/// Waits until then and returns the actual time.
async fn wait(due: Instant) -> Instant {
    tokio::time::sleep_until(due.into()).await;
    Instant::now()
}

fn content_length(head: &[u8]) -> io::Result<usize> {
    const FIELD: &[u8] = b"content-length: ";
    let wrong = || io::Error::other(format!("an unexpected answer: {:?}", String::from_utf8_lossy(head)));
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(wrong());
    }
    let start = memchr::memmem::find(head, FIELD).ok_or_else(wrong)? + FIELD.len();
    let digits = head[start..].iter().take_while(|byte| byte.is_ascii_digit());
    Ok(digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0')))
}

/// The cipher that API servers prefer.
fn config(authority: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority).expect("a certificate")).expect("an authority");
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has this version")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The request that API servers make for this review.
pub fn request(review: &[u8]) -> Arc<[u8]> {
    let head = format!(
        "POST /mutate?timeout=5s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kube-apiserver-admission\r\nContent-Length: {}\r\n\
         Accept: application/json, */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
        review.len()
    );
    [head.as_bytes(), review].concat().into()
}
