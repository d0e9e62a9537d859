//! A webhook that returns a constant response: the lower bound for the cost of any webhook.
//!
//! It reads the body, finds the uid and writes a prepared response. It allows a pod that is
//! injected already, because the API server calls it again after its own plugins have changed the
//! injected containers. It has no limits and trusts its caller.
//!
//! Invariant: it runs on its own thread, so that it shares no scheduler with the measuring client.

use std::sync::{Arc, Mutex, PoisonError};

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

use crate::cluster::Cluster;

/// The annotation that an injected pod carries.
const MARK: &str = "outrigger.dev/status";

/// A running webhook; its thread ends with the program.
pub struct Constant {
    pub url: String,
    pub ca_bundle: String,
    state: Arc<State>,
}

struct State {
    /// The response, split before and after the uid.
    answer: (String, String),
    /// The response for a pod that is injected already.
    again: (String, String),
    /// The body of the last review.
    last_review: Mutex<Bytes>,
}

impl Constant {
    /// Returns these members of the `response` in addition to `uid` and `allowed`.
    pub fn start(cluster: &Cluster, response: &Value) -> Self {
        let acceptor = cluster.control_plane.authority.issue().acceptor();
        let state =
            Arc::new(State { answer: answer(response), again: answer(&json!({})), last_review: Mutex::default() });
        let (sender, receiver) = std::sync::mpsc::channel();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
                sender
                    .send(listener.local_addr().expect("a bound listener has an address").port())
                    .expect("a receiver");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, acceptor.clone(), Arc::clone(&shared)));
                }
            });
        });
        let port = receiver.recv().expect("the webhook listens");
        let ca_bundle = BASE64.encode(cluster.control_plane.authority.pem());
        Self { url: format!("https://127.0.0.1:{port}/mutate"), ca_bundle, state }
    }

    /// The body of the last review.
    pub fn last_review(&self) -> Bytes {
        self.state.last_review.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn answer(response: &Value) -> (String, String) {
    const UID: &str = "UID";
    let mut response = response.clone();
    response["uid"] = json!(UID);
    response["allowed"] = json!(true);
    let review =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}).to_string();
    let (before, after) = review.split_once(&format!("\"{UID}\"")).expect("the inserted uid");
    (format!("{before}\""), format!("\"{after}"))
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    stream.set_nodelay(true).expect("a socket");
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            let text = state.respond(&body);
            *state.last_review.lock().unwrap_or_else(PoisonError::into_inner) = body;
            let response = Response::builder().header("content-type", "application/json");
            Ok::<_, hyper::Error>(response.body(Full::new(Bytes::from(text))).expect("a valid response"))
        }
    });
    // The API server notices a broken connection and fails the request.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl State {
    fn respond(&self, review: &[u8]) -> String {
        const KEY: &[u8] = b"\"uid\":\"";
        let start = memchr::memmem::find(review, KEY).expect("a review has a uid") + KEY.len();
        let uid = review[start..].split(|byte| *byte == b'"').next().unwrap_or_default();
        let is_again = memchr::memmem::find(review, MARK.as_bytes()).is_some();
        let (before, after) = if is_again { &self.again } else { &self.answer };
        [before, String::from_utf8_lossy(uid).as_ref(), after].concat()
    }
}
