//! Converts the configuration of ricoberger's sidecar-injector: a template for each container, and
//! one for each volume that no container mounts.
//!
//! Pods name containers, init containers and volumes one by one there, and set environment variables
//! and resources by annotation. Parameters of variables read those annotations as their defaults.

use serde_json::{Value, json};

use super::draft::{Draft, cel_key, cel_string, constant, label, name_of, with};
use super::ledger::{Ledger, child};
use super::{Drafts, Hint, ricoberger_injectors};

const DOMAIN: &str = "sidecar-injector.ricoberger.de";

/// What a container becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Sidecar,
    Init,
}

impl Role {
    const fn list(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecars",
            Self::Init => "initContainers",
        }
    }

    /// The annotation that names containers of this role.
    const fn annotation(self) -> &'static str {
        match self {
            Self::Sidecar => "containers",
            Self::Init => "init-containers",
        }
    }
}

pub(super) fn convert(ledger: &mut Ledger) -> Result<Drafts, String> {
    let containers = ledger.take_list("/containers");
    let volumes = ledger.take_list("/volumes");
    let mut drafts = Drafts::default();
    for (at, container) in containers.iter().enumerate() {
        if name_of(container).is_empty() {
            return Err(format!("{}: expected a name", ledger.field(&format!("/containers/{at}"))));
        }
        sidecar(ledger, &mut drafts, container, at, Role::Sidecar);
        // Kubernetes takes no probes and hooks of init containers that run once.
        let only_sidecar = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"];
        if !only_sidecar.iter().any(|key| container.get(key).is_some_and(|value| !value.is_null())) {
            sidecar(ledger, &mut drafts, container, at, Role::Init);
        }
    }
    for (at, volume) in volumes.iter().enumerate() {
        let is_mounted = containers.iter().any(|container| mounts(container, name_of(volume)));
        if !is_mounted {
            let mut draft = Draft::new(&format!("volume-{}", name_of(volume)), ledger, &format!("/volumes/{at}"));
            draft.push("volumes", constant(volume.clone()), ledger.field(&format!("/volumes/{at}")));
            drafts.hints.push(asks("volumes", name_of(volume), &draft.name));
            drafts.drafts.push(draft);
        }
    }
    variables_of_nobody(ledger, &containers);
    if drafts.drafts.is_empty() {
        return Err(format!("{}: expected a list of containers or volumes, found none", ledger.place("")));
    }
    let automatic = ricoberger_injectors::automatic(ledger, &drafts.drafts);
    if !automatic.is_empty() {
        drafts.hints.push(ricoberger_injectors::hint());
    }
    drafts.drafts.extend(automatic);
    drafts.hints.insert(0, Hint::new(format!("{DOMAIN}: enabled on a pod"), "nothing: outrigger.dev/inject is enough"));
    Ok(drafts)
}

fn asks(annotation: &str, name: &str, template: &str) -> Hint {
    Hint::new(
        format!("{DOMAIN}/{annotation}: {name} on a pod"),
        format!("outrigger.dev/inject: {template} on the pod (several names: one list)"),
    )
}

fn sidecar(ledger: &mut Ledger, drafts: &mut Drafts, container: &Value, at: usize, role: Role) {
    let name = name_of(container);
    let pointer = format!("/containers/{at}");
    let suffix = if role == Role::Init { "-init" } else { "" };
    let mut draft = Draft::new(&format!("{name}{suffix}"), ledger, &pointer);
    let mut converted = constant(container.clone());
    let mut parameters = Vec::new();
    resources(&mut converted, name, role, &mut parameters);
    environment(ledger, &mut converted, name, &mut parameters);
    for (at, volume) in ledger.list("/volumes").to_vec().into_iter().enumerate() {
        if mounts(container, name_of(&volume)) {
            draft.push("volumes", constant(volume), ledger.field(&format!("/volumes/{at}")));
        }
    }
    draft.push(role.list(), converted, ledger.field(&pointer));
    draft.plain();
    if role == Role::Init {
        draft.set("placement.initContainerOrder", json!("Last"));
    }
    for (parameter, annotation) in &parameters {
        let before = format!("{annotation} on a pod");
        let is_key = annotation.matches('/').count() <= 1;
        let note = if is_key { "the old annotation is still read" } else { "no API server takes the old annotation" };
        let after = format!("{}.outrigger.dev/{} ({note})", draft.name, name_of(parameter));
        drafts.hints.push(Hint::new(before, after));
    }
    draft.set("parameters", parameters.into_iter().map(|(parameter, _)| parameter).collect());
    drafts.hints.push(asks(role.annotation(), name, &draft.name));
    drafts.drafts.push(draft);
}

