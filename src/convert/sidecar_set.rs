//! Converts a SidecarSet of OpenKruise into automatic templates.
//!
//! A template has one place for all of its sidecars and takes from the app for all of them. Containers
//! that differ in that become templates of their own. Volumes, init containers and fields of the pod are
//! in `sidecar_set_pod`.

use serde_json::{Map, Value, json};

use super::draft::{Draft, constant, name_of, with};
use super::ledger::{LAST_APPLIED, Ledger, child};
use super::sidecar_set_pod::{CORRECT, lose_misfits, losses, misfit, rest_of_pod, without_kruise};
use super::{Drafts, Hint};

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
    let name = ledger.take_name("/metadata/name", "web")?;
    let mut base = Draft::new(&name, ledger, "");
    take_object_metadata(ledger, &mut base);
    for map in ["/spec/injectionStrategy", "/spec/specificNamespace"] {
        if ledger.value.pointer(map).is_some_and(|value| !value.is_null() && !value.is_object()) {
            return Err(format!("{}: expected a map", ledger.field(map)));
        }
    }
    let paused = match ledger.value.pointer("/spec/injectionStrategy/paused") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(paused)) => *paused,
        Some(_) => return Err(format!("{}: expected true or false", ledger.field("/spec/injectionStrategy/paused"))),
    };
    selection(ledger, &mut base, paused)?;
    let groups = groups(ledger);
    let mut drafts: Vec<Draft> =
        groups.into_iter().enumerate().map(|(at, group)| of_group(ledger, &name, &base, at, group)).collect();
    if drafts.is_empty() {
        drafts.push(base.sibling(&name, ledger));
    }
    rest_of_pod(ledger, &base, &name, &mut drafts);
    losses(ledger);
    drafts.retain(Draft::gives_something);
    if drafts.is_empty() {
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

/// Labels and annotations of the object. What the API server and kubectl write of themselves is no loss.
pub(super) fn take_object_metadata(ledger: &mut Ledger, draft: &mut Draft) {
    ledger.account_object();
    for key in ["labels", "annotations"] {
        let pointer = format!("/metadata/{key}");
        match ledger.value.pointer(&pointer).cloned() {
            None | Some(Value::Null) => {}
            Some(Value::Object(mut entries)) => {
                ledger.account(&pointer);
                entries.remove(LAST_APPLIED);
                if !entries.is_empty() {
                    draft.metadata.insert(key.to_owned(), Value::Object(entries));
                }
            }
            Some(_) => ledger.lose(&pointer, &misfit("a map of texts"), CORRECT),
        }
    }
}

/// OpenKruise refuses a SidecarSet without a selector, and an empty one selects no pod there, but all
/// pods in a template.
fn selection(ledger: &mut Ledger, draft: &mut Draft, paused: bool) -> Result<(), String> {
    if !paused {
        draft.set("injection", json!("Automatic"));
    }
    ledger.account("/spec/injectionStrategy/paused");
    let has_terms = |selector: &Value| {
        let terms = selector.as_object().into_iter().flat_map(Map::values);
        terms.into_iter().any(|terms| match terms {
            Value::Object(labels) => !labels.is_empty(),
            Value::Array(expressions) => !expressions.is_empty(),
            _ => false,
        })
    };
    let Some(selector) = ledger.take("/spec/selector").filter(has_terms) else {
        let field = ledger.field("/spec/selector");
        return Err(format!(
            "{field}: expected matchLabels or matchExpressions; without them OpenKruise injects no pod"
        ));
    };
    let mut matching = Map::from_iter([("podSelector".to_owned(), selector)]);
    draft.came_from("match.podSelector", ledger.field("/spec/selector"));
    // Since v1beta1 both fields stand below specificNamespace.
    let at = |field: &str| [format!("/spec/specificNamespace/{field}"), format!("/spec/{field}")];
    let mut namespaces = None;
    for pointer in at("namespaceSelector") {
        namespaces = ledger.take(&pointer);
        if namespaces.is_some() {
            draft.came_from("match.namespaceSelector", ledger.field(&pointer));
            break;
        }
    }
    for pointer in at("namespace") {
        // Without it the template would reach all namespaces.
        if ledger.value.pointer(&pointer).is_some_and(|value| !value.is_null() && !value.is_string()) {
            return Err(format!("{}: expected a name, such as shop", ledger.field(&pointer)));
        }
    }
    let namespace = at("namespace").iter().find_map(|pointer| Some((ledger.take_text(pointer)?, pointer.clone())));
    if let Some((namespace, pointer)) = namespace.filter(|(namespace, _)| !namespace.is_empty()) {
        namespaces = Some(only_in(ledger, namespaces.unwrap_or_else(|| json!({})), &namespace, &pointer));
    }
    if let Some(namespaces) = namespaces {
        matching.insert("namespaceSelector".to_owned(), namespaces);
    }
    draft.spec.insert("match".to_owned(), Value::Object(matching));
    Ok(())
}

/// The selector of namespaces, for this namespace alone. OpenKruise takes both, so two names select nothing.
fn only_in(ledger: &mut Ledger, selector: Value, namespace: &str, pointer: &str) -> Value {
    const NAME: &str = "kubernetes.io/metadata.name";
    let labels = selector.get("matchLabels").cloned().unwrap_or_else(|| json!({}));
    if labels.get(NAME).is_none_or(|name| name == namespace) {
        return with(selector, "matchLabels", with(labels, NAME, json!(namespace)));
    }
    let why = "namespaceSelector asks for another name, so OpenKruise injects no pod, and neither does the template";
    ledger.lose(pointer, why, "leave one of the two out");
    let mut terms = selector.get("matchExpressions").and_then(Value::as_array).cloned().unwrap_or_default();
    terms.push(json!({"key": NAME, "operator": "In", "values": [namespace]}));
    with(selector, "matchExpressions", Value::Array(terms))
}

/// The containers, in groups that fit into one template each.
fn groups(ledger: &mut Ledger) -> Vec<(Group, Vec<(Value, String)>)> {
    let mut groups: Vec<(Group, Vec<(Value, String)>)> = Vec::new();
    for (at, mut container) in ledger.take_list("/spec/containers").into_iter().enumerate() {
        let pointer = format!("/spec/containers/{at}");
        lose_misfits(ledger, &pointer, &mut container);
        let group = group_of(ledger, &pointer, &container);
        let item = (constant(without_kruise(container)), ledger.field(&pointer));
        match groups.iter_mut().find(|(one, _)| *one == group) {
            Some((_, items)) => items.push(item),
            None => groups.push((group, vec![item])),
        }
    }
    groups
}

fn group_of(ledger: &mut Ledger, pointer: &str, container: &Value) -> Group {
    let text = |pointer: &str| container.pointer(pointer).and_then(Value::as_str);
    let shares_volumes = text("/shareVolumePolicy/type") == Some("enabled");
    if shares_volumes {
        let why = "a sidecar takes the mounts of the app's first selected container, not those of all";
        ledger.lose(&format!("{pointer}/shareVolumePolicy"), why, "name the container in app.containers");
    }
    // An upgrade by exchanging the image of a running container, the default, is part of updateStrategy.
    if text("/upgradeStrategy/upgradeType") == Some("HotUpgrade") {
        ledger.lose(
            &format!("{pointer}/upgradeStrategy"),
            "a pod gets one container with this name, not NAME-1 and NAME-2 that take turns",
            "change the template; pods get its new revision when they are created, in parts by rollout.percent",
        );
    }
    lose_unknown(ledger, &format!("{pointer}/upgradeStrategy"), &["upgradeType", "hotUpgradeEmptyImage"]);
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
    let mut names: Vec<String> = Vec::new();
    // The container of the variables that are taken: the app's first one if an item names none.
    let mut from: Option<Option<String>> = None;
    let items = container.get("transferEnv").and_then(Value::as_array).cloned().unwrap_or_default();
    for (at, item) in items.iter().enumerate() {
        let pointer = format!("{pointer}/transferEnv/{at}");
        if !is_transfer(item) {
            let expected = "a map in which sourceContainerName and envName are texts, and envNames is a list of them";
            ledger.lose(&pointer, &misfit(expected), CORRECT);
            continue;
        }
        ledger.lose(
            &format!("{pointer}/sourceContainerNameFrom"),
            "the container is not found by a field of the pod",
            "name the container in app.containers",
        );
        lose_unknown(ledger, &pointer, &["sourceContainerName", "sourceContainerNameFrom", "envName", "envNames"]);
        let more = item.get("envNames").and_then(Value::as_array).cloned().unwrap_or_default();
        let all = item.get("envName").into_iter().chain(&more).filter_map(Value::as_str);
        let all: Vec<String> = all.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let source = item.get("sourceContainerName").and_then(Value::as_str).map(str::to_owned);
        if all.is_empty() {
            continue;
        }
        if from.as_ref().is_some_and(|from| *from != source) {
            let why = "a template takes variables from one container of the app";
            ledger.lose(&pointer, why, "write a second template, or an expression over `apps`");
            continue;
        }
        from = Some(source);
        names.extend(all);
    }
    (names, from.flatten())
}

fn is_transfer(item: &Value) -> bool {
    let are_texts = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    item.as_object().is_some_and(|item| {
        item.iter().all(|(key, value)| match key.as_str() {
            _ if value.is_null() => true,
            "sourceContainerName" | "envName" => value.is_string(),
            "envNames" => are_texts(value),
            _ => true,
        })
    })
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
