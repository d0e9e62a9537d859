//! A second, simple implementation of the design: order, contents, and the containers of the app.
//!
//! Conflicts are not modelled.
//!
//! Invariant: it shares no code with the engine; both must agree on every generated pod.

use super::case::{DOMAIN, INJECT, STATUS};
use super::laws::{Injected, names};
use super::pieces::text_of;
use super::resolve;
use outrigger::inject::{Namespace, NativeSidecars};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Both lists of containers have the order that placement defines.
pub fn containers_are_ordered_by_placement(injected: &Injected<'_>) -> Result<(), String> {
    for list in ["containers", "initContainers"] {
        let (expected, got) = (expected_order(injected, list), names(&injected.after["spec"][list]));
        if expected != got {
            return Err(format!("{list}: expected the order {expected:?}, got {got:?}"));
        }
    }
    Ok(())
}

/// The injected containers, template by template in the requested order, around the pod's own.
fn expected_order(injected: &Injected<'_>, list: &str) -> Vec<String> {
    let own = names(&injected.before["spec"][list]);
    let mut placed: BTreeSet<String> =
        super::laws::containers(&injected.before).map(|one| text_of(one, "name")).collect();
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let mut beside: Vec<(Vec<String>, Vec<String>)> = vec![Default::default(); own.len()];
    for (name, order) in injected.documents().flat_map(|template| brought(template, list, injected.case.native)) {
        if !placed.insert(name.clone()) {
            continue;
        }
        let anchor = |side: &str| own.iter().position(|own| order[side] == *own);
        match (anchor("before"), anchor("after")) {
            (Some(index), _) => beside[index].0.push(name),
            (_, Some(index)) => beside[index].1.push(name),
            // A name that the pod lacks is ignored.
            _ if order == "Last" || (order != "First" && list == "containers") => last.push(name),
            _ => first.push(name),
        }
    }
    let middle = own.into_iter().zip(beside);
    let middle = middle.flat_map(|(own, (before, after))| before.into_iter().chain([own]).chain(after));
    first.into_iter().chain(middle).chain(last).collect()
}

/// Names that the template adds to this list, with their placement.
fn brought(template: &Value, list: &str, native: NativeSidecars) -> Vec<(String, Value)> {
    let placement = &template["spec"]["placement"];
    let is_native = native == NativeSidecars::Supported && placement["sidecars"] != "Plain";
    let sidecars = if is_native { "initContainers" } else { "containers" };
    let of = |field: &str, order: &str| -> Vec<(String, Value)> {
        names(&template["spec"][field]).into_iter().map(|name| (name, placement[order].clone())).collect()
    };
    let mut all = Vec::new();
    if list == sidecars {
        all.extend(of("sidecars", "order"));
    }
    if list == "initContainers" {
        all.extend(of("initContainers", "initContainerOrder"));
    }
    all
}

/// `app` changes all containers that it selects, and no other container of the pod.
pub fn app_changes_only_selected_containers(injected: &Injected<'_>) -> Result<(), String> {
    for list in ["containers", "initContainers"] {
        for before in injected.before["spec"][list].as_array().into_iter().flatten() {
            let name = text_of(before, "name");
            let mut lists = injected.after["spec"][list].as_array().into_iter().flatten();
            let after =
                lists.find(|after| after["name"] == name).ok_or_else(|| format!("container {name:?} is gone"))?;
            reaches(injected, list, before, after).map_err(|why| format!("container {name:?}: {why}"))?;
        }
    }
    Ok(())
}

fn reaches(injected: &Injected<'_>, list: &str, before: &Value, after: &Value) -> Result<(), String> {
    let name = text_of(before, "name");
    let mut touched = false;
    for template in injected.documents().filter(|template| selected(injected, template, list).contains(&name)) {
        for (field, key) in [("env", "name"), ("volumeMounts", "mountPath")] {
            for wanted in template["spec"]["app"][field].as_array().into_iter().flatten() {
                touched = true;
                let same = |item: &&Value| clean(&text_of(item, key)) == clean(&text_of(wanted, key));
                let there = after[field].as_array().into_iter().flatten().any(|item| same(&item));
                if !there && !text_of(wanted, key).contains("${") {
                    return Err(format!("{field} lacks {wanted}"));
                }
            }
        }
        let app = &template["spec"]["app"];
        touched |= ["envFrom", "prependCommand"].iter().any(|list| !app[*list].as_array().is_none_or(Vec::is_empty));
        touched |= app["defaults"].is_object();
    }
    let unchanged = touched || before["image"] == "auto" || before == after;
    if unchanged { Ok(()) } else { Err(format!("no template selects it, and it has become {after}")) }
}

/// The containers of the pod that the template's `app` selects.
fn selected(injected: &Injected<'_>, template: &Value, list: &str) -> Vec<String> {
    let annotation = |key: &str| injected.before["metadata"]["annotations"][key].as_str();
    let mut own = names(&injected.before["spec"][list]);
    let foreign = foreign(injected, annotation(STATUS).unwrap_or_default());
    own.retain(|name| !foreign.contains(name));
    let app = &template["spec"]["app"];
    if list == "initContainers" {
        return if app["initContainers"] == true { own } else { Vec::new() };
    }
    if let Some(narrowed) = annotation(&format!("{DOMAIN}/containers")) {
        own.retain(|name| narrowed.split(',').any(|one| one.trim() == name));
    }
    match &app["containers"] {
        Value::Array(_) => own.retain(|name| app["containers"].as_array().into_iter().flatten().any(|one| one == name)),
        first if *first == json!("First") => {
            let default = annotation("kubectl.kubernetes.io/default-container").unwrap_or_default().to_owned();
            match own.contains(&default) {
                true => own = vec![default],
                false => own.truncate(1),
            }
        }
        _ => {}
    }
    own
}

