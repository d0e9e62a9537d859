//! Writes the JSON Schema of template documents, with which editors check and complete them.
//!
//! It is made of the schema and the rules that templates are checked with when they are loaded.
//! What JSON Schema cannot express is left to the loader: rules between fields, the text of
//! expressions, fields of Kubernetes that look misspelt.
//!
//! Invariant: every template that loads conforms to the schema.

use super::spec::{API_VERSION, CLUSTER_KIND, NAMESPACED_KIND};
use crate::inject::overlay::OverlayPart;
use crate::inject::schema::rules::{Constraint, constraints};
use crate::inject::schema::{self, QUANTITY};
use crate::inject::text::json::text;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const ID: &str = "https://outrigger.dev/schemas/v1alpha1/template.json";

/// A text with an expression: `${` that is not written as `$${`.
const EXPRESSION: &str = r"(^|[^$])\$\{";

/// The JSON Schema (draft 2020-12) of a template document.
pub fn editor_schema() -> Value {
    // A test reads it.
    let recorded: Value = serde_json::from_str(schema::template_text()).unwrap_or_default();
    let mut writer = SchemaWriter { recorded: &recorded["$defs"], definitions: BTreeMap::new() };
    let parts = OverlayPart::ALL.map(|part| [&["spec"], part.spec_fields()].concat());
    let mut root = writer.schema(&recorded, &Position::Setting(parts.into()), Nullable::No);
    root["properties"]["apiVersion"]["const"] = API_VERSION.into();
    root["properties"]["kind"]["enum"] = json!([CLUSTER_KIND, NAMESPACED_KIND]);
    // An object of a cluster has one, which is not read.
    root["properties"]["status"] = json!({"description": "Written by the server; ignored."});
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["$id"] = ID.into();
    root["title"] = "InjectionTemplate".into();
    root["$defs"] = writer.definitions.into_iter().collect::<Map<_, _>>().into();
    root
}

/// Where in a template a value stands, which decides whether it may be an expression.
#[derive(Clone)]
enum Position {
    /// A setting, or something that has parts below it: the paths to them.
    Setting(Vec<Vec<&'static str>>),
    /// A part as a whole.
    Part,
    /// Below a part.
    Value,
}

impl Position {
    fn field(&self, name: &str) -> Self {
        let Self::Setting(parts) = self else { return Self::Value };
        let below = parts.iter().filter_map(|path| path.split_first()).filter(|(first, _)| **first == name);
        let below: Vec<Vec<&str>> = below.map(|(_, rest)| rest.to_vec()).collect();
        if below.iter().any(Vec::is_empty) { Self::Part } else { Self::Setting(below) }
    }

    fn element(&self) -> Self {
        match self {
            Self::Setting(_) => Self::Setting(Vec::new()),
            Self::Part | Self::Value => Self::Value,
        }
    }
}

/// Whether null, which means absent, is a value: not that of a required field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nullable {
    Yes,
    No,
}

struct SchemaWriter<'a> {
    recorded: &'a Value,
    definitions: BTreeMap<String, Value>,
}

