//! Finds pods and pod templates inside Kubernetes objects: by the kind, else by the shape.
//!
//! Invariant: a [`PodLocation`] points at an object with a `spec` that has a list of containers, so
//! that the engine can take it as a pod. An object that lacks one is noted and left alone.

use std::fmt;

use json_patch::jsonptr::{Pointer, PointerBuf};
use serde_json::{Map, Value};

use super::finding::{Finding, FindingCode};
use super::stray_keys;
use crate::inject::annotations::AnnotationKeys;
use crate::inject::text::json::json_type;
use crate::inject::text::{Message, message, quote, value, words};

/// A kind with a pod: API group, kind, path to the pod or pod template, and the kind that controls
/// its pods, if one does.
///
/// The version does not matter. A kind of the same name in another group, such as a `Job` of a
/// batch scheduler, is another kind.
struct KnownKind {
    group: &'static str,
    kind: &'static str,
    path: &'static [&'static str],
    controller: Option<(&'static str, &'static str)>,
}

const TEMPLATE: &[&str] = &["spec", "template"];
const JOB_TEMPLATE: &[&str] = &["spec", "jobTemplate", "spec", "template"];
const REPLICA_SET: Option<(&str, &str)> = Some(("apps/v1", "ReplicaSet"));
const JOB: Option<(&str, &str)> = Some(("batch/v1", "Job"));

const fn known(
    group: &'static str,
    kind: &'static str,
    path: &'static [&'static str],
    controller: Option<(&'static str, &'static str)>,
) -> KnownKind {
    KnownKind { group, kind, path, controller }
}

const KINDS: [KnownKind; 19] = [
    known("", "Pod", &[], None),
    known("", "PodTemplate", &["template"], None),
    known("", "ReplicationController", TEMPLATE, Some(("v1", "ReplicationController"))),
    known("apps", "Deployment", TEMPLATE, REPLICA_SET),
    known("apps", "StatefulSet", TEMPLATE, Some(("apps/v1", "StatefulSet"))),
    known("apps", "DaemonSet", TEMPLATE, Some(("apps/v1", "DaemonSet"))),
    known("apps", "ReplicaSet", TEMPLATE, REPLICA_SET),
    known("batch", "Job", TEMPLATE, JOB),
    known("batch", "CronJob", JOB_TEMPLATE, JOB),
    // Served until Kubernetes 1.16; such files still exist.
    known("extensions", "Deployment", TEMPLATE, REPLICA_SET),
    known("extensions", "DaemonSet", TEMPLATE, Some(("apps/v1", "DaemonSet"))),
    known("extensions", "ReplicaSet", TEMPLATE, REPLICA_SET),
    // Widespread kinds of others.
    known("apps.kruise.io", "CloneSet", TEMPLATE, Some(("apps.kruise.io/v1alpha1", "CloneSet"))),
    known("apps.kruise.io", "DaemonSet", TEMPLATE, Some(("apps.kruise.io/v1alpha1", "DaemonSet"))),
    known("apps.kruise.io", "StatefulSet", TEMPLATE, Some(("apps.kruise.io/v1beta1", "StatefulSet"))),
    known("apps.openshift.io", "DeploymentConfig", TEMPLATE, Some(("v1", "ReplicationController"))),
    known("argoproj.io", "Rollout", TEMPLATE, REPLICA_SET),
    known("serving.knative.dev", "Service", TEMPLATE, REPLICA_SET),
    known("serving.knative.dev", "Configuration", TEMPLATE, REPLICA_SET),
];

/// Where the pod template of an unknown kind is looked for.
const SHAPES: [&[&str]; 2] = [TEMPLATE, JOB_TEMPLATE];

/// Groups of Kubernetes itself, whose kinds are all known.
const BUILT_IN_GROUPS: [&str; 4] = ["", "apps", "batch", "extensions"];

/// Keys with which a patch marks itself.
const PATCH_DIRECTIVES: [&str; 3] = ["$patch", "$retainKeys", "$deleteFromPrimitiveList"];

/// Kind, namespace and name of an object, and its place in its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// Path of the object in the document: the root, or an item of a list.
    pub pointer: PointerBuf,
    /// `apps/v1`
    pub api_version: String,
    /// `Deployment`
    pub kind: String,
    /// The namespace that the object names.
    pub namespace: Option<String>,
    /// Name of the object, or its `generateName` with `*`; empty if it has neither.
    pub name: String,
}

