//! Lists the workloads whose pod templates request templates: those of refused pods have no pods.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use serde_json::Value;

use super::{Owner, Scope, requested};
use crate::cli::cluster::{ApiRequest, Caller, Lookup, filter_page};
use crate::inject::annotations::{AnnotationKeys, NamedTemplate};

/// Kind, API group, plural, and pointer to the annotations of the pod template.
const WORKLOADS: [(&str, &str, &str, &str); 4] = [
    ("Deployment", "apps", "deployments", "/spec/template/metadata/annotations"),
    ("StatefulSet", "apps", "statefulsets", "/spec/template/metadata/annotations"),
    ("DaemonSet", "apps", "daemonsets", "/spec/template/metadata/annotations"),
    ("CronJob", "batch", "cronjobs", "/spec/jobTemplate/spec/template/metadata/annotations"),
];

/// A workload whose pods request templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct RequestingWorkload {
    pub namespace: String,
    pub owner: Owner,
    pub requested: Vec<NamedTemplate>,
}

impl RequestingWorkload {
    /// All of the known kinds. Kinds that cannot be listed are left out; the caller has recorded why.
    pub(in crate::cli) async fn all(caller: &Caller, keys: &AnnotationKeys, scope: &Scope) -> Vec<Self> {
        let lists = WORKLOADS.map(|workload| Self::of_kind(caller, keys, scope, workload));
        futures::future::join_all(lists).await.into_iter().flatten().collect()
    }

    async fn of_kind(
        caller: &Caller,
        keys: &AnnotationKeys,
        scope: &Scope,
        (kind, group, plural, annotations): (&str, &str, &str, &str),
    ) -> Vec<Self> {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
        let api: Api<DynamicObject> = match &scope.namespace {
            Some(namespace) => Api::namespaced_with(caller.client.clone(), namespace, &resource),
            None => Api::all_with(caller.client.clone(), &resource),
        };
        let request = ApiRequest { verb: "list", resource: plural, namespace: scope.namespace.as_deref() };
        let api = &api;
        let page = |params: ListParams| async move {
            Ok(filter_page(api.list(&params).await?, |object| Self::of(&object, kind, annotations, keys)))
        };
        match caller.pages(&request, ListParams::default(), page).await {
            Lookup::Found(found) => found,
            Lookup::Absent | Lookup::Unknown => Vec::new(),
        }
    }

    fn of(object: &DynamicObject, kind: &str, annotations: &str, keys: &AnnotationKeys) -> Option<Self> {
        let metadata = &object.metadata;
        let is_owned = metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true));
        if is_owned || metadata.deletion_timestamp.is_some() {
            return None;
        }
        let requested = requested(&texts(object.data.pointer(annotations)), &keys.inject);
        let owner = Owner { kind: kind.to_owned(), name: metadata.name.clone().unwrap_or_default() };
        let namespace = metadata.namespace.clone().unwrap_or_default();
        (!requested.is_empty()).then_some(Self { namespace, owner, requested })
    }
}

fn texts(map: Option<&Value>) -> BTreeMap<String, String> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
