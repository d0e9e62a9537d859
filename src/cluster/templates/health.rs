//! Whether the templates of the cluster are known completely and as they are now.
//!
//! Requests read it, so reading takes no lock. Invariant: while a change that the API server has
//! sent is on its way to the app, or changes cannot arrive, [`FeedHealth::is_current`] is false.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::api::template_object::TemplateKind;

/// What is known of the objects of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListState {
    /// They were not read yet.
    Pending,
    /// They were read, and changes are followed.
    Listed,
    /// The API server does not have the kind: its CRD is not installed.
    Missing,
}

/// How well this replica follows the template objects; shared.
#[derive(Clone, Default)]
pub struct FeedHealth(Arc<Shared>);

#[derive(Default)]
struct Shared {
    kinds: [KindHealth; TemplateKind::ALL.len()],
    /// The changes that were put into the channel of the app.
    sent: AtomicU64,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct KindHealth {
    /// A [`ListState`].
    list: AtomicU8,
    broken: AtomicBool,
    problem: Mutex<Option<String>>,
}

impl KindHealth {
    fn list(&self) -> ListState {
        match self.list.load(Ordering::Acquire) {
            0 => ListState::Pending,
            1 => ListState::Listed,
            _ => ListState::Missing,
        }
    }
}

impl FeedHealth {
    fn kind(&self, kind: TemplateKind) -> &KindHealth {
        match kind {
            TemplateKind::Cluster => &self.0.kinds[0],
            TemplateKind::Namespaced => &self.0.kinds[1],
        }
    }

    /// What is known of the objects of this kind.
    pub fn list_state(&self, kind: TemplateKind) -> ListState {
        self.kind(kind).list()
    }

    /// Whether both kinds were read, or are missing, and every change of them arrives.
    pub fn is_healthy(&self) -> bool {
        let is_healthy = |kind: &KindHealth| kind.list() != ListState::Pending && !kind.broken.load(Ordering::Acquire);
        self.0.kinds.iter().all(is_healthy)
    }

    /// How many changes were sent since the start. Compare it with the number of those applied.
    pub fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Acquire)
    }

    /// Whether an app that has applied this many changes knows what the API server knows.
    pub fn is_current(&self, applied: u64) -> bool {
        // In this order: a change that is counted after the check of health was sent after it.
        self.is_healthy() && self.sent() <= applied
    }

    /// A sentence for each kind that cannot be followed.
    pub fn problems(&self) -> Vec<String> {
        TemplateKind::ALL.into_iter().filter_map(|kind| self.problem(kind)).collect()
    }

    fn problem(&self, kind: TemplateKind) -> Option<String> {
        let (of, name) = (self.kind(kind), kind.kind());
        if of.broken.load(Ordering::Acquire) {
            let problem = of.problem.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
            return Some(match of.list() {
                ListState::Pending => format!("objects of the kind {name} cannot be read: {problem}"),
                ListState::Listed | ListState::Missing => {
                    format!("changes of the kind {name} do not arrive: {problem}; the last known objects are used")
                }
            });
        }
        match of.list() {
            ListState::Pending => Some(format!("objects of the kind {name} have not been read yet")),
            ListState::Missing => Some(missing(kind)),
            ListState::Listed => None,
        }
    }

    /// Waits until both kinds were read once or are missing.
    pub async fn listed(&self) {
        let is_listed = || self.0.kinds.iter().all(|kind| kind.list() != ListState::Pending);
        // `self` owns the sender, so the channel stays open.
        _ = self.0.changed.subscribe().wait_for(|()| is_listed()).await;
    }

    /// Counts one change. The caller has room for it, so it is sent at once.
    pub(super) fn count(&self) {
        self.0.sent.fetch_add(1, Ordering::AcqRel);
    }

    /// The objects were read, or are known to be missing.
    pub(super) fn listed_as(&self, kind: TemplateKind, state: ListState) {
        let code = match state {
            ListState::Pending => 0,
            ListState::Listed => 1,
            ListState::Missing => 2,
        };
        self.kind(kind).list.store(code, Ordering::Release);
        self.recovered(kind);
    }

    /// Every change arrives again.
    pub(super) fn recovered(&self, kind: TemplateKind) {
        self.kind(kind).broken.store(false, Ordering::Release);
        self.0.changed.send_replace(());
    }

    /// Changes do not arrive.
    pub(super) fn failed(&self, kind: TemplateKind, problem: &str) {
        let of = self.kind(kind);
        *of.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem.to_owned());
        of.broken.store(true, Ordering::Release);
        self.0.changed.send_replace(());
    }

    pub(super) fn is_broken(&self, kind: TemplateKind) -> bool {
        self.kind(kind).broken.load(Ordering::Acquire)
    }
}

/// What to do about a kind that the API server does not have.
fn missing(kind: TemplateKind) -> String {
    format!(
        "the API server does not have the kind {}; apply the CustomResourceDefinitions of the installation to use template objects",
        kind.kind()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const A: TemplateKind = TemplateKind::Cluster;
    const B: TemplateKind = TemplateKind::Namespaced;

    #[tokio::test]
    async fn it_is_current_once_both_kinds_are_listed_and_all_changes_are_applied() {
        let health = FeedHealth::default();
        let is_listed = async || tokio::time::timeout(Duration::from_millis(20), health.listed()).await.is_ok();
        health.listed_as(A, ListState::Listed);
        assert!(!health.is_current(0) && !is_listed().await);
        assert_eq!(health.problems(), ["objects of the kind InjectionTemplate have not been read yet"]);
        health.listed_as(B, ListState::Missing);
        assert!(health.is_current(0) && is_listed().await);
        assert_eq!(health.problems(), [missing(B)]);
        health.count();
        assert!(!health.is_current(0) && health.is_current(1) && health.is_healthy());
    }

    #[test]
    fn a_broken_watch_is_told_until_it_recovers() {
        let health = FeedHealth::default();
        health.failed(A, "no route");
        health.listed_as(B, ListState::Listed);
        assert_eq!(health.problems(), ["objects of the kind ClusterInjectionTemplate cannot be read: no route"]);
        health.listed_as(A, ListState::Listed);
        assert!(health.is_current(0));
        health.failed(A, "no route");
        assert!(!health.is_current(0) && health.is_broken(A) && !health.is_broken(B));
        assert_eq!(
            health.problems(),
            ["changes of the kind ClusterInjectionTemplate do not arrive: no route; the last known objects are used"]
        );
        health.recovered(A);
        assert!(health.is_current(0) && health.problems().is_empty());
    }
}