impl ObjectName {
    fn of(pointer: PointerBuf, object: &Value, type_meta: Option<TypeMeta<'_>>) -> Self {
        let field = |member| text(object, &format!("/metadata/{member}"));
        let generated = || field("generateName").map(|prefix| format!("{prefix}*"));
        Self {
            pointer,
            api_version: type_meta.map_or_else(String::new, |found| found.api_version.to_owned()),
            kind: type_meta.map_or_else(String::new, |found| found.kind.to_owned()),
            namespace: field("namespace").map(str::to_owned),
            name: field("name").map(str::to_owned).or_else(generated).unwrap_or_default(),
        }
    }
}

impl ObjectName {
    /// Whether it is a Namespace of Kubernetes.
    pub fn is_namespace(&self) -> bool {
        self.api_version == "v1" && self.kind == "Namespace"
    }
}

impl fmt::Display for ObjectName {
    /// `Deployment shop/web`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.kind.is_empty() { "object" } else { &self.kind })?;
        match (&self.namespace, self.name.as_str()) {
            (_, "") => Ok(()),
            (Some(namespace), name) => write!(f, " {namespace}/{name}"),
            (None, name) => write!(f, " {name}"),
        }
    }
}

/// One pod or pod template of a document.
#[derive(Clone, Debug)]
pub struct PodLocation {
    /// The object around the pod, or the pod itself.
    pub object: ObjectName,
    /// Path of the pod in the document.
    pub pointer: PointerBuf,
    /// Path of the pod within its object.
    pub(super) path: &'static [&'static str],
    /// API version and kind of the controller that creates the pods.
    pub(super) controller: Option<(String, String)>,
    /// Whether the kind is in the table; otherwise its shape told.
    pub(super) is_known: bool,
}

impl PodLocation {
    /// The pod or pod template as it stands in the document.
    pub fn template<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.pointer.resolve(document).ok()
    }

    /// The object around the pod.
    pub fn object<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.object.pointer.resolve(document).ok()
    }

    /// `spec.template.metadata.annotations`: a field of the pod by its path from the object.
    pub fn field(&self, fields: &[&str]) -> String {
        self.path.iter().chain(fields).copied().collect::<Vec<_>>().join(".")
    }

    /// Replaces the pod or pod template.
    pub fn put(&self, document: &mut Value, pod: Value) {
        if let Some(place) = document.pointer_mut(self.pointer.as_str()) {
            *place = pod;
        }
    }
}

/// Something to say about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The object that it concerns.
    pub object: ObjectName,
    /// What is said.
    pub finding: Finding,
}

/// Everything that was found in a document.
#[derive(Debug, Default)]
pub struct Found {
    /// The pods and pod templates, in the document's order.
    pub pods: Vec<PodLocation>,
    /// What is to be said about objects in which no pod was found, or about kinds.
    pub notes: Vec<Note>,
    /// All objects, those without a pod included. Lists are none.
    pub objects: Vec<ObjectName>,
}

/// All pods and pod templates of a document, also in lists. `domain` is that of our keys.
pub fn find(document: &Value, domain: &str) -> Found {
    let mut search = Search { keys: AnnotationKeys::new(domain), domain, found: Found::default() };
    search.object(PointerBuf::root(), document, None);
    search.found
}

/// API version and kind of an object.
#[derive(Clone, Copy)]
struct TypeMeta<'a> {
    api_version: &'a str,
    kind: &'a str,
}

impl<'a> TypeMeta<'a> {
    fn of(object: &'a Map<String, Value>) -> Option<Self> {
        let text = |key| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(Self { api_version: text("apiVersion")?, kind: text("kind")? })
    }

    fn group(self) -> &'a str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    fn known(self) -> Option<&'static KnownKind> {
        KINDS.iter().find(|row| (row.group, row.kind) == (self.group(), self.kind))
    }

    /// The kind of Kubernetes that was probably meant: of the same name in another case or group.
    fn meant(self) -> Option<&'static KnownKind> {
        if !BUILT_IN_GROUPS.contains(&self.group()) {
            return None;
        }
        let same = |row: &&KnownKind| BUILT_IN_GROUPS.contains(&row.group) && row.kind.eq_ignore_ascii_case(self.kind);
        let in_group = KINDS.iter().filter(same).find(|row| row.group == self.group());
        in_group.or_else(|| KINDS.iter().find(same))
    }
}

struct Search<'d> {
    keys: AnnotationKeys,
    domain: &'d str,
    found: Found,
}

