//! The laws of every injected golden case: the six of the patch, and that `uninject` removes
//! exactly what was injected.
//!
//! Each law uses only the pods before and after.
//!
//! Invariant: no law trusts what the engine reports about itself.

use std::collections::BTreeSet;

use outrigger::inject::uninject;
use serde_json::{Map, Value, json};

use super::case::{Case, Verdict, documents};
use super::runner::{CaseResult, Runner};
use super::{compare_pods, without_managed_fields};
use crate::support::strict_patch;

const DOMAIN: &str = "outrigger.dev";
const STATUS: &str = "outrigger.dev/status";
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
const REVISION: &str = ".outrigger.dev/revision";
/// The beginning of the keys of annotations with the text of files, after the template's name.
const FILE: &str = ".outrigger.dev/file.";

/// The broken laws; empty if all hold.
pub fn check(case: &Case, result: &CaseResult, runner: &dyn Runner) -> Vec<String> {
    let original = without_managed_fields(&case.pod);
    let (Some(pod), Some(patch)) = (&result.pod, &result.patch) else { return vec!["no pod or no patch".to_owned()] };
    let laws = [
        status_is_correct(pod, result),
        patch_applies(case, pod, patch),
        patch_applies_strictly(case, pod, patch),
        same_input_gives_same_bytes(case, patch, runner),
        second_pass_changes_nothing(case, result, pod, runner),
        unknown_fields_survive(case, runner),
        nothing_of_the_users_is_lost(&own_content(case, pod), pod),
        only_named_paths_change(case, &original, result, pod),
        uninject_restores_the_pod(&case.pod, pod),
    ];
    laws.into_iter().filter_map(Result::err).collect()
}

/// The pod without the status and the revision labels, which cases leave out.
pub fn without_our_marks(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        strip(metadata, "annotations", |key| key == STATUS);
        strip(metadata, "labels", |key| key.ends_with(REVISION));
    }
    pod
}

fn strip(metadata: &mut Map<String, Value>, field: &str, ours: impl Fn(&str) -> bool) {
    if let Some(map) = metadata.get_mut(field).and_then(Value::as_object_mut) {
        map.retain(|key, _| !ours(key));
        if map.is_empty() {
            metadata.remove(field);
        }
    }
}

/// The status is JSON of version 1 and lists the injected templates; the labels have the same
/// revisions, and no others.
fn status_is_correct(pod: &Value, result: &CaseResult) -> Result<(), String> {
    let text = pod["metadata"]["annotations"][STATUS].as_str().ok_or("status: the annotation is missing")?;
    let status: Value = serde_json::from_str(text).map_err(|error| format!("status: {error}: {text}"))?;
    let listed =
        status["templates"].as_array().filter(|_| status["version"] == 1).ok_or_else(|| format!("status: {text}"))?;
    let revision = |name: &str| listed.iter().find(|template| template["name"] == name)?["revision"].as_str();
    let labels = pod["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    for name in &result.templates {
        let revision = revision(name).ok_or_else(|| format!("status: template {name:?} is missing: {text}"))?;
        let is_hex = revision.len() == 10 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || labels.get(&format!("{name}{REVISION}")).is_none_or(|label| label != revision) {
            return Err(format!(
                "status: template {name:?}: the revision is not that of the labels {labels:?}: {text}"
            ));
        }
    }
    let strayed = labels.iter().find(|(key, label)| {
        key.strip_suffix(REVISION).is_some_and(|name| revision(name).is_none_or(|revision| *label != revision))
    });
    strayed.map_or(Ok(()), |(key, label)| Err(format!("status: label {key:?} is {label}: {text}")))
}

/// Laws 1 and 2: the patch applies, and gives exactly the merged pod.
fn patch_applies(case: &Case, pod: &Value, patch: &Value) -> Result<(), String> {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone()).map_err(|error| format!("law 1: {error}"))?;
    let mut patched = case.pod.clone();
    json_patch::patch(&mut patched, &patch).map_err(|error| format!("law 1: the patch does not apply: {error}"))?;
    compare_pods("law 2: the patched pod is not the merged pod", pod, &patched).map_or(Ok(()), Err)
}

/// Law 6: a strict second engine gives the same pod; operations of user data are `add` alone.
fn patch_applies_strictly(case: &Case, pod: &Value, patch: &Value) -> Result<(), String> {
    let patched = strict_patch::apply(&case.pod, patch).map_err(|why| format!("law 6: {why}"))?;
    let removed = patch.as_array().into_iter().flatten().filter(|operation| operation["op"] == "remove");
    if let Some(operation) = removed
        .clone()
        .find(|operation| operation["path"] != "/spec/priority" && operation["path"] != "/spec/preemptionPolicy")
    {
        return Err(format!("law 6: {operation} removes something of the user's"));
    }
    compare_pods("law 6: the strictly patched pod is not the merged pod", pod, &patched).map_or(Ok(()), Err)
}

