//! Converts a SidecarSet of OpenKruise into automatic templates.
//!
//! A template has one place for all of its sidecars and takes from the app for all of them. Containers
//! that differ in that become templates of their own.

use serde_json::{Map, Value, json};

use super::draft::{Draft, constant, name_of};
use super::ledger::{Ledger, child};
use super::{Drafts, Hint};

/// Fields of a container that OpenKruise reads and Kubernetes does not know.
const OF_KRUISE: [&str; 6] = [
    "podInjectPolicy",
    "shareVolumePolicy",
    "shareVolumeDevicePolicy",
    "transferEnv",
    "upgradeStrategy",
    "resourcesPolicy",
];

/// What all sidecars of a template have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    before_app: bool,
    shares_volumes: bool,
    /// Variables taken from the app, and from which container of it.
    env: Vec<String>,
    env_from: Option<String>,
}

pub(super) fn convert(ledger: &mut Ledger) -> Result<Drafts, String> {
    let name = ledger.take_text("/metadata/name");
    let name = name.ok_or_else(|| format!("{}: expected a name", ledger.field("/metadata/name")))?;
    ledger.account("/metadata/namespace");
    let mut base = Draft::new(&name, ledger, "");
    take_object_metadata(ledger, &mut base);
    let paused = ledger.value.pointer("/spec/injectionStrategy/paused") == Some(&json!(true));
    selection(ledger, &mut base, paused);
    let groups = groups(ledger);
    let mut drafts: Vec<Draft> =
        groups.into_iter().enumerate().map(|(at, group)| of_group(ledger, &name, &base, at, group)).collect();
    if drafts.is_empty() {
        drafts.push(base.sibling(&name, ledger));
    }
    rest_of_pod(ledger, &mut drafts);
    losses(ledger);
    if !drafts.iter().any(Draft::gives_something) {
        return Err(format!("{}: the SidecarSet adds nothing that a template can add", ledger.place("")));
    }
    let names = drafts.iter().map(|draft| draft.name.clone()).collect::<Vec<_>>().join(",");
    let mut hints = vec![Hint::new(
        format!("SidecarSet {name} reaches the pods that it selects"),
        "label outrigger.dev/injection: enabled on each of their namespaces",
    )];
    if paused {
        hints.push(Hint::new(
            "injectionStrategy.paused: true",
            format!("injection: OptIn until it is Automatic; outrigger.dev/inject: {names} on a pod asks for it"),
        ));
    }
    Ok(Drafts { drafts, hints })
}

/// Labels and annotations of the object; what the API server writes needs no place.
pub(super) fn take_object_metadata(ledger: &mut Ledger, draft: &mut Draft) {
    ledger.account("/apiVersion");
    ledger.account("/kind");
    for key in ["labels", "annotations"] {
        let pointer = format!("/metadata/{key}");
        let applied = child(&pointer, "kubectl.kubernetes.io/last-applied-configuration");
        let Some(Value::Object(mut entries)) = ledger.take(&pointer) else { continue };
        if entries.remove("kubectl.kubernetes.io/last-applied-configuration").is_some() {
            ledger.lose(&applied, "kubectl writes it anew", "nothing");
        }
        if !entries.is_empty() {
            draft.metadata.insert(key.to_owned(), Value::Object(entries));
        }
    }
    for key in ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"] {
        ledger.lose(&format!("/metadata/{key}"), "the API server writes it", "nothing");
    }
    ledger.lose("/status", "it is the state of the old object", "nothing: templates get a status of their own");
}

fn selection(ledger: &mut Ledger, draft: &mut Draft, paused: bool) {
    if !paused {
        draft.set("injection", json!("Automatic"));
    }
    ledger.account("/spec/injectionStrategy/paused");
    let selector = ledger.take("/spec/selector").unwrap_or_else(|| json!({}));
    let mut matching = Map::from_iter([("podSelector".to_owned(), selector)]);
    draft.came_from("match.podSelector", ledger.field("/spec/selector"));
    let mut namespaces = ledger.take("/spec/namespaceSelector");
    if let Some(namespace) = ledger.take_text("/spec/namespace").filter(|namespace| !namespace.is_empty()) {
        let selector = namespaces.get_or_insert_with(|| json!({}));
        selector["matchLabels"]["kubernetes.io/metadata.name"] = json!(namespace);
    }
    if let Some(namespaces) = namespaces {
        matching.insert("namespaceSelector".to_owned(), namespaces);
    }
    draft.spec.insert("match".to_owned(), Value::Object(matching));
}

