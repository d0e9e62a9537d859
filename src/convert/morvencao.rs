//! Converts `sidecarconfig.yaml` of morvencao's kube-sidecar-injector into one template.

use serde_json::json;

use super::draft::{Draft, constant, name_of};
use super::ledger::Ledger;
use super::{Drafts, Hint};

const INJECT: &str = "sidecar-injector-webhook.morven.me/inject";

pub(super) fn convert(ledger: &mut Ledger) -> Result<Drafts, String> {
    let containers = ledger.take_list("/containers");
    let Some(first) = containers.first().map(name_of).filter(|name| !name.is_empty()) else {
        return Err(format!("{}: expected a list of containers, each with a name", ledger.field("/containers")));
    };
    let mut draft = Draft::new(first, ledger, "");
    for (list, key, items) in [
        ("sidecars", "containers", containers.clone()),
        ("initContainers", "initContainers", ledger.take_list("/initContainers")),
        ("volumes", "volumes", ledger.take_list("/volumes")),
    ] {
        for (at, item) in items.into_iter().enumerate() {
            draft.push(list, constant(item), ledger.field(&format!("/{key}/{at}")));
        }
    }
    draft.plain();
    if draft.spec.contains_key("initContainers") {
        draft.set("placement.initContainerOrder", json!("Last"));
    }
    let name = &draft.name;
    let hints = vec![
        Hint::new(
            format!("{INJECT}: \"yes\" (or y, true, on) on a pod"),
            format!("outrigger.dev/inject: {name} on the pod"),
        ),
        Hint::new(
            "label sidecar-injection: enabled (or sidecar-injector: enabled) on a namespace",
            "nothing: the annotation of the pod is enough",
        ),
    ];
    Ok(Drafts { drafts: vec![draft], hints })
}