/// A parameter for each request and limit that an annotation may change.
fn resources(container: &mut Value, name: &str, role: Role, parameters: &mut Vec<(Value, String)>) {
    for (kind, resource, suffix, parameter) in [
        ("requests", "cpu", "cpurequests", "cpuRequests"),
        ("limits", "cpu", "cpulimits", "cpuLimits"),
        ("requests", "memory", "memoryrequests", "memoryRequests"),
        ("limits", "memory", "memorylimits", "memoryLimits"),
    ] {
        let pointer = format!("/resources/{kind}/{resource}");
        let Some(value) = container.pointer_mut(&pointer) else { continue };
        let default = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // Nobody can read this annotation: a key with two slashes is refused by the API server.
        let annotation = format!("{DOMAIN}/{}/{name}/{suffix}", role.annotation());
        *value = json!(format!("${{params.{parameter}}}"));
        let parameter = json!({
            "name": parameter, "type": "quantity", "default": default,
            "description": format!("The container's {resource} {kind}."),
        });
        parameters.push((parameter, annotation));
    }
}

/// A parameter for each variable that an annotation sets.
fn environment(ledger: &mut Ledger, container: &mut Value, name: &str, parameters: &mut Vec<(Value, String)>) {
    for (at, variable) in ledger.list("/environmentVariables").to_vec().into_iter().enumerate() {
        let text = |key: &str| variable.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("container") != name {
            continue;
        }
        for key in ["container", "name", "annotation"] {
            ledger.account(&child(&format!("/environmentVariables/{at}"), key));
        }
        let parameter = format!("env_{}", label(text("name")).replace('-', "_"));
        let expression = format!("${{{}}}", cel_key("annotations", text("annotation"), ""));
        let item = format!("{{'name': {}, 'value': params.{parameter}}}", cel_string(text("name")));
        // An element that is null is left out.
        let item = json!(format!("${{params.{parameter} == '' ? null : {item}}}"));
        match container.get_mut("env") {
            Some(Value::Array(items)) => items.push(item),
            _ => *container = with(container.take(), "env", json!([item])),
        }
        let declared = json!({
            "name": parameter, "type": "string", "default": expression,
            "description": format!("The variable {}; empty for none.", text("name")),
        });
        parameters.push((declared, text("annotation").to_owned()));
    }
}

/// Variables that name no container of the configuration are never set.
fn variables_of_nobody(ledger: &mut Ledger, containers: &[Value]) {
    for at in 0..ledger.list("/environmentVariables").len() {
        let pointer = format!("/environmentVariables/{at}");
        let container = ledger.text(&format!("{pointer}/container")).unwrap_or_default();
        if !containers.iter().any(|one| name_of(one) == container) {
            ledger.lose(&pointer, "it names no container of this file, so nothing sets it", "name its container");
        }
    }
    if ledger.list("/environmentVariables").is_empty() {
        ledger.account("/environmentVariables");
    }
}

fn mounts(container: &Value, volume: &str) -> bool {
    let mounts = container.get("volumeMounts").and_then(Value::as_array);
    mounts.is_some_and(|mounts| mounts.iter().any(|mount| name_of(mount) == volume))
}
