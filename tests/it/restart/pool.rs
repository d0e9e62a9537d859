//! A client with the manners of the API server's: it keeps connections and never sends a POST again that met a closing one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::support::{Client, Response, pause};

/// For so long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(90);
/// For one review, repetitions that the server has asked for included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that are kept for the next request.
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

    /// Posts a review; an error is a pod that fails.
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

    /// A kept connection of which nobody has heard that it has ended, the latest first; otherwise a new one.
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
