//! The input of all benches: reviews as the API server sends them for new pods, with defaults and
//! managed fields.
//!
//! Invariant: two calls give the same bytes.

use serde_json::{Map, Value, json};

/// The review that the API server sends for a new pod.
pub fn review(pod: &Value) -> Vec<u8> {
    let review = json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "0df28fbd-5f5f-11e8-bc74-36e6bb280816",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "uid": "6d2a4b3c-0a0f-4f62-8f0e-6f3b7e1d2c55",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"]
            },
            "object": pod,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}
        }
    });
    serde_json::to_vec(&review).expect("a value is JSON")
}

/// A pod of a Deployment as the webhook receives it: with defaults, token volume and managed
/// fields.
pub fn ordinary(asks: bool) -> Value {
    let pod = pod(vec![container("web", 6)]);
    with_managed_fields(if asks { asking(pod) } else { pod })
}

pub fn asking(mut pod: Value) -> Value {
    pod["metadata"]["annotations"]["outrigger.dev/inject"] = json!("log-collector");
    pod
}

pub fn pod(containers: Vec<Value>) -> Value {
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": "web-7c5ddbdf54-",
            "namespace": "shop",
            "creationTimestamp": null,
            "labels": {"app": "web", "app.kubernetes.io/part-of": "shop", "pod-template-hash": "7c5ddbdf54"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7c5ddbdf54",
                "uid": "8a0f3e51-43c8-4b3c-a0a7-f3b5e3c2d111", "controller": true, "blockOwnerDeletion": true
            }]
        },
        "spec": {
            "volumes": [
                {"name": "config", "configMap": {"name": "web", "defaultMode": 420}},
                {"name": "kube-api-access-x7zq2", "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}
                ]}}
            ],
            "containers": containers,
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "web",
            "serviceAccount": "web",
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "schedulerName": "default-scheduler",
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            ],
            "priority": 0,
            "enableServiceLinks": true,
            "preemptionPolicy": "PreemptLowerPriority"
        },
        "status": {}
    })
}

pub fn container(name: &str, env_vars: usize) -> Value {
    json!({
        "name": name,
        "image": format!("registry.example/shop/{name}:1.42.0"),
        "args": ["--listen=:8080", "--log-file=/var/log/app/app.log"],
        "env": env(env_vars),
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "250m", "memory": "256Mi"}},
        "volumeMounts": [
            {"name": "config", "readOnly": true, "mountPath": "/etc/web"},
            {"name": "kube-api-access-x7zq2", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
        ],
        "readinessProbe": {
            "httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"},
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": false}
    })
}

fn env(count: usize) -> Value {
    let variable =
        |index: usize| json!({"name": format!("SHOP_SETTING_{index}"), "value": format!("value-of-setting-{index}")});
    (0..count).map(variable).collect()
}

pub fn with_managed_fields(mut pod: Value) -> Value {
    let fields = json!({"f:metadata": fields_of(&pod["metadata"]), "f:spec": fields_of(&pod["spec"])});
    pod["metadata"]["managedFields"] = json!([{
        "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": "2026-01-15T09:30:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": fields
    }]);
    pod
}

/// Kubernetes' `FieldsV1` of a value: keys as `f:key`, list elements by their merge key.
fn fields_of(value: &Value) -> Value {
    let mut fields = Map::new();
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                fields.insert(format!("f:{key}"), fields_of(value));
            }
        }
        Value::Array(elements) => {
            for element in elements {
                let Some(key) = ["name", "mountPath", "uid"].into_iter().find(|key| element.get(key).is_some()) else {
                    continue;
                };
                let mut inner = fields_of(element);
                inner["."] = json!({});
                fields.insert(format!("k:{}", json!({key: element[key]})), inner);
            }
        }
        _ => {}
    }
    Value::Object(fields)
}
