//! Templates, and the pods that the cluster creates of them.

use serde_json::json;

use super::*;
use crate::inject::{CompiledSource, Settings, SourceText, TemplateSet};
use crate::workload::find;

const TEMPLATE: &str = "
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: helper}
spec:
  sidecars:
  - name: helper
    image: 'example.com/helper:1'
    env:
    - {name: OWNER, value: '${pod.metadata.generateName}${pod.metadata.ownerReferences[0].kind}'}
    - {name: PLACE, value: '${pod.metadata.namespace} ${pod.spec.serviceAccountName}'}
  volumes: [{name: data, emptyDir: {}}]
  pod: {terminationGracePeriodSeconds: 60, securityContext: {fsGroup: 5}}
";

fn injector(template: &str) -> Injector {
    let text = SourceText { origin: "t.yaml".to_owned(), text: template.to_owned() };
    let loaded = TemplateSet::assemble(&CompiledSource::compile_all(&[text]), &TemplateSet::default());
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    Injector::new(loaded.templates, Settings::default())
}

/// The reviews of the template and of its first pod.
fn reviews(template: &str, document: &Value) -> [Review; 2] {
    reviews_in(template, document, None)
}

fn reviews_in(template: &str, document: &Value, namespace_object: Option<&Namespace>) -> [Review; 2] {
    let injector = injector(template);
    let reviewer = Reviewer { injector: &injector, namespace: "shop", namespace_object };
    let found = find(document, "outrigger.dev");
    assert_eq!(found.pods.len(), 1, "{found:?}");
    [reviewer.review_template(document, &found.pods[0]), reviewer.review(document, &found.pods[0])]
}

fn review(template: &str, document: &Value) -> Review {
    let [of_template, _] = reviews(template, document);
    of_template
}

fn workload(api_version: &str, kind: &str, metadata: &Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web"},
        "spec": {"template": {"metadata": metadata, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}}})
}

fn asking() -> Value {
    json!({"annotations": {"outrigger.dev/inject": "helper"}})
}

fn findings(review: &Review) -> Vec<String> {
    review.findings.iter().map(ToString::to_string).collect()
}

#[test]
fn templates_read_what_the_cluster_fills_in_and_the_output_has_none_of_it() {
    for (api_version, kind, owner) in
        [("apps/v1", "Deployment", "ReplicaSet"), ("apps/v1", "StatefulSet", "StatefulSet"), ("batch/v1", "Job", "Job")]
    {
        let document = workload(api_version, kind, &asking());
        let review = review(TEMPLATE, &document);
        let after = review.after.unwrap_or_else(|| panic!("{kind}: {:?}", review.outcome));
        let env = &after["spec"]["initContainers"][0]["env"];
        assert_eq!(env[0]["value"], format!("web-{owner}"));
        assert_eq!(env[1]["value"], "shop default");
        assert_eq!(after["spec"]["terminationGracePeriodSeconds"], 60);
        let keys = |value: &Value| value.as_object().expect("a map").keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&after), ["metadata", "spec"]);
        assert_eq!(keys(&after["metadata"]), ["annotations", "labels"]);
        let expected = ["containers", "initContainers", "securityContext", "terminationGracePeriodSeconds", "volumes"];
        assert_eq!(keys(&after["spec"]), expected);
    }
}

