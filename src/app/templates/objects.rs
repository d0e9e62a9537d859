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

    /// Takes the changes that have arrived, and those that follow at once. There may be more.
    pub(super) fn take(&mut self) -> Taken {
        let started = Instant::now();
        let mut taken = Taken::Nothing;
        while taken == Taken::Nothing || started.elapsed() < LONGEST {
            let mut changes: Vec<TemplateChange> =
                std::iter::from_fn(|| self.changes.try_recv().ok()).take(MOST).collect();
            if changes.is_empty() && taken != Taken::Nothing {
                // Nobody unparks this thread: it waits for more changes.
                std::thread::park_timeout(PAUSE);
                changes.extend(self.changes.try_recv());
            }
            if changes.is_empty() {
                break;
            }
            self.taken += u64::try_from(changes.len()).unwrap_or_default();
            taken = taken.max(if self.objects.apply(changes) { Taken::NewTemplates } else { Taken::SameTemplates });
        }
        taken
    }

    /// Whether changes have arrived that were not taken.
    pub(super) fn has_more(&self) -> bool {
        !self.changes.is_empty()
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
        let before = Arc::clone(&self.reports.borrow());
        let now = reports::reports(&self.objects, injector.templates(), problems, &before);
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Taken {
    Nothing,
    /// Objects were read, and the templates stay as they are.
    SameTemplates,
    NewTemplates,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::template_object::{ObjectKey, TemplateKind, TemplateObject, TemplateObjectStatus};
    use crate::cluster::templates::Wakeup;
    use crate::inject::{Settings, TemplateSet};
    use crate::process::health::Readiness;

    fn object(name: &str) -> TemplateChange {
        let document = format!(
            r#"{{"apiVersion":"outrigger.dev/v1alpha1","kind":"ClusterInjectionTemplate","metadata":{{"name":"{name}"}},"spec":{{"sidecars":[{{"name":"s","image":"i"}}]}}}}"#
        );
        TemplateChange::Applied(Box::new(TemplateObject {
            key: ObjectKey { namespace: None, name: name.to_owned() },
            uid: "u".to_owned(),
            generation: 1,
            document,
            status: TemplateObjectStatus::default(),
        }))
    }

    fn list(kind: TemplateKind, objects: Vec<TemplateChange>) -> Vec<TemplateChange> {
        let begin = std::iter::once(TemplateChange::ListBegins(kind));
        begin.chain(objects).chain([TemplateChange::ListEnds(kind)]).collect()
    }

    fn follower() -> (ObjectFollower, mpsc::Sender<TemplateChange>, tokio::sync::watch::Receiver<Reports>, Readiness) {
        let (sender, changes) = mpsc::channel(64);
        let (reports, reported) = tokio::sync::watch::channel(Arc::new(BTreeMap::new()));
        let feed = TemplateFeed { changes, health: FeedHealth::default(), reports, wakeup: Wakeup::default() };
        let readiness = Readiness::default();
        let (follower, _) = ObjectFollower::new(feed, readiness.promise("template objects"));
        (follower, sender, reported, readiness)
    }

    fn send(sender: &mpsc::Sender<TemplateChange>, changes: Vec<TemplateChange>) {
        changes.into_iter().for_each(|change| sender.try_send(change).expect("there is room"));
    }

    #[test]
    fn it_is_ready_once_requests_see_all_objects_of_both_kinds() {
        let (mut follower, sender, reported, readiness) = follower();
        assert_eq!(follower.take(), Taken::Nothing);
        send(&sender, list(TemplateKind::Cluster, vec![object("a")]));
        assert_eq!(follower.take(), Taken::NewTemplates);
        follower.applied();
        assert!(!readiness.is_ready(), "the other kind is not known");
        send(&sender, vec![TemplateChange::KindMissing(TemplateKind::Namespaced)]);
        assert_eq!(follower.take(), Taken::SameTemplates);
        follower.applied();
        assert!(readiness.is_ready());
        assert_eq!(follower.applied.load(Ordering::SeqCst), 4);

        let loaded = TemplateSet::assemble(&follower.objects.sources(), &TemplateSet::default());
        let injector = Injector::new(loaded.templates, Settings::default());
        follower.report(&injector, &loaded.problems);
        let first = Arc::clone(&reported.borrow());
        let report = first.values().next().expect("a report");
        assert!(report.is_ready && report.sidecars == "s" && report.revisions.len() == 1, "{report:?}");
        // The same again is the same value, so that nobody writes it.
        follower.report(&injector, &loaded.problems);
        assert!(Arc::ptr_eq(&first, &reported.borrow()));
    }

    #[test]
    fn changes_count_as_applied_only_once_their_list_is_complete() {
        let (mut follower, sender, _reported, _readiness) = follower();
        send(&sender, vec![TemplateChange::ListBegins(TemplateKind::Cluster), object("a")]);
        assert_eq!(follower.take(), Taken::NewTemplates);
        follower.applied();
        assert_eq!(follower.applied.load(Ordering::SeqCst), 0, "the list may have more");
        send(&sender, vec![TemplateChange::ListEnds(TemplateKind::Cluster)]);
        assert_eq!(follower.take(), Taken::SameTemplates);
        follower.applied();
        assert_eq!(follower.applied.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn changes_that_never_pause_hold_up_no_request() {
        let (mut follower, sender, _reported, _readiness) = follower();
        let writer = std::thread::spawn(move || {
            let until = Instant::now() + Duration::from_secs(2);
            while Instant::now() < until && sender.blocking_send(object("a")).is_ok() {}
        });
        let started = Instant::now();
        while follower.take() == Taken::Nothing {}
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        drop(follower);
        writer.join().expect("it ends");
    }
}
