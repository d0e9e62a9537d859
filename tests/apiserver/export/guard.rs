//! What authors of pods may try against the guard of an exported policy.

use serde_json::{Value, json};

use super::{LIMIT, apply, dry_run, message, namespace, printed};
use crate::cluster::{Namespace, pod, shared};
use crate::process::eventually;

tests! {
    a_pod_passes_the_guard_only_with_what_the_template_adds,
    a_pod_that_the_webhook_would_refuse_is_refused_by_the_policies,
    the_policy_injects_the_pods_that_match_selects_and_the_guard_refuses_the_others,
}

const TEMPLATE: &str = "\
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: agent}
spec:
  sidecars:
  - {name: agent, image: 'registry.example/agent:1', args: [--safe]}
  volumes: [{name: logs, emptyDir: {sizeLimit: 1Mi}}]
  app:
    env: [{name: AGENT, value: 'a$(X)\"\\b'}]
    volumeMounts: [{name: logs, mountPath: /logs}]
";

/// A namespace in which the policies of this template hold.
fn exported(name: &str, template: &str) -> Namespace {
    let namespace = namespace(name, &json!({}));
    let templates = shared().control_plane.janitor.directory().join(format!("{name}.yaml"));
    std::fs::write(&templates, template).expect("a file");
    let objects = printed(&["export", "agent"], &templates).expect("policies");
    assert_eq!(apply(&namespace, &objects), [""; 0]);
    namespace
}

/// The pod as the policy makes it, once both policies are active.
fn injected(namespace: &Namespace, asking: &Value) -> Value {
    let mut refused = asking.clone();
    refused["metadata"]["annotations"]["outrigger.dev/containers"] = json!("x");
    eventually("the guard is active", LIMIT, || (!dry_run(namespace, &refused).is_success()).then_some(()));
    eventually("the policy injects", LIMIT, || Some(dry_run(namespace, asking)).filter(|answer| answer.is_success()))
        .body
}

#[track_caller]
fn assert_refused(namespace: &Namespace, pod: &Value, part: &str) {
    let answer = dry_run(namespace, pod);
    let message = message(&answer);
    assert!(!answer.is_success() && message.contains("template \"agent\""), "{answer:?}");
    assert!(message.contains(part), "{message}");
}

fn asking() -> Value {
    let mut pod = pod("web", &json!({"outrigger.dev/inject": "agent"}));
    pod["spec"]["automountServiceAccountToken"] = json!(false);
    pod
}

fn a_pod_passes_the_guard_only_with_what_the_template_adds() {
    let namespace = exported("guard-forged", TEMPLATE);
    let result = injected(&namespace, &asking());
    let status = result["metadata"]["annotations"]["outrigger.dev/status"].clone();
    let forged = |status: &Value| {
        let mut pod = asking();
        pod["metadata"]["annotations"]["outrigger.dev/status"] = status.clone();
        pod
    };
    for status in [&status, &json!("\"name\":\"agent\"")] {
        assert_refused(&namespace, &forged(status), "has no sidecar \"agent\"");
        let mut pod = forged(status);
        pod["spec"]["initContainers"] = result["spec"]["initContainers"].clone();
        assert_refused(&namespace, &pod, "lacks app.env of it");
        pod["spec"]["initContainers"][0]["args"] = json!(["--unsafe"]);
        assert_refused(&namespace, &pod, "lacks the command of container \"agent\" of it");
    }
    // The result itself may be sent again, as by `kubectl replace`.
    let mut again = asking();
    again["metadata"]["annotations"] = result["metadata"]["annotations"].clone();
    again["metadata"]["labels"] = result["metadata"]["labels"].clone();
    again["spec"] = result["spec"].clone();
    dry_run(&namespace, &again).expect_success();
    for (pointer, value, part) in [
        ("/spec/containers/0/env/0/value", json!("other"), "lacks app.env of it"),
        ("/spec/containers/0/volumeMounts/0/mountPath", json!("/other"), "lacks app.volumeMounts of it"),
        ("/metadata/labels", json!({}), "lacks metadata of it"),
    ] {
        let mut pod = again.clone();
        *pod.pointer_mut(pointer).expect(pointer) = value;
        assert_refused(&namespace, &pod, part);
    }
}

fn a_pod_that_the_webhook_would_refuse_is_refused_by_the_policies() {
    let namespace = exported("guard-refused", TEMPLATE);
    injected(&namespace, &asking());
    for key in ["agnet.outrigger.dev/port", "other.outrigger.dev/port", "outrigger.dev/contaners"] {
        let mut pod = asking();
        pod["metadata"]["annotations"][key] = json!("x");
        assert_refused(&namespace, &pod, "must carry template");
    }
    let mut mounted = asking();
    mounted["spec"]["volumes"] = json!([{"name": "own", "emptyDir": {}}]);
    for path in ["/logs", "/logs/", "/logs//"] {
        mounted["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "own", "mountPath": path}]);
        assert_refused(&namespace, &mounted, "must carry template");
    }
    mounted["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "own", "mountPath": "/logs/own"}]);
    dry_run(&namespace, &mounted).expect_success();
}

fn the_policy_injects_the_pods_that_match_selects_and_the_guard_refuses_the_others() {
    let matching = "  match:
    podSelector: {matchLabels: {tier: web}}
    conditions: [{expression: '!pod.spec.?hostIPC.orValue(false)'}]
";
    let namespace = exported("guard-match", &format!("{TEMPLATE}{matching}"));
    let mut selected = asking();
    selected["metadata"]["labels"]["tier"] = json!("web");
    let result = injected(&namespace, &selected);
    assert_eq!(result["spec"]["initContainers"][0]["name"], "agent");
    assert_refused(&namespace, &asking(), "status does not list it");
    selected["spec"]["hostIPC"] = json!(true);
    assert_refused(&namespace, &selected, "status does not list it");
}
