//! Laws for an injected pod: a second pass, changes by other webhooks, and `uninject`.
//!
//! Invariant: only `uninject` and the second verdict are used, never the engine's own types.

use super::case::{DOMAIN, STATUS, yaml};
use super::laws::{Injected, names, names_in, same, status_of, without_marks};
use super::pieces::text_of;
use crate::support::injected_pod;
use outrigger::inject::{Outcome, SkipReason, uninject};
use serde_json::{Value, json};

/// A pod with an earlier status comes back without it: everything in such a status belongs to
/// Outrigger.
pub fn uninject_restores_the_pod(injected: &Injected<'_>) -> Result<(), String> {
    let back = taken_out(&injected.after)?;
    if uninject(&back, DOMAIN) != Ok(None) {
        return Err(format!("marks are left\n{}", yaml(&back)));
    }
    match injected.before["metadata"]["annotations"].get(STATUS) {
        None => same(&injected.before, &back),
        Some(_) => same(&without_marks(&injected.before), &without_marks(&back)),
    }
}

/// A live pod has managed fields, a node, defaults and changes of another webhook; all of these
/// stay.
pub fn uninject_works_after_changes_by_others(injected: &Injected<'_>) -> Result<(), String> {
    if injected.before["metadata"]["annotations"].get(STATUS).is_some() {
        return Ok(());
    }
    let mut live = injected.after.clone();
    let mut expected = injected.before.clone();
    let own = names(&injected.before["spec"]["containers"]);
    for pod in [&mut live, &mut expected] {
        pod["status"] = json!({"phase": "Running"});
        let spec = &mut pod["spec"];
        spec["nodeName"] = json!("node-1");
        for container in
            spec["containers"].as_array_mut().into_iter().flatten().filter(|one| own.contains(&text_of(one, "name")))
        {
            add_to_list(container, "env", json!({"name": "OF_ANOTHER_WEBHOOK", "value": "x"}));
        }
        add_to_list(spec, "containers", json!({"name": "of-another-webhook", "image": "other:1"}));
        add_to_list(spec, "initContainers", json!({"name": "of-another-webhook-2", "image": "other:1"}));
        add_to_list(spec, "volumes", json!({"name": "token", "projected": {"sources": []}}));
        add_to_list(spec, "tolerations", json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists"}));
        for field in ["labels", "annotations"] {
            pod["metadata"][field]["of-another-webhook"] = json!("x");
        }
    }
    uninject_gives(&expected, &live)
}

/// `uninject` must return this pod.
pub fn uninject_gives(expected: &Value, pod: &Value) -> Result<(), String> {
    same(expected, &taken_out(pod)?)
}

fn taken_out(pod: &Value) -> Result<Value, String> {
    uninject(pod, DOMAIN)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| "the pod has no injected content".to_owned())
}

/// A removed sidecar is injected again.
pub fn removed_sidecar_is_injected_again(injected: &Injected<'_>) -> Result<(), String> {
    let status = status_of(&injected.after);
    let brought =
        status["templates"].as_array().into_iter().flatten().flat_map(|entry| names_in(&entry["initContainers"]));
    let Some(name) = brought.last().filter(|_| !injected.depends_on_the_pod()) else { return Ok(()) };
    let mut pod = injected.after.clone();
    if let Some(Value::Array(list)) = pod["spec"].get_mut("initContainers") {
        list.retain(|container| container["name"] != name);
    }
    match injected.case.inject(injected.injector, &pod) {
        Ok(Outcome::Injected(more)) if names(&injected_pod(&pod, &more)["spec"]["initContainers"]).contains(&name) => {
            Ok(())
        }
        other => Err(format!("without container {name:?}: {other:?}")),
    }
}

pub fn second_pass_changes_nothing(injected: &Injected<'_>) -> Result<(), String> {
    nothing_more(injected, &injected.after)
}

/// Between the passes images are rewritten, defaults set, and other webhooks add containers.
pub fn second_pass_after_others_changes_nothing(injected: &Injected<'_>) -> Result<(), String> {
    let mut pod = injected.after.clone();
    for list in ["containers", "initContainers"] {
        for container in pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            container["image"] = json!(format!("mirror.example/{}", text_of(container, "image")));
            container["imagePullPolicy"] = json!("Always");
            container["terminationMessagePath"] = json!("/dev/termination-log");
            add_to_list(container, "env", json!({"name": "OF_ANOTHER_WEBHOOK", "value": "x"}));
            add_to_list(
                container,
                "volumeMounts",
                json!({"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}),
            );
        }
    }
    add_to_list(&mut pod["spec"], "volumes", json!({"name": "token", "projected": {"sources": []}}));
    add_to_list(&mut pod["spec"], "tolerations", json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists"}));
    add_to_list(&mut pod["spec"], "containers", json!({"name": "of-another-webhook", "image": "other:1"}));
    pod["spec"]["priority"] = json!(1000);
    nothing_more(injected, &pod)
}

fn add_to_list(object: &mut Value, field: &str, item: Value) {
    match &mut object[field] {
        Value::Array(list) => list.push(item),
        absent => *absent = json!([item]),
    }
}

/// The pod is skipped as injected. A template that was left out may be injected now, but adds
/// nothing else.
fn nothing_more(injected: &Injected<'_>, pod: &Value) -> Result<(), String> {
    let again = injected.case.inject(injected.injector, pod).map_err(|error| format!("refused: {error}"))?;
    match again {
        Outcome::Skipped(skip) if skip.reasons.contains(&SkipReason::AlreadyInjected) => Ok(()),
        Outcome::Skipped(skip) => Err(format!("skipped, but not as done: {skip:?}")),
        Outcome::Injected(_) if injected.nothing_was_left_out() => Err("injected again".to_owned()),
        Outcome::Injected(more) => match more.templates.iter().find(|name| injected.templates.contains(name)) {
            Some(twice) => Err(format!("template {twice:?} was injected twice")),
            None => Ok(()),
        },
    }
}

/// Without the status the engine recognises injected content, except an overridden sidecar and
/// templates that read the pod.
pub fn present_content_is_not_injected_again(injected: &Injected<'_>) -> Result<(), String> {
    if injected.depends_on_the_pod() || !injected.nothing_was_left_out() {
        return Ok(());
    }
    nothing_more(injected, &without_marks(&injected.after))
}
