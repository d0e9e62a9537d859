//! A template while it is made: its name, its spec, and where each part comes from.

use serde_json::{Map, Value, json};

use super::ledger::Ledger;
use super::{ConvertedTemplate, SourceFormat};

/// Most characters of a template's name.
const NAME_MAX: usize = 63;

/// A template while it is made.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub name: String,
    /// The namespace of an `InjectionTemplate`; none for a `ClusterInjectionTemplate`.
    pub namespace: Option<String>,
    pub spec: Map<String, Value>,
    /// Labels and annotations of the template itself.
    pub metadata: Map<String, Value>,
    pub renamed: Option<(String, String, String)>,
    from: String,
    places: Vec<(String, String)>,
}

impl Draft {
    /// A template that changes pods no more than other injectors do: plain containers, and no fields
    /// of the security context filled in.
    pub(super) fn new(name: &str, ledger: &Ledger, at: &str) -> Self {
        let label = label(name);
        let from = ledger.place(at);
        let renamed = (label != name).then(|| (from.clone(), name.to_owned(), label.clone()));
        let spec = Map::from_iter([("hardened".to_owned(), json!(false))]);
        Self { name: label, namespace: None, spec, metadata: Map::new(), renamed, from, places: Vec::new() }
    }

    /// Another template with the spec and metadata that this one has so far.
    pub(super) fn sibling(&self, name: &str, ledger: &Ledger) -> Self {
        let Self { spec, metadata, places, .. } = self.clone();
        Self { spec, metadata, places, ..Self::new(name, ledger, "") }
    }

    /// Sets a field of the spec, unless the value is empty.
    pub(super) fn set(&mut self, path: &str, value: Value) {
        let is_empty = match &value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        };
        if !is_empty {
            put(&mut self.spec, path, value);
        }
    }

    /// Adds an item to a list of the spec, and says where it comes from.
    pub(super) fn push(&mut self, list: &str, item: Value, source: String) {
        let items = self.spec.entry(list).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(items) = items {
            self.places.push((format!("spec.{list}[{}]", items.len()), source));
            items.push(item);
        }
    }

    /// Says where a field comes from.
    pub(super) fn came_from(&mut self, path: &str, source: String) {
        self.places.push((format!("spec.{path}"), source));
    }

    /// Sidecars as containers after those of the app, as other injectors add them.
    pub(super) fn plain(&mut self) {
        if self.spec.contains_key("sidecars") {
            self.set("placement.sidecars", json!("Plain"));
        }
    }

    /// Whether the template would give a pod anything.
    pub(super) fn gives_something(&self) -> bool {
        ["sidecars", "initContainers", "volumes", "app", "pod", "metadata"]
            .iter()
            .any(|key| self.spec.contains_key(*key))
    }

    pub(super) fn finish(self, format: SourceFormat) -> ConvertedTemplate {
        let kind = if self.namespace.is_some() { "InjectionTemplate" } else { "ClusterInjectionTemplate" };
        let mut metadata = self.metadata;
        metadata.insert("name".to_owned(), json!(self.name));
        if let Some(namespace) = self.namespace {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        let value = json!({
            "apiVersion": "outrigger.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": self.spec,
        });
        ConvertedTemplate { value, from: self.from, format, places: self.places }
    }
}

fn put(map: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            map.insert(path.to_owned(), value);
        }
        Some((key, rest)) => {
            if let Value::Object(inner) = map.entry(key).or_insert_with(|| Value::Object(Map::new())) {
                put(inner, rest, value);
            }
        }
    }
}

/// The nearest DNS label of at most 63 characters.
pub(super) fn label(name: &str) -> String {
    let mut label = String::new();
    for character in name.chars() {
        let character = character.to_ascii_lowercase();
        let keeps = character.is_ascii_lowercase() || character.is_ascii_digit();
        if keeps {
            label.push(character);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(NAME_MAX);
    let label = label.trim_end_matches('-');
    if label.is_empty() { "converted".to_owned() } else { label.to_owned() }
}

/// The value as a constant of a template: `${` is written `$${`, and nothing is null.
pub(super) fn constant(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("${", "$${")),
        Value::Array(items) => items.into_iter().filter(|item| !item.is_null()).map(constant).collect(),
        Value::Object(map) => {
            map.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key, constant(value))).collect()
        }
        other => other,
    }
}

/// A string in CEL.
pub(super) fn cel_string(text: &str) -> String {
    let mut literal = String::from("'");
    for letter in text.chars() {
        match letter {
            '\\' | '\'' => literal.extend(['\\', letter]),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            letter if letter.is_control() => literal.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => literal.push(letter),
        }
    }
    literal + "'"
}

/// CEL of an annotation or label of the pod, or else of the default.
pub(super) fn cel_key(of: &str, key: &str, default: &str) -> String {
    format!("pod.metadata.?{of}[?{}].orValue({})", cel_string(key), cel_string(default))
}

/// The mount, for containers of the app that have none with the same value in this field.
pub(super) fn unless_mounted(mount: Value, field: &str) -> Value {
    let value = mount.get(field).and_then(Value::as_str).unwrap_or_default();
    if value.contains("${") {
        return mount;
    }
    let own = "(container.?volumeMounts.orValue(null) == null ? [] : container.volumeMounts)";
    let condition = format!("!{own}.exists(m, m.{field} == {})", cel_string(value));
    with(mount, "when", json!(condition))
}

/// The item with one more field; what is no map stays, and loading the template says so.
pub(super) fn with(mut item: Value, key: &str, value: Value) -> Value {
    if let Value::Object(fields) = &mut item {
        fields.insert(key.to_owned(), value);
    }
    item
}

/// Whether the container mounts the volume, as files or as a device.
pub(super) fn mounts(container: &Value, volume: &str) -> bool {
    let mounts = ["volumeMounts", "volumeDevices"].iter().filter_map(|key| container.get(*key)?.as_array());
    mounts.flatten().any(|mount| name_of(mount) == volume)
}

/// The name of an item of a list.
pub(super) fn name_of(item: &Value) -> &str {
    item.get("name").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_dns_labels() {
        let long = "a".repeat(80);
        for (name, expected) in [
            ("web", "web"),
            ("My_Sidecar:1.2", "my-sidecar-1-2"),
            ("--x--", "x"),
            ("é", "converted"),
            (&long, &long[..63]),
        ] {
            assert_eq!(label(name), expected, "{name}");
        }
    }

    #[test]
    fn any_text_is_a_string_of_cel() {
        assert_eq!(cel_string("a'b\\c\n\r\t\u{85}${d}\""), r#"'a\'b\\c\n\r\u0009\u0085${d}"'"#);
    }

    #[test]
    fn a_constant_is_never_an_expression() {
        assert_eq!(constant(json!({"a": ["${x}", null, "$(Y)"], "b": null})), json!({"a": ["$${x}", "$(Y)"]}));
    }
}
