//! What a template is and brings, as its spec says.
//!
//! Nothing is read or printed here.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::inject::annotations::AnnotationKeys;
use crate::inject::schema::has_expression;
use crate::inject::{TemplateInterface, TemplateStatus};

/// A template.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct Details {
    /// Its name.
    pub name: String,
    /// The namespace of an `InjectionTemplate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its revision: 10 hex digits.
    pub revision: String,
    /// `OptIn`, or `Automatic` if it chooses its pods itself.
    pub injection: &'static str,
    /// The file or object that it comes from.
    pub origin: String,
    /// Whether it is compiled into the program.
    pub built_in: bool,
    /// `spec.description`.
    pub description: String,
    /// Its parameters, in their order.
    pub parameters: Vec<Parameter>,
    /// What it adds to a pod.
    pub brings: Brings,
    /// Templates that a pod with this one must have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// Templates that a pod with this one must not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// `spec.match`: which pods may have it.
    #[serde(rename = "match", skip_serializing_if = "Value::is_null")]
    pub matching: Value,
    /// Annotations to paste into a pod: the request, and the parameters without a default.
    pub annotations: BTreeMap<String, String>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameter {
    /// Its name.
    pub name: String,
    /// The annotation that sets it.
    pub annotation: String,
    /// Its type, such as `quantity`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its default as an annotation would have it; absent if a pod has to set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether the default is an expression over the pod.
    pub computed: bool,
    /// What its values must be besides their type, such as `from 1 to 10`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Its description.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// What a template adds; expressions stand as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct Brings {
    /// Sidecars, with their images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sidecars: Vec<String>,
    /// Init containers, with their images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<String>,
    /// Volumes, with their kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Files, by their volume.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// What each selected app container gets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub app: Vec<String>,
    /// Labels and annotations of the pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<String>,
    /// Fields of the pod's spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pod: Vec<String>,
}

impl Details {
    /// `None` for a template that does not work.
    pub(super) fn of(status: &TemplateStatus<'_>, keys: &AnnotationKeys) -> Option<Self> {
        let interface = status.interface?;
        let spec = interface.spec().unwrap_or_default();
        let parameters: Vec<Parameter> =
            interface.parameters().iter().map(|declared| Parameter::of(declared, status.name, keys)).collect();
        let mut annotations = BTreeMap::from([(keys.inject.clone(), status.name.to_owned())]);
        let required = parameters.iter().filter(|parameter| parameter.default.is_none());
        annotations.extend(required.map(|parameter| (parameter.annotation.clone(), String::new())));
        Some(Self {
            name: status.name.to_owned(),
            namespace: status.namespace.map(str::to_owned),
            revision: status.revision?.to_owned(),
            injection: injection(interface),
            origin: status.origin.to_owned(),
            built_in: status.is_built_in,
            description: interface.description().to_owned(),
            parameters,
            brings: Brings::of(&spec),
            requires: texts(spec.get("requires")),
            excludes: texts(spec.get("excludes")),
            matching: spec.get("match").cloned().unwrap_or_default(),
            annotations,
        })
    }
}

