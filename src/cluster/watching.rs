//! Watches: one object of the cluster by its name, and what all watches have in common.
//!
//! Invariant: a watch that breaks changes nothing of what is known.

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

/// What is known of an object. It may be a Secret, so it cannot be printed.
pub enum ObjectState<K> {
    /// Nothing was heard yet.
    Unknown,
    Absent,
    Present(Arc<K>),
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

/// A watch is ended by the API server after so many seconds, and taken up again. An API server that ends it no more is gone: soon
/// after that the watch is taken up elsewhere.
const WATCH_SECONDS: u32 = 60;
/// A page of a list is in memory as a whole, and several times over while it is read.
const PAGE_SIZE: u32 = 100;
/// After so long everything is read anew: what a watch has missed, for example because the API server's store was set back, is
/// found then.
const RELIST_INTERVAL: Duration = Duration::from_secs(3600);

/// What to watch: one object, or all.
pub fn config(name: Option<&str>) -> Config {
    let config = Config::default().timeout(WATCH_SECONDS).page_size(PAGE_SIZE);
    match name {
        Some(name) => config.fields(&format!("metadata.name={name}")),
        None => config,
    }
}

/// Watches one object until nobody wants to know any more.
pub fn object<K>(api: Api<K>, name: &str) -> watch::Receiver<ObjectState<K>>
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

/// What an event says of the one object; `listed` is whether the list that is being read has it.
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

/// Tells that an object may have changed, without ever having its content: for a Secret that only its reconciler reads.
pub fn changes<K>(api: Api<PartialObjectMeta<K>>, name: &str) -> watch::Receiver<()>
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

/// Passes on what comes of a watch, and takes it up again whatever happens to it. Never ends.
pub async fn follow<K, S>(what: &str, watch: impl Fn() -> S, mut handle: impl FnMut(Event<K>))
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
                    // That a list begins says nothing of how it will end.
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

/// Says so, and waits until it is time to try again.
async fn report_and_back_off(error: &Error, what: &str, backoff: &mut Backoff, throttle: &mut ProblemThrottle) {
    let problem = explain(error);
    throttle.report(&problem, Urgency::Immediate, || {
        tracing::warn!(what, problem, "the watch failed; the last known state is used until it resumes");
    });
    sleep(backoff.failed()).await;
}

/// The API server remembers too little to go on from where we were, and says so instead of beginning a watch.
fn is_expired_version(error: &Error) -> bool {
    matches!(error, Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

/// The error of a watch on one line.
pub fn explain(error: &Error) -> String {
    match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
            super::explain(error)
        }
        Error::WatchError(status) => super::one_line(&status.message),
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

    /// Follows watches that bring these events, and then nothing; how many watches there were, and the names of their events.
    async fn followed(watches: Vec<Events>, limit: Duration) -> (usize, Vec<&'static str>) {
        let (watches, begun, mut names) = (Cell::new(watches), Cell::new(0), Vec::new());
        let watch = || {
            let mut left = watches.take();
            begun.set(begun.get() + 1);
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
        (begun.get(), names)
    }

    #[tokio::test]
    async fn lists_that_fail_one_after_the_other_are_tried_less_and_less_often() {
        let failed = || vec![Ok(Event::Init), Err(Error::InitialListFailed(refused(500)))];
        let mut events: Events = (0..4).flat_map(|_| failed()).collect();
        events.extend([Ok(Event::Init), Ok(Event::InitDone)]);
        let (begun, limit) = (Instant::now(), Duration::from_secs(60));
        let seen = std::sync::Mutex::new(None);
        let handle = |event: Event<Secret>| {
            if matches!(event, Event::InitDone) {
                *seen.lock().expect("no panic") = Some(begun.elapsed());
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
        // 0.1 + 0.2 + 0.4 + 0.8 s; were each list a success that begins, it would be 0.4 s.
        assert!(taken >= Duration::from_millis(1500), "{taken:?}");
    }

    #[tokio::test]
    async fn a_version_that_is_forgotten_is_no_place_to_go_on_from() {
        let first = vec![Ok(Event::Init), Ok(Event::InitDone), Err(Error::WatchStartFailed(refused(410)))];
        let second = vec![Ok(Event::Init), Ok(Event::InitDone), Err(Error::WatchStartFailed(refused(500)))];
        let (watches, names) = followed(vec![first, second], Duration::from_secs(2)).await;
        assert_eq!((watches, names.as_slice()), (2, ["init", "done", "init", "done"].as_slice()));
    }

    #[test]
    fn one_object_is_seen_when_it_is_listed_changed_or_gone() {
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
        // Deleted while nobody watched.
        assert_eq!(names(vec![Event::Init, Event::InitDone]), ["absent"]);
    }
}
