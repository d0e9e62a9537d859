//! Compares the pod that is assumed for a workload with the pod that its controller creates.
//!
//! Invariant: every field that the controller sets is assumed, and nothing else; values that cannot be
//! known before are placeholders, which stand at the same places.

use std::sync::OnceLock;

use outrigger::inject::{Injector, Settings, TemplateSet};
use outrigger::workload::{Reviewer, find};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};
use crate::control_plane::assets;
use crate::harness;

tests! {
    the_assumed_pod_is_the_one_that_the_controller_creates,
}

const NODE: &str = "worker";

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let assets = assets();
    CLUSTER.get_or_init(|| Cluster::start(&assets))
}

/// The resource and the object. The label `app` of the pods is the name.
fn workloads() -> Vec<(&'static str, Value)> {
    let object = |api_version: &str, kind: &str, name: &str, more: Value| {
        let labels = json!({"app": name});
        let template = json!({"metadata": {"labels": labels, "name": "of-the-template"},
            "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]}});
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name},
            "spec": {"template": template}});
        match kind {
            "Job" => object["spec"]["template"]["spec"]["restartPolicy"] = json!("Never"),
            "ReplicationController" => object["spec"]["selector"] = labels,
            _ => object["spec"]["selector"] = json!({"matchLabels": labels}),
        }
        for (key, value) in more.as_object().expect("fields") {
            object["spec"][key] = value.clone();
        }
        object
    };
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let of_set = json!({"serviceName": "db", "ordinals": {"start": 3}, "volumeClaimTemplates": [claim]});
    let indexed = json!({"completionMode": "Indexed", "completions": 1, "backoffLimitPerIndex": 1});
    vec![
        ("apps/v1/deployments", object("apps/v1", "Deployment", "web", json!({}))),
        ("apps/v1/replicasets", object("apps/v1", "ReplicaSet", "replicas", json!({}))),
        ("apps/v1/statefulsets", object("apps/v1", "StatefulSet", "set", of_set)),
        ("apps/v1/statefulsets", object("apps/v1", "StatefulSet", "plain-set", json!({}))),
        ("apps/v1/daemonsets", object("apps/v1", "DaemonSet", "agent", json!({}))),
        ("batch/v1/jobs", object("batch/v1", "Job", "job", json!({}))),
        ("batch/v1/jobs", object("batch/v1", "Job", "indexed", indexed)),
        ("v1/replicationcontrollers", object("v1", "ReplicationController", "controller", json!({}))),
    ]
}

/// The pod that is assumed for the workload.
fn assumed(namespace: &Namespace, workload: &Value) -> Value {
    let injector = Injector::new(TemplateSet::default(), Settings::default());
    let reviewer = Reviewer { injector: &injector, namespace: &namespace.name, namespace_object: None };
    let location = find(workload, "outrigger.dev").pods.remove(0);
    reviewer.trace(workload, &location).expect("a pod").pod
}

/// What a controller sets in a pod.
fn of_controller(pod: &Value) -> Value {
    let (metadata, spec) = (&pod["metadata"], &pod["spec"]);
    let has_own_name = metadata["labels"]["statefulset.kubernetes.io/pod-name"] == metadata["name"];
    let owner = &metadata["ownerReferences"][0];
    // The API server adds tolerations for five minutes, and the volume of the service account.
    let items = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let tolerations = items(&spec["tolerations"]).into_iter().filter(|one| one["tolerationSeconds"].is_null());
    let volumes = items(&spec["volumes"]).into_iter().filter(|one| one["projected"].is_null());
    json!({
        "name": if has_own_name { metadata["name"].clone() } else { Value::Null },
        "generateName": metadata["generateName"], "labels": metadata["labels"],
        "annotations": metadata["annotations"], "finalizers": metadata["finalizers"], "owner": owner,
        "hostname": spec["hostname"], "subdomain": spec["subdomain"], "affinity": spec["affinity"],
        "tolerations": tolerations.collect::<Vec<_>>(), "volumes": volumes.collect::<Vec<_>>(),
        "env": spec["containers"][0]["env"],
    })
}

/// The text with what is known now in place of what was assumed.
fn with_known_values(assumed: &Value, real: &Value) -> Value {
    let labels = &real["labels"];
    let hash = ["pod-template-hash", "controller-revision-hash"].into_iter().find_map(|label| labels[label].as_str());
    let hash = hash.and_then(|hash| hash.rsplit('-').next()).unwrap_or("0000000000");
    let uid = real["owner"]["uid"].as_str().expect("an owner");
    let text = assumed.to_string();
    let text = text.replace("00000000-0000-0000-0000-000000000000", uid).replace("0000000000", hash);
    serde_json::from_str(&text.replace("\"node-0\"", &format!("{NODE:?}"))).expect("JSON")
}

fn the_assumed_pod_is_the_one_that_the_controller_creates() {
    let cluster = cluster();
    if !cluster.control_plane.has_controllers {
        harness::ignore("there is no kube-controller-manager");
    }
    let namespace = cluster.namespace("controllers", "none");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
    cluster.send_object("POST", "/api/v1/nodes", &node).expect_success();
    let untainted = json!({"spec": {"taints": null}}).to_string().into_bytes();
    let path = format!("/api/v1/nodes/{NODE}");
    cluster.send("PATCH", &path, "application/merge-patch+json", untainted).expect_success();
    let all = workloads();
    for (resource, workload) in &all {
        let (version, plural) = resource.rsplit_once('/').expect("a version");
        let root = if version == "v1" { "/api" } else { "/apis" };
        let path = format!("{root}/{version}/namespaces/{}/{plural}", namespace.name);
        cluster.send_object("POST", &path, workload).expect_success();
    }
    for (_, workload) in &all {
        let name = workload["metadata"]["name"].as_str().expect("a name");
        let real = of_controller(&namespace.wait_for_pods(name, 1)[0]);
        let assumed = with_known_values(&of_controller(&assumed(&namespace, workload)), &real);
        assert_eq!(assumed, real, "{} {name}", workload["kind"]);
    }
}
