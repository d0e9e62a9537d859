//! What Outrigger must not change: pods that request nothing, requests that create no pod, and
//! unknown fields.

use serde_json::{Value, json};

use crate::cluster::{Namespace, pod};
use crate::outrigger::{Outrigger, with_custom};

tests! {
    a_pod_that_requests_nothing_is_byte_equal_to_one_without_the_webhook,
    sub_resources_updates_and_deletion_are_unaffected,
    sub_resources_updates_and_deletion_are_not_patched_when_they_are_sent,
    a_field_that_the_program_does_not_know_survives,
    a_pod_with_a_field_that_the_api_server_does_not_know_is_injected,
}

fn a_pod_that_requests_nothing_is_byte_equal_to_one_without_the_webhook() {
    with_custom("not-asking", |namespace, outrigger| {
        let elsewhere = namespace.cluster.namespace("not-asking-without-webhook", "none");
        for (name, annotations, is_called) in [
            ("silent", json!({}), false),
            ("other-annotations", json!({"example.com/inject": "agent", "agent.outrigger.dev/dataDir": "/x"}), false),
            ("asks-for-nothing", json!({"outrigger.dev/inject": ""}), true),
            ("opts-out", json!({"outrigger.dev/inject": "false"}), true),
        ] {
            let pod = detailed(name, &annotations);
            assert_eq!(comparable(namespace.accepts(&pod)), comparable(elsewhere.accepts(&pod)), "{name}");
            assert_eq!(decided(namespace, outrigger, name), is_called, "{name}");
        }
    });
}

fn sub_resources_updates_and_deletion_are_unaffected() {
    with_custom("sub-resources", |namespace, _| work_on_a_pod(namespace));
}

/// Like the test above, but the API server sends all these requests: the server itself must allow
/// them without a patch.
fn sub_resources_updates_and_deletion_are_not_patched_when_they_are_sent() {
    crate::cluster::in_namespace("everything-sent", "everything", |namespace| {
        let outrigger =
            Outrigger::start(namespace.cluster, "everything", &["--templates", crate::outrigger::TEMPLATES]);
        outrigger.register(namespace, "everything", "agent", |webhook| {
            webhook["rules"][0]["operations"] = json!(["*"]);
            webhook["rules"][0]["resources"] = json!(["pods", "pods/*"]);
            webhook["matchConditions"] = json!([]);
        });
        work_on_a_pod(namespace);
        let reasons = json!(outrigger.decisions_in(&namespace.name)).to_string();
        for reason in ["unsupported_resource", "unsupported_operation"] {
            assert!(reasons.contains(reason), "{reasons}");
        }
    });
}

/// The API server drops unknown fields before it calls the webhook, so the test sends the review as
/// a newer API server would.
fn a_field_that_the_program_does_not_know_survives() {
    with_custom("unknown-field", |namespace, outrigger| {
        let mut asking = pod("web", &json!({"outrigger.dev/inject": "agent"}));
        let unknown = json!({"weight": 18446744073709551615_u64, "list": [null, {"~/": "<&>"}], "text": "\u{1f980}\n"});
        for place in ["/metadata", "/spec", "/spec/containers/0"] {
            asking.pointer_mut(place).expect("the place is there")["fromTheFuture"] = unknown.clone();
        }
        let mut injected = asking.clone();
        let patch: json_patch::Patch =
            serde_json::from_value(outrigger.review(namespace, &asking)).expect("a JSON Patch");
        json_patch::patch(&mut injected, &patch).expect("the patch applies");
        for place in ["/metadata", "/spec", "/spec/containers/0"] {
            let before = asking.pointer(place).map(|parent| parent["fromTheFuture"].to_string());
            assert_eq!(injected.pointer(place).map(|parent| parent["fromTheFuture"].to_string()), before, "{place}");
        }
    });
}

