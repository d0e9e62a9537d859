//! What authors of pods may try against an enforcing policy, and what must pass it so that no cluster
//! breaks.

use serde_json::{Value, json};

use super::{AGENT, LIMIT, apply, dry_run, message, namespace, printed};
use crate::cluster::{Answer, Namespace, pod, shared};
use crate::golden::prepared;
use crate::process::eventually;

tests! {
    neither_labels_nor_annotations_of_a_pod_evade_a_policy_that_chose_it,
    a_namespace_that_disables_injection_is_left_out_unless_the_policy_includes_it,
    existing_pods_change_freely_but_for_the_image_of_the_sidecar,
    mirror_pods_pass_and_windows_pods_pass_where_the_template_is_for_linux,
}

/// As far as the policy reads it.
const STATUS: &str = r#"{"version":1,"templates":[{"name":"agent"}]}"#;

/// A namespace with these labels, and in it the policy of these flags for each of its pods.
fn enforced(name: &str, metadata: &Value, flags: &[&str]) -> Namespace {
    let namespace = namespace(name, metadata);
    enforce(&namespace, flags);
    namespace
}

/// Creates the policy of these flags for each pod of the namespace.
fn enforce(namespace: &Namespace, flags: &[&str]) {
    let templates = shared().control_plane.janitor.directory().join(format!("{}.yaml", namespace.name));
    std::fs::write(&templates, AGENT).expect("a file");
    let selector = format!("{}={}", super::POLICY_LABEL, namespace.name);
    let mut arguments = vec!["generate", "policy", "agent", "--namespace-selector", &selector];
    arguments.extend(flags);
    let objects = printed(&arguments, &templates).expect("a policy");
    assert_eq!(apply(namespace, &objects), [""; 0]);
}

fn wait_until_refused(namespace: &Namespace) {
    let bare = pod("probe", &json!({}));
    eventually("the policy is active", LIMIT, || (!dry_run(namespace, &bare).is_success()).then_some(()));
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    assert!(!answer.is_success() && message(answer).contains("template \"agent\""), "{answer:?}");
}

/// A pod as the webhook would have made it, as far as the policy compares it.
fn carrying(name: &str) -> Value {
    let mut pod = pod(name, &json!({"outrigger.dev/status": STATUS}));
    pod["spec"]["initContainers"] =
        json!([{"name": "agent", "image": "registry.example/agent:1", "restartPolicy": "Always"}]);
    pod
}

fn neither_labels_nor_annotations_of_a_pod_evade_a_policy_that_chose_it() {
    let namespace = enforced("evade", &json!({}), &[]);
    wait_until_refused(&namespace);
    for (labels, annotations) in [
        (json!({"outrigger.dev/injection": "disabled"}), json!({})),
        (json!({"app.kubernetes.io/name": "outrigger"}), json!({})),
        (json!({}), json!({"outrigger.dev/inject": "false"})),
        (json!({}), json!({"outrigger.dev/inject": "other"})),
        (json!({}), json!({"outrigger.dev/injection": "disabled"})),
        (json!({}), json!({"outrigger.dev/status": STATUS})),
    ] {
        let mut pod = pod("web", &annotations);
        pod["metadata"]["labels"] = labels;
        assert_refused(&dry_run(&namespace, &pod));
    }
    // An init container that ends, or one of another image.
    let mut ends = carrying("web");
    ends["spec"]["initContainers"][0]["restartPolicy"] = json!(null);
    assert_refused(&dry_run(&namespace, &ends));
    let mut other = carrying("web");
    other["spec"]["initContainers"][0]["image"] = json!("registry.example/agent.evil:1");
    assert_refused(&dry_run(&namespace, &other));
    dry_run(&namespace, &carrying("web")).expect_success();
}

fn a_namespace_that_disables_injection_is_left_out_unless_the_policy_includes_it() {
    let disabled = json!({"labels": {"outrigger.dev/injection": "disabled"}});
    let included = enforced("disabled-included", &disabled, &["--include-disabled"]);
    let left_out = enforced("disabled-left-out", &disabled, &[]);
    // The second policy was created later, so it is active a moment later.
    wait_until_refused(&included);
    crate::process::pause(std::time::Duration::from_secs(2));
    dry_run(&left_out, &pod("web", &json!({}))).expect_success();
}

fn existing_pods_change_freely_but_for_the_image_of_the_sidecar() {
    let namespace = namespace("existing", &json!({}));
    for pod in [pod("bare", &json!({})), carrying("carrying")] {
        namespace.cluster.send_object("POST", &namespace.path("pods"), &prepared(&namespace, &pod)).expect_success();
    }
    enforce(&namespace, &[]);
    wait_until_refused(&namespace);
    let patch = |name: &str, subresource: &str, patch: &Value| {
        let path = namespace.path(&format!("pods/{name}{subresource}"));
        let body = patch.to_string().into_bytes();
        namespace.cluster.send("PATCH", &path, "application/strategic-merge-patch+json", body)
    };
    let image = |list: &str, name: &str, image: &str| json!({"spec": {list: [{"name": name, "image": image}]}});
    patch("bare", "", &json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["tests/one"]}})).expect_success();
    patch("bare", "", &image("containers", "web", "registry.example/web:2")).expect_success();
    patch("bare", "", &json!({"metadata": {"finalizers": null}})).expect_success();
    let debugger = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "registry.example/debug:1"}]}});
    patch("bare", "/ephemeralcontainers", &debugger).expect_success();
    patch("bare", "/status", &json!({"status": {"phase": "Running"}})).expect_success();
    patch("carrying", "", &image("containers", "web", "registry.example/web:2")).expect_success();
    patch("carrying", "", &image("initContainers", "agent", "registry.example/agent:2")).expect_success();
    assert_refused(&patch("carrying", "", &image("initContainers", "agent", "registry.example/evil:1")));
    for name in ["bare", "carrying"] {
        let path = namespace.path(&format!("pods/{name}?gracePeriodSeconds=0"));
        namespace.cluster.send_object("DELETE", &path, &json!({})).expect_success();
    }
}

fn mirror_pods_pass_and_windows_pods_pass_where_the_template_is_for_linux() {
    let namespace = enforced("mirrors", &json!({}), &[]);
    wait_until_refused(&namespace);
    let mut mirror = pod("static-node", &json!({"kubernetes.io/config.mirror": "x", "kubernetes.io/config.hash": "x"}));
    mirror["spec"]["nodeName"] = json!("node");
    dry_run(&namespace, &mirror).expect_success();
    let mut windows = pod("windows", &json!({}));
    windows["spec"]["os"] = json!({"name": "windows"});
    dry_run(&namespace, &windows).expect_success();
}
