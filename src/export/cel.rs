//! Writes values and checks as CEL, the expression language of admission policies.

use serde_json::Value;

/// A string literal. JSON's escapes are those of CEL.
pub(super) fn string(text: &str) -> String {
    Value::from(text).to_string()
}

/// A list of string literals.
pub(super) fn strings<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| string(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// A literal of any JSON value. The API server refuses lists and maps of several types; `dyn` lifts that.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(dynamic).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{}: {}", string(key), dynamic(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

fn dynamic(value: &Value) -> String {
    format!("dyn({})", literal(value))
}

/// Whether the pod has the annotation.
pub(super) fn has_annotation(key: &str) -> String {
    format!("has(object.metadata.annotations) && {} in object.metadata.annotations", string(key))
}

/// Whether the pod requests the template, alone or beside others.
pub(super) fn requests(domain: &str, template: &str) -> String {
    let key = format!("{domain}/inject");
    let (has, key, template) = (has_annotation(&key), string(&key), string(template));
    format!("{has} && object.metadata.annotations[{key}].split(',').exists(name, name.trim() == {template})")
}

/// An expression that holds for each container of the pod, init containers included.
pub(super) fn each_container(predicate: &str) -> String {
    format!(
        "object.spec.containers.all(c, {predicate}) && \
         (!has(object.spec.initContainers) || object.spec.initContainers.all(c, {predicate}))"
    )
}

/// One operation of a JSON Patch. Path and value are CEL.
pub(super) fn add(path: &str, value: &str) -> String {
    format!("JSONPatch{{op: \"add\", path: {path}, value: {value}}}")
}
