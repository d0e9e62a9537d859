//! Lists pods and workloads that request templates; the workload of a refused pod exists, the pod
//! never.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::{GroupVersionKind, ObjectMeta, PartialObjectMeta};
use serde_json::Value;

use super::super::observations::{Lookup, PodState, Requester};
use super::caller::{ApiRequest, Caller, filter_page};
use crate::inject::annotations::{self, AnnotationKeys, MIRROR_POD, TemplateRequest};

/// Kind, API group, plural, and pointer to the metadata of the pod template.
const WORKLOADS: [(&str, &str, &str, &str); 5] = [
    ("Deployment", "apps", "deployments", "/spec/template/metadata"),
    ("StatefulSet", "apps", "statefulsets", "/spec/template/metadata"),
    ("DaemonSet", "apps", "daemonsets", "/spec/template/metadata"),
    ("Job", "batch", "jobs", "/spec/template/metadata"),
    ("CronJob", "batch", "cronjobs", "/spec/jobTemplate/spec/template/metadata"),
];

/// `Found` if the pods could be listed; workloads that could not be listed are left out.
pub(super) async fn all(caller: &Caller, domain: &str) -> Lookup<Vec<Requester>> {
    let keys = AnnotationKeys::new(domain);
    let keys = &keys;
    let workloads = WORKLOADS.map(|workload| async move { requesting_workloads(caller, keys, workload).await });
    let (pods, workloads) = tokio::join!(requesting_pods(caller, keys), futures::future::join_all(workloads));
    pods.map(|pods| pods.into_iter().chain(workloads.into_iter().flatten()).collect())
}

async fn requesting_pods(caller: &Caller, keys: &AnnotationKeys) -> Lookup<Vec<Requester>> {
    let api: Api<Pod> = Api::all(caller.client.clone());
    // Pods that have ended cannot be repaired.
    let params = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed");
    let request = ApiRequest { verb: "list", resource: "pods", namespace: None };
    caller
        .pages(&request, params, |params| {
            let api = api.clone();
            async move { Ok(filter_page(api.list_metadata(&params).await?, |pod| from_pod(&pod, keys))) }
        })
        .await
}

fn from_pod(pod: &PartialObjectMeta<Pod>, keys: &AnnotationKeys) -> Option<Requester> {
    let metadata = &pod.metadata;
    let annotations = metadata.annotations.as_ref()?;
    if metadata.deletion_timestamp.is_some() || annotations.contains_key(MIRROR_POD) {
        return None;
    }
    let templates = templates(annotations.get(&keys.inject)?)?;
    let state = if annotations.contains_key(&keys.status) { PodState::WithStatus } else { PodState::WithoutStatus };
    Some(requester("Pod", metadata, metadata.labels.clone().unwrap_or_default(), templates, state))
}

async fn requesting_workloads(
    caller: &Caller,
    keys: &AnnotationKeys,
    workload: (&'static str, &str, &str, &str),
) -> Vec<Requester> {
    let (kind, group, plural, path) = workload;
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
    let api: Api<DynamicObject> = Api::all_with(caller.client.clone(), &resource);
    let request = ApiRequest { verb: "list", resource: plural, namespace: None };
    let found = caller
        .pages(&request, ListParams::default(), |params| {
            let api = api.clone();
            async move { Ok(filter_page(api.list(&params).await?, |object| from_workload(kind, &object, path, keys))) }
        })
        .await;
    found.found().cloned().unwrap_or_default()
}

fn from_workload(kind: &'static str, object: &DynamicObject, path: &str, keys: &AnnotationKeys) -> Option<Requester> {
    let is_owned = object.metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true));
    if is_owned || object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let metadata = object.data.pointer(path)?;
    let templates = templates(metadata.get("annotations")?.get(&keys.inject)?.as_str()?)?;
    let labels = metadata.get("labels").and_then(Value::as_object).into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    Some(requester(kind, &object.metadata, labels, templates, PodState::NoPod))
}

fn requester(
    kind: &'static str,
    metadata: &ObjectMeta,
    labels: BTreeMap<String, String>,
    templates: Vec<String>,
    pod: PodState,
) -> Requester {
    let (namespace, name) = (metadata.namespace.clone(), metadata.name.clone());
    Requester { kind, namespace: namespace.unwrap_or_default(), name: name.unwrap_or_default(), labels, templates, pod }
}

/// `None` if no template is requested; the webhook itself reports an invalid value.
fn templates(value: &str) -> Option<Vec<String>> {
    match annotations::parse_template_request(value) {
        Ok(TemplateRequest::Templates(names)) if !names.is_empty() => Some(names),
        _ => None,
    }
}
