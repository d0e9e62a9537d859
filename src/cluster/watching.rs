//! Watches objects of the cluster and resumes a failed watch with backoff.
//!
//! Invariant: a failed watch does not change the last known state.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::sleep;

use super::jitter::{Backoff, jittered};
use super::task::supervise;
use crate::telemetry::throttle::{ProblemThrottle, Urgency};

/// The last known state of an object. It may be a Secret, so the type cannot be printed.
pub(crate) enum ObjectState<K> {
    /// Not read yet.
    Unknown,
    Absent,
    Present(Arc<K>),
}

impl<K> ObjectState<K> {
    /// The object, if it is known to exist.
    pub(crate) fn present(&self) -> Option<&K> {
        match self {
            Self::Present(object) => Some(object),
            Self::Unknown | Self::Absent => None,
        }
    }
}

impl<K> Clone for ObjectState<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::Absent => Self::Absent,
            Self::Present(object) => Self::Present(Arc::clone(object)),
        }
    }
}

/// The API server ends each watch after this many seconds, and it is resumed. If the API server is
/// gone and does not end it, a timeout soon after does.
const WATCH_SECONDS: u32 = 60;
/// A page of a list is in memory as a whole, several times over while it is parsed.
const PAGE_SIZE: u32 = 100;
/// Interval at which everything is listed again. It finds what a watch missed, for example after
/// the API server's store was restored from a backup.
const RELIST_INTERVAL: Duration = Duration::from_secs(3600);

/// The configuration to watch one object, or all.
pub(super) fn config(name: Option<&str>) -> Config {
    let config = Config::default().timeout(WATCH_SECONDS).page_size(PAGE_SIZE);
    match name {
        Some(name) => config.fields(&format!("metadata.name={name}")),
        None => config,
    }
}

/// Watches one object until no receiver is left.
pub(crate) fn object<K>(api: Api<K>, name: &str) -> watch::Receiver<ObjectState<K>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (sender, receiver) = watch::channel(ObjectState::Unknown);
    let (name, config) = (name.to_owned(), config(Some(name)));
    supervise("watch", move || {
        let (api, name, config, sender) = (api.clone(), name.clone(), config.clone(), sender.clone());
        async move {
            let mut listed = false;
            let handle = |event| {
                if let Some(state) = state_after(event, &mut listed) {
                    sender.send_replace(state);
                }
            };
            tokio::select! {
                () = follow(&name, || watcher(api.clone(), config.clone()), handle) => {}
                () = sender.closed() => {}
            }
        }
    });
    receiver
}

/// The object's state after an event; `listed` is whether the list that is being read contains it.
fn state_after<K>(event: Event<K>, listed: &mut bool) -> Option<ObjectState<K>> {
    match event {
        Event::Init => {
            *listed = false;
            None
        }
        Event::InitApply(object) => {
            *listed = true;
            Some(ObjectState::Present(Arc::new(object)))
        }
        Event::InitDone if *listed => None,
        Event::InitDone | Event::Delete(_) => Some(ObjectState::Absent),
        Event::Apply(object) => Some(ObjectState::Present(Arc::new(object))),
    }
}

/// Signals that an object may have changed, without reading its content: for the Secret that only
/// the reconciler reads.
pub(super) fn changes<K>(api: Api<PartialObjectMeta<K>>, name: &str) -> watch::Receiver<()>
where
    K: Clone + Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: Resource<DynamicType = ()>,
{
    let (sender, receiver) = watch::channel(());
    let (name, config) = (name.to_owned(), config(Some(name)));
    tokio::spawn(async move {
        let handle = |event| {
            if !matches!(event, Event::Init) {
                sender.send_replace(());
            }
        };
        tokio::select! {
            () = follow(&name, || watcher(api.clone(), config.clone()), handle) => {}
            () = sender.closed() => {}
        }
    });
    receiver
}

/// Passes on the events of a watch and resumes it after every failure. Never ends.
pub(super) async fn follow<K, S>(what: &str, watch: impl Fn() -> S, mut handle: impl FnMut(Event<K>))
where
    S: Stream<Item = Result<Event<K>, Error>>,
{
    let (mut backoff, mut throttle) = (Backoff::default(), ProblemThrottle::default());
    loop {
        let mut stream = std::pin::pin!(watch());
        let mut relist = std::pin::pin!(sleep(jittered(RELIST_INTERVAL)));
        let error = loop {
            let event = tokio::select! {
                event = stream.next() => event,
                () = &mut relist => break None,
            };
            match event {
                Some(Ok(event)) => {
                    // The start of a list does not tell how it will end.
                    if !matches!(event, Event::Init | Event::InitApply(_)) {
                        backoff.succeeded();
                        throttle.clear(|| tracing::info!(what, "the watch has resumed"));
                    }
                    handle(event);
                }
                Some(Err(error)) if is_expired_version(&error) => break Some(error),
                Some(Err(error)) => report_and_back_off(&error, what, &mut backoff, &mut throttle).await,
                None => break None,
            }
        };
        if let Some(error) = error {
            report_and_back_off(&error, what, &mut backoff, &mut throttle).await;
        }
    }
}

