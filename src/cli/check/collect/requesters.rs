//! Lists pods and workloads that concern us; the workload of a refused pod exists, the pod never.
//!
//! Of each object only what findings need is kept, page by page: a cluster has many, and they may be
//! large.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::{GroupVersionKind, ObjectMeta, PartialObjectMeta};
use serde_json::{Value, json};

use super::super::observations::{LoadedTemplates, PodState, Requester};
use super::trials::{MAX_TRIALS, WorkloadPod};
use crate::cli::cluster::Lookup;
use crate::cli::cluster::{ApiRequest, Caller, filter_page};
use crate::inject::annotations::{self, AnnotationKeys, MIRROR_POD, TemplateRequest};
use crate::inject::{KeyCheck, KeyPlace, KeyUse};
use crate::workload;

/// Kind, API group, plural, and pointer to the metadata of the pod template.
const WORKLOADS: [(&str, &str, &str, &str); 5] = [
    ("Deployment", "apps", "deployments", "/spec/template/metadata"),
    ("StatefulSet", "apps", "statefulsets", "/spec/template/metadata"),
    ("DaemonSet", "apps", "daemonsets", "/spec/template/metadata"),
    ("Job", "batch", "jobs", "/spec/template/metadata"),
    ("CronJob", "batch", "cronjobs", "/spec/jobTemplate/spec/template/metadata"),
];

/// Controllers whose pods have the keys of a workload that is listed.
const CONTROLLERS: [&str; 4] = ["ReplicaSet", "StatefulSet", "DaemonSet", "Job"];

/// Everything that was listed.
pub(super) struct Requesters {
    /// `Found` if the pods could be listed; workloads that could not be listed are left out.
    pub objects: Lookup<Vec<Requester>>,
    /// Pods of requesting workloads, for dry runs.
    pub pods: Vec<WorkloadPod>,
    /// Number of further requesting workloads.
    pub more_pods: usize,
}

pub(super) async fn all(caller: &Caller, domain: &str) -> Requesters {
    let found = AtomicUsize::new(0);
    let search = Search { keys: &AnnotationKeys::new(domain), domain, found: &found };
    let workloads = WORKLOADS.map(|workload| async move { search.workloads(caller, workload).await });
    let (pods, workloads) = tokio::join!(search.pods(caller), futures::future::join_all(workloads));
    let (workloads, tried): (Vec<Requester>, Vec<Option<WorkloadPod>>) = workloads.into_iter().flatten().unzip();
    let tried: Vec<WorkloadPod> = tried.into_iter().flatten().collect();
    let more_pods = found.load(Ordering::Relaxed).saturating_sub(tried.len());
    Requesters { objects: pods.map(|pods| pods.into_iter().chain(workloads).collect()), pods: tried, more_pods }
}

/// Whether a key looks like one of ours, whatever templates there are.
pub(super) fn may_be_ours(keys: &AnnotationKeys, place: KeyPlace, key: &str) -> bool {
    KeyCheck::new(keys, &LoadedTemplates::default(), &[]).key(place, key) != KeyUse::Foreign
}

#[derive(Clone, Copy)]
struct Search<'s> {
    keys: &'s AnnotationKeys,
    domain: &'s str,
    /// Number of requesting workloads so far.
    found: &'s AtomicUsize,
}