#[test]
fn uninject_gives_back_the_template_whatever_was_filled_in() {
    let spec = |more: Value| {
        let mut document = workload("apps/v1", "StatefulSet", &asking());
        for (key, value) in more.as_object().expect("fields") {
            document["spec"]["template"]["spec"][key] = value.clone();
        }
        document["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "claim"}}]);
        document
    };
    for more in [
        json!({}),
        json!({"terminationGracePeriodSeconds": null, "securityContext": null, "volumes": null}),
        json!({"terminationGracePeriodSeconds": 30, "securityContext": {}, "volumes": []}),
        json!({"volumes": [{"name": "own", "emptyDir": {}}, {"name": "claim", "emptyDir": {}}]}),
        json!({"dnsPolicy": "", "schedulerName": "", "restartPolicy": ""}),
    ] {
        let document = spec(more);
        for review in reviews(TEMPLATE, &document) {
            let after = review.after.expect("it is injected");
            assert!(!after.to_string().contains("claimName"), "{after}");
            let back =
                crate::inject::uninject(&after, "outrigger.dev").expect("a status").expect("something to take out");
            assert_eq!(back, document["spec"]["template"]);
        }
    }
}

#[test]
fn uninject_gives_back_values_that_hold_nothing() {
    let spec = "
  app:
    env: [{name: A, value: b, onExisting: Append, separator: ','}]
    defaults:
      terminationMessagePolicy: FallbackToLogsOnError
      resources: {requests: {cpu: 10m, memory: 64Mi}, limits: {memory: 128Mi}}
  pod: {dnsPolicy: Default, schedulerName: other}
";
    let template = format!("{}spec:{spec}", TEMPLATE.split("spec:").next().unwrap_or_default());
    for (field, value) in [
        ("resources", json!({"limits": {}})),
        ("resources", json!({"requests": null})),
        ("resources", json!({"limits": {}, "requests": {}})),
        ("resources", json!({"limits": {"memory": null}})),
        ("env", json!([{"name": "A", "value": ""}])),
        ("env", json!([{"name": "A", "value": null}])),
        ("terminationMessagePolicy", json!("")),
    ] {
        let mut document = workload("apps/v1", "Deployment", &asking());
        document["spec"]["template"]["spec"]["containers"][0][field] = value.clone();
        document["spec"]["template"]["spec"]["dnsPolicy"] = json!("");
        document["spec"]["template"]["spec"]["schedulerName"] = json!("");
        let [review, _] = reviews(&template, &document);
        let after = review.after.unwrap_or_else(|| panic!("{field}: {value}: {:?}", review.outcome));
        let back = crate::inject::uninject(&after, "outrigger.dev");
        let back = back.unwrap_or_else(|error| panic!("{field}: {value}: {error}: {after}")).expect("a status");
        assert_eq!(back, document["spec"]["template"], "{field}: {value}: {after}");
    }
}

/// The template of a StatefulSet afterwards and that of its first pod, or the codes of the refusals.
fn of_stateful_set(sidecar: &str) -> [String; 2] {
    let spec = "{sidecars: [{name: helper, image: 'helper:1'SIDECAR";
    let template =
        format!("{}spec: {}", TEMPLATE.split("spec:").next().unwrap_or_default(), spec.replace("SIDECAR", sidecar));
    reviews(&template, &workload("apps/v1", "StatefulSet", &asking())).map(|review| match review.outcome {
        Ok(_) => review.after.map_or_else(String::new, |after| after.to_string()),
        Err(error) => error.to_string(),
    })
}

#[test]
fn a_value_of_one_pod_is_read_by_its_review_and_not_written_into_the_template() {
    let [template, pod] = of_stateful_set(", args: ['${pod.metadata.name}']}]}");
    assert!(template.starts_with("expression_missing_key: ") && template.contains("; its pods get it"), "{template}");
    assert!(pod.contains("\"args\":[\"web-0\"]"), "{pod}");
    let [template, pod] = of_stateful_set(", args: ['${has(pod.spec.hostname) ? pod.spec.hostname : \"none\"}']}]}");
    assert!(template.contains("\"args\":[\"none\"]"), "{template}");
    assert!(pod.contains("\"args\":[\"web-0\"]"), "{pod}");
    let labels = ", args: ['${pod.metadata.labels[\"controller-revision-hash\"]}']}]}";
    let template = &of_stateful_set(labels)[0];
    assert!(template.starts_with("expression_missing_key: "), "{template}");
}

#[test]
fn labels_of_the_controller_decide_about_pods_alone() {
    let matching = |selector: &str| {
        let key = "key: apps.kubernetes.io/pod-index";
        let selector = format!("{{matchExpressions: [{{{key}, {selector}}}]}}");
        of_stateful_set(&format!("}}], match: {{podSelector: {selector}}}}}"))
    };
    // Some pods have the label with this value, and others not.
    for selector in ["operator: Exists", "operator: In, values: ['0']", "operator: In, values: ['0', '1']"] {
        let [template, pod] = matching(selector);
        assert!(template.starts_with("template_not_allowed: ") && template.contains("; its pods get it"), "{template}");
        assert!(pod.contains("helper:1"), "{pod}");
    }
    for selector in ["operator: DoesNotExist", "operator: NotIn, values: ['0']"] {
        let [template, pod] = matching(selector);
        assert!(template.contains("helper:1"), "{template}");
        assert!(pod.starts_with("template_not_allowed: ") && !pod.contains("; its pods"), "{pod}");
    }
}

#[test]
fn values_that_two_pods_share_by_chance_are_not_written() {
    for expression in [
        r#"int(pod.metadata.labels["apps.kubernetes.io/pod-index"]) < 2 ? "primary" : "replica""#,
        "string(size(pod.metadata.name))",
        r#"pod.metadata.labels["controller-revision-hash"].endsWith("0") ? "digit" : "letter""#,
    ] {
        let [template, pod] = of_stateful_set(&format!(", args: ['${{{expression}}}']}}]}}"));
        assert!(template.contains("; its pods get it in the cluster"), "{expression}: {template}");
        assert!(pod.contains("args"), "{expression}: {pod}");
    }
    // A DaemonSet's own terms are replaced in its pods; in its template they choose the nodes.
    let terms = "{nodeSelectorTerms: [{matchExpressions: [{key: z, operator: Exists}]}]}";
    let affinity = format!("{{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {terms}}}}}");
    let template = TEMPLATE.replace("pod: {", &format!("pod: {{affinity: {affinity}, "));
    let after = review(&template, &workload("apps/v1", "DaemonSet", &asking())).after.expect("it is injected");
    assert!(!after.to_string().contains("node-0"), "{after}");
}

#[test]
fn an_automatic_template_that_only_pods_get_is_told() {
    let matching = "match: {podSelector: {matchExpressions: [{key: apps.kubernetes.io/pod-index, operator: Exists}]}}";
    let template = TEMPLATE.replace("spec:", &format!("spec:\n  injection: Automatic\n  {matching}"));
    let namespace = Namespace {
        labels: [("outrigger.dev/injection".to_owned(), "enabled".to_owned())].into(),
        ..Namespace::default()
    };
    let [review, _] = reviews_in(&template, &workload("apps/v1", "StatefulSet", &json!({})), Some(&namespace));
    let Ok(Outcome::Skipped(skip)) = review.outcome else { panic!("{:?}", review.outcome) };
    assert!(skip.warnings.iter().any(|warning| warning.contains("is left out; its pods get it")), "{skip:?}");
}

#[test]
fn a_claim_is_a_volume_of_the_pod() {
    let mut document = workload("apps/v1", "StatefulSet", &asking());
    document["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}}]);
    let error = review(TEMPLATE, &document).outcome.expect_err("two volumes of one name");
    assert_eq!(error.codes(), [ErrorCode::Conflict]);
    let mounts = TEMPLATE.replace("volumes: [{name: data, emptyDir: {}}]", "fromApp: {volumeMounts: true}");
    document["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/d"}]);
    let after = review(&mounts, &document).after.expect("the claim can be mounted");
    assert_eq!(after["spec"]["initContainers"][0]["volumeMounts"][0]["name"], "data");
    assert_eq!(after["spec"].get("volumes"), None);
}

