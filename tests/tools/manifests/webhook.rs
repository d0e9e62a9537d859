//! The webhook configurations of the manifests equal those of the program.

use outrigger::api::webhook_configuration::{AdviceWebhook, Endpoint, WebhookConfiguration};
use serde_json::{Value, json};

use super::{list, object, render};

tests! {
    the_manifests_equal_the_generated_webhook_configurations,
    the_command_prints_the_manifests,
    every_choice_has_a_comment,
    the_chart_passes_its_values_to_the_webhook_configuration,
    the_chart_gives_advice_unless_it_is_off,
    two_installations_share_no_name,
}

/// The configuration that the program generates for the Service of the manifests.
fn generated() -> WebhookConfiguration {
    let endpoint = Endpoint::Service { namespace: "outrigger-system".into(), name: "outrigger".into(), port: 443 };
    WebhookConfiguration::new(endpoint)
}

fn the_manifests_equal_the_generated_webhook_configurations() {
    pretty_assertions::assert_eq!(object("manifests/base/webhook.yaml"), generated().to_value().expect("plain data"));
    let advice = generated().to_validating_value().expect("plain data");
    pretty_assertions::assert_eq!(object("manifests/base/validating-webhook.yaml"), advice);
}

fn the_command_prints_the_manifests() {
    let mut outrigger = std::process::Command::new(env!("CARGO_BIN_EXE_outrigger"));
    outrigger.args(["generate", "webhook", "--service", "outrigger-system/outrigger"]);
    let output = outrigger.output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = super::documents("generate webhook", &String::from_utf8_lossy(&output.stdout));
    assert_eq!(printed, [object("manifests/base/webhook.yaml"), object("manifests/base/validating-webhook.yaml")]);
}

/// Every choice in the first webhook has a comment above it that gives the reason; the second
/// webhook repeats it.
fn every_choice_has_a_comment() {
    let advice = [
        "admissionReviewVersions: [v1]",
        "failurePolicy: Ignore",
        "- name: mentions-the-domain",
        "- name: template-changed",
        "- name: has-no-controller",
        "matchPolicy: Equivalent",
        "- key: kubernetes.io/metadata.name",
        "- key: app.kubernetes.io/name",
        "- apiGroups: [apps]",
        "sideEffects: None",
        "timeoutSeconds: 2",
        "- name: templates.outrigger.dev",
        "- name: template-changed",
        "- apiGroups: [outrigger.dev]",
        "timeoutSeconds: 5",
    ];
    have_comments("manifests/base/validating-webhook.yaml", &advice);
    let webhook = [
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
    ];
    have_comments("manifests/base/webhook.yaml", &webhook);
}

fn have_comments(file: &str, choices: &[&str]) {
    let text = super::read(file);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for choice in choices {
        let index = lines.iter().position(|line| line == choice).unwrap_or_else(|| panic!("no line {choice:?}"));
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

fn the_chart_gives_advice_unless_it_is_off() {
    let key = ("ValidatingWebhookConfiguration".to_owned(), "outrigger".to_owned());
    for (value, setting) in [("Warn", None), ("Deny", Some("Deny")), ("Off", Some("Off")), ("false", Some("Off"))] {
        let objects = render::by_key(render::helm(&[&format!("advice={value}")]));
        let settings = super::objects::settings(&objects[&("ConfigMap".to_owned(), "outrigger".to_owned())]);
        assert_eq!(settings.get("advice").and_then(Value::as_str), setting, "{value}");
        let advice = if setting == Some("Off") { AdviceWebhook::LeftOut } else { AdviceWebhook::Included };
        let expected = WebhookConfiguration { advice, ..generated() }.to_validating_value().expect("plain data");
        pretty_assertions::assert_eq!(objects[&key]["webhooks"], expected["webhooks"], "{value}");
    }
    let values = [
        "domain=sidecars.example.com",
        "webhook.excludedNamespaces={vault}",
        "webhook.advice.timeoutSeconds=1",
        "webhook.advice.resources[0].apiGroup=argoproj.io",
        "webhook.advice.resources[0].resources={rollouts}",
    ];
    let webhook = render::by_key(render::helm(&values))[&key]["webhooks"][0].clone();
    assert_eq!((&webhook["name"], &webhook["timeoutSeconds"]), (&json!("advice.sidecars.example.com"), &json!(1)));
    let excluded = list(&webhook, "/namespaceSelector/matchExpressions/0/values");
    assert!(excluded.contains(&json!("vault")), "{excluded:?}");
    let rule = json!({"apiGroups": ["argoproj.io"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["rollouts"], "scope": "Namespaced"});
    assert_eq!(list(&webhook, "/rules")[2], rule);
    let expressions = webhook["matchConditions"].to_string();
    assert!(expressions.contains("'sidecars.example.com/'") && !expressions.contains("outrigger.dev"), "{expressions}");
}

/// Another name reaches every object, every reference to one, and the settings of the program.
fn two_installations_share_no_name() {
    let values = ["domain=sidecars.example.com", "monitoring.enabled=true", "highAvailability.enabled=true"];
    let named = |name: &str| {
        let name = format!("nameOverride={name}");
        // The cluster has the CustomResourceDefinitions once.
        let mut values = [&values[..], &["crds.install=false"]].concat();
        values.push(&name);
        [render::helm(&values), render::helm(&[&values[..], &["certificates.mode=certManager"]].concat())].concat()
    };
    let keys = |objects: &[Value]| -> std::collections::BTreeSet<String> {
        objects.iter().map(|object| format!("{} {}", object["kind"], object["metadata"]["name"])).collect()
    };
    let (ours, others) = (named(""), named("sidecars"));
    let shared: Vec<String> = keys(&ours).intersection(&keys(&others)).cloned().collect();
    // The test of a release is made in its own namespace.
    assert_eq!(shared, ["\"Pod\" \"outrigger-test\"", "\"ServiceAccount\" \"outrigger-test\""]);
    for object in others.iter().filter(|object| !render::is_hook(object)) {
        for reference in ["secretName", "serviceAccountName", "priorityClassName", "issuerRef", "roleRef", "subjects"] {
            let found = super::values_of(object, reference);
            assert!(
                found.iter().all(|value| !value.to_string().contains("\"name\":\"outrigger")),
                "{reference} in {object}"
            );
        }
        assert!(!object.to_string().contains("\"app.kubernetes.io/name\":\"outrigger\""), "{object}");
    }
    let objects = render::by_key(render::helm(&["nameOverride=sidecars"]));
    let settings = super::objects::settings(&objects[&("ConfigMap".to_owned(), "sidecars".to_owned())]);
    for (setting, expected) in [
        ("service", "sidecars"),
        ("webhookConfiguration", "sidecars"),
        ("lease", "sidecars"),
        ("caSecret", "sidecars-ca"),
        ("servingSecret", "sidecars-serving"),
    ] {
        assert_eq!(settings[setting], expected, "{setting}");
    }
    let named = WebhookConfiguration {
        name: "sidecars".to_owned(),
        ..WebhookConfiguration::new(Endpoint::Service {
            namespace: "outrigger-system".into(),
            name: "sidecars".into(),
            port: 443,
        })
    };
    let advice = &objects[&("ValidatingWebhookConfiguration".to_owned(), "sidecars".to_owned())];
    pretty_assertions::assert_eq!(advice["webhooks"], named.to_validating_value().expect("plain data")["webhooks"]);
    let pods = &objects[&("MutatingWebhookConfiguration".to_owned(), "sidecars".to_owned())];
    pretty_assertions::assert_eq!(pods["webhooks"], named.to_value().expect("plain data")["webhooks"]);
}