impl SchemaWriter<'_> {
    fn schema(&mut self, recorded: &Value, position: &Position, nullable: Nullable) -> Value {
        let (recorded, description) = (without_null(recorded), recorded.get("description"));
        let mut schema = match recorded.get("$ref").and_then(Value::as_str) {
            Some(reference) => json!({"$ref": self.reference(reference, position)}),
            None if recorded.get("oneOf").is_some() => self.union(recorded, "oneOf", position, nullable),
            None if recorded.get("anyOf").is_some() => self.union(recorded, "anyOf", position, nullable),
            None => self.typed(recorded, position, nullable),
        };
        if let Some(description) = description.or_else(|| recorded.get("description")) {
            schema["description"] = description.clone();
        }
        schema
    }

    /// Settings take no expressions, so a type of Kubernetes that settings use is written twice.
    fn reference(&mut self, reference: &str, position: &Position) -> String {
        let name = reference.trim_start_matches("#/$defs/");
        let own_name = match position {
            Position::Setting(_) if name.starts_with("io.k8s.") => format!("setting.{}", type_name(name)),
            _ => name.to_owned(),
        };
        if !self.definitions.contains_key(&own_name) {
            // A type may contain itself.
            self.definitions.insert(own_name.clone(), Value::Null);
            let schema = match name {
                QUANTITY => json!({"type": ["string", "number", "null"]}),
                _ => {
                    let mut schema = self.schema(&self.recorded[name].clone(), position, Nullable::Yes);
                    constrain(&mut schema, type_name(name));
                    if schema::is_strict_type(name) {
                        schema["additionalProperties"] = false.into();
                    }
                    schema
                }
            };
            self.definitions.insert(own_name.clone(), schema);
        }
        format!("#/$defs/{own_name}")
    }

    /// One of several: only settings and our own keys are.
    fn union(&mut self, recorded: &Value, key: &str, position: &Position, nullable: Nullable) -> Value {
        let members = recorded[key].as_array().map_or(&[][..], Vec::as_slice);
        let mut members: Vec<Value> =
            members.iter().map(|member| self.schema(member, &position.element(), Nullable::No)).collect();
        if nullable == Nullable::Yes {
            members.push(json!({"type": "null"}));
        }
        json!({key: members})
    }

    fn typed(&mut self, recorded: &Value, position: &Position, nullable: Nullable) -> Value {
        if recorded.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            return json!({"type": with_null(["integer", "string"].into(), nullable)});
        }
        let Some(kind) = only_type(recorded) else { return json!({}) };
        let mut schema = json!({});
        let mut types = vec![kind];
        if matches!(position, Position::Value) && kind != "string" {
            types.push("string");
            schema["pattern"] = EXPRESSION.into();
        }
        for key in ["const", "pattern", "maxLength"] {
            if let Some(value) = recorded.get(key) {
                schema[key] = value.clone();
            }
        }
        if let Some(values) = recorded.get("enum").and_then(Value::as_array) {
            let null = (nullable == Nullable::Yes).then_some(Value::Null);
            schema["enum"] = values.iter().cloned().chain(null).collect();
        }
        match kind {
            "object" => self.object(recorded, position, &mut schema),
            "array" => schema["items"] = self.schema(&recorded["items"], &position.element(), Nullable::No),
            "integer" => bounds(recorded, &mut schema),
            _ => {}
        }
        schema["type"] = with_null(types, nullable);
        schema
    }

    fn object(&mut self, recorded: &Value, position: &Position, schema: &mut Value) {
        let values = &recorded["additionalProperties"];
        if values.is_object() {
            schema["additionalProperties"] = self.schema(values, &position.element(), Nullable::Yes);
        } else if values.is_boolean() {
            schema["additionalProperties"] = values.clone();
        }
        let required = recorded["required"].as_array().map_or(&[][..], Vec::as_slice);
        let mut properties = Map::new();
        for (name, field) in recorded["properties"].as_object().into_iter().flatten() {
            let is_required = required.iter().any(|required| required == name);
            let nullable = if is_required { Nullable::No } else { Nullable::Yes };
            properties.insert(name.clone(), self.schema(field, &position.field(name), nullable));
        }
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if !properties.is_empty() {
            schema["properties"] = properties.into();
        }
    }
}

/// Adds the rules of a type of core/v1.
fn constrain(schema: &mut Value, type_name: &str) {
    for (field, constraint) in constraints(type_name) {
        let required = match constraint {
            Constraint::Required => schema.get("required").and_then(Value::as_array).cloned(),
            _ => None,
        };
        let Some(property) = schema.pointer_mut(&format!("/properties/{field}")) else { continue };
        let choice = |values: &[&str], empty: Option<&str>| {
            let values: Vec<&str> = values.iter().copied().chain(empty).collect();
            json!([{"enum": values}, {"pattern": EXPRESSION}])
        };
        match constraint {
            Constraint::OneOf(values) => property["anyOf"] = choice(values, None),
            Constraint::OneOfOrEmpty(values) => property["anyOf"] = choice(values, Some("")),
            Constraint::Range(least, most) => limit(property, least.into(), most.into()),
            Constraint::Numbers(least, most) => limit(&mut property["items"], least.into(), most.into()),
            Constraint::Required => {
                let mut required = required.unwrap_or_default();
                if !required.iter().any(|name| name == field) {
                    required.push(field.into());
                }
                schema["required"] = required.into();
            }
        }
    }
}

