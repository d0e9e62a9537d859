//! Adds to pods, and to workloads without pods, what the default list of their namespace requests for them.
//!
//! Invariant: only pods without an annotation of their own count; namespaces that cannot be read are
//! told as any other failure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::ListParams;
use kube::core::{ObjectMeta, PartialObjectMeta};

use super::{Controller, Owner, RequestingWorkload, Scope, TemplatePod, requested};
use crate::cli::cluster::{ApiRequest, Caller, Lookup, filter_page};
use crate::config::settings;
use crate::inject::annotations::{AnnotationKeys, MIRROR_POD, NamedTemplate};

/// The default lists of namespaces, by their names.
type DefaultLists = BTreeMap<String, Vec<NamedTemplate>>;

/// A pod that has no list of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SilentPod {
    namespace: String,
    name: String,
    owner: Owner,
    controller: Option<Controller>,
}

/// Adds the requests of default lists to these pods and workloads, and the pods that carry nothing in spite
/// of one.
pub(in crate::cli) async fn add_default_requests(
    caller: &Caller,
    keys: &AnnotationKeys,
    scope: &Scope,
    pods: &mut Vec<TemplatePod>,
    workloads: &mut [RequestingWorkload],
) {
    let lists = default_lists(caller, keys, scope).await;
    if lists.is_empty() {
        return;
    }
    // Without their pods, all workloads would look as if they had none.
    if let Lookup::Found(silent) = silent_pods(caller, keys, scope, &lists).await {
        add(&lists, silent, pods);
        request_by_default(&lists, workloads);
    }
}

fn request_by_default(lists: &DefaultLists, workloads: &mut [RequestingWorkload]) {
    for workload in workloads.iter_mut().filter(|workload| workload.is_silent) {
        if let Some(list) = lists.get(&workload.namespace) {
            workload.requested.clone_from(list);
        }
    }
}

fn add(lists: &DefaultLists, silent: Vec<SilentPod>, pods: &mut Vec<TemplatePod>) {
    let places: BTreeMap<(String, String), usize> =
        pods.iter().enumerate().map(|(place, pod)| ((pod.namespace.clone(), pod.name.clone()), place)).collect();
    for SilentPod { namespace, name, owner, controller } in silent {
        let Some(requested) = lists.get(&namespace) else { continue };
        match places.get(&(namespace.clone(), name.clone())) {
            Some(place) => pods[*place].requested.clone_from(requested),
            None => pods.push(TemplatePod {
                requested: requested.clone(),
                namespace,
                name,
                owner,
                controller,
                ..TemplatePod::default()
            }),
        }
    }
}

/// The lists of the namespaces that take part.
async fn default_lists(caller: &Caller, keys: &AnnotationKeys, scope: &Scope) -> DefaultLists {
    let api: Api<Namespace> = Api::all(caller.client.clone());
    let of = |metadata: ObjectMeta| default_list(metadata, keys);
    if let Some(name) = &scope.namespace {
        let request = ApiRequest { verb: "get", resource: "namespaces", namespace: Some(name) };
        return match caller.observe(&request, api.get_metadata(name)).await {
            Lookup::Found(found) => of(found.metadata).into_iter().collect(),
            Lookup::Absent | Lookup::Unknown => DefaultLists::new(),
        };
    }
    let request = ApiRequest { verb: "list", resource: "namespaces", namespace: None };
    let api = &api;
    let page = |params: ListParams| async move {
        Ok(filter_page(api.list_metadata(&params).await?, |one: PartialObjectMeta<Namespace>| of(one.metadata)))
    };
    match caller.pages(&request, ListParams::default(), page).await {
        Lookup::Found(found) => found.into_iter().collect(),
        Lookup::Absent | Lookup::Unknown => DefaultLists::new(),
    }
}

/// The list of a namespace that applies: its label says so, and the server does not exclude it.
fn default_list(metadata: ObjectMeta, keys: &AnnotationKeys) -> Option<(String, Vec<NamedTemplate>)> {
    let name = metadata.name?;
    let is_enabled = metadata.labels?.get(&keys.injection).is_some_and(|label| label == "enabled");
    let mut excluded = settings::EXCLUDE_NAMESPACES.default.split(',').map(str::trim);
    let names = requested(&metadata.annotations?, &keys.inject);
    let applies = is_enabled && !names.is_empty() && !excluded.any(|one| one == name);
    applies.then_some((name, names))
}

/// The running pods without a list of their own in the namespaces with a default list.
async fn silent_pods(
    caller: &Caller,
    keys: &AnnotationKeys,
    scope: &Scope,
    lists: &DefaultLists,
) -> Lookup<Vec<SilentPod>> {
    let api: Api<Pod> = scope.api(&caller.client);
    let mut params = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    params.label_selector = scope.selector.clone();
    let request = ApiRequest { verb: "list", resource: "pods", namespace: scope.namespace.as_deref() };
    let api = &api;
    let names: BTreeSet<&str> = lists.keys().map(String::as_str).collect();
    let names = &names;
    let page = |params: ListParams| async move {
        let page = api.list_metadata(&params).await?;
        Ok(filter_page(page, |pod: PartialObjectMeta<Pod>| silent_pod(pod.metadata, keys, names)))
    };
    caller.pages(&request, params, page).await
}

