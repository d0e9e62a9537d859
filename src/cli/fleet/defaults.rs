//! Adds to pods, and to workloads without pods, what they are given unasked: by the default list of their
//! namespace, and by Automatic templates that select them.
//!
//! Invariant: a default list counts only for pods without an annotation of their own, and nothing for those
//! that opt out; namespaces that cannot be read are told as any other failure.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::ListParams;
use kube::core::{ObjectMeta, PartialObjectMeta};

use super::automatic::{AutomaticTemplate, Selected};
use super::{Controller, Owner, RequestingWorkload, Scope, Served, TemplatePod, requested};
use crate::cli::cluster::{ApiRequest, Caller, Lookup, filter_page};
use crate::config::settings;
use crate::inject::annotations::{self, AnnotationKeys, MIRROR_POD, NamedTemplate, TemplateRequest};

/// What a namespace that takes part gives unasked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Defaults {
    /// Its default list.
    list: Vec<NamedTemplate>,
    /// Automatic templates that reach it.
    automatic: Vec<Arc<AutomaticTemplate>>,
}

/// The namespaces that give something, by their names.
type DefaultLists = BTreeMap<String, Defaults>;

/// A pod that would be given something unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SilentPod {
    namespace: String,
    name: String,
    owner: Owner,
    controller: Option<Controller>,
    /// Whether it has no list of its own.
    is_silent: bool,
    automatic: Vec<Selected>,
}

impl Defaults {
    /// The Automatic templates for these labels, but for those that are requested.
    fn automatic(&self, labels: &BTreeMap<String, String>, requested: &[NamedTemplate]) -> Vec<Selected> {
        let selected = self.automatic.iter().filter_map(|template| template.select(labels));
        selected.filter(|selected| requested.iter().all(|named| named.name != selected.name)).collect()
    }
}

/// Adds what these pods and workloads are given unasked, and the pods that carry nothing in spite of it.
pub(in crate::cli) async fn add_default_requests(
    caller: &Caller,
    keys: &AnnotationKeys,
    scope: &Scope,
    served: &Served,
    (pods, workloads): (&mut Vec<TemplatePod>, &mut [RequestingWorkload]),
) {
    let automatic: Vec<_> = served.automatic.iter().cloned().map(Arc::new).collect();
    let lists = default_lists(caller, keys, scope, &automatic).await;
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
    for workload in workloads {
        let Some(defaults) = lists.get(&workload.namespace) else { continue };
        if workload.is_silent {
            workload.requested.clone_from(&defaults.list);
        }
        for Selected { name, is_uncertain } in defaults.automatic(&workload.labels, &workload.requested) {
            if is_uncertain {
                workload.uncertain.insert(name.clone());
            }
            workload.requested.push(NamedTemplate { name, revision: None });
        }
    }
}

fn add(lists: &DefaultLists, silent: Vec<SilentPod>, pods: &mut Vec<TemplatePod>) {
    let places: BTreeMap<(String, String), usize> =
        pods.iter().enumerate().map(|(place, pod)| ((pod.namespace.clone(), pod.name.clone()), place)).collect();
    for SilentPod { namespace, name, owner, controller, is_silent, automatic } in silent {
        let Some(defaults) = lists.get(&namespace) else { continue };
        let place = places.get(&(namespace.clone(), name.clone())).copied().unwrap_or_else(|| {
            pods.push(TemplatePod { namespace, name, owner, controller, ..TemplatePod::default() });
            pods.len() - 1
        });
        let pod = &mut pods[place];
        if is_silent {
            pod.requested.clone_from(&defaults.list);
        }
        for Selected { name, is_uncertain } in automatic {
            if is_uncertain {
                pod.uncertain.insert(name.clone());
            }
            pod.requested.push(NamedTemplate { name, revision: None });
        }
    }
}

