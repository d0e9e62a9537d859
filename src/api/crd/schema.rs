//! Turns the schema of templates that editors use into a structural schema of OpenAPI v3.
//!
//! Invariant: the result refuses nothing that the schema for editors allows. Every object keeps
//! fields that it does not know, so that a misspelt one reaches the loader, which refuses it.

use serde_json::{Map, Value, json};

use crate::inject::editor_schema;

/// The fields of lists of Kubernetes' types that are worth listing. `kubectl explain pod` has all.
const LISTED: [&str; 9] =
    ["name", "image", "value", "mountPath", "when", "forEach", "share", "onExisting", "separator"];

/// Where in a template the types of core/v1 stand, and what `kubectl explain` calls them.
const CORE: [(&str, &str, &str); 8] = [
    ("spec.sidecars", "Container", "pod.spec.containers"),
    ("spec.initContainers", "Container", "pod.spec.initContainers"),
    ("spec.volumes", "Volume", "pod.spec.volumes"),
    ("spec.app.env", "EnvVar", "pod.spec.containers.env"),
    ("spec.app.envFrom", "EnvFromSource", "pod.spec.containers.envFrom"),
    ("spec.app.volumeMounts", "VolumeMount", "pod.spec.containers.volumeMounts"),
    ("spec.app.defaults.", "Container", "pod.spec.containers"),
    ("spec.pod.", "PodSpec", "pod.spec"),
];

/// What fields of Kubernetes' types mean that have no description of ours.
const DESCRIPTIONS: [(&str, &str); 9] = [
    ("matchLabels", "Labels that must have these values."),
    ("matchExpressions", "Requirements on labels; all must hold."),
    ("key", "The label."),
    ("operator", "`In`, `NotIn`, `Exists` or `DoesNotExist`."),
    ("values", "The values for `In` and `NotIn`."),
    ("name", "The name."),
    ("image", "The image; best with a digest."),
    ("value", "The value."),
    ("mountPath", "Where the volume is mounted."),
];

/// A bound for the cost of rules; no word of the format is as long.
const LONGEST_WORD: u64 = 63;

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";

/// The schema of `spec`.
pub(super) fn spec() -> Value {
    let source = editor_schema();
    let writer = SchemaWriter { definitions: &source["$defs"] };
    let mut spec = writer.schema(&source["properties"]["spec"], "spec");
    // It is required.
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("nullable");
    }
    spec
}

struct SchemaWriter<'a> {
    definitions: &'a Value,
}

impl SchemaWriter<'_> {
    /// The schema of a value at a path such as `spec.app.env`.
    fn schema(&self, source: &Value, path: &str) -> Value {
        let reference = source["$ref"].as_str().unwrap_or_default().trim_start_matches("#/$defs/");
        let target = if reference.is_empty() { source } else { &self.definitions[reference] };
        let mut schema = if reference.starts_with("io.k8s.") {
            json!({PRESERVE: true})
        } else if reference.starts_with("item.") {
            self.item(target, path)
        } else {
            self.typed(target, path)
        };
        if let Some(description) = description(source, target, path) {
            schema["description"] = description.into();
        }
        schema
    }

    /// An element of a list of core/v1 objects. It may be an expression as a whole.
    fn item(&self, source: &Value, path: &str) -> Value {
        let mut schema = self.object(source, path);
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.retain(|name, _| LISTED.contains(&name.as_str()));
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| name.as_str().is_some_and(|name| LISTED.contains(&name)));
        }
        schema
    }

    fn typed(&self, source: &Value, path: &str) -> Value {
        if let Some(values) = values(source) {
            return one_of(&values, path);
        }
        let types = types(source);
        let mut schema = match types[..] {
            ["string"] => string(source),
            ["integer"] => integer(source),
            ["boolean"] => json!({"type": "boolean"}),
            ["array"] => json!({"type": "array", "items": self.schema(&source["items"], &format!("{path}[]"))}),
            ["object"] => {
                let mut schema = self.object(source, path);
                schema["type"] = "object".into();
                schema
            }
            ["object", "string"] => self.object(source, path),
            // A value of several types, and one that may be an expression.
            _ => return json!({PRESERVE: true}),
        };
        if is_nullable(source) {
            schema["nullable"] = true.into();
        }
        schema
    }

    /// The fields of an object. Its type is left to the caller, because of expressions.
    fn object(&self, source: &Value, path: &str) -> Value {
        if source["additionalProperties"].is_object() && types(source) == ["object"] {
            return json!({"additionalProperties": self.schema(&source["additionalProperties"], path)});
        }
        let fields = source["properties"].as_object().into_iter().flatten();
        let fields = fields.map(|(name, field)| (name.clone(), self.schema(field, &format!("{path}.{name}"))));
        let fields: Map<String, Value> = fields.collect();
        let mut schema = json!({PRESERVE: true});
        if !fields.is_empty() {
            schema["properties"] = fields.into();
        }
        if let Some(required) = source.get("required") {
            schema["required"] = required.clone();
        }
        schema
    }
}

