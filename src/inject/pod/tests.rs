//! Tests of reading pods: heads, parts, whole pods, and texts that are not pods.

use super::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn head(text: &str) -> PodHead<'_> {
    PodHead::read(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(pod: &Value) -> String {
    match PodDocument::parse(&pod.to_string()) {
        Ok(_) => panic!("{pod} is taken for a pod"),
        Err(error) => error.to_string(),
    }
}

/// A pod with a container and this field in its spec.
fn with_spec(field: &str, value: Value) -> Value {
    json!({"spec": {"containers": [{"name": "web"}], field: value}})
}

#[test]
fn the_last_of_duplicate_annotations_counts() {
    let text = r#"{"metadata":{"annotations":{"a":"first","a":"last"}},"spec":{"containers":[{"name":"web"}]}}"#;
    assert_eq!(head(text).annotation("a"), Some("last"));
    assert_eq!(PodDocument::parse(text).expect("a pod").annotation("a"), Some("last"));
}

#[test]
fn absent_and_null_parts_of_the_head_are_empty() {
    for text in [
        "{}",
        r#"{"metadata":null,"spec":null}"#,
        r#"{"metadata":{"annotations":null}}"#,
        r#"{"spec":{"os":null,"nodeSelector":null},"x":"windows"}"#,
    ] {
        let head = head(text);
        assert_eq!((head.annotation_keys().count(), head.operating_system()), (0, OperatingSystem::Linux), "{text}");
    }
}

#[test]
fn the_operating_system_comes_from_os_or_else_the_node_selector() {
    let table = [
        (json!({"os": {"name": "windows"}}), OperatingSystem::Windows),
        (json!({"nodeSelector": {"kubernetes.io/os": "windows"}}), OperatingSystem::Windows),
        (json!({"os": {"name": "linux"}, "nodeSelector": {"kubernetes.io/os": "windows"}}), OperatingSystem::Linux),
        (json!({"os": {}, "nodeSelector": {"kubernetes.io/os": "windows"}}), OperatingSystem::Windows),
        (json!({"nodeSelector": {"os": "windows"}}), OperatingSystem::Linux),
        (json!({"os": {"name": "Windows"}}), OperatingSystem::Linux),
    ];
    for (mut spec, expected) in table {
        let text = json!({"spec": spec}).to_string();
        assert_eq!(head(&text).operating_system(), expected, "{spec}");
        spec["containers"] = json!([{"name": "web"}]);
        let pod = PodDocument::parse(&json!({"spec": spec}).to_string()).expect("a pod");
        assert_eq!(PodHead::of(&pod).operating_system(), expected, "{spec}");
    }
}

#[test]
fn only_the_managed_fields_of_the_pods_metadata_are_left_out() {
    let text = json!({
        "metadata": {"name": "web", "managedFields": [{"manager": "kubectl"}], "unknown": 1},
        "spec": {"containers": [{"name": "web"}], "managedFields": "kept", "metadata": {"managedFields": "kept"}},
        "managedFields": "kept",
    })
    .to_string();
    let pod = PodDocument::parse(&text).expect("a pod");
    let mut expected: Value = serde_json::from_str(&text).expect("JSON");
    expected["metadata"].as_object_mut().expect("metadata").remove("managedFields");
    assert_eq!(*pod.tree(), expected);
}

#[test]
fn numbers_of_unknown_fields_survive_exactly() {
    let text = r#"{"spec":{"containers":[{"name":"web","big":18446744073709551615,"small":-9223372036854775808,"float":0.1}]}}"#;
    assert_eq!(
        PodDocument::parse(text).expect("a pod").into_tree().to_string(),
        text.replace(
            r#""name":"web","big":18446744073709551615,"small":-9223372036854775808,"float":0.1"#,
            r#""big":18446744073709551615,"float":0.1,"name":"web","small":-9223372036854775808"#
        )
    );
}

#[test]
fn a_structure_that_no_pod_has_is_refused_with_its_path() {
    for (pod, message) in [
        (json!({}), "spec: expected the pod's spec, found nothing"),
        (json!({"spec": []}), "spec: expected the pod's spec, found a list"),
        (json!({"spec": {}}), "spec.containers: expected at least one container, found nothing"),
        (with_spec("containers", json!({})), "spec.containers: expected a list, found an object"),
        (with_spec("containers", json!([1])), "spec.containers[0]: expected an object, found a number"),
        (
            with_spec("containers", json!([{"name": "a"}, {}])),
            "spec.containers[1].name: expected a name, found nothing",
        ),
        (with_spec("containers", json!([{"name": 5}])), "spec.containers[0].name: expected a name, found a number"),
        (with_spec("initContainers", json!("x")), "spec.initContainers: expected a list, found a string"),
        (
            with_spec("ephemeralContainers", json!([null])),
            "spec.ephemeralContainers[0]: expected an object, found null",
        ),
        (with_spec("volumes", json!([{"emptyDir": {}}])), "spec.volumes[0].name: expected a name, found nothing"),
        (
            with_spec("containers", json!([{"name": "a", "env": [{}]}])),
            "spec.containers[0].env[0].name: expected a name, found nothing",
        ),
        (
            with_spec("containers", json!([{"name": "a", "env": {}}])),
            "spec.containers[0].env: expected a list, found an object",
        ),
        (
            with_spec("containers", json!([{"name": "a", "ports": [80]}])),
            "spec.containers[0].ports[0]: expected an object, found a number",
        ),
        (
            with_spec("containers", json!([{"name": "a", "volumeMounts": [true]}])),
            "spec.containers[0].volumeMounts[0]: expected an object, found a boolean",
        ),
        (with_spec("nodeSelector", json!("x")), "spec.nodeSelector: expected a map of strings, found a string"),
        (
            with_spec("nodeSelector", json!({"a": 1})),
            "spec.nodeSelector[a]: expected a string, found a number; put it in quotes",
        ),
        (with_spec("os", json!("linux")), "spec.os: expected an object, found a string"),
    ] {
        assert_eq!(error(&pod), message, "{pod}");
    }
    for (metadata, message) in [
        (json!(5), "expected an object as metadata, found the integer `5` at line 1 column 13"),
        (json!({"labels": []}), "metadata.labels: expected a map of strings, found a list"),
        (json!({"labels": {"a\nb": 1}}), "metadata.labels[a\\nb]: expected a string, found a number; put it in quotes"),
    ] {
        let mut pod = with_spec("volumes", json!(null));
        pod["metadata"] = metadata;
        assert_eq!(error(&pod), message, "{pod}");
    }
}

#[test]
fn a_null_in_a_map_of_strings_is_the_empty_string() {
    let text = r#"{"metadata":{"annotations":{"a":null}},"spec":{"containers":[{"name":"web"}]}}"#;
    assert_eq!(head(text).annotation("a"), Some(""));
    assert_eq!(PodHead::of(&PodDocument::parse(text).expect("a pod")).annotation("a"), Some(""));
}

#[test]
fn null_and_absent_lists_are_empty() {
    let pod = PodDocument::parse(&with_spec("initContainers", json!(null)).to_string()).expect("a pod");
    assert!(pod.containers(ContainerList::InitContainers).is_empty());
    assert!(pod.spec_items("volumes").is_empty());
    assert_eq!(pod.containers(ContainerList::Containers).len(), 1);
}

#[test]
fn a_text_that_is_not_a_json_object_is_refused() {
    let heavy = json!({"spec": {"containers": [{"name": "web"}], "x": vec![json!({}); 400_000]}}).to_string();
    assert!(PodDocument::parse(&heavy).is_err() && read(&heavy).is_err());
    for text in ["", "null", "[]", "5", "\"pod\"", "{", "{} {}", r#"{"spec":{"containers":[{"name":"a"}]}} x"#] {
        assert!(PodDocument::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_text_that_is_too_deep_is_refused() {
    let deep = |levels: usize| {
        format!(r#"{{"spec":{{"containers":[{{"name":"a","x":{}1{}}}]}}}}"#, "[".repeat(levels), "]".repeat(levels))
    };
    assert!(PodDocument::parse(&deep(100)).is_ok());
    assert!(PodDocument::parse(&deep(100_000)).is_err());
    // The head skips fields that it does not read, at any depth, without recursion.
    assert!(PodHead::read(&deep(100_000)).is_ok());
}

#[test]
fn a_pod_is_owned_by_a_job_if_an_owner_has_kind_job() {
    let owned = |owners: Value| {
        let mut pod = with_spec("volumes", json!([]));
        pod["metadata"] = json!({"ownerReferences": owners});
        PodDocument::parse(&pod.to_string()).expect("a pod").is_owned_by_job()
    };
    assert!(owned(json!([{"kind": "ReplicaSet"}, {"kind": "Job"}])));
    assert!(
        !owned(json!([{"kind": "CronJob"}]))
            && !owned(json!([]))
            && !owned(json!(null))
            && !owned(json!({"kind": "Job"}))
    );
}

/// The read set of a template that reads the app's mounts and one field of the spec.
fn read_set() -> ReadSet {
    ReadSet {
        spec_fields: BTreeSet::from(["dnsPolicy".to_owned()]),
        container_fields: BTreeSet::from(["volumeMounts"]),
        volumes: BTreeSet::from(["logs".to_owned()]),
        ..ReadSet::default()
    }
}

/// The part of a text for [`read_set`]; `None` if the whole pod has to be parsed.
fn part(text: &str) -> Option<PodDocument> {
    PodDocument::part(&ScannedPod::of(text)?, &[&read_set()])
}

#[test]
fn a_part_has_exactly_the_fields_of_the_read_set() {
    let text = json!({
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"a": "b"}, "managedFields": [{"manager": "kubectl"}]},
        "spec": {
            "containers": [{
                "name": "web", "image": "web:1", "args": ["x"], "env": [{"name": "A", "value": "1"}], "volumeDevices": null,
                "volumeMounts": [{"name": "data", "mountPath": "/data"}], "ports": [{"containerPort": 80}],
            }],
            "initContainers": null,
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "token", "projected": {"sources": [{}]}}],
            "hostNetwork": false, "dnsPolicy": "ClusterFirst", "tolerations": [{"key": "a"}],
        },
        "status": {},
    })
    .to_string();
    let part = part(&text).expect("an ordinary pod");
    let expected = json!({
        "metadata": {"name": "web", "labels": {"a": "b"}},
        "spec": {
            "containers": [{
                "name": "web", "image": "web:1", "volumeDevices": null,
                "volumeMounts": [{"name": "data", "mountPath": "/data"}], "ports": [{"containerPort": 80}],
            }],
            "initContainers": null,
            "volumes": [{"name": "data"}, {"name": "token", "projected": {}}],
            "hostNetwork": false, "dnsPolicy": "ClusterFirst",
        },
    });
    assert_eq!(*part.tree(), expected);
}

/// A pod that is refused when parsed as a whole is not read in part, even if the error is outside
/// the read set.
#[test]
fn a_pod_with_a_wrong_structure_is_not_read_in_part() {
    let container = |field: &str, value: Value| json!({"name": "web", field: value});
    for container in [
        json!(null),
        json!("web"),
        json!({"image": "web:1"}),
        container("env", json!({})),
        container("env", json!([{}])),
        container("env", json!([{"name": 1}])),
        container("env", json!([null])),
        container("envFrom", json!(["x"])),
        container("volumeDevices", json!([{"name": 1}])),
        container("volumeMounts", json!(1)),
        container("ports", json!({})),
    ] {
        let text = json!({"spec": {"containers": [container]}}).to_string();
        assert!(PodDocument::parse(&text).is_err(), "{text}");
        assert!(part(&text).is_none(), "{text}");
    }
    let heavy = json!({"spec": {"containers": [{"name": "web"}], "x": vec![json!({}); 400_000]}}).to_string();
    assert!(PodDocument::parse(&heavy).is_err() && read(&heavy).is_err());
    for text in ["", "null", "[]", "{}", r#"{"spec":{"containers":[{"name":"web"}]}} x"#] {
        assert!(part(text).is_none(), "{text}");
    }
}

const INJECT: &str = "outrigger.dev/inject";

fn open(text: &str) -> Pod<'_> {
    Pod::open(text, None, INJECT).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The tree of a text whose templates have [`read_set`].
fn read(text: &str) -> Result<Value, PodError> {
    Pod::open(text, None, INJECT)?.read(Some(&[&read_set()])).map(PodDocument::into_tree)
}

/// The API server never repeats a key. A client that does must not get a decision on other
/// annotations than those in the tree.
#[test]
fn head_and_tree_agree_if_a_text_repeats_keys() {
    let asking = |value: &str| format!(r#"{{"annotations":{{"{INJECT}":"{value}"}}}}"#);
    let spec = r#""spec":{"containers":[{"name":"web"}]}"#;
    for text in [
        format!(r#"{{"metadata":{},{spec},"metadata":{}}}"#, asking("a"), asking("b")),
        format!(r#"{{"metadata":{{}},{spec},"metadata":{}}}"#, asking("b")),
        format!(r#"{{"metadata":{},{spec},"metad\u0061ta":{}}}"#, asking("a"), asking("b")),
        format!(r#"{{"metadata":{{"annotations":{{"{INJECT}":"a"}},"annotations":{{"{INJECT}":"b"}}}},{spec}}}"#),
        format!(r#"{{"metadata":{{"annotations":{{"{INJECT}":"a"}},"\u0061nnotations":{{"{INJECT}":"b"}}}},{spec}}}"#),
    ] {
        assert_eq!(open(&text).head().annotation(INJECT), Some("b"), "{text}");
        assert_eq!(read(&text).expect("a pod")["metadata"]["annotations"][INJECT], "b", "{text}");
    }
    let plain = format!(r#"{{"metadata":{},{spec}}}"#, asking("a"));
    assert!(matches!(open(&plain).content, Content::Scanned(_)), "an ordinary text is scanned");
    let unusual = plain.replacen('{', r#"{"kin\u0064":"Pod","#, 1);
    assert!(matches!(open(&unusual).content, Content::Whole(..)), "{unusual}");
}

#[test]
fn a_pod_with_a_repeated_key_is_read_as_a_whole() {
    let containers = r#""containers":[{"name":"web"}]"#;
    for text in [
        format!(r#"{{"metadata":{{}},"metadata":{{}},"spec":{{{containers}}}}}"#),
        format!(r#"{{"spec":{{{containers},{containers}}}}}"#),
        format!(r#"{{"spec":{{{containers},"dnsPolicy":"None","dnsPolicy":"Default"}}}}"#),
    ] {
        assert!(part(&text).is_none(), "{text}");
        let whole: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read(&text).expect("a pod"), whole, "{text}");
    }
}

/// A pod that requests no template is not refused because of fields that are not read.
#[test]
fn the_head_of_a_pod_that_is_too_large_can_be_read() {
    let heavy = json!({"metadata": {"annotations": {INJECT: "false"}}, "spec": {"x": vec![json!({}); 400_000]}});
    for text in [heavy.to_string(), heavy.to_string().replace("\"spec\"", "\"metadata\":{},\"spec\"")] {
        assert_eq!(open(&text).head().annotation(INJECT), Some("false"));
        assert_eq!(open(&text).read(None).expect_err("too large").to_string(), PodError::TooLarge.to_string());
    }
}
