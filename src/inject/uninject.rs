//! Removes everything from a pod that its status annotation lists.
//!
//! Invariant: `uninject(inject(pod)) == pod`. Only content that the status lists is changed; listed
//! content that is no longer there is ignored.

use super::annotations::AnnotationKeys;
use super::error::{ErrorCode, InjectError, Problem};
use super::merge::defaults;
use super::pod::AUTO;
use super::schema::merge_path::MergePath;
use super::status::{Raised, Status, StatusEntry};
use super::text::quantity::{self, Quantity};
use super::text::{message, quote, value, words};
use super::{merge, schema};
use serde_json::{Map, Value};

/// Removes everything from a pod that its status annotation lists. `Ok(None)` if the pod has no
/// status annotation.
///
/// `uninject(inject(pod)) == pod` for every pod.
pub fn uninject(pod: &Value, domain: &str) -> Result<Option<Value>, InjectError> {
    let keys = AnnotationKeys::new(domain);
    let Some(entries) = listed(pod, &keys)? else { return Ok(None) };
    Ok(Some(without(pod, &entries, &keys)))
}

/// Removes what one template added, and keeps the status of the others. `Ok(None)` if the pod's status
/// does not list the template.
///
/// A template that was injected later may have replaced what this one had added; that stays.
pub fn uninject_template(pod: &Value, domain: &str, template: &str) -> Result<Option<Value>, InjectError> {
    let keys = AnnotationKeys::new(domain);
    let Some(entries) = listed(pod, &keys)? else { return Ok(None) };
    let (removed, kept): (Vec<StatusEntry>, Vec<StatusEntry>) =
        entries.into_iter().partition(|entry| entry.name == template);
    if removed.is_empty() {
        return Ok(None);
    }
    let mut pod = without(pod, &removed, &keys);
    if !kept.is_empty() {
        let status = Value::String(Status::to_annotation(kept.iter()));
        restore(&mut pod, &MergePath::of(["annotations", &keys.status]), &status);
    }
    Ok(Some(pod))
}

/// The entries of the pod's status; `None` if it has none.
fn listed(pod: &Value, keys: &AnnotationKeys) -> Result<Option<Vec<StatusEntry>>, InjectError> {
    let annotation = pod.pointer("/metadata/annotations").and_then(|annotations| annotations.get(&keys.status));
    let Some(annotation) = annotation else { return Ok(None) };
    let status = annotation.as_str().and_then(Status::parse).ok_or_else(|| {
        let shown = annotation.as_str().map_or_else(|| annotation.to_string(), str::to_owned);
        unreadable(keys, &shown)
    })?;
    match status.templates.iter().find_map(foreign_path) {
        Some(path) => Err(unreadable(keys, path.to_status_key())),
        None => Ok(Some(status.templates)),
    }
}

/// The pod without the status, and without what these entries of it list.
fn without(pod: &Value, entries: &[StatusEntry], keys: &AnnotationKeys) -> Value {
    let mut pod = pod.clone();
    remove(&mut pod, &MergePath::of(["annotations", &keys.status]));
    // Commands begin with the words of the first template.
    for entry in entries {
        shorten_commands(&mut pod, entry);
    }
    // The last template is removed first: it may have replaced what an earlier one had added.
    for entry in entries.iter().rev() {
        shorten_values(&mut pod, entry);
        remove_entry(&mut pod, entry, keys);
        for (path, old) in &entry.replaced {
            restore(&mut pod, path, old);
        }
        for (path, raised) in &entry.raised {
            lower(&mut pod, path, raised);
        }
    }
    pod
}

fn unreadable(keys: &AnnotationKeys, shown: &str) -> InjectError {
    let message = message![
        "annotation ",
        words(&keys.status),
        ": ",
        value(quote(shown)),
        " is not a status that outrigger wrote; expected JSON with version 1",
    ];
    let annotation = Some(keys.status.clone());
    InjectError::from(vec![Problem { code: ErrorCode::AnnotationInvalid, template: None, annotation, message }])
}

/// A path that the injector never writes. A status with such a path is forged, and could remove
/// anything.
fn foreign_path(entry: &StatusEntry) -> Option<&MergePath> {
    let added = entry.added.iter().find(|path| !with_segments(path, is_added));
    let replaced = entry.replaced.iter();
    let mut replaced = replaced.filter(|(path, value)| !with_segments(path, |segments| is_replaced(segments, value)));
    let mut raised = entry.raised.iter().filter(|(path, raised)| !with_segments(path, |path| is_raised(path, raised)));
    let extended = entry.appended.iter().chain(&entry.prepended);
    let mut extended = extended.filter(|(path, value)| !with_segments(path, |segments| is_extended(segments, value)));
    let replaced = added.or_else(|| replaced.next().map(|(path, _)| path));
    replaced.or_else(|| raised.next().map(|(path, _)| path)).or_else(|| extended.next().map(|(path, _)| path))
}

