//! Remembers what the API server has as the status of each template object.
//!
//! It keeps digests and not the statuses, which may be large. Every replica keeps them, so that a
//! new leader knows at once what is written already. Invariant: what an older version says never
//! replaces what a newer one said, except for a new list.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::api::template_object::{ObjectKey, READY, TemplateKind, TemplateObject, TemplateObjectStatus};

/// What is remembered of a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeenStatus {
    pub uid: String,
    /// `metadata.resourceVersion`, which API servers count upwards.
    pub version: Option<u64>,
    /// A digest of everything but the numbers of pods.
    pub content: u64,
    pub counts: Counts,
    /// The first condition of the type `Ready`.
    pub ready: Option<SeenReady>,
}

/// What is remembered of the condition `Ready`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeenReady {
    pub is_true: bool,
    pub last_transition_time: String,
    /// A digest of the message.
    pub message: u64,
}

/// How many pods carry a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub pods: i64,
    pub namespaces: i64,
    /// By revision; those that are not here have none.
    pub by_revision: BTreeMap<String, i64>,
}

impl SeenStatus {
    pub(super) fn new(uid: &str, version: &str, status: &TemplateObjectStatus) -> Self {
        let ready = status.conditions.iter().find(|condition| condition.type_ == READY);
        Self {
            uid: uid.to_owned(),
            version: version.parse().ok(),
            content: content(status),
            counts: counts(status),
            ready: ready.map(|condition| SeenReady {
                is_true: condition.status == "True",
                last_transition_time: condition.last_transition_time.clone(),
                message: digest(&condition.message),
            }),
        }
    }
}

/// The numbers of pods in a status.
pub(super) fn counts(status: &TemplateObjectStatus) -> Counts {
    let of_revision = status.revisions.iter().filter(|revision| revision.pods != 0);
    Counts {
        pods: status.pods,
        namespaces: status.namespaces,
        by_revision: of_revision.map(|revision| (revision.revision.clone(), revision.pods)).collect(),
    }
}

/// A digest of everything in a status but the numbers of pods.
pub(super) fn content(status: &TemplateObjectStatus) -> u64 {
    // Without `..`, so that a new field is not forgotten.
    let TemplateObjectStatus {
        observed_generation,
        conditions,
        injection,
        sidecars,
        revision,
        stable_revision,
        warnings,
        revisions,
        pods: _,
        namespaces: _,
    } = status;
    let mut hasher = DefaultHasher::new();
    (observed_generation, injection, sidecars, revision, stable_revision, warnings).hash(&mut hasher);
    for condition in conditions {
        let one = (&condition.type_, &condition.status, &condition.reason, &condition.message);
        (one, &condition.last_transition_time, condition.observed_generation).hash(&mut hasher);
    }
    conditions.len().hash(&mut hasher);
    for revision in revisions {
        (&revision.revision, &revision.spec).hash(&mut hasher);
    }
    hasher.finish()
}

/// A digest of a text.
pub(super) fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The last seen status of every object; shared.
#[derive(Clone, Default)]
pub(super) struct SeenStatuses(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// With the number of the list in which the object was, or after which it was watched.
    objects: BTreeMap<ObjectKey, (u64, Arc<SeenStatus>)>,
    /// The number of the last list of each kind.
    lists: BTreeMap<TemplateKind, u64>,
    /// What has changed since the writer asked; nothing is collected for a writer that does not run.
    changed: Option<BTreeSet<ObjectKey>>,
}

