//! Tests the generated webhook configurations.

use serde_json::{Value, json};

use super::*;

fn by_url() -> WebhookConfiguration {
    WebhookConfiguration::new(Endpoint::Url("https://127.0.0.1:9443/mutate".parse().expect("a good URL")))
}

fn by_service() -> WebhookConfiguration {
    let (namespace, name) = ("outrigger-system".to_owned(), "outrigger".to_owned());
    WebhookConfiguration::new(Endpoint::Service { namespace, name, port: 443 })
}

fn value(configuration: &WebhookConfiguration) -> Value {
    configuration.to_value().expect("it is plain data")
}

#[test]
fn the_configuration_for_a_url_is_complete() {
    let system = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "kube-node-lease", "kube-public"]});
    let is_enabled = json!({"key": "outrigger.dev/injection", "operator": "In", "values": ["enabled"]});
    let selector = json!({"matchExpressions": [system]});
    let of_namespaces = json!({"matchExpressions": [system, is_enabled]});
    let webhook = |name: &str, policy: &str, selector: &Value, condition: &str, expression: &str| {
        json!({
            "name": name,
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://127.0.0.1:9443/mutate"},
            "failurePolicy": policy,
            "matchConditions": [{"name": condition, "expression": expression}],
            "matchPolicy": "Equivalent",
            "namespaceSelector": selector,
            "objectSelector": {"matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "NotIn", "values": ["outrigger"]}]},
            "reinvocationPolicy": "IfNeeded",
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced"}],
            "sideEffects": "None",
            "timeoutSeconds": 5,
        })
    };
    let asks = "has(object.metadata.annotations) && 'outrigger.dev/inject' in object.metadata.annotations";
    let expected = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "outrigger", "labels": {"app.kubernetes.io/name": "outrigger"}},
        "webhooks": [
            webhook("pods.inject.outrigger.dev", "Fail", &selector, "asks-for-injection", asks),
            webhook("namespaces.inject.outrigger.dev", "Ignore", &of_namespaces, "does-not-ask-for-injection", &format!("!({asks})")),
        ],
    });
    assert_eq!(value(&by_url()), expected);
}

#[test]
fn a_service_excludes_its_own_namespace() {
    for webhook in value(&by_service())["webhooks"].as_array().expect("a list") {
        assert_eq!(
            webhook["clientConfig"],
            json!({"service": {"namespace": "outrigger-system", "name": "outrigger", "path": "/mutate", "port": 443}})
        );
        let excluded = &webhook["namespaceSelector"]["matchExpressions"][0];
        assert_eq!(excluded["values"], json!(["kube-system", "kube-node-lease", "kube-public", "outrigger-system"]));
    }
}

#[test]
fn the_ca_bundle_is_the_pem_in_base64() {
    let configuration = WebhookConfiguration { ca_bundle: Some(b"PEM".to_vec()), ..by_url() };
    assert_eq!(value(&configuration)["webhooks"][0]["clientConfig"]["caBundle"], json!("UEVN"));
    assert_eq!(value(&configuration)["webhooks"][1]["clientConfig"]["caBundle"], json!("UEVN"));
}

#[test]
fn each_webhook_has_its_own_failure_policy() {
    let configuration = WebhookConfiguration { pods_failure_policy: FailurePolicy::Ignore, ..by_url() };
    assert_eq!(value(&configuration)["webhooks"][0]["failurePolicy"], json!("Ignore"));
    let configuration = WebhookConfiguration { namespaces_failure_policy: FailurePolicy::Fail, ..by_url() };
    assert_eq!(value(&configuration)["webhooks"][1]["failurePolicy"], json!("Fail"));
}