fn with_segments(path: &MergePath, check: impl FnOnce(&[&str]) -> bool) -> bool {
    let segments: Vec<_> = path.segments().collect();
    check(&segments.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// Whether the injector adds a value at this path.
fn is_added(segments: &[&str]) -> bool {
    match segments {
        ["labels" | "annotations", _] => true,
        ["containers" | "initContainers", _, field, ..] => *field != "name",
        ["spec", "resources", "requests", _] => true,
        ["spec", field, ..] => is_pod_field(field),
        _ => false,
    }
}

/// Whether the injector raises an amount like this at this path.
fn is_raised(segments: &[&str], Raised { from, to }: &Raised) -> bool {
    let grows = || Some(Quantity::from_json(from).ok()? < Quantity::from_json(to).ok()?);
    matches!(segments, ["spec", "resources", "requests" | "limits", _]) && grows() == Some(true)
}

/// Whether the injector replaces this value at this path: an empty one, `auto`, or one that the API
/// server had filled in.
fn is_replaced(segments: &[&str], value: &Value) -> bool {
    let empty = merge::is_empty_value(value);
    match segments {
        ["metadata" | "labels" | "annotations" | "containers" | "initContainers" | "volumes"] => empty,
        [list, _, "image"] if list.ends_with("ontainers") => value == AUTO,
        ["containers" | "initContainers", _, below @ ..] if defaults::may_be_filled_in(below, value) => true,
        // The Priority plugin computes them, if there is a default class also the class.
        ["spec", "priority" | "preemptionPolicy" | "priorityClassName"] => true,
        ["spec", field] if defaults::is_filled_in(field, value) => is_pod_field(field),
        ["spec", "resources", "requests"] => empty,
        ["containers" | "initContainers", _, ..] | ["spec", ..] if is_nothing(value) => is_added(segments),
        _ => empty && is_added(segments),
    }
}

/// Whether a file has written a value in many words that holds nothing: the API server leaves it out.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
        _ => merge::is_empty_value(value),
    }
}

/// Whether the injector adds this text or these words to what stands at this path.
fn is_extended(segments: &[&str], value: &Value) -> bool {
    match segments {
        ["containers" | "initContainers", _, "env", _, "value"] => value.is_string(),
        ["containers" | "initContainers", _, "command"] => value.is_array(),
        _ => false,
    }
}

/// Whether templates can set the field of a pod's spec.
fn is_pod_field(field: &str) -> bool {
    schema::template().child("spec").and_then(|spec| spec.child("pod")?.child(field)).is_some()
}

/// Takes the template's words off the beginning of commands, if they still stand there.
fn shorten_commands(pod: &mut Value, entry: &StatusEntry) {
    for (path, words) in &entry.prepended {
        let command = path.to_pointer(pod).and_then(|pointer| pointer.find_mut(pod));
        if let (Some(Value::Array(command)), Value::Array(words)) = (command, words)
            && command.starts_with(words)
        {
            command.drain(..words.len());
        }
    }
}

/// Takes the template's text off the values of variables, if it still stands there.
fn shorten_values(pod: &mut Value, entry: &StatusEntry) {
    let mut shorten = |path: &MergePath, shorten: &dyn Fn(&str) -> Option<String>| {
        if let Some(Value::String(value)) = path.to_pointer(pod).and_then(|pointer| pointer.find_mut(pod))
            && let Some(shorter) = shorten(value)
        {
            *value = shorter;
        }
    };
    for (path, text) in entry.appended.iter().filter_map(|(path, text)| Some((path, text.as_str()?))) {
        shorten(path, &|value| value.strip_suffix(text).map(str::to_owned));
    }
    for (path, text) in entry.prepended.iter().filter_map(|(path, text)| Some((path, text.as_str()?))) {
        shorten(path, &|value| value.strip_prefix(text).map(str::to_owned));
    }
}

fn remove_entry(pod: &mut Value, entry: &StatusEntry, keys: &AnnotationKeys) {
    for path in entry.added.iter().rev() {
        remove(pod, path);
    }
    let lists =
        [("containers", &entry.containers), ("initContainers", &entry.init_containers), ("volumes", &entry.volumes)];
    for (list, names) in lists {
        // A filled container belongs to the pod and keeps its position.
        for name in names.iter().filter(|name| !entry.has_filled(list, name)) {
            remove(pod, &MergePath::of([list, name]));
        }
    }
    remove(pod, &MergePath::of(["labels", &keys.revision(&entry.name)]));
}

/// Removes the value at this path, and every parent that this leaves empty.
fn remove(pod: &mut Value, path: &MergePath) {
    let mut next = path.to_pointer(pod);
    while let Some((parent, last)) = next.and_then(|pointer| pointer.split_last()) {
        let is_emptied = match parent.find_mut(pod) {
            Some(Value::Object(fields)) => fields.remove(&last).is_some() && fields.is_empty(),
            Some(Value::Array(items)) => {
                let index = last.parse().ok().filter(|index| *index < items.len());
                index.map(|index: usize| items.remove(index)).is_some() && items.is_empty()
            }
            _ => false,
        };
        next = is_emptied.then_some(parent);
    }
}

/// Lowers an amount again, unless somebody has changed it since.
fn lower(pod: &mut Value, path: &MergePath, Raised { from, to }: &Raised) {
    let amount = path.to_pointer(pod).and_then(|pointer| pointer.find_mut(pod));
    if let Some(amount) = amount.filter(|amount| quantity::same(amount, to)) {
        *amount = from.clone();
    }
}

/// Restores a value and the maps around it. An empty value is not restored over a value that others
/// have set since.
fn restore(pod: &mut Value, path: &MergePath, old: &Value) {
    let Some((parent, last)) = path.to_pointer(pod).and_then(|pointer| pointer.split_last()) else { return };
    let parent = parent.segments().try_fold(pod, |value, segment| match value {
        Value::Object(fields) => Some(fields.entry(segment).or_insert_with(|| Value::Object(Map::new()))),
        Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?),
        _ => None,
    });
    if let Some(Value::Object(fields)) = parent
        && (!merge::is_empty_value(old) || !fields.contains_key(&last))
    {
        fields.insert(last, old.clone());
    }
}
