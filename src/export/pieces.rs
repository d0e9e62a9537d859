//! What a template adds to any pod, read from what the engine adds to a sample pod.
//!
//! Invariant: a change of the sample that is not understood is a restriction, never dropped.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::restrictions::POD_FIELDS;
use super::{Installation, Restriction};
use crate::inject::{CompiledSource, Injector, ObjectText, Outcome, Request, TemplateScope, TemplateSet};

/// The sample's containers; every list of theirs has an element that marks the pod's own.
const CONTAINERS: [&str; 2] = ["outrigger-sample-a", "outrigger-sample-b"];
const MARK: &str = "outrigger-sample";
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Elements before and after the pod's own.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Added {
    pub first: Vec<Value>,
    pub last: Vec<Value>,
}

/// What a template adds to a pod.
#[derive(Debug)]
pub(super) struct Pieces {
    pub init_containers: Added,
    pub containers: Added,
    pub volumes: Vec<Value>,
    /// For each container of the app: `env`, `envFrom`, `volumeMounts`.
    pub app: Vec<(&'static str, Added)>,
    /// Fields of the pod's spec that the pod must not have.
    pub pod: Map<String, Value>,
    pub labels: Map<String, Value>,
    pub annotations: Map<String, Value>,
    pub status: StatusParts,
}

/// The texts of one field of each item.
pub(super) fn names<'a>(items: impl IntoIterator<Item = &'a Value>, key: &str) -> Vec<&'a str> {
    items.into_iter().filter_map(|item| item[key].as_str()).collect()
}

fn unknown(field: &str, why: impl Into<String>) -> Restriction {
    Restriction::new("effect", field, why)
}

/// A pod that requests the template.
pub(super) fn sample(domain: &str, template: &str) -> Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": "sample:1", "env": [{"name": MARK, "value": "x"}],
            "envFrom": [{"configMapRef": {"name": MARK}}],
            "volumeMounts": [{"name": MARK, "mountPath": "/outrigger-sample"}],
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": MARK, "labels": {MARK: "x"}, "annotations": {format!("{domain}/inject"): template},
        },
        "spec": {
            "containers": CONTAINERS.map(container), "initContainers": [container(MARK)],
            "volumes": [{"name": MARK, "emptyDir": {}}],
        },
    })
}

/// The template alone, for all pods: the policy itself states which ones its `match` selects.
fn for_all_pods(injector: &Injector, template: &str, spec: &Value) -> Injector {
    let mut spec = spec.clone();
    if let Some(matching) = spec.get_mut("match").and_then(Value::as_object_mut) {
        matching.retain(|field, _| field == "os");
    }
    alone(injector, template, &spec)
}

/// The only template, with this spec.
pub(super) fn alone(injector: &Injector, template: &str, spec: &Value) -> Injector {
    let document = json!({
        "apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate",
        "metadata": {"name": template}, "spec": spec,
    });
    let source = CompiledSource::of_object(&ObjectText {
        origin: template.to_owned(),
        name: template.to_owned(),
        scope: TemplateScope::Cluster,
        document: document.to_string(),
        ..ObjectText::default()
    });
    let loaded = TemplateSet::assemble(&[Arc::new(source)], &TemplateSet::default());
    Injector::new(loaded.templates, injector.settings().clone())
}

/// Writes the revision of the whole template where the sample has that of the template without its
/// `match`.
fn with_revision(pod: &mut Value, template: &str, domain: &str, revision: &str) {
    let label = format!("{template}.{domain}/revision");
    let other = pod["metadata"]["labels"][&label].as_str().unwrap_or_default().to_owned();
    pod["metadata"]["labels"][&label] = json!(revision);
    let status = &mut pod["metadata"]["annotations"][format!("{domain}/status")];
    let text = status.as_str().unwrap_or_default();
    *status = json!(text.replacen(&format!("\"revision\":\"{other}\""), &format!("\"revision\":\"{revision}\""), 1));
}

