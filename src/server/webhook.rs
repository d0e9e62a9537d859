//! `POST /mutate`: from an HTTP request to an HTTP response, and what is logged and counted of it.
//!
//! What is answered is [`crate::admission`]'s. Nothing here can block: ordinary reviews are answered where they are read, a
//! large one on a thread of its own, so that it holds up nobody else.
//! Invariant: each request that gets here is counted once and logged once, whatever becomes of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::post;
use tokio::sync::Semaphore;

use super::{Limits, body};
use crate::admission::{self, Answer, Content, ProtocolError, Record};
use crate::config::duration;
use crate::inject::{Injector, Namespace};
use crate::shutdown::{Lifecycle, Phase};
use crate::telemetry::logging;
use crate::telemetry::metrics::{Held, Metrics};
use crate::telemetry::traces::{self, ReviewSpan};

/// Gives the snapshot that one request is answered with.
pub type Snapshot = Arc<dyn Fn() -> Arc<Injector> + Send + Sync>;
/// Tells what is known of a namespace, from memory.
pub type NamespaceLookup = Arc<dyn Fn(&str) -> Option<Arc<Namespace>> + Send + Sync>;

/// Bodies above this size are large.
const LARGE: usize = 1024 * 1024;
/// So many large bodies are parsed at a time: as a tree, one of 9 MiB can be many times that.
const LARGE_AT_A_TIME: usize = 2;

/// Path of the webhook; the webhook configuration names the same (a test compares them).
pub const MUTATE_PATH: &str = "/mutate";

/// What the webhook needs of the rest of the program.
pub struct Webhook {
    pub snapshot: Snapshot,
    pub namespaces: NamespaceLookup,
    pub metrics: Arc<Metrics>,
}

struct Service {
    webhook: Webhook,
    body_bytes: usize,
    body_time: Duration,
    lifecycle: Lifecycle,
    large: Arc<Semaphore>,
}

/// The routes of the webhook; unknown paths are 404, other methods 405.
pub fn router(webhook: Webhook, limits: &Limits, lifecycle: Lifecycle) -> Router {
    let service = Service {
        webhook,
        body_bytes: limits.body_bytes,
        body_time: limits.body,
        lifecycle,
        large: Arc::new(Semaphore::new(LARGE_AT_A_TIME)),
    };
    Router::new().route(MUTATE_PATH, post(mutate)).with_state(Arc::new(service))
}

async fn mutate(State(service): State<Arc<Service>>, request: Request) -> Response<Body> {
    let observed = Observed::begin(&service, request.headers());
    let answer = match service.receive(request).await {
        Ok(body) => service.answer(body).await,
        Err(error) => error.into(),
    };
    observed.end(&answer.record, answer.status);
    respond(answer)
}

/// One request on its way to being counted and logged. A client that goes away ends it wherever it waits, so dropping counts.
struct Observed<'s> {
    service: &'s Service,
    start: Instant,
    is_counted: bool,
    span: Option<ReviewSpan>,
    _in_flight: Held,
}

impl<'s> Observed<'s> {
    fn begin(service: &'s Service, headers: &HeaderMap) -> Self {
        let span = traces::begin(|| headers.get("traceparent").map(HeaderValue::as_bytes));
        Self { service, start: Instant::now(), is_counted: false, span, _in_flight: service.webhook.metrics.enter() }
    }

    fn end(mut self, record: &Record, status: u16) {
        self.count(record, Some(status));
    }

    fn count(&mut self, record: &Record, status: Option<u16>) {
        self.is_counted = true;
        let duration = self.start.elapsed();
        self.service.webhook.metrics.observe(record, duration);
        logging::decision(record, duration);
        if let Some(span) = self.span.take() {
            span.end(record, status);
        }
    }
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        if !self.is_counted {
            self.count(&Record::failed(ProtocolError::ClientGone), None);
        }
    }
}

impl Service {
    /// The body of a request that may be answered.
    async fn receive(&self, request: Request) -> Result<Bytes, ProtocolError> {
        if self.lifecycle.phase() == Phase::Closing {
            return Err(ProtocolError::Draining);
        }
        if !is_json(request.headers()) {
            return Err(ProtocolError::MediaTypeUnsupported);
        }
        let time = timeout(request.uri().query()).map_or(self.body_time, |timeout| timeout.min(self.body_time));
        body::read(request.into_body(), self.body_bytes, time).await
    }

    async fn answer(self: &Arc<Self>, body: Bytes) -> Answer {
        if body.len() <= LARGE {
            return self.review(&body);
        }
        // The semaphore is never closed.
        let permit = Arc::clone(&self.large).acquire_owned().await;
        let service = Arc::clone(self);
        let review = move || {
            // Held to the end of the work: that goes on when the client is gone.
            let _permit = permit;
            service.review(&body)
        };
        let answer = tokio::task::spawn_blocking(review).await;
        answer.unwrap_or_else(|_| ProtocolError::Panic.into())
    }

    /// One request sees one snapshot. A panic is the end of this request alone: nothing it could leave half done is shared.
    fn review(&self, body: &[u8]) -> Answer {
        let review = || {
            let injector = (self.webhook.snapshot)();
            admission::review(&injector, |name| (self.webhook.namespaces)(name), body)
        };
        std::panic::catch_unwind(AssertUnwindSafe(review)).unwrap_or_else(|_| ProtocolError::Panic.into())
    }
}