impl Search<'_> {
    /// `item_type` is the type of items in a typed list, which may omit their own.
    fn object(&mut self, pointer: PointerBuf, value: &Value, item_type: Option<TypeMeta<'_>>) {
        let Value::Object(object) = value else {
            let name = ObjectName::of(pointer, value, None);
            return self.incomplete(name, message!["expected a Kubernetes object, found ", json_type(value)]);
        };
        let Some(type_meta) = TypeMeta::of(object).or(item_type) else {
            let name = ObjectName::of(pointer, value, None);
            return self.incomplete(name, message![words(lacking(object)), ", expected a Kubernetes object"]);
        };
        if let Some(item_kind) = list_of(type_meta) {
            return self.items(&pointer, value, type_meta, item_kind);
        }
        let name = ObjectName::of(pointer, value, Some(type_meta));
        self.found.objects.push(name.clone());
        if let Some(row) = type_meta.known() {
            self.known(name, value, row);
        } else if let Some(row) = type_meta.meant() {
            self.misspelt(&name, type_meta, row);
            self.known(name, value, row);
        } else {
            self.unknown(name, value, type_meta);
        }
    }

    fn items(&mut self, pointer: &Pointer, list: &Value, type_meta: TypeMeta<'_>, item_kind: Option<&str>) {
        let item_type = item_kind.map(|kind| TypeMeta { kind, ..type_meta });
        match list.get("items") {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let pointer = pointer.concat(&PointerBuf::from_tokens(["items".into(), index.to_string()]));
                    self.object(pointer, item, item_type);
                }
            }
            Some(other) => {
                let name = ObjectName::of(pointer.to_owned(), list, Some(type_meta));
                self.incomplete(name, message!["items is ", json_type(other), ", expected a list"]);
            }
        }
    }

    fn known(&mut self, object: ObjectName, content: &Value, row: &KnownKind) {
        match check(content, row.path) {
            Ok(()) => self.pod(object, row.path, row.controller.map(owned), true),
            Err(problem) => {
                self.asks_in_vain(&object, content, row.path);
                self.incomplete(object, problem);
            }
        }
    }

    fn unknown(&mut self, object: ObjectName, content: &Value, type_meta: TypeMeta<'_>) {
        match SHAPES.into_iter().find(|path| check(content, path).is_ok()) {
            Some(path) => {
                let controller = Some((object.api_version.clone(), object.kind.clone()));
                self.pod(object, path, controller, false);
            }
            None if is_ours(type_meta, self.domain) => {}
            None => self.not_searched(&object, content),
        }
    }

    fn pod(
        &mut self,
        object: ObjectName,
        path: &'static [&'static str],
        controller: Option<(String, String)>,
        is_known: bool,
    ) {
        let pointer = object.pointer.concat(&PointerBuf::from_tokens(path.iter().copied()));
        self.found.pods.push(PodLocation { object, pointer, path, controller, is_known });
    }

    fn misspelt(&mut self, object: &ObjectName, found: TypeMeta<'_>, row: &KnownKind) {
        let message = if row.group == found.group() {
            message![
                value(found.api_version),
                " has no kind ",
                value(quote(found.kind)),
                "; write ",
                words(quote(row.kind))
            ]
        } else {
            let right = if row.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", row.group) };
            let has_no = message![value(found.api_version), " has no kind ", value(quote(found.kind))];
            message![has_no, "; kind ", words(row.kind), " is in apiVersion ", words(right)]
        };
        let finding = Finding::warning(FindingCode::KindMisspelt, message);
        self.found.notes.push(Note { object: object.clone(), finding });
    }

    fn incomplete(&mut self, object: ObjectName, why: Message) {
        let message = why.with("; it is left as it is");
        self.found.notes.push(Note { object, finding: Finding::note(FindingCode::ObjectIncomplete, message) });
    }

    /// An incomplete object that has keys of ours: its author expects sidecars.
    fn asks_in_vain(&mut self, object: &ObjectName, content: &Value, path: &'static [&'static str]) {
        let field = path.iter().chain(&["metadata", "annotations"]).copied().collect::<Vec<_>>().join(".");
        for stray in stray_keys::all(content, |key| self.keys.owns(key)) {
            let what = if stray.path == field { "needs the whole pod template here" } else { "is not read" };
            let message = message!["annotation ", words(&stray.key), " at ", value(&stray.path), " ", what];
            let finding = Finding::warning(FindingCode::ObjectIncomplete, message);
            self.found.notes.push(Note { object: object.clone(), finding });
        }
    }

    fn not_searched(&mut self, object: &ObjectName, content: &Value) {
        let is_namespace = object.kind == "Namespace" && object.api_version == "v1";
        let strays = stray_keys::all(content, |key| self.keys.owns(key)).into_iter();
        // A namespace's own annotation and label are read.
        for stray in strays.filter(|stray| !(is_namespace && stray.path.starts_with("metadata."))) {
            let message = message![
                words(&stray.key),
                " at ",
                value(&stray.path),
                " is not read here: no pod template is looked for in kind ",
                value(quote(&object.kind)),
                "; pods that its controller creates with this annotation are injected in the cluster",
            ];
            let finding = Finding::warning(FindingCode::KindNotSearched, message);
            self.found.notes.push(Note { object: object.clone(), finding });
        }
    }
}