fn silent_pod(metadata: ObjectMeta, keys: &AnnotationKeys, namespaces: &BTreeSet<&str>) -> Option<SilentPod> {
    let annotations = metadata.annotations.unwrap_or_default();
    let namespace = metadata.namespace.unwrap_or_default();
    let is_silent = namespaces.contains(namespace.as_str())
        && metadata.deletion_timestamp.is_none()
        && !annotations.contains_key(MIRROR_POD)
        && !annotations.contains_key(&keys.inject);
    if !is_silent {
        return None;
    }
    let name = metadata.name.unwrap_or_default();
    let controller = Controller::of(metadata.owner_references);
    let owner = Owner::of_pod(&name, controller.as_ref(), &metadata.labels.unwrap_or_default());
    Some(SilentPod { namespace, name, owner, controller })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn metadata(value: Value) -> ObjectMeta {
        serde_json::from_value(value).expect("metadata")
    }

    fn list(labels: Value, list: &str, name: &str) -> Option<(String, Vec<NamedTemplate>)> {
        let annotations = json!({"outrigger.dev/inject": list});
        let object = json!({"name": name, "labels": labels, "annotations": annotations});
        default_list(metadata(object), &AnnotationKeys::new("outrigger.dev"))
    }

    #[test]
    fn a_list_counts_in_namespaces_that_take_part() {
        let enabled = || json!({"outrigger.dev/injection": "enabled"});
        let found = list(enabled(), "proxy, logs@0123456789", "shop").expect("a list");
        let names: Vec<_> = found.1.iter().map(|named| (&*named.name, named.revision.as_deref())).collect();
        assert_eq!(names, [("proxy", None), ("logs", Some("0123456789"))]);
        assert_eq!(list(json!({}), "proxy", "shop"), None);
        assert_eq!(list(json!({"outrigger.dev/injection": "disabled"}), "proxy", "shop"), None);
        assert_eq!(list(enabled(), "false", "shop"), None);
        assert_eq!(list(enabled(), "proxy", "kube-system"), None);
    }

    #[test]
    fn pods_without_a_list_of_their_own_request_that_of_their_namespace() {
        let keys = AnnotationKeys::new("outrigger.dev");
        let silent = |annotations: Value, namespace: &str| {
            let owners = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "uid": "u", "controller": true}]);
            let object = json!({"name": "web-5d4f-x", "namespace": namespace, "annotations": annotations,
                "labels": {"pod-template-hash": "5d4f"}, "ownerReferences": owners});
            silent_pod(metadata(object), &keys, &["shop"].into())
        };
        let found = silent(json!({}), "shop").expect("it is silent");
        assert_eq!(found.owner.to_string(), "deploy/web");
        for (annotations, namespace) in [
            (json!({"outrigger.dev/inject": "false"}), "shop"),
            (json!({"outrigger.dev/inject": "logs"}), "shop"),
            (json!({MIRROR_POD: "x"}), "shop"),
            (json!({}), "other"),
        ] {
            assert_eq!(silent(annotations, namespace), None);
        }
        let lists: DefaultLists =
            list(json!({"outrigger.dev/injection": "enabled"}), "proxy", "shop").into_iter().collect();
        let carrying = TemplatePod {
            carried: [("proxy".to_owned(), "a".to_owned())].into(),
            namespace: "shop".to_owned(),
            name: found.name.clone(),
            owner: found.owner.clone(),
            ..TemplatePod::default()
        };
        let other = SilentPod { name: "web-5d4f-y".to_owned(), ..found.clone() };
        let mut pods = vec![carrying];
        add(&lists, vec![found, other], &mut pods);
        let told: Vec<_> = pods.iter().map(|pod| (&*pod.name, pod.requested.len(), pod.carried.len())).collect();
        assert_eq!(told, [("web-5d4f-x", 1, 1), ("web-5d4f-y", 1, 0)]);
        assert_eq!(pods[1].controller.as_ref().map(|controller| controller.uid.as_str()), Some("u"));
    }

    #[test]
    fn workloads_without_a_list_of_their_own_request_that_of_their_namespace() {
        let lists: DefaultLists =
            list(json!({"outrigger.dev/injection": "enabled"}), "proxy", "shop").into_iter().collect();
        let workload = |namespace: &str, is_silent: bool| RequestingWorkload {
            namespace: namespace.to_owned(),
            owner: Owner { kind: "Job".to_owned(), name: "refused".to_owned() },
            requested: Vec::new(),
            is_silent,
        };
        let mut workloads = [workload("shop", true), workload("shop", false), workload("other", true)];
        request_by_default(&lists, &mut workloads);
        assert_eq!(workloads.each_ref().map(|workload| workload.requested.len()), [1, 0, 0]);
    }
}