/// `application/json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

/// What the API server says that it waits; one that cannot be read is as if it were not there.
fn timeout(query: Option<&str>) -> Option<Duration> {
    let value = query?.split('&').find_map(|pair| pair.strip_prefix("timeout="))?;
    duration::parse(value).filter(|timeout| !timeout.is_zero())
}

fn respond(answer: Answer) -> Response<Body> {
    let content_type = match answer.content {
        Content::Json => "application/json",
        Content::Text => "text/plain; charset=utf-8",
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        // With it the API server tries again within its own time limit; without, the pod fails.
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if leaves_body_unread(status) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// After these the rest of the body may still be on its way, and would be taken for the next request.
fn leaves_body_unread(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::SERVICE_UNAVAILABLE
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tower::ServiceExt;

    use super::*;
    use crate::inject::{Settings, TemplateSet};
    use crate::shutdown;

    fn with_lookup(
        metrics: &Arc<Metrics>,
        lookup: impl Fn(&str) -> Option<Arc<Namespace>> + Send + Sync + 'static,
    ) -> Router {
        let injector = Arc::new(Injector::new(TemplateSet::default(), Settings::default()));
        let webhook = Webhook {
            snapshot: Arc::new(move || Arc::clone(&injector)),
            namespaces: Arc::new(lookup),
            metrics: Arc::clone(metrics),
        };
        router(webhook, &Limits::default(), shutdown::lifecycle().1)
    }

    fn request(namespace: &str, padding: usize) -> Request {
        let body = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","operation":"CREATE",
            "resource":{{"group":"","version":"v1","resource":"pods"}},"namespace":"{namespace}",
            "object":{{"metadata":{{"name":"web"}},"spec":{{"containers":[{{"name":"web"}}]}}}}}}}}{}"#,
            " ".repeat(padding)
        );
        let request = axum::http::Request::post(MUTATE_PATH).header(header::CONTENT_TYPE, "application/json");
        request.body(Body::from(body)).expect("a request")
    }

    #[tokio::test]
    async fn a_panic_is_the_end_of_one_request_alone() {
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let router = with_lookup(&metrics, |name| if name == "bad" { panic!("about {name}") } else { None });
        for padding in [0, 2 * LARGE] {
            for (namespace, status) in [("good", 200), ("bad", 500), ("good", 200)] {
                let response = router.clone().oneshot(request(namespace, padding)).await.expect("an answer");
                assert_eq!(response.status(), status, "{namespace} {padding}");
            }
        }
        let text = String::from_utf8(metrics.render().expect("text")).expect("UTF-8");
        assert!(text.contains("outrigger_admission_errors_total{code=\"panic\"} 2\n"), "{text}");
        assert!(text.contains("outrigger_admission_in_flight 0\n"), "{text}");
    }

    /// Reviews that cannot end before the gate opens, all given up by their clients.
    #[tokio::test]
    async fn a_client_that_is_gone_is_counted_and_frees_no_place_before_the_work_ends() {
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let working = Arc::new(AtomicUsize::new(0));
        let (closed, gate) = std::sync::mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let lookup = {
            let working = Arc::clone(&working);
            move |_: &str| {
                working.fetch_add(1, Ordering::SeqCst);
                // Waits until the other end is gone.
                _ = gate.lock().map(|gate| gate.recv());
                None
            }
        };
        let router = with_lookup(&metrics, lookup);
        for _ in 0..LARGE_AT_A_TIME + 2 {
            let given_up = router.clone().oneshot(request("demo", 2 * LARGE));
            assert!(tokio::time::timeout(Duration::from_millis(100), given_up).await.is_err());
        }
        let text = String::from_utf8(metrics.render().expect("text")).expect("UTF-8");
        assert!(text.contains("outrigger_admission_errors_total{code=\"client_gone\"} 4\n"), "{text}");
        assert!(text.contains("outrigger_admission_in_flight 0\n"), "{text}");
        assert!(working.load(Ordering::SeqCst) <= LARGE_AT_A_TIME);
        drop(closed);
        assert_eq!(router.oneshot(request("demo", 2 * LARGE)).await.expect("an answer").status(), 200);
    }

    #[test]
    fn content_types() {
        let is = |value: &str| {
            let value = HeaderValue::from_str(value).expect("a header's value");
            is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, value)]))
        };
        assert!(is("application/json") && is("Application/JSON; charset=utf-8") && is(" application/json ;x"));
        assert!(!is("text/plain") && !is("application/jsonp") && !is("") && !is_json(&HeaderMap::new()));
    }

    #[test]
    fn timeouts_of_the_query() {
        assert_eq!(timeout(Some("timeout=5s")), Some(Duration::from_secs(5)));
        assert_eq!(timeout(Some("a=b&timeout=300ms")), Some(Duration::from_millis(300)));
        for unreadable in
            [None, Some(""), Some("timeout="), Some("timeout=abc"), Some("timeout=0s"), Some("xtimeout=5s")]
        {
            assert_eq!(timeout(unreadable), None, "{unreadable:?}");
        }
    }
}
