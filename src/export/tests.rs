//! Which templates become policies, and what these contain.

use serde_json::Value;

use super::*;
use crate::inject::{Injector, Settings, SourceText, TemplateScope, TemplateSet};

const AGENT: &str = "sidecars: [{name: agent, image: 'registry.example/agent:1'}]";

fn exported(spec: &str) -> Result<Vec<Value>, Vec<Restriction>> {
    exported_beside(spec, "")
}

fn injector(spec: &str, other: &str) -> Injector {
    let head = "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {name: agent}\nspec:\n";
    let text = spec.lines().fold(head.to_owned(), |text, line| format!("{text}  {line}\n"));
    let text = if other.is_empty() { text } else { format!("{text}---\n{other}") };
    let loaded = TemplateSet::load(&[SourceText { origin: "t.yaml".to_owned(), text }]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    Injector::new(loaded.templates, Settings::default())
}

/// The same with another template in the cluster.
fn exported_beside(spec: &str, other: &str) -> Result<Vec<Value>, Vec<Restriction>> {
    export(
        &injector(spec, other),
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
fn the_pods_that_match_selects_are_those_of_the_policy() {
    let matching = "match:
  podSelector: {matchLabels: {tier: web}}
  namespaceSelector: {matchLabels: {team: shop}}
  conditions: [{expression: 'pod.spec.?hostNetwork.orValue(false)'}]";
    let spec = format!("{AGENT}\n{matching}");
    let objects = exported(&spec).expect("it is exported");
    let constraints = &objects[0]["spec"]["matchConstraints"];
    assert_eq!(constraints["objectSelector"]["matchLabels"]["tier"], "web");
    assert_eq!(constraints["namespaceSelector"]["matchLabels"]["team"], "shop");
    let policy = objects[0].to_string();
    assert!(policy.contains("object.spec.?hostNetwork.orValue(false)"), "{policy}");
    // The revision is that of the whole template.
    let injector = injector(&spec, "");
    let status = injector.templates().status_of(&TemplateScope::Cluster, "agent");
    let revision = status.and_then(|status| status.revision).expect("a revision");
    assert_eq!(policy.matches(revision).count(), 2, "{revision} in {policy}");
}

#[test]
fn a_constant_condition_is_evaluated_with_the_defaults() {
    let with = |default: &str, expression: &str| {
        format!(
            "{AGENT}\nparameters: [{{name: enabled, type: boolean, default: {default}}}]\nmatch: {{conditions: \
             [{{expression: '{expression}'}}]}}"
        )
    };
    let holding = exported(&with("true", "params.enabled")).expect("it is exported");
    assert!(!holding[0].to_string().contains("match-condition"), "{holding:?}");
    let pair = with("true", "params.enabled, message: x}, {expression: 1 == 2").replace('\'', "");
    for spec in [with("false", "params.enabled"), with("true", "1 == 2"), pair] {
        let found = exported(&spec).expect_err("no pod matches");
        let [one] = found.as_slice() else { panic!("{spec}: {found:?}") };
        let index = usize::from(spec.contains("message"));
        assert_eq!((one.code, one.field.to_string()), ("condition", format!("spec.match.conditions[{index}]")));
    }
}

#[test]
fn text_that_is_no_expression_is_exported() {
    let parameter = "parameters: [{name: p, type: string, default: x}]";
    for text in ["echo $${pod}", "${params.p} in namespace foo", "$${${params.p}} of the app"] {
        let spec = format!("{AGENT}\n{parameter}\napp: {{env: [{{name: A, value: '{text}'}}]}}");
        assert_eq!(codes(&spec), [""; 0], "{text}");
    }
    let spec = format!("{AGENT}\napp: {{env: [{{name: A, value: '$${{x}} ${{pod.metadata.name}}'}}]}}");
    assert!(codes(&spec).contains(&"expression"), "{spec}");
}

#[test]
fn automatic_templates_that_exclude_each_other_are_listed() {
    let automatic = |more: &str| {
        format!(
            "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: auto}}\nspec:\n  \
             injection: Automatic\n  match: {{namespaceSelector: {{matchLabels: {{a: b}}}}}}\n  app: {{env: [{{name: B, value: c}}]}}\n{more}"
        )
    };
    let excluding = format!("{AGENT}\nexcludes: [auto]");
    for (spec, other, expected) in [
        (excluding.as_str(), automatic(""), &["excludes"][..]),
        (AGENT, automatic("  excludes: [agent]\n"), &["excludes"]),
        (AGENT, automatic(""), &[]),
        (&excluding, automatic("").replace("  injection: Automatic\n", ""), &[]),
    ] {
        let found = exported_beside(spec, &other).err().unwrap_or_default();
        let found: Vec<&str> = found.iter().map(|one| one.code).collect();
        assert_eq!(found, expected, "{spec}\n{other}");
    }
}

#[test]
fn the_guard_asks_for_all_that_the_template_adds() {
    let spec = "sidecars: [{name: agent, image: 'registry.example/agent:1', args: [--safe]}]
volumes: [{name: logs, emptyDir: {}}]
app: {env: [{name: A, value: b}], volumeMounts: [{name: logs, mountPath: /logs}]}
pod: {nodeSelector: {disk: fast}}
metadata: {labels: {tier: web}}";
    let guard = exported(spec).expect("it is exported").swap_remove(2).to_string();
    for part in [
        "c.args ==",
        "e.value ==",
        "m.name ==",
        "v.name ==",
        "has(object.spec.nodeSelector)",
        "in object.metadata.labels",
    ] {
        assert!(guard.contains(part), "{part} is missing in {guard}");
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
