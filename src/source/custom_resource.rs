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
mod tests;
