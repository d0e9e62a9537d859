//! The chart renders the objects of the kustomization, refuses unknown values, and has a test that
//! injected pods pass.

use std::collections::BTreeMap;

use outrigger::inject::{Injector, Loaded, Outcome, Request, Settings, SourceText, TemplateSet};
use serde_json::{Value, json};

use super::render::{self, Key};
use super::{list, text};
use crate::support::injected_pod;

tests! {
    the_chart_renders_the_same_objects_as_the_kustomization,
    helm_lint_reports_nothing,
    invalid_values_are_refused,
    a_custom_namespace_is_used_in_every_object,
    user_provided_certificate_files_are_mounted_and_trusted,
    an_injected_pod_passes_the_helm_test,
    the_chart_renders_the_templates_of_its_values,
    only_the_chart_deletes_the_webhook_by_a_pre_delete_hook,
}

/// Labels and annotations that only Helm sets.
const LABELS: [&str; 4] =
    ["app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"];

/// Objects that only the chart has: the templates of its values, and that of `helm test`.
const CHART_ALONE: [(&str, &str); 1] = [("ConfigMap", "outrigger-templates")];
/// Objects that only kustomize has: Helm creates the namespace with `--create-namespace`, or uses
/// an existing one.
const KUSTOMIZE_ALONE: [(&str, &str); 1] = [("Namespace", "outrigger-system")];

/// Values of the chart, and the equivalent components.
const SAME: [(&[&str], &[&str]); 5] = [
    (&[], &[]),
    (&["highAvailability.enabled=true"], &["high-availability"]),
    (&["certificates.mode=certManager"], &["cert-manager"]),
    (&["monitoring.enabled=true"], &["monitoring"]),
    (
        &["highAvailability.enabled=true", "monitoring.enabled=true", "certificates.mode=certManager"],
        &["high-availability", "cert-manager", "monitoring"],
    ),
];

/// The object without Helm's labels, and with its settings parsed.
fn plain(mut object: Value) -> Value {
    if let Some(labels) = object.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.retain(|key, _| !LABELS.contains(&key.as_str()));
    }
    if object["kind"] == "CustomResourceDefinition"
        && let Some(metadata) = object["metadata"].as_object_mut()
    {
        let annotations = metadata.remove("annotations");
        assert!(annotations.is_none_or(|kept| kept == json!({"helm.sh/resource-policy": "keep"})));
    }
    if let Some(annotations) = object.pointer_mut("/spec/template/metadata/annotations").and_then(Value::as_object_mut)
    {
        annotations.remove("checksum/config");
    }
    if object["kind"] == "ConfigMap" {
        for value in object["data"].as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
            *value = super::documents("a key of a ConfigMap", value.as_str().unwrap_or_default()).remove(0);
        }
    }
    object
}

fn comparable(objects: Vec<Value>, left_out: &[(&str, &str)]) -> BTreeMap<Key, Value> {
    let objects = objects.into_iter().map(plain).collect();
    let mut objects = render::by_key(objects);
    for (kind, name) in left_out {
        let found = objects.remove(&((*kind).to_owned(), (*name).to_owned()));
        assert!(found.is_some(), "{kind} {name} is no more: it need not be left out");
    }
    objects
}

fn the_chart_renders_the_same_objects_as_the_kustomization() {
    for (values, components) in SAME {
        let chart = comparable(render::helm(values), &CHART_ALONE);
        let kustomize = comparable(render::kustomize(components), &KUSTOMIZE_ALONE);
        assert_eq!(chart.keys().collect::<Vec<_>>(), kustomize.keys().collect::<Vec<_>>(), "{components:?}");
        for (key, object) in &kustomize {
            pretty_assertions::assert_eq!(&chart[key], object, "{key:?} with {components:?}");
        }
    }
}

fn helm_lint_reports_nothing() {
    for (values, _) in SAME {
        let report = render::helm_lint(values);
        assert!(!report.contains("WARNING") && !report.contains("ERROR"), "{report}");
    }
}

fn invalid_values_are_refused() {
    let table = [
        ("replica=3", "additional properties 'replica' not allowed"),
        ("replicas=0", "/replicas"),
        ("image.digest=abc", "/image/digest"),
        ("domain=Sidecars", "/domain"),
        ("nameOverride=Sidecars", "/nameOverride"),
        ("advice=warn", "/advice"),
        ("webhook.advice.timeoutSeconds=0", "/webhook/advice/timeoutSeconds"),
        ("webhook.timeoutSeconds=31", "/webhook/timeoutSeconds"),
        ("webhook.pods.failurePolicy=fail", "'Fail', 'Ignore'"),
        ("certificates.mode=selfSigned", "'self', 'certManager', 'files'"),
        ("certificates.mode=files", "/certificates/files/secretName"),
        ("templates.redis.kind=x", "'/templates': additional properties 'redis' not allowed"),
        ("templates.outrigger-test\\.yaml=x", "'/templates/outrigger-test.yaml'"),
        ("config.logLvel=debug", "'/config': additional properties 'logLvel' not allowed"),
        ("podLabels.app\\.kubernetes\\.io/name=x", "'/podLabels/app.kubernetes.io~1name'"),
        ("network=node", "/network"),
    ];
    for (value, expected) in table {
        let said = render::fails(render::helm_template("outrigger-system", &[value]));
        assert!(said.contains(expected), "{value}: {said}");
    }
}

