//! Reads the state of a replica from its admin listener, over a connection or the pod proxy.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::super::observations::{AdminReport, ReplicaTemplate, ReplicaVersion};

/// Five thousand templates take about one MiB.
const MAX_RESPONSE: usize = 16 * 1024 * 1024;

/// Status and body of a response.
type AdminResponse = (StatusCode, String);

#[derive(Deserialize)]
struct ApiStatus {
    message: String,
}

#[derive(Deserialize)]
struct TemplateList {
    templates: Vec<ReplicaTemplate>,
}

const PATHS: [&str; 3] = ["/readyz?verbose", "/version", "/templates"];

/// Reads the state over a connection to the listener.
pub(super) async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    limit: Duration,
) -> Result<AdminReport, String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // It ends with the sender; its errors appear in the requests.
    let driver = tokio::spawn(connection);
    let mut pages = Vec::new();
    for path in PATHS {
        let request = Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new());
        let request = request.map_err(|error| error.to_string())?;
        let page = timeout(limit, async {
            // The connection must first have finished the previous response.
            sender.ready().await.map_err(|error| error.to_string())?;
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let body =
                Limited::new(response.into_body(), MAX_RESPONSE).collect().await.map_err(|error| error.to_string())?;
            Ok::<AdminResponse, String>((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        });
        pages.push(page.await.map_err(|_| format!("GET {path}: no response within {limit:?}"))??);
    }
    driver.abort();
    read(&pages)
}

/// Reads the state through the API server, which calls the pod's address.
pub(super) async fn through_proxy(
    client: &Client,
    namespace: &str,
    pod: &str,
    port: u16,
    limit: Duration,
) -> Result<AdminReport, String> {
    let mut pages = Vec::new();
    for path in PATHS {
        let uri = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}");
        let request = Request::get(uri).body(Body::empty()).map_err(|error| error.to_string())?;
        let page = timeout(limit, async {
            let response = client.send(request).await.map_err(|error| crate::cluster::explain(&error))?;
            let status = response.status();
            let body =
                Limited::new(response.into_body(), MAX_RESPONSE).collect().await.map_err(|error| error.to_string())?;
            Ok::<AdminResponse, String>((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        });
        pages.push(page.await.map_err(|_| format!("GET {path}: no response within {limit:?}"))??);
    }
    read(&pages)
}

fn read(pages: &[AdminResponse]) -> Result<AdminReport, String> {
    let [(status, ready), version, templates] = pages else { return Err("it does not respond".to_owned()) };
    let is_readiness = matches!(ready.lines().last(), Some("ok" | "not ready"));
    if !is_readiness {
        return Err(format!("expected the admin listener of Outrigger, found status {status}: {}", first_line(ready)));
    }
    let version: ReplicaVersion = parse(version, "/version")?;
    let TemplateList { templates } = parse(templates, "/templates")?;
    let lines = |prefix: &str| ready.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned).collect();
    Ok(AdminReport { version, not_ready: lines("[-]"), notes: lines("[!]"), templates })
}

fn parse<'p, T: Deserialize<'p>>((status, text): &'p AdminResponse, path: &str) -> Result<T, String> {
    serde_json::from_str(text)
        .map_err(|_| format!("GET {path}: expected JSON, found status {status}: {}", first_line(text)))
}

/// The message of a Status object, or the first line of any other text.
fn first_line(text: &str) -> String {
    let status = serde_json::from_str::<ApiStatus>(text).map(|status| status.message);
    let text = status.as_deref().unwrap_or(text);
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> AdminResponse {
        (StatusCode::OK, text.to_owned())
    }

    #[test]
    fn the_state_of_a_replica_is_read() {
        let pages = [
            page("[+]templates ok\n[-]tls-self-call not ready\n[!]certificate: late\nnot ready\n"),
            page(r#"{"version": "0.1.0", "revision": null, "features": []}"#),
            page(r#"{"templates": [{"name": "a", "state": "active", "revision": "r", "source": "a.yaml"}]}"#),
        ];
        let admin = read(&pages).expect("an answer");
        assert_eq!((admin.version.version.as_str(), admin.templates[0].name.as_str()), ("0.1.0", "a"));
        assert_eq!(
            (admin.not_ready, admin.notes),
            (vec!["tls-self-call not ready".to_owned()], vec!["certificate: late".to_owned()])
        );
    }

    #[test]
    fn other_servers_are_reported() {
        let status = page(r#"{"kind": "Status", "message": "error trying to reach service"}"#);
        let problem = read(&[status.clone(), status.clone(), status]).expect_err("no replica");
        let expected = "expected the admin listener of Outrigger, found status 200 OK: error trying to reach service";
        assert_eq!(problem, expected);
        assert!(read(&[page("ok\n"), page("404"), page("404")]).is_err_and(|problem| problem.contains("/version")));
    }
}
