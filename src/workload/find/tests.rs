//! Which objects have pods, and where their pod templates stand.

use serde_json::json;

use super::*;

const DOMAIN: &str = "outrigger.dev";

fn found(document: &Value) -> Vec<(String, String)> {
    let pods = find(document, DOMAIN).pods;
    pods.into_iter().map(|location| (location.object.to_string(), location.pointer.to_string())).collect()
}

fn notes(document: &Value) -> Vec<String> {
    let notes = find(document, DOMAIN).notes;
    notes.into_iter().map(|note| format!("{}: {}", note.object, note.finding)).collect()
}

/// An object whose pod is at the end of `path`.
fn workload(api_version: &str, kind: &str, path: &[&str]) -> Value {
    let pod = json!({"spec": {"containers": []}});
    let mut object = path.iter().rev().fold(pod, |inner, member| json!({ *member: inner }));
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    object["metadata"] = json!({"name": "web"});
    object
}

#[test]
fn every_known_kind_carries_a_pod() {
    for KnownKind { group, kind, path, .. } in KINDS {
        let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        let object = workload(&api_version, kind, path);
        let pointer: String = path.iter().map(|member| format!("/{member}")).collect();
        assert_eq!(found(&object), [(format!("{kind} web"), pointer)], "{kind}");
        assert_eq!(notes(&object), [""; 0], "{kind}");
    }
}

#[test]
fn an_unknown_kind_is_found_by_its_shape() {
    for (api_version, kind, path) in [("batch.example.com/v1", "Job", TEMPLATE), ("a/v1", "Task", JOB_TEMPLATE)] {
        let found = find(&workload(api_version, kind, path), DOMAIN).pods;
        assert_eq!((found.len(), found[0].is_known), (1, false), "{kind}");
    }
    assert_eq!(found(&json!({"apiVersion": "example.com/v1", "kind": "AllowList", "items": ["10.0.0.0/8"]})), []);
    assert_eq!(found(&json!({"apiVersion": "a/v1", "kind": "X", "spec": {"template": {"spec": {}}}})), []);
}

#[test]
fn a_kind_in_the_wrong_case_or_group_is_named_rightly() {
    let deployment = workload("apps/v1", "deployment", TEMPLATE);
    assert_eq!(
        notes(&deployment),
        ["deployment web: kind_misspelt: apps/v1 has no kind \"deployment\"; write \"Deployment\""]
    );
    assert_eq!(found(&deployment).len(), 1);
    let pod = workload("apps/v1", "Pod", &[]);
    assert_eq!(notes(&pod), ["Pod web: kind_misspelt: apps/v1 has no kind \"Pod\"; kind Pod is in apiVersion v1"]);
    assert_eq!(notes(&workload("example.com/v1", "job", TEMPLATE)), [""; 0]);
}

#[test]
fn lists_are_looked_into_at_any_depth() {
    let inner = json!({"apiVersion": "v1", "kind": "List", "items": [workload("batch/v1", "Job", TEMPLATE)]});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [workload("v1", "Pod", &[]), inner]});
    let expected = [("Pod web", "/items/0"), ("Job web", "/items/1/items/0/spec/template")];
    assert_eq!(found(&list), expected.map(|(owner, pointer)| (owner.to_owned(), pointer.to_owned())));
}

#[test]
fn items_of_a_typed_list_have_its_type() {
    let item = json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": []}}}});
    let list = json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [item]});
    assert_eq!(found(&list), [("Deployment web".to_owned(), "/items/0/spec/template".to_owned())]);
}

#[test]
fn a_list_without_items_has_no_pods() {
    for list in
        [json!({"apiVersion": "v1", "kind": "List"}), json!({"apiVersion": "v1", "kind": "List", "items": null})]
    {
        assert_eq!(found(&list), []);
        assert_eq!(notes(&list), [""; 0]);
    }
}

#[test]
fn incomplete_objects_are_noted_and_hide_no_other() {
    let items = json!([7, null, {"kind": "Pod"}, workload("v1", "Pod", &[]),
        {"apiVersion": "v1", "kind": "Pod", "spec": null},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "$patch": "delete"}]);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let expected = [
        "object: object_incomplete: expected a Kubernetes object, found a number; it is left as it is",
        "object: object_incomplete: expected a Kubernetes object, found null; it is left as it is",
        "object: object_incomplete: no apiVersion, expected a Kubernetes object; it is left as it is",
        "Pod: object_incomplete: spec is null, expected an object; it is left as it is",
        "Deployment a: object_incomplete: it is a patch, expected a whole object; it is left as it is",
    ];
    assert_eq!(notes(&list), expected);
    assert_eq!(found(&list).len(), 1);
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
        (json!({"template": {"spec": {}}}), "spec.template.spec.containers is absent, expected a list"),
        (json!({"template": {"metadata": 1, "spec": {}}}), "spec.template.metadata is a number, expected an object"),
    ] {
        let expected = format!("Deployment web: object_incomplete: {problem}; it is left as it is");
        assert_eq!(notes(&deployment(spec)), [expected]);
    }
}

#[test]
fn keys_of_ours_in_objects_without_a_pod_are_named() {
    let annotations = json!({"outrigger.dev/inject": "a"});
    let patch = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"metadata": {"annotations": annotations}}}});
    assert!(notes(&patch)[0].contains(
        "annotation outrigger.dev/inject at spec.template.metadata.annotations needs the whole pod template here"
    ));
    let custom = json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": {"name": "p"},
        "spec": {"podMetadata": {"annotations": annotations}}});
    let [note] = &notes(&custom)[..] else { panic!("one note") };
    assert!(note.starts_with("Prometheus p: kind_not_searched: outrigger.dev/inject at spec.podMetadata.annotations"));
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "annotations": annotations}});
    assert_eq!(notes(&namespace), [""; 0]);
}
