//! `POST /mutate`, `POST /advise` and `POST /validate`: turns an HTTP request into an HTTP response, and logs and
//! counts it.
//!
//! [`crate::admission`] decides on the review. Nothing here blocks: [`super::review_pool`] runs
//! long reviews on threads of their own.
//! Invariants: a body keeps its reservation until its review has ended, even when its client has
//! gone; each request is counted once and logged once, however it ends.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::post;
use tokio::time::timeout_at;

use super::body;
use super::body_buffer::{BodyBuffer, ReceivedBody};
use super::budget::Budgets;
use super::freshness::{Freshness, Waited};
use super::review_pool::ReviewPool;
use crate::admission::{
    self, ADVISE_PATH, AdviceMode, MUTATE_PATH, MediaType, OwnerNotice, ProtocolError, Record, ReviewResponse,
    VALIDATE_PATH,
};
use crate::config::duration;
use crate::inject::{Injector, Namespace};
use crate::process::shutdown::{Lifecycle, Phase};
use crate::server::Limits;
use crate::telemetry::logging;
use crate::telemetry::metrics::{Held, Metrics};
use crate::telemetry::traces::{self, ReviewSpan};

/// Returns the snapshot for one request.
pub type Snapshot = Arc<dyn Fn() -> Arc<Injector> + Send + Sync>;
/// Returns what is known of a namespace, from memory.
pub type NamespaceLookup = Arc<dyn Fn(&str) -> Option<Arc<Namespace>> + Send + Sync>;

/// Counts the known namespaces for which something holds, from memory.
pub type NamespaceCounter = Arc<dyn Fn(&dyn Fn(&Namespace) -> bool) -> usize + Send + Sync>;

/// How long a client waits that sends no `?timeout=`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// A longer body does not wait for templates: those of many requests would use up the memory for bodies.
const MAX_WAITING_BODY: usize = 64 * 1024;
/// No API server waits longer.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What the webhook needs of the rest of the program.
pub struct Webhook {
    /// The templates and settings for one request.
    pub snapshot: Snapshot,
    /// Labels and annotations of namespaces.
    pub namespaces: NamespaceLookup,
    /// Counts the known namespaces for which something holds.
    pub count_namespaces: NamespaceCounter,
    /// Counts each request.
    pub metrics: Arc<Metrics>,
    /// How much advice about workloads is given.
    pub advice: AdviceMode,
    /// Tells the owner of a pod why it was refused, without waiting; `None` without a cluster.
    pub notify: Option<OwnerNotifier>,
    /// Whether templates may be missing that exist; `None` if they come from files alone.
    pub freshness: Option<Freshness>,
}

/// Takes a notice for the owner of a pod. It does not wait.
pub type OwnerNotifier = Arc<dyn Fn(OwnerNotice) + Send + Sync>;

/// What is reviewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reviewed {
    Pod,
    Workload,
    Template,
}

impl Reviewed {
    const fn path(self) -> &'static str {
        match self {
            Self::Pod => MUTATE_PATH,
            Self::Workload => ADVISE_PATH,
            Self::Template => VALIDATE_PATH,
        }
    }
}

struct WebhookService {
    webhook: Webhook,
    body_bytes: usize,
    body_time: Duration,
    lifecycle: Lifecycle,
    buffer: BodyBuffer,
    pool: Arc<ReviewPool>,
}

/// The routes of the webhook. Unknown paths get 404, other methods 405.
pub(in crate::server) fn router(webhook: Webhook, limits: &Limits, lifecycle: Lifecycle) -> Router {
    let gauge = webhook.metrics.in_flight_bytes();
    let budgets = Budgets::new(limits.in_flight_bytes, limits.in_flight_large_bytes, gauge);
    let service = WebhookService {
        webhook,
        body_bytes: limits.body_bytes,
        body_time: limits.body,
        lifecycle,
        buffer: BodyBuffer::new(budgets),
        pool: Arc::new(ReviewPool::new()),
    };
    let handler = |reviewed: Reviewed| {
        post(move |State(service): State<Arc<WebhookService>>, request: Request| handle(service, reviewed, request))
    };
    let router = [Reviewed::Pod, Reviewed::Workload, Reviewed::Template]
        .into_iter()
        .fold(Router::new(), |router, reviewed| router.route(reviewed.path(), handler(reviewed)));
    router.with_state(Arc::new(service))
}

