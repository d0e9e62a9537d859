//! What a template of a namespace may bring: no more than Pod Security "restricted" allows, nothing
//! of the node, no Secret and no identity.
//!
//! The rules are a closed list (`allowed`): a field that is not on it is refused, so that a field of
//! a newer Kubernetes is none that a tenant may set. They look at rendered values, at load and again
//! for each pod, so no expression can go around them. What a mount of the pod's own volumes reads is
//! checked with the pod.
//!
//! Invariant: every violation is listed, with its path and what is allowed.

mod allowed;
mod keys;
#[cfg(test)]
mod tests;

use super::{Overlay, OverlayPart, PartTarget, SamplePaths};
use crate::inject::schema::{self, SchemaRef};
use crate::inject::text::json::items;
use crate::inject::text::{FieldError, FieldPath, Message, message, quote, value, words};
use allowed::Allowed;
use serde_json::{Map, Value};

const UNKNOWN: &str =
    "this build does not know the field, so it cannot tell whether a template of a namespace may set it";

/// Sources of a pod's own volumes that a template of a namespace may mount.
pub(crate) const SHARED_SOURCES: [&str; 4] = ["configMap", "emptyDir", "ephemeral", "persistentVolumeClaim"];

/// The fields of Pod Security "restricted" that every container must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequiredFields {
    /// They are added where a container leaves them out: the template is hardened.
    Added,
    /// The template has to write them.
    Written,
}

impl Overlay {
    /// Lists all that a template of a namespace must not bring. Samples are values that are not known
    /// yet.
    pub(crate) fn restrict(&self, required: RequiredFields, samples: &SamplePaths) -> Vec<FieldError> {
        let mut checker = Checker { samples, errors: Vec::new() };
        for part in OverlayPart::ALL {
            let (content, path) = (self.value(part), part.path());
            if content.is_null() {
                continue;
            }
            match (part.target(), content) {
                (PartTarget::MetadataMap(field), Value::Object(map)) => checker.keys(field, map, &path),
                (PartTarget::SpecFields, Value::Object(map)) => {
                    map.keys().for_each(|field| checker.add(&path.child(field.as_str()), allowed::POD_FIELD));
                }
                _ => checker.value(allowed::of(part), part.schema(), content, &path),
            }
            if part.target() == PartTarget::Containers {
                for (index, container) in self.list(part).iter().enumerate() {
                    checker.required(container, required, &path.index(index).child("securityContext"));
                }
            }
        }
        checker.errors
    }
}

/// Settings of a template that only those of the cluster may have. `spec` is the spec as it is written.
pub(crate) fn restrict_settings(spec: &Value) -> Vec<FieldError> {
    let path = FieldPath::root().child("spec");
    let is_set = |field: &str| match spec.get(field) {
        Some(Value::Bool(set)) => *set,
        Some(Value::Array(items)) => !items.is_empty(),
        _ => false,
    };
    let mut errors: Vec<FieldError> = [
        ("shadowable", "only a ClusterInjectionTemplate can be shadowed; remove the field"),
        ("newFields", "a template of a namespace has only fields that this build knows; remove the field"),
    ]
    .into_iter()
    .filter(|(field, _)| is_set(field))
    .map(|(field, why)| FieldError::new(path.child(field), why))
    .collect();
    let pod = spec.get("pod").and_then(Value::as_object).into_iter().flatten();
    errors.extend(pod.map(|(field, _)| FieldError::new(path.child("pod").child(field.as_str()), allowed::POD_FIELD)));
    errors
}

/// The source of a volume of the pod that a template of a namespace may not mount, if it has one.
pub(crate) fn forbidden_source(volume: &Value) -> Option<&str> {
    let sources = volume.as_object().into_iter().flatten().filter(|(_, source)| !source.is_null());
    let mut sources = sources.map(|(field, _)| field.as_str()).filter(|field| *field != "name");
    sources.find(|source| !SHARED_SOURCES.contains(source))
}

struct Checker<'a> {
    samples: &'a SamplePaths,
    errors: Vec<FieldError>,
}