fn same_input_gives_same_bytes(case: &Case, patch: &Value, runner: &dyn Runner) -> Result<(), String> {
    let again = runner.run(case, &case.pod).map_err(|why| why.join("; "))?.patch.unwrap_or_default();
    let (patch, again) = (patch.to_string(), again.to_string());
    if patch == again { Ok(()) } else { Err(format!("two runs differ:\n{patch}\n{again}")) }
}

/// Law 3: injecting the result again gives no patch, even after a later webhook has rewritten
/// images or added a container.
fn second_pass_changes_nothing(
    case: &Case,
    first: &CaseResult,
    pod: &Value,
    runner: &dyn Runner,
) -> Result<(), String> {
    let mut rewritten = pod.clone();
    for container in containers_mut(&mut rewritten) {
        container["image"] = json!(format!("mirror.example.com/{}", container["image"].as_str().unwrap_or_default()));
    }
    let mut extended = pod.clone();
    if let Some(containers) = extended["spec"]["containers"].as_array_mut() {
        containers.push(json!({"name": "from-another-webhook", "image": "other:1"}));
    }
    for (what, pod) in [("the result", pod), ("rewritten images", &rewritten), ("an added container", &extended)] {
        let again = runner.run(case, pod).map_err(|why| why.join("; "))?;
        let quiet = again.warnings.is_empty() || !first.warnings.is_empty();
        if again.verdict != Verdict::Skipped || !again.reasons.contains(&"already_injected".to_owned()) || !quiet {
            return Err(format!("law 3: a second pass over {what} gives {again:#?}"));
        }
    }
    Ok(())
}

/// Law 4: unknown fields survive at every level of the user's own objects.
fn unknown_fields_survive(case: &Case, runner: &dyn Runner) -> Result<(), String> {
    let own = own_names(case);
    let mut changed = case.clone();
    add_unknown_fields(&mut changed.pod, &own);
    let mut expected = case.expected.clone().unwrap_or_default();
    add_unknown_fields(&mut expected, &own);
    let result = runner.run(&changed, &changed.pod).map_err(|why| why.join("; "))?;
    let got =
        result.pod.as_ref().map(without_our_marks).ok_or_else(|| format!("law 4: with unknown fields: {result:#?}"))?;
    compare_pods("law 4: an unknown field did not survive", &expected, &got).map_or(Ok(()), Err)
}

/// Names of containers and volumes that only the pod has: under a template's name an unknown field
/// would be a difference.
fn own_names(case: &Case) -> BTreeSet<String> {
    let brought: BTreeSet<String> = documents(&case.templates)
        .iter()
        .flat_map(|template| ["sidecars", "initContainers", "volumes"].map(|list| names(&template["spec"][list])))
        .flatten()
        .collect();
    let lists = ["containers", "initContainers", "volumes"].map(|list| names(&case.pod["spec"][list]));
    lists.into_iter().flatten().filter(|name| !brought.contains(name)).collect()
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item["name"].as_str().map(str::to_owned)).collect()
}

fn add_unknown_fields(pod: &mut Value, own: &BTreeSet<String>) {
    let unknown = json!({"int": i64::MIN, "unsigned": u64::MAX, "float": 0.1, "null": null, "a/~b": [[], {}]});
    pod["zzFuture"] = unknown.clone();
    pod["metadata"]["zzFuture"] = unknown.clone();
    pod["spec"]["zzFuture"] = unknown.clone();
    for list in ["containers", "initContainers", "volumes"] {
        let Some(items) = pod["spec"].get_mut(list).and_then(Value::as_array_mut) else { continue };
        for item in items.iter_mut().filter(|item| item["name"].as_str().is_some_and(|name| own.contains(name))) {
            item["zzFuture"] = unknown.clone();
        }
    }
}

/// Law 5, first half: everything of the user stays in its order, except for defaults of the API
/// server.
fn nothing_of_the_users_is_lost(before: &Value, after: &Value) -> Result<(), String> {
    lost("", before, after).map_or(Ok(()), |path| Err(format!("law 5: {path} was lost, changed or reordered")))
}