#[test]
fn every_name_uses_the_configured_domain() {
    let text = value(&WebhookConfiguration { domain: "sidecars.example.com".to_owned(), ..by_url() }).to_string();
    assert!(!text.contains("outrigger.dev"), "{text}");
    for part in ["pods.inject.sidecars.example.com", "'sidecars.example.com/inject'", "sidecars.example.com/injection"]
    {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

/// Evaluates the two conditions as the API server does: each pod matches exactly one webhook.
#[test]
fn each_pod_matches_exactly_one_webhook() {
    let object = by_url().to_object();
    let conditions: Vec<String> = object
        .webhooks
        .iter()
        .flatten()
        .flat_map(|webhook| webhook.match_conditions.iter().flatten().map(|condition| condition.expression.clone()))
        .collect();
    assert_eq!(conditions.len(), 2);
    let pods = [
        (json!({"metadata": {}}), [false, true]),
        (json!({"metadata": {"annotations": {"other": "x"}}}), [false, true]),
        (json!({"metadata": {"annotations": {"outrigger.dev/inject": "proxy"}}}), [true, false]),
        (json!({"metadata": {"annotations": {"outrigger.dev/inject": ""}}}), [true, false]),
    ];
    for (pod, expected) in pods {
        let verdicts: Vec<bool> = conditions.iter().map(|expression| holds(expression, &pod)).collect();
        assert_eq!(verdicts, expected, "{pod}");
    }
}

fn holds(expression: &str, object: &Value) -> bool {
    holds_for(expression, &[("object", object)])
}

fn holds_for(expression: &str, variables: &[(&str, &Value)]) -> bool {
    let program = cel::Program::compile(expression).expect("the expression compiles");
    let mut context = cel::Context::default();
    for (name, value) in variables {
        context.add_variable(*name, (*value).clone()).expect("JSON becomes a CEL value");
    }
    let value = program.execute(&context).unwrap_or_else(|error| panic!("{expression}: {error}"));
    value == cel::Value::Bool(true)
}

#[test]
fn urls_that_the_api_server_refuses_are_rejected() {
    for good in ["https://127.0.0.1:9443/mutate", "https://outrigger.example.com/mutate", "https://[::1]:9443/mutate"] {
        assert!(good.parse::<WebhookUrl>().is_ok(), "{good}");
    }
    let bad = [
        "",
        "http://a/mutate",
        "https://",
        "https:///mutate",
        "https://a",
        "https://a/",
        "https://u@a/mutate",
        "https://a/mutate?x=1",
        "https://a/mutate#x",
        "https://a/mu tate",
        "https://:9443/mutate",
        "https://a:x/mutate",
        "https://a:0/mutate",
        "https://a:99999/mutate",
        "https://[::1/mutate",
        "https://[a]/mutate",
        "https://a%zz/mutate",
    ];
    for bad in bad {
        let error = bad.parse::<WebhookUrl>().expect_err(bad);
        assert!(error.contains(&format!("{bad:?}")) && error.contains("expected https://"), "{error}");
    }
}

#[test]
fn a_failure_policy_may_have_any_case() {
    assert_eq!("ignore".parse(), Ok(FailurePolicy::Ignore));
    assert_eq!("Fail".parse(), Ok(FailurePolicy::Fail));
    assert!("maybe".parse::<FailurePolicy>().is_err_and(|error| error.contains("\"maybe\"")));
}

fn advice(configuration: &WebhookConfiguration) -> Value {
    configuration.to_validating_value().expect("it is plain data")["webhooks"][0].clone()
}

#[test]
fn the_advice_configuration_refuses_nothing_without_a_server() {
    let object = by_service().to_validating_value().expect("it is plain data");
    assert_eq!(
        (&object["kind"], &object["metadata"]["name"]),
        (&json!("ValidatingWebhookConfiguration"), &json!("outrigger"))
    );
    let mut webhook = advice(&by_service());
    let conditions = webhook.as_object_mut().and_then(|webhook| webhook.remove("matchConditions")).expect("conditions");
    let names: Vec<&Value> =
        conditions.as_array().expect("a list").iter().map(|condition| &condition["name"]).collect();
    assert_eq!(names, ["mentions-the-domain", "template-changed", "has-no-controller"]);
    let rule = |group: &str, resources: &[&str]| json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": resources, "scope": "Namespaced"});
    let expected = json!({
        "name": "advice.outrigger.dev",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "outrigger-system", "name": "outrigger", "path": "/advise", "port": 443}},
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "kube-node-lease", "kube-public", "outrigger-system"]}]},
        "objectSelector": {"matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "NotIn", "values": ["outrigger"]}]},
        "rules": [rule("apps", &["deployments", "statefulsets", "daemonsets"]), rule("batch", &["jobs", "cronjobs"])],
        "sideEffects": "None",
        "timeoutSeconds": 2,
    });
    assert_eq!(webhook, expected);
}

