//! Converts the configuration of ricoberger's sidecar-injector: a template for each container, and
//! one for each volume that no container mounts.
//!
//! Pods name containers, init containers and volumes one by one there, and set environment variables
//! and resources by annotation. Parameters of variables read those annotations as their defaults.

use serde_json::{Value, json};

use super::draft::{Draft, constant, mounts, name_of};
use super::ledger::Ledger;
use super::ricoberger_variables::{environment, variables_of_nobody};
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
    for (list, items) in [("containers", &containers), ("volumes", &volumes)] {
        if let Some(at) = items.iter().position(|item| name_of(item).is_empty()) {
            return Err(format!("{}: expected a name", ledger.field(&format!("/{list}/{at}"))));
        }
    }
    let (mut drafts, mut problems) = (Drafts::default(), Vec::new());
    for (at, container) in containers.iter().enumerate() {
        let pointer = format!("/containers/{at}");
        let (converted, variables) = environment(ledger, container, &mut problems);
        let container = Injected { container: converted, variables, pointer };
        sidecar(ledger, &mut drafts, container.clone(), Role::Sidecar);
        // Kubernetes takes no probes and hooks of init containers that run once.
        let only_sidecar = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"];
        if !only_sidecar.iter().any(|key| container.container.get(key).is_some()) {
            sidecar(ledger, &mut drafts, container, Role::Init);
        }
    }
    if !problems.is_empty() {
        return Err(problems.join("\n"));
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

/// A container as a template has it, with the parameters of its variables and the annotations that set them.
#[derive(Clone)]
struct Injected {
    container: Value,
    variables: Vec<(Value, String)>,
    pointer: String,
}

fn sidecar(ledger: &mut Ledger, drafts: &mut Drafts, injected: Injected, role: Role) {
    let Injected { container: mut converted, variables, pointer } = injected;
    let name = name_of(&converted).to_owned();
    let suffix = if role == Role::Init { "-init" } else { "" };
    let mut draft = Draft::new(&format!("{name}{suffix}"), ledger, &pointer);
    let mut parameters = Vec::new();
    resources(&mut converted, &name, role, &mut parameters);
    parameters.extend(variables);
    for (at, volume) in ledger.list("/volumes").to_vec().into_iter().enumerate() {
        if mounts(&converted, name_of(&volume)) {
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
    drafts.hints.push(asks(role.annotation(), &name, &draft.name));
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
