//! The merge: what the overlays would change in a pod, and every conflict, before anything is written.
//!
//! Invariant: a [`Plan`] only adds. Nothing of the user's is replaced, reordered or removed; what the API server has filled in
//! counts as unset. A plan with conflicts is not carried out.

pub mod equal;

pub(super) mod conflicts;
mod containers;
mod harden;
pub(super) mod memory_limit;
mod pod_fields;
mod ports;
mod token;

use super::NativeSidecars;
use super::overlay::Overlay;
use super::pod::{ContainerList, PodDocument};
use super::schema::merge_keys;
use super::status::TemplateStatus;
use super::template::Template;
use super::text::json::text;
use super::text::pointer::escape;
use crate::inject::pod::OperatingSystem;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;

use conflicts::Claims;
pub use conflicts::{Conflict, Parties};

pub use pod_fields::is_filled_in;

/// A template that is to be put in, rendered for this pod.
pub struct Candidate<'a> {
    pub template: &'a Template,
    pub overlay: Cow<'a, Overlay>,
    /// The app containers that it touches, by list and position.
    pub selected: Vec<(ContainerList, usize)>,
}

/// What a template puts into the pod; the status annotation is made of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    pub containers: Vec<String>,
    pub init_containers: Vec<String>,
    pub volumes: Vec<String>,
    /// Everything else, by key.
    pub added: Vec<String>,
    /// Values that were filled in by the API server, or empty, and had to give way, by key.
    pub replaced: Map<String, Value>,
}

impl Record {
    /// Whether the pod has all of the template already.
    pub fn is_nothing(&self) -> bool {
        self.containers.is_empty()
            && self.init_containers.is_empty()
            && self.volumes.is_empty()
            && self.added.is_empty()
            && self.replaced.is_empty()
    }
}

/// One change of the tree.
#[derive(Debug)]
pub(super) enum Edit {
    /// Items at the end of the list at this pointer; the list may be absent.
    Append { list: String, items: Vec<Value> },
    /// An item of the list at this pointer, at this position of the finished list.
    Insert { list: String, index: usize, item: Value },
    /// A member of the object at this pointer; the object may be absent.
    Set { object: String, key: String, value: Value },
    /// A member that the API server computed and that no longer holds.
    Remove { object: String, key: String },
}

/// What is to be done, or why it cannot be.
#[derive(Default)]
pub struct Plan {
    pub(super) edits: Vec<Edit>,
    /// One a candidate, in their order.
    pub records: Vec<Record>,
    pub conflicts: Vec<Conflict>,
    pub warnings: Vec<String>,
}

/// What decides about placement and hardening besides the pod's lists.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    pub native_sidecars: NativeSidecars,
    pub os: OperatingSystem,
    pub owner: Owner,
}

/// What a pod belongs to, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Its pods are to complete.
    Job,
    Other,
}

/// Plans the merge of all candidates into the pod, which may have had templates put in already.
pub fn plan(
    pod: &PodDocument,
    status: &[TemplateStatus],
    candidates: &[Candidate<'_>],
    surroundings: Surroundings,
) -> Plan {
    let mut planner = Planner::new(pod, status, candidates, surroundings);
    for owner in 0..candidates.len() {
        planner.volumes(owner);
        planner.app(owner);
        planner.containers(owner);
        planner.pod_fields(owner);
        planner.metadata(owner);
    }
    planner.finish()
}

/// Whether a value is null, an empty list or an empty map.
pub fn holds_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

struct Planner<'a> {
    pod: &'a PodDocument,
    status: &'a [TemplateStatus],
    candidates: &'a [Candidate<'a>],
    surroundings: Surroundings,
    claims: Claims<'a>,
    plan: Plan,
    /// Positions of the edits that append, by list.
    appends: HashMap<String, usize>,
    placement: containers::Placement<'a>,
}

