//! The clients of a load test: an API server, and hostile clients.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::support::client::tcp;
use crate::support::{Client, Response, pause};

/// How long an API server waits for a review, its tries after a 503 included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the server is, and until when it is spoken to.
#[derive(Clone)]
pub struct Peer {
    pub address: SocketAddr,
    pub tls: Arc<ClientConfig>,
    pub stop: Arc<AtomicBool>,
}

/// What became of the requests of one peer.
#[derive(Default)]
pub struct Report {
    /// How long each took to its end; of the good ones those that ended well.
    pub latencies: Vec<Duration>,
    /// Answers that asked to come again.
    pub again: usize,
    /// Connections that ended without an answer.
    pub cut_off: usize,
    pub failures: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ended, again, cut_off, failed) = (self.latencies.len(), self.again, self.cut_off, self.failures.len());
        let [p50, p99, longest] = [500, 990, 1000].map(|thousandth| self.latency(thousandth));
        write!(f, "{ended} ended (p50 {p50:?}, p99 {p99:?}, longest {longest:?}), ")?;
        write!(f, "{again} asked to come again, {cut_off} cut off, {failed} failed")
    }
}

impl Report {
    pub fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.again += other.again;
        self.cut_off += other.cut_off;
        self.failures.extend(other.failures);
    }

    /// The latency that so many of a thousand requests did not exceed.
    pub fn latency(&self, of_a_thousand: usize) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * of_a_thousand / 1000).min(sorted.len().saturating_sub(1));
        sorted.get(index).copied().unwrap_or_default()
    }
}

impl Peer {
    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn connect(&self) -> io::Result<Client> {
        Client::connect(self.address, Arc::clone(&self.tls))
    }

    /// Does as an API server does: keeps its connection, never repeats a request that met a closed
    /// one, and comes again after a 503 that says when, within its time. A request a `pace`, none
    /// of which may fail.
    pub fn api_server(&self, bodies: &[Vec<u8>], pace: Duration) -> Report {
        let (mut report, mut connection) = (Report::default(), None);
        let mut due = Instant::now();
        for body in bodies.iter().cycle() {
            if self.is_over() {
                break;
            }
            let start = Instant::now();
            match self.review(&mut connection, body, &mut report.again) {
                Ok(()) => report.latencies.push(start.elapsed()),
                Err(failure) => report.failures.push(format!("{failure} after {:?}", start.elapsed())),
            }
            due = (due + pace).max(Instant::now());
            pause(due.saturating_duration_since(Instant::now()));
        }
        report
    }

    fn review(&self, connection: &mut Option<Client>, body: &[u8], again: &mut usize) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let mut client = match connection.take() {
                Some(client) => client,
                None => self.connect().map_err(|error| format!("no connection: {error}"))?,
            };
            let response = post(&mut client, body).map_err(|error| format!("no answer: {error}"))?;
            if response.header("connection") != Some("close") {
                *connection = Some(client);
            }
            match (response.status, response.header("retry-after")) {
                (200, _) if response.json()["response"]["allowed"] == true => return Ok(()),
                (503, Some("1")) if start.elapsed() + Duration::from_secs(1) < TIMEOUT => {
                    *again += 1;
                    pause(Duration::from_secs(1));
                }
                (status, _) => return Err(format!("{status}: {}", response.text())),
            }
        }
    }

    /// One request over a connection of its own.
    pub fn post(&self, body: &[u8]) -> Response {
        self.connect().and_then(|mut client| post(&mut client, body)).expect("an answer")
    }

    /// Sends one body after the other, each over a connection of its own, whatever becomes of them.
    /// Only answers that say that the server is at fault are failures.
    pub fn send_for_ever<'b>(&self, bodies: impl Iterator<Item = &'b Vec<u8>> + Clone) -> Report {
        let mut report = Report::default();
        for body in bodies.cycle() {
            if self.is_over() {
                break;
            }
            let start = Instant::now();
            let response = self.connect().and_then(|mut client| post(&mut client, body));
            report.latencies.push(start.elapsed());
            match response {
                Ok(response) if response.status == 503 => report.again += 1,
                Ok(response) if response.status == 500 && !response.text().starts_with("expression_failed") => {
                    report.failures.push(response.text());
                }
                Ok(_) => {}
                // A client that floods the server may be cut off.
                Err(_) => report.cut_off += 1,
            }
        }
        report
    }

    /// Connections that send nothing.
    pub fn silent(&self, count: usize) -> Vec<TcpStream> {
        (0..count).map(|_| tcp(self.address).expect("a connection")).collect()
    }

    /// Clients that send one byte of their text every now and then, and begin anew when they are
    /// cut off.
    pub fn slow(&self, count: usize, text: &[u8]) {
        let mut clients: Vec<Option<(Client, usize)>> = (0..count).map(|_| None).collect();
        while !self.is_over() {
            for slot in &mut clients {
                if self.is_over() {
                    return;
                }
                let (mut client, sent) = match slot.take() {
                    Some(begun) => begun,
                    None => match self.connect() {
                        Ok(client) => (client, 0),
                        Err(_) => continue,
                    },
                };
                // As much at once as is no news, a byte a round then.
                let next = if sent == 0 { text.len() / 2 } else { sent + 1 };
                if next <= text.len() && client.send(&text[sent..next]).is_ok() {
                    *slot = Some((client, next));
                }
            }
            pause(Duration::from_millis(300));
        }
    }
}

/// Posts a review; what the server says before all is sent counts as its answer.
fn post(client: &mut Client, body: &[u8]) -> io::Result<Response> {
    let head = format!(
        "POST /mutate?timeout=10s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let sent = client.send(head.as_bytes()).and_then(|()| client.send(body));
    client.receive().map_err(|error| sent.err().unwrap_or(error))
}
