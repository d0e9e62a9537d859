//! Fills a container of the pod that has `image: auto` with the fields that it leaves out.
//!
//! The pod's own fields and its position take precedence; lists are merged by key. A value that the
//! API server or LimitRanger has filled in is not the pod's own.

use super::defaults::{LIMIT_RANGER, is_default, pull_policy, set_by_limit_ranger};
use super::ports::runs_alongside;
use super::{Location, Planner};
use crate::inject::pod::{AUTO, ContainerList};
use crate::inject::schema::merge_keys;
use crate::inject::text::json::{items, text};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A container of the pod that a template fills.
pub(super) struct FilledContainer {
    pub(super) candidate: usize,
    pub(super) list: ContainerList,
    pub(super) index: usize,
    pub(super) runs_alongside: bool,
    /// The ports that the template adds.
    pub(super) ports: Vec<Value>,
    pub(super) resources: Value,
}

impl<'a> Planner<'a> {
    /// Fills the container. It keeps its position and its own fields; all other fields come from
    /// the template.
    pub(super) fn fill(
        &mut self,
        candidate: usize,
        wanted: &Value,
        existing: &'a Value,
        list: ContainerList,
        index: usize,
    ) {
        let Some(found) = existing.as_object() else { return };
        let location = Location::container(list, index, text(existing, "name"));
        // Hardening depends on the whole container, so it comes after the overlay.
        let whole = self.hardened(candidate, self.overlaid(candidate, wanted, existing, list));
        self.warn_of_root(candidate, &whole);
        let runs_alongside = runs_alongside(&whole, list);
        let ports = match runs_alongside {
            true => missing("ports", items(&whole, "ports"), found.get("ports")),
            false => Vec::new(),
        };
        let resources = whole.get("resources").cloned().unwrap_or_default();
        self.filled.push(FilledContainer { candidate, list, index, runs_alongside, ports, resources });
        let Value::Object(mut rest) = whole else { return };
        if list == ContainerList::Containers {
            // The container keeps its position, and among `containers` there is no native sidecar.
            rest.remove("restartPolicy");
        }
        rest.remove("image");
        self.entry(candidate).replaced.insert(location.path.child("image"), Value::from(AUTO));
        self.set(location.pointer.clone(), "image", wanted["image"].clone());
        self.fill_object(candidate, &location, &rest, found);
    }

    /// The template's container with the pod's own fields.
    fn overlaid(&self, candidate: usize, wanted: &Value, existing: &Value, list: ContainerList) -> Value {
        let kind = if list == ContainerList::Containers { "container" } else { "init container" };
        let annotation = self.pod.annotation(LIMIT_RANGER).unwrap_or_default();
        let set: Vec<_> = set_by_limit_ranger(annotation, kind, text(existing, "name")).collect();
        let mut own = existing.clone();
        for (field, resource) in &set {
            if let Some(resources) = own.pointer_mut("/resources").and_then(|all| all.get_mut(field)?.as_object_mut()) {
                resources.remove(*resource);
            }
        }
        let mut whole = wanted.clone();
        // The policy was filled in for the image "auto".
        let policy = pull_policy(text(wanted, "image"));
        if let (Some(whole), Some(own)) = (whole.as_object_mut(), own.as_object())
            && own.get("imagePullPolicy").is_some_and(|value| is_default("", "imagePullPolicy", value, own))
        {
            whole.entry("imagePullPolicy").or_insert_with(|| policy.into());
        }
        overlay_fields("", &mut whole, &own);
        restore_resources(&mut whole, existing, &set);
        self.with_class(candidate, whole, Some(&own))
    }

    fn fill_object(
        &mut self,
        candidate: usize,
        object: &Location,
        wanted: &Map<String, Value>,
        found: &'a Map<String, Value>,
    ) {
        for (key, value) in wanted {
            let existing = found.get(key);
            match (existing, value) {
                (Some(own), value) if own == value => {}
                (None | Some(Value::Null | Value::Array(_)), Value::Array(items)) if merge_keys::of(key).is_some() => {
                    let new = missing(key, items, existing);
                    if !new.is_empty() {
                        let list = object.child(key);
                        self.record_empty(candidate, &list.path, existing);
                        self.add_items(candidate, list, key, new);
                    }
                }
                (None | Some(Value::Null), _) => {
                    self.record_value(candidate, object.path.child(key), existing);
                    self.set(object.pointer.clone(), key, value.clone());
                }
                (Some(Value::Object(inner)), Value::Object(value)) if !merge_keys::is_atomic(key) => {
                    let below = object.child(key);
                    self.change_below(candidate, &below.path, existing, |planner| {
                        planner.fill_object(candidate, &below, value, inner);
                    });
                }
                // Only a value that was filled in differs from the whole container.
                (Some(own), _) if !own.is_array() && !own.is_object() => {
                    self.record_value(candidate, object.path.child(key), existing);
                    self.set(object.pointer.clone(), key, value.clone());
                }
                _ => {}
            }
        }
    }
}

/// The wanted items that a list does not have.
fn missing(list: &str, wanted: &[Value], found: Option<&Value>) -> Vec<Value> {
    let Some(key) = merge_keys::of(list) else { return Vec::new() };
    let own: BTreeSet<Cow<'_, str>> =
        found.and_then(Value::as_array).into_iter().flatten().map(|item| key.value(item)).collect();
    wanted.iter().filter(|item| !own.contains(&key.value(item))).cloned().collect()
}

/// Restores what LimitRanger has set and the container does not have: LimitRanger would set it again.
/// For a request, the API server prefers the container's limit.
fn restore_resources(whole: &mut Value, existing: &Value, set: &[(&str, &str)]) {
    for (field, resource) in set.iter().filter(|(field, _)| *field == "requests").chain(set) {
        let limit = whole.pointer("/resources/limits").and_then(|limits| limits.get(resource));
        let limit = limit.filter(|_| *field == "requests");
        let old = limit.or_else(|| existing.get("resources")?.get(field)?.get(resource)).cloned();
        if let (Some(old), Some(all)) = (old, whole.pointer_mut(&format!("/resources/{field}")))
            && let Some(all) = all.as_object_mut()
        {
            all.entry(*resource).or_insert(old);
        }
    }
}

/// Overrides the template's container with the pod's fields. Lists keep the template's items.
fn overlay_fields(parent: &str, wanted: &mut Value, found: &Value) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            if merge_keys::HANDLERS.iter().any(|handler| found.contains_key(*handler)) {
                wanted.retain(|key, _| !merge_keys::HANDLERS.contains(&key.as_str()));
            }
            for (key, value) in found.iter().filter(|(_, value)| !value.is_null()) {
                match wanted.get_mut(key) {
                    Some(_) if is_default(parent, key, value, found) => {}
                    Some(own) if !merge_keys::is_atomic(key) => overlay_fields(key, own, value),
                    _ => drop(wanted.insert(key.clone(), value.clone())),
                }
            }
        }
        (Value::Array(_), Value::Array(_)) => {}
        (wanted, found) => *wanted = found.clone(),
    }
}
