//! Converts Istio's custom injection templates, one template for each.
//!
//! What Istio's own proxy needs stays with Istio: containers named `istio-…` and `image: auto` are lost.
//!
//! Istio merges a template into the pod by a strategic merge patch, which puts new items of a list before
//! those of the pod. Then it merges the pod's own containers over the result, so that they keep theirs.

use serde_json::{Value, json};

use super::detect::ISTIO;
use super::draft::{Draft, name_of, unless_mounted, with};
use super::go_template::GoTemplate;
use super::istio_values::{INSTEAD, expressions};
use super::ledger::{Ledger, child};
use super::{Drafts, Hint, ReadYaml};

/// Fields of the pod that a template may set.
const POD_FIELDS: [&str; 21] = [
    "imagePullSecrets",
    "hostAliases",
    "shareProcessNamespace",
    "serviceAccountName",
    "nodeSelector",
    "tolerations",
    "topologySpreadConstraints",
    "affinity",
    "priorityClassName",
    "runtimeClassName",
    "dnsConfig",
    "dnsPolicy",
    "terminationGracePeriodSeconds",
    "securityContext",
    "readinessGates",
    "schedulerName",
    "automountServiceAccountToken",
    "resourceClaims",
    "enableServiceLinks",
    "hostUsers",
    "setHostnameAsFQDN",
];

/// What a container without an image, which stands for one of the app, may bring.
const APP_FIELDS: [&str; 4] = ["name", "env", "envFrom", "volumeMounts"];

