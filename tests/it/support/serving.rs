//! The real binary as a server that is ready, with a client of its webhook.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use serde_json::Value;

use super::client::client_config;
use super::{Client, Process, Response};

/// A running `outrigger serve`.
pub struct Serving {
    pub process: Process,
    /// A connection to the webhook.
    pub client: Client,
    webhook: SocketAddr,
    config: Arc<ClientConfig>,
    admin: SocketAddr,
}

impl Serving {
    /// Starts the server with these additional arguments in `directory`, which keeps its
    /// certificate.
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        Self::start_as(directory, &[&["--dev"], arguments].concat())
    }

    /// Starts the server without `--dev`, with the certificate that an earlier one created in
    /// `directory`.
    pub fn with_certificate(directory: &Path, arguments: &[&str]) -> Self {
        let certificate = ["--tls-cert=.outrigger/tls.crt", "--tls-key=.outrigger/tls.key"];
        Self::start_as(directory, &[&certificate, arguments].concat())
    }

    fn start_as(directory: &Path, arguments: &[&str]) -> Self {
        let fixed = ["serve", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
        let process = Process::start(directory, &[&fixed, arguments].concat());
        process.wait_for_log("ready");
        let log = process.stderr();
        let ca = std::fs::read(directory.join(".outrigger/ca.crt")).expect("an authority");
        let webhook = address(&log, "webhook");
        let config = Arc::new(client_config(&ca));
        let client = Client::connect(webhook, Arc::clone(&config)).expect("a connection");
        Self { process, client, webhook, config, admin: address(&log, "admin") }
    }

    /// Another connection to the webhook.
    pub fn connect(&self) -> Client {
        Client::connect(self.webhook, Arc::clone(&self.config)).expect("a connection")
    }

    /// Sends a GET to the admin listener.
    pub fn admin(&self, path: &str) -> Response {
        Client::connect_plain(self.admin).expect("a connection").get(path)
    }

    /// The status with which the admin listener responds to another method.
    pub fn admin_method(&self, method: &str, path: &str) -> u16 {
        let mut client = Client::connect_plain(self.admin).expect("a connection");
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).expect("sent");
        client.receive_head().expect("an answer").status
    }
}

/// The address of a listener in a JSON or text log.
fn address(log: &str, listener: &str) -> SocketAddr {
    let line = log.lines().find(|line| line.contains("listening")).unwrap_or_else(|| panic!("nothing listens: {log}"));
    let text = match serde_json::from_str::<Value>(line) {
        Ok(line) => line[listener].as_str().map(str::to_owned),
        Err(_) => {
            let rest = line.split(&format!("{listener}=")).nth(1);
            rest.and_then(|rest| rest.split_whitespace().next()).map(str::to_owned)
        }
    };
    let address = text.and_then(|text| text.parse().ok());
    address.unwrap_or_else(|| panic!("no address of {listener} in {line}"))
}
