//! A MutatingAdmissionPolicy that injects the same into the pod of the bench as Outrigger's
//! template.
//!
//! It runs inside the API server, without a connection or JSON. It has no parameters, conflicts or
//! status.

use serde_json::{Value, json};

use crate::ANNOTATION;
use crate::cluster::Cluster;

/// The change as a list of JSON Patch operations. It tests for existing lists only where it would
/// otherwise refuse pods other than that of the bench.
const EXPRESSION: &str = r#"
    (has(object.spec.initContainers) ? [] : [JSONPatch{op: "add", path: "/spec/initContainers", value: []}]) +
    (has(object.spec.volumes) ? [] : [JSONPatch{op: "add", path: "/spec/volumes", value: []}]) +
    (has(object.spec.containers[0].volumeMounts) ? [] : [JSONPatch{op: "add", path: "/spec/containers/0/volumeMounts", value: []}]) +
    [
        JSONPatch{op: "add", path: "/spec/initContainers/-", value: Object.spec.initContainers{
            name: "tail", image: "registry.example/tail:1", args: ["-F", "/logs/app.log"], restartPolicy: "Always",
            resources: Object.spec.initContainers.resources{
                requests: {"cpu": "10m", "memory": "16Mi"}, limits: {"memory": "32Mi"}
            },
            securityContext: Object.spec.initContainers.securityContext{
                allowPrivilegeEscalation: false, runAsNonRoot: true,
                capabilities: Object.spec.initContainers.securityContext.capabilities{drop: ["ALL"]},
                seccompProfile: Object.spec.initContainers.securityContext.seccompProfile{type: "RuntimeDefault"}
            },
            volumeMounts: [Object.spec.initContainers.volumeMounts{name: "tail-logs", mountPath: "/logs", readOnly: true}]
        }},
        JSONPatch{op: "add", path: "/spec/volumes/-", value: Object.spec.volumes{
            name: "tail-logs", emptyDir: Object.spec.volumes.emptyDir{sizeLimit: "64Mi"}
        }},
        JSONPatch{op: "add", path: "/spec/containers/0/volumeMounts/-", value: Object.spec.containers.volumeMounts{
            name: "tail-logs", mountPath: "/var/log/app"
        }},
        JSONPatch{op: "add", path: "/metadata/annotations/bench.example~1status", value: "injected"}
    ]
"#;

/// The annotation that the policy adds to a changed pod.
const MARK: &str = "bench.example/status";
const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

/// Creates the policy, bound to one namespace.
pub fn register(cluster: &Cluster, namespace: &str) {
    let api_version = "admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": api_version, "kind": "MutatingAdmissionPolicy", "metadata": {"name": "bench"},
        "spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ]},
            "matchConditions": [{
                "name": "asks",
                "expression": format!(
                    "has(object.metadata.annotations) && '{ANNOTATION}' in object.metadata.annotations && !('{MARK}' in object.metadata.annotations)"
                ),
            }],
            "failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded",
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": EXPRESSION}}],
        },
    });
    let binding: Value = json!({
        "apiVersion": api_version, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": "bench"},
        "spec": {"policyName": "bench", "matchResources": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        }},
    });
    let path = |resource: &str| format!("{GROUP}/{resource}?fieldValidation=Strict");
    cluster.send_object("POST", &path("mutatingadmissionpolicies"), &policy).expect_success();
    cluster.send_object("POST", &path("mutatingadmissionpolicybindings"), &binding).expect_success();
}