impl<'a> Planner<'a> {
    fn new(
        pod: &'a PodDocument,
        status: &'a [TemplateStatus],
        candidates: &'a [Candidate<'a>],
        surroundings: Surroundings,
    ) -> Self {
        let plan = Plan { records: vec![Record::default(); candidates.len()], ..Plan::default() };
        Self {
            pod,
            status,
            candidates,
            surroundings,
            claims: Claims::default(),
            plan,
            appends: HashMap::new(),
            placement: containers::Placement::new(pod),
        }
    }

    fn overlay(&self, owner: usize) -> &'a Overlay {
        &self.candidates[owner].overlay
    }

    fn volumes(&mut self, owner: usize) {
        let new =
            self.merge_list(owner, "volumes", "volumes", self.pod.spec_field("volumes"), &self.overlay(owner).volumes);
        let names = new.iter().map(|volume| text(volume, "name").to_owned());
        self.plan.records[owner].volumes.extend(names);
        self.append("/spec/volumes", new);
    }

    fn app(&mut self, owner: usize) {
        let overlay = self.overlay(owner);
        let lists = [("env", &overlay.env), ("envFrom", &overlay.env_from), ("volumeMounts", &overlay.volume_mounts)];
        for &(list, index) in &self.candidates[owner].selected {
            let container = &self.pod.containers(list)[index];
            let name = text(container, "name");
            for (field, wanted) in lists {
                if !wanted.is_empty() {
                    let key = format!("{}/{}/{field}", list.field(), escape(name));
                    let new = self.merge_list(owner, &key, field, container.get(field), wanted);
                    self.add_keys(owner, &key, field, &new);
                    self.append(&format!("/spec/{}/{index}/{field}", list.field()), new);
                }
            }
        }
    }

    fn metadata(&mut self, owner: usize) {
        let overlay = self.overlay(owner);
        for (field, wanted) in [("labels", &overlay.labels), ("annotations", &overlay.annotations)] {
            let found = self.pod.metadata_field(field);
            for (key, value) in wanted {
                // A key that the pod has keeps the pod's value, without conflict.
                if found.and_then(|map| map.get(key)).is_some_and(|value| !value.is_null()) {
                    continue;
                }
                let place = format!("{field}/{}", escape(key));
                if self.claim(owner, &place, value, None) {
                    self.touch(owner, field, found);
                    self.record_set(owner, place, found.and_then(|map| map.get(key)));
                    self.set("/metadata", field, key, value.clone());
                }
            }
        }
    }

    /// The items of `wanted` that the pod does not have yet; conflicts are noted.
    fn merge_list(
        &mut self,
        owner: usize,
        place: &str,
        field: &str,
        found: Option<&'a Value>,
        wanted: &'a [Value],
    ) -> Vec<Value> {
        let Some(key) = merge_keys::of(field) else { return Vec::new() };
        let mut new = Vec::new();
        for item in wanted {
            let item_key = key.value(item);
            let existing = self.claims.find(place, key, found, &item_key);
            if self.claim(owner, &format!("{place}/{}", escape(&item_key)), item, existing) {
                new.push(item.clone());
            }
        }
        if !new.is_empty() {
            self.touch(owner, place, found);
        }
        new
    }

    fn add_keys(&mut self, owner: usize, place: &str, field: &str, items: &[Value]) {
        if let Some(key) = merge_keys::of(field) {
            let added = items.iter().map(|item| format!("{place}/{}", escape(&key.value(item))));
            self.plan.records[owner].added.extend(added);
        }
    }

    /// Remembers a list or map that was there but empty, so that taking things out again leaves it as it was.
    fn touch(&mut self, owner: usize, place: &str, found: Option<&Value>) {
        if let Some(value) = found.filter(|value| holds_nothing(value))
            && self.claims.touch(place)
        {
            self.plan.records[owner].replaced.insert(place.to_owned(), value.clone());
        }
    }

    /// Does something below a map, and remembers the map if it was there but empty, and if anything was done.
    fn touching(&mut self, owner: usize, place: &str, found: Option<&Value>, change: impl FnOnce(&mut Self)) {
        let size =
            |planner: &Self| planner.plan.records[owner].added.len() + planner.plan.records[owner].replaced.len();
        let before = size(self);
        change(self);
        if size(self) > before {
            self.touch(owner, place, found);
        }
    }

    /// Remembers a value that is set, and what gives way to it. Null is taken out like what was not there, and put back after.
    fn record_set(&mut self, owner: usize, place: String, old: Option<&Value>) {
        let record = &mut self.plan.records[owner];
        if old.is_none_or(Value::is_null) {
            record.added.push(place.clone());
        }
        if let Some(old) = old {
            record.replaced.insert(place, old.clone());
        }
    }

    fn append(&mut self, list: &str, items: Vec<Value>) {
        if items.is_empty() {
            return;
        }
        match self.appends.get(list).and_then(|position| self.plan.edits.get_mut(*position)) {
            Some(Edit::Append { items: earlier, .. }) => earlier.extend(items),
            _ => {
                self.appends.insert(list.to_owned(), self.plan.edits.len());
                self.plan.edits.push(Edit::Append { list: list.to_owned(), items });
            }
        }
    }

    fn set(&mut self, parent: &str, field: &str, key: &str, value: Value) {
        self.plan.edits.push(Edit::Set { object: format!("{parent}/{field}"), key: key.to_owned(), value });
    }

    fn finish(mut self) -> Plan {
        self.check_ports();
        if let Some(mount) = token::mount(self.pod, self.candidates) {
            self.placement.new_containers_mut().for_each(|container| token::add(container, &mount));
        }
        let inserts = self.placement.arrange();
        self.plan.edits.extend(inserts);
        self.plan
    }
}

#[cfg(test)]
mod tests;
