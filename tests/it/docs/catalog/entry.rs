//! A template of the catalog with its example: the pod of the example before and after the injection.
//!
//! Invariant: the pod asks for this template alone, with the parameters that the example sets for it.

use outrigger::inject::{Injector, Namespace, Outcome};
use serde_json::{Map, Value, json};

use super::scene::{list, text};
use crate::catalog::files;
use crate::support::injected_pod;

pub struct Entry {
    template: files::Entry,
    pub before: Value,
    pub after: Value,
}

impl Entry {
    /// Injects the template into the pod of its example.
    pub fn new(injector: &Injector, template: files::Entry) -> Self {
        let path = format!("config/examples/{}.yaml", template.name);
        let before = template.example_pods().into_iter().next();
        let mut before = before.unwrap_or_else(|| panic!("{path}: no pod asks for the template"));
        if let Some(annotations) = before["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
            keep_own(annotations, &template.name);
        }
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
        Self { template, before, after }
    }

    pub fn name(&self) -> &str {
        &self.template.name
    }

    pub fn pattern(&self) -> &str {
        self.template.label("pattern").unwrap_or_default()
    }

    pub fn level(&self) -> &str {
        self.template.level().name()
    }

    pub fn description(&self) -> &str {
        text(&self.template.spec()["description"])
    }

    pub fn is_automatic(&self) -> bool {
        self.template.spec()["injection"] == "Automatic"
    }

    pub fn parameters(&self) -> &[Value] {
        self.template.list("parameters")
    }

    /// The lines to paste into a pod template: the request, and the required parameters with the
    /// example's values.
    pub fn annotations(&self) -> Vec<String> {
        let own = &self.before["metadata"]["annotations"];
        let mut lines: Vec<String> = own
            .get("outrigger.dev/inject")
            .map(|_| format!("outrigger.dev/inject: {}", self.name()))
            .into_iter()
            .collect();
        let required = self.parameters().iter().filter(|parameter| parameter.get("default").is_none());
        for parameter in required {
            let key = format!("{}.outrigger.dev/{}", self.name(), text(&parameter["name"]));
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

fn keep_own(annotations: &mut Map<String, Value>, name: &str) {
    annotations.retain(|key, _| match key.strip_suffix("outrigger.dev/inject") {
        Some("") => true,
        _ => !key.contains(".outrigger.dev/") || key.starts_with(&format!("{name}.outrigger.dev/")),
    });
    if let Some(list) = annotations.get_mut("outrigger.dev/inject") {
        *list = json!(name);
    }
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
