//! Template objects of the cluster, as they were last seen: compiled, and with their earlier
//! revisions.
//!
//! It makes no calls: changes are applied one after the other.
//! Invariants: an object that is not listed any more is gone only once the list is complete; objects
//! that vanish all at once stay, as orphans.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::panic::catch_unwind;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::directories::Trouble;
use crate::api::template_object::{
    MAX_REVISIONS, ObjectKey, StoredRevision, TemplateChange, TemplateKind, TemplateObject,
};
use crate::inject::{CompiledSource, KeptRevision, ObjectText, TemplateScope, TemplateSet};

/// The objects of both kinds.
#[derive(Default)]
pub(crate) struct TemplateObjects {
    objects: BTreeMap<ObjectKey, KnownObject>,
    cluster: KindState,
    namespaced: KindState,
}

/// What is known of one kind.
#[derive(Default)]
struct KindState {
    /// The objects of a list that is not complete yet.
    listing: Option<BTreeSet<ObjectKey>>,
    /// Why its objects are gone, if these are the last ones.
    orphaned: Option<&'static str>,
    /// Whether all its objects were read once, or there is no such kind.
    is_known: bool,
}

/// An object and what was made of it.
pub(crate) struct KnownObject {
    pub uid: String,
    pub generation: i64,
    /// Hash of everything that `source` was made of.
    fingerprint: Fingerprint,
    source: Arc<CompiledSource>,
    /// The earlier revisions that `source` was made with.
    kept: Vec<KeptRevision>,
    /// Length of its texts; 0 if there is no room for it.
    bytes: usize,
}

type Fingerprint = [u8; 32];

/// What was made of the first change of each object that was not known before.
type Compiled = BTreeMap<ObjectKey, (ObjectText, Fingerprint, Arc<CompiledSource>)>;

/// Most bytes of the texts of one namespace that are held.
const MAX_BYTES_OF_NAMESPACE: usize = 4 * 1024 * 1024;

const NO_OBJECT: &str = "the API server has no object of this kind any more, all are gone at once";
const NO_KIND: &str = "the API server does not have this kind any more: its CustomResourceDefinition is gone";

impl KnownObject {
    /// The revisions that it remembers, the newest first.
    pub(crate) fn kept_revisions(&self) -> Vec<KeptRevision> {
        self.kept.clone()
    }
}

impl TemplateObjects {
    /// Applies these changes in their order. Returns whether [`Self::sources`] are other ones now.
    pub(crate) fn apply(&mut self, changes: Vec<TemplateChange>) -> bool {
        let mut compiled = self.compiled(&changes);
        let mut is_changed = false;
        for change in changes {
            is_changed |= match change {
                TemplateChange::ListBegins(kind) => {
                    self.kind_mut(kind).listing = Some(BTreeSet::new());
                    false
                }
                TemplateChange::ListEnds(kind) => self.end_list(kind),
                TemplateChange::KindMissing(kind) => {
                    let state = self.kind_mut(kind);
                    (state.listing, state.is_known) = (None, true);
                    self.orphan(kind, NO_KIND)
                }
                TemplateChange::Applied(object) => self.insert(*object, &mut compiled),
                TemplateChange::Deleted(key) => self.objects.remove(&key).is_some(),
            };
        }
        is_changed
    }

    /// All objects, sorted.
    pub(crate) fn sources(&self) -> Vec<Arc<CompiledSource>> {
        let source = |(key, object): (&ObjectKey, &KnownObject)| match self.kind(key.kind()).orphaned {
            Some(why) => Arc::new(object.source.orphaned(why)),
            None => Arc::clone(&object.source),
        };
        self.objects.iter().map(source).collect()
    }

    /// All objects that exist, sorted.
    pub(crate) fn existing(&self) -> impl Iterator<Item = (&ObjectKey, &KnownObject)> {
        self.objects.iter().filter(|(key, _)| self.kind(key.kind()).orphaned.is_none())
    }

