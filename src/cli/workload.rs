//! Finds pods and pod templates inside Kubernetes objects.
//!
//! Invariant: a [`PodLocation`] points at an object with a `spec` that is an object, so that
//! the engine can take it as a pod.

use json_patch::jsonptr::{Pointer, PointerBuf};
use serde_json::{Map, Value};

use super::errors::ErrorList;
use crate::inject::text::json::json_type;

/// The kinds with a pod: API group, kind, and path to the pod or pod template.
///
/// The version does not matter. A kind of the same name in another group, such as a `Job` of a
/// batch scheduler, is not ours.
const KINDS: [(&str, &str, &[&str]); 9] = [
    ("", "Pod", &[]),
    ("apps", "Deployment", TEMPLATE),
    ("apps", "StatefulSet", TEMPLATE),
    ("apps", "DaemonSet", TEMPLATE),
    ("apps", "ReplicaSet", TEMPLATE),
    ("", "ReplicationController", TEMPLATE),
    ("batch", "Job", TEMPLATE),
    ("batch", "CronJob", &["spec", "jobTemplate", "spec", "template"]),
    // Served until Kubernetes 1.16; such files still exist.
    ("extensions", "Deployment", TEMPLATE),
];

const TEMPLATE: &[&str] = &["spec", "template"];

/// One pod or pod template of a document.
#[derive(Debug)]
pub(super) struct PodLocation {
    /// Path of the pod in the document.
    pub pointer: PointerBuf,
    /// Path of the object around the pod, and from that object to the pod.
    object_pointer: PointerBuf,
    path: &'static [&'static str],
    /// `Deployment/web`: the object around the pod.
    pub owner: String,
    /// The namespace that the object names.
    pub namespace: Option<String>,
}

impl PodLocation {
    /// The pod as the API server would be asked to create it.
    ///
    /// Only this function makes a pod of a pod template. It adds no name or owner, unlike a
    /// controller.
    pub(super) fn pod(&self, document: &Value) -> Value {
        let mut pod = self.object(document).cloned().unwrap_or_default();
        pod.entry("apiVersion").or_insert_with(|| "v1".into());
        pod.entry("kind").or_insert_with(|| "Pod".into());
        Value::Object(pod)
    }

    /// The owner's kind if the engine needs it: pods of a Job must complete.
    pub(super) fn owner_kind(&self) -> Option<&'static str> {
        let kind = self.owner.split('/').next();
        matches!(kind, Some("Job" | "CronJob")).then_some("Job")
    }

    /// Replaces the pod by a changed [`Self::pod`].
    pub(super) fn put(&self, document: &mut Value, mut pod: Value) {
        let Some(place) = document.pointer_mut(self.pointer.as_str()) else { return };
        for key in ["apiVersion", "kind"] {
            if place.get(key).is_none()
                && let Some(pod) = pod.as_object_mut()
            {
                pod.remove(key);
            }
        }
        *place = pod;
    }

    /// Annotations on the object around the pod, where they have no effect, and not on the pod.
    pub(super) fn misplaced_annotations<'a>(
        &self,
        document: &'a Value,
        is_ours: impl Fn(&str) -> bool,
    ) -> Vec<&'a str> {
        let annotations =
            |pointer: &Pointer| pointer.resolve(document).ok()?.pointer("/metadata/annotations")?.as_object();
        let of_pod = |key: &str| annotations(&self.pointer).is_some_and(|annotations| annotations.contains_key(key));
        let of_object = annotations(&self.object_pointer).into_iter().flat_map(Map::keys).map(String::as_str);
        of_object.filter(|key| is_ours(key) && !of_pod(key)).collect()
    }

    /// `spec.template.metadata.annotations`, relative to the object around the pod.
    pub(super) fn annotations_path(&self) -> String {
        self.path.iter().chain(&["metadata", "annotations"]).copied().collect::<Vec<_>>().join(".")
    }

    fn object<'a>(&self, document: &'a Value) -> Option<&'a Map<String, Value>> {
        self.pointer.resolve(document).ok().and_then(Value::as_object)
    }
}

/// All pods of a document in order, also in lists. `origin` names the document in errors.
pub(super) fn pod_locations(origin: &str, document: &Value) -> Result<Vec<PodLocation>, ErrorList> {
    let mut search = Search::default();
    search.object(origin, PointerBuf::root(), document, None);
    search.problems.or(search.pods)
}

/// API version and kind of an object.
#[derive(Clone, Copy)]
struct TypeMeta<'a> {
    api_version: &'a str,
    kind: &'a str,
}

#[derive(Default)]
struct Search {
    pods: Vec<PodLocation>,
    problems: ErrorList,
}

