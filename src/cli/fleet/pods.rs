//! Lists the pods that carry or request templates, by their metadata alone.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::ListParams;
use kube::core::{ObjectMeta, PartialObjectMeta};

use super::{Owner, Scope, requested};
use crate::cli::cluster::{ApiRequest, Caller, Lookup, filter_page};
use crate::cli::progress::Progress;
use crate::inject::annotations::{AnnotationKeys, MIRROR_POD, NamedTemplate};

/// A pod that carries or requests templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct TemplatePod {
    pub namespace: String,
    pub name: String,
    pub owner: Owner,
    /// Kind, name and uid of what creates it directly, such as its ReplicaSet.
    pub controller: Option<Controller>,
    /// Whether its name is its own, as in a StatefulSet, and not made of its controller's.
    pub has_own_name: bool,
    /// The templates that its annotation requests, or that it would be given unasked.
    pub requested: Vec<NamedTemplate>,
    /// Names of those of which labels alone do not tell whether it would be given them.
    pub uncertain: BTreeSet<String>,
    /// The revision of each template that it carries.
    pub carried: BTreeMap<String, String>,
    /// When it was created, in seconds since 1970.
    pub created: i64,
}

/// What creates a pod directly.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct Controller {
    /// API group, such as `apps`; empty for the core group.
    pub group: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
}

impl Controller {
    pub(super) fn of(owners: Option<Vec<OwnerReference>>) -> Option<Self> {
        let owner = owners?.into_iter().find(|owner| owner.controller == Some(true))?;
        let group = owner.api_version.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
        Some(Self { group, kind: owner.kind, name: owner.name, uid: owner.uid })
    }
}

/// How pods are looked at.
pub(in crate::cli) struct CarrierSearch<'s> {
    pub keys: &'s AnnotationKeys,
    pub scope: &'s Scope,
}

impl CarrierSearch<'_> {
    /// All pods that carry or request templates and have not ended.
    pub(in crate::cli) async fn pods(&self, caller: &Caller) -> Lookup<Vec<TemplatePod>> {
        let api: Api<Pod> = self.scope.api(&caller.client);
        let mut params = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed");
        params.label_selector = self.scope.selector.clone();
        let request = ApiRequest { verb: "list", resource: "pods", namespace: self.scope.namespace.as_deref() };
        let progress = Progress::counting("pods read");
        let (api, progress) = (&api, &progress);
        let page = |params: ListParams| async move {
            let page = api.list_metadata(&params).await?;
            progress.advance(page.items.len());
            Ok(filter_page(page, |pod: PartialObjectMeta<Pod>| self.of_pod(pod.metadata)))
        };
        caller.pages(&request, params, page).await
    }

    /// `None` if the pod has nothing to do with templates, or is going.
    fn of_pod(&self, metadata: ObjectMeta) -> Option<TemplatePod> {
        let annotations = metadata.annotations.unwrap_or_default();
        let labels = metadata.labels.unwrap_or_default();
        if metadata.deletion_timestamp.is_some() || annotations.contains_key(MIRROR_POD) {
            return None;
        }
        let requested = requested(&annotations, &self.keys.inject);
        let is_injected = annotations.contains_key(&self.keys.status);
        let carried = if is_injected { self.revisions(&labels) } else { BTreeMap::new() };
        if requested.is_empty() && carried.is_empty() {
            return None;
        }
        let name = metadata.name.unwrap_or_default();
        let controller = Controller::of(metadata.owner_references);
        let has_own_name = metadata.generate_name.is_none_or(|prefix| prefix.is_empty());
        let owner = Owner::of_pod(&name, controller.as_ref(), &labels);
        let namespace = metadata.namespace.unwrap_or_default();
        let uncertain = BTreeSet::new();
        let created = metadata.creation_timestamp.map(|time| time.0.as_second()).unwrap_or_default();
        Some(TemplatePod { namespace, name, owner, controller, has_own_name, requested, uncertain, carried, created })
    }

    fn revisions(&self, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let ending = format!(".{}/revision", self.keys.domain());
        let revision = |(key, value): (&String, &String)| Some((key.strip_suffix(&ending)?.to_owned(), value.clone()));
        labels.iter().filter_map(revision).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(metadata: Value) -> Option<TemplatePod> {
        let scope = Scope { namespace: None, selector: None };
        let keys = AnnotationKeys::new("outrigger.dev");
        let search = CarrierSearch { keys: &keys, scope: &scope };
        search.of_pod(serde_json::from_value(metadata).expect("metadata"))
    }

    fn controlled(kind: &str, name: &str, labels: Value) -> Value {
        let controller = json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": true});
        json!({"name": "pod", "namespace": "shop", "labels": labels, "ownerReferences": [controller],
            "annotations": {"outrigger.dev/inject": "proxy@0123456789, logs"}})
    }

    #[test]
    fn the_workload_of_a_pod_is_the_one_that_people_know() {
        for (kind, name, labels, expected) in [
            ("ReplicaSet", "web-5d4f", json!({"pod-template-hash": "5d4f"}), "deploy/web"),
            ("ReplicaSet", "web-5d4f", json!({"rollouts-pod-template-hash": "5d4f"}), "rollout/web"),
            ("ReplicaSet", "web", json!({}), "rs/web"),
            ("StatefulSet", "db", json!({"pod-template-hash": "5d4f"}), "sts/db"),
            ("CloneSet", "x", json!({}), "cloneset/x"),
        ] {
            let found = pod(controlled(kind, name, labels)).expect("it requests a template");
            assert_eq!(found.owner.to_string(), expected);
        }
        let alone =
            pod(json!({"name": "alone", "annotations": {"outrigger.dev/inject": "logs"}})).expect("it requests");
        assert_eq!(alone.owner.to_string(), "pod/alone");
    }

    #[test]
    fn revisions_count_only_beside_a_status() {
        let labels = json!({"proxy.outrigger.dev/revision": "0123456789", "other/revision": "x"});
        let mut metadata = json!({"name": "a", "labels": labels});
        assert_eq!(pod(metadata.clone()), None);
        metadata["annotations"] = json!({"outrigger.dev/status": "{}"});
        let found = pod(metadata.clone()).expect("it carries a template");
        assert_eq!(found.carried, [("proxy".to_owned(), "0123456789".to_owned())].into());
        metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(pod(metadata), None);
    }

    #[test]
    fn pinned_revisions_are_read_from_the_request() {
        let found = pod(controlled("ReplicaSet", "web", json!({}))).expect("it requests");
        let named: Vec<_> = found.requested.iter().map(|named| (&*named.name, named.revision.as_deref())).collect();
        assert_eq!(named, [("proxy", Some("0123456789")), ("logs", None)]);
    }
}
