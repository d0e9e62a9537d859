//! Passes the template objects of one kind, and every change of them, to the app.
//!
//! It lists once, watches from there, and lists again only where the watch cannot go on, and once
//! an hour. Invariants: a failed call takes nothing away that was passed on before; a kind that was
//! there counts as missing only after the API server has not had it for a while; a slow app slows
//! the list and the watch down, and blocks no thread.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use kube::core::WatchEvent;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::health::{FeedHealth, ListState};
use super::object::ApiObject;
use super::seen::SeenStatuses;
use super::source::TemplateSource;
use crate::api::template_object::{TemplateChange, TemplateKind};
use crate::cluster::explain;
use crate::cluster::jitter::{Backoff, jittered};
use crate::telemetry::metrics::ClusterMetrics;
use crate::telemetry::throttle::{ProblemThrottle, Urgency};

/// The API server ends each watch after this many seconds, and it is resumed.
const WATCH_SECONDS: u32 = 30;
/// The same after a failure. Two seconds before the end, the API server tells how far it is, so
/// that it is soon known that nothing is missing.
const RECOVERY_SECONDS: u32 = 5;
/// How long a page of a list may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a watch may take to begin, and how much longer than asked for it may last. An API
/// server that vanishes without a word is noticed after so much more than the length of a watch.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval at which everything is listed again. It finds what a watch missed, for example after
/// the API server's store was restored from a backup.
const RELIST_INTERVAL: Duration = Duration::from_secs(3600);
/// Between two looks for a kind that is missing; and for how long a kind that was there has to be
/// gone until it counts as missing.
const MISSING_INTERVAL: Duration = Duration::from_secs(30);
/// Between two looks for a kind that is missing. Short, since a template can be created as soon as its kind
/// is there.
const MISSING_POLL: Duration = Duration::from_secs(2);
/// A watch that ends sooner is resumed with backoff.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// Calls back after each change that was sent, once a callback is set.
#[derive(Clone, Default)]
pub struct Wakeup(Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>);

impl Wakeup {
    /// Sets the callback, once, and calls it. It must not block.
    pub fn set(&self, callback: impl Fn() + Send + Sync + 'static) {
        _ = self.0.set(Box::new(callback));
        // For the changes that were sent before.
        self.call();
    }

    fn call(&self) {
        if let Some(callback) = self.0.get() {
            callback();
        }
    }
}

/// Follows the objects of one kind.
#[derive(Clone)]
pub(super) struct Feed<S> {
    pub source: S,
    pub kind: TemplateKind,
    pub changes: mpsc::Sender<TemplateChange>,
    pub wakeup: Wakeup,
    pub health: FeedHealth,
    pub seen: SeenStatuses,
    pub metrics: ClusterMetrics,
}

/// What went wrong lately.
#[derive(Default)]
struct Trouble {
    backoff: Backoff,
    throttle: ProblemThrottle,
    /// Since when the API server does not have the kind.
    missing: Option<Instant>,
}

/// How a watch ended.
enum WatchEnd {
    /// The API server ended it.
    Ended,
    /// It can be resumed from the last version.
    Failed(String),
    /// Everything has to be listed again.
    Unusable(String),
}

impl<S: TemplateSource> Feed<S> {
    /// Lists and watches; never ends.
    pub(super) async fn run(self) {
        let mut trouble = Trouble::default();
        loop {
            match self.list().await {
                Ok(version) => {
                    self.succeeded(&mut trouble);
                    self.health.listed_as(self.kind, ListState::Listed);
                    self.show_health();
                    self.follow(version, &mut trouble).await;
                }
                Err(ListError::Api(error)) if is_status(&error, 404) && self.is_gone(&mut trouble) => {
                    self.miss().await;
                    sleep(jittered(MISSING_POLL)).await;
                }
                Err(error) => {
                    if !matches!(&error, ListError::Api(error) if is_status(error, 404)) {
                        trouble.missing = None;
                    }
                    self.report_and_back_off(&error.to_string(), &mut trouble).await;
                }
            }
        }
    }

    /// Whether a kind that was not found is really missing. An API server that starts, or a proxy
    /// before it, may not know it for a moment.
    fn is_gone(&self, trouble: &mut Trouble) -> bool {
        let since = *trouble.missing.get_or_insert_with(Instant::now);
        self.health.list_state(self.kind) != ListState::Listed || since.elapsed() >= MISSING_INTERVAL
    }

    /// The API server does not have the kind.
    async fn miss(&self) {
        if self.health.list_state(self.kind) != ListState::Missing {
            tracing::warn!(
                kind = self.kind.kind(),
                "the kind does not exist; apply the CustomResourceDefinitions of the installation to use template objects"
            );
            self.seen.begin_list(self.kind);
            self.seen.end_list(self.kind);
            self.send(TemplateChange::KindMissing(self.kind)).await;
        }
        self.health.listed_as(self.kind, ListState::Missing);
        self.show_health();
    }

    /// Passes on all objects. Returns the version that they are of.
    async fn list(&self) -> Result<String, ListError> {
        let mut page = self.page(None).await?;
        // Not earlier: while there is no API server, no list begins.
        self.seen.begin_list(self.kind);
        self.send(TemplateChange::ListBegins(self.kind)).await;
        loop {
            for object in page.objects {
                self.apply(object, SeenStatuses::listed).await;
            }
            let Some(next) = page.next else { break };
            page = self.page(Some(next)).await?;
        }
        if page.version.is_empty() {
            return Err(ListError::NoVersion);
        }
        self.seen.end_list(self.kind);
        self.send(TemplateChange::ListEnds(self.kind)).await;
        Ok(page.version)
    }

