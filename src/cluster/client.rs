//! Creates the client for the API server.
//!
//! Creating a client makes no call: an unreachable API server is noticed later and does not prevent
//! the start.
//! Invariant: no call waits for ever for an API server that does not respond, and the library
//! retries none.

use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue, USER_AGENT};
use kube::config::{InClusterError, KubeConfigOptions};
use kube::{Client, Config};

/// Longer than the interval at which an API server ends each watch (see `watching`). Without a
/// timeout, a list whose response is lost would be waited for until the process ends.
const READ_TIMEOUT: Duration = Duration::from_secs(75);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the API server's address and credentials come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionSource {
    /// The environment and the service account of a pod.
    Pod,
    /// `$KUBECONFIG`, or `~/.kube/config`.
    Kubeconfig,
}

/// Why no client could be created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(
        "cannot read the pod's service account: {0}; set automountServiceAccountToken: true on the pod, or work without a cluster with --cluster off"
    )]
    Pod(String),
    #[error("cannot read the kubeconfig: {0}; set KUBECONFIG, or work without a cluster with --cluster off")]
    Kubeconfig(String),
    #[error("cannot create a client for the API server: {0}")]
    Client(String),
}

/// Creates a client. It rereads the files of the CA and of the account's token when they change.
pub(crate) async fn connect(source: ConnectionSource) -> Result<Client, ConnectError> {
    let config = match source {
        ConnectionSource::Pod => {
            Config::incluster().map_err(|error: InClusterError| ConnectError::Pod(super::chain(&error)))?
        }
        ConnectionSource::Kubeconfig => Config::from_kubeconfig(&KubeConfigOptions::default())
            .await
            .map_err(|error| ConnectError::Kubeconfig(super::explain_kubeconfig(&error)))?,
    };
    client(config, READ_TIMEOUT)
}

/// The user agent for audit logs; API servers use the part before the slash as the name of a
/// field's owner.
pub(crate) fn user_agent() -> (HeaderName, HeaderValue) {
    (USER_AGENT, HeaderValue::from_static(concat!("outrigger/", env!("CARGO_PKG_VERSION"))))
}

fn client(mut config: Config, read_timeout: Duration) -> Result<Client, ConnectError> {
    config.connect_timeout = Some(CONNECT_TIMEOUT.min(read_timeout));
    config.read_timeout = Some(read_timeout);
    // Otherwise the idle time of a connection would count.
    config.reset_reader_on_write = true;
    // The library's own retries wait for minutes and log nothing; the callers know better when to
    // retry.
    config.default_retry = false;
    config.headers.push(user_agent());
    Client::try_from(config).map_err(|error| ConnectError::Client(super::explain(&error)))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A client of a server that reads each request, responds with `answer`, and sends nothing
    /// more.
    async fn client_of(answer: &'static [u8]) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound")).parse().expect("a URL");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                        _ = stream.write_all(answer).await;
                    }
                });
            }
        });
        client(Config::new(url), Duration::from_millis(300)).expect("a client")
    }

    #[tokio::test]
    async fn every_call_has_a_user_agent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound")).parse().expect("a URL");
        let client = client(Config::new(url), Duration::from_secs(60)).expect("a client");
        tokio::spawn(async move { client.apiserver_version().await });
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.expect("a request"));
        }
        let request = String::from_utf8(request).expect("text");
        assert!(request.contains("\r\nuser-agent: outrigger/"), "{request}");
    }

    #[test]
    fn a_kubeconfig_that_cannot_be_read_is_not_quoted() {
        for text in
            ["users:\n- name: u\n  user: {token: canary\n  }}\n", "users:\n- name: u\n  user:\n    token: [canary]\n"]
        {
            let error = kube::config::Kubeconfig::from_yaml(text).expect_err("no kubeconfig");
            assert!(error.to_string().contains("canary"), "{error}");
            let explained = super::super::explain_kubeconfig(&error);
            assert!(
                explained.contains("line 4, column") && !explained.contains("canary") && explained.lines().count() == 1,
                "{explained}"
            );
        }
    }

    #[tokio::test]
    async fn a_call_to_a_silent_api_server_times_out() {
        let started = Instant::now();
        let client = client_of(b"").await;
        client.apiserver_version().await.expect_err("nobody answers");
        assert!(started.elapsed() >= Duration::from_millis(300) && started.elapsed() < Duration::from_secs(30));
    }

    #[tokio::test]
    async fn idle_time_does_not_count_towards_the_read_timeout() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let client = client_of(answer).await;
        for _ in 0..3 {
            client.apiserver_version().await.expect("an answer");
            tokio::time::sleep(Duration::from_millis(450)).await;
        }
    }

    #[tokio::test]
    async fn a_retry_after_header_does_not_delay_the_error() {
        let busy = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 600\r\ncontent-length: 0\r\n\r\n";
        let started = Instant::now();
        client_of(busy).await.apiserver_version().await.expect_err("it is busy");
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