    /// Kinds that have lost all their objects at once.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        let of_kind = |kind: TemplateKind| {
            let why = self.kind(kind).orphaned?;
            Some(Trouble::Emptied(format!("templates of the kind {}: {why}", kind.kind())))
        };
        TemplateKind::ALL.into_iter().filter_map(of_kind).collect()
    }

    /// Whether a list is being read: what it has not shown yet may exist all the same.
    pub(crate) fn is_listing(&self) -> bool {
        TemplateKind::ALL.into_iter().any(|kind| self.kind(kind).listing.is_some())
    }

    /// Whether all objects were read once.
    pub(crate) fn are_known(&self) -> bool {
        TemplateKind::ALL.into_iter().all(|kind| self.kind(kind).is_known)
    }

    const fn kind(&self, kind: TemplateKind) -> &KindState {
        match kind {
            TemplateKind::Cluster => &self.cluster,
            TemplateKind::Namespaced => &self.namespaced,
        }
    }

    const fn kind_mut(&mut self, kind: TemplateKind) -> &mut KindState {
        match kind {
            TemplateKind::Cluster => &mut self.cluster,
            TemplateKind::Namespaced => &mut self.namespaced,
        }
    }

    /// The sources of objects that are seen for the first time, compiled together.
    fn compiled(&self, changes: &[TemplateChange]) -> Compiled {
        let mut firsts = BTreeMap::new();
        for change in changes {
            if let TemplateChange::Applied(object) = change
                && !self.objects.contains_key(&object.key)
            {
                firsts.entry(&object.key).or_insert(object);
            }
        }
        let firsts: Vec<_> = firsts.into_iter().collect();
        let compiled = on_all_processors(&firsts, |(key, object)| {
            let text = text(object, None);
            let (fingerprint, source) = (fingerprint(&text), Arc::new(compile_or_report(&text)));
            ((*key).clone(), (text, fingerprint, source))
        });
        compiled.into_iter().collect()
    }

    fn insert(&mut self, object: TemplateObject, compiled: &mut Compiled) -> bool {
        let (text, fingerprint, compiled) = match compiled.remove(&object.key) {
            Some((text, fingerprint, source)) => (text, fingerprint, Some(source)),
            None => {
                let known = self.objects.get(&object.key).filter(|known| known.uid == object.uid);
                let text = text(&object, known.and_then(|known| known.source.history()));
                let fingerprint = fingerprint(&text);
                (text, fingerprint, None)
            }
        };
        let TemplateObject { key, uid, generation, .. } = object;
        let state = self.kind_mut(key.kind());
        if let Some(listing) = &mut state.listing {
            listing.insert(key.clone());
        }
        // A new object after all were gone: this kind works again.
        let was_orphaned = state.listing.is_none() && state.orphaned.take().is_some();
        if was_orphaned {
            self.objects.retain(|known, _| known.kind() != key.kind());
        }
        let bytes = text.document.len() + text.revisions.iter().map(|kept| kept.spec.len()).sum::<usize>();
        if let Some(why) = self.has_no_room_for(&key, bytes) {
            // It takes no memory but for its name.
            let text = ObjectText { document: String::new(), revisions: Vec::new(), ..text };
            let source = Arc::new(CompiledSource::faulty_object(&text, &why));
            let (fingerprint, kept, bytes) = (Fingerprint::default(), Vec::new(), 0);
            self.objects.insert(key, KnownObject { uid, generation, fingerprint, source, kept, bytes });
            return true;
        }
        match self.objects.get_mut(&key) {
            Some(known) if known.fingerprint == fingerprint => {
                // Created anew with the same text: its status is empty again.
                let is_another = known.uid != uid || known.generation != generation;
                (known.uid, known.generation) = (uid, generation);
                was_orphaned || is_another
            }
            _ => {
                let source = compiled.unwrap_or_else(|| Arc::new(compile_or_report(&text)));
                let kept = text.revisions;
                self.objects.insert(key, KnownObject { uid, generation, fingerprint, source, kept, bytes });
                true
            }
        }
    }

    /// Why an object of a namespace is not held: no tenant uses up the memory of the others.
    fn has_no_room_for(&self, key: &ObjectKey, bytes: usize) -> Option<String> {
        key.namespace.as_ref()?;
        let first = ObjectKey { namespace: key.namespace.clone(), name: String::new() };
        let of_namespace = self.objects.range(first..).take_while(|(other, _)| other.namespace == key.namespace);
        let others = of_namespace.filter(|(other, known)| *other != key && known.bytes > 0);
        let (count, total) = others.fold((0, bytes), |(count, total), (_, known)| (count + 1, total + known.bytes));
        match () {
            () if count >= TemplateSet::MAX_OF_NAMESPACE => {
                Some(format!("more than {} templates in the namespace", TemplateSet::MAX_OF_NAMESPACE))
            }
            () if total > MAX_BYTES_OF_NAMESPACE => {
                let most = MAX_BYTES_OF_NAMESPACE >> 20;
                Some(format!(
                    "the templates of the namespace have more than {most} MiB together, with their earlier revisions"
                ))
            }
            () => None,
        }
    }

    fn end_list(&mut self, kind: TemplateKind) -> bool {
        let Some(listed) = self.kind_mut(kind).listing.take() else { return false };
        self.kind_mut(kind).is_known = true;
        if listed.is_empty() {
            return self.orphan(kind, NO_OBJECT);
        }
        let was_orphaned = self.kind_mut(kind).orphaned.take().is_some();
        let before = self.objects.len();
        self.objects.retain(|key, _| key.kind() != kind || listed.contains(key));
        was_orphaned || self.objects.len() < before
    }

    /// Everything is gone at once: nobody removes templates like that.
    fn orphan(&mut self, kind: TemplateKind, why: &'static str) -> bool {
        let has_some = self.objects.keys().any(|key| key.kind() == kind);
        let state = self.kind_mut(kind);
        let is_new = has_some && state.orphaned.is_none();
        state.orphaned = has_some.then_some(why);
        is_new
    }
}

