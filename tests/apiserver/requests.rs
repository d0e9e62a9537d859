//! The kinds of request that create a pod, and the fields that the API server sets before it calls
//! the webhook.

use serde_json::{Value, json};

use crate::cluster::{Namespace, names, pod};
use crate::outrigger::with_custom;

tests! {
    a_dry_run_shows_the_sidecar_and_stores_nothing,
    a_pod_with_a_generated_name_is_injected,
    a_server_side_apply_is_injected_and_can_be_repeated,
    kubectl_can_apply_and_delete_an_injected_pod,
    pod_fields_replace_defaults_of_the_api_server,
    pod_fields_that_the_author_set_are_a_conflict,
    a_pod_of_1400_kib_full_of_angle_brackets_is_injected,
}

fn a_dry_run_shows_the_sidecar_and_stores_nothing() {
    with_custom("dry-run", |namespace, _| {
        assert_has_agent(&namespace.would_accept(&asking("web")));
        assert_eq!(namespace.cluster.get(&namespace.path("pods/web")).status, 404);
    });
}

fn a_pod_with_a_generated_name_is_injected() {
    with_custom("generate-name", |namespace, _| {
        let mut asking = asking("web");
        asking["metadata"] = json!({"generateName": "web-", "annotations": asking["metadata"]["annotations"]});
        let stored = namespace.accepts(&asking);
        assert!(
            stored["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("web-")),
            "{}",
            stored["metadata"]
        );
        assert_has_agent(&stored);
    });
}

fn a_server_side_apply_is_injected_and_can_be_repeated() {
    with_custom("apply", |namespace, _| {
        let created = apply(namespace, &asking("web"));
        assert_has_agent(&created);
        let applied = apply(namespace, &asking("web"));
        assert_eq!(applied["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
        assert_eq!(applied["spec"], created["spec"]);
    });
}

fn kubectl_can_apply_and_delete_an_injected_pod() {
    with_custom("kubectl", |namespace, _| {
        for (arguments, expected) in [
            (&["apply", "-f", "-"][..], "pod/web created\n"),
            (&["apply", "-f", "-"], "pod/web unchanged\n"),
            (&["delete", "--now", "-f", "-"], "pod \"web\" deleted from kubectl namespace\n"),
        ] {
            let (succeeded, text) = namespace.kubectl(arguments, &asking("web"));
            assert!(succeeded && text == expected, "{arguments:?}: {text}");
        }
    });
}

fn pod_fields_replace_defaults_of_the_api_server() {
    with_custom("scheduling", |namespace, _| {
        namespace.ensure_priority_class("tests-high", 1000);
        namespace.ensure_service_account("collector");
        let stored = namespace.accepts(&pod("web", &json!({"outrigger.dev/inject": "scheduling"})));
        let spec = &stored["spec"];
        assert_eq!((&spec["priorityClassName"], &spec["priority"]), (&json!("tests-high"), &json!(1000)));
        assert_eq!(spec["preemptionPolicy"], "PreemptLowerPriority");
        assert_eq!(spec["terminationGracePeriodSeconds"], 90);
        assert_eq!((&spec["serviceAccountName"], &spec["serviceAccount"]), (&json!("collector"), &json!("collector")));
    });
}

fn pod_fields_that_the_author_set_are_a_conflict() {
    with_custom("scheduling-conflict", |namespace, _| {
        namespace.ensure_service_account("collector");
        namespace.ensure_service_account("own");
        let mut asking = pod("web", &json!({"outrigger.dev/inject": "scheduling"}));
        asking["spec"]["serviceAccountName"] = json!("own");
        let message = namespace.rejects(&asking);
        assert!(message.contains("serviceAccountName") && message.contains("\"own\""), "{message}");
    });
}

/// The API server escapes each of these characters to six bytes when it calls the webhook: 1.4 MiB
/// become 8.4 MiB.
fn a_pod_of_1400_kib_full_of_angle_brackets_is_injected() {
    with_custom("large", |namespace, _| {
        let value = "<&>".repeat(70 * 1024 / 3);
        let env: Vec<Value> = (0..20).map(|index| json!({"name": format!("LARGE_{index}"), "value": value})).collect();
        let mut asking = asking("web");
        asking["spec"]["containers"][0]["env"] = json!(env);
        assert!(asking.to_string().len() > 1_400 * 1000, "{}", asking.to_string().len());
        let stored = namespace.accepts(&asking);
        assert_has_agent(&stored);
        assert_eq!(stored["spec"]["containers"][0]["env"].as_array().map(|env| &env[..20]), Some(&env[..]));
    });
}

fn asking(name: &str) -> Value {
    pod(name, &json!({"outrigger.dev/inject": "agent"}))
}

fn apply(namespace: &Namespace, pod: &Value) -> Value {
    let path = namespace.path("pods/web?fieldManager=tests&fieldValidation=Strict");
    namespace
        .cluster
        .send("PATCH", &path, "application/apply-patch+yaml", pod.to_string().into_bytes())
        .expect_success()
}

fn assert_has_agent(pod: &Value) {
    assert_eq!(names(pod, "/spec/initContainers"), ["agent", "agent-init"], "{}", pod["spec"]);
    assert!(names(pod, "/spec/volumes").contains(&"agent-data"), "{}", pod["spec"]);
    let env = pod["spec"]["containers"][0]["env"].as_array().cloned().unwrap_or_default();
    assert!(env.contains(&json!({"name": "AGENT_DIR", "value": "/var/agent"})), "{} variables", env.len());
}
