//! Plans the edits that inject rendered templates into a pod, and finds every conflict.
//!
//! Invariant: a plan only adds. It does not replace, reorder or remove the user's own content;
//! values that the API server has filled in count as unset. Only amounts of `spec.resources` grow, and
//! where a template says so, text is added to a value of a variable. A plan with conflicts is not
//! applied.

pub(crate) mod defaults;
pub(crate) mod equal;
pub(super) mod memory_limit;
pub(super) mod qos;

mod app_command;
mod app_defaults;
mod app_env;
mod app_warnings;
mod auto_container;
mod conflicts;
mod containers;
mod harden;
mod placement;
mod pod_fields;
mod pod_resources;
mod ports;
mod token;
mod volumes;

use super::overlay::Overlay;
use super::pod::{ContainerList, OperatingSystem, PodDocument};
use super::schema::merge_keys;
use super::schema::merge_path::MergePath;
use super::settings::NativeSidecars;
use super::status::StatusEntry;
use super::template::Template;
use super::text::json::text;
use super::text::json_writer::FieldTexts;
use super::text::pointer::Pointer;
use super::text::{Message, message};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use app_command::CommandEdits;
use app_env::EnvEdits;
use auto_container::FilledContainer;
pub(crate) use conflicts::{Conflict, Parties, Subject};
use harden::Inherited;
#[cfg(feature = "runtime")]
pub(crate) use harden::hardened;
use placement::Placement;
pub(crate) use token::is_plugins_volume;
pub(crate) use volumes::FileVolume;

/// A template to inject, rendered for this pod.
pub(crate) struct RenderedTemplate<'a> {
    pub(crate) template: &'a Template,
    pub(crate) overlay: Cow<'a, Overlay>,
    /// The parts for each selected container, if they differ; otherwise `overlay` has them.
    pub(crate) apps: Vec<Overlay>,
    /// The app containers that the template changes, by list and position.
    pub(crate) selected: Vec<(ContainerList, usize)>,
    /// Mounts that selected containers do not get, because they have the files of the shared volume
    /// there: positions of the container in `selected` and of the mount in its parts.
    pub(crate) mounted: BTreeSet<(usize, usize)>,
    /// The volumes of the template's files, in the order of the files.
    pub(crate) files: Vec<FileVolume>,
}

impl RenderedTemplate<'_> {
    /// The parts for the selected container of this position.
    pub(crate) fn app_overlay(&self, position: usize) -> &Overlay {
        self.apps.get(position).unwrap_or(&self.overlay)
    }

    /// The items of a list that the selected container of this position gets.
    fn needed<'w>(&self, position: usize, field: &str, wanted: &'w [Value]) -> Cow<'w, [Value]> {
        if self.mounted.is_empty() || field != "volumeMounts" {
            return Cow::Borrowed(wanted);
        }
        let needed = wanted.iter().enumerate().filter(|(index, _)| !self.mounted.contains(&(position, *index)));
        Cow::Owned(needed.map(|(_, mount)| mount.clone()).collect())
    }

    /// Whether nothing is to be added.
    pub(crate) fn is_blank(&self) -> bool {
        self.overlay.is_blank() && self.apps.iter().all(Overlay::is_blank)
    }
}

/// A container that a template adds to a list.
#[derive(Debug)]
pub(crate) struct PlacedContainer {
    /// Position in the list, counting the containers that were placed before; `None` in a list that is
    /// absent or empty.
    pub(crate) index: Option<usize>,
    pub(crate) container: Value,
    /// Fields of the container that are the same for every pod.
    pub(crate) texts: Option<Arc<FieldTexts>>,
}