fn a_custom_namespace_is_used_in_every_object() {
    let mut helm = render::helm_template("sidecars", &["certificates.mode=certManager", "monitoring.enabled=true"]);
    let output = helm.output().expect("helm runs");
    let printed = String::from_utf8(output.stdout).expect("YAML is text");
    assert!(output.status.success() && printed.contains("outrigger.sidecars.svc"), "{printed}");
    let left: Vec<&str> = printed.lines().filter(|line| line.contains("outrigger-system")).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn user_provided_certificate_files_are_mounted_and_trusted() {
    let mut helm =
        render::helm_template("outrigger-system", &["certificates.mode=files", "certificates.files.secretName=mine"]);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let bundle = folder.path().join("ca.pem");
    let certificate = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n";
    std::fs::write(&bundle, certificate).expect("a file in a temporary directory");
    helm.arg("--set-file").arg(format!("certificates.files.caBundle={}", bundle.display()));
    let output = helm.output().expect("helm runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let objects = render::by_key(super::documents("helm template", &String::from_utf8_lossy(&output.stdout)));
    let object = |kind: &str| &objects[&(kind.to_owned(), "outrigger".to_owned())];
    for webhook in list(object("MutatingWebhookConfiguration"), "/webhooks") {
        use base64::Engine;
        let bundle = text(webhook, "/clientConfig/caBundle");
        let bundle = base64::engine::general_purpose::STANDARD.decode(bundle).expect("base64");
        assert_eq!(String::from_utf8_lossy(&bundle), certificate);
    }
    assert_eq!(text(object("Deployment"), "/spec/template/spec/volumes/0/secret/secretName"), "mine");
    let settings = super::objects::settings(object("ConfigMap"));
    assert_eq!(
        (&settings["certificates"], &settings["tlsKey"]),
        (&json!("files"), &json!("/etc/outrigger/tls/tls.key"))
    );
}

/// The template that the chart brings for its test.
fn test_template(objects: &[Value]) -> SourceText {
    let config_map = objects
        .iter()
        .find(|object| object["kind"] == "ConfigMap" && object["metadata"]["name"] == "outrigger-templates")
        .expect("the chart has templates");
    let text = text(config_map, "/data/outrigger-test.yaml").to_owned();
    SourceText { origin: "outrigger-test.yaml".to_owned(), text }
}

/// The pod of `helm test` is injected within Pod Security "restricted"; no other pod gets that
/// template.
fn an_injected_pod_passes_the_helm_test() {
    let objects = render::helm(&[]);
    let mut pods: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "Pod").collect();
    let pod = pods.pop().expect("the chart has a pod for its test");
    assert!(pods.is_empty() && render::is_hook(pod));
    // The webhook skips pods with Outrigger's name label and pods in its namespace.
    assert_ne!(pod["metadata"]["labels"]["app.kubernetes.io/name"], "outrigger");
    assert_ne!(pod["metadata"]["namespace"], "outrigger-system");

    let Loaded { templates, problems, .. } = TemplateSet::load(&[test_template(&objects)]);
    assert!(problems.is_empty(), "{problems:?}");
    let injector = Injector::new(templates, Settings::default());
    let inject = |pod: &Value| injector.inject(&Request::create_pod("outrigger-test", &pod.to_string()));
    let injected = match inject(pod) {
        Ok(Outcome::Injected(injection)) => injected_pod(pod, &injection),
        other => panic!("{other:?}"),
    };
    for container in list(&injected, "/spec/initContainers").iter().chain(list(&injected, "/spec/containers")) {
        assert_eq!(container["image"], "busybox:1.37");
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false, "{container}");
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{container}");
        assert!(list(container, "/volumeMounts").iter().any(|mount| mount["mountPath"] == "/outrigger-test"));
    }
    let mut other = pod.clone();
    other["metadata"]["labels"] = json!({"app": "web"});
    assert!(inject(&other).is_err_and(|error| error.to_string().contains("template_not_allowed")));
}

fn the_chart_renders_the_templates_of_its_values() {
    let values = ["templates.a\\.yaml.kind=X", "templates.b\\.yaml=text: 1", "test.enabled=false"];
    let objects = render::by_key(render::helm(&values));
    let data = &objects[&("ConfigMap".to_owned(), "outrigger-templates".to_owned())]["data"];
    let keys: Vec<&String> = data.as_object().expect("a map").keys().collect();
    assert_eq!(keys, ["a.yaml", "b.yaml"]);
    assert_eq!((text(data, "/a.yaml").trim(), text(data, "/b.yaml").trim()), ("kind: X", "text: 1"));
    let none = render::by_key(render::helm(&["test.enabled=false"]));
    assert!(!none.contains_key(&("ConfigMap".to_owned(), "outrigger-templates".to_owned())));
}

/// Applied as an ordinary object, the hook that replaces the webhook configuration would disable
/// it.
fn only_the_chart_deletes_the_webhook_by_a_pre_delete_hook() {
    let objects = render::helm(&[]);
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let configurations: Vec<&Value> = objects.iter().filter(|object| object["kind"] == kind).collect();
        assert_eq!(configurations.len(), 1, "{kind}");
        assert!(!list(configurations[0], "/webhooks").is_empty(), "{kind}");
    }
    assert!(super::read("manifests/chart/templates/webhook-goes-first.yaml").contains("helm.sh/hook: pre-delete"));
}
