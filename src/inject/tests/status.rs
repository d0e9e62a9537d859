//! Tests of second passes and `uninject` with genuine and forged status annotations.

use super::*;

fn status(entries: Value) -> Value {
    json!({"outrigger.dev/status": json!({"version": 1, "templates": entries}).to_string()})
}

fn entry(change: Value) -> Value {
    let mut entry = json!([{"name": "agent", "revision": "0123456789"}]);
    entry[0].as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
    entry
}

fn skipped(outcome: Result<Outcome, InjectError>) -> Skip {
    match outcome {
        Ok(Outcome::Skipped(skip)) => skip,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_status_lists_what_was_added() {
    let injection = injected(&injector(&[agent()]), &pod("agent", json!({})));
    let text = injection.pod["metadata"]["annotations"]["outrigger.dev/status"].as_str().expect("a status").to_owned();
    let status: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status["version"], 1);
    let entry = &status["templates"][0];
    assert_eq!(
        (&entry["name"], &entry["containers"], &entry["volumes"]),
        (&json!("agent"), &json!([]), &json!(["agent-data"]))
    );
    assert_eq!(entry["initContainers"], json!(["agent"]));
    let default = "annotations/kubectl.kubernetes.io~1default-container";
    assert_eq!(entry["added"], json!(["containers/web/env/AGENT", "containers/web/volumeMounts/~1agent", default]));
    assert_eq!(injection.pod["metadata"]["labels"]["agent.outrigger.dev/revision"], entry["revision"]);
}

#[test]
fn templates_that_bring_the_same_are_both_in_status_and_labels() {
    let same = || json!({"pod": {"terminationGracePeriodSeconds": 60, "tolerations": [{"operator": "Exists"}]}});
    let injector = injector(&[template("one", same()), template("two", same())]);
    let original = pod("one, two", json!({}));
    let injection = injected(&injector, &original);
    assert_eq!(injection.templates, ["one", "two"]);
    assert!(injection.reasons.is_empty());
    let labels = &injection.pod["metadata"]["labels"];
    for name in ["one", "two"] {
        assert!(labels[format!("{name}.outrigger.dev/revision")].is_string(), "{labels}");
    }
    let again = skipped(inject(&injector, &injection.pod));
    assert_eq!(again.templates, ["one", "two"]);
    assert_eq!(uninject(&injection.pod, "outrigger.dev").expect("a status"), Some(original));
}

#[test]
fn a_status_that_lists_absent_content_is_ignored() {
    let injector = injector(&[agent()]);
    for missing in [
        json!({"containers": ["agent"]}),
        json!({"initContainers": ["agent"]}),
        json!({"volumes": ["agent-data"]}),
        json!({"containers": ["web", "x"]}),
    ] {
        let injection = injected(&injector, &pod("agent", status(entry(missing))));
        assert_eq!(injection.templates, ["agent"]);
        assert!(injection.reasons.is_empty());
    }
}

#[test]
fn a_value_that_is_not_a_status_is_ignored() {
    let injector = injector(&[agent()]);
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "true",
        r#"{"version":2,"templates":[{"name":"agent"}]}"#,
        r#"{"version":1}"#,
        r#"{"version":1,"templates":{}}"#,
        r#"{"version":1,"templates":[{"name":1}]}"#,
        r#"{"version":1,"templates":[{"name":""}]}"#,
    ] {
        let injection = injected(&injector, &pod("agent", json!({"outrigger.dev/status": text})));
        assert_eq!(injection.templates, ["agent"], "{text}");
    }
}

#[test]
fn a_pod_with_another_revision_is_not_injected_again_and_gets_a_warning() {
    let skip = skipped(inject(&injector(&[agent()]), &pod("agent", status(entry(json!({}))))));
    assert_eq!((skip.reasons.as_slice(), skip.warnings.len()), ([SkipReason::AlreadyInjected].as_slice(), 1));
    assert!(
        skip.warnings[0].starts_with("template \"agent\": the pod has revision \"0123456789\", the current one is ")
    );
}