pub(super) fn convert(ledger: &mut Ledger, read: ReadYaml<'_>) -> Result<Drafts, String> {
    let at = ISTIO.into_iter().find(|at| ledger.value.pointer(at).is_some_and(Value::is_object));
    let at = at.ok_or_else(|| format!("{}: expected templates, a map of names and texts", ledger.place("")))?;
    ledger.account_object();
    if ledger.keys(at).is_empty() {
        return Err(format!("{}: expected templates, a map of names and texts", ledger.field(at)));
    }
    let mut drafts = Drafts::default();
    let mut problems = Vec::new();
    for name in ledger.keys(at) {
        let pointer = child(at, &name);
        match template(ledger, &name, &pointer, read) {
            Ok(Some(draft)) => {
                drafts.hints.push(Hint::new(
                    format!("inject.istio.io/templates: {name} on a pod"),
                    format!(
                        "outrigger.dev/inject: {} on the pod; Istio's own templates stay in the old list",
                        draft.name
                    ),
                ));
                drafts.drafts.push(draft);
            }
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    let around = at.strip_suffix("/templates").unwrap_or_default();
    let defaults = format!("{around}/defaultTemplates");
    if !ledger.list(&defaults).is_empty() {
        ledger.lose(
            &defaults,
            "no template is the default of all namespaces",
            "write the annotation outrigger.dev/inject with the list on the namespaces, and the label \
             outrigger.dev/injection: enabled",
        );
    }
    settings(ledger, around);
    if problems.is_empty() { Ok(drafts) } else { Err(problems.join("\n")) }
}

/// What stands beside the templates in the configuration of the injector.
fn settings(ledger: &mut Ledger, around: &str) {
    if ledger.text(&format!("{around}/policy")) == Some("enabled") {
        // The default.
        ledger.account(&format!("{around}/policy"));
    }
    // A text that fails where Istio and its configuration are of different versions.
    ledger.account(&format!("{around}/template"));
    let why = "it selects pods for Istio's own templates too";
    for (key, instead) in [
        ("neverInjectSelector", "write match.podSelector in the template, with NotIn or DoesNotExist"),
        ("alwaysInjectSelector", "write injection: Automatic and match.podSelector in the template"),
    ] {
        let pointer = format!("{around}/{key}");
        if !ledger.list(&pointer).is_empty() {
            ledger.lose(&pointer, why, instead);
        }
    }
}

/// The template of this name; none if nothing of it can be carried over, which is said.
fn template(ledger: &mut Ledger, name: &str, pointer: &str, read: ReadYaml<'_>) -> Result<Option<Draft>, String> {
    let Some(text) = ledger.text(pointer).map(str::to_owned) else {
        return Err(format!("{}: expected the text of a template", ledger.field(pointer)));
    };
    let place = |line: usize| {
        let line = ledger.line_of_text(pointer, line);
        format!("{}:{line}: {}", ledger.file(), ledger.path(pointer))
    };
    let go = GoTemplate::read(&text).map_err(|(line, problem)| format!("{}: {problem}", place(line)))?;
    let documents = read(&go.yaml).or_else(|_| read(&go.without_holes)).map_err(|(line, problem)| {
        let place = place(line);
        format!("{place}: without its Go actions the template is no YAML: {problem}; convert it by hand")
    })?;
    for (line, action, last) in &go.lost {
        let (line, last) = (ledger.line_of_text(pointer, *line), ledger.line_of_text(pointer, *last));
        let until = if last == line { String::new() } else { format!(" (to line {last})") };
        let path = format!("{}: {action}{until}", ledger.path(pointer));
        let why = "a template is no text template: conditions, loops and values of Istio are not read";
        ledger.lose_at(line, path, why, INSTEAD);
    }
    let mut documents = documents.into_iter();
    let Some((value, lines)) = documents.next() else {
        ledger.lose(pointer, "nothing of the template can be carried over", "keep it in Istio");
        return Ok(None);
    };
    for (at, (value, lines)) in documents.enumerate() {
        let keys: Vec<&str> = value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let path = go.written(&format!("{}: {} (document {})", ledger.path(pointer), keys.join(", "), at + 2));
        let further = ledger.inner(pointer, value, lines);
        let why = "Istio reads only the first document of a template";
        ledger.lose_at(further.line(""), path, why, "write a second template for it");
    }
    let mut inner = ledger.inner(pointer, value, lines);
    let mut draft = Draft::new(name, &inner, "");
    let value = expressions(&mut inner, &go);
    pod(&mut inner, &mut draft, &value);
    let gives = draft.gives_something();
    if !gives {
        let line = inner.line("");
        inner.lose_at(line, ledger.path(pointer), "nothing of the template can be carried over", "keep it in Istio");
    }
    for lost in inner.finish() {
        ledger.lose_at(lost.line, lost.path, &lost.why, &lost.instead);
    }
    Ok(gives.then_some(draft))
}

/// The parts of the pod that Istio would merge.
fn pod(ledger: &mut Ledger, draft: &mut Draft, value: &Value) {
    for key in ["labels", "annotations"] {
        let pointer = format!("/metadata/{key}");
        let Some(Value::Object(entries)) = value.pointer(&pointer) else { continue };
        ledger.account(&pointer);
        draft.set(&format!("metadata.{key}"), Value::Object(entries.clone()));
        draft.came_from(&format!("metadata.{key}"), ledger.field(&pointer));
        for entry in entries.keys() {
            draft.came_from(&format!("metadata.{key}[{entry}]"), ledger.field(&child(&pointer, entry)));
        }
    }
    native_init_containers(ledger, draft, value);
    for (at, container) in items(value, "/spec/containers") {
        self::container(ledger, draft, &format!("/spec/containers/{at}"), container);
    }
    for (at, volume) in items(value, "/spec/volumes") {
        let pointer = format!("/spec/volumes/{at}");
        ledger.account(&pointer);
        draft.push("volumes", without_nulls(volume), ledger.field(&pointer));
    }
    for key in POD_FIELDS {
        let pointer = format!("/spec/{key}");
        if let Some(field) = value.pointer(&pointer) {
            ledger.account(&pointer);
            draft.set(&format!("pod.{key}"), without_nulls(field));
            draft.came_from(&format!("pod.{key}"), ledger.field(&pointer));
        }
    }
    if draft.spec.contains_key("sidecars") && !draft.spec.contains_key("placement") {
        draft.plain();
        draft.set("placement.order", json!("First"));
    }
    for key in ["/apiVersion", "/kind"] {
        if ledger.text(key).is_some() {
            ledger.account(key);
        }
    }
}

fn items<'v>(value: &'v Value, pointer: &str) -> Vec<(usize, &'v Value)> {
    let items = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    // Null stands for an item that is lost.
    items.enumerate().filter(|(_, item)| !item.is_null()).collect()
}

/// Init containers: native sidecars are sidecars of the template, unless it has plain ones too.
fn native_init_containers(ledger: &mut Ledger, draft: &mut Draft, value: &Value) {
    let has_plain = items(value, "/spec/containers").iter().any(|(_, container)| is_own(container));
    let mut runs_once = false;
    for (at, container) in items(value, "/spec/initContainers") {
        let pointer = format!("/spec/initContainers/{at}");
        let is_native = container.get("restartPolicy").is_some_and(|policy| policy == "Always");
        if !is_own(container) {
            lose_container(ledger, &pointer, container);
        } else if is_native && has_plain {
            let why = "the sidecars of a template are either all native or all plain containers";
            ledger.lose(&pointer, why, "write a second template for it");
        } else if is_native {
            ledger.account(&pointer);
            if runs_once {
                let place = format!("{}: its place", ledger.path(&pointer));
                let why = "native sidecars of a template start before its init containers";
                ledger.lose_at(ledger.line(&pointer), place, why, "write a second template for it");
            }
            let mut sidecar = without_nulls(container);
            if let Value::Object(fields) = &mut sidecar {
                fields.remove("restartPolicy");
            }
            draft.push("sidecars", sidecar, ledger.field(&pointer));
            draft.set("placement.sidecars", json!("Native"));
        } else {
            runs_once = true;
            ledger.account(&pointer);
            draft.push("initContainers", without_nulls(container), ledger.field(&pointer));
        }
    }
}

/// Whether the template brings the container: it is not Istio's, and has an image.
fn is_own(container: &Value) -> bool {
    let image = container.get("image").and_then(Value::as_str);
    !name_of(container).starts_with("istio-") && image.is_some_and(|image| image != "auto")
}

fn lose_container(ledger: &mut Ledger, pointer: &str, container: &Value) {
    let image = container.get("image").and_then(Value::as_str);
    if name_of(container).starts_with("istio-") {
        let why = "it changes a container that Istio injects, and a template never changes another's container";
        ledger.lose(pointer, why, "keep this template in Istio");
    } else if image == Some("auto") {
        ledger.lose(pointer, "only Istio finds the image for `auto`", "write the image, or keep the template in Istio");
    } else {
        ledger.lose(pointer, "the container has no image that is known", "write its image");
    }
}

fn container(ledger: &mut Ledger, draft: &mut Draft, pointer: &str, container: &Value) {
    if is_own(container) {
        ledger.account(pointer);
        draft.push("sidecars", without_nulls(container), ledger.field(pointer));
        return;
    }
    let is_of_app = ledger.value.pointer(&format!("{pointer}/image")).is_none()
        && !name_of(container).starts_with("istio-")
        && !draft.spec.contains_key("app");
    if !is_of_app {
        return lose_container(ledger, pointer, container);
    }
    if !APP_FIELDS.iter().any(|key| container.get(*key).is_some_and(Value::is_array)) {
        return lose_container(ledger, pointer, container);
    }
    // Without an image it stands for a container of the app.
    for key in APP_FIELDS {
        let field = child(pointer, key);
        let Some(value) = container.get(key) else { continue };
        ledger.account(&field);
        if key == "name" {
            draft.set("app.containers", json!([value]));
            continue;
        }
        let items = without_nulls(value);
        let items =
            items.as_array().map_or(items.clone(), |items| items.iter().map(|item| beside(key, item)).collect());
        draft.set(&format!("app.{key}"), items);
        draft.came_from(&format!("app.{key}"), ledger.field(&field));
        if key == "env" {
            draft.set("app.envPosition", json!("First"));
        }
    }
}

/// The item for a container that keeps its own.
fn beside(key: &str, item: &Value) -> Value {
    match key {
        "env" => with(item.clone(), "onExisting", json!("Keep")),
        "volumeMounts" => unless_mounted(item.clone(), "mountPath"),
        _ => item.clone(),
    }
}

/// The value without the places of what is lost.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().filter(|item| !item.is_null()).map(without_nulls).collect(),
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        other => other.clone(),
    }
}
