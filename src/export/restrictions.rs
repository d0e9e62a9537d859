//! Finds the fields of a template that an admission policy cannot express.

use serde_json::Value;

use super::Restriction;

/// Fields whose result depends on more than the pod's names, each with the reason.
const FIELDS: [(&str, &str); 13] = [
    ("/rollout", "a policy cannot give a part of the pods another revision"),
    ("/requires", "a policy knows no other templates"),
    ("/excludes", "a policy knows no other templates"),
    ("/fromApp", "it copies fields of the app's container, whose conflicts a policy cannot compare"),
    ("/match/conditions", "the expressions use the engine's inputs; a refusal with their message is lost"),
    ("/app/defaults", "which fields are filled in depends on each container"),
    ("/app/prependCommand", "the command of each container would have to be known"),
    ("/pod", "merging fields of the pod depends on the pod's own values"),
    ("/podResources", "resources of the pod as a whole are computed"),
    ("/qos", "requests are computed from limits for pods of the class Guaranteed"),
    ("/onConflict", "a policy cannot keep the pod's value and warn; it refuses"),
    ("/onError", "a policy cannot admit a pod without the template and warn; it refuses"),
    ("/newFields", "the API server's types may lack the field"),
];
/// Settings that a policy fulfils because they are the default.
const DEFAULTS: [(&str, &str); 4] =
    [("/onConflict", "Reject"), ("/onError", "Reject"), ("/podResources", "Grow"), ("/qos", "Warn")];
/// Keys of our own in items.
const ITEM_KEYS: [&str; 5] = ["when", "forEach", "share", "onExisting", "separator"];
/// Inputs of expressions that exist only for a pod.
const INPUTS: [&str; 6] = ["pod", "app", "apps", "container", "namespace", "cluster"];

/// Everything in the spec that cannot be written as a policy.
pub(super) fn of_spec(spec: &Value, namespace: Option<&str>) -> Vec<Restriction> {
    let mut found = Vec::new();
    if namespace.is_some() {
        found.push(restriction("namespaced", "kind", "a policy is cluster-wide; export a ClusterInjectionTemplate"));
    }
    if spec["injection"] == "Automatic" {
        let why = "a policy cannot tell the pods that the template chooses from those that other templates add to";
        found.push(restriction("automatic", "spec.injection", why));
    }
    if spec["match"]["os"].as_array().is_some_and(|systems| systems.iter().any(|system| system != "linux")) {
        found.push(restriction("os", "spec.match.os", "only templates for linux alone are exported"));
    }
    for (pointer, why) in FIELDS {
        let Some(value) = spec.pointer(pointer) else { continue };
        let is_default = DEFAULTS.iter().any(|(field, default)| *field == pointer && value == default);
        if !is_default && !is_empty(value) {
            found.push(restriction("field", &format!("spec{}", pointer.replace('/', ".")), why));
        }
    }
    for (index, parameter) in spec["parameters"].as_array().into_iter().flatten().enumerate() {
        if parameter.get("default").is_none_or(Value::is_null) {
            let why = "a required parameter; a policy writes constants, so each parameter needs a default";
            found.push(restriction("parameter", &format!("spec.parameters[{index}]"), why));
        }
    }
    for order in ["order", "initContainerOrder"].into_iter().filter(|order| spec["placement"][*order].is_object()) {
        let why = "a place beside a named container depends on the pod; First and Last are exported";
        found.push(restriction("placement", &format!("spec.placement.{order}"), why));
    }
    if spec["metadata"]["annotations"].get("kubectl.kubernetes.io/default-container").is_some() {
        let why = "the policy writes the app's first container there";
        found.push(restriction("annotation", "spec.metadata.annotations", why));
    }
    walk(spec, "spec", &mut found);
    found
}

fn restriction(code: &'static str, field: &str, why: &str) -> Restriction {
    Restriction { code, field: field.to_owned(), why: why.to_owned() }
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
fn walk(value: &Value, field: &str, found: &mut Vec<Restriction>) {
    match value {
        Value::String(text) => {
            if let Some(input) = input_of(text).filter(|_| field != "spec.description") {
                let why = format!("the expression reads {input:?}, which a policy does not have in this form");
                found.push(Restriction { code: "expression", field: field.to_owned(), why });
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| walk(item, &format!("{field}[{index}]"), found));
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = format!("{field}.{key}");
                if ITEM_KEYS.contains(&key.as_str()) && field.ends_with(']') {
                    found.push(restriction("item", &path, "whether and how often the item is there is computed"));
                } else if key == "hostPort" {
                    found.push(restriction(
                        "host_port",
                        &path,
                        "ports of the node conflict in more ways than by number",
                    ));
                } else {
                    walk(value, &path, found);
                }
            }
        }
        _ => {}
    }
}

/// The input of a pod that an expression in the text names, possibly: the word alone is enough.
fn input_of(text: &str) -> Option<&'static str> {
    let expressions = &text[text.find("${")?..];
    let mut words = expressions.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.find_map(|word| INPUTS.into_iter().find(|input| *input == word))
}
