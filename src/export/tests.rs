//! Which templates become policies, and what these contain.

use serde_json::Value;

use super::*;
use crate::inject::{Injector, Settings, SourceText, TemplateSet};

const AGENT: &str = "sidecars: [{name: agent, image: 'registry.example/agent:1'}]";

fn exported(spec: &str) -> Result<Vec<Value>, Vec<Restriction>> {
    let head = "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {name: agent}\nspec:\n";
    let text = spec.lines().fold(head.to_owned(), |text, line| format!("{text}  {line}\n"));
    let loaded = TemplateSet::load(&[SourceText { origin: "t.yaml".to_owned(), text }]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let injector = Injector::new(loaded.templates, Settings::default());
    export(
        &injector,
        "agent",
        &Installation { domain: "outrigger.dev", excluded_namespaces: &["kube-system".to_owned()] },
    )
}

fn codes(spec: &str) -> Vec<&'static str> {
    exported(spec).map_or_else(|found| found.iter().map(|one| one.code).collect(), |_| Vec::new())
}

#[test]
fn a_constant_template_becomes_a_policy_and_its_guard() {
    let objects = exported(AGENT).expect("it is exported");
    let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    let expected = [
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn each_part_that_depends_on_the_pod_is_listed() {
    for (spec, expected) in [
        ("app: {env: [{name: A, value: \"${pod.metadata.name}\"}]}", "expression"),
        ("injection: Automatic\nmatch: {podSelector: {}}", "automatic"),
        ("pod: {priorityClassName: high}", "field"),
        ("pod: {nodeSelector: {kubernetes.io/os: linux}}", "field"),
        ("match: {conditions: [{expression: 'app.name == \"web\"'}]}", "condition"),
        ("app: {env: [{name: A, value: b, when: 'pod.metadata.name == \"web\"'}]}", "item"),
        ("parameters: [{name: p, type: string}]", "parameter"),
        ("onConflict: KeepPod", "field"),
        ("placement: {order: {before: web}}", "placement"),
        ("app: {containers: First, env: [{name: A, value: b}]}", "effect"),
    ] {
        assert!(codes(&format!("{AGENT}\n{spec}")).contains(&expected), "{spec}: {:?}", codes(spec));
    }
}

#[test]
fn a_parameter_with_a_default_is_exported_with_it() {
    let spec = format!(
        "{AGENT}\nparameters: [{{name: p, type: string, default: xyz}}]\napp: {{env: [{{name: A, value: \"${{params.p}}\"}}]}}"
    );
    let objects = exported(&spec).expect("it is exported");
    assert!(objects[0].to_string().contains("xyz"));
}

#[test]
fn a_field_of_the_pod_is_exported_for_pods_without_it() {
    let objects = exported(&format!("{AGENT}\npod: {{nodeSelector: {{disk: fast}}}}")).expect("it is exported");
    let policy = objects[0].to_string();
    for part in ["!has(object.spec.nodeSelector)", "/spec/nodeSelector", "spec/nodeSelector/disk"] {
        assert!(policy.contains(part), "{part} is missing in {policy}");
    }
}
