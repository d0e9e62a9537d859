//! Keeps the labels and annotations of all namespaces in memory for the reviews.
//!
//! A review in an unknown namespace, for example one created a moment ago, uses the request alone.
//! Invariant: a lookup never waits and makes no call; a new list replaces the old one only when it
//! is complete.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use arc_swap::ArcSwap;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use super::watching;
use crate::inject::Namespace;

type Hash = BuildHasherDefault<DefaultHasher>;
type Map = HashMap<String, Arc<Namespace>, Hash>;
type Object = PartialObjectMeta<core::Namespace>;

/// A change copies the map that it is in; several small maps let ten thousand namespaces change at
/// once.
const MAPS: usize = 64;

/// All known namespaces.
#[derive(Clone)]
pub struct Namespaces {
    maps: Arc<[ArcSwap<Map>; MAPS]>,
    /// Whether a complete list has been read.
    listed: Arc<watch::Sender<bool>>,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self { maps: Arc::new(std::array::from_fn(|_| ArcSwap::default())), listed: Arc::default() }
    }
}

impl Namespaces {
    /// The labels and annotations of a namespace, if known.
    pub fn get(&self, name: &str) -> Option<Arc<Namespace>> {
        self.maps[index(name)].load().get(name).cloned()
    }

    /// The number of namespaces for which this holds.
    pub fn count(&self, holds: &dyn Fn(&Namespace) -> bool) -> usize {
        self.maps.iter().map(|map| map.load().values().filter(|namespace| holds(namespace)).count()).sum()
    }

    pub fn len(&self) -> usize {
        self.maps.iter().map(|map| map.load().len()).sum()
    }

