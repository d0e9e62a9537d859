//! Merges the `pod:` fields of a template into the pod's spec.
//!
//! Lists are merged by key, maps recursively; different scalars conflict.

use super::defaults::is_filled_in;
use super::{Edit, Location, Planner, token};
use crate::inject::schema::merge_keys;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::text::pointer::Pointer;
use serde_json::{Map, Value};

/// The field of the pod to which the fields of `pod:` belong.
const SPEC: &str = "spec";
const PRIORITY_CLASS: &str = "priorityClassName";
const AUTOMOUNT: &str = "automountServiceAccountToken";

impl<'a> Planner<'a> {
    pub(super) fn pod_fields(&mut self, candidate: usize) {
        let wanted = self.overlay(candidate).pod_fields();
        if !wanted.is_empty() {
            let spec = Location { path: MergePath::of([SPEC]), pointer: Pointer::of([SPEC]) };
            self.merge_object(candidate, &spec, wanted, self.pod.tree().get(SPEC));
        }
        if wanted.get(AUTOMOUNT) == Some(&Value::Bool(false))
            && self.pod.spec_field(AUTOMOUNT) != Some(&Value::Bool(false))
            && token::is_mounted(self.pod)
        {
            let why = "automountServiceAccountToken: false comes too late for the app's containers: the API server has \
                mounted the token before it called the webhook; set the field in the pod or in its service account";
            self.warn(candidate, why.into());
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
        let is_class = is_of_spec && key == PRIORITY_CLASS;
        let is_default_class = is_class && self.context.has_default_priority;
        let filled_in = |value| is_of_spec && (is_filled_in(key, value) || is_default_class) && !self.was_put_in(&path);
        let unset = existing.is_none_or(|value| value.is_null() || filled_in(value));
        // A value that the API server filled in is compared even if it equals the wanted one,
        // because another template may want another value.
        let there = existing.filter(|existing| !unset || *existing == wanted);
        if !self.must_add(candidate, &path, wanted, there) {
            return;
        }
        self.record_value(candidate, path, existing);
        self.set(object.pointer.clone(), key, wanted.clone());
        if is_class {
            self.drop_computed_priority(candidate);
        }
    }

    /// Whether a template set this value in an earlier pass. Then the API server did not fill it
    /// in, even if it looks so.
    fn was_put_in(&self, path: &MergePath) -> bool {
        self.status.iter().any(|entry| entry.replaced.contains_key(path) || entry.added.contains(path))
    }

    /// Removes the fields that the Priority plugin computed for a pod without a class, or from the
    /// class that is the global default. The plugin
    /// would refuse a class that contradicts them.
    fn drop_computed_priority(&mut self, candidate: usize) {
        let is_default_class = self.context.has_default_priority;
        if !is_default_class && self.pod.spec_field("priority").is_some_and(|priority| *priority != 0) {
            return;
        }
        // Only the author or a class sets a policy other than the default.
        let computed =
            |key: &str, value: &Value| is_default_class || key == "priority" || value == "PreemptLowerPriority";
        for key in ["priority", "preemptionPolicy"] {
            if let Some(old) = self.pod.spec_field(key).filter(|old| computed(key, old)) {
                self.entry(candidate).replaced.insert(MergePath::of([SPEC, key]), old.clone());
                self.plan.edits.push(Edit::Remove { object: Pointer::of([SPEC]), key: key.to_owned() });
            }
        }
    }
}