impl Search {
    /// `item_type` is the type of items in a typed list, which may omit their own.
    fn object(&mut self, place: &str, pointer: PointerBuf, value: &Value, item_type: Option<TypeMeta<'_>>) {
        let Value::Object(object) = value else {
            return self.problems.push(format!("{place}: expected a Kubernetes object, found {}", json_type(value)));
        };
        let Some(type_meta) = type_meta(object).or(item_type) else {
            return self.problems.push(format!("{place}: {}, expected a Kubernetes object", lacking(object)));
        };
        if let Some(item_kind) = list_of(type_meta) {
            self.items(place, &pointer, object, item_kind.map(|kind| TypeMeta { kind, ..type_meta }));
        } else if let Some(path) = path_to_pod(type_meta) {
            self.pod(place, pointer, value, type_meta.kind, path);
        }
    }

    fn items(&mut self, place: &str, pointer: &Pointer, list: &Map<String, Value>, item_type: Option<TypeMeta<'_>>) {
        match list.get("items") {
            None | Some(Value::Null) => {}
            Some(Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let pointer = pointer.concat(&PointerBuf::from_tokens(["items".into(), index.to_string()]));
                    self.object(&format!("{place}: items[{index}]"), pointer, item, item_type);
                }
            }
            Some(other) => self.problems.push(format!("{place}: items is {}, expected a list", json_type(other))),
        }
    }

    fn pod(&mut self, place: &str, pointer: PointerBuf, object: &Value, kind: &str, path: &'static [&'static str]) {
        let owner = format!("{kind}/{}", name(object));
        match check(object, path) {
            Ok(()) => self.pods.push(PodLocation {
                pointer: pointer.concat(&PointerBuf::from_tokens(path.iter().copied())),
                object_pointer: pointer,
                path,
                owner,
                namespace: text(object, "/metadata/namespace").map(str::to_owned),
            }),
            Err(problem) => self.problems.push(format!("{place}: {owner}: {problem}")),
        }
    }
}

fn type_meta(object: &Map<String, Value>) -> Option<TypeMeta<'_>> {
    let text = |key| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    Some(TypeMeta { api_version: text("apiVersion")?, kind: text("kind")? })
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
/// such as `PodList`.
fn list_of(type_meta: TypeMeta<'_>) -> Option<Option<&str>> {
    let item_kind = type_meta.kind.strip_suffix("List")?;
    if item_kind.is_empty() {
        return group(type_meta).is_empty().then_some(None);
    }
    path_to_pod(TypeMeta { kind: item_kind, ..type_meta }).map(|_| Some(item_kind))
}

fn path_to_pod(type_meta: TypeMeta<'_>) -> Option<&'static [&'static str]> {
    let row = KINDS.iter().find(|row| (row.0, row.1) == (group(type_meta), type_meta.kind));
    row.map(|row| row.2)
}

fn group(type_meta: TypeMeta<'_>) -> &str {
    type_meta.api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Checks that the path to the pod's spec consists of objects, and that metadata is one or absent.
fn check(object: &Value, members: &[&str]) -> Result<(), String> {
    let mut pod = object;
    let mut path = String::new();
    for member in members {
        pod = member_object(pod, &mut path, member)?;
    }
    match pod.get("metadata") {
        None | Some(Value::Null | Value::Object(_)) => {}
        Some(other) => return Err(format!("{path}metadata is {}, expected an object", json_type(other))),
    }
    member_object(pod, &mut path, "spec").map(|_| ())
}

fn member_object<'a>(object: &'a Value, path: &mut String, member: &str) -> Result<&'a Value, String> {
    let found = match object.get(member) {
        Some(value @ Value::Object(_)) => {
            path.push_str(&format!("{member}."));
            return Ok(value);
        }
        Some(other) => json_type(other),
        None => "absent",
    };
    Err(format!("{path}{member} is {found}, expected an object"))
}

