//! Tests the merge of lists, maps and scalars of a pod and of templates.

use super::*;

fn app(field: &str, items: Value) -> Value {
    json!({"app": {field: items}, "volumes": [{"name": "v", "emptyDir": {}}]})
}

fn own(field: &str, items: Value) -> impl FnOnce(&mut Value) {
    move |pod| pod["spec"]["containers"][0][field] = items
}

#[test]
fn new_items_follow_the_pods_own() {
    let injection =
        merged(app("env", json!([{"name": "B", "value": "2"}])), own("env", json!([{"name": "A", "value": "1"}])));
    assert_eq!(
        injection.pod["spec"]["containers"][0]["env"],
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    );
}

#[test]
fn an_existing_item_is_not_added_again() {
    let injection =
        merged(app("env", json!([{"name": "A", "value": "1"}])), own("env", json!([{"name": "A", "value": "1"}])));
    assert_eq!(injection.pod["spec"]["containers"][0]["env"], json!([{"name": "A", "value": "1"}]));
}

#[test]
fn another_value_under_one_key_is_a_conflict() {
    let messages =
        conflicts(app("env", json!([{"name": "A", "value": "1"}])), own("env", json!([{"name": "A", "value": "2"}])));
    assert_eq!(messages, ["containers[web].env[A]: the pod has \"2\", template \"agent\" wants \"1\""]);
    let mount = json!([{"name": "v", "mountPath": "/a"}]);
    let messages = conflicts(
        app("volumeMounts", mount),
        own("volumeMounts", json!([{"name": "v", "mountPath": "/a/", "readOnly": true}])),
    );
    assert!(messages[0].starts_with("containers[web].volumeMounts[/a]: "), "{messages:?}");
}

#[test]
fn a_conflict_without_its_values_names_the_template_alone() {
    let spec = json!({"app": {"env": [{"name": "A", "value": "one"}]}, "sidecars": [{"name": "agent", "image": "x", "ports": [{"containerPort": 80}]}]});
    let mut pod = pod("agent", json!({}));
    own("env", json!([{"name": "A", "value": "two"}]))(&mut pod);
    own("ports", json!([{"containerPort": 80}]))(&mut pod);
    let error = refused(&injector(&[template("agent", spec)]), &pod);
    let redacted: Vec<String> = error.problems().iter().map(|problem| problem.message.redacted()).collect();
    assert_eq!(
        redacted,
        [
            "…: the pod has …, template \"agent\" wants …",
            "port …/… is declared by the pod's container … and by container … of template \"agent\"; the containers of a pod share one network"
        ]
    );
}

#[test]
fn all_conflicts_are_listed_and_nothing_is_applied() {
    let spec = json!({"app": {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]}, "pod": {"dnsPolicy": "None", "schedulerName": "mine"}});
    let messages = conflicts(spec, |pod| {
        pod["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "2"}, {"name": "B", "value": "2"}]);
        pod["spec"]["dnsPolicy"] = json!("Default");
    });
    let places: Vec<&str> = messages.iter().filter_map(|message| message.split(": ").next()).collect();
    assert_eq!(places, ["containers[web].env[A]", "containers[web].env[B]", "spec.dnsPolicy"]);
}