#[test]
fn keys_at_the_wrong_level_are_named_with_the_right_one() {
    let mut document = workload("apps/v1", "Deployment", &json!({"labels": {"outrigger.dev/inject": "helper"}}));
    document["metadata"]["annotations"] = json!({"outrigger.dev/containers": "app"});
    document["spec"]["template"]["annotations"] = json!({"helper.outrigger.dev/x": "1"});
    let review = review(TEMPLATE, &document);
    assert_eq!(
        findings(&review),
        [
            "key_misplaced: annotation outrigger.dev/containers has no effect in metadata.annotations; \
             move it to spec.template.metadata.annotations",
            "key_misplaced: annotation helper.outrigger.dev/x has no effect in spec.template.annotations; \
             move it to spec.template.metadata.annotations",
        ]
    );
    assert!(matches!(review.outcome, Ok(Outcome::Skipped(_))));
    let explained: Vec<String> = review.explanations.iter().map(ToString::to_string).collect();
    let label = "label outrigger.dev/inject has no effect here: it must be an annotation of the pod";
    assert_eq!(explained, [format!("not_requested: no template is requested; {label}")]);
}

#[test]
fn a_value_that_is_no_text_is_named_by_its_path_in_the_object() {
    let document = workload("apps/v1", "Deployment", &json!({"annotations": {"outrigger.dev/inject": false}}));
    let error = review(TEMPLATE, &document).outcome.expect_err("no text").to_string();
    let expected = "pod_invalid: spec.template.metadata.annotations[\"outrigger.dev/inject\"]: \
                    expected a string, found a boolean; put it in quotes";
    assert_eq!(error, expected);
    let mut document = workload("apps/v1", "Deployment", &asking());
    document["spec"]["template"]["spec"]["containers"][0]["env"] = json!(7);
    let error = review(TEMPLATE, &document).outcome.expect_err("no list").to_string();
    assert!(error.starts_with("pod_invalid: in spec.template: ") && error.contains("spec.containers"), "{error}");
    let document = workload("apps/v1", "Deployment", &json!({"annotations": {"other": 1}}));
    let review = review(TEMPLATE, &document);
    assert!(matches!(review.outcome, Ok(Outcome::Skipped(_))));
    assert!(findings(&review)[0].ends_with("put it in quotes; it is left as it is"), "{review:?}");
}

