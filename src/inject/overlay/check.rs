//! Checks an overlay without a pod: the rules of its values, names, references and duplicates.
//!
//! Types and unknown fields are checked earlier: by the schema in the template, by rendering in
//! values. The rules of values are those of the table beside the schema.

use super::{Overlay, OverlayPart, PartTarget, SamplePaths, references};
use crate::inject::annotations::{AnnotationKeys, DEFAULT_DOMAIN};
use crate::inject::schema::merge_keys::{self, MergeKey};
use crate::inject::schema::rules;
use crate::inject::text::json::{items, text};
use crate::inject::text::{FieldError, FieldPath, Message, message, names, nearest, quote, value, words};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Most bytes of the text of all files of a template. A pod's annotations may have twice as much.
const MAX_FILE_BYTES: usize = 128 << 10;

/// The lists of a container that are checked.
const LISTS_OF_CONTAINERS: [&str; 3] = ["env", "volumeMounts", "ports"];

impl Overlay {
    /// Lists all errors of an overlay that was rendered for a pod, with paths of the template.
    pub(crate) fn check(&self) -> Vec<FieldError> {
        self.check_except_samples(&SamplePaths::default())
    }

    /// Lists all errors of an overlay that has only parts of the app's containers. `shared` has the
    /// volumes.
    pub(crate) fn check_app(&self, shared: &Self) -> Vec<FieldError> {
        self.check_with(shared, &SamplePaths::default())
    }

    /// Lists all errors at load. Samples count neither as duplicates nor as names of missing
    /// objects.
    pub(crate) fn check_except_samples(&self, samples: &SamplePaths) -> Vec<FieldError> {
        self.check_with(self, samples)
    }

    fn check_with(&self, shared: &Self, samples: &SamplePaths) -> Vec<FieldError> {
        let volumes = shared.volume_names().collect();
        let conditional = shared.conditional_volumes(samples);
        let is_unknown = |part: OverlayPart| {
            let path = part.path();
            (0..self.list(part).len()).any(|index| samples.contain(&path.index(index).child("name")))
        };
        let knows_volumes = ![OverlayPart::Volumes, OverlayPart::Files].into_iter().any(is_unknown);
        let errors = self.check_rules(samples);
        let mut checker = OverlayChecker { overlay: self, samples, volumes, conditional, knows_volumes, errors };
        checker.run();
        // The sources of volumes are known only where the volumes are.
        let knows_sources = knows_volumes && std::ptr::eq(self, shared);
        references::check(self, samples, knows_sources, &mut checker.errors);
        checker.errors
    }

    /// Names of volumes that some pods do not get. Of two with one name a pod may always get one.
    fn conditional_volumes(&self, samples: &SamplePaths) -> BTreeSet<&str> {
        let named = |part: OverlayPart| {
            let volumes = self.list(part).iter().enumerate();
            volumes
                .map(move |(index, volume)| (text(volume, "name"), samples.has_conditional(&part.path().index(index))))
        };
        let volumes: Vec<(&str, bool)> =
            [OverlayPart::Volumes, OverlayPart::Files].into_iter().flat_map(named).collect();
        let is_alone = |name: &str| volumes.iter().filter(|(one, _)| *one == name).count() == 1;
        volumes.iter().filter(|(name, conditional)| *conditional && is_alone(name)).map(|(name, _)| *name).collect()
    }

    /// The broken rules of the values of all parts.
    fn check_rules(&self, samples: &SamplePaths) -> Vec<FieldError> {
        let is_sample = |path: &FieldPath| samples.has(path);
        let is_sample: Option<&dyn Fn(&FieldPath) -> bool> = if samples.is_empty() { None } else { Some(&is_sample) };
        let of_part = |part: OverlayPart| {
            let context = rules::Context { is_sample, run_once: part == OverlayPart::InitContainers };
            let check = |schema| rules::check(schema, self.value(part), &part.path(), context);
            part.schema().filter(|_| !self.value(part).is_null()).map(check)
        };
        OverlayPart::ALL.into_iter().filter_map(of_part).flatten().collect()
    }
}

struct OverlayChecker<'a> {
    overlay: &'a Overlay,
    samples: &'a SamplePaths,
    /// Names of the volumes, as a set because a template may have thousands of mounts.
    volumes: BTreeSet<&'a str>,
    /// Those of them that some pods do not get.
    conditional: BTreeSet<&'a str>,
    /// Whether no volume name is a sample.
    knows_volumes: bool,
    errors: Vec<FieldError>,
}

impl<'a> OverlayChecker<'a> {
    fn run(&mut self) {
        let (mut containers, mut volumes) = (BTreeSet::new(), BTreeSet::new());
        for part in OverlayPart::ALL {
            let path = part.path();
            match part.target() {
                PartTarget::Containers => self.containers(self.overlay.list(part), &path, &mut containers),
                PartTarget::Volumes => self.volumes(self.overlay.list(part), &path, &mut volumes),
                PartTarget::Files => self.files(self.overlay.list(part), &path, &mut volumes),
                // Their values are checked by the rules of their schemas.
                PartTarget::AppDefaults | PartTarget::AppCommand => {}
                PartTarget::AppList(field) => {
                    self.list(field, self.overlay.list(part), &path);
                    if part == OverlayPart::AppEnv {
                        self.extensions(self.overlay.list(part), &path);
                    }
                }
                PartTarget::MetadataMap(field) => self.metadata(field, self.overlay.map(part), &path),
                PartTarget::SpecFields => self.pod(self.overlay.map(part), &path),
            }
        }
        self.shared_ports(&OverlayPart::Sidecars.path());
    }

