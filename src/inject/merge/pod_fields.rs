//! The `pod:` fields of a template: lists by their keys, maps recursively, one value for each scalar.

use super::{Edit, Planner};
use crate::inject::schema::merge_keys;
use crate::inject::text::pointer::escape;
use serde_json::{Map, Value};

/// Place of the fields themselves. A place is a JSON Pointer without its first slash.
const SPEC: &str = "spec";

impl<'a> Planner<'a> {
    pub(super) fn pod_fields(&mut self, owner: usize) {
        let wanted = &self.overlay(owner).pod;
        if !wanted.is_empty() {
            let found = self.pod.tree().get("spec");
            self.merge_object(owner, SPEC, wanted, found);
        }
    }

    fn merge_object(&mut self, owner: usize, place: &str, wanted: &'a Map<String, Value>, found: Option<&'a Value>) {
        for (key, value) in wanted {
            let existing = found.and_then(|found| found.get(key));
            let below = format!("{place}/{}", escape(key));
            let mixes = existing.is_none_or(|existing| existing.is_object() || existing.is_null());
            match value {
                Value::Array(items)
                    if merge_keys::of(key).is_some()
                        && existing.is_none_or(|existing| existing.is_array() || existing.is_null()) =>
                {
                    let new = self.merge_list(owner, &below, key, existing, items);
                    self.add_keys(owner, &below, key, &new);
                    self.append(&format!("/{below}"), new);
                }
                Value::Object(fields) if mixes && !merge_keys::is_atomic(key) => {
                    self.touching(owner, &below, existing, |planner| {
                        planner.merge_object(owner, &below, fields, existing);
                    });
                }
                _ => self.merge_leaf(owner, place, key, value, existing),
            }
        }
    }

    fn merge_leaf(&mut self, owner: usize, parent: &str, key: &str, wanted: &Value, existing: Option<&'a Value>) {
        let place = format!("{parent}/{}", escape(key));
        let filled_in = |value| parent == SPEC && is_filled_in(key, value) && !self.was_put_in(&place);
        let unset = existing.is_none_or(|value| value.is_null() || filled_in(value));
        // What is filled in and wanted just so is there, but it is claimed all the same: another template may want otherwise.
        let there = existing.filter(|existing| !unset || *existing == wanted);
        if !self.claim(owner, &place, wanted, there) {
            return;
        }
        self.record_set(owner, place, existing);
        self.plan.edits.push(Edit::Set { object: format!("/{parent}"), key: key.to_owned(), value: wanted.clone() });
        if parent == SPEC && key == "priorityClassName" {
            self.drop_computed_priority(owner);
        }
    }

    /// Whether a template said so in an earlier pass: then it only looks like what the API server fills in.
    fn was_put_in(&self, place: &str) -> bool {
        self.status.iter().any(|entry| entry.replaced.contains_key(place) || entry.added.iter().any(|key| key == place))
    }

    /// The Priority plugin computed these for a pod without a class, and refuses a class that they contradict.
    fn drop_computed_priority(&mut self, owner: usize) {
        if self.pod.spec_field("priority").is_some_and(|priority| *priority != 0) {
            return;
        }
        // Another policy than the usual one is the author's own.
        let computed = |key: &str, value: &Value| key == "priority" || value == "PreemptLowerPriority";
        for key in ["priority", "preemptionPolicy"] {
            if let Some(old) = self.pod.spec_field(key).filter(|old| computed(key, old)) {
                self.plan.records[owner].replaced.insert(format!("spec/{key}"), old.clone());
                self.plan.edits.push(Edit::Remove { object: "/spec".to_owned(), key: key.to_owned() });
            }
        }
    }
}

/// What the API server has filled in before admission: it counts as unset.
pub fn is_filled_in(field: &str, value: &Value) -> bool {
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
