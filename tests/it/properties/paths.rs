//! The law of named paths: an operation may change only what the injected templates name.
//!
//! - An object above the path may be created if it is absent or null.
//! - Added may be: the templates' containers and volumes; to containers of the app the fields of
//!   `app`; to a container with `image: auto` the fields of the template's container; labels and
//!   annotations that the pod lacks; the fields of `pod`; the status and the revision labels.
//! - Replaced may be: null, defaults of the API server, `image: auto`, the status and the labels.
//! - Removed may be: `priority` and `preemptionPolicy`, by a template with a priority class.
//!
//! Invariant: each operation is checked against the pod in the state before that operation.

use super::case::{DOMAIN, STATUS};
use super::laws::{Injected, containers, names};
use super::pieces::text_of;
use crate::support::strict_patch;
use serde_json::Value;

/// Returns the first operation that no template explains.
pub fn only_named_paths_change(injected: &Injected<'_>) -> Result<(), String> {
    let mut tree = injected.case.pod.clone();
    for operation in injected.patch.as_array().into_iter().flatten() {
        let path = text_of(operation, "path");
        let tokens: Vec<String> = path.split('/').skip(1).map(unescape).collect();
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let known = is_named(injected, &tree, &tokens, &operation["value"]);
        if !known || !is_right_kind(injected, &tree, &path, &tokens, &text_of(operation, "op")) {
            return Err(format!("no template accounts for {operation}"));
        }
        strict_patch::step(&mut tree, operation)?;
    }
    Ok(())
}

/// Whether the value at the path may be replaced or removed.
fn is_right_kind(injected: &Injected<'_>, tree: &Value, path: &str, tokens: &[&str], kind: &str) -> bool {
    let old = || tree.pointer(path).unwrap_or(&Value::Null);
    let is_mark = || match tokens {
        ["metadata", "annotations", key] => *key == STATUS,
        ["metadata", "labels", key] => is_revision(injected, key),
        ["spec", "containers" | "initContainers", _, "image"] => old() == "auto",
        _ => false,
    };
    match kind {
        "add" => true,
        "replace" => {
            old().is_null()
                || is_filled_in(path, old())
                || is_mark()
                || may_grow(path)
                || is_extended(injected, tree, tokens)
                || is_default_of_app(tokens, old())
                || is_of_override(injected, tree, tokens, old())
        }
        "remove" => matches!(tokens, ["spec", "priority" | "preemptionPolicy"]),
        _ => false,
    }
}

/// Whether the value is one of the resources of the pod as a whole.
pub fn may_grow(path: &str) -> bool {
    path.starts_with("/spec/resources/requests/") || path.starts_with("/spec/resources/limits/")
}

/// Whether the value is that of a variable that a template extends, or a command before which one puts
/// something.
fn is_extended(injected: &Injected<'_>, tree: &Value, tokens: &[&str]) -> bool {
    match tokens {
        ["spec", list, container, "env", index, "value"] => {
            let at = |text: &str| text.parse::<usize>().unwrap_or(usize::MAX);
            let name = &tree["spec"][*list][at(container)]["env"][at(index)]["name"];
            injected.extended().iter().any(|one| name == one)
        }
        ["spec", _, _, "command"] => true,
        _ => false,
    }
}

/// Whether the value of a container of the app counts as absent for `app.defaults`.
fn is_default_of_app(tokens: &[&str], old: &Value) -> bool {
    let is_empty = old.as_object().is_some_and(serde_json::Map::is_empty) || old.as_array().is_some_and(Vec::is_empty);
    match tokens {
        ["spec", _, _, "terminationMessagePolicy"] => old == "File",
        ["spec", _, _, "securityContext" | "resources", ..] => is_empty,
        _ => false,
    }
}

/// Whether the value is a default of the API server in a container that a template completes.
fn is_of_override(injected: &Injected<'_>, tree: &Value, tokens: &[&str], old: &Value) -> bool {
    let ["spec", list @ ("containers" | "initContainers"), index, .., key] = tokens else { return false };
    let name = &tree["spec"][*list][index.parse::<usize>().unwrap_or(usize::MAX)]["name"];
    let overrides = containers(&injected.before).any(|own| own["name"] == *name && own["image"] == "auto");
    overrides && is_filled_in_container(key, old)
}

/// Defaults that the API server sets in containers with `image: auto`.
pub fn is_filled_in_container(key: &str, value: &Value) -> bool {
    match key {
        "imagePullPolicy" => value == "Always",
        "terminationMessagePath" => value == "/dev/termination-log",
        "terminationMessagePolicy" => value == "File",
        "timeoutSeconds" | "successThreshold" => *value == 1,
        "periodSeconds" => *value == 10,
        "failureThreshold" => *value == 3,
        "procMount" => value == "Default",
        _ => false,
    }
}

