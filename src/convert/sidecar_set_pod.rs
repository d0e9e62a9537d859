//! Converts what a SidecarSet has beside its containers: init containers, volumes and fields of the pod.

use serde_json::{Map, Value, json};

use super::draft::{Draft, constant, mounts, name_of};
use super::ledger::{Ledger, child};

/// Fields of a container that OpenKruise reads and Kubernetes does not know.
const OF_KRUISE: [&str; 6] = [
    "podInjectPolicy",
    "shareVolumePolicy",
    "shareVolumeDevicePolicy",
    "transferEnv",
    "upgradeStrategy",
    "resourcesPolicy",
];

pub(super) const CORRECT: &str = "correct it";

pub(super) fn misfit(expected: &str) -> String {
    format!("it is not read: expected {expected}")
}

/// Fields of OpenKruise whose values it would refuse are lost, and leave the container.
pub(super) fn lose_misfits(ledger: &mut Ledger, pointer: &str, container: &mut Value) {
    let Value::Object(fields) = container else { return };
    let is_one_of = |value: Option<&Value>, texts: [&str; 2]| match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty() || texts.contains(&text.as_str()),
        Some(_) => false,
    };
    for (key, expected) in [
        ("podInjectPolicy", "BeforeAppContainer or AfterAppContainer"),
        ("shareVolumePolicy", "a map in which type is enabled or disabled"),
        ("transferEnv", "a list"),
        ("upgradeStrategy", "a map in which upgradeType is ColdUpgrade or HotUpgrade"),
    ] {
        let value = fields.get(key).filter(|value| !value.is_null());
        let Some(value) = value else { continue };
        let is_fit = match key {
            "podInjectPolicy" => is_one_of(Some(value), ["BeforeAppContainer", "AfterAppContainer"]),
            "shareVolumePolicy" => value.is_object() && is_one_of(value.get("type"), ["enabled", "disabled"]),
            "upgradeStrategy" => {
                value.is_object() && is_one_of(value.get("upgradeType"), ["ColdUpgrade", "HotUpgrade"])
            }
            _ => value.is_array(),
        };
        if !is_fit {
            ledger.lose(&child(pointer, key), &misfit(expected), CORRECT);
            fields.remove(key);
        }
    }
}

pub(super) fn without_kruise(mut container: Value) -> Value {
    if let Value::Object(fields) = &mut container {
        OF_KRUISE.iter().for_each(|key| _ = fields.remove(*key));
    }
    container
}

pub(super) fn rest_of_pod(ledger: &mut Ledger, base: &Draft, name: &str, drafts: &mut Vec<Draft>) {
    init_containers(ledger, base, name, drafts);
    volumes(ledger, drafts);
    if let Some(first) = drafts.first_mut() {
        first.set("pod.imagePullSecrets", constant(ledger.take("/spec/imagePullSecrets").unwrap_or_default()));
        first.came_from("pod.imagePullSecrets", ledger.field("/spec/imagePullSecrets"));
        pod_metadata(ledger, first);
    }
}

/// Init containers in the order of their names, as OpenKruise adds them. One that is always restarted is
/// a native sidecar and needs a template of its own.
fn init_containers(ledger: &mut Ledger, base: &Draft, name: &str, drafts: &mut Vec<Draft>) {
    let mut all: Vec<_> = ledger.take_list("/spec/initContainers").into_iter().enumerate().collect();
    for (at, container) in &mut all {
        lose_misfits(ledger, &format!("/spec/initContainers/{at}"), container);
    }
    all.sort_by(|(_, one), (_, other)| name_of(one).cmp(name_of(other)));
    let is_before = |container: &Value| container.get("podInjectPolicy") == Some(&json!("BeforeAppContainer"));
    let is_native = |container: &Value| container.get("restartPolicy") == Some(&json!("Always"));
    for native in [false, true] {
        let of_kind: Vec<_> = all.iter().filter(|(_, container)| is_native(container) == native).collect();
        let Some((_, first)) = of_kind.first() else { continue };
        let are_before = of_kind.iter().all(|(_, container)| is_before(container));
        let at = if native {
            drafts.push(base.sibling(&format!("{name}-{}", name_of(first)), ledger));
            drafts.len() - 1
        } else {
            0
        };
        let (list, order) =
            if native { ("sidecars", "placement.order") } else { ("initContainers", "placement.initContainerOrder") };
        for (index, container) in of_kind {
            let pointer = format!("/spec/initContainers/{index}");
            lose_fields(ledger, &pointer, container, is_before(container) != are_before);
            let mut converted = constant(without_kruise(container.clone()));
            if let Value::Object(fields) = &mut converted {
                fields.retain(|key, _| !native || key != "restartPolicy");
            }
            drafts[at].push(list, converted, ledger.field(&pointer));
        }
        drafts[at].set(order, json!(if are_before { "First" } else { "Last" }));
    }
}