/// The types of a value, but for null.
fn types(source: &Value) -> Vec<&str> {
    match &source["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect(),
        name => name.as_str().into_iter().collect(),
    }
}

/// Whether null, which means absent, is a value.
fn is_nullable(source: &Value) -> bool {
    let members = source["oneOf"].as_array().into_iter().flatten();
    let members = members.chain(source["anyOf"].as_array().into_iter().flatten());
    let has_null = |source: &Value| match &source["type"] {
        Value::Array(types) => types.contains(&"null".into()),
        name => name == "null",
    };
    has_null(source) || members.into_iter().any(has_null)
}

/// The words of a field that takes nothing else.
fn values(source: &Value) -> Option<Vec<String>> {
    let words = |source: &Value| match (source["enum"].as_array(), source["const"].as_str()) {
        (Some(values), _) => Some(values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()),
        (None, Some(value)) => Some(vec![value.to_owned()]),
        (None, None) => (source["type"] == "null").then(Vec::new),
    };
    match source["oneOf"].as_array() {
        Some(members) => Some(members.iter().map(words).collect::<Option<Vec<Vec<String>>>>()?.concat()),
        None => words(source),
    }
    .filter(|values| !values.is_empty())
}

/// A field that takes one of these words. A list of values in the schema would refuse null, so it
/// is a rule. Below lists of core/v1 objects, which are not bounded, it would cost too much.
fn one_of(values: &[String], path: &str) -> Value {
    let mut schema = json!({"type": "string", "nullable": true});
    if !CORE.iter().any(|(place, _, _)| path.starts_with(place)) {
        let listed: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
        let rule = format!("self in [{}]", listed.join(", "));
        let message = format!("expected one of {}", values.join(", "));
        schema["maxLength"] = LONGEST_WORD.into();
        schema["x-kubernetes-validations"] = json!([{"rule": rule, "message": message}]);
    }
    schema
}

fn string(source: &Value) -> Value {
    let mut schema = json!({"type": "string"});
    for key in ["pattern", "maxLength"] {
        if let Some(value) = source.get(key).filter(|_| source.get("anyOf").is_none()) {
            schema[key] = value.clone();
        }
    }
    schema
}

fn integer(source: &Value) -> Value {
    let mut schema = json!({"type": "integer", "format": "int64"});
    for key in ["minimum", "maximum"] {
        if let Some(value) = source.get(key) {
            schema[key] = value.clone();
        }
    }
    schema
}

/// The description of the field, or else of its type, with the words that it takes, and for core/v1
/// where to read more.
fn description(source: &Value, target: &Value, path: &str) -> Option<String> {
    let field = path.rsplit('.').next().unwrap_or(path);
    let common = || DESCRIPTIONS.iter().find(|(name, _)| *name == field).map(|(_, text)| *text);
    let own = source["description"].as_str().or_else(|| target["description"].as_str()).or_else(common);
    let words = values(target).filter(|values| !values.iter().all(|value| mentions(own, value)));
    let words = words.map(|values| format!("One of `{}`.", values.join("`, `")));
    let core = CORE.iter().find_map(|(place, kind, explained)| match path.strip_prefix(place)? {
        "" => Some(format!("core/v1 {kind}: see `kubectl explain {explained}`.")),
        below if place.ends_with('.') && !below.contains(['.', '[']) => {
            Some(format!("Field of the core/v1 {kind}: see `kubectl explain {explained}.{below}`."))
        }
        _ => None,
    });
    let parts: Vec<String> = own.map(str::to_owned).into_iter().chain(words).chain(core).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn mentions(description: Option<&str>, word: &str) -> bool {
    description.is_some_and(|text| text.contains(&format!("`{word}`")))
}
