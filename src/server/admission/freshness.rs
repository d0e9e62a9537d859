//! What becomes of a request that names an unknown template while templates come from a cluster.
//!
//! A template and a pod that asks for it are often created in one go, and a replica learns of the
//! template a moment later. Invariants: only requests that name an unknown template wait, for a short
//! time, and few at a time; no such request is refused by a replica that knows that it is behind.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

/// Within this time a change of a template is known to every replica whose watch works.
const LONGEST: Duration = Duration::from_secs(1);
/// Requests that wait at a time; so many pods with unknown templates are a mistake or an attack.
const MAX_WAITING: usize = 256;

/// Tells whether this replica has read all templates of the cluster.
#[derive(Clone)]
pub struct Freshness {
    is_behind: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Notified of every new snapshot.
    changed: watch::Receiver<()>,
    waiting: Arc<Semaphore>,
    longest: Duration,
}

impl Freshness {
    /// `is_behind` says whether templates may be missing that exist; it does not wait. `changed` is
    /// notified after each change of the templates.
    pub fn new(is_behind: impl Fn() -> bool + Send + Sync + 'static, changed: watch::Receiver<()>) -> Self {
        Self {
            is_behind: Arc::new(is_behind),
            changed,
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            longest: LONGEST,
        }
    }

    /// The wait of one request. It begins before the first look at the templates, so that no change is
    /// missed.
    pub(super) fn wait(&self) -> Wait {
        let mut changed = self.changed.clone();
        changed.mark_unchanged();
        Wait { freshness: self.clone(), changed, until: Instant::now() + self.longest, place: None }
    }
}

/// The wait of one request.
pub(super) struct Wait {
    freshness: Freshness,
    changed: watch::Receiver<()>,
    until: Instant,
    place: Option<OwnedSemaphorePermit>,
}

/// The end of a wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// There are new templates: look again.
    Changed,
    /// Nothing has come, and nothing is missing.
    Current,
    /// Templates may be missing.
    Behind,
}

impl Wait {
    /// Whether templates may be missing that exist.
    pub(super) fn is_behind(&self) -> bool {
        (self.freshness.is_behind)()
    }

    /// Waits for new templates.
    pub(super) async fn next(&mut self) -> Waited {
        if self.place.is_none() {
            self.place = Arc::clone(&self.freshness.waiting).try_acquire_owned().ok();
        }
        if self.place.is_none() {
            return Waited::Behind;
        }
        match timeout_at(self.until, self.changed.changed()).await {
            Ok(Ok(())) => Waited::Changed,
            Ok(Err(_)) => Waited::Current,
            Err(_) if (self.freshness.is_behind)() => Waited::Behind,
            Err(_) => Waited::Current,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn freshness() -> (Freshness, watch::Sender<()>, Arc<AtomicBool>) {
        let (sender, changed) = watch::channel(());
        let behind = Arc::new(AtomicBool::new(false));
        let is_behind = Arc::clone(&behind);
        let freshness = Freshness::new(move || is_behind.load(Ordering::SeqCst), changed);
        (Freshness { longest: Duration::from_millis(50), ..freshness }, sender, behind)
    }

    #[tokio::test]
    async fn a_request_waits_for_a_while_and_is_told_of_every_change() {
        let (freshness, sender, behind) = freshness();
        let started = Instant::now();
        let mut wait = freshness.wait();
        sender.send_replace(());
        assert_eq!(wait.next().await, Waited::Changed, "also of one before it waits");
        assert_eq!(wait.next().await, Waited::Current);
        assert!(started.elapsed() >= Duration::from_millis(50));
        behind.store(true, Ordering::SeqCst);
        assert_eq!(freshness.wait().next().await, Waited::Behind);
        drop(sender);
        assert_eq!(freshness.wait().next().await, Waited::Current, "nothing changes any more");
    }

    #[tokio::test]
    async fn few_requests_wait_at_a_time() {
        let (freshness, _sender, _) = freshness();
        let quick = Freshness { longest: Duration::ZERO, ..freshness.clone() };
        let mut waits: Vec<Wait> = (0..MAX_WAITING).map(|_| quick.wait()).collect();
        for wait in &mut waits {
            assert_eq!(wait.next().await, Waited::Current);
        }
        assert_eq!(freshness.wait().next().await, Waited::Behind, "the API server asks again");
        drop(waits);
        assert_eq!(freshness.wait().next().await, Waited::Current);
    }
}