/// What the author of the pod wrote: without what the API server, LimitRanger and the Priority plugin
/// have filled in.
fn own_content(case: &Case, after: &Value) -> Value {
    let pod = &case.pod;
    let mut own = without_managed_fields(pod);
    let managed = pod["metadata"]["managedFields"].to_string();
    if managed.contains("f:spec")
        && !managed.contains("f:priorityClassName")
        && let Some(Value::Object(spec)) = own.get_mut("spec")
    {
        spec.retain(|key, _| !["priorityClassName", "priority", "preemptionPolicy"].contains(&key.as_str()));
    }
    let limits = pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"].as_str().unwrap_or_default();
    for container in containers_mut(&mut own).filter(|container| container["image"] == "auto") {
        let of_it = format!(" for init container {}", container["name"].as_str().unwrap_or_default());
        for set in limits.trim_start_matches("LimitRanger plugin set: ").split("; ") {
            let Some(set) = set.strip_suffix(&of_it) else { continue };
            let field = if set.ends_with("limit") { "limits" } else { "requests" };
            if let Some(Value::Object(resources)) = container.pointer_mut(&format!("/resources/{field}")) {
                resources.retain(|resource, _| !set.contains(resource.as_str()));
            }
        }
        remove_defaults(container);
    }
    let templates = documents(&case.templates);
    let app = || templates.iter().map(|template| &template["spec"]["app"]);
    let extended: Vec<&Value> = app()
        .flat_map(|app| app["env"].as_array().into_iter().flatten())
        .filter(|variable| variable["onExisting"] == "Append" || variable["onExisting"] == "Prepend")
        .map(|variable| &variable["name"])
        .collect();
    let replaces = app().any(|app| app["defaults"].is_object());
    let mut after = after.clone();
    for (container, after) in containers_mut(&mut own).zip(own_containers(&case.pod, &mut after)) {
        if replaces && container["terminationMessagePolicy"] == "File" {
            container["terminationMessagePolicy"] = Value::Null;
        }
        if replaces && container["securityContext"]["procMount"] == "Default" {
            container["securityContext"]["procMount"] = Value::Null;
        }
        extend_values(container, after, &extended);
    }
    own
}

/// The containers after the injection that were there before.
fn own_containers<'v>(before: &Value, after: &'v mut Value) -> impl Iterator<Item = &'v mut Value> {
    let own: Vec<String> = containers_mut(&mut before.clone()).map(|container| container["name"].to_string()).collect();
    containers_mut(after).filter(move |container| own.contains(&container["name"].to_string()))
}

/// Gives the variables that a template extends their new values, if those contain the old ones.
fn extend_values(container: &mut Value, after: &Value, names: &[&Value]) {
    let env = container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten();
    for variable in env.filter(|variable| names.contains(&&variable["name"])) {
        let values = after["env"].as_array().into_iter().flatten().filter(|after| after["name"] == variable["name"]);
        let old = variable["value"].as_str().unwrap_or_default().to_owned();
        let contains = |value: &&Value| value["value"].as_str().is_some_and(|new| new.contains(&old));
        if let Some(new) = values.rev().find(contains) {
            variable["value"] = new["value"].clone();
        }
    }
}

fn remove_defaults(object: &mut Value) {
    for below in object.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
        remove_defaults(below);
    }
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|key, value| match key.as_str() {
            "imagePullPolicy" => value != "Always",
            "terminationMessagePath" => value != "/dev/termination-log",
            "terminationMessagePolicy" => value != "File",
            "timeoutSeconds" | "successThreshold" => *value != 1,
            "periodSeconds" => *value != 10,
            "failureThreshold" => *value != 3,
            "procMount" => value != "Default",
            _ => true,
        });
    }
}

