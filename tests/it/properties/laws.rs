//! Laws for every injected pod. The name of a law states it, and its error names what broke it.
//!
//! Changed paths are in `paths`, placement in `model`, a second pass and `uninject` in `passes`.
//!
//! Invariant: a law uses the pods before and after, the patch and the templates' text, never the
//! engine's own types.

use super::case::{Case, DOMAIN, STATUS, yaml};
use super::pieces::{port_keys, text_of};
use super::{model, passes, paths, resolve};
use crate::support::{injected_pod, strict_patch};
use outrigger::inject::{Injection, Injector, Outcome};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An injected pod and its input.
pub struct Injected<'c> {
    pub case: &'c Case,
    pub injector: &'c Injector,
    /// The requested pod without managedFields, which no injection keeps.
    pub before: Value,
    pub after: Value,
    pub patch: Value,
    /// Names of the injected templates.
    pub templates: Vec<String>,
    /// All templates as this pod gets them.
    resolved: Vec<Value>,
}

type Law = fn(&Injected<'_>) -> Result<(), String>;

/// For a pod that was injected before, `uninject` removes what both passes injected.
pub const UNINJECT: &str = "uninject gives the pod back";

/// All laws, cheap ones first.
pub const LAWS: [(&str, Law); 17] = [
    ("the patch applies and gives the pod", patch_gives_the_pod),
    ("a strict second engine gives the same pod", strict_engine_agrees),
    ("only paths that the templates name change", paths::only_named_paths_change),
    ("the user's values stay, in their order", users_values_stay),
    ("a value that a template extends stays in it", extended_values_stay),
    (UNINJECT, passes::uninject_restores_the_pod),
    ("the result is a pod", result_is_a_pod),
    ("the status is correct", status_is_correct),
    ("a template is injected completely", model::template_is_injected_completely),
    ("containers are ordered by placement", model::containers_are_ordered_by_placement),
    ("app changes only the containers that it selects", model::app_changes_only_selected_containers),
    ("same input, same bytes", same_input_same_bytes),
    ("a second pass changes nothing", passes::second_pass_changes_nothing),
    ("a second pass after changes by others changes nothing", passes::second_pass_after_others_changes_nothing),
    ("present content is not injected again, with or without a status", passes::present_content_is_not_injected_again),
    ("a removed sidecar is injected again", passes::removed_sidecar_is_injected_again),
    ("uninject works after changes by others", passes::uninject_works_after_changes_by_others),
];

/// Laws that hold even for input that the API server would never send.
pub const HOLD_FOR_ANY_JSON: [&str; 6] = [
    "the patch applies and gives the pod",
    "a strict second engine gives the same pod",
    "only paths that the templates name change",
    "the user's values stay, in their order",
    UNINJECT,
    "same input, same bytes",
];

impl<'c> Injected<'c> {
    pub fn new(case: &'c Case, injector: &'c Injector, injection: Injection) -> Self {
        let patch = serde_json::from_slice(&injection.patch_json).expect("a patch is JSON");
        let before = without_managed_fields(&case.pod);
        Self {
            case,
            injector,
            before,
            after: injected_pod(&case.pod, &injection),
            patch,
            templates: injection.templates,
            resolved: case.templates.iter().map(|template| resolve::resolved(template, &case.pod)).collect(),
        }
    }

    /// The operations, one per line.
    pub fn shown_patch(&self) -> String {
        self.patch.as_array().into_iter().flatten().map(|operation| format!("{operation}\n")).collect()
    }

    /// Documents of the injected templates as this pod gets them, in the requested order.
    pub fn documents(&self) -> impl Iterator<Item = &Value> {
        let named = |name: &String| self.resolved.iter().find(|template| template["metadata"]["name"] == *name);
        self.templates.iter().filter_map(named)
    }

    /// Names of the variables that injected templates extend.
    pub fn extended(&self) -> BTreeSet<String> {
        let is_injected = |template: &&Value| self.templates.contains(&text_of(&template["metadata"], "name"));
        self.case.templates.iter().filter(is_injected).flat_map(resolve::extended).collect()
    }

    /// Whether the injection depends on more of the pod than its names: an override, an expression
    /// or an earlier pass.
    pub fn depends_on_the_pod(&self) -> bool {
        let reads_the_pod = |template: &Value| {
            let spec = &template["spec"];
            spec.to_string().contains("${") || spec["fromApp"].is_object() || spec["match"]["conditions"].is_array()
        };
        let overridden = containers(&self.before).any(|container| container["image"] == "auto");
        let earlier = self.before["metadata"]["annotations"].get(STATUS).is_some();
        earlier || overridden || self.case.templates.iter().any(reads_the_pod)
    }

    /// Whether all requested templates are in the status, so that none is left for a later pass.
    pub fn nothing_was_left_out(&self) -> bool {
        let listed = status_names(&self.after);
        self.case.templates.iter().all(|template| listed.contains(&text_of(&template["metadata"], "name")))
    }
}

fn patch_gives_the_pod(injected: &Injected<'_>) -> Result<(), String> {
    if injected.patch == json!([]) {
        return Err("the patch is empty".to_owned());
    }
    let patch: json_patch::Patch = serde_json::from_value(injected.patch.clone()).map_err(|error| error.to_string())?;
    let mut patched = injected.case.pod.clone();
    json_patch::patch(&mut patched, &patch).map_err(|error| format!("it does not apply: {error}"))?;
    same(&injected.after, &without_managed_fields(&patched))
}

fn strict_engine_agrees(injected: &Injected<'_>) -> Result<(), String> {
    let patched = strict_patch::apply(&injected.case.pod, &injected.patch)?;
    same(&injected.after, &without_managed_fields(&patched))
}

fn users_values_stay(injected: &Injected<'_>) -> Result<(), String> {
    match lost("", &without_values(&injected.before, &injected.extended()), &injected.after) {
        Some(path) => Err(format!("{path} was lost, changed or moved")),
        None => Ok(()),
    }
}

/// The pod without the values of these variables.
fn without_values(pod: &Value, names: &BTreeSet<String>) -> Value {
    let mut pod = pod.clone();
    for list in ["containers", "initContainers"] {
        let list = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        let env = list.into_iter().flatten().filter_map(|container| container.get_mut("env")?.as_array_mut());
        for variable in env.flatten().filter(|variable| names.contains(&text_of(variable, "name"))) {
            variable.as_object_mut().map(|fields| fields.remove("value"));
        }
    }
    pod
}

/// Each value that changed has the old one at its beginning or end.
fn extended_values_stay(injected: &Injected<'_>) -> Result<(), String> {
    let extended = injected.extended();
    for list in ["containers", "initContainers"] {
        for before in injected.before["spec"][list].as_array().into_iter().flatten() {
            let mut after = injected.after["spec"][list].as_array().into_iter().flatten();
            let Some(after) = after.find(|one| one["name"] == before["name"]) else { continue };
            let values = |container: &Value| -> Vec<(String, Option<String>)> {
                let env = container["env"].as_array().into_iter().flatten();
                let own = env.filter(|variable| extended.contains(&text_of(variable, "name")));
                own.map(|one| (text_of(one, "name"), one["value"].as_str().map(str::to_owned))).collect()
            };
            let after = values(after);
            for (name, value) in values(before).into_iter().filter_map(|(name, value)| Some((name, value?))) {
                let stays = |now: &str| now.starts_with(&value) || now.ends_with(&value);
                if !after.iter().any(|(one, now)| *one == name && now.as_deref().is_some_and(stays)) {
                    return Err(format!("variable {name:?} had {value:?}, which no value has now: {after:?}"));
                }
            }
        }
    }
    Ok(())
}

/// Path of the first value of `before` that is not in `after`. A null may become something.
fn lost(path: &str, before: &Value, after: &Value) -> Option<String> {
    match (before, after) {
        (Value::Null, _) => None,
        (Value::Object(fields), Value::Object(_)) if fields.get("image").is_some_and(|image| image == "auto") => {
            lost(path, &without_defaults(before), after)
        }
        (Value::Object(before), Value::Object(after)) => before.iter().find_map(|(key, value)| {
            let path = format!("{path}/{key}");
            let may_give_way = paths::is_filled_in(&path, value)
                || paths::may_grow(&path)
                || path == format!("/metadata/annotations/{STATUS}");
            if may_give_way {
                return None;
            }
            after.get(key).map_or(Some(path.clone()), |after| lost(&path, value, after))
        }),
        (Value::Array(before), Value::Array(after)) => {
            let mut rest = after.iter();
            let missing = before.iter().position(|item| !rest.any(|candidate| lost("", item, candidate).is_none()));
            missing.map(|index| format!("{path}/{index}"))
        }
        _ => (before != after).then(|| path.to_owned()),
    }
}

/// A container that a template completes, without its image and what the API server has filled in.
fn without_defaults(container: &Value) -> Value {
    let mut container = container.clone();
    if let Some(fields) = container.as_object_mut() {
        fields.retain(|key, value| !(paths::is_filled_in_container(key, value) || key == "image" && value == "auto"));
        for below in fields.values_mut().filter(|below| below.is_object()) {
            *below = without_defaults(below);
        }
    }
    container
}

/// Names are unique, mounts have volumes and distinct paths, ports are unique, and no container
/// waits for a template.
fn result_is_a_pod(injected: &Injected<'_>) -> Result<(), String> {
    let spec = &injected.after["spec"];
    let volumes = names(&spec["volumes"]);
    distinct("volume", volumes.iter())?;
    distinct("container", containers(&injected.after).map(|container| text_of(container, "name")))?;
    for container in containers(&injected.after) {
        let name = text_of(container, "name");
        let mounts = || container["volumeMounts"].as_array().into_iter().flatten();
        if container["image"] == "auto" {
            return Err(format!("container {name:?} still waits for a template"));
        }
        if let Some(mount) = mounts().find(|mount| !volumes.contains(&text_of(mount, "name"))) {
            return Err(format!("container {name:?} mounts {mount}, a volume that the pod lacks"));
        }
        distinct("mount path", mounts().map(|mount| text_of(mount, "mountPath").trim_end_matches('/').to_owned()))?;
    }
    let before = shared_ports(&injected.before);
    match shared_ports(&injected.after).into_iter().find(|shared| !before.contains(shared)) {
        Some(shared) => Err(format!("port {} is declared by containers {:?}", shared.0, shared.1)),
        None => Ok(()),
    }
}

/// Ports, by number and by name, that two containers running at the same time declare; they share
/// one network.
fn shared_ports(pod: &Value) -> BTreeSet<(String, [String; 2])> {
    let mut declared: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let list = |field: &str| pod["spec"][field].as_array().into_iter().flatten();
    // An override runs as long as its template's container, but its own ports belong to the pod.
    let runs_on = |container: &&Value| container["restartPolicy"] == "Always" || container["image"] == "auto";
    let native = list("initContainers").filter(runs_on);
    for container in list("containers").chain(native) {
        for key in container["ports"].as_array().into_iter().flatten().flat_map(port_keys) {
            declared.entry(key).or_default().push(text_of(container, "name"));
        }
    }
    let pairs = |(port, containers): (String, Vec<String>)| {
        let pair = move |(one, other): (&String, &String)| (port.clone(), [one.clone(), other.clone()]);
        let all = containers.iter().flat_map(|one| containers.iter().map(move |other| (one, other)));
        all.filter(|(one, other)| one < other).map(pair).collect::<Vec<_>>()
    };
    declared.into_iter().flat_map(pairs).collect()
}

fn distinct<T: Ord + std::fmt::Debug>(what: &str, mut items: impl Iterator<Item = T>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match items.find_map(|item| seen.replace(item)) {
        Some(twice) => Err(format!("{what} {twice:?} is there twice")),
        None => Ok(()),
    }
}

/// The status lists what is present, one entry per template, with the revision of the label.
fn status_is_correct(injected: &Injected<'_>) -> Result<(), String> {
    let status = status_of(&injected.after);
    let (spec, labels) = (&injected.after["spec"], &injected.after["metadata"]["labels"]);
    distinct("status entry", status_names(&injected.after).into_iter())?;
    for entry in status["templates"].as_array().into_iter().flatten() {
        for list in ["containers", "initContainers", "volumes"] {
            let there = names(&spec[list]);
            let mut listed = entry[list].as_array().into_iter().flatten().filter_map(Value::as_str);
            if let Some(gone) = listed.find(|name| !there.iter().any(|one| one == name)) {
                return Err(format!("the status lists {gone:?}, which is not among the {list}"));
            }
        }
        let name = text_of(entry, "name");
        if injected.templates.contains(&name) && labels[format!("{name}.{DOMAIN}/revision")] != entry["revision"] {
            return Err(format!("label and status show different revisions of {name:?}"));
        }
    }
    match injected.templates.iter().find(|name| !status_names(&injected.after).contains(name)) {
        Some(missing) => Err(format!("the status lacks {missing:?}")),
        None => Ok(()),
    }
}

/// Runs again, on another thread, and with the templates loaded in another order.
fn same_input_same_bytes(injected: &Injected<'_>) -> Result<(), String> {
    let bytes = |injector: &Injector| match injected.case.inject(injector, &injected.case.pod) {
        Ok(Outcome::Injected(injection)) => String::from_utf8(injection.patch_json).map_err(|error| error.to_string()),
        other => Err(format!("decided otherwise: {other:?}")),
    };
    let mut reversed = injected.case.clone();
    reversed.templates.reverse();
    let elsewhere = std::thread::scope(|scope| scope.spawn(|| bytes(&reversed.injector())).join());
    let elsewhere = elsewhere.map_err(|_| "it panicked".to_owned())??;
    let (first, again) = (injected.patch.to_string(), bytes(injected.injector)?);
    // The library decides the order of keys in an operation, so only texts of the engine are
    // compared.
    let parsed: Value = serde_json::from_str(&again).map_err(|error| error.to_string())?;
    let bytes = parsed.to_string();
    if again == elsewhere && bytes == first { Ok(()) } else { Err(format!("{again}\n{elsewhere}\n{first}")) }
}

/// The pod without the status, the revision labels, and maps that are empty without them.
pub fn without_marks(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        for (field, is_ours) in [("annotations", STATUS), ("labels", ".outrigger.dev/revision")] {
            if let Some(map) = metadata.get_mut(field).and_then(Value::as_object_mut) {
                map.retain(|key, _| !key.ends_with(is_ours));
            }
            if metadata.get(field).is_some_and(|map| *map == json!({})) {
                metadata.remove(field);
            }
        }
    }
    if pod["metadata"] == json!({}) {
        pod.as_object_mut().and_then(|pod| pod.remove("metadata"));
    }
    pod
}

/// The pod in the form that injections return.
pub fn without_managed_fields(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    pod
}

pub fn status_of(pod: &Value) -> Value {
    let text = pod["metadata"]["annotations"][STATUS].as_str().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}

fn status_names(pod: &Value) -> Vec<String> {
    names(&status_of(pod)["templates"])
}

pub fn names_in(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// All containers of a pod.
pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    lists.into_iter().filter_map(|list| pod["spec"][list].as_array()).flatten()
}

/// The names in a list of objects.
pub fn names(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|item| text_of(item, "name")).collect()
}

pub fn same(expected: &Value, got: &Value) -> Result<(), String> {
    if expected == got {
        return Ok(());
    }
    Err(format!("left expected, right got\n{}", pretty_assertions::StrComparison::new(&yaml(expected), &yaml(got))))
}
