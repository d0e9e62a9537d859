//! The webhook configuration of the manifests equals that of the program.

use outrigger::api::webhook_configuration::{Endpoint, WebhookConfiguration};
use serde_json::{Value, json};

use super::{list, object, render};

tests! {
    the_manifest_equals_the_generated_webhook_configuration,
    the_command_prints_the_manifest,
    every_choice_has_a_comment,
    the_chart_passes_its_values_to_the_webhook_configuration,
}

/// The configuration that the program generates for the Service of the manifests.
fn generated() -> Value {
    let endpoint = Endpoint::Service { namespace: "outrigger-system".into(), name: "outrigger".into(), port: 443 };
    WebhookConfiguration::new(endpoint).to_value().expect("it is plain data")
}

fn the_manifest_equals_the_generated_webhook_configuration() {
    assert_eq!(object("manifests/base/webhook.yaml"), generated());
}

fn the_command_prints_the_manifest() {
    let mut outrigger = std::process::Command::new(env!("CARGO_BIN_EXE_outrigger"));
    outrigger.args(["generate", "webhook", "--service", "outrigger-system/outrigger"]);
    let output = outrigger.output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = super::documents("generate webhook", &String::from_utf8_lossy(&output.stdout));
    assert_eq!(printed, [object("manifests/base/webhook.yaml")]);
}

/// Every choice in the first webhook has a comment above it that gives the reason; the second
/// webhook repeats it.
fn every_choice_has_a_comment() {
    let text = super::read("manifests/base/webhook.yaml");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for choice in [
        "- name: pods.inject.outrigger.dev",
        "admissionReviewVersions: [v1]",
        "failurePolicy: Fail",
        "- name: asks-for-injection",
        "matchPolicy: Equivalent",
        "- key: kubernetes.io/metadata.name",
        "- key: app.kubernetes.io/name",
        "reinvocationPolicy: IfNeeded",
        "- apiGroups: [\"\"]",
        "sideEffects: None",
        "timeoutSeconds: 5",
        "- name: namespaces.inject.outrigger.dev",
        "failurePolicy: Ignore",
        "- name: does-not-ask-for-injection",
        "- key: outrigger.dev/injection",
    ] {
        let index = lines.iter().position(|line| *line == choice).unwrap_or_else(|| panic!("no line {choice:?}"));
        assert!(lines[index - 1].starts_with('#'), "line {}: no comment above {choice:?}", index + 1);
    }
}

/// Each choice that is a value of the chart changes the configuration.
fn the_chart_passes_its_values_to_the_webhook_configuration() {
    let condition = |name: &str| {
        format!("webhook.{name}.matchConditions[0].name=x,webhook.{name}.matchConditions[0].expression=1==1")
    };
    let values = [
        "domain=sidecars.example.com",
        "webhook.timeoutSeconds=7",
        "webhook.pods.failurePolicy=Ignore",
        "webhook.namespaces.failurePolicy=Fail",
        "webhook.excludedNamespaces={vault}",
        &condition("pods"),
        &condition("namespaces"),
    ];
    let objects = render::by_key(render::helm(&values));
    let configuration = &objects[&("MutatingWebhookConfiguration".to_owned(), "outrigger".to_owned())];
    let webhooks = list(configuration, "/webhooks");
    for (webhook, name, policy) in [(&webhooks[0], "pods", "Ignore"), (&webhooks[1], "namespaces", "Fail")] {
        assert_eq!(webhook["name"], format!("{name}.inject.sidecars.example.com"));
        assert_eq!((&webhook["failurePolicy"], &webhook["timeoutSeconds"]), (&json!(policy), &json!(7)));
        let conditions = list(webhook, "/matchConditions");
        assert!(
            super::text(&conditions[0], "/expression").contains("'sidecars.example.com/inject' in"),
            "{conditions:?}"
        );
        assert_eq!(conditions[1], json!({"name": "x", "expression": "1==1"}));
        let excluded = &webhook["namespaceSelector"]["matchExpressions"][0]["values"];
        assert_eq!(*excluded, json!(["kube-system", "kube-node-lease", "kube-public", "outrigger-system", "vault"]));
    }
    assert_eq!(webhooks[1]["namespaceSelector"]["matchExpressions"][1]["key"], "sidecars.example.com/injection");
    let settings = super::objects::settings(&objects[&("ConfigMap".to_owned(), "outrigger".to_owned())]);
    assert_eq!(settings["domain"], "sidecars.example.com");
    assert_eq!(settings["excludeNamespaces"], json!(["kube-system", "kube-node-lease", "kube-public", "vault"]));
}
