//! Rules of what a template brings into a pod, held by every pod of its example and of its test
//! cases.

use serde_json::{Value, json};

use super::companions::unless;
use super::{Sample, Subject};
use crate::catalog::files::{Level, parse, plain_pod};

/// A violation for each container of which `fault` says something; its second argument says whether
/// the container runs as long as the app.
fn each(subject: &Subject<'_>, fault: impl Fn(&Value, bool) -> Option<String>) -> Vec<String> {
    let containers = subject.samples.iter().filter(|sample| !sample.is_on_the_host_network());
    let containers = containers.flat_map(Sample::containers);
    containers
        .filter_map(|(container, runs_on)| {
            Some(format!("container {}: {}", container["name"], fault(container, runs_on)?))
        })
        .collect()
}

/// A violation with the fields that the container lacks.
fn lacks(container: &Value, fields: &[&str]) -> Option<String> {
    let missing: Vec<&&str> = fields.iter().filter(|field| container.pointer(field).is_none()).collect();
    unless(missing.is_empty(), format!("there is no {missing:?}"))
}

pub fn images(subject: &Subject<'_>) -> Vec<String> {
    let lists = ["sidecars", "initContainers"].map(|list| subject.entry.list(list));
    let fixed = lists.into_iter().flatten().filter_map(|container| {
        let image = container["image"].as_str()?;
        unless(image.contains("params."), format!("container {}: {image:?} is no parameter", container["name"]))
    });
    fixed.collect()
}

pub fn resources(subject: &Subject<'_>) -> Vec<String> {
    let fields = ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"];
    each(subject, |container, _| lacks(container, &fields))
}

/// Containers that run as long as the app have a startup probe, so that the app starts after them, and
/// a liveness probe.
pub fn probes(subject: &Subject<'_>) -> Vec<String> {
    each(subject, |container, runs_on| lacks(container, &["/startupProbe", "/livenessProbe"]).filter(|_| runs_on))
}

pub fn termination_message(subject: &Subject<'_>) -> Vec<String> {
    each(subject, |container, _| {
        let policy = &container["terminationMessagePolicy"];
        unless(policy == "FallbackToLogsOnError", format!("terminationMessagePolicy is {policy}"))
    })
}

/// Whatever the label says, a container has a user and a read-only root. At the level "restricted" it
/// has the fields of that level too.
pub fn security_context(subject: &Subject<'_>) -> Vec<String> {
    let restricted = [
        ("/allowPrivilegeEscalation", json!(false)),
        ("/capabilities/drop", json!(["ALL"])),
        ("/runAsNonRoot", json!(true)),
        ("/seccompProfile/type", json!("RuntimeDefault")),
    ];
    each(subject, |container, _| {
        let context = &container["securityContext"];
        let mut wrong = Vec::new();
        wrong.extend(unless(context["readOnlyRootFilesystem"] == true, "readOnlyRootFilesystem is not true"));
        let user = context["runAsUser"].as_i64();
        wrong.extend(unless(user.is_some_and(|user| user > 0), format!("runAsUser is {user:?}")));
        if subject.entry.level() == Level::Restricted {
            let differs = restricted.iter().filter(|(field, value)| context.pointer(field) != Some(value));
            wrong.extend(differs.map(|(field, value)| format!("{field} is not {value}")));
        }
        unless(wrong.is_empty(), format!("securityContext: {}", wrong.join("; ")))
    })
}

/// Volumes are bounded, none is of the node below the level "privileged", and an object of the
/// namespace is one that the pod names.
pub fn volumes(subject: &Subject<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for sample in &subject.samples {
        let annotations = sample.before["metadata"]["annotations"].to_string();
        for volume in sample.added("volumes") {
            let fault = match volume.as_object().and_then(|fields| fields.keys().find(|key| *key != "name")) {
                Some(kind) if kind == "emptyDir" => {
                    unless(volume[kind].get("sizeLimit").is_some(), "the emptyDir has no sizeLimit")
                }
                Some(kind) if kind == "hostPath" => {
                    unless(subject.entry.level() == Level::Privileged, "a hostPath needs the level privileged")
                }
                Some(_) => object_of(volume).and_then(|object| {
                    unless(annotations.contains(&object), format!("the pod does not name the object {object:?}"))
                }),
                None => Some("it has no source".to_owned()),
            };
            faults.extend(fault.map(|fault| format!("volume {}: {fault}", volume["name"])));
        }
    }
    faults
}

/// The object of the namespace that the volume shows.
fn object_of(volume: &Value) -> Option<String> {
    let fields = ["/configMap/name", "/secret/secretName", "/persistentVolumeClaim/claimName"];
    fields.iter().find_map(|field| volume.pointer(field)?.as_str().map(str::to_owned))
}

/// A template that opens ports refuses a pod on the host network, or opens none there.
pub fn host_network(subject: &Subject<'_>) -> Vec<String> {
    let opens = |sample: &Sample| sample.containers().iter().any(|(container, _)| container["ports"].is_array());
    let mut pod = subject.catalog.ask(&plain_pod(), &[&subject.entry.name]);
    let plain = Sample::new(subject.injector, pod.clone());
    pod["spec"]["hostNetwork"] = json!(true);
    let on_host = Sample::new(subject.injector, pod);
    let holds = !plain.as_ref().is_some_and(opens) || !on_host.as_ref().is_some_and(opens);
    unless(holds, "its ports would be open on the node of a pod on the host network; refuse it by a condition")
        .into_iter()
        .collect()
}

/// Files whose names say that they are YAML or JSON can be read as such.
pub fn files(subject: &Subject<'_>) -> Vec<String> {
    let files = subject.samples.iter().flat_map(|sample| sample.after["metadata"]["annotations"].as_object()).flatten();
    let files = files.filter(|(key, _)| key.contains(".outrigger.dev/file."));
    let faults = files.filter_map(|(key, text)| {
        let is_yaml = [".yaml", ".yml", ".json"].iter().any(|ending| key.ends_with(ending));
        let error = parse(text.as_str().unwrap_or_default()).err().filter(|_| is_yaml)?;
        Some(format!("{key}: {}", error.lines().next().unwrap_or_default()))
    });
    faults.collect()
}
