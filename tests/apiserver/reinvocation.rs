//! Other mutating webhooks beside Outrigger: after they change the pod, the API server calls
//! Outrigger again, and nothing is injected twice.

use serde_json::{Value, json};

use crate::cluster::{Namespace, names, pod};
use crate::outrigger::{Outrigger, with_custom};
use crate::test_webhook::{Mutation, TestWebhook};

tests! {
    the_api_server_calls_the_webhook_once_for_an_ordinary_pod,
    a_container_that_a_later_webhook_adds_is_injected_into,
    a_container_that_an_earlier_webhook_adds_is_injected_into,
    images_that_a_later_webhook_rewrites_stay_rewritten,
    images_that_an_earlier_webhook_rewrites_stay_rewritten,
}

/// In-tree admission would add this later, so the pod has it already.
fn the_api_server_calls_the_webhook_once_for_an_ordinary_pod() {
    with_custom("alone", |namespace, outrigger| {
        let stored = namespace.accepts(&pod("web", &json!({"outrigger.dev/inject": "agent"})));
        assert_eq!(names(&stored, "/spec/initContainers"), ["agent", "agent-init"]);
        for container in containers(&stored) {
            let mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            let is_token =
                |mount: &&Value| mount["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-"));
            assert_eq!(mounts.iter().filter(is_token).count(), 1, "{container}");
        }
        assert_eq!(results(namespace, outrigger), ["injected"]);
    });
}

fn a_container_that_a_later_webhook_adds_is_injected_into() {
    with_custom("adds-after", |namespace, outrigger| {
        let stored = create_beside(namespace, outrigger, "zz-adds", add_container);
        assert_eq!(names(&stored, "/spec/containers"), ["web", "other"]);
    });
}

fn a_container_that_an_earlier_webhook_adds_is_injected_into() {
    with_custom("adds-before", |namespace, outrigger| {
        let stored = create_beside(namespace, outrigger, "aa-adds", add_container);
        assert_eq!(names(&stored, "/spec/containers"), ["web", "other"]);
    });
}

fn images_that_a_later_webhook_rewrites_stay_rewritten() {
    with_custom("rewrites-after", |namespace, outrigger| {
        let stored = create_beside(namespace, outrigger, "zz-rewrites", rewrite_images);
        for container in containers(&stored) {
            assert!(
                container["image"].as_str().is_some_and(|image| image.starts_with("mirror.example/")),
                "{container}"
            );
        }
        assert_eq!(results(namespace, outrigger), ["injected", "unchanged"]);
    });
}

fn images_that_an_earlier_webhook_rewrites_stay_rewritten() {
    with_custom("rewrites-before", |namespace, outrigger| {
        let stored = create_beside(namespace, outrigger, "aa-rewrites", rewrite_images);
        for container in containers(&stored) {
            assert!(
                container["image"].as_str().is_some_and(|image| image.starts_with("mirror.example/")),
                "{container}"
            );
        }
    });
}

/// Creates a pod that requests `agent` in a namespace with the other webhook; the pod must have
/// everything exactly once.
fn create_beside(namespace: &Namespace, outrigger: &Outrigger, configuration: &str, mutation: Mutation) -> Value {
    assert!(results(namespace, outrigger).is_empty(), "the namespace is new");
    let webhook = TestWebhook::start(namespace.cluster, mutation);
    webhook.register(configuration, namespace);
    let stored = namespace.accepts(&pod("web", &json!({"outrigger.dev/inject": "agent"})));
    assert_eq!(names(&stored, "/spec/initContainers"), ["agent", "agent-init"]);
    let volumes = names(&stored, "/spec/volumes");
    assert_eq!(volumes.iter().filter(|name| **name == "agent-data").count(), 1, "{volumes:?}");
    let mounts = stored["spec"]["containers"][0]["volumeMounts"].as_array().cloned().unwrap_or_default();
    assert_eq!(mounts.iter().filter(|mount| mount["name"] == "agent-data").count(), 1, "{mounts:?}");
    assert_eq!(stored["spec"]["containers"][0]["env"].as_array().map(Vec::len), Some(1));
    // Also if the other webhook runs first: then the API server itself changes the pod after
    // Outrigger, by mounting the service account token into the new containers.
    assert_eq!(results(namespace, outrigger), ["injected", "unchanged"]);
    stored
}

/// Outrigger's decisions for the pod `web`, one per call.
fn results(namespace: &Namespace, outrigger: &Outrigger) -> Vec<String> {
    let decisions = outrigger.decisions_in(&namespace.name);
    let of_web = decisions.iter().filter(|decision| decision["name"] == "web");
    of_web.filter_map(|decision| decision["result"].as_str().map(str::to_owned)).collect()
}

fn add_container(pod: &Value) -> Vec<Value> {
    if names(pod, "/spec/containers").contains(&"other") {
        return Vec::new();
    }
    vec![
        json!({"op": "add", "path": "/spec/containers/-", "value": {"name": "other", "image": "registry.example/other:1"}}),
    ]
}

fn rewrite_images(pod: &Value) -> Vec<Value> {
    let mut operations = Vec::new();
    for list in ["containers", "initContainers"] {
        let count = pod["spec"][list].as_array().map_or(0, Vec::len);
        for (index, image) in (0..count).filter_map(|index| Some((index, pod["spec"][list][index]["image"].as_str()?)))
        {
            if let Some(rest) = image.strip_prefix("registry.example/") {
                let path = format!("/spec/{list}/{index}/image");
                operations.push(json!({"op": "replace", "path": path, "value": format!("mirror.example/{rest}")}));
            }
        }
    }
    operations
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["containers", "initContainers"].into_iter().filter_map(|list| pod["spec"][list].as_array()).flatten()
}