/// Injects the template into the sample, and reads what it added.
pub(super) fn of(
    injector: &Injector,
    template: &str,
    spec: &Value,
    installation: &Installation<'_>,
) -> Result<Pieces, Vec<Restriction>> {
    let domain = installation.domain;
    let before = sample(domain, template);
    let of_all = for_all_pods(injector, template, spec);
    let mut after = injected(&of_all, &before).map_err(|why| vec![unknown("spec", why)])?;
    let status = injector.templates().status_of(&TemplateScope::Cluster, template);
    with_revision(&mut after, template, domain, status.and_then(|status| status.revision).unwrap_or_default());
    let mut found = Vec::new();
    let status_key = format!("{domain}/status");
    let mut labels = new_keys(&before, &after, "/metadata/labels");
    labels.remove(MARK);
    let mut annotations = new_keys(&before, &after, "/metadata/annotations");
    let status = annotations.remove(&status_key).unwrap_or_default();
    annotations.remove(DEFAULT_CONTAINER);
    let [init_containers, containers, volumes] =
        ["initContainers", "containers", "volumes"].map(|list| around(&after["spec"][list], &before["spec"][list]));
    let of_list = |list: Option<Added>, field: &str, found: &mut Vec<Restriction>| {
        list.unwrap_or_else(|| {
            found.push(unknown(field, "the template changes the pod's own elements, or stands between them"));
            Added::default()
        })
    };
    let app = app(&before, &after).unwrap_or_else(|why| {
        found.push(unknown("spec.app", why));
        Vec::new()
    });
    let init_containers = of_list(init_containers, "spec.placement", &mut found);
    let containers = of_list(containers, "spec.app", &mut found);
    let volumes = of_list(volumes, "spec.volumes", &mut found).last;
    let mut pod = new_keys(&before, &after, "/spec");
    pod.retain(|field, _| POD_FIELDS.contains(&field.as_str()));
    let others = |of: &Value| {
        let mut spec = of["spec"].as_object().cloned().unwrap_or_default();
        spec.retain(|field, _| {
            !["initContainers", "containers", "volumes"].contains(&&**field) && !pod.contains_key(field)
        });
        spec
    };
    if others(&before) != others(&after) {
        found.push(unknown("spec.pod", "the template changes other fields of the pod"));
    }
    let status = read_status(status.as_str().unwrap_or_default());
    let Some(status) = status else {
        found.push(unknown("spec", "the status annotation would depend on more than the containers' names"));
        return Err(found);
    };
    if !found.is_empty() {
        return Err(found);
    }
    Ok(Pieces { init_containers, containers, volumes, app, pod, labels, annotations, status })
}

/// The pod as the injector makes it, or why it does not inject.
pub(super) fn injected(injector: &Injector, before: &Value) -> Result<Value, String> {
    let text = before.to_string();
    match injector.inject(&Request::create_pod(MARK, &text)) {
        Ok(Outcome::Injected(injection)) => {
            let patch = injection.patch().map_err(|error| error.to_string())?;
            let mut after = before.clone();
            json_patch::patch(&mut after, &patch).map_err(|error| error.to_string())?;
            Ok(after)
        }
        Ok(Outcome::Skipped(_)) => Err("a plain pod that requests the template does not get it".to_owned()),
        Err(error) => Err(format!("a plain pod that requests the template is refused: {error}")),
    }
}

fn new_keys(before: &Value, after: &Value, pointer: &str) -> Map<String, Value> {
    let keys = |pod: &Value| pod.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default();
    let old = keys(before);
    keys(after).into_iter().filter(|(key, _)| !old.contains_key(key)).collect()
}