fn lose_fields(ledger: &mut Ledger, pointer: &str, container: &Value, loses_policy: bool) {
    // Those with a wrong value are lost already.
    for key in OF_KRUISE.into_iter().filter(|key| container.get(key).is_some()) {
        let field = format!("{pointer}/{key}");
        let value = container.get(key);
        let is_default = match key {
            "podInjectPolicy" => !loses_policy,
            "shareVolumePolicy" => value == Some(&json!({"type": "disabled"})),
            "upgradeStrategy" => value == Some(&json!({"upgradeType": "ColdUpgrade"})),
            _ => false,
        };
        if is_default {
            ledger.account(&field);
        } else if key == "podInjectPolicy" {
            ledger.lose(&field, "all init containers of a template have one place", "write a second template for it");
        } else {
            let why = "an init container of a template has no such field";
            ledger.lose(&field, why, "make it a sidecar, or leave it out");
        }
    }
}

/// Each volume goes to the templates whose containers mount it; OpenKruise adds no other one.
fn volumes(ledger: &mut Ledger, drafts: &mut [Draft]) {
    for (at, volume) in ledger.take_list("/spec/volumes").into_iter().enumerate() {
        let pointer = format!("/spec/volumes/{at}");
        let mut is_mounted = false;
        for draft in drafts.iter_mut().filter(|draft| has_mount(draft, name_of(&volume))) {
            is_mounted = true;
            draft.push("volumes", constant(volume.clone()), ledger.field(&pointer));
        }
        if !is_mounted {
            let why = "no container of the SidecarSet mounts it, so OpenKruise adds it to no pod";
            ledger.lose(&pointer, why, "nothing, or mount it in a container");
        }
    }
}

fn has_mount(draft: &Draft, volume: &str) -> bool {
    let containers = ["sidecars", "initContainers"].iter().filter_map(|list| draft.spec.get(*list)?.as_array());
    containers.flatten().any(|container| mounts(container, volume))
}

fn pod_metadata(ledger: &mut Ledger, draft: &mut Draft) {
    let mut annotations = Map::new();
    for at in 0..ledger.list("/spec/patchPodMetadata").len() {
        let pointer = format!("/spec/patchPodMetadata/{at}");
        let policy = ledger.value.pointer(&format!("{pointer}/patchPolicy")).cloned().unwrap_or_default();
        match policy.as_str() {
            None if !policy.is_null() => ledger.lose(&pointer, &misfit("patchPolicy as a text"), CORRECT),
            None | Some("" | "Retain") => {
                ledger.account(&format!("{pointer}/patchPolicy"));
                let entries = format!("{pointer}/annotations");
                if ledger.value.pointer(&entries).is_some_and(|entries| !entries.is_object()) {
                    ledger.lose(&entries, &misfit("a map of texts"), CORRECT);
                }
                let found = ledger.value.pointer(&entries).and_then(Value::as_object).cloned().unwrap_or_default();
                ledger.account(&entries);
                for (key, value) in found {
                    let field = child(&entries, &key);
                    match annotations.get(&key) {
                        None => {
                            draft.came_from(&format!("metadata.annotations[{key}]"), ledger.field(&field));
                            annotations.insert(key, value);
                        }
                        Some(first) if *first == value => {}
                        Some(_) => {
                            let why = "an earlier entry sets this annotation, and Retain keeps it";
                            ledger.lose(&field, why, "leave one of the two out");
                        }
                    }
                }
            }
            Some(_) => ledger.lose(
                &pointer,
                "a template never changes an annotation that the pod has",
                "add it to spec.metadata.annotations, for pods that do not have it",
            ),
        }
    }
    draft.set("metadata.annotations", constant(Value::Object(annotations)));
}

pub(super) fn losses(ledger: &mut Ledger) {
    let never_updates = ledger.text("/spec/updateStrategy/type") == Some("NotUpdate");
    if never_updates && ledger.keys("/spec/updateStrategy").len() == 1 {
        // A template leaves running pods as they are, too.
        ledger.account("/spec/updateStrategy");
    } else {
        ledger.lose(
            "/spec/updateStrategy",
            "running pods are not updated by a template",
            "set rollout.percent for new pods, and restart workloads when it suits",
        );
    }
    let one = "a template has no older revision to choose";
    for (pointer, why, instead) in [
        ("/spec/injectionStrategy/revision", one, "keep two templates"),
        ("/spec/injectionStrategy/revisionPolicy", one, "keep two templates"),
        ("/spec/customVersion", "revisions are named by their content", "ask for one by NAME@REVISION"),
        ("/spec/revisionHistoryLimit", "the number of kept revisions is fixed", "nothing"),
    ] {
        ledger.lose(pointer, why, instead);
    }
}