    fn add(&mut self, path: FieldPath, message: impl Into<Message>) {
        self.errors.push(FieldError::new(path, message));
    }

    /// Whether the key occurs for the first time; samples always count as new.
    fn is_new<K: Ord>(&self, key: K, path: &FieldPath, seen: &mut BTreeSet<K>) -> bool {
        self.samples.contain(path) || seen.insert(key)
    }

    /// The same for an item of a part. Of two items that some pods do not get, none may get both.
    fn is_new_item<K: Ord>(&self, key: K, item: &FieldPath, field: &str, seen: &mut BTreeSet<K>) -> bool {
        if self.samples.has_conditional(item) {
            !seen.contains(&key)
        } else {
            self.is_new(key, &item.child(field), seen)
        }
    }

    fn name(&mut self, object: &'a Value, item: &FieldPath, seen: &mut BTreeSet<&'a str>) {
        let name = text(object, "name");
        let path = item.child("name");
        if let Err(rule) = names::check_dns_label(name) {
            self.add(path, message![value(quote(name)), " is no valid name: ", rule]);
        } else if !self.is_new_item(name, item, "name", seen) {
            self.add(path, message!["duplicate name ", value(quote(name))]);
        }
    }

    fn containers(&mut self, containers: &'a [Value], path: &FieldPath, seen: &mut BTreeSet<&'a str>) {
        for (index, container) in containers.iter().enumerate() {
            let path = path.index(index);
            self.name(container, &path, seen);
            if text(container, "image").trim().is_empty() {
                self.add(path.child("image"), "an image is required");
            }
            for field in LISTS_OF_CONTAINERS {
                self.list(field, items(container, field), &path.child(field));
            }
        }
    }

    /// Checks a list of a container; lists for app containers follow the same rules.
    fn list(&mut self, field: &str, items: &'a [Value], path: &FieldPath) {
        match field {
            "env" => self.env(items, path),
            "volumeMounts" => self.mounts(items, path),
            "ports" => self.ports(items, path),
            _ => {}
        }
    }

    fn volumes(&mut self, volumes: &'a [Value], path: &FieldPath, seen: &mut BTreeSet<&'a str>) {
        for (index, volume) in volumes.iter().enumerate() {
            self.name(volume, &path.index(index), seen);
        }
    }

    /// Files are volumes too. The pod carries their text.
    fn files(&mut self, files: &'a [Value], path: &FieldPath, seen: &mut BTreeSet<&'a str>) {
        self.volumes(files, path, seen);
        let bytes: usize = self.overlay.file_texts().map(str::len).sum();
        if bytes > MAX_FILE_BYTES {
            let sentence = message!["the files have ", bytes, " bytes; at most ", MAX_FILE_BYTES, " are allowed"];
            self.add(path.clone(), sentence);
        }
    }

    fn ports(&mut self, ports: &'a [Value], path: &FieldPath) {
        let (mut seen, mut seen_names) = (BTreeSet::new(), BTreeSet::new());
        for (index, port) in ports.iter().enumerate() {
            let path = path.index(index);
            let number = port.get("containerPort").and_then(Value::as_i64).unwrap_or_default();
            if !self.is_sampled_port(&path) && !seen.insert((number, protocol(port))) {
                self.add(path.child("containerPort"), message!["duplicate port ", shown_port(number, port)]);
            }
            let (name, path) = (text(port, "name"), path.child("name"));
            if !name.is_empty() && !self.is_new(name, &path, &mut seen_names) {
                self.add(path, message!["duplicate port name ", value(quote(name))]);
            }
        }
    }

    fn is_sampled_port(&self, port: &FieldPath) -> bool {
        self.samples.contain(&port.child("containerPort")) || self.samples.contain(&port.child("protocol"))
    }

    /// Sidecars share one network, so two of them cannot listen on the same port.
    fn shared_ports(&mut self, path: &FieldPath) {
        let mut seen: BTreeMap<(i64, &str), &str> = BTreeMap::new();
        for (index, container) in self.overlay.sidecars().iter().enumerate() {
            let (name, path) = (text(container, "name"), path.index(index));
            for (index, port) in items(container, "ports").iter().enumerate() {
                let path = path.child("ports").index(index);
                let Some(number) = port.get("containerPort").and_then(Value::as_i64) else { continue };
                if self.is_sampled_port(&path) {
                    continue;
                }
                let first = *seen.entry((number, protocol(port))).or_insert(name);
                if first != name {
                    let (port, first) = (shown_port(number, port), value(quote(first)));
                    let sentence =
                        message!["port ", port, " is that of container ", first, " already; they share one network"];
                    self.add(path.child("containerPort"), sentence);
                }
            }
        }
    }

