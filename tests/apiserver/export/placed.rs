//! Pods whose containers the webhook leaves where the pod has them, and images that are written in rarer
//! ways: an enforcing policy admits them as they are injected.

use std::process::Command;

use serde_json::{Value, json};

use super::{LIMIT, PROGRAM, apply, dry_run, message, namespace, printed};
use crate::cluster::{pod, shared};
use crate::process::eventually;

tests! {
    an_enforcing_policy_admits_containers_where_the_pod_or_the_template_puts_them,
    an_enforcing_policy_admits_images_of_a_computed_port_and_of_any_digest,
}

const HEAD: &str = "\
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: agent}
spec:
";

/// The pod with containers of its own, as the program injects the template into it.
fn injected(templates: &std::path::Path, containers: &[(&str, Value)]) -> Value {
    let mut object = pod("web", &json!({"outrigger.dev/inject": "agent"}));
    for (list, container) in containers {
        let spec = object["spec"].as_object_mut().expect("a spec");
        spec.entry(*list).or_insert_with(|| json!([])).as_array_mut().expect("a list").push(container.clone());
    }
    let file = templates.with_extension("pod.json");
    std::fs::write(&file, object.to_string()).expect("a file");
    let mut program = Command::new(PROGRAM);
    let output = program.args(["inject", "-o", "json", "--templates"]).arg(templates).arg("-f").arg(&file).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// In a namespace of this name, the policy of the template refuses a bare pod, and admits the injected one.
fn assert_admitted(name: &str, spec: &str, containers: &[(&str, Value)]) {
    let namespace = namespace(name, &json!({}));
    let templates = shared().control_plane.janitor.directory().join(format!("{name}.yaml"));
    std::fs::write(&templates, format!("{HEAD}{spec}")).expect("a file");
    let selector = format!("{}={name}", super::POLICY_LABEL);
    let objects = printed(&["generate", "policy", "agent", "--namespace-selector", &selector], &templates);
    assert_eq!(apply(&namespace, &objects.expect("a policy")), [""; 0]);
    let bare = pod("probe", &json!({}));
    eventually("the policy is active", LIMIT, || (!dry_run(&namespace, &bare).is_success()).then_some(()));
    let answer = dry_run(&namespace, &injected(&templates, containers));
    assert!(answer.is_success(), "{name}: {}", message(&answer));
}

fn an_enforcing_policy_admits_containers_where_the_pod_or_the_template_puts_them() {
    let restarted = "  initContainers: [{name: agent, image: 'registry.example/agent:1', restartPolicy: Always}]\n";
    let plain = "  placement: {sidecars: Plain}\n  sidecars: [{name: agent, image: 'registry.example/agent:1'}]\n";
    let once = "  initContainers: [{name: agent, image: 'registry.example/agent:1'}]\n";
    let kept = "  onConflict: KeepPod\n  sidecars:\n  - {name: agent, image: 'registry.example/agent:1'}\n  \
                - {name: other, image: 'registry.example/other:1'}\n";
    let auto = || json!({"name": "agent", "image": "auto"});
    let native = json!({"name": "agent", "image": "auto", "restartPolicy": "Always"});
    let own = json!({"name": "agent", "image": "registry.example/own:1"});
    assert_admitted("placed-restarted", restarted, &[]);
    assert_admitted("placed-auto-init", plain, &[("initContainers", native)]);
    assert_admitted("placed-auto-plain", once, &[("containers", auto())]);
    assert_admitted("placed-kept", kept, &[("initContainers", own)]);
}

fn an_enforcing_policy_admits_images_of_a_computed_port_and_of_any_digest() {
    let port = "  parameters: [{name: port, type: string, default: '5000'}]\n  \
                sidecars: [{name: agent, image: 'registry.example:${params.port}/agent:1'}]\n";
    assert_admitted("image-port", port, &[]);
    let digest = "0123456789abcdef".repeat(8);
    let image = format!("  sidecars: [{{name: agent, image: 'registry.example/agent@sha512:{digest}'}}]\n");
    assert_admitted("image-digest", &image, &[]);
}
