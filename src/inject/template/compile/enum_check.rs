//! Checks the fields of a template that accept only a fixed list of values.
//!
//! The schema check knows only types; this table has the values, so each wrong one is listed by
//! path.

use crate::inject::template::spec::PlacementSpec;
use crate::inject::text::{FieldError, FieldPath, Message, message, quote, value, words};
use serde_json::Value;

const TYPES: &[&str] =
    &["string", "integer", "boolean", "number", "quantity", "duration", "port", "enum", "list", "map"];

/// All wrong values of a template's spec.
pub(super) fn check(spec: &Value) -> Vec<FieldError> {
    let root = FieldPath::root().child("spec");
    let mut errors = Vec::new();
    let mut one = |fields: &[&str], values: &[&str]| {
        let (value, path) = at(spec, &root, fields);
        errors.extend(value.and_then(|value| check_value(value, &path, values)));
    };
    one(&["injection"], &["OptIn", "Automatic"]);
    one(&["onConflict"], &["Reject", "KeepPod"]);
    one(&["onError"], &["Reject", "Skip"]);
    one(&["placement", "sidecars"], &["Native", "Plain"]);
    one(&["podResources"], &["Grow", "Keep"]);
    one(&["qos"], &["Warn", "Keep"]);
    one(&["app", "envPosition"], &["First", "Last"]);
    for (index, variable) in list(spec, &["app", "env"]).iter().enumerate() {
        let path = root.child("app").child("env").index(index).child("onExisting");
        let on_existing = variable.get("onExisting");
        errors.extend(
            on_existing.and_then(|value| check_value(value, &path, &["Conflict", "Keep", "Append", "Prepend"])),
        );
    }
    for (index, volume) in list(spec, &["volumes"]).iter().enumerate() {
        let path = root.child("volumes").index(index).child("share").child("allow");
        for (index, kind) in list(volume, &["share", "allow"]).iter().enumerate() {
            errors.extend(check_value(kind, &path.index(index), &["Secret", "Projected"]));
        }
    }
    for (index, _) in list(spec, &["match", "os"]).iter().enumerate() {
        let path = root.child("match").child("os").index(index);
        errors.extend(check_value(&list(spec, &["match", "os"])[index], &path, &["linux", "windows"]));
    }
    for (index, parameter) in list(spec, &["parameters"]).iter().enumerate() {
        let path = root.child("parameters").index(index);
        errors.extend(parameter.get("type").and_then(|value| check_value(value, &path.child("type"), TYPES)));
        let has_items = parameter.get("type").is_some_and(|value| value == "list" || value == "map");
        for field in ["default", "minimum", "maximum"].into_iter().filter(|field| !(has_items && *field == "default")) {
            errors.extend(parameter.get(field).and_then(|value| check_scalar(value, &path.child(field))));
        }
    }
    for field in ["order", "initContainerOrder"] {
        let (value, path) = at(spec, &root, &["placement", field]);
        errors.extend(value.and_then(|value| check_order(value, &path)));
    }
    let (selection, path) = at(spec, &root, &["app", "containers"]);
    errors.extend(selection.and_then(|value| check_selection(value, &path)));
    errors
}

fn at<'v>(spec: &'v Value, root: &FieldPath, fields: &[&str]) -> (Option<&'v Value>, FieldPath) {
    let path = fields.iter().fold(root.clone(), |path, field| path.child(*field));
    let value = fields.iter().try_fold(spec, |value, field| value.get(*field));
    (value.filter(|value| !value.is_null()), path)
}

fn list<'v>(spec: &'v Value, fields: &[&str]) -> &'v [Value] {
    at(spec, &FieldPath::root(), fields).0.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn check_value(found: &Value, path: &FieldPath, values: &[&str]) -> Option<FieldError> {
    let text = found.as_str()?;
    if values.contains(&text) {
        return None;
    }
    let expected: Vec<String> = values.iter().map(|value| quote(value)).collect();
    let sentence = message!["unknown value ", value(quote(text)), "; expected ", words(expected.join(" or "))];
    Some(FieldError::new(path.clone(), sentence))
}

fn check_scalar(value: &Value, path: &FieldPath) -> Option<FieldError> {
    let composite = value.is_array() || value.is_object();
    composite.then(|| FieldError::new(path.clone(), "expected a string, a number or a boolean"))
}

fn check_order(value: &Value, path: &FieldPath) -> Option<FieldError> {
    if serde_json::from_value::<PlacementSpec>(serde_json::json!({"order": value})).is_ok() {
        return None;
    }
    let expected = "; expected \"First\", \"Last\", {before: NAME} or {after: NAME}";
    Some(FieldError::new(path.clone(), message!["unknown place ", shown(value), expected]))
}

fn check_selection(value: &Value, path: &FieldPath) -> Option<FieldError> {
    let names = value.as_array().is_some_and(|names| names.iter().all(Value::is_string));
    if names || matches!(value.as_str(), Some("All" | "First")) {
        return None;
    }
    let expected = "; expected \"All\", \"First\" or a list of container names";
    Some(FieldError::new(path.clone(), message!["unknown selection ", shown(value), expected]))
}

fn shown(found: &Value) -> Message {
    value(found.as_str().map_or_else(|| quote(&found.to_string()), quote))
}