    fn env(&mut self, env: &'a [Value], path: &FieldPath) {
        let mut seen = BTreeSet::new();
        for (index, variable) in env.iter().enumerate() {
            let path = path.index(index);
            let (name, name_path) = (text(variable, "name"), path.child("name"));
            if let Err(rule) = names::check_env_var_name(name) {
                self.add(name_path, message![value(quote(name)), " is no valid name: ", rule]);
            } else if !self.is_new_item(name, &path, "name", &mut seen) {
                self.add(name_path, message!["duplicate name ", value(quote(name))]);
            }
        }
    }

    /// Only a value can be extended, and only an extension has a separator.
    fn extensions(&mut self, env: &[Value], path: &FieldPath) {
        for (index, variable) in env.iter().enumerate() {
            let path = path.index(index);
            let has = |field: &str| variable.get(field).is_some_and(|value| !value.is_null());
            let mode = text(variable, "onExisting");
            match matches!(mode, "Append" | "Prepend") {
                true if has("valueFrom") => {
                    let sentence = message!["onExisting: ", words(mode), " needs a value; it cannot add valueFrom"];
                    self.add(path.child("valueFrom"), sentence);
                }
                false if has("separator") => {
                    let sentence = "has no effect here; it needs onExisting: Append or onExisting: Prepend";
                    self.add(path.child("separator"), sentence);
                }
                _ => {}
            }
        }
    }

    fn mounts(&mut self, mounts: &'a [Value], path: &FieldPath) {
        let mut seen = BTreeSet::new();
        for (index, mount) in mounts.iter().enumerate() {
            let path = path.index(index);
            let (mount_path, at) = (text(mount, "mountPath"), path.child("mountPath"));
            if mount_path.is_empty() || mount_path.contains(':') {
                let sentence = message![value(quote(mount_path)), " is no mount path: expected a path without \":\""];
                self.add(at, sentence);
            } else if !self.is_new_item(merge_keys::clean_path(mount_path), &path, "mountPath", &mut seen) {
                self.add(at, message!["duplicate mount path ", value(quote(mount_path))]);
            }
            self.volume_of(mount, &path.child("name"));
        }
    }

    fn volume_of(&mut self, mount: &Value, path: &FieldPath) {
        let name = text(mount, "name");
        if self.conditional.contains(name) && !self.samples.contain(path) && !self.samples.is_in_conditional(path) {
            let why = " is not there for every pod, and this mount is; give its item the `when` of the volume";
            self.add(path.clone(), message!["volume ", value(quote(name)), why]);
        }
        if self.volumes.contains(name) || !self.knows_volumes || self.samples.contain(path) {
            return;
        }
        let sentence = message!["no volume ", value(quote(name)), " in spec.volumes; a mount needs its volume"];
        let near = nearest(name, self.volumes.iter().copied());
        let hint = near.map(|near| message!["did you mean ", value(quote(near)), "?"]);
        self.errors.push(FieldError { hint, ..FieldError::new(path.clone(), sentence) });
    }

    /// Two entries with the same merge key would conflict with each other.
    fn pod(&mut self, fields: &Map<String, Value>, path: &FieldPath) {
        for (field, content) in fields {
            let path = path.child(field.as_str());
            match (content, merge_keys::of(field)) {
                (Value::Object(fields), _) => self.pod(fields, &path),
                (Value::Array(entries), Some(key)) if key != MergeKey::Whole => {
                    let mut seen = BTreeSet::new();
                    for (index, key) in entries.iter().map(|entry| key.value(entry)).enumerate() {
                        let path = path.index(index);
                        if !self.is_new(key.clone(), &path, &mut seen) {
                            self.add(path, message!["duplicate entry ", value(quote(&key))]);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn metadata(&mut self, field: &'static str, map: &Map<String, Value>, path: &FieldPath) {
        let keys = AnnotationKeys::new(DEFAULT_DOMAIN);
        let kind = field.trim_end_matches('s');
        for (key, content) in map {
            let path = path.key(key.as_str());
            if keys.owns(key) {
                let sentence = message!["keys of ", words(DEFAULT_DOMAIN), " are written by the injector alone"];
                self.add(path.clone(), sentence);
            }
            // Only keys of annotations may have upper case in their domain.
            let checked = if field == "annotations" { key.to_lowercase() } else { key.clone() };
            if let Err(rule) = names::check_qualified_name(&checked) {
                self.add(path.clone(), message![value(quote(key)), " is no valid ", kind, " key: ", rule]);
            }
            let content = content.as_str().unwrap_or_default();
            if field == "labels"
                && let Err(rule) = names::check_label_value(content)
            {
                self.add(path, message![value(quote(content)), " is no valid label value: ", rule]);
            }
        }
    }
}

fn protocol(port: &Value) -> &str {
    port.get("protocol").and_then(Value::as_str).unwrap_or("TCP")
}

fn shown_port(number: i64, port: &Value) -> Message {
    value(format_args!("{number}/{}", protocol(port)))
}
