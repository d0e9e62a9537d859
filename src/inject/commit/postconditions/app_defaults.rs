//! Rules of the fields that templates filled into the app's containers (`app.defaults`).
//!
//! Invariant: only what a template filled in is a problem; the container's own fields are the business
//! of the API server.

use super::containers::fields_of_template;
use super::result::{ResultContainer, ResultPod};
use crate::inject::error::Problem;
use crate::inject::merge::is_empty_value;
use crate::inject::overlay::OverlayPart;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::schema::rules;
use crate::inject::status::StatusEntry;
use crate::inject::text::{FieldPath, PathSegment};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The fields that templates fill in.
const FIELDS: [&str; 7] = [
    "securityContext",
    "resources",
    "lifecycle",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "terminationMessagePolicy",
];

/// By list and name of a container: the paths that each template filled in, below the container.
type Filled<'a> = BTreeMap<(String, String), Vec<(&'a StatusEntry, Vec<String>)>>;

/// Adds the problems of all fields that templates filled into containers of the app.
pub(super) fn check(pod: &ResultPod<'_>, problems: &mut Vec<Problem>) {
    let filled = filled(pod.entries);
    if filled.is_empty() {
        return;
    }
    for container in pod.containers().filter(|container| container.entry.is_none()) {
        let place = (container.list.to_owned(), container.name.to_owned());
        let paths = filled.get(&place).into_iter().flatten();
        let mut by_entry: Vec<(&StatusEntry, Value)> = Vec::new();
        for (entry, path) in paths {
            if by_entry.last().is_none_or(|(last, _)| !std::ptr::eq(*last, *entry)) {
                by_entry.push((entry, Value::Object(Map::new())));
            }
            if let Some((_, part)) = by_entry.last_mut() {
                copy(container.value, part, path);
            }
        }
        for (entry, part) in by_entry {
            let fields = ResultContainer { value: &part, entry: Some(entry), ..container };
            fields_of_template(pod, fields, entry, pod.grace_period(), problems);
            values(container, entry, &part, problems);
        }
    }
}

fn filled(entries: &[StatusEntry]) -> Filled<'_> {
    let mut filled = Filled::new();
    for entry in entries {
        let replaced = entry.replaced.iter().filter(|(_, old)| !is_empty_value(old)).map(|(path, _)| path);
        for path in entry.added.iter().chain(replaced) {
            if let Some((place, below)) = default_path(path) {
                filled.entry(place).or_default().push((entry, below));
            }
        }
    }
    filled
}

/// The container and the path below it, if a default was filled in there.
fn default_path(path: &MergePath) -> Option<((String, String), Vec<String>)> {
    let mut fields = path.to_status_key().split('/');
    if !fields.next().is_some_and(|list| list.ends_with("ontainers"))
        || !fields.nth(1).is_some_and(|field| FIELDS.contains(&field))
    {
        return None;
    }
    let mut segments = path.segments().map(|segment| segment.into_owned());
    Some(((segments.next()?, segments.next()?), segments.collect()))
}

/// Copies the value at this path.
fn copy(from: &Value, to: &mut Value, path: &[String]) {
    let (Some((field, rest)), Value::Object(to)) = (path.split_first(), to) else { return };
    let Some(value) = from.get(field) else { return };
    if rest.is_empty() {
        to.insert(field.clone(), value.clone());
    } else {
        copy(value, to.entry(field.as_str()).or_insert_with(|| Value::Object(Map::new())), rest);
    }
}

/// The rules of values, for the fields that the template filled in beside those of the container.
fn values(container: ResultContainer<'_>, entry: &StatusEntry, part: &Value, problems: &mut Vec<Problem>) {
    let Some(schema) = OverlayPart::Sidecars.schema().and_then(|schema| schema.item()) else { return };
    let context = rules::Context { run_once: container.list == "initContainers", ..rules::Context::default() };
    for error in rules::check(schema, container.value, &FieldPath::root(), context) {
        if is_filled_in(part, &error.path) {
            problems.push(container.problem(entry, error.path.sentence(), error.message));
        }
    }
}

/// Whether the field at this path is one that the template filled in, or in one.
fn is_filled_in(part: &Value, path: &FieldPath) -> bool {
    let below = path.steps().into_iter().try_fold(part, |value, step| match (step, value) {
        (PathSegment::Child(field) | PathSegment::Key(field), Value::Object(fields)) => fields.get(field.as_ref()),
        (PathSegment::Index(index), Value::Array(items)) => items.get(*index),
        _ => None,
    });
    below.is_some()
}