fn injection(interface: TemplateInterface<'_>) -> &'static str {
    if interface.is_automatic() { "Automatic" } else { "OptIn" }
}

impl Parameter {
    fn of(declared: &Value, template: &str, keys: &AnnotationKeys) -> Self {
        let text = |field: &str| declared.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = text("name");
        let default = declared.get("default").filter(|default| !default.is_null());
        Self {
            annotation: keys.parameter(template, &name),
            name,
            kind: text("type"),
            default: default.map(default_of),
            computed: default.and_then(Value::as_str).is_some_and(has_expression),
            rules: rules(declared),
            description: text("description"),
        }
    }
}

/// A default as the text of an annotation; an expression as it is written.
fn default_of(default: &Value) -> String {
    match default.as_str() {
        Some(text) if has_expression(text) => text.to_owned(),
        _ => as_annotation(default),
    }
}

/// A value as the text of an annotation that means it: lists and maps as JSON where commas would not do.
fn as_annotation(value: &Value) -> String {
    match value {
        Value::String(text) => unescaped(text),
        Value::Array(items) => {
            let texts: Vec<String> = items.iter().map(as_annotation).collect();
            let has_bracket = texts.first().is_some_and(|first| first.starts_with(['[', '{']));
            if has_bracket || !texts.iter().all(|text| is_plain(text)) { json_text(value) } else { texts.join(", ") }
        }
        Value::Object(entries) => {
            let entries: Vec<(String, String)> =
                entries.iter().map(|(key, value)| (unescaped(key), as_annotation(value))).collect();
            let has_bracket = entries.first().is_some_and(|(key, _)| key.starts_with(['[', '{']));
            let is_plain_value = |text: &str| text.is_empty() || is_plain(text);
            if has_bracket || !entries.iter().all(|(key, text)| is_plain(key) && is_plain_value(text)) {
                return json_text(value);
            }
            entries.iter().map(|(key, text)| format!("{key}={text}")).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Whether an item of a list or map means itself between commas.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains([',', '='])
}

/// The value as JSON, its escapes resolved.
fn json_text(value: &Value) -> String {
    unescaped(&value.to_string())
}

/// In a template, `$${` stands for `${`.
fn unescaped(text: &str) -> String {
    text.replace("$${", "${")
}

fn rules(declared: &Value) -> Vec<String> {
    let shown = |field: &str| declared.get(field).map(as_annotation);
    let mut rules = Vec::new();
    rules.extend(shown("values").map(|values| format!("one of {values}")));
    let matches = if declared.get("type").is_some_and(|kind| kind == "map") { "values match" } else { "matches" };
    rules.extend(shown("keyPattern").map(|pattern| format!("keys match {pattern}")));
    rules.extend(shown("pattern").map(|pattern| format!("{matches} {pattern}")));
    match (shown("minimum"), shown("maximum")) {
        (Some(least), Some(greatest)) => rules.push(format!("from {least} to {greatest}")),
        (Some(least), None) => rules.push(format!("at least {least}")),
        (None, Some(greatest)) => rules.push(format!("at most {greatest}")),
        (None, None) => {}
    }
    rules.extend(shown("maxItems").map(|items| format!("at most {items} items")));
    rules
}

impl Brings {
    fn of(spec: &Value) -> Self {
        let none = Map::new();
        let fields = |pointer: &str| spec.pointer(pointer).and_then(Value::as_object).unwrap_or(&none);
        let app = fields("/app").iter().filter(|(field, _)| *field != "containers");
        let metadata = ["labels", "annotations"].into_iter().flat_map(|map| {
            fields(&format!("/metadata/{map}")).keys().map(move |key| format!("{} {key}", map.trim_end_matches('s')))
        });
        Self {
            sidecars: items(spec, "sidecars").map(|item| titled(item, text(item, "image"))).collect(),
            init_containers: items(spec, "initContainers").map(|item| titled(item, text(item, "image"))).collect(),
            volumes: items(spec, "volumes").map(|item| titled(item, volume_kind(item))).collect(),
            files: items(spec, "files").map(|item| titled(item, &keys_of(item.get("items")))).collect(),
            app: app.flat_map(|(field, value)| of_app(field, value)).collect(),
            metadata: metadata.collect(),
            pod: fields("/pod").keys().cloned().collect(),
        }
    }
}

fn items<'s>(spec: &'s Value, field: &str) -> impl Iterator<Item = &'s Value> {
    spec.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// `name (what)`
fn titled(item: &Value, what: &str) -> String {
    let name = text(item, "name");
    if what.is_empty() { name.to_owned() } else { format!("{name} ({what})") }
}

/// The field of a volume that is its source.
fn volume_kind(volume: &Value) -> &str {
    let fields = volume.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    fields.into_iter().find(|field| !matches!(*field, "name" | "when" | "forEach" | "share")).unwrap_or_default()
}

fn keys_of(map: Option<&Value>) -> String {
    let keys = map.and_then(Value::as_object).into_iter().flat_map(Map::keys);
    keys.cloned().collect::<Vec<_>>().join(", ")
}

/// `env NAME`, `volumeMounts /path`, or the name of the field.
fn of_app(field: &str, value: &Value) -> Vec<String> {
    let named = |item: &Value| {
        let name = [text(item, "mountPath"), text(item, "name")].into_iter().find(|name| !name.is_empty());
        format!("{field} {}", name.unwrap_or("…"))
    };
    match value.as_array() {
        Some(items) if items.iter().all(Value::is_object) => items.iter().map(named).collect(),
        _ => vec![field.to_owned()],
    }
}

fn text<'v>(item: &'v Value, field: &str) -> &'v str {
    item.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inject::{SourceText, TemplateSet};

    fn details(spec: &Value) -> Details {
        let template = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate",
            "metadata": {"name": "agent"}, "spec": spec});
        let loaded = TemplateSet::load(&[SourceText { origin: "a.yaml".to_owned(), text: template.to_string() }]);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let status = loaded.templates.all().next().expect("a template");
        Details::of(&status, &AnnotationKeys::new("outrigger.dev")).expect("it works")
    }

    #[test]
    fn parameters_have_their_rules_and_annotations() {
        let found = details(&json!({
            "parameters": [
                {"name": "level", "type": "enum", "values": ["low", "high"], "default": "low"},
                {"name": "count", "type": "integer", "minimum": 1, "maximum": 9},
                {"name": "globs", "type": "list", "default": ["a", "b"], "maxItems": 4},
                {"name": "owner", "type": "string", "default": "${pod.metadata.name}"},
                {"name": "commas", "type": "list", "default": ["a,b", "c"]},
                {"name": "blanks", "type": "list", "default": ["", " a"]},
                {"name": "pairs", "type": "map", "default": {"a": "b=c"}},
                {"name": "text", "type": "string", "default": "$${x}"},
                {"name": "texts", "type": "list", "default": ["$${x}", "y"]},
                {"name": "numbers", "type": "map", "default": {"a": "1"}, "keyPattern": "^[a-z]+$", "pattern": "^[0-9]+$"},
            ],
            "sidecars": [{"name": "agent", "image": "agent:1", "args": ["${params.level}"]}],
        }));
        let told: Vec<_> = found
            .parameters
            .iter()
            .map(|one| (&*one.name, one.default.as_deref(), one.computed, one.rules.join("; ")))
            .collect();
        let expected = [
            ("level", Some("low"), false, "one of low, high".to_owned()),
            ("count", None, false, "from 1 to 9".to_owned()),
            ("globs", Some("a, b"), false, "at most 4 items".to_owned()),
            ("owner", Some("${pod.metadata.name}"), true, String::new()),
            ("commas", Some(r#"["a,b","c"]"#), false, String::new()),
            ("blanks", Some(r#"[""," a"]"#), false, String::new()),
            ("pairs", Some(r#"{"a":"b=c"}"#), false, String::new()),
            ("text", Some("${x}"), false, String::new()),
            ("texts", Some("${x}, y"), false, String::new()),
            ("numbers", Some("a=1"), false, "keys match ^[a-z]+$; values match ^[0-9]+$".to_owned()),
        ];
        assert_eq!(told, expected);
        let annotations: Vec<_> = found.annotations.into_iter().collect();
        let expected = [("agent.outrigger.dev/count", ""), ("outrigger.dev/inject", "agent")];
        assert_eq!(annotations, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn everything_that_a_template_brings_is_listed() {
        let found = details(&json!({
            "sidecars": [{"name": "agent", "image": "agent:1"}],
            "initContainers": [{"name": "setup", "image": "setup:1"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "files": [{"name": "conf", "items": {"a.conf": "x"}}],
            "app": {"env": [{"name": "AGENT", "value": "on"}], "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
            "metadata": {"labels": {"team": "a"}},
            "pod": {"shareProcessNamespace": true},
        }));
        let brings = found.brings;
        assert_eq!(brings.sidecars, ["agent (agent:1)"]);
        assert_eq!(brings.init_containers, ["setup (setup:1)"]);
        assert_eq!(brings.volumes, ["data (emptyDir)"]);
        assert_eq!(brings.files, ["conf (a.conf)"]);
        assert_eq!(brings.app, ["env AGENT", "volumeMounts /data"]);
        assert_eq!((brings.metadata, brings.pod), (vec!["label team".into()], vec!["shareProcessNamespace".into()]));
    }
}
