//! Tests which values of a pod and a template are equal: defaults, spellings and similar values.

use super::*;

/// Asserts that the two are equal, whichever of them is the template's.
fn same(one: &Value, other: &Value) {
    assert!(equal::same(one, other), "{one} is not {other}");
    assert!(equal::same(other, one), "{other} is not {one}");
}

fn different(one: &Value, other: &Value) {
    assert!(!equal::same(one, other), "{one} is {other}");
    assert!(!equal::same(other, one), "{other} is {one}");
}

#[test]
fn equal_values_are_the_same() {
    for value in [json!(null), json!(true), json!(1), json!("a"), json!([1, "a"]), json!({"name": "a", "args": ["b"]})]
    {
        same(&value, &value);
    }
}

#[test]
fn different_values_differ() {
    let container = json!({"name": "a", "image": "x:1", "args": ["a", "b"]});
    for (field, value) in [
        ("image", json!("x:2")),
        ("args", json!(["b", "a"])),
        ("args", json!(["a"])),
        ("args", json!(["a", "b", "c"])),
        ("command", json!(["x"])),
        ("tty", json!(true)),
        ("name", json!("b")),
    ] {
        let mut other = container.clone();
        other[field] = value;
        different(&container, &other);
    }
}

#[test]
fn values_that_go_omits_count_as_absent() {
    let container = json!({"name": "a"});
    for (field, empty) in [
        ("args", json!([])),
        ("env", json!(null)),
        ("tty", json!(false)),
        ("workingDir", json!("")),
        ("resources", json!({})),
        ("securityContext", json!({})),
    ] {
        let mut other = container.clone();
        other[field] = empty;
        same(&container, &other);
    }
    same(
        &json!({"name": "a", "mountPath": "/a"}),
        &json!({"name": "a", "mountPath": "/a", "readOnly": false, "subPath": ""}),
    );
    same(&json!({"name": "a"}), &json!({"name": "a", "emptyDir": {}}));
    same(&json!({"containerPort": 1}), &json!({"containerPort": 1, "hostPort": 0}));
}

#[test]
fn false_and_zero_of_optional_fields_differ_from_absent_ones() {
    for (parent, field, value) in [
        ("securityContext", "allowPrivilegeEscalation", json!(false)),
        ("securityContext", "runAsNonRoot", json!(false)),
        ("securityContext", "runAsUser", json!(0)),
        ("securityContext", "runAsGroup", json!(0)),
        ("securityContext", "readOnlyRootFilesystem", json!(false)),
        ("configMap", "optional", json!(false)),
        ("configMap", "defaultMode", json!(0)),
        ("items", "mode", json!(0)),
        ("livenessProbe", "terminationGracePeriodSeconds", json!(0)),
        ("x", "tolerationSeconds", json!(0)),
        ("x", "automountServiceAccountToken", json!(false)),
        ("x", "enableServiceLinks", json!(false)),
    ] {
        different(&json!({"name": "a", parent: {field: value, "x": 1}}), &json!({"name": "a", parent: {"x": 1}}));
    }
}

#[test]
fn an_empty_selector_differs_from_an_absent_one() {
    different(&json!({"topologyKey": "a", "labelSelector": {}}), &json!({"topologyKey": "a"}));
    different(&json!({"topologyKey": "a", "namespaceSelector": {}}), &json!({"topologyKey": "a"}));
}

/// Asserts that an object with a default is equal to one without the field, and not to another.
fn default(with: &Value, without: &Value, other: &Value) {
    same(with, without);
    different(other, without);
}

#[test]
fn defaults_of_a_container_count_as_absent() {
    let with = |field: &str, value: Value| json!({"name": "a", "image": "x:1", field: value});
    let without = json!({"name": "a", "image": "x:1"});
    default(
        &with("terminationMessagePath", json!("/dev/termination-log")),
        &without,
        &with("terminationMessagePath", json!("/x")),
    );
    default(
        &with("terminationMessagePolicy", json!("File")),
        &without,
        &with("terminationMessagePolicy", json!("FallbackToLogsOnError")),
    );
    default(&with("imagePullPolicy", json!("IfNotPresent")), &without, &with("imagePullPolicy", json!("Always")));
    let policy = |restart: &str| with("resizePolicy", json!([{"resourceName": "cpu", "restartPolicy": restart}]));
    default(&policy("NotRequired"), &without, &policy("RestartContainer"));
}

#[test]
fn the_pull_policy_follows_the_image() {
    for (image, policy) in [
        ("x", "Always"),
        ("x:latest", "Always"),
        ("x:1", "IfNotPresent"),
        ("x@sha256:0", "IfNotPresent"),
        ("x:latest@sha256:0", "IfNotPresent"),
        ("registry:5000/x", "Always"),
        ("registry:5000/x:1", "IfNotPresent"),
    ] {
        let without = json!({"name": "a", "image": image});
        let other = if policy == "Always" { "IfNotPresent" } else { "Always" };
        let with = |policy: &str| json!({"name": "a", "image": image, "imagePullPolicy": policy});
        default(&with(policy), &without, &with(other));
    }
}

#[test]
fn defaults_of_probes_count_as_absent() {
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        for (field, value) in
            [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
        {
            let with = |value: i64| json!({probe: {"exec": {"command": ["x"]}, field: value}});
            default(&with(value), &json!({probe: {"exec": {"command": ["x"]}}}), &with(value + 1));
        }
        let get = |fields: Value| json!({probe: {"httpGet": fields}});
        default(
            &get(json!({"port": 1, "scheme": "HTTP"})),
            &get(json!({"port": 1})),
            &get(json!({"port": 1, "scheme": "HTTPS"})),
        );
        default(
            &get(json!({"port": 1, "path": "/"})),
            &get(json!({"port": 1})),
            &get(json!({"port": 1, "path": "/x"})),
        );
    }
}

