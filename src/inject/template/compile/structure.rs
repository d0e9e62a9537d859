//! Checks the structure of a template document: its header, its fields and their types, its name.
//!
//! `enum_check` checks enumerated values; `draft` checks what has to be compiled.

use super::warnings::Warning;
use super::{TemplateSpec, enum_check, new_fields};
use crate::inject::overlay::OverlayPart;
use crate::inject::schema::{self, Expressions, Findings, UnknownField};
use crate::inject::template::document::MAX_TEMPLATE_BYTES;
use crate::inject::template::spec::{API_VERSION, CLUSTER_KIND, NAMESPACED_KIND, TemplateDocument};
use crate::inject::text::{FieldError, FieldPath, PathSegment, message, names, quote, value, words};
use serde_json::Value;

/// Errors of `apiVersion`, `kind` and size; objects of other kinds are not checked further.
pub(super) fn check_header(document: &Value) -> Vec<FieldError> {
    let root = FieldPath::root();
    if !document.is_object() {
        return vec![FieldError::new(root, "expected a template document with apiVersion, kind, metadata and spec")];
    }
    let mut errors = Vec::new();
    let bytes = document.to_string().len();
    if bytes > MAX_TEMPLATE_BYTES {
        let sentence = message!["the template has ", bytes, " bytes as JSON, more than 256 KiB"];
        errors.push(FieldError::new(root.clone(), sentence));
    }
    let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default();
    if text("kind") == "List" {
        let sentence =
            "a List is not read; write each of its items as a document of its own, with \"---\" between them";
        errors.push(FieldError::new(root.child("kind"), sentence));
        return errors;
    }
    let version = text("apiVersion");
    if version != API_VERSION {
        let expected = words(quote(API_VERSION));
        let sentence = message!["unsupported apiVersion ", value(quote(version)), "; expected ", expected];
        errors.push(FieldError::new(root.child("apiVersion"), sentence));
    }
    let kind = text("kind");
    if kind == NAMESPACED_KIND {
        errors.extend(check_namespace(document));
    } else if kind != CLUSTER_KIND {
        let expected = words(format_args!("{} or {}", quote(CLUSTER_KIND), quote(NAMESPACED_KIND)));
        let sentence = message!["unknown kind ", value(quote(kind)), "; expected ", expected];
        errors.push(FieldError::new(root.child("kind"), sentence));
    }
    errors
}

/// A template of a namespace says which: a file has no other place that could tell.
fn check_namespace(document: &Value) -> Option<FieldError> {
    let path = FieldPath::root().child("metadata").child("namespace");
    let namespace = document.pointer("/metadata/namespace").filter(|namespace| !namespace.is_null());
    let Some(namespace) = namespace else {
        let message = message!["missing; expected the namespace in which the ", NAMESPACED_KIND, " is visible"];
        return Some(FieldError::new(path, message));
    };
    // The schema check says that it is no text.
    let name = namespace.as_str()?;
    let rule = names::check_dns_label(name).err()?;
    Some(FieldError::new(path, message![value(quote(name)), " is no name of a namespace: ", rule]))
}

/// Errors of fields, types, enumerated values and the name; warnings about fields that may be newer
/// than this build.
pub(super) fn check(name: &str, document: &Value) -> (Vec<FieldError>, Vec<Warning>) {
    let expressions = Expressions::Allowed(is_below_a_part);
    let Findings { mut errors, unknown } = schema::check(schema::template(), document, &FieldPath::root(), expressions);
    let spec = document.get("spec").unwrap_or(&Value::Null);
    // The API server writes many more fields of metadata.
    let is_of_metadata = |field: &UnknownField| field.error.path.to_string().starts_with("metadata.");
    let unknown = unknown.into_iter().filter(|field| field.is_near || !is_of_metadata(field)).collect();
    let (misspelt, warnings) = new_fields::sort(unknown, spec);
    errors.extend(misspelt);
    errors.extend(enum_check::check(spec));
    errors = with_more(errors, check_name(name).into_iter().collect());
    (errors, warnings)
}

/// Expressions stand in what a template brings, not in its settings, and not for a whole part.
fn is_below_a_part(path: &FieldPath) -> bool {
    let steps = path.steps();
    let Some((PathSegment::Child(first), rest)) = steps.split_first().map(|(first, rest)| (*first, rest)) else {
        return false;
    };
    let starts = |fields: &[&str]| {
        rest.len() > fields.len()
            && fields
                .iter()
                .zip(rest)
                .all(|(field, step)| matches!(step, PathSegment::Child(name) if **name == **field))
    };
    **first == *"spec" && OverlayPart::ALL.iter().any(|part| starts(part.spec_fields()))
}

/// The spec of a document with a valid structure; `None` if it has errors already.
pub(super) fn read(document: Value, errors: &[FieldError]) -> Result<Option<TemplateSpec>, FieldError> {
    if !errors.is_empty() {
        return Ok(None);
    }
    match serde_json::from_value::<TemplateDocument>(document) {
        Ok(document) => Ok(Some(document.spec)),
        // The checks above find every error with its place, so this text is a last resort.
        Err(error) => Err(FieldError::new(FieldPath::root(), message!["cannot be read as a template: ", value(error)])),
    }
}

fn check_name(name: &str) -> Option<FieldError> {
    if name == "false" {
        return Some(FieldError::new(name_path(), "\"false\" opts out in annotations and cannot name a template"));
    }
    let rule = names::check_dns_label(name).err()?;
    Some(FieldError::new(name_path(), message![value(quote(name)), " is no valid name: ", rule]))
}

pub(super) fn name_path() -> FieldPath {
    FieldPath::root().child("metadata").child("name")
}

/// Leaves out errors that merely follow from one that is already listed.
pub(super) fn with_more(mut errors: Vec<FieldError>, more: Vec<FieldError>) -> Vec<FieldError> {
    let listed: Vec<String> = errors.iter().map(|error| error.path.to_string()).collect();
    errors.extend(more.into_iter().filter(|error| {
        let path = error.path.to_string();
        !listed.iter().any(|known| path == *known || path.starts_with(&format!("{known}.")))
    }));
    errors
}