fn a_pod_with_a_field_that_the_api_server_does_not_know_is_injected() {
    with_custom("unknown-to-all", |namespace, _| {
        let mut asking = pod("web", &json!({"outrigger.dev/inject": "agent"}));
        let known = namespace.would_accept(&asking);
        asking["spec"]["fromTheFuture"] = json!({"weight": 1});
        let path = namespace.path("pods?dryRun=All&fieldValidation=Warn");
        let answer = namespace.cluster.send_object("POST", &path, &asking);
        assert!(answer.warnings.iter().any(|warning| warning.contains("spec.fromTheFuture")), "{:?}", answer.warnings);
        assert_eq!(comparable(answer.expect_success()), comparable(known));
    });
}

/// The requests in the life of a pod, as far as they need no node.
fn work_on_a_pod(namespace: &Namespace) {
    let cluster = namespace.cluster;
    let stored = namespace.accepts(&pod("web", &json!({"outrigger.dev/inject": "agent"})));
    let (web, binding, eviction) =
        (namespace.path("pods/web"), namespace.path("pods/web/binding"), namespace.path("pods/web/eviction"));

    let bind = json!({"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "node-1"}});
    cluster.send_object("POST", &binding, &bind).expect_success();
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "registry.example/debug:1"}]}});
    let path = namespace.path("pods/web/ephemeralcontainers");
    cluster
        .send("PATCH", &path, "application/strategic-merge-patch+json", debug.to_string().into_bytes())
        .expect_success();
    let label = json!({"metadata": {"labels": {"touched": "true"}}});
    cluster.send("PATCH", &web, "application/merge-patch+json", label.to_string().into_bytes()).expect_success();

    let worked_on = cluster.get(&web).expect_success();
    assert_eq!(worked_on["spec"]["nodeName"], "node-1");
    assert_eq!(worked_on["spec"]["ephemeralContainers"][0]["name"], "debug");
    assert_eq!(worked_on["metadata"]["labels"]["touched"], "true");
    for list in ["containers", "initContainers", "volumes"] {
        assert_eq!(worked_on["spec"][list], stored["spec"][list], "{list}");
    }
    assert_eq!(worked_on["metadata"]["annotations"], stored["metadata"]["annotations"]);

    let evict = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}});
    cluster.send_object("POST", &eviction, &evict).expect_success();
    let gone = cluster.get(&web);
    assert!(gone.status == 404 || gone.body["metadata"]["deletionTimestamp"].is_string(), "{gone:?}");
    cluster.send_object("DELETE", &web, &json!({"gracePeriodSeconds": 0}));
    assert_eq!(cluster.get(&web).status, 404);
}

/// A pod with an entry in most lists that an injection would change.
fn detailed(name: &str, annotations: &Value) -> Value {
    let mut pod = pod(name, annotations);
    pod["metadata"]["labels"] = json!({"app": name, "example.com/slash": "x"});
    pod["spec"]["initContainers"] =
        json!([{"name": "init", "image": "registry.example/init:1", "args": ["$(HOME)", "${x}"]}]);
    pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {"sizeLimit": "1024Mi"}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "0.5", "memory": "1000Ki"}});
    pod
}

/// The pod as text without the parts that differ between any two pods: uid, times, versions,
/// namespace, and the suffix of the token volume.
fn comparable(mut pod: Value) -> String {
    let metadata = pod["metadata"].as_object_mut().expect("metadata");
    for key in ["uid", "creationTimestamp", "resourceVersion", "namespace"] {
        metadata.remove(key);
    }
    for entry in metadata.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
        entry["time"] = Value::Null;
    }
    let text = pod.to_string();
    match token_volume(&pod) {
        Some(name) => text.replace(&name, "kube-api-access"),
        None => text,
    }
}

fn token_volume(pod: &Value) -> Option<String> {
    let volumes = crate::cluster::names(pod, "/spec/volumes");
    volumes.into_iter().find(|name| name.starts_with("kube-api-access-")).map(str::to_owned)
}

fn decided(namespace: &Namespace, outrigger: &Outrigger, name: &str) -> bool {
    outrigger.decisions_in(&namespace.name).iter().any(|decision| decision["name"] == name)
}
