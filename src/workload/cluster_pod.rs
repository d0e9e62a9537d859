//! The pod that the cluster creates of a template, and what the cluster alone added to it.
//!
//! A controller adds names, labels, itself as the owner and the claims of a StatefulSet; the API server
//! adds its defaults. Templates can read all that, so it has to be there when the engine runs, but it
//! must not be in the output.
//! Invariant: `take_out` of an unchanged pod gives the template as it was.

use serde_json::{Map, Value, json};

use super::controller::{self, Change, PodView};
use super::find::PodLocation;
use super::pod_defaults;
use super::restore::restore as restore_originals;
use crate::inject::annotations::AnnotationKeys;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::status::{Status, StatusEntry};

/// Stands for the UID of an object that does not exist yet.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

/// A pod as the webhook would see it.
pub(super) struct ClusterPod {
    /// The pod, with everything that was filled in.
    pub pod: Value,
    /// The template of which it was made.
    template: Value,
    /// The pod before the API server's normalisation and defaults of containers and volumes.
    as_written: Value,
    fields: Vec<FilledField>,
    /// Items that the controller adds to lists.
    items: Vec<AddedItem>,
    /// Variables that the controller adds to all containers.
    env: Vec<Value>,
    /// Volumes of the claims, by name; they take the place of the template's own.
    claims: Vec<Value>,
}

/// A member of an object of the pod that is not as the template has it.
struct FilledField {
    object: &'static [&'static str],
    key: String,
    /// `None` if the pod does not have it.
    value: Option<Value>,
}

/// An item of a list of the pod that the template does not have.
struct AddedItem {
    object: &'static [&'static str],
    list: &'static str,
    item: Value,
}

/// The first pod that the cluster creates of the template at this place of the document.
#[cfg(feature = "runtime")]
pub(crate) fn created(document: &Value, location: &PodLocation, namespace: &str) -> Option<Value> {
    let (object, template) = (location.object(document)?, location.template(document)?);
    Some(ClusterPod::new(location, object, template, namespace, PodView::Pod(0)).pod)
}

