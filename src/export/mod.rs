//! Writes a template as admission policies of Kubernetes, or says why it cannot be one.
//!
//! It is pure: it reads templates and builds objects. Invariant: what is written for a template adds
//! exactly what the engine adds, or refuses the pod.

mod cel;
mod chosen;
mod condition;
mod constants;
mod enforce;
mod guard;
mod mutate;
mod pieces;
mod restrictions;

use std::fmt;

use serde_json::{Map, Value, json};

use crate::inject::text::FieldPath;

pub use chosen::Selection;
pub use enforce::{Enforced, ImageCheck, enforce};
pub use mutate::export;

/// The API version of both kinds of policies.
const API_VERSION: &str = "admissionregistration.k8s.io/v1";

/// The surroundings of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Installation<'a> {
    /// Domain of the annotations and labels, such as `outrigger.dev`.
    pub domain: &'a str,
    /// Namespaces whose pods no policy touches.
    pub excluded_namespaces: &'a [String],
}

/// One part of a template that a policy cannot express.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// A stable word, such as `expression`.
    pub code: &'static str,
    /// The field, such as `spec.match.conditions`.
    pub(crate) field: FieldPath,
    /// Why it cannot be expressed.
    pub why: String,
}

impl Restriction {
    /// `field` is its names, with dots between them.
    fn new(code: &'static str, field: &str, why: impl Into<String>) -> Self {
        let field = field.split('.').fold(FieldPath::root(), |path, name| path.child(name));
        Self { code, field, why: why.into() }
    }
}

impl fmt::Display for Restriction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.field, self.code, self.why)
    }
}

/// A selector of namespaces: that of the template, and not those that are excluded or disabled.
fn namespaces(selector: &Value, installation: &Installation<'_>) -> Value {
    let disabled = format!("{}/injection", installation.domain);
    let enabled = json!({"key": disabled, "operator": "NotIn", "values": ["disabled"]});
    with_expressions(&not_excluded(selector, installation), vec![enabled])
}

/// The same, whatever their label of Outrigger.
fn not_excluded(selector: &Value, installation: &Installation<'_>) -> Value {
    let excluded = installation.excluded_namespaces;
    let name = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": excluded});
    with_expressions(selector, if excluded.is_empty() { Vec::new() } else { vec![name] })
}

/// A selector of pods: that of the template, and not the pods of Outrigger.
fn pods(selector: &Value) -> Value {
    let ours = json!({"key": "app.kubernetes.io/name", "operator": "NotIn", "values": ["outrigger"]});
    with_expressions(selector, vec![ours])
}

fn with_expressions(selector: &Value, added: Vec<Value>) -> Value {
    let mut selector = selector.as_object().cloned().unwrap_or_default();
    let mut expressions = selector.get("matchExpressions").and_then(Value::as_array).cloned().unwrap_or_default();
    expressions.extend(added);
    selector.insert("matchExpressions".to_owned(), expressions.into());
    Value::Object(selector)
}

/// Rules for pods in these namespaces, with these labels.
fn constraints(namespaces: &Value, pods: &Value, operations: &[&str]) -> Value {
    json!({
        "namespaceSelector": namespaces,
        "objectSelector": pods,
        "resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": operations, "resources": ["pods"]},
        ],
    })
}

fn match_condition(name: &str, expression: impl Into<String>) -> Value {
    json!({"name": name, "expression": expression.into()})
}

/// A pod that the kubelet mirrors is no pod to change or to refuse.
fn not_a_mirror() -> Value {
    match_condition("not-a-mirror-pod", format!("!({})", cel::has_annotation("kubernetes.io/config.mirror")))
}

/// The policy and its binding.
fn bound(kind: &str, name: &str, spec: Map<String, Value>, actions: Option<&[String]>) -> [Value; 2] {
    let metadata = json!({"name": name, "labels": {"app.kubernetes.io/managed-by": "outrigger"}});
    let mut binding = json!({"policyName": name});
    if let Some(actions) = actions {
        binding["validationActions"] = json!(actions);
    }
    [
        json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}),
        json!({"apiVersion": API_VERSION, "kind": format!("{kind}Binding"), "metadata": metadata, "spec": binding}),
    ]
}

#[cfg(test)]
mod tests;
