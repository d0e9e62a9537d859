//! Tests of the service account's token in new containers.

use super::*;

const VOLUME: &str = "kube-api-access-x7k2p";

fn mount(name: &str) -> Value {
    json!({"name": name, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"})
}

/// Changes the pod as the plugin does before webhooks are called.
fn with_token(pod: &mut Value) {
    pod["spec"]["volumes"] = json!([{"name": VOLUME, "projected": {"sources": []}}]);
    pod["spec"]["initContainers"] = json!([{"name": "i", "image": "x", "volumeMounts": [mount(VOLUME)]}]);
    pod["spec"]["containers"] = json!([{"name": "c", "image": "x", "volumeMounts": [mount(VOLUME)]}]);
}

fn spec() -> Value {
    json!({"sidecars": [{"name": "s", "image": "x"}], "initContainers": [{"name": "n", "image": "x"}]})
}

/// The mounts of the new containers.
fn mounts(injection: &Injected) -> Vec<Value> {
    let containers = injection.pod["spec"]["initContainers"].as_array().expect("a list");
    containers[..2].iter().map(|container| container["volumeMounts"].clone()).collect()
}

#[test]
fn new_containers_mount_the_token_when_all_others_do() {
    let injection = merged(spec(), with_token);
    assert_eq!(names(&injection.pod, "initContainers"), ["s", "n", "i"]);
    assert_eq!(mounts(&injection), [json!([mount(VOLUME)]), json!([mount(VOLUME)])]);
}

#[test]
fn a_plain_sidecar_mounts_the_token_after_its_own_mounts() {
    let own = json!({"name": "data", "mountPath": "/data"});
    let spec = json!({
        "sidecars": [{"name": "s", "image": "x", "volumeMounts": [own]}],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "placement": {"sidecars": "Plain"},
    });
    let injection = merged(spec, with_token);
    assert_eq!(injection.pod["spec"]["containers"][1]["volumeMounts"], json!([own, mount(VOLUME)]));
}

#[test]
fn a_templates_own_mount_at_the_tokens_path_stays() {
    let own = json!({"name": "empty", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount/"});
    let mut spec = spec();
    spec["volumes"] = json!([{"name": "empty", "emptyDir": {}}]);
    spec["sidecars"][0]["volumeMounts"] = json!([own]);
    assert_eq!(mounts(&merged(spec, with_token)), [json!([own]), json!([mount(VOLUME)])]);
}

#[test]
fn the_token_is_not_mounted_when_the_plugin_might_not_mount_it() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 7] = [
        ("the pod wants none", |pod| pod["spec"]["automountServiceAccountToken"] = json!(false)),
        ("it is no projection", |pod| pod["spec"]["volumes"][0] = json!({"name": VOLUME, "emptyDir": {}})),
        ("another comes first", |pod| {
            let own = json!({"name": "kube-api-access-mine", "projected": {"sources": []}});
            pod["spec"]["volumes"].as_array_mut().expect("a list").insert(0, own);
        }),
        ("there is no such volume", |pod| pod["spec"]["volumes"][0]["name"] = json!("other")),
        ("a container has none", |pod| pod["spec"]["containers"][0]["volumeMounts"] = json!([])),
        ("a container has another", |pod| pod["spec"]["containers"][0]["volumeMounts"] = json!([mount("other")])),
        ("an init container has none", |pod| pod["spec"]["initContainers"][0]["volumeMounts"] = json!(null)),
    ];
    for (case, change) in changes {
        let injection = merged(spec(), |pod| {
            with_token(pod);
            pod["spec"]["volumes"].as_array_mut().expect("a list").push(json!({"name": "other", "emptyDir": {}}));
            change(pod);
        });
        assert_eq!(mounts(&injection), [Value::Null, Value::Null], "{case}");
    }
}

#[test]
fn the_token_is_not_mounted_if_a_template_sets_a_field_on_which_the_plugin_depends() {
    for field in [json!({"automountServiceAccountToken": false}), json!({"serviceAccountName": "other"})] {
        let mut spec = spec();
        spec["pod"] = field;
        assert_eq!(mounts(&merged(spec, with_token)), [Value::Null, Value::Null]);
    }
}

#[test]
fn a_second_pass_changes_nothing_and_uninject_removes_the_mount() {
    let injector = injector(&[template("agent", spec())]);
    let mut before = pod("agent", json!({}));
    with_token(&mut before);
    let after = injected(&injector, &before).pod;
    assert!(matches!(inject(&injector, &after), Ok(Outcome::Skipped(_))));
    assert_eq!(crate::inject::uninject(&after, "outrigger.dev"), Ok(Some(before)));
}