#[test]
fn a_template_in_the_status_counts_even_if_it_is_removed_or_no_longer_matches() {
    let skip = skipped(inject(&injector(&[]), &pod("agent", status(entry(json!({}))))));
    assert_eq!(skip.templates, ["agent"]);
    let picky = template(
        "agent",
        json!({"metadata": {"labels": {"a": "b"}}, "match": {"conditions": [{"expression": "false"}]}}),
    );
    let skip = skipped(inject(&injector(&[picky]), &pod("agent", status(entry(json!({}))))));
    assert_eq!(skip.templates, ["agent"]);
}

#[test]
fn a_rewritten_image_is_not_a_conflict_in_a_second_pass() {
    let injector = injector(&[agent()]);
    let mut again = injected(&injector, &pod("agent", json!({}))).pod;
    again["spec"]["initContainers"][0]["image"] = json!("mirror.example/agent@sha256:0");
    assert_eq!(skipped(inject(&injector, &again)).reasons, [SkipReason::AlreadyInjected]);
}

#[test]
fn another_template_is_added_beside_the_first() {
    let injector = injector(&[agent(), template("labels", json!({"metadata": {"labels": {"a": "b"}}}))]);
    let mut again = injected(&injector, &pod("agent", json!({}))).pod;
    again["metadata"]["annotations"]["outrigger.dev/inject"] = json!("agent, labels");
    let injection = injected(&injector, &again);
    assert_eq!(
        (injection.templates.as_slice(), injection.reasons.as_slice()),
        (["labels".to_owned()].as_slice(), [SkipReason::AlreadyInjected].as_slice())
    );
    let text = injection.pod["metadata"]["annotations"]["outrigger.dev/status"].as_str().expect("a status").to_owned();
    let names: Vec<Value> = serde_json::from_str::<Value>(&text).expect("JSON")["templates"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| entry["name"].clone())
        .collect();
    assert_eq!(names, ["agent", "labels"]);
    let mut out = uninject(&injection.pod, "outrigger.dev").expect("a status").expect("something to take out");
    out["metadata"]["annotations"]["outrigger.dev/inject"] = json!("agent");
    assert_eq!(out, pod("agent", json!({})));
}

#[test]
fn uninject_removes_exactly_what_was_added() {
    let original = pod("agent", json!({"example.org/kept": "yes"}));
    let injected = injected(&injector(&[agent()]), &original).pod;
    assert_eq!(uninject(&injected, "outrigger.dev"), Ok(Some(original)));
}

#[test]
fn uninject_does_nothing_without_a_status() {
    assert_eq!(uninject(&pod("agent", json!({})), "outrigger.dev"), Ok(None));
    assert_eq!(uninject(&json!({}), "outrigger.dev"), Ok(None));
    assert_eq!(uninject(&json!(null), "outrigger.dev"), Ok(None));
}

