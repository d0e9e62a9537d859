//! The baseline: the same listener, TLS and HTTP, with a handler that reads the body and returns a
//! constant.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use axum::routing::post;
use outrigger::admission::MUTATE_PATH;
use outrigger::config::TlsVersion;
use outrigger::inject::{Injector, Settings, TemplateSet};
use outrigger::process::health::Readiness;
use outrigger::process::shutdown;
use outrigger::server::{Admin, Limits, Server, Snapshot};
use outrigger::telemetry::metrics::Metrics;
use outrigger::tls::resolver::Resolver;
use outrigger::tls::{self, CertificateSource, HandshakePolicy};

const ANSWER: &[u8] = br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"0df28fbd-5f5f-11e8-bc74-36e6bb280816","allowed":true}}"#;

/// Serves until the process is killed.
pub fn serve(directory: &Path) {
    let source = CertificateSource::SelfSigned { directory: directory.to_owned(), hosts: vec!["localhost".to_owned()] };
    let certificate = source.load(SystemTime::now()).expect("a certificate");
    let policy = HandshakePolicy { oldest: TlsVersion::V1_3, clients: None };
    let tls = tls::server_config(Arc::new(Resolver::new(certificate.key)), &policy).expect("TLS");
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let injector = Arc::new(Injector::new(TemplateSet::default(), Settings::default()));
    let snapshot: Snapshot = Arc::new(move || Arc::clone(&injector));
    let admin = Admin { readiness: Readiness::default(), metrics, snapshot, details: Arc::new(Vec::new) };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server { webhook: any, admin: any, limits: Limits::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let server = server.bind().await.expect("free ports");
        let address = server.webhook_address().expect("bound");
        eprintln!(r#"{{"webhook":"{address}","message":"ready"}}"#);
        let routes = Router::new().route(MUTATE_PATH, post(answer));
        // The server runs as long as the sender exists.
        let (_shutdown, lifecycle) = shutdown::lifecycle();
        server.run_routes(tls, routes, admin, lifecycle).await;
    });
}

async fn answer(_: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(ANSWER));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