/// One change of the pod's tree.
#[derive(Debug)]
pub(crate) enum Edit {
    /// Adds items to the end of the list, which may be absent.
    Append { list: Pointer, items: Vec<Value> },
    /// Inserts an item at this position of the list, counting the items that were inserted before.
    Insert { list: Pointer, index: usize, item: Value },
    /// Adds containers to the list, which may be absent.
    Place { list: Pointer, containers: Vec<PlacedContainer> },
    /// Sets a member of the object, which may be absent.
    Set { object: Pointer, key: String, value: Value },
    /// Removes a member that the API server computed and that no longer holds.
    Remove { object: Pointer, key: String },
}

/// The edits that inject all candidates, or the conflicts that prevent them.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) edits: Vec<Edit>,
    /// The status entry of each candidate, in the order of the candidates.
    pub(crate) entries: Vec<StatusEntry>,
    /// Candidates of which another candidate adds a part, or all.
    pub(crate) shared: BTreeSet<usize>,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) warnings: Vec<Message>,
}

impl Plan {
    /// Whether the pod gets something of this candidate that it did not have.
    pub(crate) fn changes_for(&self, candidate: usize) -> bool {
        self.shared.contains(&candidate) || self.entries.get(candidate).is_some_and(|entry| !entry.is_empty())
    }
}

/// The inputs of placement and hardening besides the pod's lists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MergeContext {
    pub(crate) native_sidecars: NativeSidecars,
    pub(crate) os: OperatingSystem,
    pub(crate) controller: Controller,
    /// Whether the pod's namespace enforces Pod Security "restricted".
    pub(crate) is_restricted: bool,
    /// Whether the API server has set the pod's priority class, because a class is the global
    /// default.
    pub(crate) has_default_priority: bool,
}

/// The controller that the pod belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controller {
    /// A Job, whose pods must complete.
    Job,
    Other,
}

/// Plans the merge of all candidates into the pod. `status` lists the templates that an earlier
/// pass injected.
pub(crate) fn plan(
    pod: &PodDocument,
    status: &[StatusEntry],
    candidates: &[RenderedTemplate<'_>],
    context: MergeContext,
) -> Plan {
    let mut planner = Planner::new(pod, status, candidates, context);
    for candidate in 0..candidates.len() {
        planner.volumes(candidate);
        planner.files(candidate);
        planner.app(candidate);
        planner.containers(candidate);
        planner.pod_fields(candidate);
        planner.metadata(candidate);
    }
    planner.finish()
}

/// Whether a value is null, an empty list or an empty map.
pub(crate) fn is_empty_value(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A location in the pod: by merge keys for the status and messages, by position for the patch.
struct Location {
    path: MergePath,
    pointer: Pointer,
}

impl Location {
    /// Fields below the pod's spec.
    fn in_spec(field: &str) -> Self {
        Self { path: MergePath::of([field]), pointer: Pointer::of(["spec", field]) }
    }

    /// The container at this position of the pod's list.
    fn container(list: ContainerList, index: usize, name: &str) -> Self {
        Self {
            path: MergePath::of([list.field(), name]),
            pointer: Pointer::of(["spec", list.field(), &index.to_string()]),
        }
    }

    fn child(&self, field: &str) -> Self {
        Self { path: self.path.child(field), pointer: self.pointer.child(field) }
    }
}

/// The plan under construction. A candidate is named by its position among the candidates.
struct Planner<'a> {
    pod: &'a PodDocument,
    status: &'a [StatusEntry],
    candidates: &'a [RenderedTemplate<'a>],
    context: MergeContext,
    inherited: Inherited<'a>,
    /// Whether a template keeps the pod Guaranteed.
    is_guaranteed: bool,
    plan: Plan,
    placement: Placement<'a>,
    /// Containers of the pod with `image: auto` that a template fills and that run along with the
    /// app.
    filled: Vec<FilledContainer>,
    /// By path: the first candidate that wants content there, and the wanted content.
    wanted: BTreeMap<MergePath, (usize, Value)>,
    /// The pod's lists by path, and their items by merge key.
    indexes: BTreeMap<MergePath, BTreeMap<String, &'a Value>>,
    /// Empty lists and maps of the pod that an entry lists as replaced.
    recorded: BTreeSet<MergePath>,
    /// Positions of the edits that append, by list.
    appends: BTreeMap<Pointer, usize>,
    /// Edits of the environment and of the command of containers of the app, by list and position.
    envs: BTreeMap<(ContainerList, usize), EnvEdits>,
    commands: BTreeMap<(ContainerList, usize), CommandEdits<'a>>,
}

