//! A rendered template: the partial pod that is to be merged in.
//!
//! Invariant: an [`Overlay`] without errors from [`Overlay::check`] is valid by itself: names keep their rules and are
//! unique, and every mount has its volume. What it means beside a pod is the merge's business.

use super::annotations::{DEFAULT_DOMAIN, Keys};
use super::schema::merge_keys::{self, MergeKey};
use super::template::tree::UNKNOWN;
use super::text::field::{FieldError, FieldPath, did_you_mean, quote};
use super::text::json::{items, text};
use super::text::message::Message;
use super::text::names;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A rendered partial pod.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    pub sidecars: Vec<Value>,
    pub init_containers: Vec<Value>,
    pub volumes: Vec<Value>,
    pub env: Vec<Value>,
    pub env_from: Vec<Value>,
    pub volume_mounts: Vec<Value>,
    pub labels: Map<String, Value>,
    pub annotations: Map<String, Value>,
    /// Fields of the pod's spec.
    pub pod: Map<String, Value>,
}

impl Overlay {
    /// Everything that is wrong with the overlay by itself; paths are those of the template.
    pub fn check(&self) -> Vec<FieldError> {
        let volumes = self.volumes.iter().map(|volume| text(volume, "name")).collect();
        let mut checker = Checker { overlay: self, volumes, errors: Vec::new() };
        checker.run();
        checker.errors
    }

    /// Names of all containers, sidecars first.
    pub fn container_names(&self) -> impl Iterator<Item = &str> {
        self.sidecars.iter().chain(&self.init_containers).map(|container| text(container, "name"))
    }
}

struct Checker<'a> {
    overlay: &'a Overlay,
    /// Names of the volumes, for thousands of mounts.
    volumes: BTreeSet<&'a str>,
    errors: Vec<FieldError>,
}

impl<'a> Checker<'a> {
    fn run(&mut self) {
        let spec = FieldPath::root().child("spec");
        let overlay = self.overlay;
        let mut seen = BTreeSet::new();
        for (list, field) in [(&overlay.sidecars, "sidecars"), (&overlay.init_containers, "initContainers")] {
            for (index, container) in list.iter().enumerate() {
                let path = spec.child(field).index(index);
                self.name(container, &path, &mut seen);
                self.container(container, &path);
            }
        }
        self.shared_ports(&spec.child("sidecars"));
        let mut seen = BTreeSet::new();
        for (index, volume) in overlay.volumes.iter().enumerate() {
            let path = spec.child("volumes").index(index);
            self.name(volume, &path, &mut seen);
            self.volume(volume, &path);
        }
        let app = spec.child("app");
        self.env(&overlay.env, &app.child("env"));
        self.mounts(&overlay.volume_mounts, &app.child("volumeMounts"));
        self.metadata(&spec.child("metadata"));
        self.pod(&overlay.pod, &spec.child("pod"));
    }

    fn add(&mut self, path: FieldPath, message: impl Into<Message>) {
        self.errors.push(FieldError::new(path, message));
    }

    fn name(&mut self, object: &'a Value, path: &FieldPath, seen: &mut BTreeSet<&'a str>) {
        let name = text(object, "name");
        let path = path.child("name");
        if let Err(rule) = names::check_dns_label(name) {
            self.add(path, format!("{} is no valid name: {rule}", quote(name)));
        } else if !seen.insert(name) {
            self.add(path, format!("duplicate name {}", quote(name)));
        }
    }

    fn container(&mut self, container: &'a Value, path: &FieldPath) {
        if text(container, "image").trim().is_empty() {
            self.add(path.child("image"), "an image is required");
        }
        self.env(items(container, "env"), &path.child("env"));
        self.mounts(items(container, "volumeMounts"), &path.child("volumeMounts"));
        let mut seen = BTreeSet::new();
        let mut port_names = BTreeSet::new();
        for (index, port) in items(container, "ports").iter().enumerate() {
            self.port(port, &path.child("ports").index(index), &mut seen, &mut port_names);
        }
    }