/// The object's name, or its `generateName` with `*`.
pub(super) fn name(object: &Value) -> String {
    text(object, "/metadata/name")
        .map(str::to_owned)
        .or_else(|| text(object, "/metadata/generateName").map(|prefix| format!("{prefix}*")))
        .unwrap_or_else(|| "(no name)".to_owned())
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(document: &Value) -> Vec<(String, String)> {
        let pods = pod_locations("app.yaml", document).expect("the document is well formed");
        pods.into_iter().map(|location| (location.owner, location.pointer.to_string())).collect()
    }

    fn problems(document: &Value) -> String {
        pod_locations("app.yaml", document).expect_err("the document has a problem").to_string()
    }

    /// An object whose pod is at the end of `way`.
    fn workload(api_version: &str, kind: &str, path: &[&str]) -> Value {
        let pod = json!({"spec": {"containers": []}});
        let mut object = path.iter().rev().fold(pod, |inner, member| json!({ *member: inner }));
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
        object["metadata"] = json!({"name": "web"});
        object
    }

    #[test]
    fn every_kind_that_carries_a_pod() {
        for (group, kind, path) in KINDS {
            let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
            let pointer: String = path.iter().map(|member| format!("/{member}")).collect();
            assert_eq!(found(&workload(&api_version, kind, path)), [(format!("{kind}/web"), pointer)], "{kind}");
        }
    }

    #[test]
    fn a_kind_of_another_group_is_not_ours() {
        assert_eq!(found(&workload("batch.example.com/v1", "Job", TEMPLATE)), []);
        assert_eq!(found(&workload("v1", "Deployment", TEMPLATE)), []);
        assert_eq!(found(&json!({"apiVersion": "example.com/v1", "kind": "AllowList", "items": ["10.0.0.0/8"]})), []);
    }

    #[test]
    fn lists_are_looked_into_at_any_depth() {
        let inner = json!({"apiVersion": "v1", "kind": "List", "items": [workload("batch/v1", "Job", TEMPLATE)]});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [workload("v1", "Pod", &[]), inner]});
        let expected = [("Pod/web", "/items/0"), ("Job/web", "/items/1/items/0/spec/template")];
        assert_eq!(found(&list), expected.map(|(owner, pointer)| (owner.to_owned(), pointer.to_owned())));
    }

    #[test]
    fn items_of_a_typed_list_have_its_type() {
        let item = json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": {}}}});
        let list = json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [item]});
        assert_eq!(found(&list), [("Deployment/web".to_owned(), "/items/0/spec/template".to_owned())]);
    }

    #[test]
    fn a_list_without_items_has_no_pods() {
        for list in
            [json!({"apiVersion": "v1", "kind": "List"}), json!({"apiVersion": "v1", "kind": "List", "items": null})]
        {
            assert_eq!(found(&list), []);
        }
    }

    #[test]
    fn all_problems_of_a_list_are_named() {
        let items =
            json!([7, {"kind": "Pod"}, workload("v1", "Pod", &[]), {"apiVersion": "v1", "kind": "Pod", "spec": null}]);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let expected = [
            "app.yaml: items[0]: expected a Kubernetes object, found a number",
            "app.yaml: items[1]: no apiVersion, expected a Kubernetes object",
            "app.yaml: items[3]: Pod/(no name): spec is null, expected an object",
        ];
        assert_eq!(problems(&list).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_path_to_the_pod_is_checked() {
        let deployment =
            |spec| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec});
        for (spec, problem) in [
            (json!(null), "spec is null, expected an object"),
            (json!({}), "spec.template is absent, expected an object"),
            (json!({"template": []}), "spec.template is a list, expected an object"),
            (json!({"template": {}}), "spec.template.spec is absent, expected an object"),
            (json!({"template": {"spec": "x"}}), "spec.template.spec is a string, expected an object"),
            (
                json!({"template": {"metadata": 1, "spec": {}}}),
                "spec.template.metadata is a number, expected an object",
            ),
        ] {
            assert_eq!(problems(&deployment(spec)), format!("app.yaml: Deployment/web: {problem}"));
        }
    }

    #[test]
    fn annotations_of_the_object_around_a_pod_are_misplaced() {
        let found = |document: &Value| -> Vec<String> {
            let pods = pod_locations("app.yaml", document).expect("the document is well formed");
            pods[0].misplaced_annotations(document, |key| key != "b").into_iter().map(str::to_owned).collect()
        };
        for (group, kind, path) in KINDS {
            let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
            let mut object = workload(&api_version, kind, path);
            object["metadata"]["annotations"] = json!({"a": "x", "b": "x", "c": "x"});
            let misplaced = if path.is_empty() { vec![] } else { vec!["a".to_owned(), "c".to_owned()] };
            assert_eq!(found(&object), misplaced, "{kind}");
            let pod = path.iter().fold(&mut object, |inner, member| &mut inner[*member]);
            pod["metadata"]["annotations"] = json!({"a": "y", "c": "y"});
            assert_eq!(found(&object), [""; 0], "{kind}");
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [workload("batch/v1", "Job", TEMPLATE)]});
        let pods = pod_locations("app.yaml", &list).expect("the document is well formed");
        assert_eq!(pods[0].annotations_path(), "spec.template.metadata.annotations");
        assert_eq!(pods[0].misplaced_annotations(&list, |_| true), [""; 0]);
    }

    #[test]
    fn a_pod_template_becomes_a_pod_and_back() {
        let document = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "demo"},
            "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}},
        });
        let pods = pod_locations("app.yaml", &document).expect("the document is well formed");
        let pod = pods[0].pod(&document);
        let expected =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}});
        assert_eq!(pod, expected);
        assert_eq!(pods[0].namespace.as_deref(), Some("demo"));
        let mut written = document.clone();
        pods[0].put(&mut written, pod);
        assert_eq!(written, document);
    }
}
