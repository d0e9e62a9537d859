//! A client that behaves like the API server's: it keeps connections and never repeats a POST that
//! met a closing one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::support::{Client, Response, pause};

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(90);
/// The limit for one review, including retries that the server has requested.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Idle keep-alive connections.
pub struct Pool {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    idle: Vec<(Instant, Client)>,
    pub dialled: usize,
}

impl Pool {
    pub fn new(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        Self { address, config, idle: Vec::new(), dialled: 0 }
    }

    /// Posts a review; an error is a failed pod.
    pub fn post(&mut self, body: &[u8]) -> Result<Response, String> {
        let start = Instant::now();
        loop {
            let mut client = self.connection()?;
            let response = client.try_post(body).map_err(|error| format!("the connection died: {error}"))?;
            if response.header("connection") != Some("close") {
                self.idle.push((Instant::now(), client));
            }
            let again = matches!(response.status, 429 | 503).then(|| response.header("retry-after")).flatten();
            let Some(wait) = again.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs) else {
                return Ok(response);
            };
            if start.elapsed() + wait >= TIMEOUT {
                return Err(format!("still {} after {:?}", response.status, start.elapsed()));
            }
            pause(wait);
        }
    }

    /// The most recent idle connection that is not known to be closed; otherwise a new one.
    fn connection(&mut self) -> Result<Client, String> {
        while let Some((since, client)) = self.idle.pop() {
            if since.elapsed() < IDLE && !client.has_ended() {
                return Ok(client);
            }
        }
        self.dialled += 1;
        Client::connect(self.address, Arc::clone(&self.config)).map_err(|error| format!("no connection: {error}"))
    }
}
