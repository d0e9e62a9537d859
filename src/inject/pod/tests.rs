//! What is read of a pod's text, in whatever spelling, and what is no pod.

use super::*;
use serde_json::json;

fn head(text: &str) -> PodHead<'_> {
    PodHead::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(pod: &Value) -> String {
    match PodDocument::parse(&pod.to_string()) {
        Ok(_) => panic!("{pod} is taken for a pod"),
        Err(error) => error,
    }
}

/// A pod whose spec is this, with a container.
fn with_spec(field: &str, value: Value) -> Value {
    json!({"spec": {"containers": [{"name": "web"}], field: value}})
}

#[test]
fn annotations_borrow_from_the_text_where_it_has_no_escapes() {
    let text = r#"{"metadata":{"annotations":{"plain":"value","esc\u0061ped":"a\nb"}}}"#;
    let head = head(text);
    assert_eq!(head.annotation("plain"), Some("value"));
    assert_eq!(head.annotation("escaped"), Some("a\nb"));
    assert_eq!(head.annotation("other"), None);
    let borrowed: Vec<bool> = head.annotations.iter().map(|(key, _)| matches!(key, Cow::Borrowed(_))).collect();
    assert_eq!(borrowed, [true, false]);
}

#[test]
fn of_duplicate_annotations_the_last_counts() {
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
        assert_eq!((head.annotations.len(), head.operating_system()), (0, OperatingSystem::Linux), "{text}");
    }
}

#[test]
fn the_operating_system_is_said_by_os_or_by_the_node_selector() {
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
fn managed_fields_of_the_pod_are_left_out_and_no_others() {
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
fn a_shape_that_no_pod_has_is_refused_with_its_path() {
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
        (with_spec("nodeSelector", json!({"a": 1})), "spec.nodeSelector[a]: expected a string, found a number"),
        (with_spec("os", json!("linux")), "spec.os: expected an object, found a string"),
    ] {
        assert_eq!(error(&pod), message, "{pod}");
    }
    for (metadata, message) in [
        (json!(5), "invalid type: integer `5`, expected an object as metadata at line 1 column 13"),
        (json!({"labels": []}), "metadata.labels: expected a map of strings, found a list"),
        (json!({"labels": {"a\nb": 1}}), "metadata.labels[a\\nb]: expected a string, found a number"),
    ] {
        let mut pod = with_spec("volumes", json!(null));
        pod["metadata"] = metadata;
        assert_eq!(error(&pod), message, "{pod}");
    }
}

#[test]
fn a_null_among_strings_is_the_empty_one() {
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
fn what_is_no_json_object_is_refused() {
    let heavy = json!({"spec": {"containers": [{"name": "web"}], "x": vec![json!({}); 400_000]}}).to_string();
    assert!(PodDocument::parse(&heavy).is_err() && PodDocument::parse_part(&heavy, &[&reach()]).is_none());
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
    // The head passes over what it does not read, however deep, without a stack.
    assert!(PodHead::parse(&deep(100_000)).is_ok());
}

#[test]
fn a_job_owns_a_pod_by_its_kind() {
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

/// A template that looks at the app's mounts and at one field of the spec.
fn reach() -> Reach {
    let overlay = crate::inject::overlay::Overlay {
        volumes: vec![json!({"name": "logs"})],
        volume_mounts: vec![json!({"name": "logs", "mountPath": "/logs"})],
        pod: Map::from_iter([("dnsPolicy".to_owned(), json!("None"))]),
        ..Default::default()
    };
    Reach::new(&overlay, std::iter::empty()).expect("no expression")
}

#[test]
fn a_part_has_what_is_in_reach_in_its_place() {
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
    let part = PodDocument::parse_part(&text, &[&reach()]).expect("an ordinary pod");
    let expected = json!({
        "metadata": {"name": "web", "labels": {"a": "b"}},
        "spec": {
            "containers": [{
                "name": "web", "image": "web:1",
                "volumeMounts": [{"name": "data", "mountPath": "/data"}], "ports": [{"containerPort": 80}],
            }],
            "initContainers": null,
            "volumes": [{"name": "data"}, {"name": "token", "projected": {}}],
            "hostNetwork": false, "dnsPolicy": "ClusterFirst",
        },
    });
    assert_eq!(*part.tree(), expected);
}

/// Whatever the whole would refuse, the part leaves to the whole, even where it is out of reach.
#[test]
fn a_pod_that_is_out_of_shape_has_no_part() {
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
        assert!(PodDocument::parse_part(&text, &[&reach()]).is_none(), "{text}");
    }
    let heavy = json!({"spec": {"containers": [{"name": "web"}], "x": vec![json!({}); 400_000]}}).to_string();
    assert!(PodDocument::parse(&heavy).is_err() && PodDocument::parse_part(&heavy, &[&reach()]).is_none());
    for text in ["", "null", "[]", "{}", r#"{"spec":{"containers":[{"name":"web"}]}} x"#] {
        assert!(PodDocument::parse_part(text, &[&reach()]).is_none(), "{text}");
    }
}