impl SeenStatuses {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &ObjectKey) -> Option<Arc<SeenStatus>> {
        self.state().objects.get(key).map(|(_, seen)| Arc::clone(seen))
    }

    /// A list of a kind begins.
    pub(super) fn begin_list(&self, kind: TemplateKind) {
        *self.state().lists.entry(kind).or_default() += 1;
    }

    /// An object of a list. It replaces newer versions too: the store may have been restored.
    pub(super) fn listed(&self, object: &TemplateObject, version: &str) {
        let seen = SeenStatus::new(&object.uid, version, &object.status);
        self.put(&object.key, seen);
    }

    /// The list is complete: other objects of the kind are gone.
    pub(super) fn end_list(&self, kind: TemplateKind) {
        let mut state = self.state();
        let current = state.lists.get(&kind).copied().unwrap_or_default();
        state.objects.retain(|key, (list, _)| key.kind() != kind || *list == current);
    }

    /// An object of a watch.
    pub(super) fn watched(&self, object: &TemplateObject, version: &str) {
        let seen = SeenStatus::new(&object.uid, version, &object.status);
        if self.is_newer(&object.key, &seen) {
            self.put(&object.key, seen);
        }
    }

    /// An object as we have just written it.
    pub(super) fn written(&self, key: &ObjectKey, seen: SeenStatus) {
        if self.is_newer(key, &seen) {
            self.put(key, seen);
        }
    }

    /// An object was deleted.
    pub(super) fn deleted(&self, key: &ObjectKey) {
        self.state().objects.remove(key);
    }

    fn is_newer(&self, key: &ObjectKey, seen: &SeenStatus) -> bool {
        self.get(key)
            .is_none_or(|known| known.uid != seen.uid || seen.version.is_none() || known.version <= seen.version)
    }

    fn put(&self, key: &ObjectKey, seen: SeenStatus) {
        let mut state = self.state();
        let list = state.lists.get(&key.kind()).copied().unwrap_or_default();
        state.objects.insert(key.clone(), (list, Arc::new(seen)));
        if let Some(changed) = &mut state.changed {
            changed.insert(key.clone());
            self.0.changed.notify_one();
        }
    }

    /// From here on, changed objects are collected for one writer.
    pub(super) fn collect(&self) -> Collecting<'_> {
        self.state().changed = Some(BTreeSet::new());
        Collecting(self)
    }
}

/// Collects the objects whose status has changed, until it is dropped.
pub(super) struct Collecting<'a>(&'a SeenStatuses);

impl Collecting<'_> {
    /// Waits for changed objects.
    pub(super) async fn changed(&self) -> BTreeSet<ObjectKey> {
        loop {
            let changed = self.0.state().changed.as_mut().map(std::mem::take).unwrap_or_default();
            if !changed.is_empty() {
                return changed;
            }
            self.0.0.changed.notified().await;
        }
    }
}

impl Drop for Collecting<'_> {
    fn drop(&mut self) {
        self.0.state().changed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, revision: &str) -> TemplateObject {
        TemplateObject {
            key: key(name),
            uid: format!("uid-of-{name}"),
            generation: 1,
            document: String::new(),
            status: TemplateObjectStatus { revision: revision.to_owned(), ..TemplateObjectStatus::default() },
        }
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey { namespace: None, name: name.to_owned() }
    }

    #[test]
    fn an_older_version_does_not_replace_a_newer_one_unless_it_is_listed() {
        let seen = SeenStatuses::default();
        let content = |revision: &str| Some(content(&object("a", revision).status));
        let known = || seen.get(&key("a")).map(|seen| seen.content);
        seen.watched(&object("a", "1"), "10");
        seen.written(&key("a"), SeenStatus::new("uid-of-a", "12", &object("a", "3").status));
        seen.watched(&object("a", "2"), "11");
        assert_eq!(known(), content("3"));
        seen.watched(&object("a", "4"), "12");
        assert_eq!(known(), content("4"), "as the API server has stored it");
        seen.begin_list(TemplateKind::Cluster);
        seen.listed(&object("a", "5"), "3");
        assert_eq!(known(), content("5"));
    }

    #[tokio::test]
    async fn a_complete_list_forgets_objects_of_its_kind_and_changes_are_collected() {
        let seen = SeenStatuses::default();
        seen.watched(&object("before", "1"), "1");
        let mut other = object("other", "1");
        other.key.namespace = Some("shop".to_owned());
        seen.watched(&other, "1");
        let collecting = seen.collect();
        seen.begin_list(TemplateKind::Cluster);
        seen.listed(&object("a", "1"), "2");
        seen.end_list(TemplateKind::Cluster);
        assert!(seen.get(&key("before")).is_none() && seen.get(&key("a")).is_some() && seen.get(&other.key).is_some());
        assert_eq!(collecting.changed().await, BTreeSet::from([key("a")]));
        seen.deleted(&key("a"));
        assert!(seen.get(&key("a")).is_none());
    }

    #[test]
    fn the_numbers_of_pods_are_not_content() {
        let mut status = object("a", "1").status;
        let before = content(&status);
        (status.pods, status.namespaces) = (3, 2);
        assert_eq!((content(&status), counts(&status).pods), (before, 3));
        status.warnings.push("w".to_owned());
        assert_ne!(content(&status), before);
    }
}