impl<'a> Planner<'a> {
    fn new(
        pod: &'a PodDocument,
        status: &'a [StatusEntry],
        candidates: &'a [RenderedTemplate<'a>],
        context: MergeContext,
    ) -> Self {
        let entry = |candidate: &RenderedTemplate<'_>| StatusEntry {
            name: candidate.template.name.clone(),
            revision: candidate.template.revision.clone(),
            ..StatusEntry::default()
        };
        Self {
            pod,
            status,
            candidates,
            context,
            inherited: Inherited::new(pod, candidates),
            is_guaranteed: qos::must_keep_class(pod, status, candidates),
            plan: Plan { entries: candidates.iter().map(entry).collect(), ..Plan::default() },
            placement: Placement::new(pod),
            filled: Vec::new(),
            wanted: BTreeMap::new(),
            indexes: BTreeMap::new(),
            recorded: BTreeSet::new(),
            appends: BTreeMap::new(),
            envs: BTreeMap::new(),
            commands: BTreeMap::new(),
        }
    }

    fn overlay(&self, candidate: usize) -> &'a Overlay {
        &self.candidates[candidate].overlay
    }

    /// The fields of a template's container that are the same for every pod.
    fn texts(&self, candidate: usize, container: &str) -> Option<Arc<FieldTexts>> {
        let RenderedTemplate { template, overlay: Cow::Borrowed(_), .. } = &self.candidates[candidate] else {
            return None;
        };
        template.container_texts(container).cloned()
    }

    fn entry(&mut self, candidate: usize) -> &mut StatusEntry {
        &mut self.plan.entries[candidate]
    }

    fn app(&mut self, candidate: usize) {
        let candidates = self.candidates;
        for (position, &place) in candidates[candidate].selected.iter().enumerate() {
            let overlay = candidates[candidate].app_overlay(position);
            for (field, wanted) in overlay.app_lists().filter(|(_, wanted)| !wanted.is_empty()) {
                let wanted = candidates[candidate].needed(position, field, wanted);
                match field {
                    "env" => self.app_env(candidate, place, &wanted),
                    _ => self.app_list(candidate, place, field, &wanted),
                }
            }
            self.app_defaults(candidate, place, overlay.app_defaults());
            self.app_command(candidate, place, overlay.app_prepend_command());
        }
    }

    /// Merges a list into a container of the app.
    fn app_list(&mut self, candidate: usize, place: (ContainerList, usize), field: &str, wanted: &[Value]) {
        let container = &self.pod.containers(place.0)[place.1];
        let location = Location::container(place.0, place.1, text(container, "name")).child(field);
        let new = self.merge_list(candidate, &location.path, field, container.get(field), wanted);
        if new.is_empty() {
            return;
        }
        if field == "volumeMounts" {
            self.warn_of_hidden_files(candidate, place, &new);
        }
        self.add_items(candidate, location, field, new);
    }

    fn metadata(&mut self, candidate: usize) {
        for (field, wanted) in self.overlay(candidate).metadata_maps() {
            for (key, value) in wanted {
                self.metadata_entry(candidate, field, key, value);
            }
        }
    }

    /// Adds a label or an annotation. A key that the pod has keeps the pod's value, without conflict.
    fn metadata_entry(&mut self, candidate: usize, field: &str, key: &str, value: &Value) {
        let found = self.pod.metadata_field(field);
        let existing = found.and_then(|map| map.get(key));
        if existing.is_some_and(|value| !value.is_null()) {
            return;
        }
        let map = MergePath::of([field]);
        let path = map.child(key);
        if self.must_add(candidate, &path, value, None) {
            self.record_empty(candidate, &map, found);
            self.record_value(candidate, path, existing);
            self.set(Pointer::of(["metadata", field]), key, value.clone());
        }
    }

    /// The items of `wanted` that the pod does not have yet. Conflicts are recorded.
    fn merge_list(
        &mut self,
        candidate: usize,
        path: &MergePath,
        field: &str,
        found: Option<&'a Value>,
        wanted: &[Value],
    ) -> Vec<Value> {
        let Some(key) = merge_keys::of(field) else { return Vec::new() };
        let mut new = Vec::new();
        for item in wanted {
            let item_key = key.value(item);
            let existing = self.existing_item(path, key, found, &item_key);
            if self.must_add(candidate, &path.child(&item_key), item, existing) {
                new.push(item.clone());
            }
        }
        if !new.is_empty() {
            self.record_empty(candidate, path, found);
        }
        new
    }

    /// Appends items to a list, and records each by its merge key.
    fn add_items(&mut self, candidate: usize, list: Location, field: &str, items: Vec<Value>) {
        if let Some(key) = merge_keys::of(field) {
            let added = items.iter().map(|item| list.path.child(&key.value(item)));
            self.entry(candidate).added.extend(added);
        }
        self.append(list.pointer, items);
    }

    /// Records a list or map of the pod that was empty, so that `uninject` restores it.
    fn record_empty(&mut self, candidate: usize, path: &MergePath, found: Option<&Value>) {
        if let Some(value) = found.filter(|value| is_empty_value(value))
            && self.recorded.insert(path.clone())
        {
            self.entry(candidate).replaced.insert(path.clone(), value.clone());
        }
    }

    /// Makes changes below a map. If there are any and the map was empty, records the map.
    fn change_below(
        &mut self,
        candidate: usize,
        path: &MergePath,
        found: Option<&Value>,
        change: impl FnOnce(&mut Self),
    ) {
        let size = |entry: &mut StatusEntry| entry.added.len() + entry.replaced.len();
        let before = size(self.entry(candidate));
        change(self);
        if size(self.entry(candidate)) > before {
            self.record_empty(candidate, path, found);
        }
    }

    /// Records a value that is set, and the value that it replaces. For a null, `uninject` removes
    /// the set value and then restores the null.
    fn record_value(&mut self, candidate: usize, path: MergePath, old: Option<&Value>) {
        let entry = self.entry(candidate);
        if old.is_none_or(Value::is_null) {
            entry.added.push(path.clone());
        }
        if let Some(old) = old {
            entry.replaced.insert(path, old.clone());
        }
    }

    /// What earlier templates append to a list.
    fn appended(&self, list: &Pointer) -> &[Value] {
        match self.appends.get(list).and_then(|position| self.plan.edits.get(*position)) {
            Some(Edit::Append { items, .. }) => items,
            _ => &[],
        }
    }

    /// Adds a warning about a template.
    fn warn(&mut self, candidate: usize, message: Message) {
        let warning = message!["template ", self.template_name(candidate), ": ", message];
        if !self.plan.warnings.contains(&warning) {
            self.plan.warnings.push(warning);
        }
    }

    fn append(&mut self, list: Pointer, items: Vec<Value>) {
        if items.is_empty() {
            return;
        }
        match self.appends.get(&list).and_then(|position| self.plan.edits.get_mut(*position)) {
            Some(Edit::Append { items: earlier, .. }) => earlier.extend(items),
            _ => {
                self.appends.insert(list.clone(), self.plan.edits.len());
                self.plan.edits.push(Edit::Append { list, items });
            }
        }
    }

    fn set(&mut self, object: Pointer, key: &str, value: Value) {
        self.plan.edits.push(Edit::Set { object, key: key.to_owned(), value });
    }

    fn finish(mut self) -> Plan {
        self.write_env_edits();
        self.check_ports();
        self.warn_of_qos();
        self.grow_pod_resources();
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