/// The elements before and after the pod's own, whose names must still stand in one row.
fn around(after: &Value, own: &Value) -> Option<Added> {
    let (after, own) = (after.as_array()?, own.as_array()?);
    let key = |item: &Value| item.get("name").or_else(|| item.pointer("/configMapRef/name")).cloned();
    let start = after.iter().position(|item| key(item) == own.first().and_then(key))?;
    let rows = after.get(start..start + own.len())?;
    let is_own = rows.iter().zip(own).all(|(one, other)| key(one) == key(other));
    is_own.then(|| Added { first: after[..start].to_vec(), last: after[start + own.len()..].to_vec() })
}

/// What each container of the app gets; an error if they get different things, or something else.
fn app(before: &Value, after: &Value) -> Result<Vec<(&'static str, Added)>, &'static str> {
    const LISTS: [&str; 3] = ["env", "envFrom", "volumeMounts"];
    let find = |pod: &Value, list: &str, name: &str| {
        pod["spec"][list].as_array().into_iter().flatten().find(|item| item["name"] == name).cloned()
    };
    let lost = "a container of the pod is replaced";
    if find(before, "initContainers", MARK) != find(after, "initContainers", MARK) {
        return Err("init containers of the app get something; a policy adds to its containers only");
    }
    let mut all = Vec::new();
    for name in CONTAINERS {
        let mut own = find(before, "containers", name).ok_or(lost)?;
        let mut now = find(after, "containers", name).ok_or(lost)?;
        let mut lists = Vec::new();
        for list in LISTS {
            let added = around(&now[list], &own[list]).ok_or("the container's own elements change")?;
            lists.push((list, added));
            own[list] = Value::Null;
            now[list] = Value::Null;
        }
        if own != now {
            return Err("containers of the app get more than env, envFrom and volumeMounts");
        }
        all.push(lists);
    }
    let first = all.swap_remove(0);
    if all.iter().any(|other| *other != first) {
        return Err("only some of the app's containers are chosen, or each gets something else");
    }
    Ok(first.into_iter().filter(|(_, added)| *added != Added::default()).collect())
}

/// The status annotation, as a policy writes it.
#[derive(Debug)]
pub(super) struct StatusParts {
    /// The text before and after the items of `added`.
    pub around: [String; 2],
    /// Items of `added` before those of containers, such as files.
    pub first: Vec<String>,
    /// Items for each container, after its name.
    pub of_container: Vec<String>,
    /// The other items, but for the annotation of the default container.
    pub last: Vec<String>,
}

/// Takes the status apart; `None` if it depends on more than the names of containers.
fn read_status(text: &str) -> Option<StatusParts> {
    let status: Value = serde_json::from_str(text).ok()?;
    let [entry] = status["templates"].as_array()?.as_slice() else { return None };
    if ["replaced", "raised", "appended", "prepended"].iter().any(|key| entry.get(key).is_some()) {
        return None;
    }
    let list = &entry["added"];
    let (before, after) = text.split_once(&list.to_string())?;
    let items: Vec<&str> = list.as_array()?.iter().filter_map(Value::as_str).collect();
    let [of_a, of_b] = CONTAINERS.map(|name| {
        let prefix = format!("containers/{name}/");
        items.iter().filter_map(|item| item.strip_prefix(&prefix)).map(str::to_owned).collect::<Vec<_>>()
    });
    let [a, b] = CONTAINERS.map(|name| of_a.iter().map(move |item| format!("containers/{name}/{item}")));
    let start = items.iter().position(|item| item.starts_with("containers/")).unwrap_or_default();
    let (first, rest) = items.split_at_checked(start)?;
    let (of_containers, last) = rest.split_at_checked(of_a.len() + of_b.len())?;
    let in_order = a.chain(b).eq(of_containers.iter().map(|item| (*item).to_owned()));
    let (default, last) = last.split_last()?;
    let is_default = *default == "annotations/kubectl.kubernetes.io~1default-container";
    let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
    (of_a == of_b && in_order && is_default).then(|| StatusParts {
        around: [format!("{before}["), format!("]{after}")],
        first: owned(first),
        last: owned(last),
        of_container: of_a,
    })
}
