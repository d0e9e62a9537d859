//! Finds the fields of a template that an admission policy cannot express.

use serde_json::Value;

use super::Restriction;
use super::condition::{self, input_of};
use crate::inject::TemplateSet;
use crate::inject::expression::interpolation;
use crate::inject::text::{FieldPath, PathSegment};

/// Fields whose result depends on more than the pod's names, each with the reason.
const FIELDS: [(&str, &str); 10] = [
    ("/rollout", "a policy cannot give a part of the pods another revision"),
    ("/requires", "a policy knows no other templates"),
    ("/fromApp", "it copies fields of the app's container, whose conflicts a policy cannot compare"),
    ("/app/defaults", "which fields are filled in depends on each container"),
    ("/app/prependCommand", "the command of each container would have to be known"),
    ("/podResources", "resources of the pod as a whole are computed"),
    ("/qos", "requests are computed from limits for pods of the class Guaranteed"),
    ("/onConflict", "a policy cannot keep the pod's value and warn; it refuses"),
    ("/onError", "a policy cannot admit a pod without the template and warn; it refuses"),
    ("/newFields", "the API server's types may lack the field"),
];
/// Fields of the pod that neither the API server fills in nor admission plugins read: a pod without one
/// gets it as the template has it.
pub(super) const POD_FIELDS: [&str; 7] = [
    "affinity",
    "dnsConfig",
    "hostAliases",
    "nodeSelector",
    "readinessGates",
    "shareProcessNamespace",
    "topologySpreadConstraints",
];
/// Settings that a policy fulfils because they are the default.
const DEFAULTS: [(&str, &str); 4] =
    [("/onConflict", "Reject"), ("/onError", "Reject"), ("/podResources", "Grow"), ("/qos", "Warn")];
/// Keys of our own in items, whose effect depends on the pod.
const ITEM_KEYS: [&str; 3] = ["share", "onExisting", "separator"];
/// Keys of our own in items that are expressions, which may read nothing but parameters.
const ITEM_EXPRESSIONS: [&str; 2] = ["when", "forEach"];

/// Everything in the spec that cannot be written as a policy.
pub(super) fn of_spec(spec: &Value, namespace: Option<&str>) -> Vec<Restriction> {
    let mut found = Vec::new();
    if namespace.is_some() {
        found.push(Restriction::new(
            "namespaced",
            "kind",
            "a policy is cluster-wide; export a ClusterInjectionTemplate",
        ));
    }
    if spec["injection"] == "Automatic" {
        let why = "a policy cannot tell the pods that the template chooses from those that other templates add to";
        found.push(Restriction::new("automatic", "spec.injection", why));
    }
    if spec["match"]["os"].as_array().is_some_and(|systems| systems.iter().any(|system| system != "linux")) {
        found.push(Restriction::new("os", "spec.match.os", "only templates for linux alone are exported"));
    }
    for (pointer, why) in FIELDS {
        let Some(value) = spec.pointer(pointer) else { continue };
        let is_default = DEFAULTS.iter().any(|(field, default)| *field == pointer && value == default);
        if !is_default && !is_empty(value) {
            found.push(Restriction::new("field", &format!("spec{}", pointer.replace('/', ".")), why));
        }
    }
    for (index, one) in spec["match"]["conditions"].as_array().into_iter().flatten().enumerate() {
        if one["expression"].as_str().and_then(condition::of).is_none() {
            let field = condition_path(index);
            let why = "the condition reads more than the pod, or the API server may see it in another way: a function, \
                       a number that is no integer, a field that an element of a list may lack";
            found.push(Restriction { code: "condition", field, why: why.to_owned() });
        }
    }
    for (key, value) in spec["pod"].as_object().into_iter().flatten() {
        let has_os = value.get("kubernetes.io/os").is_some();
        if !POD_FIELDS.contains(&key.as_str()) || has_os {
            let field = FieldPath::root().child("spec").child("pod").child(key.as_str());
            let why = "merging this field depends on what the pod has or the API server fills in".to_owned();
            found.push(Restriction { code: "field", field, why });
        }
    }
    for (index, parameter) in spec["parameters"].as_array().into_iter().flatten().enumerate() {
        if parameter.get("default").is_none_or(Value::is_null) {
            let why = "a required parameter; a policy writes constants, so each parameter needs a default";
            let field = FieldPath::root().child("spec").child("parameters").index(index);
            found.push(Restriction { code: "parameter", field, why: why.to_owned() });
        }
    }
    for order in ["order", "initContainerOrder"].into_iter().filter(|order| spec["placement"][*order].is_object()) {
        let why = "a place beside a named container depends on the pod; First and Last are exported";
        found.push(Restriction::new("placement", &format!("spec.placement.{order}"), why));
    }
    if spec["metadata"]["annotations"].get("kubectl.kubernetes.io/default-container").is_some() {
        let why = "the policy writes the app's first container there";
        found.push(Restriction::new("annotation", "spec.metadata.annotations", why));
    }
    walk(spec, &FieldPath::root().child("spec"), &mut found);
    found
}

/// Where a condition stands.
pub(super) fn condition_path(index: usize) -> FieldPath {
    FieldPath::root().child("spec").child("match").child("conditions").index(index)
}

/// Automatic templates with which it excludes each other: the webhook refuses pods that both choose.
pub(super) fn of_others(templates: &TemplateSet, template: &str, spec: &Value) -> Vec<Restriction> {
    let excludes = |spec: &Value, name: &str| spec["excludes"].as_array().is_some_and(|all| all.contains(&name.into()));
    let automatic = templates.all().filter_map(|one| Some((one.name, one.interface?)));
    let excluded = automatic
        .filter(|(name, interface)| *name != template && interface.is_automatic())
        .filter(|(name, other)| excludes(spec, name) || other.spec().is_some_and(|other| excludes(&other, template)));
    let restriction = |(name, _): (&str, _)| {
        let why = format!("a policy cannot tell the pods that the Automatic template {name:?} chooses");
        Restriction::new("excludes", "spec.excludes", why)
    };
    excluded.map(restriction).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        _ => false,
    }
}

/// Finds expressions and keys of our own at any depth.
fn walk(value: &Value, field: &FieldPath, found: &mut Vec<Restriction>) {
    match value {
        Value::String(text) => {
            if let Some(input) =
                interpolation::sources(text).find_map(input_of).filter(|_| field.to_string() != "spec.description")
            {
                let why = format!("the expression reads {input:?}, which a policy does not have in this form");
                found.push(Restriction { code: "expression", field: field.clone(), why });
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| walk(item, &field.index(index), found));
        }
        Value::Object(fields) => {
            let is_item = matches!(field.steps().last(), Some(PathSegment::Index(_)));
            for (key, value) in fields {
                let path = field.child(key.as_str());
                let is_of_pod = || ITEM_EXPRESSIONS.contains(&key.as_str()) && input_of(&value.to_string()).is_some();
                if is_item && (ITEM_KEYS.contains(&key.as_str()) || is_of_pod()) {
                    let why = "what the item does depends on the pod".to_owned();
                    found.push(Restriction { code: "item", field: path, why });
                } else if key == "hostPort" {
                    let why = "ports of the node conflict in more ways than by number".to_owned();
                    found.push(Restriction { code: "host_port", field: path, why });
                } else {
                    walk(value, &path, found);
                }
            }
        }
        _ => {}
    }
}
