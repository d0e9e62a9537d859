//! The labels and annotations of all namespaces, in memory: what a request is answered with.
//!
//! A namespace that is not known, because it was made a moment ago or nothing was heard yet, is answered from the request alone.
//! Invariant: asking never waits and never calls; a list that is read anew replaces the old one only when it is complete.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use kube::{Api, Client};

use super::complaint::Complaint;
use super::jitter::Backoff;
use super::watching;
use crate::inject::Namespace;

type Map = HashMap<String, Arc<Namespace>>;
type Object = PartialObjectMeta<core::Namespace>;

/// All namespaces that are known.
#[derive(Clone, Default)]
pub struct Namespaces(Arc<ArcSwap<Map>>);

impl Namespaces {
    /// What is known of a namespace.
    pub fn get(&self, name: &str) -> Option<Arc<Namespace>> {
        self.0.load().get(name).cloned()
    }

    pub fn len(&self) -> usize {
        self.0.load().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Follows the cluster's namespaces for as long as the process lives.
    pub async fn follow(self, client: Client) {
        let stream = watcher(Api::<Object>::all(client), Config::default().page_size(500));
        self.take_over(stream.backoff(Backoff::default())).await;
    }

    async fn take_over(&self, stream: impl Stream<Item = Result<Event<Object>, Error>>) {
        let mut stream = std::pin::pin!(stream);
        let (mut list, mut complaint) = (Map::new(), Complaint::default());
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => {
                    complaint.is_over(|| tracing::info!("the watch on namespaces is taken up again"));
                    self.handle(event, &mut list);
                }
                Err(error) => {
                    let problem = watching::explain(&error);
                    complaint.is(&problem, || {
                        tracing::warn!(
                            problem,
                            "the watch on namespaces broke; what is known stays until it is taken up again"
                        );
                    });
                }
            }
        }
    }

    /// `list` is what has come so far of a list that is being read.
    fn handle(&self, event: Event<Object>, list: &mut Map) {
        match event {
            Event::Init => list.clear(),
            Event::InitApply(object) => insert(list, object.metadata),
            Event::InitDone => {
                self.0.store(Arc::new(std::mem::take(list)));
                tracing::debug!(namespaces = self.len(), "namespaces are known");
            }
            Event::Apply(object) => self.change(|map| insert(map, object.metadata)),
            Event::Delete(object) => self.change(|map| {
                map.remove(&object.metadata.name.unwrap_or_default());
            }),
        }
    }

    /// There is one writer, so nothing is lost between reading and writing.
    fn change(&self, change: impl FnOnce(&mut Map)) {
        let mut map = Map::clone(&self.0.load());
        change(&mut map);
        self.0.store(Arc::new(map));
    }
}

fn insert(map: &mut Map, metadata: ObjectMeta) {
    let Some(name) = metadata.name else { return };
    let namespace = Namespace {
        name: name.clone(),
        labels: metadata.labels.unwrap_or_default(),
        annotations: metadata.annotations.unwrap_or_default(),
    };
    map.insert(name, Arc::new(namespace));
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

    /// Feeds events and breaks, and gives back what is known after each of them: `name=team`.
    async fn known(events: Vec<Result<Event<Object>, Error>>) -> Vec<String> {
        let namespaces = Namespaces::default();
        let mut known = Vec::new();
        let seen = namespaces.clone();
        let stream = futures::stream::iter(events).inspect(|_| {
            let map = seen.0.load();
            let mut all: Vec<String> =
                map.values().map(|namespace| format!("{}={}", namespace.name, namespace.labels["team"])).collect();
            all.sort();
            known.push(all.join(","));
        });
        namespaces.take_over(stream).await;
        known
    }

    #[tokio::test]
    async fn what_is_known_is_good_until_a_new_list_is_complete() {
        let events = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(object("a", "1"))),
            Ok(Event::InitApply(object("b", "1"))),
            Ok(Event::InitDone),
            Ok(Event::Apply(object("a", "2"))),
            Ok(Event::Delete(object("b", "1"))),
            Err(Error::NoResourceVersion),
            Ok(Event::Init),
            Ok(Event::InitApply(object("c", "1"))),
            // Broken in the middle: what came of it is not to be mixed with the next one.
            Err(Error::NoResourceVersion),
            Ok(Event::Init),
            Ok(Event::InitApply(object("d", "1"))),
            Ok(Event::InitDone),
            Ok(Event::Init),
        ];
        let expected = ["", "", "", "", "a=1,b=1", "a=2,b=1", "a=2", "a=2", "a=2", "a=2", "a=2", "a=2", "a=2", "d=1"];
        assert_eq!(known(events).await, expected);
    }

    #[test]
    fn an_unknown_namespace_is_unknown() {
        assert!(Namespaces::default().get("default").is_none());
    }
}