#[test]
fn uninject_refuses_a_value_that_is_not_a_status() {
    for text in [json!("{}"), json!("x"), json!(5), json!(r#"{"version":2,"templates":[]}"#)] {
        let error =
            uninject(&pod("agent", json!({"outrigger.dev/status": text})), "outrigger.dev").expect_err("no status");
        assert_eq!(error.codes(), [ErrorCode::AnnotationInvalid], "{text}");
    }
}

#[test]
fn a_forged_status_cannot_remove_what_no_template_adds() {
    for key in [
        "spec",
        "metadata",
        "",
        "/",
        "containers",
        "containers/web",
        "containers/web/name",
        "initContainers/x",
        "volumes/data",
        "metadata/name",
        "labels",
        "annotations",
        "labels/a/b",
        "spec/containers",
        "spec/hostNetwork",
        "spec/volumes",
        "spec/securityContexts",
        "status",
        "status/phase",
        "web",
        "ephemeralContainers/x/image",
    ] {
        let forged = pod("agent", status(entry(json!({"added": [key]}))));
        let error = uninject(&forged, "outrigger.dev").expect_err(key);
        assert!(error.to_string().contains("is not a status that outrigger wrote"), "{key}: {error}");
    }
}

#[test]
fn a_forged_status_cannot_add_anything() {
    for (key, value) in [
        ("spec/hostPID", json!(true)),
        ("spec/serviceAccountName", json!("admin")),
        ("spec/securityContext", json!({"runAsUser": 0})),
        ("spec/containers", json!([])),
        ("containers/web/image", json!("evil:1")),
        ("containers/web/securityContext/privileged", json!(true)),
        ("containers/web/name", json!(null)),
        ("labels/x", json!("y")),
        ("metadata", json!({"name": "x"})),
        ("metadata/name", json!(null)),
        ("volumes", json!([{"name": "host", "hostPath": {"path": "/"}}])),
        ("status", json!(null)),
    ] {
        let forged = pod("agent", status(entry(json!({"replaced": {key: value}}))));
        assert!(uninject(&forged, "outrigger.dev").is_err(), "{key}");
    }
}

#[test]
fn uninject_restores_values_that_the_api_server_had_filled_in() {
    let spec = json!({"pod": {"terminationGracePeriodSeconds": 60, "dnsPolicy": "Default", "priorityClassName": "high", "securityContext": {"fsGroup": 5}}});
    let mut original = pod("agent", json!({}));
    let filled_in = json!({"terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "securityContext": {}, "priority": 0, "preemptionPolicy": "PreemptLowerPriority"});
    original["spec"].as_object_mut().expect("a spec").extend(filled_in.as_object().expect("fields").clone());
    let injected = injected(&injector(&[template("agent", spec)]), &original).pod;
    assert_eq!(injected["spec"]["terminationGracePeriodSeconds"], 60);
    assert!(injected["spec"].get("priority").is_none());
    assert_eq!(uninject(&injected, "outrigger.dev"), Ok(Some(original)));
}

#[test]
fn uninject_restores_a_filled_container() {
    let mut original = pod("agent", json!({}));
    original["spec"]["initContainers"] =
        json!([{"name": "agent", "image": "auto", "env": [], "resources": null, "securityContext": {"runAsUser": 5}}]);
    let injected = injected(&injector(&[agent()]), &original).pod;
    assert_eq!(injected["spec"]["initContainers"][0]["image"], "agent:1");
    assert_eq!(uninject(&injected, "outrigger.dev"), Ok(Some(original)));
}

#[test]
fn uninject_lowers_resources_that_grew_unless_somebody_changed_them() {
    let resources = json!({"requests": {"cpu": "10m", "memory": "1Mi"}});
    let sidecar =
        |name: &str| template(name, json!({"sidecars": [{"name": name, "image": "x:1", "resources": resources}]}));
    let mut original = pod("one, two", json!({}));
    original["spec"]["resources"] = json!({"requests": {"cpu": "0.1", "memory": "1Gi"}});
    let injector = injector(&[sidecar("one"), sidecar("two")]);
    let injected = injected(&injector, &original).pod;
    assert_eq!(injected["spec"]["resources"]["requests"], json!({"cpu": "120m", "memory": "1026Mi"}));
    assert_eq!(uninject(&injected, "outrigger.dev"), Ok(Some(original.clone())));
    // Another spelling is the same amount; another amount is somebody else's.
    let mut changed = injected;
    changed["spec"]["resources"]["requests"] = json!({"cpu": "0.12", "memory": "2Gi"});
    let left = uninject(&changed, "outrigger.dev").expect("a status").expect("something to take out");
    assert_eq!(left["spec"]["resources"]["requests"], json!({"cpu": "0.1", "memory": "2Gi"}));
}

#[test]
fn a_forged_status_cannot_change_the_resources_of_a_pod_at_will() {
    for (key, from, to) in [
        ("spec/resources/requests/cpu", json!("2"), json!("1")),
        ("spec/resources/requests/cpu", json!("1"), json!("1")),
        ("spec/resources/requests/cpu", json!({}), json!("1")),
        ("spec/resources/requests/cpu", json!("1"), json!(null)),
        ("spec/resources/requests", json!("1"), json!("2")),
        ("spec/resources/claims/cpu", json!("1"), json!("2")),
        ("spec/resources/requests/cpu/x", json!("1"), json!("2")),
        ("containers/web/resources/requests/cpu", json!("1"), json!("2")),
        ("spec/terminationGracePeriodSeconds", json!(1), json!(2)),
    ] {
        let forged = pod("agent", status(entry(json!({"raised": {key: {"from": from, "to": to}}}))));
        assert!(uninject(&forged, "outrigger.dev").is_err(), "{key} {from} {to}");
    }
}