/// Defaults of the API server for a pod's spec, as far as templates may replace or read them.
fn spec_defaults() -> [(&'static str, Value); 7] {
    [
        ("restartPolicy", "Always".into()),
        ("terminationGracePeriodSeconds", 30.into()),
        ("dnsPolicy", "ClusterFirst".into()),
        ("schedulerName", "default-scheduler".into()),
        ("serviceAccountName", "default".into()),
        ("enableServiceLinks", true.into()),
        ("securityContext", json!({})),
    ]
}

impl ClusterPod {
    /// The pod of this template in this namespace. `object` is the object around the template.
    pub(super) fn new(
        location: &PodLocation,
        object: &Value,
        template: &Value,
        namespace: &str,
        view: PodView,
    ) -> Self {
        let (pod, template) = (template.clone(), template.clone());
        let (fields, items, env, claims) = (Vec::new(), Vec::new(), Vec::new(), claims(object, view));
        let mut filled = Self { pod, template, as_written: Value::Null, fields, items, env, claims };
        filled.fill(&[], "apiVersion", "v1".into());
        filled.fill(&[], "kind", "Pod".into());
        filled.fill(&[], "metadata", json!({}));
        filled.fill(&["metadata"], "namespace", namespace.into());
        let of_controller = match view {
            PodView::Shared => None,
            PodView::Pod(index) => controller::changes(location, object, &filled.template, index),
        };
        match of_controller {
            Some(changes) => {
                filled.set(&["metadata"], "namespace", Some(namespace.into()));
                changes.into_iter().for_each(|change| filled.change(change));
            }
            None if !location.path.is_empty() => filled.add_owner(location),
            None => {}
        }
        for (field, value) in spec_defaults() {
            filled.fill_empty(&["spec"], field, value);
        }
        filled.add_claims();
        filled.as_written = filled.pod.clone();
        pod_defaults::fill(&mut filled.pod);
        filled
    }

    /// Sets a field that the template leaves out, or sets to null or an empty text, which the API server takes
    /// for absent.
    fn fill_empty(&mut self, object: &'static [&'static str], key: &str, value: Value) {
        let is_empty = |fields: &Map<String, Value>| fields.get(key).is_some_and(|text| text == "");
        match object_at(&self.pod, object).is_some_and(is_empty) {
            true => self.set(object, key, Some(value)),
            false => self.fill(object, key, value),
        }
    }

    /// Sets a field that the template leaves out or sets to null.
    fn fill(&mut self, object: &'static [&'static str], key: &str, value: Value) {
        let Some(fields) = fields(&mut self.pod, object) else { return };
        if fields.get(key).is_none_or(Value::is_null) {
            fields.insert(key.to_owned(), value.clone());
            self.fields.push(FilledField { object, key: key.to_owned(), value: Some(value) });
        }
    }

    /// Sets or removes a field, whatever the template has.
    fn set(&mut self, object: &'static [&'static str], key: &str, value: Option<Value>) {
        let Some(fields) = fields(&mut self.pod, object) else { return };
        if fields.get(key) != value.as_ref() {
            restore(fields, key, value.clone());
            self.fields.push(FilledField { object, key: key.to_owned(), value });
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Set(object, key, value) => self.set(object, &key, value),
            Change::Fill(object, key, value) => self.fill(object, &key, value),
            Change::Append(object, list, item) => {
                self.fill(object, list, json!([]));
                let items = fields(&mut self.pod, object).and_then(|fields| fields.get_mut(list)?.as_array_mut());
                if let Some(items) = items.filter(|items| !items.contains(&item)) {
                    items.push(item.clone());
                    self.items.push(AddedItem { object, list, item });
                }
            }
            Change::Env(variable) => {
                for container in containers(&mut self.pod) {
                    let Some(fields) = container.as_object_mut() else { continue };
                    let env = fields.entry("env").or_insert_with(|| json!([]));
                    if let Some(env) = env.as_array_mut().filter(|env| position(env, &variable).is_none()) {
                        env.push(variable.clone());
                    }
                }
                self.env.push(variable);
            }
        }
    }

    /// The name that the controller gives to its pods, and the controller as their owner, as far as all
    /// pods of the template share them.
    fn add_owner(&mut self, location: &PodLocation) {
        let name = match location.object.name.trim_end_matches('*') {
            "" => "unnamed",
            name => name,
        };
        let has_name = self.pod.pointer("/metadata/name").is_some_and(|name| !name.is_null());
        if !has_name {
            self.fill(&["metadata"], "generateName", format!("{name}-").into());
        }
        let Some((api_version, kind)) = &location.controller else { return };
        let owner = json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": NO_UID,
            "controller": true, "blockOwnerDeletion": true}]);
        self.fill(&["metadata"], "ownerReferences", owner);
        if location.object.kind == "Job" {
            self.fill(&["metadata"], "labels", json!({}));
            for label in ["batch.kubernetes.io/job-name", "job-name"] {
                self.fill(&["metadata", "labels"], label, name.into());
            }
        }
    }

    /// The claims stand first, and take the place of volumes of their names, as their controller
    /// does it.
    fn add_claims(&mut self) {
        if self.claims.is_empty() {
            return;
        }
        let Some(spec) = fields(&mut self.pod, &["spec"]) else { return };
        let own = match spec.get("volumes") {
            Some(Value::Array(own)) => own.clone(),
            None | Some(Value::Null) => Vec::new(),
            Some(_) => return,
        };
        let (replaced, new): (Vec<Value>, Vec<Value>) =
            self.claims.iter().cloned().partition(|claim| position(&own, claim).is_some());
        let own = own.into_iter().map(|volume| {
            let claim = position(&replaced, &volume).and_then(|index| replaced.get(index));
            claim.cloned().unwrap_or(volume)
        });
        spec.insert("volumes".to_owned(), new.into_iter().chain(own).collect());
    }

    /// The changed pod as a template again: without what was filled in, unless a template of ours has
    /// set it. The status is told what the template really had.
    pub(super) fn take_out(&self, mut pod: Value, keys: &AnnotationKeys) -> Value {
        self.correct_status(&mut pod, keys);
        let mut pod = restore_originals("", Some(&self.as_written), &self.pod, pod).unwrap_or_default();
        self.take_out_claims(&mut pod);
        self.take_out_env(&mut pod);
        for AddedItem { object, list, item } in &self.items {
            let items = fields(&mut pod, object).and_then(|fields| fields.get_mut(*list)?.as_array_mut());
            items.into_iter().for_each(|items| items.retain(|one| one != item));
        }
        for filled in self.fields.iter().rev() {
            let original = object_at(&self.template, filled.object).and_then(|object| object.get(&filled.key)).cloned();
            let Some(fields) = fields(&mut pod, filled.object) else { continue };
            if fields.get(&filled.key) == filled.value.as_ref() {
                restore(fields, &filled.key, original);
            }
        }
        pod
    }

    /// Variables of the template's own containers that only the controller sets.
    fn take_out_env(&self, pod: &mut Value) {
        if self.env.is_empty() {
            return;
        }
        let mut template = self.template.clone();
        let own: Vec<Value> = containers(&mut template).map(|own| own.take()).collect();
        for container in containers(pod) {
            let Some(own) = position(&own, container).and_then(|index| own.get(index)) else { continue };
            let own_env = own.get("env").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let Some(fields) = container.as_object_mut() else { continue };
            let Some(env) = fields.get_mut("env").and_then(Value::as_array_mut) else { continue };
            env.retain(|variable| !self.env.contains(variable) || own_env.contains(variable));
            if env.is_empty() {
                restore(fields, "env", own.get("env").cloned());
            }
        }
    }

    fn take_out_claims(&self, pod: &mut Value) {
        let original = object_at(&self.template, &["spec"]).and_then(|spec| spec.get("volumes"));
        let own = original.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let Some(spec) = fields(pod, &["spec"]) else { return };
        let Some(Value::Array(volumes)) = spec.get_mut("volumes") else { return };
        if self.claims.is_empty() {
            return;
        }
        volumes.retain_mut(|volume| match position(&self.claims, volume) {
            Some(_) => position(own, volume).and_then(|index| own.get(index)).is_some_and(|own| {
                *volume = own.clone();
                true
            }),
            None => true,
        });
        if volumes.is_empty() {
            restore(spec, "volumes", original.cloned());
        }
    }

    /// The status of the pod lists what injection replaced. A value that was filled in is not in the
    /// template, so `uninject` must take ours out and put nothing back; null and empty values of the
    /// template that were filled must come back.
    fn correct_status(&self, pod: &mut Value, keys: &AnnotationKeys) {
        let Some(annotations) = fields(pod, &["metadata", "annotations"]) else { return };
        let Some(Value::String(text)) = annotations.get(&keys.status) else { return };
        let before = object_at(&self.template, &["metadata", "annotations"]).and_then(|old| old.get(&keys.status));
        let Some(mut status) = Status::<StatusEntry>::parse(text) else { return };
        if before.is_some_and(|before| before == text.as_str()) {
            return;
        }
        for entry in &mut status.templates {
            for filled in &self.fields {
                let path = filled.path();
                if entry.replaced.remove(&path).is_none() {
                    continue;
                }
                let original = self.original(filled);
                if let Some(original) = original {
                    entry.replaced.insert(path.clone(), original.clone());
                }
                let is_object = filled.value.as_ref().is_some_and(Value::is_object);
                if original.is_none_or(Value::is_null) && !is_object && !entry.added.contains(&path) {
                    entry.added.push(path);
                }
            }
            self.correct_entry(entry);
        }
        if let Some(first) = status.templates.iter_mut().find(|entry| !entry.is_empty()) {
            const LISTS: [(&[&str], &str); 4] =
                [(&[], "metadata"), (&["metadata"], "labels"), (&["spec"], "volumes"), (&["spec"], "initContainers")];
            for (object, key) in LISTS {
                let original = object_at(&self.template, object).and_then(|object| object.get(key));
                if let Some(original) = original.filter(|original| is_empty(original)) {
                    first.replaced.entry(MergePath::of([key])).or_insert_with(|| original.clone());
                }
            }
        }
        let text = Status::to_annotation(status.templates.iter());
        annotations.insert(keys.status.clone(), text.into());
    }

    /// The same for what was filled in or normalised below the lists and the fields of the spec.
    fn correct_entry(&self, entry: &mut StatusEntry) {
        let of_template = |path: &MergePath| value_at(path, &self.template);
        let is_inside = |path: &&MergePath| path.segments().nth(1).is_some();
        let replaced: Vec<MergePath> = entry.replaced.keys().filter(is_inside).cloned().collect();
        for path in replaced {
            let original = of_template(&path).cloned();
            let Some(value) = entry.replaced.remove(&path) else { continue };
            match original {
                Some(original) => _ = entry.replaced.insert(path, original),
                // What is left empty goes with the last value in it.
                None if value.is_object() => {}
                None => entry.added.push(path),
            }
        }
        for path in entry.added.iter().filter(is_inside) {
            let segments: Vec<_> = path.segments().collect();
            let mut parts = (2..=segments.len()).map(|length| MergePath::of(&segments[..length]));
            // What was empty was left out, or filled in.
            let empty = parts.find_map(|part| {
                let original = of_template(&part)?;
                (original.is_null() || value_at(&part, &self.pod).is_none()).then(|| (part, original.clone()))
            });
            entry.replaced.extend(empty);
        }
        for (path, raised) in &mut entry.raised {
            if let Some(original) = of_template(path) {
                raised.from = original.clone();
            }
        }
    }

    /// The field as the template has it.
    fn original(&self, filled: &FilledField) -> Option<&Value> {
        object_at(&self.template, filled.object)?.get(&filled.key)
    }
}

