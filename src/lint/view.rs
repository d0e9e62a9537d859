//! A template's document as the rules see it: without null fields, and with the constant defaults of
//! parameters in place of the expressions that read them.
//!
//! Invariant: a text that depends on a pod keeps its `${`, by which the rules know not to judge it.

use crate::inject::template::document::Document;
use crate::inject::text::FieldPath;
use crate::inject::text::json::without_nulls;
use serde_json::Value;

/// The document of one template.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// Where the text comes from, such as a file.
    pub origin: &'a str,
    /// The document as it is written.
    pub document: &'a Document,
    /// The same as [`resolved`] gives it.
    pub value: &'a Value,
}

/// One container of a template.
pub(super) struct Container<'a> {
    pub path: FieldPath,
    pub value: &'a Value,
    pub is_sidecar: bool,
}

impl Container<'_> {
    /// How messages name it.
    pub(super) fn name(&self) -> String {
        format!("container {:?}", self.value.get("name").and_then(Value::as_str).unwrap_or_default())
    }
}

impl<'a> View<'a> {
    /// The spec of the document, if it is a template's.
    pub(super) fn spec(&self) -> &'a Value {
        self.value.get("spec").unwrap_or(&Value::Null)
    }

    /// The path `spec`.
    pub(super) fn spec_path() -> FieldPath {
        FieldPath::root().child("spec")
    }

    /// The items of a list of the spec, each with its path.
    pub(super) fn items(&self, list: &'static str) -> impl Iterator<Item = (FieldPath, &'a Value)> + use<'a> {
        let items = self.spec().get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let path = Self::spec_path().child(list);
        items.iter().enumerate().map(move |(index, item)| (path.index(index), item))
    }

    /// The sidecars, then the init containers.
    pub(super) fn containers(&self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        let of = |is_sidecar| move |(path, value)| Container { path, value, is_sidecar };
        self.items("sidecars").map(of(true)).chain(self.items("initContainers").map(of(false)))
    }
}

/// The content of a document as the rules judge it. Null fields are absent, as for a pod.
pub(super) fn resolved(document: &Document) -> Value {
    let mut value = without_nulls(&document.value);
    let parameters = at(&value, &["spec", "parameters"]).clone();
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        for (_, member) in spec.iter_mut().filter(|(field, _)| *field != "parameters") {
            resolve(member, &parameters);
        }
    }
    value
}

fn resolve(value: &mut Value, parameters: &Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| resolve(member, parameters)),
        Value::Array(items) => items.iter_mut().for_each(|item| resolve(item, parameters)),
        Value::String(text) => {
            if let Some(found) = resolved_text(text, parameters) {
                *value = found;
            }
        }
        _ => {}
    }
}

/// A text with the constant defaults of its parameters; `None` if it has no expression, or depends on the
/// pod. A text that is one expression has the type of the parameter.
fn resolved_text(text: &str, parameters: &Value) -> Option<Value> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, expression) = (&rest[..start], &rest[start + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            resolved += before;
            resolved += "${";
            rest = expression;
            continue;
        }
        let (expression, after) = expression.split_once('}')?;
        let default = constant(parameter(expression)?, parameters)?;
        if text.len() == expression.len() + "${}".len() {
            return Some(default);
        }
        resolved += before;
        resolved += &match default {
            Value::String(text) => text,
            value @ (Value::Bool(_) | Value::Number(_)) => value.to_string(),
            _ => return None,
        };
        rest = after;
    }
    (rest.len() < text.len()).then(|| Value::String(resolved + rest))
}

/// The default of a parameter in the parameter's type, if it is constant.
fn constant(name: &str, parameters: &Value) -> Option<Value> {
    let mut parameters = parameters.as_array().into_iter().flatten();
    let parameter = parameters.find(|one| at(one, &["name"]) == name)?;
    let default = at(parameter, &["default"]);
    match (at(parameter, &["type"]).as_str().unwrap_or_default(), default) {
        (_, Value::Null) => None,
        _ if default.to_string().contains("${") => None,
        ("boolean" | "integer" | "number" | "port", Value::String(text)) => serde_json::from_str(text).ok(),
        ("boolean" | "integer" | "number" | "port", _) => Some(default.clone()),
        // As a text they have a syntax of their own.
        ("list" | "map", Value::String(_)) => None,
        (_, Value::Bool(_) | Value::Number(_)) => Some(Value::String(default.to_string())),
        _ => Some(default.clone()),
    }
}

/// Whether a value is known: an expression may give anything.
pub(super) fn is_known(value: &Value) -> bool {
    value.as_str().is_none_or(|text| !text.contains("${"))
}

/// A text that is known.
pub(super) fn known_text(value: &Value) -> Option<&str> {
    value.as_str().filter(|_| is_known(value))
}

/// The name in `params.NAME` or `params['NAME']`, if the expression is nothing else.
fn parameter(expression: &str) -> Option<&str> {
    let access = expression.trim().strip_prefix("params")?.trim_start();
    let quoted =
        |quote: char| access.strip_prefix('[')?.strip_suffix(']')?.trim().strip_prefix(quote)?.strip_suffix(quote);
    let name = access.strip_prefix('.').or_else(|| quoted('\'')).or_else(|| quoted('"'))?;
    (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')).then_some(name)
}

/// A member at a path of names; null where there is none.
pub(super) fn at<'a>(value: &'a Value, names: &[&str]) -> &'a Value {
    names.iter().fold(value, |value, name| value.get(name).unwrap_or(&Value::Null))
}

/// A path below another.
pub(super) fn below(path: &FieldPath, names: &[&str]) -> FieldPath {
    names.iter().fold(path.clone(), |path, name| path.child(*name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: &Value) -> Value {
        let parameters = json!([
            {"name": "tag", "type": "string", "default": "1.2"}, {"name": "port", "type": "port", "default": 80},
            {"name": "pod", "type": "string", "default": "${app.name}"}, {"name": "none", "type": "string"},
            {"name": "on", "type": "boolean", "default": "true"}, {"name": "text", "type": "string", "default": 7},
            {"name": "list", "type": "list", "default": ["a"]}, {"name": "written", "type": "list", "default": "a, b"},
        ]);
        let document = Document::of_value(json!({"spec": {"parameters": parameters, "x": value}}));
        resolved(&document)["spec"]["x"].clone()
    }

    #[test]
    fn constant_defaults_are_put_into_a_text() {
        for (text, expected) in [
            ("x/y:${params.tag}", "x/y:1.2"),
            ("${ params.tag }:${params['port']}${params[\"tag\"]}", "1.2:801.2"),
            ("$${params.tag} ${params.tag}", "${params.tag} 1.2"),
            ("${params.pod}", "${params.pod}"),
            ("${params.none}", "${params.none}"),
            ("${params.unknown}", "${params.unknown}"),
            ("${params.tag + 'x'}", "${params.tag + 'x'}"),
            ("${params.tag", "${params.tag"),
            ("a ${params.list}", "a ${params.list}"),
            ("${params.written}", "${params.written}"),
        ] {
            assert_eq!(of(&json!([text])), json!([expected]), "{text}");
        }
    }

    #[test]
    fn an_expression_alone_has_the_type_of_its_parameter_and_null_fields_are_absent() {
        for (text, expected) in [
            ("${params.port}", json!(80)),
            ("${params.on}", json!(true)),
            ("${params.text}", json!("7")),
            ("${params.list}", json!(["a"])),
        ] {
            assert_eq!(of(&json!(text)), expected, "{text}");
        }
        assert_eq!(of(&json!({"a": null, "b": {"c": null}, "d": [null]})), json!({"b": {}, "d": [null]}));
    }
}