    async fn page(&self, next: Option<super::source::NextPage>) -> Result<super::source::Page, ListError> {
        let page = timeout(PAGE_TIMEOUT, self.source.page(self.kind, next)).await;
        page.map_err(|_| ListError::Timeout)?.map_err(ListError::Api)
    }

    /// Watches until everything has to be listed again.
    async fn follow(&self, mut version: String, trouble: &mut Trouble) {
        let relist = Instant::now() + jittered(RELIST_INTERVAL);
        while Instant::now() < relist {
            let (started, was_broken) = (Instant::now(), self.health.is_broken(self.kind));
            let seconds = if was_broken { RECOVERY_SECONDS } else { WATCH_SECONDS };
            match self.watch(&mut version, seconds, trouble).await {
                WatchEnd::Ended => {
                    if started.elapsed() < SHORT_WATCH {
                        sleep(trouble.backoff.failed()).await;
                    }
                    // It never said that nothing is missing.
                    if was_broken && self.health.is_broken(self.kind) {
                        return;
                    }
                }
                WatchEnd::Failed(problem) => self.report_and_back_off(&problem, trouble).await,
                WatchEnd::Unusable(problem) => return self.report_and_back_off(&problem, trouble).await,
            }
        }
    }

    /// Passes on what happens after `version`, which it moves forward.
    async fn watch(&self, version: &mut String, seconds: u32, trouble: &mut Trouble) -> WatchEnd {
        let silent = || WatchEnd::Failed(NO_RESPONSE.to_owned());
        let deadline = Instant::now() + Duration::from_secs(u64::from(seconds)) + SILENCE_TIMEOUT;
        let stream = match timeout(SILENCE_TIMEOUT, self.source.watch(self.kind, version.clone(), seconds)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return watch_error(&error),
            Err(_) => return silent(),
        };
        let mut stream = std::pin::pin!(stream);
        loop {
            let event = match timeout_at(deadline, stream.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => return watch_error(&error),
                Ok(None) => return WatchEnd::Ended,
                Err(_) => return silent(),
            };
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    move_to(version, object.resource_version());
                    self.apply(object, SeenStatuses::watched).await;
                }
                WatchEvent::Deleted(object) => {
                    move_to(version, object.resource_version());
                    self.delete(&object).await;
                }
                // Everything before it has arrived.
                WatchEvent::Bookmark(bookmark) => {
                    move_to(version, &bookmark.metadata.resource_version);
                    self.succeeded(trouble);
                    self.health.recovered(self.kind);
                    self.show_health();
                }
                WatchEvent::Error(status) => {
                    return watch_error(&kube::Error::Api(status));
                }
            }
        }
    }

    async fn apply(
        &self,
        object: ApiObject,
        see: impl FnOnce(&SeenStatuses, &crate::api::template_object::TemplateObject, &str),
    ) {
        let Some(key) = object.key(self.kind) else { return };
        let version = object.resource_version().to_owned();
        let object = object.into_template(key);
        see(&self.seen, &object, &version);
        self.send(TemplateChange::Applied(Box::new(object))).await;
    }

    async fn delete(&self, object: &ApiObject) {
        let Some(key) = object.key(self.kind) else { return };
        self.seen.deleted(&key);
        self.send(TemplateChange::Deleted(key)).await;
    }

    /// Waits until the app has room. A change counts from the moment it can be received.
    async fn send(&self, change: TemplateChange) {
        let Ok(permit) = self.changes.reserve().await else {
            // The app has ended, and the process will.
            return std::future::pending().await;
        };
        self.health.count();
        permit.send(change);
        self.wakeup.call();
    }

    fn succeeded(&self, trouble: &mut Trouble) {
        trouble.backoff.succeeded();
        trouble.missing = None;
        trouble.throttle.clear(|| tracing::info!(kind = self.kind.kind(), "template objects are followed again"));
    }

    async fn report_and_back_off(&self, problem: &str, trouble: &mut Trouble) {
        self.health.failed(self.kind, problem);
        self.show_health();
        trouble.throttle.report(problem, Urgency::Immediate, || {
            let kind = self.kind.kind();
            tracing::warn!(kind, problem, "template objects cannot be followed; the last known ones are used");
        });
        sleep(trouble.backoff.failed()).await;
    }

    fn show_health(&self) {
        self.metrics.template_watch_healthy(self.health.is_healthy());
    }
}

const NO_RESPONSE: &str = "the API server did not respond in time";

/// Why a list failed.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("{}", explain(.0))]
    Api(kube::Error),
    #[error("{NO_RESPONSE}")]
    Timeout,
    #[error("the response has no resourceVersion")]
    NoVersion,
}

fn move_to(version: &mut String, next: &str) {
    if !next.is_empty() {
        next.clone_into(version);
    }
}

fn watch_error(error: &kube::Error) -> WatchEnd {
    let problem = explain(error);
    // An unreadable object would come again and again.
    let is_unusable = is_status(error, 410) || is_status(error, 404) || matches!(error, kube::Error::SerdeError(_));
    if is_unusable { WatchEnd::Unusable(problem) } else { WatchEnd::Failed(problem) }
}

fn is_status(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

#[cfg(test)]
mod tests;
