//! A proxy in front of the API server that injects a fault into chosen requests and forwards all
//! others.
//!
//! It speaks plain HTTP, so that it can inspect requests, and calls the real API server with the
//! account of the program.
//!
//! Invariant: forwarded requests are not changed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::net::TcpListener;

use crate::cluster::Cluster;

/// The fault of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Delays the response.
    Slow(Duration),
    /// Refuses the request with this status.
    Status(u16),
    /// Returns the response of a proxy that knows nothing of Kubernetes.
    Garbage,
    /// Forwards the request and loses the response.
    Lost,
    /// Returns this JSON for any request.
    Body(&'static str),
}

/// Chooses the fault by the number of the request and its path.
type Choice = Arc<dyn Fn(usize, &str) -> Fault + Send + Sync>;

/// A running proxy that injects faults.
pub struct FaultyApiServer {
    pub address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl FaultyApiServer {
    pub fn start(
        cluster: &Cluster,
        client: Client,
        fault: impl Fn(usize, &str) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let (asked, fault): (_, Choice) = (Arc::new(AtomicUsize::new(0)), Arc::new(fault));
        let listener = cluster.runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound listener has an address");
        cluster.runtime.spawn(accept(listener, client, Arc::clone(&asked), fault));
        Self { address, asked }
    }

    /// The number of requests so far.
    pub fn requests(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, client: Client, asked: Arc<AtomicUsize>, fault: Choice) {
    while let Ok((stream, _)) = listener.accept().await {
        let (client, asked, fault) = (client.clone(), Arc::clone(&asked), Arc::clone(&fault));
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let fault = fault(asked.fetch_add(1, Ordering::SeqCst), request.uri().path());
                answer(client.clone(), request, fault)
            });
            // Broken connections are the purpose of this proxy.
            _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(client: Client, request: Request<Incoming>, fault: Fault) -> io::Result<Response<Body>> {
    match fault {
        Fault::None => {}
        Fault::Slow(time) => tokio::time::sleep(time).await,
        Fault::Status(code) => return Ok(refused(code)),
        Fault::Body(text) => return Ok(Response::new(Body::from(text.as_bytes().to_vec()))),
        Fault::Garbage => return Ok(Response::new(Body::from(b"<html>nothing to see here</html>".to_vec()))),
        Fault::Lost => {
            passed_on(client, request).await?;
            return Err(io::Error::other("the answer is lost"));
        }
    }
    passed_on(client, request).await
}

async fn passed_on(client: Client, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (mut head, body) = request.into_parts();
    for name in [header::AUTHORIZATION, header::HOST, header::CONNECTION, header::CONTENT_LENGTH] {
        head.headers.remove(name);
    }
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut answer =
        client.send(Request::from_parts(head, Body::from(body.to_vec()))).await.map_err(io::Error::other)?;
    answer.headers_mut().remove(header::CONNECTION);
    Ok(answer)
}

fn refused(code: u16) -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "message": format!("refused with {code} by the test"), "reason": "Test",
    });
    let mut response = Response::new(Body::from(status.to_string().into_bytes()));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