impl Search<'_> {
    async fn pods(self, caller: &Caller) -> Lookup<Vec<Requester>> {
        let api: Api<Pod> = Api::all(caller.client.clone());
        // Pods that have ended cannot be repaired.
        let params = ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed");
        let request = ApiRequest { verb: "list", resource: "pods", namespace: None };
        caller
            .pages(&request, params, |params| {
                let api = api.clone();
                async move { Ok(filter_page(api.list_metadata(&params).await?, |pod| self.of_pod(&pod))) }
            })
            .await
    }

    fn of_pod(self, pod: &PartialObjectMeta<Pod>) -> Option<Requester> {
        let metadata = &pod.metadata;
        let (annotations, labels) =
            (metadata.annotations.clone().unwrap_or_default(), metadata.labels.clone().unwrap_or_default());
        if metadata.deletion_timestamp.is_some() || annotations.contains_key(MIRROR_POD) {
            return None;
        }
        let is_injected = annotations.contains_key(&self.keys.status);
        let mut controllers = metadata.owner_references.iter().flatten();
        let mut found = Requester {
            pod: if is_injected { PodState::WithStatus } else { PodState::WithoutStatus },
            templates: annotations.get(&self.keys.inject).and_then(|value| templates(value)).unwrap_or_default(),
            revisions: if is_injected { self.revisions(&labels) } else { BTreeMap::new() },
            ..requester("Pod", metadata)
        };
        if !controllers.any(|owner| CONTROLLERS.contains(&owner.kind.as_str())) {
            found.keys.extend(self.looking_like_ours(KeyPlace::PodAnnotation, annotations.keys()));
            found.keys.extend(self.looking_like_ours(KeyPlace::PodLabel, labels.keys()));
        }
        // Selectors matter only for pods that were left out.
        found.labels = if is_injected { BTreeMap::new() } else { labels };
        (is_injected || !found.templates.is_empty() || !found.keys.is_empty()).then_some(found)
    }

    /// The revisions that the labels of an injected pod name, by template.
    fn revisions(self, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let ending = format!(".{}/revision", self.domain);
        let revision = |(key, value): (&String, &String)| Some((key.strip_suffix(&ending)?.to_owned(), value.clone()));
        labels.iter().filter_map(revision).collect()
    }

    async fn workloads(
        self,
        caller: &Caller,
        workload: (&'static str, &'static str, &str, &'static str),
    ) -> Vec<(Requester, Option<WorkloadPod>)> {
        let (kind, group, plural, path) = workload;
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
        let api: Api<DynamicObject> = Api::all_with(caller.client.clone(), &resource);
        let request = ApiRequest { verb: "list", resource: plural, namespace: None };
        let found = caller
            .pages(&request, ListParams::default(), |params| {
                let api = api.clone();
                async move {
                    let keep = |object| self.of_workload((group, kind), object, path);
                    Ok(filter_page(api.list(&params).await?, keep))
                }
            })
            .await;
        match found {
            Lookup::Found(found) => found,
            Lookup::Absent | Lookup::Unknown => Vec::new(),
        }
    }

    fn of_workload(
        self,
        (group, kind): (&str, &'static str),
        object: DynamicObject,
        path: &str,
    ) -> Option<(Requester, Option<WorkloadPod>)> {
        let metadata = &object.metadata;
        let is_owned = metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true));
        if is_owned || metadata.deletion_timestamp.is_some() {
            return None;
        }
        let of_pods = |map: &str| texts(object.data.pointer(&format!("{path}/{map}")));
        let (annotations, labels) = (of_pods("annotations"), of_pods("labels"));
        let inject = annotations.get(&self.keys.inject);
        let mut found = requester(kind, metadata);
        found.templates = inject.and_then(|value| templates(value)).unwrap_or_default();
        found.keys.extend(self.looking_like_ours(KeyPlace::PodAnnotation, annotations.keys()));
        let elsewhere = [
            (KeyPlace::PodLabel, labels.keys().collect::<Vec<_>>()),
            (KeyPlace::OtherAnnotation, metadata.annotations.iter().flatten().map(|(key, _)| key).collect()),
            (KeyPlace::OtherLabel, metadata.labels.iter().flatten().map(|(key, _)| key).collect()),
        ];
        for (place, keys) in elsewhere {
            // What stands at its right place as well does no harm elsewhere.
            let keys = keys.into_iter().filter(|key| !annotations.contains_key(*key));
            found.keys.extend(self.looking_like_ours(place, keys));
        }
        found.labels = labels;
        let asks = inject.is_some_and(|value| requests_something(value));
        if !asks && found.keys.is_empty() {
            return None;
        }
        let is_tried = asks && !has_ended(&object.data) && self.found.fetch_add(1, Ordering::Relaxed) < MAX_TRIALS;
        let pod = is_tried.then(|| self.pod((group, kind), object, &found)).flatten();
        Some((found, pod))
    }

    /// The pod that the controller would create.
    fn pod(self, (group, kind): (&str, &str), object: DynamicObject, of: &Requester) -> Option<WorkloadPod> {
        let mut document = serde_json::to_value(object).ok()?;
        // The items of a list lack them.
        document["apiVersion"] = json!(format!("{group}/v1"));
        document["kind"] = json!(kind);
        let found = workload::find(&document, self.domain);
        let pod = workload::created_pod(&document, found.pods.first()?, &of.namespace)?;
        Some(WorkloadPod { title: of.title(), namespace: of.namespace.clone(), pod })
    }

    fn looking_like_ours<'k>(
        self,
        place: KeyPlace,
        keys: impl Iterator<Item = &'k String>,
    ) -> impl Iterator<Item = (KeyPlace, String)> {
        keys.filter(move |key| may_be_ours(self.keys, place, key)).map(move |key| (place, key.clone()))
    }
}

/// A Job that has ended creates no more pods.
fn has_ended(job: &Value) -> bool {
    let conditions = job.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        matches!(condition["type"].as_str(), Some("Complete" | "Failed")) && condition["status"] == "True"
    })
}

fn texts(map: Option<&Value>) -> BTreeMap<String, String> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn requester(kind: &'static str, metadata: &ObjectMeta) -> Requester {
    Requester {
        kind,
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        labels: BTreeMap::new(),
        templates: Vec::new(),
        pod: PodState::NoPod,
        keys: Vec::new(),
        revisions: BTreeMap::new(),
    }
}

/// `None` if no template is requested; the webhook itself reports an invalid value.
fn templates(value: &str) -> Option<Vec<String>> {
    Some(annotations::requested_names(value)).filter(|names| !names.is_empty())
}

/// Whether a value requests templates, or is invalid, for which the pod is refused.
fn requests_something(value: &str) -> bool {
    match annotations::parse_template_request(value) {
        Ok(TemplateRequest::Templates(names)) => !names.is_empty(),
        Ok(TemplateRequest::OptOut) => false,
        Err(_) => true,
    }
}
