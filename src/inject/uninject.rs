//! Takes out of a pod what its status annotation says was put in.
//!
//! Invariant: `uninject(inject(pod)) == pod`. Only what the status lists is touched; what is gone already is passed over.

use super::annotations::Keys;
use super::error::{ErrorCode, InjectError, Problem};
use super::merge;
use super::pod::AUTO;
use super::schema;
use super::schema::merge_keys;
use super::status::{Status, TemplateStatus};
use super::text::field::quote;
use super::text::pointer::unescape;
use serde_json::{Map, Value};

/// Takes out of a pod what its status annotation says was put in. `Ok(None)`: the pod carries nothing of ours.
///
/// `uninject(inject(pod)) == pod` for every pod.
pub fn uninject(pod: &Value, domain: &str) -> Result<Option<Value>, InjectError> {
    let keys = Keys::new(domain);
    let annotation = pod.pointer("/metadata/annotations").and_then(|annotations| annotations.get(&keys.status));
    let Some(annotation) = annotation else { return Ok(None) };
    let status = annotation.as_str().and_then(Status::parse).ok_or_else(|| unreadable(&keys, annotation))?;
    if let Some(key) = status.templates.iter().find_map(foreign_key) {
        return Err(unreadable(&keys, &Value::from(key)));
    }
    let mut pod = pod.clone();
    remove(&mut pod, &["annotations", &keys.status]);
    // The last goes first: what it replaced may be what an earlier one had put in.
    for template in status.templates.iter().rev() {
        take_out(&mut pod, template, &keys);
        restore(&mut pod, template);
    }
    Ok(Some(pod))
}

fn unreadable(keys: &Keys, value: &Value) -> InjectError {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let message = format!(
        "annotation {}: {} is no status that outrigger wrote; expected JSON of version 1",
        keys.status,
        quote(&shown)
    );
    let annotation = Some(keys.status.clone());
    InjectError::from(vec![Problem {
        code: ErrorCode::AnnotationInvalid,
        template: None,
        annotation,
        message: message.into(),
    }])
}

/// A key that the injector never writes: such a status is not ours, and could take out anything.
fn foreign_key(template: &TemplateStatus) -> Option<&str> {
    let added = template.added.iter().find(|key| !is_added(&segments(key)));
    let replaced = template.replaced.iter().find(|(key, value)| !is_replaced(&segments(key), value));
    added.or(replaced.map(|(key, _)| key)).map(String::as_str)
}

/// Whether the injector adds what stands there.
fn is_added(segments: &[String]) -> bool {
    match segments {
        [map, _] if map == "labels" || map == "annotations" => true,
        [list, _, field, ..] if list == "containers" || list == "initContainers" => field != "name",
        [spec, field, ..] if spec == "spec" => is_pod_field(field),
        _ => false,
    }
}

/// Whether the injector replaces such a value there: an empty one, `auto`, or what the API server had filled in.
fn is_replaced(segments: &[String], value: &Value) -> bool {
    let empty = merge::holds_nothing(value);
    match segments {
        [all] => {
            empty
                && matches!(
                    all.as_str(),
                    "metadata" | "labels" | "annotations" | "containers" | "initContainers" | "volumes"
                )
        }
        [list, _, image] if image == "image" && list.ends_with("ontainers") => value == AUTO,
        [spec, field] if spec == "spec" && matches!(field.as_str(), "priority" | "preemptionPolicy") => true,
        [spec, field] if spec == "spec" && merge::is_filled_in(field, value) => is_pod_field(field),
        _ => empty && is_added(segments),
    }
}

/// Whether templates can set the field of a pod's spec.
fn is_pod_field(field: &str) -> bool {
    schema::template().child("spec").and_then(|spec| spec.child("pod")?.child(field)).is_some()
}

fn segments(key: &str) -> Vec<String> {
    key.split('/').map(unescape).collect()
}

fn take_out(pod: &mut Value, template: &TemplateStatus, keys: &Keys) {
    let lists = [
        ("containers", &template.containers),
        ("initContainers", &template.init_containers),
        ("volumes", &template.volumes),
    ];
    for key in template.added.iter().rev() {
        let segments = segments(key);
        remove(pod, &segments.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for (list, names) in lists {
        for name in names {
            // A container of the pod that was only filled keeps its place.
            if !template.has_filled(list, name) {
                remove(pod, &[list, name]);
            }
        }
    }
    remove(pod, &["labels", &keys.revision(&template.name)]);
}

fn restore(pod: &mut Value, template: &TemplateStatus) {
    for (key, value) in &template.replaced {
        let segments = segments(key);
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        put(pod, &segments, value);
    }
}

/// Where the first segment of a key lives in a pod.
fn base<'s>(segments: &[&'s str]) -> Vec<&'s str> {
    match segments.first() {
        Some(&("labels" | "annotations")) => [&["metadata"], segments].concat(),
        Some(&("spec" | "metadata")) => segments.to_vec(),
        _ => [&["spec"], segments].concat(),
    }
}

/// Removes what the segments name, and every parent that this leaves empty.
fn remove(pod: &mut Value, segments: &[&str]) {
    remove_below(pod, &base(segments), "");
}

/// Whether the value at the first segment was removed or became empty.
fn remove_below(value: &mut Value, segments: &[&str], list: &str) -> bool {
    let Some((first, rest)) = segments.split_first() else { return true };
    match value {
        Value::Object(fields) => {
            let Some(child) = fields.get_mut(*first) else { return false };
            // `spec` and the containers themselves are never empty of the user's own.
            if remove_below(child, rest, first) {
                fields.remove(*first);
                return fields.is_empty();
            }
            false
        }
        Value::Array(items) => {
            let Some(position) = position(items, list, first) else { return false };
            if remove_below(&mut items[position], rest, "") {
                items.remove(position);
                return items.is_empty();
            }
            false
        }
        _ => false,
    }
}

fn position(items: &[Value], list: &str, key: &str) -> Option<usize> {
    let merge_key = merge_keys::of(list)?;
    items.iter().position(|item| merge_key.value(item) == key)
}

/// Puts a value back where the segments say, unless others have put something where nothing was: that stays.
fn put(pod: &mut Value, segments: &[&str], old: &Value) {
    let segments = base(segments);
    let Some((last, way)) = segments.split_last() else { return };
    let mut at = pod;
    let mut list = "";
    for segment in way {
        let Some(below) = below(at, list, segment) else { return };
        (at, list) = (below, segment);
    }
    if let Value::Object(fields) = at
        && (!is_nothing(old) || !fields.contains_key(*last))
    {
        fields.insert((*last).to_owned(), old.clone());
    }
}

/// The value one segment further; a map is made again, an item of a list is not.
fn below<'v>(at: &'v mut Value, list: &str, segment: &str) -> Option<&'v mut Value> {
    match at {
        Value::Object(fields) => {
            let may_be = merge_keys::of(segment).is_none() || fields.contains_key(segment);
            may_be.then(|| fields.entry(segment).or_insert_with(|| Value::Object(Map::new())))
        }
        Value::Array(items) => position(items, list, segment).map(|position| &mut items[position]),
        _ => None,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
