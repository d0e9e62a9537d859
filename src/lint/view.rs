//! A template's document as the rules see it: with its constant parameter defaults.
//!
//! Invariant: a value that depends on a pod is unknown to the rules, so none judges it.

use crate::inject::template::document::Document;
use crate::inject::text::{FieldPath, PathSegment};
use serde_json::Value;
use std::borrow::Cow;

/// The document of one template.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// Where the text comes from, such as a file.
    pub origin: &'a str,
    pub document: &'a Document,
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
        self.document.value.get("spec").unwrap_or(&Value::Null)
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

    /// A text with the constant defaults of its parameters; `None` if it depends on the pod.
    pub(super) fn resolve<'t>(&self, text: &'t str) -> Option<Cow<'t, str>> {
        if !text.contains("${") {
            return Some(Cow::Borrowed(text));
        }
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
            resolved += before;
            resolved += &self.constant(parameter(expression)?)?;
            rest = after;
        }
        Some(Cow::Owned(resolved + rest))
    }

    /// The default of a parameter, if it is constant.
    fn constant(&self, name: &str) -> Option<String> {
        let (_, parameter) = self.items("parameters").find(|(_, one)| at(one, &["name"]) == name)?;
        match at(parameter, &["default"]) {
            Value::String(text) if !text.contains("${") => Some(text.clone()),
            value @ (Value::Bool(_) | Value::Number(_)) => Some(value.to_string()),
            _ => None,
        }
    }

    /// Whether an expression of the text is this parameter.
    pub(super) fn names_parameter(text: &str, name: &str) -> bool {
        let expressions = text.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
        expressions.filter_map(|(expression, _)| parameter(expression)).any(|found| found == name)
    }

    /// The text at a path; empty if there is none.
    pub(super) fn text_at(&self, path: &FieldPath) -> &'a str {
        let mut value = &self.document.value;
        for step in path.steps() {
            let next = match step {
                PathSegment::Child(name) | PathSegment::Key(name) => value.get(&**name),
                PathSegment::Index(index) => value.get(*index),
            };
            value = next.unwrap_or(&Value::Null);
        }
        value.as_str().unwrap_or_default()
    }
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

    #[test]
    fn constant_defaults_are_put_into_a_text() {
        let parameters = json!([
            {"name": "tag", "default": "1.2"}, {"name": "port", "default": 80}, {"name": "pod", "default": "${app.name}"},
        ]);
        let document = Document::of_value(json!({"spec": {"parameters": parameters}}));
        let view = View { origin: "", document: &document };
        for (text, expected) in [
            ("x/y:${params.tag}", Some("x/y:1.2")),
            ("${ params.tag }:${params['port']}${params[\"tag\"]}", Some("1.2:801.2")),
            ("$${params.tag} ${params.tag}", Some("${params.tag} 1.2")),
            ("${params.pod}", None),
            ("${params.none}", None),
            ("${params.tag + 'x'}", None),
            ("${params.tag", None),
        ] {
            assert_eq!(view.resolve(text).as_deref(), expected, "{text}");
        }
    }
}