async fn handle(service: Arc<WebhookService>, reviewed: Reviewed, request: Request) -> Response<Body> {
    let observer = RequestObserver::begin(&service, reviewed, request.headers());
    let review = service.respond_to(reviewed, request, observer.start).await;
    observer.end(&review);
    respond(review)
}

/// Counts and logs one request. A client that goes away drops the request wherever it waits, so
/// dropping counts too.
struct RequestObserver<'s> {
    service: &'s WebhookService,
    reviewed: Reviewed,
    start: Instant,
    is_counted: bool,
    span: Option<ReviewSpan>,
    _in_flight: Held,
}

impl<'s> RequestObserver<'s> {
    fn begin(service: &'s WebhookService, reviewed: Reviewed, headers: &HeaderMap) -> Self {
        let span = traces::begin(reviewed.path(), || headers.get("traceparent").map(HeaderValue::as_bytes));
        Self {
            service,
            reviewed,
            start: Instant::now(),
            is_counted: false,
            span,
            _in_flight: service.webhook.metrics.enter(),
        }
    }

    fn end(mut self, review: &ReviewResponse) {
        self.count(&review.record, review.warnings, Some(review.status));
    }

    fn count(&mut self, record: &Record, warnings: usize, status: Option<u16>) {
        self.is_counted = true;
        let duration = self.start.elapsed();
        let metrics = &self.service.webhook.metrics;
        match self.reviewed {
            Reviewed::Pod => metrics.observe(record, duration),
            Reviewed::Workload => metrics.observe_advice(record, duration),
            Reviewed::Template => metrics.observe_validation(record, duration),
        }
        if record.errors == [ProtocolError::Overloaded.code()] {
            metrics.shed();
        }
        match self.reviewed {
            Reviewed::Pod => logging::decision(record, duration),
            Reviewed::Workload => logging::advice(record, warnings, duration),
            Reviewed::Template => logging::validation(record, warnings, duration),
        }
        if let Some(span) = self.span.take() {
            span.end(record, status);
        }
    }
}

impl Drop for RequestObserver<'_> {
    fn drop(&mut self) {
        if !self.is_counted {
            self.count(&Record::failed(ProtocolError::ClientGone), 0, None);
        }
    }
}

impl WebhookService {
    async fn respond_to(self: &Arc<Self>, reviewed: Reviewed, request: Request, start: Instant) -> ReviewResponse {
        let (head, mut body) = request.into_parts();
        let timeout = timeout(head.uri.query());
        match self.receive(&head.headers, &mut body, timeout).await {
            Ok(received) => {
                let longest = timeout.unwrap_or(DEFAULT_TIMEOUT).min(LONGEST_TIMEOUT);
                self.review_body(reviewed, received, start + longest).await
            }
            Err(error) => {
                // A client that waits for `100 Continue` has not sent its body.
                if !head.headers.contains_key(header::EXPECT) {
                    body::discard(body);
                }
                error.into()
            }
        }
    }

    /// Reads the body of a request that may be reviewed.
    async fn receive(
        &self,
        headers: &HeaderMap,
        body: &mut Body,
        timeout: Option<Duration>,
    ) -> Result<ReceivedBody, ProtocolError> {
        if self.lifecycle.phase() == Phase::Closing {
            return Err(ProtocolError::Draining);
        }
        if !is_json(headers) {
            return Err(ProtocolError::MediaTypeUnsupported);
        }
        let time = timeout.map_or(self.body_time, |timeout| timeout.min(self.body_time));
        body::read(body, self.body_bytes, time, &self.buffer).await
    }

    async fn review_body(
        self: &Arc<Self>,
        reviewed: Reviewed,
        body: ReceivedBody,
        deadline: Instant,
    ) -> ReviewResponse {
        let review = self.review_until_known(reviewed, body);
        // After the deadline the API server no longer waits for the response.
        match timeout_at(deadline.into(), review).await {
            Ok(mut response) => {
                if let (Some(notice), Some(notify)) = (response.notice.take(), &self.webhook.notify) {
                    notify(*notice);
                }
                response
            }
            Err(_) => ProtocolError::Overloaded.into(),
        }
    }