/// Path of the first value of `before` that is not in `after`.
fn lost(path: &str, before: &Value, after: &Value) -> Option<String> {
    match (before, after) {
        (Value::Null, _) => None,
        (Value::Object(before), Value::Object(after)) => before.iter().find_map(|(key, value)| {
            let path = format!("{path}/{key}");
            let is_auto = key == "image" && value == "auto";
            if is_auto
                || is_filled_in(&path, value)
                || is_amount_of_pod(&path)
                || key == STATUS
                || key.ends_with(REVISION)
            {
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

/// An amount of the pod as a whole, which may grow; the second half of law 5 says by whom.
fn is_amount_of_pod(path: &str) -> bool {
    path.starts_with("/spec/resources/requests/") || path.starts_with("/spec/resources/limits/")
}

/// Defaults that the API server sets before admission.
fn is_filled_in(path: &str, value: &Value) -> bool {
    match path {
        "/spec/terminationGracePeriodSeconds" => *value == 30,
        "/spec/dnsPolicy" => value == "ClusterFirst",
        "/spec/schedulerName" => value == "default-scheduler",
        "/spec/enableServiceLinks" => *value == true,
        "/spec/serviceAccountName" | "/spec/serviceAccount" => value == "default",
        "/spec/priority" => *value == 0,
        "/spec/preemptionPolicy" => value == "PreemptLowerPriority",
        _ => false,
    }
}

/// Law 5, second half: only paths that the templates name have changed.
fn only_named_paths_change(case: &Case, before: &Value, result: &CaseResult, after: &Value) -> Result<(), String> {
    let templates = documents(&case.templates);
    let chosen = || {
        templates.iter().filter(|template| result.templates.iter().any(|name| template["metadata"]["name"] == **name))
    };
    let keys = |pointer: &str| {
        chosen()
            .filter_map(|template| template.pointer(pointer)?.as_object())
            .flat_map(|map| map.keys().cloned())
            .collect()
    };
    let mut spec: BTreeSet<String> = keys("/spec/pod");
    if spec.contains("priorityClassName") {
        spec.extend(["priority".to_owned(), "preemptionPolicy".to_owned()]);
    }
    if spec.contains("serviceAccountName") {
        spec.insert("serviceAccount".to_owned());
    }
    if before["spec"]["resources"].is_object() && chosen().any(|template| template["spec"]["podResources"] != "Keep") {
        spec.insert("resources".to_owned());
    }
    spec.extend(["containers", "initContainers", "volumes"].map(str::to_owned));
    let mut labels: BTreeSet<String> = keys("/spec/metadata/labels");
    labels
        .extend(chosen().filter_map(|template| Some(format!("{}{REVISION}", template["metadata"]["name"].as_str()?))));
    let mut annotations: BTreeSet<String> = keys("/spec/metadata/annotations");
    annotations.extend([STATUS.to_owned(), DEFAULT_CONTAINER.to_owned()]);
    let with_files = chosen().filter(|template| template["spec"]["files"].is_array());
    let of_files: Vec<String> =
        with_files.filter_map(|template| Some(format!("{}{FILE}", template["metadata"]["name"].as_str()?))).collect();
    let written = after["metadata"]["annotations"].as_object().into_iter().flatten().map(|(key, _)| key);
    annotations.extend(written.filter(|key| of_files.iter().any(|prefix| key.starts_with(prefix))).cloned());
    let metadata = BTreeSet::from(["labels".to_owned(), "annotations".to_owned()]);
    let places = [
        ("", BTreeSet::from(["spec".to_owned(), "metadata".to_owned()])),
        ("/spec", spec),
        ("/metadata", metadata),
        ("/metadata/labels", labels),
        ("/metadata/annotations", annotations),
    ];
    places
        .iter()
        .find_map(|(place, named)| {
            changed(place, before, after).find(|key| !named.contains(key)).map(|key| format!("{place}/{key}"))
        })
        .map_or(Ok(()), |path| Err(format!("law 5: {path} changed, which no template names")))
}

/// Keys of the map at this path that were added, removed or changed.
fn changed(place: &str, before: &Value, after: &Value) -> impl Iterator<Item = String> {
    let map = |pod: &Value| pod.pointer(place).and_then(Value::as_object).cloned().unwrap_or_default();
    let (before, after) = (map(before), map(after));
    let keys: BTreeSet<String> = before.keys().chain(after.keys()).cloned().collect();
    keys.into_iter().filter(move |key| before.get(key) != after.get(key))
}

/// `uninject(inject(p)) = p`. A pod that already had a status loses what that status lists.
fn uninject_restores_the_pod(before: &Value, after: &Value) -> Result<(), String> {
    let out = |pod: &Value| uninject(pod, DOMAIN).map_err(|error| format!("uninject: {error}"));
    let original = if before["metadata"]["annotations"].get(STATUS).is_some() {
        without_our_marks(&out(before).ok().flatten().unwrap_or_else(|| before.clone()))
    } else {
        before.clone()
    };
    let back = out(after)?.ok_or("uninject: the pod has no injected content")?;
    compare_pods("uninject does not give back the pod", &original, &back).map_or(Ok(()), Err)
}

fn containers_mut(pod: &mut Value) -> impl Iterator<Item = &mut Value> {
    let spec = pod.get_mut("spec").and_then(Value::as_object_mut);
    spec.into_iter()
        .flat_map(|spec| spec.iter_mut())
        .filter(|(key, _)| *key == "containers" || *key == "initContainers")
        .filter_map(|(_, list)| list.as_array_mut())
        .flatten()
}