/// The containers, in groups that fit into one template each.
fn groups(ledger: &mut Ledger) -> Vec<(Group, Vec<(Value, String)>)> {
    let mut groups: Vec<(Group, Vec<(Value, String)>)> = Vec::new();
    for (at, container) in ledger.take_list("/spec/containers").into_iter().enumerate() {
        let pointer = format!("/spec/containers/{at}");
        let group = group_of(ledger, &pointer, &container);
        let item = (constant(without_kruise(container)), ledger.field(&pointer));
        match groups.iter_mut().find(|(one, _)| *one == group) {
            Some((_, items)) => items.push(item),
            None => groups.push((group, vec![item])),
        }
    }
    groups
}

fn without_kruise(mut container: Value) -> Value {
    if let Value::Object(fields) = &mut container {
        OF_KRUISE.iter().for_each(|key| _ = fields.remove(*key));
    }
    container
}

fn group_of(ledger: &mut Ledger, pointer: &str, container: &Value) -> Group {
    let text = |pointer: &str| container.pointer(pointer).and_then(Value::as_str);
    let shares_volumes = text("/shareVolumePolicy/type") == Some("enabled");
    if shares_volumes {
        let why = "a sidecar takes the mounts of the app's first selected container, not those of all";
        ledger.lose(&format!("{pointer}/shareVolumePolicy"), why, "name the container in app.containers");
    }
    ledger.lose(
        &format!("{pointer}/upgradeStrategy"),
        "a running sidecar is not exchanged for a second one that stands by",
        "change the template; pods get its new revision when they are created, in parts by rollout.percent",
    );
    ledger.lose(
        &format!("{pointer}/resourcesPolicy"),
        "it is not read",
        "write resources with expressions over `apps`",
    );
    let devices = format!("{pointer}/shareVolumeDevicePolicy");
    ledger.lose(
        &devices,
        "a sidecar takes volume mounts of the app, but no devices",
        "name the device in volumeDevices",
    );
    lose_unknown(ledger, &format!("{pointer}/shareVolumePolicy"), &["type"]);
    let (env, env_from) = transferred(ledger, pointer, container);
    Group { before_app: text("/podInjectPolicy") != Some("AfterAppContainer"), shares_volumes, env, env_from }
}

/// Fields of a part that is read, but for the known ones.
fn lose_unknown(ledger: &mut Ledger, pointer: &str, known: &[&str]) {
    for key in ledger.keys(pointer).iter().filter(|key| !known.contains(&key.as_str())) {
        ledger.lose(&child(pointer, key), "the field is not known", "leave it out");
    }
}

/// The variables that a sidecar takes from the app, and the container that they are taken from.
fn transferred(ledger: &mut Ledger, pointer: &str, container: &Value) -> (Vec<String>, Option<String>) {
    let (mut names, mut from) = (Vec::new(), None);
    let items = container.get("transferEnv").and_then(Value::as_array).cloned().unwrap_or_default();
    for (at, item) in items.iter().enumerate() {
        let pointer = format!("{pointer}/transferEnv/{at}");
        ledger.lose(
            &format!("{pointer}/sourceContainerNameFrom"),
            "the container is not found by a field of the pod",
            "name the container in app.containers",
        );
        lose_unknown(ledger, &pointer, &["sourceContainerName", "sourceContainerNameFrom", "envName", "envNames"]);
        let source = item.get("sourceContainerName").and_then(Value::as_str);
        if from.is_some() && source.is_some() && from.as_deref() != source {
            let why = "a template takes variables from one container of the app";
            ledger.lose(&pointer, why, "write a second template, or an expression over `apps`");
            continue;
        }
        from = from.or_else(|| source.map(str::to_owned));
        let more = item.get("envNames").and_then(Value::as_array).cloned().unwrap_or_default();
        let all = item.get("envName").into_iter().chain(&more).filter_map(Value::as_str);
        names.extend(all.filter(|name| !name.is_empty()).map(str::to_owned));
    }
    (names, from)
}