#[test]
fn what_was_injected_before_is_compared_with_now() {
    let before = workload("apps/v1", "Deployment", &asking());
    let mut document = before.clone();
    document["spec"]["template"] = review(TEMPLATE, &before).after.expect("it is injected");
    let renewal = |template: &str, document: &Value| {
        let injector = injector(template);
        let reviewer = Reviewer { injector: &injector, namespace: "shop", namespace_object: None };
        let location = find(document, "outrigger.dev").pods.remove(0);
        reviewer.renewal(document, &location)
    };
    assert!(renewal(TEMPLATE, &document).is_none());
    assert!(renewal(TEMPLATE, &before).is_none());
    let other = TEMPLATE.replace("helper:1", "helper:2");
    let found = renewal(&other, &document).expect("another image");
    assert!(found.difference.to_string().contains("has other values than it would get now"), "{found:?}");
    assert_eq!(found.bare, before["spec"]["template"]);
    assert!(found.review.after.expect("injected").to_string().contains("helper:2"));
    let annotations = document["spec"]["template"]["metadata"]["annotations"].as_object_mut().expect("a map");
    annotations.remove("outrigger.dev/inject");
    let found = renewal(TEMPLATE, &document).expect("not requested");
    assert!(found.difference.to_string().contains("is not requested any more"), "{found:?}");
    assert!(found.review.after.is_none());
}

#[test]
fn an_unknown_kind_is_said_where_it_matters() {
    let document = workload("example.com/v1", "Server", &asking());
    let asks = review(TEMPLATE, &document);
    assert!(asks.after.is_some());
    assert!(findings(&asks)[0].starts_with("kind_unknown: kind \"Server\" is not known"));
    assert!(review(TEMPLATE, &workload("example.com/v1", "Server", &json!({}))).findings.is_empty());
}

#[test]
fn templates_read_containers_as_the_api_server_stores_them_and_the_file_keeps_its_own() {
    const MATCH: &str = "
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: helper}
spec:
  match:
    conditions:
    - expression: \"pod.spec.containers[0].resources.?limits.?cpu.orValue('') != '1'\"
      message: no whole CPU
  app:
    defaults: {resources: {requests: {cpu: 10m, memory: 64Mi}}, terminationMessagePolicy: FallbackToLogsOnError}
    env: [{name: A, value: b}]
  sidecars: [{name: helper, image: 'helper:1'}]
";
    let with = |more: Value| {
        let mut document = workload("apps/v1", "Deployment", &asking());
        for (key, value) in more.as_object().expect("fields") {
            document["spec"]["template"]["spec"]["containers"][0][key] = value.clone();
        }
        document
    };
    for (more, is_injected) in [
        (json!({}), true),
        (json!({"resources": null, "env": null}), true),
        (json!({"resources": {}, "env": []}), true),
        (json!({"resources": {"limits": {"cpu": "1500m"}}}), true),
        (json!({"resources": {"limits": {"cpu": "2000m", "memory": "1024Mi"}, "requests": null}}), true),
        (json!({"resources": {"limits": {"cpu": "1000m"}}}), false),
        (json!({"resources": {"limits": {"cpu": 1}}}), false),
    ] {
        let document = with(more.clone());
        for review in reviews(MATCH, &document) {
            assert_eq!(review.outcome.is_ok(), is_injected, "{more} {:?}", review.outcome);
            let Some(after) = review.after else { continue };
            let container = &after["spec"]["containers"][0];
            assert_eq!(container["resources"].get("limits"), more.pointer("/resources/limits"), "{container}");
            assert_eq!(container["imagePullPolicy"], Value::Null, "{container}");
            let back = crate::inject::uninject(&after, "outrigger.dev").expect("a status").expect("something");
            assert_eq!(back, document["spec"]["template"], "{after}");
        }
    }
}

#[test]
fn one_of_two_templates_is_taken_out_alone() {
    let template = |name: &str, resource: &str| {
        format!(
            "---\napiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: {name}}}\nspec:\n  \
             app: {{defaults: {{resources: {{requests: {{{resource}}}}}}}}}\n"
        )
    };
    let annotations = json!({"annotations": {"outrigger.dev/inject": "a, b"}});
    let document = workload("apps/v1", "Deployment", &annotations);
    let both = template("a", "cpu: 10m") + &template("b", "memory: 64Mi");
    let after = review(&both, &document).after.expect("it is injected");
    for (name, rest) in [("a", json!({"memory": "64Mi"})), ("b", json!({"cpu": "10m"}))] {
        let without =
            crate::inject::uninject_template(&after, "outrigger.dev", name).expect("a status").expect("its own");
        assert_eq!(without["spec"]["containers"][0]["resources"], json!({"requests": rest}), "{name} {after}");
    }
}