#[test]
fn advice_is_asked_beside_the_url_of_the_webhook() {
    for (url, expected) in [
        ("https://127.0.0.1:9443/mutate", "https://127.0.0.1:9443/advise"),
        ("https://proxy.example/outrigger/mutate", "https://proxy.example/outrigger/advise"),
        ("https://proxy.example/x", "https://proxy.example/advise"),
    ] {
        let configuration = WebhookConfiguration::new(Endpoint::Url(url.parse().expect("a good URL")));
        assert_eq!(advice(&configuration)["clientConfig"]["url"], expected);
    }
}

#[test]
fn another_name_is_that_of_both_objects_and_excludes_the_pods_of_both_installations() {
    let configuration = WebhookConfiguration { name: "sidecars".to_owned(), ..by_url() };
    let advice_object = configuration.to_validating_value().expect("it is plain data");
    for object in [value(&configuration), advice_object] {
        assert_eq!(object["metadata"], json!({"name": "sidecars", "labels": {"app.kubernetes.io/name": "sidecars"}}));
        let excluded = &object["webhooks"][0]["objectSelector"]["matchExpressions"][0]["values"];
        assert_eq!(*excluded, json!(["outrigger", "sidecars"]));
    }
}

/// Whether the API server would ask for advice about this change; `old` is null for a new object.
fn is_sent(object: &Value, old: &Value) -> bool {
    is_sent_to(&advice(&by_url()), object, old)
}

fn is_sent_to(webhook: &Value, object: &Value, old: &Value) -> bool {
    let operation = match (object, old) {
        (_, Value::Null) => "CREATE",
        (Value::Null, _) => "DELETE",
        _ => "UPDATE",
    };
    let request = json!({"operation": operation});
    let variables = [("object", object), ("oldObject", old), ("request", &request)];
    let conditions = webhook["matchConditions"].clone();
    let conditions: Vec<String> = conditions
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|condition| condition["expression"].as_str().map(str::to_owned))
        .collect();
    conditions.iter().all(|expression| holds_for(expression, &variables))
}

#[test]
fn a_workload_is_sent_only_where_our_domain_stands_in_it() {
    let ours = json!({"annotations": {"outrigger.dev/inject": "proxy"}});
    let label = json!({"labels": {"proxy.outrigger.dev/port": "1"}});
    let other = json!({"annotations": {"example.com/inject": "proxy"}, "labels": {"app": "web"}});
    let deployment = |own: &Value, pod: &Value| json!({"metadata": own, "spec": {"template": {"metadata": pod}}});
    let cron_job = |own: &Value, job: &Value, pod: &Value| json!({"metadata": own, "spec": {"jobTemplate": {"metadata": job, "spec": {"template": {"metadata": pod}}}}});
    for (object, expected) in [
        (deployment(&other, &ours), true),
        (deployment(&ours, &other), true),
        (deployment(&label, &json!({})), true),
        (deployment(&other, &label), true),
        (deployment(&json!({}), &json!({"annotations": {}})), false),
        (deployment(&other, &other), false),
        (cron_job(&other, &json!({}), &ours), true),
        (cron_job(&other, &ours, &json!({})), true),
        (cron_job(&ours, &json!({}), &json!({})), true),
        (cron_job(&other, &other, &other), false),
        (json!({"metadata": ours, "spec": {}}), true),
        (json!({"metadata": {}, "spec": {"template": {"spec": {}}}}), false),
    ] {
        assert_eq!(is_sent(&object, &Value::Null), expected, "{object}");
    }
}