fn owned((api_version, kind): (&str, &str)) -> (String, String) {
    (api_version.to_owned(), kind.to_owned())
}

/// Whether the object is one of Outrigger's own kinds.
fn is_ours(type_meta: TypeMeta<'_>, domain: &str) -> bool {
    type_meta.group() == domain
}

/// Describes which of `apiVersion` and `kind` is missing.
fn lacking(object: &Map<String, Value>) -> String {
    let state = |key| match object.get(key) {
        None | Some(Value::Null) => Some(format!("no {key}")),
        Some(Value::String(text)) if text.is_empty() => Some(format!("{key} is empty")),
        Some(Value::String(_)) => None,
        Some(other) => Some(format!("{key} is {}", json_type(other))),
    };
    ["apiVersion", "kind"].into_iter().filter_map(state).collect::<Vec<_>>().join(" and ")
}

/// `None`: no list. `Some(None)`: a `List` of anything. `Some(Some(kind))`: a list of that kind,
/// such as `PodList`. Kubernetes calls all its lists so.
fn list_of(type_meta: TypeMeta<'_>) -> Option<Option<&str>> {
    let item_kind = type_meta.kind.strip_suffix("List")?;
    if item_kind.is_empty() {
        return type_meta.group().is_empty().then_some(None);
    }
    let is_known = || TypeMeta { kind: item_kind, ..type_meta }.known().is_some();
    (BUILT_IN_GROUPS.contains(&type_meta.group()) || is_known()).then_some(Some(item_kind))
}

/// Checks that the path leads to a pod: objects, with a list of containers in the last one's spec.
fn check(object: &Value, path: &[&str]) -> Result<(), Message> {
    let mut pod = object;
    let mut prefix = String::new();
    for member in path {
        pod = member_object(pod, &mut prefix, member)?;
    }
    match pod.get("metadata") {
        None | Some(Value::Null | Value::Object(_)) => {}
        Some(other) => return Err(wrong(&prefix, "metadata", json_type(other), "an object")),
    }
    let spec = member_object(pod, &mut prefix, "spec")?;
    match spec.get("containers") {
        Some(Value::Array(items)) if items.iter().any(is_directive) => Err(patch("spec.containers")),
        Some(Value::Array(_)) => Ok(()),
        other => Err(wrong(&prefix, "containers", other.map_or("absent", json_type), "a list")),
    }
}

fn member_object<'a>(object: &'a Value, prefix: &mut String, member: &str) -> Result<&'a Value, Message> {
    if is_directive(object) {
        return Err(patch(prefix.trim_end_matches('.')));
    }
    let found = match object.get(member) {
        Some(value @ Value::Object(_)) => {
            prefix.push_str(member);
            prefix.push('.');
            return if is_directive(value) { Err(patch(prefix.trim_end_matches('.'))) } else { Ok(value) };
        }
        Some(other) => json_type(other),
        None => "absent",
    };
    Err(wrong(prefix, member, found, "an object"))
}

fn wrong(prefix: &str, member: &str, found: &'static str, expected: &'static str) -> Message {
    message![words(prefix), words(member), " is ", found, ", expected ", expected]
}

fn patch(place: &str) -> Message {
    let place = if place.is_empty() { String::new() } else { format!(" at {place}") };
    message!["it is a patch", words(place), ", expected a whole object"]
}

fn is_directive(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| {
        PATCH_DIRECTIVES.iter().any(|directive| fields.contains_key(*directive))
            || fields.keys().any(|key| key.starts_with("$setElementOrder/"))
    })
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