/// Text and history of an object, as they are compiled. `memory` is what this replica knows of its
/// earlier revisions: a status that is older than the text, or that somebody has cleared, takes nothing
/// from it.
fn text(object: &TemplateObject, memory: Option<(Vec<KeptRevision>, String)>) -> ObjectText {
    let (key, status) = (&object.key, &object.status);
    // One that cannot be read is lost; the engine checks what the others say.
    let kept = |stored: &StoredRevision| {
        let spec = STANDARD.decode(&stored.spec).ok()?;
        Some(KeptRevision { revision: stored.revision.clone(), spec: spec.into() })
    };
    let told: Vec<KeptRevision> = status.revisions.iter().filter_map(kept).collect();
    let mut text = ObjectText {
        origin: key.to_string(),
        name: key.name.clone(),
        scope: key.namespace.clone().map_or(TemplateScope::Cluster, TemplateScope::Namespace),
        document: object.document.clone(),
        was_served: !told.is_empty(),
        revisions: told,
        stable: status.stable_revision.clone(),
    };
    let is_current = status.observed_generation == object.generation && !text.stable.is_empty();
    if let Some((mut remembered, stable)) = memory {
        remembered.retain(|kept| !text.revisions.iter().any(|told| told.revision == kept.revision));
        let told = std::mem::take(&mut text.revisions);
        let [first, then] = if is_current { [told, remembered] } else { [remembered, told] };
        text.revisions = [first, then].concat();
        text.stable = if is_current { text.stable } else { stable };
    }
    // The current revision is in the document, so that it makes no difference when it is kept in the
    // status as well.
    if let Some(current) = text.revision() {
        text.revisions.retain(|kept| kept.revision != current);
        text.stable = Some(text.stable).filter(|stable| *stable != current).unwrap_or_default();
    }
    let stable = text.stable.clone();
    let mut rank = 0;
    text.revisions.retain(|kept| {
        rank += 1;
        rank < MAX_REVISIONS || kept.revision == stable
    });
    text
}

fn fingerprint(text: &ObjectText) -> Fingerprint {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    };
    add(text.document.as_bytes());
    add(text.stable.as_bytes());
    add(&[u8::from(text.was_served)]);
    for kept in &text.revisions {
        add(kept.revision.as_bytes());
        add(&kept.spec);
    }
    hash.finalize().into()
}

/// Does the work for each item, on several threads if there are many items.
fn on_all_processors<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    const FEW: usize = 8;
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = items.len().div_ceil(processors).max(FEW);
    let all = |items: &[I]| CompiledSource::together(|| items.iter().map(&work).collect::<Vec<T>>());
    let (first, rest) = items.split_at(share.min(items.len()));
    std::thread::scope(|scope| {
        let start = |share| std::thread::Builder::new().spawn_scoped(scope, move || all(share));
        let started: Vec<_> = rest.chunks(share).map(|share| (share, start(share))).collect();
        let mut results = all(first);
        for (share, thread) in started {
            // Without a thread, or with one that has panicked, this one does it.
            let done = thread.ok().and_then(|thread| thread.join().ok());
            results.extend(done.unwrap_or_else(|| all(share)));
        }
        results
    })
}