/// Logs the problem, and waits until it is time to try again.
async fn report_and_back_off(error: &Error, what: &str, backoff: &mut Backoff, throttle: &mut ProblemThrottle) {
    let problem = explain(error);
    throttle.report(&problem, Urgency::Immediate, || {
        tracing::warn!(what, problem, "the watch failed; the last known state is used until it resumes");
    });
    sleep(backoff.failed()).await;
}

/// The API server no longer has the version that the watch would resume from.
fn is_expired_version(error: &Error) -> bool {
    matches!(error, Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

/// The error of a watch on one line.
pub(super) fn explain(error: &Error) -> String {
    match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
            super::explain(error)
        }
        Error::WatchError(status) => super::shortened(&status.message),
        Error::NoResourceVersion => "the response has no resourceVersion".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Instant;

    use futures::stream;
    use k8s_openapi::api::core::v1::Secret;
    use kube::core::Status;
    use tokio::time::timeout;

    use super::*;

    type Events = Vec<Result<Event<Secret>, Error>>;

    fn refused(code: u16) -> kube::Error {
        kube::Error::Api(Status::failure("no", "No").with_code(code).boxed())
    }

    /// Follows watches that yield these events, and then nothing. Returns the number of watches and
    /// the names of their events.
    async fn followed(watches: Vec<Events>, limit: Duration) -> (usize, Vec<&'static str>) {
        let (watches, started, mut names) = (Cell::new(watches), Cell::new(0), Vec::new());
        let watch = || {
            let mut left = watches.take();
            started.set(started.get() + 1);
            let events = if left.is_empty() { Events::new() } else { left.remove(0) };
            watches.set(left);
            stream::iter(events).chain(stream::pending())
        };
        let handle = |event: Event<Secret>| {
            names.push(match event {
                Event::Init => "init",
                Event::InitApply(_) => "listed",
                Event::InitDone => "done",
                Event::Apply(_) => "apply",
                Event::Delete(_) => "delete",
            });
        };
        _ = timeout(limit, follow("test", watch, handle)).await;
        (started.get(), names)
    }

    #[tokio::test]
    async fn consecutive_failed_lists_are_retried_with_growing_backoff() {
        let failed = || vec![Ok(Event::Init), Err(Error::InitialListFailed(refused(500)))];
        let mut events: Events = (0..4).flat_map(|_| failed()).collect();
        events.extend([Ok(Event::Init), Ok(Event::InitDone)]);
        let (started, limit) = (Instant::now(), Duration::from_secs(60));
        let seen = std::sync::Mutex::new(None);
        let handle = |event: Event<Secret>| {
            if matches!(event, Event::InitDone) {
                *seen.lock().expect("no panic") = Some(started.elapsed());
            }
        };
        let events = Cell::new(events);
        let watch = || stream::iter(events.take()).chain(stream::pending());
        tokio::select! {
            () = follow("test", watch, handle) => {}
            () = async { while seen.lock().expect("no panic").is_none() { sleep(Duration::from_millis(10)).await } } => {}
            () = sleep(limit) => {}
        }
        let taken = seen.lock().expect("no panic").expect("the list was read");
        // 0.1 + 0.2 + 0.4 + 0.8 s; if the start of each list counted as a success, it would be 0.4
        // s.
        assert!(taken >= Duration::from_millis(1500), "{taken:?}");
    }

    #[tokio::test]
    async fn an_expired_version_starts_a_new_list() {
        let first = vec![Ok(Event::Init), Ok(Event::InitDone), Err(Error::WatchStartFailed(refused(410)))];
        let second = vec![Ok(Event::Init), Ok(Event::InitDone), Err(Error::WatchStartFailed(refused(500)))];
        let (watches, names) = followed(vec![first, second], Duration::from_secs(2)).await;
        assert_eq!((watches, names.as_slice()), (2, ["init", "done", "init", "done"].as_slice()));
    }

    #[test]
    fn an_objects_state_follows_lists_changes_and_deletions() {
        let mut listed = false;
        let mut names = |events: Vec<Event<Secret>>| -> Vec<&'static str> {
            let seen = events.into_iter().filter_map(|event| state_after(event, &mut listed));
            seen.map(|seen| match seen {
                ObjectState::Unknown => "unknown",
                ObjectState::Absent => "absent",
                ObjectState::Present(_) => "present",
            })
            .collect()
        };
        let object = Secret::default;
        assert_eq!(names(vec![Event::Init, Event::InitDone]), ["absent"]);
        assert_eq!(names(vec![Event::Init, Event::InitApply(object()), Event::InitDone]), ["present"]);
        assert_eq!(names(vec![Event::Apply(object()), Event::Delete(object())]), ["present", "absent"]);
        // Deleted while the watch was interrupted.
        assert_eq!(names(vec![Event::Init, Event::InitDone]), ["absent"]);
    }
}