/// The namespaces that take part and give something unasked.
async fn default_lists(
    caller: &Caller,
    keys: &AnnotationKeys,
    scope: &Scope,
    automatic: &[Arc<AutomaticTemplate>],
) -> DefaultLists {
    let api: Api<Namespace> = Api::all(caller.client.clone());
    let of = |metadata: ObjectMeta| defaults(metadata, keys, automatic);
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

/// What a namespace gives, if it takes part: its label says so, and the server does not exclude it.
fn defaults(
    metadata: ObjectMeta,
    keys: &AnnotationKeys,
    automatic: &[Arc<AutomaticTemplate>],
) -> Option<(String, Defaults)> {
    let (name, labels) = (metadata.name?, metadata.labels?);
    let is_enabled = labels.get(&keys.injection).is_some_and(|label| label == "enabled");
    let mut excluded = settings::EXCLUDE_NAMESPACES.default.split(',').map(str::trim);
    if !is_enabled || excluded.any(|one| one == name) {
        return None;
    }
    let list = requested(&metadata.annotations.unwrap_or_default(), &keys.inject);
    let automatic: Vec<_> = automatic.iter().filter(|template| template.reaches(&name, &labels)).cloned().collect();
    (!list.is_empty() || !automatic.is_empty()).then_some((name, Defaults { list, automatic }))
}

/// The running pods that are given something in the namespaces with defaults.
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
    let page = |params: ListParams| async move {
        let page = api.list_metadata(&params).await?;
        Ok(filter_page(page, |pod: PartialObjectMeta<Pod>| silent_pod(pod.metadata, keys, lists)))
    };
    caller.pages(&request, params, page).await
}