impl FilledField {
    /// As the status has it.
    fn path(&self) -> MergePath {
        match self.object {
            ["metadata", map] => MergePath::of([map, self.key.as_str()]),
            ["metadata"] | [] => MergePath::of([&self.key]),
            _ => MergePath::of(["spec", &self.key]),
        }
    }
}

const CONTAINER_LISTS: [&str; 2] = ["containers", "initContainers"];

/// The containers of a pod.
fn containers(pod: &mut Value) -> impl Iterator<Item = &mut Value> {
    let spec = fields(pod, &["spec"]);
    let lists = spec.into_iter().flat_map(|spec| spec.iter_mut().filter(|(key, _)| CONTAINER_LISTS.contains(&&***key)));
    lists.flat_map(|(_, list)| list.as_array_mut().into_iter().flatten())
}

/// The value at a path of the status.
fn value_at<'v>(path: &MergePath, pod: &'v Value) -> Option<&'v Value> {
    pod.pointer(path.to_pointer(pod)?.as_str())
}

/// The claims of a StatefulSet, or of a kind like it, as volumes of its first pod.
fn claims(object: &Value, view: PodView) -> Vec<Value> {
    let index = if let PodView::Pod(index) = view { u64::from(index) } else { 0 };
    let ordinal = controller::first_ordinal(object).saturating_add(index);
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("unnamed");
    let templates = object.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    let claims = templates.into_iter().flatten().filter_map(|claim| claim.pointer("/metadata/name")?.as_str());
    claims
        .map(
            |claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": format!("{claim}-{name}-{ordinal}")}}),
        )
        .collect()
}

/// The position of the item of the same name.
fn position(volumes: &[Value], volume: &Value) -> Option<usize> {
    let name = volume.get("name")?;
    volumes.iter().position(|other| other.get("name") == Some(name))
}

fn restore(fields: &mut Map<String, Value>, key: &str, original: Option<Value>) {
    match original {
        Some(original) => fields.insert(key.to_owned(), original),
        None => fields.remove(key),
    };
}

fn object_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Map<String, Value>> {
    path.iter().try_fold(value, |value, member| value.get(member))?.as_object()
}

fn fields<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    path.iter().try_fold(value, |value, member| value.get_mut(member))?.as_object_mut()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