    /// Reviews a body. If it names a template that is not known, and templates come from a cluster,
    /// the review is repeated with each new snapshot for a while: the template may just have been
    /// created.
    async fn review_until_known(self: &Arc<Self>, reviewed: Reviewed, body: ReceivedBody) -> ReviewResponse {
        let body = Arc::new(body);
        let mut wait = self.webhook.freshness.as_ref().map(Freshness::wait);
        loop {
            let service = Arc::clone(self);
            let review = self.pool.run(Arc::clone(&body), move |body| service.review(reviewed, body)).await;
            let response = review.unwrap_or_else(|_| ProtocolError::Panic.into());
            let Some(wait) = wait.as_mut().filter(|_| reviewed == Reviewed::Pod && response.record.misses_template())
            else {
                return response;
            };
            if body.bytes.len() > MAX_WAITING_BODY {
                return if wait.is_behind() { ProtocolError::TemplatesBehind.into() } else { response };
            }
            match wait.next().await {
                Waited::Changed => {}
                Waited::Current => return response,
                Waited::Behind => return ProtocolError::TemplatesBehind.into(),
            }
        }
    }

    /// One request sees one snapshot. A panic ends this request alone: no state that it could leave
    /// half changed is shared.
    fn review(&self, reviewed: Reviewed, body: &[u8]) -> ReviewResponse {
        let review = || {
            let injector = (self.webhook.snapshot)();
            let namespaces = |name: &str| (self.webhook.namespaces)(name);
            match reviewed {
                Reviewed::Pod => admission::review(&injector, namespaces, body),
                Reviewed::Workload => admission::advise(&injector, self.webhook.advice, namespaces, body),
                Reviewed::Template => {
                    admission::validate(&injector, &|holds| (self.webhook.count_namespaces)(holds), body)
                }
            }
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

/// How long the API server waits; a timeout that cannot be read is ignored.
fn timeout(query: Option<&str>) -> Option<Duration> {
    let value = query?.split('&').find_map(|pair| pair.strip_prefix("timeout="))?;
    duration::parse(value).filter(|timeout| !timeout.is_zero())
}

fn respond(review: ReviewResponse) -> Response<Body> {
    let content_type = match review.media_type {
        MediaType::Json => "application/json",
        MediaType::Text => "text/plain; charset=utf-8",
    };
    let status = StatusCode::from_u16(review.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Body::from(review.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        // With this header the API server retries within its own timeout; without it the pod fails.
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if leaves_body_unread(status) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// After these the rest of the body may still arrive, and would be read as the next request.
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
    use crate::process::shutdown;
    use crate::server::admission::budget::Size;
    use crate::server::admission::review_pool::MAX_CONCURRENT;

    fn with_lookup(
        metrics: &Arc<Metrics>,
        lookup: impl Fn(&str) -> Option<Arc<Namespace>> + Send + Sync + 'static,
    ) -> Router {
        let injector = Arc::new(Injector::new(TemplateSet::default(), Settings::default()));
        let webhook = Webhook {
            snapshot: Arc::new(move || Arc::clone(&injector)),
            namespaces: Arc::new(lookup),
            count_namespaces: Arc::new(|_| 0),
            metrics: Arc::clone(metrics),
            advice: AdviceMode::Warn,
            notify: None,
            freshness: None,
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
        let path = format!("{MUTATE_PATH}?timeout=60s");
        let request = axum::http::Request::post(path).header(header::CONTENT_TYPE, "application/json");
        request.body(Body::from(body)).expect("a request")
    }

    #[tokio::test]
    async fn a_panic_ends_one_request_alone() {
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let router = with_lookup(&metrics, |name| if name == "bad" { panic!("about {name}") } else { None });
        for padding in [0, 2 * Size::SMALL] {
            for (namespace, status) in [("good", 200), ("bad", 500), ("good", 200)] {
                let response = router.clone().oneshot(request(namespace, padding)).await.expect("a response");
                assert_eq!(response.status(), status, "{namespace} {padding}");
            }
        }
        let text = String::from_utf8(metrics.render().expect("text")).expect("UTF-8");
        assert!(text.contains("outrigger_admission_errors_total{code=\"panic\"} 2\n"), "{text}");
        assert!(text.contains("outrigger_admission_in_flight 0\n"), "{text}");
    }

    /// A server whose reviews cannot end before the sender is dropped, and how many have begun.
    fn gated(metrics: &Arc<Metrics>) -> (Router, Arc<AtomicUsize>, std::sync::mpsc::Sender<()>) {
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
        (with_lookup(metrics, lookup), working, closed)
    }

    async fn wait_for_no_reservation(metrics: &Metrics) {
        let start = Instant::now();
        while metrics.in_flight_bytes().get() != 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "reservations are never released");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Reviews that cannot end before the gate opens, all given up by their clients.
    #[tokio::test]
    async fn a_client_that_has_gone_is_counted_and_frees_its_place_only_when_the_review_ends() {
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let (router, working, closed) = gated(&metrics);
        for _ in 0..MAX_CONCURRENT + 2 {
            let given_up = router.clone().oneshot(request("demo", 2 * Size::SMALL));
            assert!(tokio::time::timeout(Duration::from_millis(100), given_up).await.is_err());
        }
        let text = String::from_utf8(metrics.render().expect("text")).expect("UTF-8");
        assert!(text.contains("outrigger_admission_errors_total{code=\"client_gone\"} 4\n"), "{text}");
        assert!(text.contains("outrigger_admission_in_flight 0\n"), "{text}");
        assert!(working.load(Ordering::SeqCst) <= MAX_CONCURRENT);
        assert!(metrics.in_flight_bytes().get() >= 2 * Size::SMALL as i64, "bodies under review are still in memory");
        drop(closed);
        assert_eq!(router.oneshot(request("demo", 2 * Size::SMALL)).await.expect("a response").status(), 200);
        wait_for_no_reservation(&metrics).await;
    }

    #[tokio::test]
    async fn a_review_that_waits_past_its_timeout_gets_503_with_retry_after() {
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        for padding in [Size::SMALL / 2, 2 * Size::SMALL] {
            let (router, working, closed) = gated(&metrics);
            let running: Vec<_> =
                (0..MAX_CONCURRENT).map(|_| tokio::spawn(router.clone().oneshot(request("demo", padding)))).collect();
            while working.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let mut impatient = request("demo", padding);
            *impatient.uri_mut() = "/mutate?timeout=300ms".parse().expect("a path");
            let response = router.clone().oneshot(impatient).await.expect("a response");
            assert_eq!(response.status(), 503);
            assert!(response.headers()["retry-after"] == "1" && response.headers()["connection"] == "close");
            drop(closed);
            for one in running {
                assert_eq!(one.await.expect("no panic").expect("a response").status(), 200);
            }
            wait_for_no_reservation(&metrics).await;
        }
        let text = String::from_utf8(metrics.render().expect("text")).expect("UTF-8");
        assert!(text.contains("outrigger_admission_shed_total 2\n"), "{text}");
        assert!(text.contains("outrigger_admission_errors_total{code=\"overloaded\"} 2\n"), "{text}");
    }

    #[test]
    fn only_json_is_accepted() {
        let is = |value: &str| {
            let value = HeaderValue::from_str(value).expect("a header's value");
            is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, value)]))
        };
        assert!(is("application/json") && is("Application/JSON; charset=utf-8") && is(" application/json ;x"));
        assert!(!is("text/plain") && !is("application/jsonp") && !is("") && !is_json(&HeaderMap::new()));
    }

    #[test]
    fn the_timeout_is_read_from_the_query() {
        assert_eq!(timeout(Some("timeout=5s")), Some(Duration::from_secs(5)));
        assert_eq!(timeout(Some("a=b&timeout=300ms")), Some(Duration::from_millis(300)));
        for unreadable in
            [None, Some(""), Some("timeout="), Some("timeout=abc"), Some("timeout=0s"), Some("xtimeout=5s")]
        {
            assert_eq!(timeout(unreadable), None, "{unreadable:?}");
        }
    }
}