/// Sidecars of any requested template, whether injected earlier, now or never, are not the app.
fn foreign(injected: &Injected<'_>, status: &str) -> Vec<String> {
    let status: Value = serde_json::from_str(status).unwrap_or_default();
    let earlier = status["templates"].as_array().into_iter().flatten();
    let earlier = earlier.flat_map(|entry| ["containers", "initContainers"].map(|list| &entry[list]));
    let earlier = earlier.filter_map(Value::as_array).flatten().filter_map(|name| name.as_str().map(str::to_owned));
    let brought = asked(injected).map(|template| resolve::with_all_items(template)["spec"].clone());
    let brought = brought.flat_map(|spec| [names(&spec["sidecars"]), names(&spec["initContainers"])].concat());
    let overriding = super::laws::containers(&injected.before).filter(|container| container["image"] == "auto");
    earlier.chain(brought).chain(overriding.map(|container| text_of(container, "name"))).collect()
}

/// The templates that the pod or its namespace requests, and the automatic ones.
fn asked<'a>(injected: &'a Injected<'_>) -> impl Iterator<Item = &'a Value> {
    let enabled =
        |namespace: &&Namespace| namespace.labels.get("outrigger.dev/injection").is_some_and(|it| it == "enabled");
    let namespace = injected.case.namespace.as_ref().filter(enabled);
    let own = injected.before["metadata"]["annotations"][INJECT].as_str();
    let list = own.or_else(|| Some(namespace?.annotations.get(INJECT)?.as_str())).unwrap_or_default();
    injected.case.templates.iter().filter(move |template| {
        let automatic = namespace.is_some() && template["spec"]["injection"] == "Automatic";
        automatic || list.split(',').any(|name| template["metadata"]["name"] == name.trim())
    })
}

/// A template is injected completely or the pod is refused. The pod wins over a template with
/// `KeepPod`, in labels and annotations, and in a container that overrides.
pub fn template_is_injected_completely(injected: &Injected<'_>) -> Result<(), String> {
    for template in injected.documents() {
        let spec = &template["spec"];
        let metadata = ["labels", "annotations"].map(|field| (field, spec["metadata"][field].as_object()));
        for (field, map) in metadata {
            let mut keys = map.into_iter().flatten().map(|(key, _)| key);
            if let Some(missing) = keys.find(|key| injected.after["metadata"][field].get(key).is_none()) {
                return Err(format!("metadata.{field} {missing:?} is missing"));
            }
        }
        if spec["onConflict"] == "KeepPod" {
            continue;
        }
        let after = &injected.after["spec"];
        holds("pod", &spec["pod"], after)?;
        holds("volumes", &spec["volumes"], &after["volumes"])?;
        for container in ["sidecars", "initContainers"].iter().filter_map(|list| spec[*list].as_array()).flatten() {
            let found = super::laws::containers(&injected.after).find(|found| found["name"] == container["name"]);
            let found = found.ok_or_else(|| format!("container {} is missing", container["name"]))?;
            let overrides = super::laws::containers(&injected.before)
                .any(|own| own["name"] == container["name"] && own["image"] == "auto");
            if !overrides {
                holds("container", container, found)?;
            }
        }
        for list in ["containers", "initContainers"] {
            let selected = selected(injected, template, list);
            let reached = after[list].as_array().into_iter().flatten();
            for container in reached.filter(|container| selected.contains(&text_of(container, "name"))) {
                let app = json!({
                    "env": spec["app"]["env"], "envFrom": spec["app"]["envFrom"], "volumeMounts": spec["app"]["volumeMounts"],
                });
                holds("app", &app, container)?;
            }
        }
    }
    Ok(())
}

/// Whether `found` contains all of `wanted`, apart from defaults of Kubernetes, spelling, and
/// values of expressions.
fn holds(place: &str, wanted: &Value, found: &Value) -> Result<(), String> {
    match (wanted, found) {
        (Value::Object(wanted), found) => wanted
            .iter()
            // The placement of a sidecar decides on its restart policy.
            .filter(|(key, _)| *key != "restartPolicy")
            .try_for_each(|(key, value)| holds(&format!("{place}.{key}"), value, &found[key])),
        (Value::Array(items), found) => {
            let found = || found.as_array().into_iter().flatten();
            let missing = items
                .iter()
                .filter(|item| !is_left_out(item))
                .find(|item| !found().any(|one| holds(place, item, one).is_ok()));
            missing.map_or(Ok(()), |item| Err(format!("{place} lacks {item}")))
        }
        (Value::String(text), _) if text.contains("${") => Ok(()),
        (Value::Null, _) => Ok(()),
        (wanted, Value::Null) if is_omitted(wanted) => Ok(()),
        (wanted, found) if spelled(wanted) == spelled(found) => Ok(()),
        _ => Err(format!("{place}: the template wants {wanted}, the pod has {found}")),
    }
}

/// Null is left out of a list, and so is a list of which every element is.
fn is_left_out(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty() && items.iter().all(is_left_out),
        other => other.is_null(),
    }
}

fn is_omitted(value: &Value) -> bool {
    *value == "" || *value == "TCP" || *value == false
}

/// A normal form for the generator's quantities and paths.
fn spelled(value: &Value) -> Value {
    match value.as_str() {
        Some("1000m") => json!("1"),
        Some("67108864") => json!("64Mi"),
        Some(path) if path.starts_with('/') => json!(clean(path)),
        _ => value.clone(),
    }
}

fn clean(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" => path.to_owned(),
        clean => clean.to_owned(),
    }
}
