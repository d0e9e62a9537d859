//! A template of the catalog with its example: the pod of the example before and after the injection.
//!
//! Invariant: the pod asks for this template alone, with the parameters that the example sets for it.

use outrigger::inject::{Injector, Namespace, Outcome};
use serde_json::{Map, Value, json};

use super::scene::{list, text};
use crate::support::injected_pod;

pub struct Entry {
    pub name: String,
    pub spec: Value,
    labels: Value,
    pub before: Value,
    pub after: Value,
}

impl Entry {
    /// Reads the template and injects it into the pod of its example.
    pub fn read(injector: &Injector, name: &str) -> Self {
        let path = format!("config/templates/{name}.yaml");
        let template = super::super::yaml(&path, &super::super::read(&path));
        let path = format!("config/examples/{name}.yaml");
        let before = pod(&path, name, template["spec"]["injection"] == "Automatic");
        let namespace = Namespace {
            name: "demo".to_owned(),
            labels: [("outrigger.dev/injection".to_owned(), "enabled".to_owned())].into(),
            ..Namespace::default()
        };
        let after = match super::super::inject(injector, Some(&namespace), &before) {
            Ok(Outcome::Injected(injection)) => injected_pod(&before, &injection),
            Ok(Outcome::Skipped(skip)) => panic!("{path}: the pod is skipped: {:?}", skip.reasons),
            Err(error) => panic!("{path}: {error}"),
        };
        Self {
            name: name.to_owned(),
            spec: template["spec"].clone(),
            labels: template["metadata"]["labels"].clone(),
            before,
            after,
        }
    }

    pub fn pattern(&self) -> &str {
        text(&self.labels["outrigger.dev/pattern"])
    }

    pub fn level(&self) -> &str {
        text(&self.labels["outrigger.dev/pod-security"])
    }

    pub fn description(&self) -> &str {
        text(&self.spec["description"])
    }

    pub fn is_automatic(&self) -> bool {
        self.spec["injection"] == "Automatic"
    }

    pub fn parameters(&self) -> &[Value] {
        list(&self.spec, "parameters")
    }

    /// The lines to paste into a pod template: the request, and the required parameters with the
    /// example's values.
    pub fn annotations(&self) -> Vec<String> {
        let own = &self.before["metadata"]["annotations"];
        let mut lines: Vec<String> = own
            .get("outrigger.dev/inject")
            .map(|_| format!("outrigger.dev/inject: {}", self.name))
            .into_iter()
            .collect();
        let required = self.parameters().iter().filter(|parameter| parameter.get("default").is_none());
        for parameter in required {
            let key = format!("{}.outrigger.dev/{}", self.name, text(&parameter["name"]));
            if let Some(value) = own[&key].as_str() {
                lines.push(format!("{key}: {}", quoted(value)));
            }
        }
        lines
    }

    /// The containers that the template brings, each with its kind.
    pub fn containers(&self) -> Vec<(&'static str, &Value)> {
        let mut containers = Vec::new();
        for key in ["initContainers", "containers"] {
            let had: Vec<&Value> = list(&self.before["spec"], key).iter().map(|container| &container["name"]).collect();
            let new = list(&self.after["spec"], key).iter().filter(|container| !had.contains(&&container["name"]));
            containers.extend(new.map(|container| match text(&container["restartPolicy"]) {
                "Always" => ("sidecar", container),
                _ if key == "initContainers" => ("init container", container),
                _ => ("plain sidecar", container),
            }));
        }
        containers
    }

    /// The volumes that the template brings.
    pub fn volumes(&self) -> Vec<&Value> {
        let had = list(&self.before["spec"], "volumes");
        list(&self.after["spec"], "volumes").iter().filter(|volume| !had.contains(volume)).collect()
    }
}

/// The first pod template of the file, asking for this template alone.
fn pod(path: &str, name: &str, is_automatic: bool) -> Value {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&super::super::read(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let asks = |pod: &Value| is_automatic || names(pod).any(|item| item == name);
    let pods = documents.iter().filter_map(pod_of);
    let mut pod = pods.into_iter().find(asks).unwrap_or_else(|| panic!("{path}: no pod asks for {name}"));
    if pod["metadata"].get("name").is_none() {
        pod["metadata"]["name"] = json!(name);
    }
    if let Some(annotations) = pod["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        keep_own(annotations, name);
    }
    pod
}

fn names(pod: &Value) -> impl Iterator<Item = &str> {
    text(&pod["metadata"]["annotations"]["outrigger.dev/inject"]).split(',').map(str::trim)
}

fn keep_own(annotations: &mut Map<String, Value>, name: &str) {
    annotations.retain(|key, _| match key.strip_suffix("outrigger.dev/inject") {
        Some("") => true,
        _ => !key.contains(".outrigger.dev/") || key.starts_with(&format!("{name}.outrigger.dev/")),
    });
    if let Some(list) = annotations.get_mut("outrigger.dev/inject") {
        *list = json!(name);
    }
}

/// The pod, or the pod template of a workload.
fn pod_of(object: &Value) -> Option<Value> {
    let spec = &object["spec"];
    let template = [&object["spec"]["jobTemplate"]["spec"]["template"], &spec["template"]]
        .into_iter()
        .find(|template| template.is_object());
    let (metadata, spec) = match template {
        Some(template) => (template["metadata"].clone(), template["spec"].clone()),
        None if object["kind"] == "Pod" => (object["metadata"].clone(), spec.clone()),
        None => return None,
    };
    Some(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
}

/// The text as a YAML value that is a string.
fn quoted(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "./_-".contains(character);
    let is_word =
        text.chars().all(is_plain) && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    if is_word && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text) {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}