fn is_named(injected: &Injected<'_>, tree: &Value, tokens: &[&str], value: &Value) -> bool {
    match tokens {
        ["metadata"] | ["metadata", "labels" | "annotations"] => *value == Value::Object(serde_json::Map::new()),
        ["metadata", field, key] => is_metadata(injected, tree, field, key),
        ["spec", "volumes", rest @ ..] => brings_all(injected, &["volumes"], items(rest, value)) && rest.len() <= 1,
        ["spec", "containers" | "initContainers"] | ["spec", "containers" | "initContainers", _] => {
            brings_all(injected, &["sidecars", "initContainers"], items(&tokens[2..], value))
        }
        ["spec", list @ ("containers" | "initContainers"), index, rest @ ..] => {
            let container = &tree["spec"][*list][index.parse::<usize>().unwrap_or(usize::MAX)];
            is_of_container(injected, container, rest, value)
        }
        ["spec", "resources", "requests" | "limits", ..] => injected.before["spec"]["resources"].is_object(),
        ["spec", "priority" | "preemptionPolicy"] => sets_pod_field(injected, &["priorityClassName"]),
        ["spec", rest @ ..] => sets_pod_field(injected, rest),
        _ => false,
    }
}

fn is_metadata(injected: &Injected<'_>, tree: &Value, field: &str, key: &str) -> bool {
    let own = tree["metadata"][field].get(key).is_some_and(|value| !value.is_null());
    let named = injected.documents().any(|template| template["spec"]["metadata"][field].get(key).is_some());
    match field {
        "labels" => is_revision(injected, key) || (named && !own),
        "annotations" => key == STATUS || ((named || key == "kubectl.kubernetes.io/default-container") && !own),
        _ => false,
    }
}

fn is_revision(injected: &Injected<'_>, key: &str) -> bool {
    injected.templates.iter().any(|name| key == format!("{name}.{DOMAIN}/revision"))
}

/// The items that an operation adds: those of a new list, otherwise the one item.
fn items<'v>(rest: &[&str], value: &'v Value) -> Vec<&'v Value> {
    match value {
        Value::Array(items) if rest.is_empty() => items.iter().collect(),
        _ => vec![value],
    }
}

fn brings_all(injected: &Injected<'_>, lists: &[&str], items: Vec<&Value>) -> bool {
    let brought: Vec<String> = injected
        .documents()
        .flat_map(|template| lists.iter().flat_map(|list| names(&template["spec"][*list])))
        .collect();
    items.iter().all(|item| brought.contains(&text_of(item, "name")))
}

/// Either the template's container completes the pod's, or `app` adds to a container of the app.
fn is_of_container(injected: &Injected<'_>, container: &Value, rest: &[&str], value: &Value) -> bool {
    let name = text_of(container, "name");
    let overrides = containers(&injected.before).any(|own| own["name"] == *name && own["image"] == "auto");
    let mut brought = injected
        .documents()
        .flat_map(|template| ["sidecars", "initContainers"].map(|list| &template["spec"][list]))
        .filter_map(Value::as_array)
        .flatten()
        .filter(|brought| brought["name"] == *name);
    if overrides {
        // The engine adds hardening and a native sidecar's restart policy; `fromApp` copies from
        // the app.
        let own = ["securityContext", "restartPolicy", "env", "volumeMounts", "imagePullPolicy"];
        return brought
            .any(|brought| rest.first().is_some_and(|field| brought.get(field).is_some() || own.contains(field)));
    }
    let app = |field: &str| injected.documents().any(|template| !template["spec"]["app"][field].is_null());
    let default =
        |field: &str| injected.documents().any(|template| !template["spec"]["app"]["defaults"][field].is_null());
    let (field, is_item) = match rest {
        ["command", ..] => return app("prependCommand"),
        ["env", _, "value"] => return app("env"),
        [field, ..] if default(field) => return true,
        [field] => (*field, false),
        [field, index] if *index == "-" || index.parse::<usize>().is_ok() => (*field, true),
        _ => return false,
    };
    let key = match field {
        "env" => "name",
        "volumeMounts" => "mountPath",
        "envFrom" => "",
        _ => return false,
    };
    let added = items(if is_item { &["-"] } else { &[] }, value);
    let listed = |item: &Value| {
        let mut wanted =
            injected.documents().filter_map(|template| template["spec"]["app"][field].as_array()).flatten();
        wanted.any(|wanted| is_expression(&wanted[key]) || wanted.get(key) == item.get(key))
    };
    added.into_iter().all(listed)
}

fn is_expression(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains("${"))
}

/// Whether a template's `pod` contains this path, or an object above it.
fn sets_pod_field(injected: &Injected<'_>, path: &[&str]) -> bool {
    let leads = |template: &Value| {
        let mut at = &template["spec"]["pod"];
        path.iter().all(|token| match at {
            Value::Object(fields) => fields.get(*token).is_some_and(|below| {
                at = below;
                true
            }),
            Value::Array(_) => *token == "-",
            _ => false,
        })
    };
    !path.is_empty() && injected.documents().any(leads)
}

/// Defaults that the API server sets before admission.
pub fn is_filled_in(path: &str, value: &Value) -> bool {
    match path {
        "/spec/terminationGracePeriodSeconds" => *value == 30,
        "/spec/dnsPolicy" => value == "ClusterFirst",
        "/spec/schedulerName" => value == "default-scheduler",
        "/spec/serviceAccountName" => value == "default" || value == "",
        "/spec/priorityClassName" => value == "",
        "/spec/enableServiceLinks" => *value == true,
        "/spec/priority" => *value == 0,
        "/spec/preemptionPolicy" => value == "PreemptLowerPriority",
        _ => false,
    }
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}