/// The bounds of an integer. Those of 64 bits are not written: few editors compute with them.
fn bounds(recorded: &Value, schema: &mut Value) {
    let (least, most) = match text(recorded, "format") {
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        _ => (i128::MIN, i128::MAX),
    };
    let own = |key: &str, otherwise| recorded[key].as_i64().map_or(otherwise, i128::from);
    limit(schema, own("minimum", least), own("maximum", most));
}

fn limit(schema: &mut Value, least: i128, most: i128) {
    for (key, bound) in [("minimum", least), ("maximum", most)] {
        if let Some(bound) = i64::try_from(bound).ok().filter(|bound| ![i64::MIN, i64::MAX].contains(bound)) {
            schema[key] = bound.into();
        }
    }
}

/// The schema of a value that is there.
fn without_null(schema: &Value) -> &Value {
    let members = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)?.as_array());
    let present =
        members.map(|members| members.iter().filter(|one| only_type(one) != Some("null")).collect::<Vec<_>>());
    match present.as_deref() {
        Some([only]) => only,
        _ => schema,
    }
}

/// The type of a schema but for null.
fn only_type(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        name => name.as_str(),
    }
}

fn with_null(mut types: Vec<&str>, nullable: Nullable) -> Value {
    if nullable == Nullable::Yes {
        types.push("null");
    }
    match types[..] {
        [only] => only.into(),
        _ => types.into(),
    }
}

fn type_name(definition: &str) -> &str {
    definition.rsplit('.').next().unwrap_or(definition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_below_parts_may_be_expressions() {
        let schema = editor_schema();
        let of = |definition: &str, field: &str| schema["$defs"][definition]["properties"][field].clone();
        assert_eq!(of("AppSpec", "initContainers")["type"], json!(["boolean", "null"]));
        assert_eq!(of("AppSpec", "env")["type"], json!(["array", "null"]));
        assert_eq!(of("PodFieldsSpec", "hostUsers")["type"], json!(["boolean", "string", "null"]));
        assert_eq!(of("PodFieldsSpec", "hostUsers")["pattern"], EXPRESSION);
        let labels = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector";
        assert_eq!(schema["$defs"][labels]["type"], json!(["object", "string", "null"]));
        assert_eq!(schema["$defs"]["setting.LabelSelector"]["type"], json!(["object", "null"]));
        for selector in [labels, "setting.LabelSelector"] {
            assert_eq!(schema["$defs"][selector]["additionalProperties"], false, "a misspelt key selects everything");
        }
    }

    #[test]
    fn rules_of_kubernetes_are_part_of_it() {
        let schema = editor_schema();
        let container = &schema["$defs"]["item.io.k8s.api.core.v1.Container"];
        let policy = &container["properties"]["imagePullPolicy"]["anyOf"];
        assert_eq!(policy[0]["enum"], json!(["Always", "IfNotPresent", "Never", ""]));
        let key = &schema["$defs"]["io.k8s.api.core.v1.SecretKeySelector"];
        assert_eq!(key["required"], json!(["key", "name"]));
        let action = &schema["$defs"]["io.k8s.api.core.v1.GRPCAction"]["properties"]["port"];
        assert_eq!((&action["minimum"], &action["maximum"]), (&json!(1), &json!(65535)));
    }

    #[test]
    fn every_setting_has_a_description() {
        let schema = editor_schema();
        let mut without = Vec::new();
        for (name, definition) in schema["$defs"].as_object().expect("definitions") {
            if name.starts_with("io.k8s.") || name.starts_with("setting.") || name.starts_with("item.") {
                continue;
            }
            for (field, property) in definition["properties"].as_object().into_iter().flatten() {
                let described = property.get("description").is_some_and(|text| text.as_str() != Some(""));
                if !described && name != "PodFieldsSpec" {
                    without.push(format!("{name}.{field}"));
                }
            }
        }
        assert_eq!(without, [""; 0]);
    }
}