fn of_group(ledger: &Ledger, name: &str, base: &Draft, at: usize, of: (Group, Vec<(Value, String)>)) -> Draft {
    let (group, containers) = of;
    let first = containers.first().map(|(container, _)| name_of(container).to_owned()).unwrap_or_default();
    let name = if at == 0 { name.to_owned() } else { format!("{name}-{first}") };
    let mut draft = base.sibling(&name, ledger);
    draft.came_from("match", ledger.field("/spec"));
    for (container, source) in containers {
        draft.push("sidecars", container, source);
    }
    draft.plain();
    draft.set("placement.order", json!(if group.before_app { "First" } else { "Last" }));
    if group.shares_volumes {
        draft.set("fromApp.volumeMounts", json!(true));
    }
    draft.set("fromApp.env", json!(group.env));
    if let Some(container) = group.env_from {
        draft.set("app.containers", json!([container]));
    }
    draft
}

/// Volumes, init containers and fields of the pod.
fn rest_of_pod(ledger: &mut Ledger, drafts: &mut [Draft]) {
    let volumes = ledger.take_list("/spec/volumes");
    let is_single = drafts.len() == 1;
    let mut mounted = vec![false; volumes.len()];
    let mut init = ledger.take_list("/spec/initContainers").into_iter().enumerate().collect::<Vec<_>>();
    for (at, _) in &init {
        // Where an init container is put is fixed; the other fields are read of sidecars only.
        for key in OF_KRUISE {
            let why = "an init container of a template has no such field";
            ledger.lose(&format!("/spec/initContainers/{at}/{key}"), why, "make it a sidecar, or leave it out");
        }
    }
    init.sort_by(|(_, one), (_, other)| name_of(one).cmp(name_of(other)));
    for (position, draft) in drafts.iter_mut().enumerate() {
        if position == 0 {
            for (at, container) in &init {
                let source = ledger.field(&format!("/spec/initContainers/{at}"));
                draft.push("initContainers", constant(without_kruise(container.clone())), source);
            }
            if !init.is_empty() {
                draft.set("placement.initContainerOrder", json!("Last"));
            }
            draft.set("pod.imagePullSecrets", constant(ledger.take("/spec/imagePullSecrets").unwrap_or_default()));
            draft.came_from("pod.imagePullSecrets", ledger.field("/spec/imagePullSecrets"));
        }
        let text = json!(draft.spec).to_string();
        for (at, volume) in volumes.iter().enumerate() {
            let is_mounted = text.contains(&format!("\"name\":\"{}\"", name_of(volume)));
            if is_single || is_mounted {
                mounted[at] = true;
                draft.push("volumes", constant(volume.clone()), ledger.field(&format!("/spec/volumes/{at}")));
            }
        }
    }
    if let Some(first) = drafts.first_mut() {
        for (at, volume) in volumes.iter().enumerate().filter(|(at, _)| !mounted[*at]) {
            first.push("volumes", constant(volume.clone()), ledger.field(&format!("/spec/volumes/{at}")));
        }
        pod_metadata(ledger, first);
    }
}

fn pod_metadata(ledger: &mut Ledger, draft: &mut Draft) {
    let mut annotations = Map::new();
    for at in 0..ledger.list("/spec/patchPodMetadata").len() {
        let pointer = format!("/spec/patchPodMetadata/{at}");
        match ledger.text(&format!("{pointer}/patchPolicy")) {
            None | Some("Retain") => {
                ledger.account(&format!("{pointer}/patchPolicy"));
                let entries = ledger.take(&format!("{pointer}/annotations"));
                annotations.extend(entries.as_ref().and_then(Value::as_object).cloned().unwrap_or_default());
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

fn losses(ledger: &mut Ledger) {
    for (pointer, why, instead) in [
        (
            "/spec/updateStrategy",
            "running pods are not updated by a template",
            "set rollout.percent for new pods, and restart workloads when it suits",
        ),
        ("/spec/injectionStrategy/revision", "a template has no older revision to choose", "keep two templates"),
        ("/spec/injectionStrategy/revisionPolicy", "a template has no older revision to choose", "keep two templates"),
        ("/spec/revisionHistoryLimit", "the number of kept revisions is fixed", "nothing"),
    ] {
        ledger.lose(pointer, why, instead);
    }
}