    /// Waits until the first list is complete.
    pub async fn listed(&self) {
        // `self` owns the sender, so the channel stays open.
        _ = self.listed.subscribe().wait_for(|listed| *listed).await;
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Follows the cluster's namespaces for as long as the process lives.
    pub async fn follow(self, client: Client) {
        let (mut list, api) = (Vec::new(), Api::<Object>::all(client));
        let watch = || watcher(api.clone(), watching::config(None));
        watching::follow("namespaces", watch, |event| self.handle(event, &mut list)).await;
    }

    /// `list` collects the objects of a list that is being read.
    fn handle(&self, event: Event<Object>, list: &mut Vec<Namespace>) {
        match event {
            Event::Init => list.clear(),
            Event::InitApply(object) => list.extend(namespace(object.metadata)),
            Event::InitDone => {
                self.replace(std::mem::take(list));
                tracing::debug!(namespaces = self.len(), "namespaces are known");
            }
            Event::Apply(object) => {
                if let Some(namespace) = namespace(object.metadata) {
                    self.insert(namespace);
                }
            }
            Event::Delete(object) => self.remove(&object.metadata.name.unwrap_or_default()),
        }
    }

    fn replace(&self, list: Vec<Namespace>) {
        let mut maps: [Map; MAPS] = std::array::from_fn(|_| Map::default());
        for namespace in list {
            maps[index(&namespace.name)].insert(namespace.name.clone(), Arc::new(namespace));
        }
        for (known, map) in self.maps.iter().zip(maps) {
            known.store(Arc::new(map));
        }
        self.listed.send_replace(true);
    }

    fn insert(&self, namespace: Namespace) {
        // Most changes of a namespace do not change its labels or annotations.
        if self.get(&namespace.name).is_none_or(|known| *known != namespace) {
            self.change(index(&namespace.name), |map| {
                map.insert(namespace.name.clone(), Arc::new(namespace));
            });
        }
    }

    fn remove(&self, name: &str) {
        self.change(index(name), |map| {
            map.remove(name);
        });
    }

    /// There is only one writer, so no change is lost between reading and writing.
    fn change(&self, index: usize, change: impl FnOnce(&mut Map)) {
        let mut map = Map::clone(&self.maps[index].load());
        change(&mut map);
        self.maps[index].store(Arc::new(map));
    }
}

/// Index of the map that has this name.
fn index(name: &str) -> usize {
    usize::try_from(Hash::default().hash_one(name) % MAPS as u64).unwrap_or(0)
}

/// The part of a namespace that is kept.
fn namespace(metadata: ObjectMeta) -> Option<Namespace> {
    Some(Namespace {
        name: metadata.name?,
        labels: metadata.labels.unwrap_or_default(),
        annotations: metadata.annotations.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, team: &str) -> Object {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([("team".to_owned(), team.to_owned())].into()),
            ..ObjectMeta::default()
        };
        Object { metadata, ..Object::default() }
    }

    /// The known namespaces after each event, as `name=team`.
    fn known(events: Vec<Event<Object>>) -> Vec<String> {
        let (namespaces, mut list) = (Namespaces::default(), Vec::new());
        let after = |event| {
            namespaces.handle(event, &mut list);
            let maps = namespaces.maps.iter().map(ArcSwap::load_full);
            let all = maps.flat_map(|map| map.values().cloned().collect::<Vec<_>>());
            let mut all: Vec<String> =
                all.map(|namespace| format!("{}={}", namespace.name, namespace.labels["team"])).collect();
            all.sort();
            all.join(",")
        };
        events.into_iter().map(after).collect()
    }

    #[test]
    fn the_last_list_is_used_until_a_new_one_is_complete() {
        let events = vec![
            Event::Init,
            Event::InitApply(object("a", "1")),
            Event::InitApply(object("b", "1")),
            Event::InitDone,
            Event::Apply(object("a", "2")),
            Event::Delete(object("b", "1")),
            Event::Init,
            Event::InitApply(object("c", "1")),
            // The list was interrupted: its objects must not mix with the next list.
            Event::Init,
            Event::InitApply(object("d", "1")),
            Event::InitDone,
            Event::Init,
        ];
        let expected = ["", "", "", "a=1,b=1", "a=2,b=1", "a=2", "a=2", "a=2", "a=2", "a=2", "d=1", "d=1"];
        assert_eq!(known(events), expected);
    }

    #[test]
    fn ten_thousand_namespaces_may_change_at_once() {
        let (namespaces, mut list) = (Namespaces::default(), Vec::new());
        let name = |index: usize| format!("namespace-{index}");
        for index in 0..10_000 {
            namespaces.handle(Event::InitApply(object(&name(index), "1")), &mut list);
        }
        namespaces.handle(Event::InitDone, &mut list);
        let started = std::time::Instant::now();
        for index in 0..10_000 {
            namespaces.handle(Event::Apply(object(&name(index), "2")), &mut list);
        }
        eprintln!("10,000 changes among 10,000 namespaces: {:?}", started.elapsed());
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
        assert_eq!((namespaces.len(), list.capacity()), (10_000, 0));
        assert!((0..10_000).all(|index| namespaces.get(&name(index)).is_some_and(|found| found.labels["team"] == "2")));
    }

    #[test]
    fn a_change_that_does_not_concern_labels_or_annotations_copies_nothing() {
        let (namespaces, mut list) = (Namespaces::default(), Vec::new());
        namespaces.handle(Event::Apply(object("a", "1")), &mut list);
        let before = namespaces.get("a").expect("known");
        let mut touched = object("a", "1");
        touched.metadata.resource_version = Some("7".to_owned());
        namespaces.handle(Event::Apply(touched), &mut list);
        assert!(Arc::ptr_eq(&before, &namespaces.get("a").expect("known")));
    }

    #[tokio::test]
    async fn waiting_ends_when_the_first_list_is_complete() {
        let (namespaces, mut list) = (Namespaces::default(), Vec::new());
        let is_listed =
            async || tokio::time::timeout(std::time::Duration::from_millis(20), namespaces.listed()).await.is_ok();
        namespaces.handle(Event::Init, &mut list);
        namespaces.handle(Event::InitApply(object("a", "1")), &mut list);
        assert!(!is_listed().await);
        namespaces.handle(Event::InitDone, &mut list);
        assert!(is_listed().await);
    }

    #[test]
    fn a_namespace_that_was_never_listed_is_unknown() {
        assert!(Namespaces::default().get("default").is_none());
    }
}
