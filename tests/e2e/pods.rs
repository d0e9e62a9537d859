//! Pods and workloads that the tests create, and functions that read their status.
//!
//! Nothing is sent from here.
//!
//! Invariant: every pod meets Pod Security "restricted", so that a sidecar that does not is
//! detected.

use serde_json::{Value, json};

/// The built-in template that all tests request, and its sidecar.
pub const TEMPLATE: &str = "log-collector";
pub const SIDECAR: &str = "fluent-bit";
const DOMAIN: &str = "outrigger.dev";

/// The annotation that requests the template.
pub fn asking(log_collector: Option<&str>) -> Value {
    let mut annotations = json!({format!("{DOMAIN}/inject"): TEMPLATE});
    if let Some(image) = log_collector {
        annotations[format!("{TEMPLATE}.{DOMAIN}/image")] = json!(image);
    }
    annotations
}

/// The spec of a pod whose one container `web` runs this script.
pub fn spec(image: &str, script: &str) -> Value {
    json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 3,
        "containers": [{
            "name": "web", "image": image, "command": ["sh", "-c", script],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
    })
}

pub fn pod(name: &str, annotations: &Value, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}, "annotations": annotations},
        "spec": spec,
    })
}

/// A pod that never runs: only its admission matters.
pub fn idle(name: &str, annotations: &Value) -> Value {
    pod(name, annotations, &spec("registry.example/web:1", "sleep 1"))
}

pub fn deployment(name: &str, replicas: usize, annotations: &Value, spec: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}, "annotations": annotations}, "spec": spec},
        },
    })
}

pub fn job(name: &str, annotations: &Value, spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": {"labels": {"app": name}, "annotations": annotations}, "spec": spec},
        },
    })
}

/// Names of the elements of a list of the object, such as `/spec/containers`.
pub fn names<'a>(object: &'a Value, list: &str) -> Vec<&'a str> {
    let elements = object.pointer(list).and_then(Value::as_array).into_iter().flatten();
    elements.filter_map(|element| element["name"].as_str()).collect()
}

pub fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Whether the pod has the sidecar.
pub fn is_injected(pod: &Value) -> bool {
    names(pod, "/spec/initContainers").contains(&SIDECAR)
}

/// Whether all containers of the pod run or have run, and the pod counts as ready.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