#[test]
fn defaults_of_volumes_count_as_absent() {
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        let with = |mode: i64| json!({"name": "a", source: {"name": "x", "defaultMode": mode}});
        default(&with(420), &json!({"name": "a", source: {"name": "x"}}), &with(256));
    }
    let token = |seconds: i64| json!({"serviceAccountToken": {"path": "x", "expirationSeconds": seconds}});
    default(&token(3600), &json!({"serviceAccountToken": {"path": "x"}}), &token(600));
    default(
        &json!({"mountPath": "/a", "recursiveReadOnly": "Disabled"}),
        &json!({"mountPath": "/a"}),
        &json!({"mountPath": "/a", "recursiveReadOnly": "Enabled"}),
    );
}

#[test]
fn defaults_of_env_and_ports_count_as_absent() {
    let field = |version: &str| json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": version}}});
    default(
        &field("v1"),
        &json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        &field("v2"),
    );
    let resource = |divisor: &str| json!({"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": divisor}}});
    default(
        &resource("0"),
        &json!({"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}),
        &resource("1m"),
    );
    default(
        &json!({"containerPort": 1, "protocol": "TCP"}),
        &json!({"containerPort": 1}),
        &json!({"containerPort": 1, "protocol": "UDP"}),
    );
    default(
        &json!({"securityContext": {"runAsUser": 5, "procMount": "Default"}}),
        &json!({"securityContext": {"runAsUser": 5}}),
        &json!({"securityContext": {"runAsUser": 5, "procMount": "Unmasked"}}),
    );
}

#[test]
fn a_default_of_one_field_is_not_a_default_of_another() {
    different(&json!({"lifecycle": {"periodSeconds": 10}}), &json!({"lifecycle": {}}));
    different(&json!({"hostPath": {"path": "/"}}), &json!({"hostPath": {}}));
    different(&json!({"emptyDir": {"defaultMode": 420}}), &json!({"emptyDir": {}}));
}

#[test]
fn quantities_in_quantity_fields_are_compared_by_value() {
    let resources = |kind: &str, text: Value| json!({"resources": {kind: {"cpu": text}}});
    for kind in ["limits", "requests"] {
        same(&resources(kind, json!("1000m")), &resources(kind, json!("1")));
        same(&resources(kind, json!(1)), &resources(kind, json!("1")));
        same(&resources(kind, json!("0.5")), &resources(kind, json!("500m")));
        different(&resources(kind, json!("1")), &resources(kind, json!("2")));
        different(&resources(kind, json!("lots")), &resources(kind, json!("1")));
    }
    same(&json!({"emptyDir": {"sizeLimit": "1024Mi"}}), &json!({"emptyDir": {"sizeLimit": "1Gi"}}));
    same(&json!({"divisor": "1000m"}), &json!({"divisor": "1"}));
    different(&json!({"name": "A", "value": "1000m"}), &json!({"name": "A", "value": "1"}));
    different(&json!({"args": ["1Gi"]}), &json!({"args": ["1024Mi"]}));
}

#[test]
fn a_limit_without_a_request_is_also_the_request() {
    same(
        &json!({"resources": {"limits": {"cpu": "1"}}}),
        &json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1000m"}}}),
    );
    different(
        &json!({"resources": {"limits": {"cpu": "1"}}}),
        &json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}}}),
    );
    different(&json!({"resources": {"limits": {"cpu": "1"}}}), &json!({"resources": {"requests": {"cpu": "1"}}}));
    different(&json!({"resources": {"requests": {"cpu": "1"}}}), &json!({"resources": {}}));
}

#[test]
fn numbers_are_compared_exactly_in_any_spelling() {
    same(&json!({"x": 1}), &serde_json::from_str(r#"{"x":1.0}"#).expect("JSON"));
    different(&json!({"x": 9_007_199_254_740_993_i64}), &json!({"x": 9_007_199_254_740_992_i64}));
    different(&json!({"x": 1}), &json!({"x": "1"}));
}

#[test]
fn the_token_mount_of_admission_is_ignored() {
    let own = json!({"name": "data", "mountPath": "/data"});
    let token = json!({"name": "kube-api-access-x", "mountPath": equal::TOKEN_PATH, "readOnly": true});
    assert!(equal::same(&json!({"volumeMounts": [own]}), &json!({"volumeMounts": [own, token]})));
    assert!(equal::same(&json!({"volumeMounts": [own]}), &json!({"volumeMounts": [token, own]})));
    assert!(equal::same(&json!({"name": "a"}), &json!({"name": "a", "volumeMounts": [token]})));
    assert!(!equal::same(
        &json!({"volumeMounts": [own]}),
        &json!({"volumeMounts": [own, {"name": "x", "mountPath": "/x"}]})
    ));
    let wanted = json!({"volumeMounts": [own, {"name": "mine", "mountPath": equal::TOKEN_PATH}]});
    assert!(!equal::same(&wanted, &json!({"volumeMounts": [own, token]})));
    assert!(equal::is_token_mount(&token) && !equal::is_token_mount(&own));
    assert!(equal::is_token_mount(&json!({"mountPath": format!("{}/", equal::TOKEN_PATH)})));
}
