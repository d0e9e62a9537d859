//! A mutating webhook that the tests simulate: HTTPS on loopback, one function from pod to JSON
//! Patch.
//!
//! It simulates the other injectors of a cluster. It has no limits and trusts its caller, so it is
//! no model for a real webhook.
//!
//! Invariant: it counts every call that it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::cluster::{Cluster, Namespace};
use crate::registration;

/// The change of the webhook to a pod: the operations of a JSON Patch.
pub type Mutation = fn(&Value) -> Vec<Value>;

/// A running webhook; it ends with the cluster's runtime.
pub struct TestWebhook {
    url: String,
    calls: Arc<AtomicUsize>,
}

impl TestWebhook {
    pub fn start(cluster: &'static Cluster, mutation: Mutation) -> Self {
        let acceptor = cluster.control_plane.authority.issue().acceptor();
        let listener = cluster.runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let calls = Arc::new(AtomicUsize::new(0));
        cluster.runtime.spawn(accept(listener, acceptor, mutation, Arc::clone(&calls)));
        Self { url: format!("https://127.0.0.1:{port}/"), calls }
    }

    /// The number of calls.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Registers the webhook for the new pods of one namespace and waits until it is called. The
    /// API server calls webhooks in the order of their configurations' names.
    pub fn register(&self, configuration: &str, namespace: &Namespace) {
        let ca_bundle = BASE64.encode(namespace.cluster.control_plane.authority.pem());
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": configuration},
            "webhooks": [{
                "name": "other.tests.example", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": {"url": self.url, "caBundle": ca_bundle},
                "reinvocationPolicy": "IfNeeded",
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            }],
        });
        registration::create(namespace.cluster, &object);
        registration::wait_until_called(namespace, || self.calls() > 0);
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, mutation: Mutation, calls: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, acceptor.clone(), mutation, Arc::clone(&calls)));
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, mutation: Mutation, calls: Arc<AtomicUsize>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let answer = service_fn(move |request: Request<Incoming>| {
        let calls = Arc::clone(&calls);
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            calls.fetch_add(1, Ordering::SeqCst);
            Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(review(&body, mutation)))))
        }
    });
    // The API server notices a broken connection and fails the test's request.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

fn review(body: &[u8], mutation: Mutation) -> String {
    let review: Value = serde_json::from_slice(body).expect("the API server sends JSON");
    let patch = Value::Array(mutation(&review["request"]["object"]));
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {
            "uid": review["request"]["uid"], "allowed": true,
            "patchType": "JSONPatch", "patch": BASE64.encode(patch.to_string()),
        },
    })
    .to_string()
}