    fn port(
        &mut self,
        port: &'a Value,
        path: &FieldPath,
        seen: &mut BTreeSet<(i64, &'a str)>,
        port_names: &mut BTreeSet<&'a str>,
    ) {
        for field in ["containerPort", "hostPort"] {
            match port.get(field).and_then(Value::as_i64) {
                Some(number) if !(1..=65_535).contains(&number) => {
                    self.add(path.child(field), format!("{number} is no port; expected 1 to 65535"));
                }
                _ => {}
            }
        }
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
        let number = port.get("containerPort").and_then(Value::as_i64).unwrap_or_default();
        if !seen.insert((number, protocol)) {
            self.add(path.child("containerPort"), format!("duplicate port {number}/{protocol}"));
        }
        let name = text(port, "name");
        if name.is_empty() {
            return;
        }
        if let Err(rule) = names::check_port_name(name) {
            self.add(path.child("name"), format!("{} is no valid port name: {rule}", quote(name)));
        } else if !port_names.insert(name) {
            self.add(path.child("name"), format!("duplicate port name {}", quote(name)));
        }
    }

    /// Sidecars run at the same time and share one network.
    fn shared_ports(&mut self, path: &FieldPath) {
        let mut seen: BTreeMap<(i64, &str), &str> = BTreeMap::new();
        for (index, container) in self.overlay.sidecars.iter().enumerate() {
            let name = text(container, "name");
            for (port_index, port) in items(container, "ports").iter().enumerate() {
                let Some(number) = port.get("containerPort").and_then(Value::as_i64) else { continue };
                let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
                let first = *seen.entry((number, protocol)).or_insert(name);
                if first != name {
                    let path = path.index(index).child("ports").index(port_index).child("containerPort");
                    self.add(
                        path,
                        format!(
                            "port {number}/{protocol} is that of container {} already; they share one network",
                            quote(first)
                        ),
                    );
                }
            }
        }
    }

    fn env(&mut self, env: &'a [Value], path: &FieldPath) {
        let mut seen = BTreeSet::new();
        for (index, variable) in env.iter().enumerate() {
            let path = path.index(index);
            let name = text(variable, "name");
            if let Err(rule) = names::check_env_var_name(name) {
                self.add(path.child("name"), format!("{} is no valid name: {rule}", quote(name)));
            } else if !seen.insert(name) {
                self.add(path.child("name"), format!("duplicate name {}", quote(name)));
            }
            if !text(variable, "value").is_empty() && variable.get("valueFrom").is_some() {
                self.add(path, "value and valueFrom cannot stand together");
            }
        }
    }

    fn mounts(&mut self, mounts: &'a [Value], path: &FieldPath) {
        let mut seen = BTreeSet::new();
        for (index, mount) in mounts.iter().enumerate() {
            let path = path.index(index);
            let mount_path = text(mount, "mountPath");
            if mount_path.is_empty() || mount_path.contains(':') {
                self.add(
                    path.child("mountPath"),
                    format!("{} is no mount path: expected a path without \":\"", quote(mount_path)),
                );
            } else if !seen.insert(merge_keys::clean_path(mount_path)) {
                self.add(path.child("mountPath"), format!("duplicate mount path {}", quote(mount_path)));
            }
            self.volume_of(mount, &path.child("name"));
        }
    }

    fn volume_of(&mut self, mount: &Value, path: &FieldPath) {
        let name = text(mount, "name");
        if self.volumes.contains(name) || name.contains(UNKNOWN) || self.volumes.iter().any(|one| one.contains(UNKNOWN))
        {
            return;
        }
        let message = format!("no volume {} in spec.volumes; a mount needs its volume", quote(name));
        let hint = did_you_mean(name, self.volumes.iter().copied());
        self.errors.push(FieldError { path: path.clone(), message: message.into(), hint });
    }

    fn volume(&mut self, volume: &Value, path: &FieldPath) {
        let sources = volume.as_object().map_or(0, |fields| fields.keys().filter(|key| *key != "name").count());
        if sources > 1 {
            self.add(
                path.clone(),
                format!("volume {} has {sources} sources; expected one", quote(text(volume, "name"))),
            );
        }
    }

    /// Two entries under one key would be in conflict with each other.
    fn pod(&mut self, fields: &Map<String, Value>, path: &FieldPath) {
        for (field, value) in fields {
            let path = path.child(field.as_str());
            match (value, merge_keys::of(field)) {
                (Value::Object(fields), _) => self.pod(fields, &path),
                (Value::Array(entries), Some(key)) if key != MergeKey::Whole => {
                    let mut seen = BTreeSet::new();
                    for (index, key) in entries.iter().map(|entry| key.value(entry)).enumerate() {
                        if !seen.insert(key.clone()) {
                            self.add(path.index(index), format!("duplicate entry {}", quote(&key)));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn metadata(&mut self, path: &FieldPath) {
        let keys = Keys::new(DEFAULT_DOMAIN);
        for (field, map) in [("labels", &self.overlay.labels), ("annotations", &self.overlay.annotations)] {
            for key in map.keys().filter(|key| keys.owns(key)) {
                let message = format!("keys of {DEFAULT_DOMAIN} are written by the injector alone");
                self.add(path.child(field).key(key.as_str()), message);
            }
        }
        for (key, value) in &self.overlay.labels {
            let path = path.child("labels").key(key.as_str());
            if let Err(rule) = names::check_qualified_name(key) {
                self.add(path.clone(), format!("{} is no valid label key: {rule}", quote(key)));
            }
            if let Err(rule) = names::check_label_value(value.as_str().unwrap_or_default()) {
                self.add(
                    path,
                    format!("{} is no valid label value: {rule}", quote(value.as_str().unwrap_or_default())),
                );
            }
        }
        for key in self.overlay.annotations.keys() {
            if let Err(rule) = names::check_qualified_name(key) {
                let path = path.child("annotations").key(key.as_str());
                self.add(path, format!("{} is no valid annotation key: {rule}", quote(key)));
            }
        }
    }
}