/// A fault of ours that one object brings to light takes no other with it.
fn compile_or_report(text: &ObjectText) -> CompiledSource {
    catch_unwind(|| CompiledSource::of_object(text))
        .unwrap_or_else(|_| CompiledSource::faulty_object(text, "a bug in outrigger, please report it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::template_object::TemplateObjectStatus;
    use crate::inject::TemplateState;

    fn key(namespace: &str, name: &str) -> ObjectKey {
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty()).map(str::to_owned);
        ObjectKey { namespace, name: name.to_owned() }
    }

    fn applied(namespace: &str, name: &str, image: &str) -> TemplateChange {
        TemplateChange::Applied(Box::new(object(namespace, name, image)))
    }

    fn object(namespace: &str, name: &str, image: &str) -> TemplateObject {
        let key = key(namespace, name);
        let place = if namespace.is_empty() { String::new() } else { format!(r#","namespace":"{namespace}""#) };
        let document = format!(
            r#"{{"apiVersion":"outrigger.dev/v1alpha1","kind":"{}","metadata":{{"name":"{name}"{place}}},"spec":{{"sidecars":[{{"name":"s","image":"{image}"}}]}}}}"#,
            key.kind().kind()
        );
        let status = TemplateObjectStatus::default();
        TemplateObject { key, uid: "u".to_owned(), generation: 1, document, status }
    }

    fn list(objects: Vec<TemplateChange>) -> Vec<TemplateChange> {
        let begin = TemplateChange::ListBegins(TemplateKind::Cluster);
        let end = TemplateChange::ListEnds(TemplateKind::Cluster);
        std::iter::once(begin).chain(objects).chain([end]).collect()
    }

    fn states(objects: &TemplateObjects) -> Vec<(String, TemplateState)> {
        let loaded = TemplateSet::assemble(&objects.sources(), &TemplateSet::default());
        loaded.templates.all().map(|template| (template.name.to_owned(), template.state)).collect()
    }

    #[test]
    fn objects_come_change_and_go() {
        let mut objects = TemplateObjects::default();
        assert!(objects.apply(list(vec![applied("", "a", "x:1"), applied("", "b", "x:1")])));
        assert!(!objects.apply(vec![applied("", "a", "x:1")]), "nothing is new");
        assert!(objects.apply(vec![applied("", "a", "x:2")]));
        assert!(objects.apply(vec![TemplateChange::Deleted(key("", "b"))]));
        assert!(!objects.apply(vec![TemplateChange::Deleted(key("", "b"))]));
        assert_eq!(states(&objects), [("a".to_owned(), TemplateState::Active)]);
    }

    #[test]
    fn an_object_that_a_list_lacks_is_gone_when_the_list_ends() {
        let mut objects = TemplateObjects::default();
        objects.apply(list(vec![applied("", "a", "x:1"), applied("", "b", "x:1")]));
        objects.apply(vec![TemplateChange::ListBegins(TemplateKind::Cluster), applied("", "b", "x:1")]);
        assert_eq!(states(&objects).len(), 2, "the list may still show it");
        assert!(objects.is_listing());
        assert!(objects.apply(vec![TemplateChange::ListEnds(TemplateKind::Cluster)]));
        assert_eq!(states(&objects), [("b".to_owned(), TemplateState::Active)]);
    }

    #[test]
    fn objects_that_vanish_all_at_once_are_orphans_until_one_is_there() {
        for gone in [list(Vec::new()), vec![TemplateChange::KindMissing(TemplateKind::Cluster)]] {
            let mut objects = TemplateObjects::default();
            objects.apply(list(vec![applied("", "a", "x:1")]));
            objects.apply(vec![applied("shop", "own", "x:1")]);
            assert!(objects.apply(gone));
            let expected = [("a".to_owned(), TemplateState::Orphaned), ("own".to_owned(), TemplateState::Active)];
            assert_eq!(states(&objects), expected);
            assert_eq!((objects.troubles().len(), objects.existing().count()), (1, 1));
            assert!(objects.apply(list(vec![applied("", "b", "x:1")])));
            assert_eq!(states(&objects)[0], ("b".to_owned(), TemplateState::Active));
            assert!(objects.troubles().is_empty());
        }
    }

    #[test]
    fn many_objects_are_compiled_in_their_order_and_with_their_own_text() {
        let mut objects = TemplateObjects::default();
        let names: Vec<String> = (0..100).map(|index| format!("t-{index:03}")).collect();
        objects.apply(list(names.iter().map(|name| applied("", name, &format!("{name}:1"))).collect()));
        let loaded = TemplateSet::assemble(&objects.sources(), &TemplateSet::default());
        assert_eq!(loaded.templates.names(), names);
        let revisions: BTreeSet<&str> = loaded.templates.iter().map(|template| template.revision).collect();
        assert_eq!(revisions.len(), 100);
    }

    /// The revisions that the object has, the newest first, and the stable one.
    fn history(objects: &TemplateObjects) -> (Vec<String>, String) {
        let (kept, stable) =
            objects.objects.values().next().and_then(|known| known.source.history()).expect("it works");
        (kept.into_iter().map(|kept| kept.revision).collect(), stable)
    }

    #[test]
    fn edits_in_quick_succession_and_a_cleared_status_lose_no_revision() {
        let edition = |generation: i64, image: &str, rollout: &str| {
            let mut object = object("", "a", image);
            object.generation = generation;
            object.document = object.document.replace("\"sidecars\"", &format!("{rollout}\"sidecars\""));
            object
        };
        let edited = |generation: i64, image: &str, rollout: &str| {
            TemplateChange::Applied(Box::new(edition(generation, image, rollout)))
        };
        let mut objects = TemplateObjects::default();
        objects.apply(list(vec![edited(1, "x:1", "")]));
        let (_, first) = history(&objects);
        // No status was written in between.
        objects.apply(vec![edited(2, "x:2", ""), edited(3, "x:3", "")]);
        let (_, third) = history(&objects);
        objects.apply(vec![edited(4, "x:4", "\"rollout\":{\"percent\":0},")]);
        let (revisions, stable) = history(&objects);
        assert_eq!((revisions.len(), &stable), (4, &third), "what all pods had is stable");
        assert_eq!(revisions[3], first);
        // The same object with an empty status.
        assert!(!objects.apply(vec![edited(4, "x:4", "\"rollout\":{\"percent\":0},")]));
        assert_eq!(history(&objects), (revisions, stable));
        // Another object of the name has no history.
        let mut other = edition(1, "x:5", "");
        other.uid = "another".to_owned();
        objects.apply(vec![TemplateChange::Applied(Box::new(other))]);
        assert_eq!(history(&objects).0.len(), 1);
    }

    #[test]
    fn a_namespace_takes_no_more_room_than_it_has() {
        let mut objects = TemplateObjects::default();
        objects.apply((0..120).map(|index| applied("shop", &format!("t-{index:03}"), "x:1")).collect());
        objects.apply(vec![applied("other", "own", "x:1")]);
        let loaded = TemplateSet::assemble(&objects.sources(), &TemplateSet::default());
        assert_eq!((loaded.templates.len(), loaded.templates.broken()), (101, 20));
        assert!(loaded.problems.iter().all(|problem| problem.to_string().contains("more than 100 templates")));
        let held =
            objects.objects.iter().filter(|(key, known)| known.bytes > 0 && key.namespace.as_deref() == Some("shop"));
        assert_eq!(held.count(), 100);
        let long = "x".repeat(200 * 1024);
        let mut objects = TemplateObjects::default();
        objects.apply((0..30).map(|index| applied("shop", &format!("t-{index:03}"), &long)).collect());
        assert!(objects.objects.values().filter(|known| known.bytes > 0).count() < 21);
        // Where one is gone, there is room again.
        objects.apply(vec![TemplateChange::Deleted(key("shop", "t-000")), applied("shop", "t-029", "x:1")]);
        assert!(objects.objects[&key("shop", "t-029")].bytes > 0);
    }

    #[test]
    fn the_last_of_several_changes_of_a_new_object_counts() {
        let mut objects = TemplateObjects::default();
        objects.apply(vec![applied("", "a", "x:1"), applied("", "a", "x:2")]);
        let mut last = TemplateObjects::default();
        last.apply(vec![applied("", "a", "x:2")]);
        assert_eq!(history(&objects).1, history(&last).1, "the current revision");
    }

    #[test]
    fn an_object_that_is_too_large_is_not_parsed() {
        let mut object = object("shop", "t", "x:1");
        object.document = format!("{{\"spec\":[{}]}}", r#"{"":1},"#.repeat(200_000));
        let mut objects = TemplateObjects::default();
        objects.apply(vec![TemplateChange::Applied(Box::new(object))]);
        let loaded = TemplateSet::assemble(&objects.sources(), &TemplateSet::default());
        assert!(loaded.problems[0].to_string().contains("256 KiB that a template may have"), "{:?}", loaded.problems);
    }

    #[test]
    fn one_object_that_is_deleted_is_no_orphan() {
        let mut objects = TemplateObjects::default();
        objects.apply(list(vec![applied("", "a", "x:1")]));
        objects.apply(vec![TemplateChange::Deleted(key("", "a"))]);
        assert!(states(&objects).is_empty() && objects.troubles().is_empty());
    }
}