impl Checker<'_> {
    fn add(&mut self, path: &FieldPath, message: impl Into<Message>) {
        self.errors.push(FieldError::new(path.clone(), message));
    }

    /// Checks a value and all below it. A null is an absent field.
    fn value(&mut self, allowed: &Allowed, schema: Option<SchemaRef<'_>>, content: &Value, path: &FieldPath) {
        if content.is_null() || self.samples.has(path) {
            return;
        }
        match (allowed, content) {
            (Allowed::Any, _) => self.known(schema, content, path),
            (Allowed::Never(why), _) => self.add(path, *why),
            (Allowed::If(holds, expected), _) => {
                if !holds(content) {
                    self.add(path, message![shown(content), " is not allowed in a namespace; expected ", *expected]);
                }
            }
            (Allowed::Each(allowed), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.value(allowed, schema.and_then(SchemaRef::item), item, &path.index(index));
                }
            }
            (Allowed::Fields(fields), Value::Object(map)) => self.fields(fields, schema, map, path),
            // The schema reports a value of the wrong type; it is none that is allowed.
            (Allowed::Each(_) | Allowed::Fields(_), _) => self.add(path, "a value of this type is not allowed here"),
        }
    }

    fn fields(
        &mut self,
        fields: &[(&'static str, Allowed)],
        schema: Option<SchemaRef<'_>>,
        map: &Map<String, Value>,
        path: &FieldPath,
    ) {
        for (name, content) in map.iter().filter(|(_, content)| !content.is_null()) {
            let (path, known) = (path.child(name.as_str()), schema.and_then(|schema| schema.child(name)));
            match fields.iter().find(|(field, _)| field == name) {
                Some((_, allowed)) => self.value(allowed, known, content, &path),
                None if known.is_none() => self.add(&path, UNKNOWN),
                None => {
                    let open = fields.iter().filter(|(_, allowed)| !matches!(allowed, Allowed::Never(_)));
                    let names: Vec<&str> = open.map(|(field, _)| *field).collect();
                    let names = words(names.join(", "));
                    self.add(&path, message!["not allowed in a template of a namespace; expected only ", names]);
                }
            }
        }
    }

    /// Fields that this build does not know, wherever they are.
    fn known(&mut self, schema: Option<SchemaRef<'_>>, content: &Value, path: &FieldPath) {
        let Some(schema) = schema.filter(|_| content.is_object() || content.is_array()) else { return };
        let found = schema::check(schema, content, path, schema::Expressions::Rendered);
        for unknown in found.unknown {
            self.add(&unknown.error.path, UNKNOWN);
        }
    }

    fn keys(&mut self, field: &'static str, map: &Map<String, Value>, path: &FieldPath) {
        for key in map.keys().filter(|key| !keys::is_allowed(field, key)) {
            let sentence = message![
                value(quote(key)),
                " is not allowed in a template of a namespace: Kubernetes, the kubelet or a container runtime reads it",
            ];
            self.add(&path.key(key.as_str()), sentence);
        }
    }

    /// The fields that Pod Security "restricted" requires. Their values are on the closed list.
    fn required(&mut self, container: &Value, required: RequiredFields, path: &FieldPath) {
        if self.samples.has(path) {
            return;
        }
        let none = Value::Null;
        let context = container.get("securityContext").unwrap_or(&none);
        let is_there = |object: &Value, field: &str| object.get(field).is_some_and(|value| !value.is_null());
        for (field, expected) in [
            ("allowPrivilegeEscalation", "expected false"),
            ("runAsNonRoot", "expected true"),
            ("seccompProfile", "expected the type RuntimeDefault or Localhost"),
        ] {
            if required == RequiredFields::Written && !is_there(context, field) {
                self.missing(&path.child(field), expected);
            }
        }
        let profile = context.get("seccompProfile").unwrap_or(&none);
        if profile.is_object() && !is_there(profile, "type") && !self.samples.has(&path.child("seccompProfile")) {
            self.missing(&path.child("seccompProfile").child("type"), "expected RuntimeDefault or Localhost");
        }
        let capabilities = context.get("capabilities").unwrap_or(&none);
        let path = path.child("capabilities");
        let drop = path.child("drop");
        if self.samples.has(&path) || self.samples.contain(&drop) {
            return;
        }
        match is_there(capabilities, "drop") {
            true if !items(capabilities, "drop").iter().any(|name| name == "ALL") => {
                self.add(&drop, "a template of a namespace must drop all capabilities; expected \"ALL\" in the list");
            }
            false if required == RequiredFields::Written => self.missing(&drop, "expected [\"ALL\"]"),
            _ => {}
        }
    }

    fn missing(&mut self, path: &FieldPath, expected: &'static str) {
        let why = "missing, and a template of a namespace keeps Pod Security \"restricted\"; ";
        self.add(path, message![why, expected, ", or hardened: true"]);
    }
}

fn shown(content: &Value) -> Message {
    value(content.as_str().map_or_else(|| content.to_string().chars().take(80).collect(), quote))
}
