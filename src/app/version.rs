//! Reads the API server's version at the start and regularly afterwards, since a cluster may be
//! upgraded.
//!
//! Invariant: an unknown version does not prevent serving; the last known version applies until
//! another is read.

use std::time::Duration;

use kube::Client;
use tokio::time::{sleep, timeout};

use crate::cluster;
use crate::cluster::jitter::{Backoff, jittered};
use crate::inject::NativeSidecars;

/// Timeout of one call; the start waits for the first one.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Upgrades take longer, and pods of both versions coexist in any case.
const REFRESH_INTERVAL: Duration = Duration::from_secs(600);

/// The API server's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerVersion {
    /// Such as `1.36.3`.
    pub text: String,
    minor: u32,
}

impl ServerVersion {
    /// Parses a version such as `v1.36.3-gke.1`.
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split(['-', '+']).next().unwrap_or_default();
        let minor = text.strip_prefix("1.")?.split('.').next()?.parse().ok()?;
        Some(Self { text: text.to_owned(), minor })
    }

    pub(super) fn native_sidecars(&self) -> NativeSidecars {
        NativeSidecars::in_version(1, self.minor)
    }
}

/// The version at the start; `None` if the API server does not respond in time.
pub(super) async fn at_start(client: &Client) -> Option<ServerVersion> {
    let version = fetch(client).await;
    if let Err(problem) = &version {
        tracing::warn!(problem, "the API server did not report its version; a recent one is assumed until it does");
    }
    version.ok()
}

async fn fetch(client: &Client) -> Result<ServerVersion, String> {
    let answer = timeout(CALL_TIMEOUT, client.apiserver_version()).await;
    let info =
        answer.map_err(|_| "it did not respond in time".to_owned())?.map_err(|error| cluster::explain(&error))?;
    let parsed = ServerVersion::parse(&info.git_version);
    parsed.ok_or_else(|| format!("it reported {:?}, expected a version such as \"v1.36.3\"", info.git_version))
}

/// Reads the version again for the lifetime of the process: soon while it is unknown, rarely
/// afterwards.
pub(super) async fn follow(client: Client, mut known: Option<ServerVersion>, on_change: impl Fn(&ServerVersion)) {
    let mut backoff = Backoff::default();
    loop {
        sleep(if known.is_some() { jittered(REFRESH_INTERVAL) } else { backoff.failed() }).await;
        let Ok(version) = fetch(&client).await else { continue };
        if known.as_ref() != Some(&version) {
            let before = known.as_ref().map(|known| known.text.as_str());
            tracing::info!(before, version = version.text, "the version of the API server has changed");
            on_change(&version);
            known = Some(version);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn versions_of_api_servers_are_parsed() {
        let cases = [
            ("v1.36.3", Some(("1.36.3", NativeSidecars::Supported))),
            ("v1.32.0-gke.100", Some(("1.32.0", NativeSidecars::Supported))),
            ("v1.31.9+k3s1", Some(("1.31.9", NativeSidecars::Unsupported))),
            ("1.30.1", Some(("1.30.1", NativeSidecars::Unsupported))),
            ("v2.0.0", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let version = ServerVersion::parse(text);
            let found = version.as_ref().map(|version| (version.text.as_str(), version.native_sidecars()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_version_unknown_at_the_start_is_read_soon() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url: http::Uri = format!("http://{}", listener.local_addr().expect("bound")).parse().expect("a URL");
        tokio::spawn(async move {
            // The first two connections are closed.
            for request in 0.. {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                if request > 1 {
                    let body = r#"{"major":"1","minor":"31","gitVersion":"v1.31.4","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    _ = stream.read(&mut [0; 4096]).await;
                    _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        });
        let client = Client::try_from(kube::Config::new(url)).expect("a client");
        assert_eq!(at_start(&client).await, None);
        let (sender, mut versions) = mpsc::unbounded_channel();
        tokio::spawn(follow(client, None, move |version: &ServerVersion| drop(sender.send(version.text.clone()))));
        let version = timeout(Duration::from_secs(60), versions.recv()).await.expect("in time");
        assert_eq!(version.as_deref(), Some("1.31.4"));
    }
}