fn silent_pod(metadata: ObjectMeta, keys: &AnnotationKeys, lists: &DefaultLists) -> Option<SilentPod> {
    let annotations = metadata.annotations.unwrap_or_default();
    let namespace = metadata.namespace.unwrap_or_default();
    let defaults = lists.get(&namespace)?;
    if metadata.deletion_timestamp.is_some() || annotations.contains_key(MIRROR_POD) {
        return None;
    }
    let own = annotations.get(&keys.inject).map(|list| annotations::parse_template_request(list));
    let labels = metadata.labels.unwrap_or_default();
    let automatic = match &own {
        None => defaults.automatic(&labels, &defaults.list),
        Some(Ok(TemplateRequest::Templates(named))) => defaults.automatic(&labels, named),
        // It opts out, or is refused.
        Some(Ok(TemplateRequest::OptOut) | Err(_)) => return None,
    };
    let is_silent = own.is_none();
    if automatic.is_empty() && (!is_silent || defaults.list.is_empty()) {
        return None;
    }
    let name = metadata.name.unwrap_or_default();
    let controller = Controller::of(metadata.owner_references);
    let owner = Owner::of_pod(&name, controller.as_ref(), &labels);
    Some(SilentPod { namespace, name, owner, controller, is_silent, automatic })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    fn metadata(value: Value) -> ObjectMeta {
        serde_json::from_value(value).expect("metadata")
    }

    fn list(labels: Value, list: &str, name: &str) -> Option<(String, Defaults)> {
        let annotations = json!({"outrigger.dev/inject": list});
        let object = json!({"name": name, "labels": labels, "annotations": annotations});
        defaults(metadata(object), &AnnotationKeys::new("outrigger.dev"), &[])
    }

    #[test]
    fn a_list_counts_in_namespaces_that_take_part() {
        let enabled = || json!({"outrigger.dev/injection": "enabled"});
        let found = list(enabled(), "proxy, logs@0123456789", "shop").expect("a list");
        let names: Vec<_> = found.1.list.iter().map(|named| (&*named.name, named.revision.as_deref())).collect();
        assert_eq!(names, [("proxy", None), ("logs", Some("0123456789"))]);
        assert_eq!(list(json!({}), "proxy", "shop"), None);
        assert_eq!(list(json!({"outrigger.dev/injection": "disabled"}), "proxy", "shop"), None);
        assert_eq!(list(enabled(), "false", "shop"), None);
        assert_eq!(list(enabled(), "proxy", "kube-system"), None);
    }

    #[test]
    fn pods_without_a_list_of_their_own_request_that_of_their_namespace() {
        let keys = AnnotationKeys::new("outrigger.dev");
        let lists: DefaultLists =
            list(json!({"outrigger.dev/injection": "enabled"}), "proxy", "shop").into_iter().collect();
        let silent = |annotations: Value, namespace: &str| {
            let owners = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "uid": "u", "controller": true}]);
            let object = json!({"name": "web-5d4f-x", "namespace": namespace, "annotations": annotations,
                "labels": {"pod-template-hash": "5d4f"}, "ownerReferences": owners});
            silent_pod(metadata(object), &keys, &lists)
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
            uncertain: BTreeSet::new(),
            labels: BTreeMap::new(),
        };
        let mut workloads = [workload("shop", true), workload("shop", false), workload("other", true)];
        request_by_default(&lists, &mut workloads);
        assert_eq!(workloads.each_ref().map(|workload| workload.requested.len()), [1, 0, 0]);
    }

    #[test]
    fn automatic_templates_are_given_to_pods_and_workloads_that_they_select() {
        use crate::api::template_object::ObjectKey;
        let keys = AnnotationKeys::new("outrigger.dev");
        let template = |name: &str, matching: Value| {
            let key = ObjectKey { namespace: None, name: name.to_owned() };
            let spec = json!({"injection": "Automatic", "match": matching});
            Arc::new(AutomaticTemplate::of(&key, &spec).expect("it is Automatic"))
        };
        let automatic = [
            template("agent", json!({"podSelector": {"matchLabels": {"app": "web"}}})),
            template("maybe", json!({"podSelector": {}, "conditions": [{"expression": "true", "message": "x"}]})),
        ];
        let namespace = json!({"name": "shop", "labels": {"outrigger.dev/injection": "enabled"}});
        let lists: DefaultLists = defaults(metadata(namespace), &keys, &automatic).into_iter().collect();
        let pod = |name: &str, app: &str, annotations: Value| {
            metadata(json!({"name": name, "namespace": "shop", "labels": {"app": app}, "annotations": annotations}))
        };
        let silent = [
            pod("web", "web", json!({})),
            pod("db", "db", json!({})),
            pod("named", "web", json!({"outrigger.dev/inject": "agent"})),
            pod("out", "web", json!({"outrigger.dev/inject": "false"})),
        ];
        let silent: Vec<_> = silent.into_iter().filter_map(|pod| silent_pod(pod, &keys, &lists)).collect();
        let named = |name: &str| NamedTemplate { name: name.to_owned(), revision: None };
        let mut pods = vec![TemplatePod {
            namespace: "shop".to_owned(),
            name: "named".to_owned(),
            requested: vec![named("agent")],
            ..TemplatePod::default()
        }];
        add(&lists, silent, &mut pods);
        let told = |requested: &[NamedTemplate], uncertain: &BTreeSet<String>| {
            let names: Vec<_> = requested.iter().map(|named| named.name.clone()).collect();
            format!("{} ({})", names.join(","), uncertain.iter().cloned().collect::<Vec<_>>().join(","))
        };
        let found: Vec<_> =
            pods.iter().map(|pod| format!("{} {}", pod.name, told(&pod.requested, &pod.uncertain))).collect();
        assert_eq!(found, ["named agent,maybe (maybe)", "web agent,maybe (maybe)", "db maybe (maybe)"]);
        let mut workloads = [RequestingWorkload {
            namespace: "shop".to_owned(),
            owner: Owner { kind: "Job".to_owned(), name: "refused".to_owned() },
            requested: Vec::new(),
            is_silent: true,
            uncertain: BTreeSet::new(),
            labels: [("app".to_owned(), "web".to_owned())].into(),
        }];
        request_by_default(&lists, &mut workloads);
        assert_eq!(told(&workloads[0].requested, &workloads[0].uncertain), "agent,maybe (maybe)");
    }
}
