//! Merges the `pod:` fields of a template into the pod's spec.
//!
//! Lists are merged by key, maps recursively; different scalars conflict.

use super::{Edit, Location, Planner};
use crate::inject::schema::merge_keys;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::text::pointer::Pointer;
use serde_json::{Map, Value};

/// The field of the pod to which the fields of `pod:` belong.
const SPEC: &str = "spec";

impl<'a> Planner<'a> {
    pub(super) fn pod_fields(&mut self, candidate: usize) {
        let wanted = self.overlay(candidate).pod_fields();
        if !wanted.is_empty() {
            let spec = Location { path: MergePath::of([SPEC]), pointer: Pointer::of([SPEC]) };
            self.merge_object(candidate, &spec, wanted, self.pod.tree().get(SPEC));
        }
    }

    fn merge_object(
        &mut self,
        candidate: usize,
        object: &Location,
        wanted: &Map<String, Value>,
        found: Option<&'a Value>,
    ) {
        for (key, value) in wanted {
            let existing = found.and_then(|found| found.get(key));
            let mixes = existing.is_none_or(|existing| existing.is_object() || existing.is_null());
            match value {
                Value::Array(items)
                    if merge_keys::of(key).is_some()
                        && existing.is_none_or(|existing| existing.is_array() || existing.is_null()) =>
                {
                    let list = object.child(key);
                    let new = self.merge_list(candidate, &list.path, key, existing, items);
                    self.add_items(candidate, list, key, new);
                }
                Value::Object(fields) if mixes && !merge_keys::is_atomic(key) => {
                    let below = object.child(key);
                    self.change_below(candidate, &below.path, existing, |planner| {
                        planner.merge_object(candidate, &below, fields, existing);
                    });
                }
                _ => self.merge_leaf(candidate, object, key, value, existing),
            }
        }
    }

    fn merge_leaf(
        &mut self,
        candidate: usize,
        object: &Location,
        key: &str,
        wanted: &Value,
        existing: Option<&'a Value>,
    ) {
        let path = object.path.child(key);
        let is_of_spec = object.path.to_status_key() == SPEC;
        let filled_in = |value| is_of_spec && is_filled_in(key, value) && !self.was_put_in(&path);
        let unset = existing.is_none_or(|value| value.is_null() || filled_in(value));
        // A value that the API server filled in is compared even if it equals the wanted one,
        // because another template may want another value.
        let there = existing.filter(|existing| !unset || *existing == wanted);
        if !self.must_add(candidate, &path, wanted, there) {
            return;
        }
        self.record_value(candidate, path, existing);
        self.set(object.pointer.clone(), key, wanted.clone());
        if is_of_spec && key == "priorityClassName" {
            self.drop_computed_priority(candidate);
        }
    }

    /// Whether a template set this value in an earlier pass. Then the API server did not fill it
    /// in, even if it looks so.
    fn was_put_in(&self, path: &MergePath) -> bool {
        self.status.iter().any(|entry| entry.replaced.contains_key(path) || entry.added.contains(path))
    }

    /// Removes the fields that the Priority plugin computed for a pod without a class. The plugin
    /// would refuse a class that contradicts them.
    fn drop_computed_priority(&mut self, candidate: usize) {
        if self.pod.spec_field("priority").is_some_and(|priority| *priority != 0) {
            return;
        }
        // Only the author sets a policy other than the default.
        let computed = |key: &str, value: &Value| key == "priority" || value == "PreemptLowerPriority";
        for key in ["priority", "preemptionPolicy"] {
            if let Some(old) = self.pod.spec_field(key).filter(|old| computed(key, old)) {
                self.entry(candidate).replaced.insert(MergePath::of([SPEC, key]), old.clone());
                self.plan.edits.push(Edit::Remove { object: Pointer::of([SPEC]), key: key.to_owned() });
            }
        }
    }
}

/// Whether the API server fills in this value before admission. Such a value counts as unset.
pub(crate) fn is_filled_in(field: &str, value: &Value) -> bool {
    match field {
        "terminationGracePeriodSeconds" => *value == 30,
        "dnsPolicy" => value == "ClusterFirst",
        "schedulerName" => value == "default-scheduler",
        "serviceAccountName" => value == "default" || value == "",
        "enableServiceLinks" => *value == true,
        "priorityClassName" | "runtimeClassName" => value == "",
        _ => false,
    }
}
