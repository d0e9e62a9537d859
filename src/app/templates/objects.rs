//! Follows the template objects of the cluster: takes their changes and gives back what their
//! statuses should say.
//!
//! Invariant: changes count as applied only once requests see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::reports::{self, Reports};
use crate::api::template_object::TemplateChange;
use crate::cluster::templates::{FeedHealth, TemplateFeed};
use crate::inject::{Injector, LoadProblem};
use crate::process::health::Promise;
use crate::source::custom_resource::TemplateObjects;

/// Changes that come shortly after each other are applied together, within these limits.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(100);
/// Changes that are taken at a time: each may have a large text.
const MOST: usize = 256;

/// The objects, and where they come from.
pub(super) struct ObjectFollower {
    pub objects: TemplateObjects,
    changes: mpsc::Receiver<TemplateChange>,
    health: FeedHealth,
    reports: tokio::sync::watch::Sender<Reports>,
    /// Changes that were taken, and of them those that requests see.
    taken: u64,
    applied: Arc<AtomicU64>,
    /// Kept until the objects were read once.
    promise: Option<Promise>,
}

/// What the rest of the program needs while objects are followed.
#[derive(Clone)]
pub(crate) struct ObjectFreshness {
    health: FeedHealth,
    applied: Arc<AtomicU64>,
}

impl ObjectFreshness {
    /// Whether there may be templates that no request sees yet.
    pub(crate) fn is_behind(&self) -> bool {
        // In this order: what is sent in between counts as not applied.
        let applied = self.applied.load(Ordering::Acquire);
        !self.health.is_current(applied)
    }
}

impl ObjectFollower {
    /// Begins with what the feed sends from now on. The replica is not ready until all objects were
    /// read once and `promise` is dropped.
    pub(super) fn new(feed: TemplateFeed, promise: Promise) -> (Self, ObjectFreshness) {
        let TemplateFeed { changes, health, reports, .. } = feed;
        let applied = Arc::new(AtomicU64::new(0));
        let freshness = ObjectFreshness { health: health.clone(), applied: Arc::clone(&applied) };
        let objects = TemplateObjects::default();
        (Self { objects, changes, health, reports, taken: 0, applied, promise: Some(promise) }, freshness)
    }

    /// Takes the changes that have arrived, and those that follow at once. Returns whether the
    /// templates are other ones now; not while a list is being read.
    pub(super) fn take(&mut self) -> Taken {
        let started = Instant::now();
        let (mut is_changed, mut has_some) = (false, false);
        loop {
            let mut changes = Vec::new();
            while changes.len() < MOST
                && let Ok(change) = self.changes.try_recv()
            {
                changes.push(change);
            }
            if changes.is_empty() && (!has_some || started.elapsed() >= LONGEST) {
                break;
            }
            if changes.is_empty() {
                // Nobody unparks this thread: it waits for more changes.
                std::thread::park_timeout(PAUSE);
                match self.changes.try_recv() {
                    Ok(change) => changes.push(change),
                    Err(_) => break,
                }
            }
            has_some = true;
            self.taken += u64::try_from(changes.len()).unwrap_or_default();
            is_changed |= self.objects.apply(changes);
        }
        match (has_some, is_changed) {
            (false, _) => Taken::Nothing,
            (true, false) => Taken::SameTemplates,
            (true, true) => Taken::NewTemplates,
        }
    }

    /// Requests see the changes from now on.
    pub(super) fn applied(&mut self) {
        if self.objects.is_listing() {
            return;
        }
        self.applied.store(self.taken, Ordering::Release);
        if self.objects.are_known() {
            self.promise = None;
        }
    }

    /// Reports about all objects, with the problems of all sources.
    pub(super) fn report(&self, injector: &Injector, problems: &[LoadProblem]) {
        let conflicts = injector.automatic_conflicts();
        let before = Arc::clone(&self.reports.borrow());
        let now = reports::reports(&self.objects, injector.templates(), problems, &conflicts, &before);
        if now != before {
            self.reports.send_replace(now);
        }
    }

    /// Why objects are not as the cluster has them now, for `/readyz?verbose`.
    pub(super) fn problems(&self) -> Vec<String> {
        self.health.problems()
    }
}

/// What has come from the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Nothing,
    /// Objects were read, and the templates stay as they are.
    SameTemplates,
    NewTemplates,
}