#[test]
fn keep_pod_keeps_the_pods_value_with_a_warning() {
    let mut spec = app("env", json!([{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]));
    spec["onConflict"] = json!("KeepPod");
    let injection = merged(spec, own("env", json!([{"name": "A", "value": "2"}])));
    assert_eq!(
        injection.pod["spec"]["containers"][0]["env"],
        json!([{"name": "A", "value": "2"}, {"name": "B", "value": "1"}])
    );
    assert_eq!(
        injection.warnings,
        ["template \"agent\": containers[web].env[A]: the pod keeps \"2\", the template wants \"1\""]
    );
}

fn wants(name: &str, value: &str, policy: &str) -> Value {
    template(name, json!({"onConflict": policy, "app": {"env": [{"name": "A", "value": value}]}}))
}

#[test]
fn on_conflict_of_a_template_applies_to_its_own_conflicts() {
    let mut pod = pod("keeps, rejects", json!({}));
    pod["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "own"}]);
    for requested in ["keeps, rejects", "rejects, keeps"] {
        pod["metadata"]["annotations"]["outrigger.dev/inject"] = json!(requested);
        let error = refused(&injector(&[wants("keeps", "1", "KeepPod"), wants("rejects", "1", "Reject")]), &pod);
        assert_eq!(error.problems().len(), 1, "{requested}");
        assert_eq!(error.problems()[0].template.as_deref(), Some("rejects"), "{requested}");
    }
}

#[test]
fn two_templates_with_different_content_are_always_rejected() {
    let injector = injector(&[wants("one", "1", "KeepPod"), wants("two", "2", "KeepPod")]);
    let error = refused(&injector, &pod("one, two", json!({})));
    assert_eq!(
        error.to_string(),
        "conflict: containers[web].env[A]: template \"one\" wants \"1\", template \"two\" wants \"2\""
    );
}

#[test]
fn two_templates_with_equal_content_add_it_once() {
    let injector = injector(&[wants("one", "1", "Reject"), wants("two", "1", "Reject")]);
    let injection = injected(&injector, &pod("one, two", json!({})));
    assert_eq!(injection.pod["spec"]["containers"][0]["env"], json!([{"name": "A", "value": "1"}]));
}

#[test]
fn a_label_or_annotation_of_the_pod_stays_without_a_warning() {
    let spec = json!({"metadata": {"labels": {"a": "template", "b": "template"}, "annotations": {"x": "template"}}});
    let injection = merged(spec, |pod| {
        pod["metadata"]["labels"] = json!({"a": "own"});
        pod["metadata"]["annotations"]["x"] = json!("own");
    });
    assert_eq!(
        (&injection.pod["metadata"]["labels"]["a"], &injection.pod["metadata"]["labels"]["b"]),
        (&json!("own"), &json!("template"))
    );
    assert_eq!(injection.pod["metadata"]["annotations"]["x"], "own");
    assert!(injection.warnings.is_empty());
}

#[test]
fn values_that_the_api_server_fills_in_count_as_unset() {
    for (field, filled_in, wanted) in [
        ("terminationGracePeriodSeconds", json!(30), json!(60)),
        ("dnsPolicy", json!("ClusterFirst"), json!("Default")),
        ("schedulerName", json!("default-scheduler"), json!("mine")),
        ("serviceAccountName", json!("default"), json!("mine")),
        ("serviceAccountName", json!(""), json!("mine")),
        ("securityContext", json!({}), json!({"fsGroup": 5})),
        ("priorityClassName", json!(""), json!("high")),
        ("runtimeClassName", json!(null), json!("kata")),
    ] {
        let injection = merged(json!({"pod": {field: wanted}}), |pod| pod["spec"][field] = filled_in);
        assert_eq!(injection.pod["spec"][field], wanted, "{field}");
    }
}

#[test]
fn a_different_value_that_the_pods_author_set_is_a_conflict() {
    for (field, set, wanted) in [
        ("terminationGracePeriodSeconds", json!(31), json!(60)),
        ("dnsPolicy", json!("Default"), json!("None")),
        ("serviceAccountName", json!("own"), json!("mine")),
        ("automountServiceAccountToken", json!(true), json!(false)),
        ("shareProcessNamespace", json!(false), json!(true)),
        ("securityContext", json!({"fsGroup": 6}), json!({"fsGroup": 5})),
        ("nodeSelector", json!({"a": "x"}), json!({"a": "y"})),
        ("hostAliases", json!([{"ip": "1.1.1.1", "hostnames": ["a"]}]), json!([{"ip": "1.1.1.1", "hostnames": ["b"]}])),
    ] {
        assert_eq!(conflicts(json!({"pod": {field: wanted}}), |pod| pod["spec"][field] = set).len(), 1, "{field}");
    }
}

#[test]
fn maps_and_lists_of_pod_and_template_are_merged() {
    for (field, own, wanted, united) in [
        ("nodeSelector", json!({"a": "x"}), json!({"b": "y"}), json!({"a": "x", "b": "y"})),
        (
            "tolerations",
            json!([{"key": "a"}]),
            json!([{"key": "a"}, {"key": "b"}]),
            json!([{"key": "a"}, {"key": "b"}]),
        ),
        ("imagePullSecrets", json!([{"name": "a"}]), json!([{"name": "b"}]), json!([{"name": "a"}, {"name": "b"}])),
        ("readinessGates", json!(null), json!([{"conditionType": "a"}]), json!([{"conditionType": "a"}])),
        (
            "dnsConfig",
            json!({"searches": ["a"], "options": [{"name": "x"}]}),
            json!({"searches": ["b"], "options": [{"name": "x"}]}),
            json!({"searches": ["a", "b"], "options": [{"name": "x"}]}),
        ),
        ("securityContext", json!({"runAsUser": 5}), json!({"fsGroup": 6}), json!({"runAsUser": 5, "fsGroup": 6})),
    ] {
        let injection = merged(json!({"pod": {field: wanted}}), |pod| pod["spec"][field] = own);
        assert_eq!(injection.pod["spec"][field], united, "{field}");
    }
}

#[test]
fn the_computed_priority_is_removed_if_a_template_sets_a_class() {
    let spec = json!({"pod": {"priorityClassName": "high"}});
    let injection = merged(spec.clone(), |pod| {
        pod["spec"]["priority"] = json!(0);
        pod["spec"]["preemptionPolicy"] = json!("PreemptLowerPriority");
    });
    assert_eq!((injection.pod["spec"].get("priority"), injection.pod["spec"].get("preemptionPolicy")), (None, None));
    assert_eq!(merged(spec, |pod| pod["spec"]["priority"] = json!(5)).pod["spec"]["priority"], 5);
}

#[test]
fn a_container_with_a_sidecars_name_is_kept_if_equal_and_a_conflict_otherwise() {
    let spec = json!({"hardened": false, "sidecars": [{"name": "agent", "image": "agent:1"}], "metadata": {"labels": {"a": "b"}}});
    let done = merged(spec.clone(), |pod| {
        pod["spec"]["initContainers"] = json!([{"name": "agent", "image": "agent:1", "restartPolicy": "Always", "imagePullPolicy": "IfNotPresent"}]);
    });
    assert_eq!(names(&done.pod, "initContainers"), ["agent"]);
    for (list, container) in [
        ("initContainers", json!({"name": "agent", "image": "agent:2", "restartPolicy": "Always"})),
        ("initContainers", json!({"name": "agent", "image": "agent:1"})),
        ("containers", json!({"name": "agent", "image": "agent:1"})),
        ("ephemeralContainers", json!({"name": "agent", "image": "agent:1"})),
    ] {
        let messages = conflicts(spec.clone(), |pod| {
            let list = &mut pod["spec"][list];
            if list.is_null() {
                *list = json!([]);
            }
            list.as_array_mut().expect("a list").push(container.clone());
        });
        assert_eq!(messages.len(), 1, "{list}: {messages:?}");
    }
}

#[test]
fn a_template_that_conflicts_with_the_pod_is_left_out_if_it_may_be_skipped() {
    let skips = template("skips", json!({"onError": "Skip", "app": {"env": [{"name": "A", "value": "1"}]}}));
    let mut pod = pod("skips, agent", json!({}));
    pod["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "own"}]);
    let injection = injected(&injector(&[skips, agent()]), &pod);
    assert_eq!(injection.templates, ["agent"]);
    assert!(
        injection.warnings[0].starts_with("template \"skips\" is left out: conflict: "),
        "{:?}",
        injection.warnings
    );
}
