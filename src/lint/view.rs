//! A template's document as the rules see it: with its constant parameter defaults.
//!
//! Invariant: a value that depends on a pod is unknown to the rules, so none judges it.

use crate::inject::template::document::Document;
use crate::inject::text::FieldPath;
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
    pub(super) fn resolve(&self, text: &'a str) -> Option<Cow<'a, str>> {
        if !text.contains("${") {
            return Some(Cow::Borrowed(text));
        }
        let name = text.strip_prefix("${params.")?.strip_suffix('}')?;
        let parameter = self.items("parameters").find(|(_, one)| one.get("name").is_some_and(|found| found == name))?;
        let default = parameter.1.get("default")?.as_str().filter(|default| !default.contains("${"))?;
        Some(Cow::Borrowed(default))
    }
}

/// A member at a path of names; null where there is none.
pub(super) fn at<'a>(value: &'a Value, names: &[&str]) -> &'a Value {
    names.iter().fold(value, |value, name| value.get(name).unwrap_or(&Value::Null))
}

/// A path below another.
pub(super) fn below(path: &FieldPath, names: &[&str]) -> FieldPath {
    names.iter().fold(path.clone(), |path, name| path.child(*name))
}