#[test]
fn an_update_is_sent_only_if_the_pod_template_changed() {
    let deployment = |replicas: u32, image: &str| {
        json!({
            "metadata": {"annotations": {"outrigger.dev/inject": "proxy"}},
            "spec": {"replicas": replicas, "template": {"metadata": {}, "spec": {"containers": [{"image": image}]}}},
        })
    };
    assert!(!is_sent(&deployment(5, "a:1"), &deployment(1, "a:1")), "scaled");
    assert!(is_sent(&deployment(1, "a:2"), &deployment(1, "a:1")), "another image");
    let cron_job = |schedule: &str, image: &str| {
        json!({
            "metadata": {"annotations": {"outrigger.dev/inject": "proxy"}},
            "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"image": image}]}}}}},
        })
    };
    assert!(!is_sent(&cron_job("@daily", "a:1"), &cron_job("@hourly", "a:1")), "another schedule");
    assert!(is_sent(&cron_job("@daily", "a:2"), &cron_job("@daily", "a:1")), "another image");
    let without = json!({"metadata": {"labels": {"outrigger.dev/x": ""}}, "spec": {}});
    assert!(!is_sent(&without, &without), "there is no template");
}

#[test]
fn an_object_that_a_controller_made_is_not_sent() {
    let job = |owners: Value| {
        json!({
            "metadata": {"ownerReferences": owners, "annotations": {"outrigger.dev/inject": "proxy"}},
            "spec": {"template": {}},
        })
    };
    assert!(!is_sent(&job(json!([{"kind": "CronJob", "controller": true}])), &Value::Null));
    assert!(is_sent(&job(json!([{"kind": "Backup"}, {"kind": "Backup", "controller": false}])), &Value::Null));
}

fn templates(configuration: &WebhookConfiguration) -> Value {
    configuration.to_validating_value().expect("it is plain data")["webhooks"][1].clone()
}

#[test]
fn templates_of_any_namespace_are_checked_and_an_outage_refuses_none() {
    let mut webhook = templates(&by_service());
    assert!(webhook.as_object_mut().is_some_and(|webhook| webhook.remove("matchConditions").is_some()));
    let expected = json!({
        "name": "templates.outrigger.dev",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "outrigger-system", "name": "outrigger", "path": "/validate", "port": 443}},
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "rules": [{
            "apiGroups": ["outrigger.dev"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE", "DELETE"],
            "resources": ["clusterinjectiontemplates", "injectiontemplates"], "scope": "*",
        }],
        "sideEffects": "None",
        "timeoutSeconds": 5,
    });
    assert_eq!(webhook, expected);
}

/// The group of templates is fixed; the domain of annotations is not.
#[test]
fn without_advice_only_templates_are_sent() {
    let configuration =
        WebhookConfiguration { advice: AdviceWebhook::LeftOut, domain: "sidecars.example.com".to_owned(), ..by_url() };
    let object = configuration.to_validating_value().expect("it is plain data");
    let webhooks = object["webhooks"].as_array().expect("a list");
    let names: Vec<&Value> = webhooks.iter().map(|webhook| &webhook["name"]).collect();
    assert_eq!(names, ["templates.sidecars.example.com"]);
    assert_eq!(webhooks[0]["clientConfig"]["url"], "https://127.0.0.1:9443/validate");
    assert_eq!(webhooks[0]["rules"][0]["apiGroups"], json!(["outrigger.dev"]));
}

#[test]
fn an_update_of_a_template_is_sent_only_if_something_of_it_changed() {
    let webhook = templates(&by_url());
    let template =
        |metadata: Value, image: &str| json!({"metadata": metadata, "spec": {"sidecars": [{"image": image}]}});
    let plain = template(json!({}), "a:1");
    let labelled = template(json!({"labels": {"a": "b"}}), "a:1");
    let deleting = |image: &str| template(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), image);
    for (object, old, expected) in [
        (plain.clone(), Value::Null, true),
        (Value::Null, plain.clone(), true),
        (plain.clone(), plain.clone(), false),
        (template(json!({"resourceVersion": "2", "managedFields": []}), "a:1"), plain.clone(), false),
        (template(json!({}), "a:2"), plain.clone(), true),
        (labelled.clone(), plain.clone(), true),
        (plain.clone(), labelled.clone(), true),
        (template(json!({"labels": {"a": "c"}}), "a:1"), labelled.clone(), true),
        (labelled.clone(), labelled, false),
        (template(json!({"annotations": {"a": "b"}}), "a:1"), plain, true),
        (deleting("a:2"), deleting("a:1"), false),
    ] {
        assert_eq!(is_sent_to(&webhook, &object, &old), expected, "{object} {old}");
    }
}
