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

/// A pattern that matches this text alone; RE2 takes any ASCII punctuation after a backslash.
pub(super) fn quoted(text: &str) -> String {
    let quote = |c: char| if c.is_ascii_punctuation() { vec!['\\', c] } else { vec![c] };
    text.chars().flat_map(quote).collect()
}

/// A pattern that matches these texts and nothing else.
pub(super) fn any_of<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quoted(text.as_ref())).collect();
    format!("({})", texts.join("|"))
}

/// A pattern of these mount paths. Slashes at the end make no difference.
pub(super) fn mount_path(paths: Vec<&str>) -> String {
    let paths = paths.into_iter().map(|path| path.trim_end_matches('/'));
    string(&format!("^{}/*$", any_of(paths)))
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

/// Whether the value of this annotation, which is there, lists the template, with or without a revision.
pub(super) fn lists(annotations: &str, key: &str, template: &str) -> String {
    let template = string(template);
    format!("{annotations}[{key}].split(',').exists(name, name.split('@')[0].trim() == {template})")
}

/// Whether a LabelSelector selects these labels, which may be absent.
pub(super) fn selects(labels: &str, selector: &Value) -> String {
    let mut parts = Vec::new();
    let value_of = |key: &str, values: &str| {
        let key = string(key);
        format!("(has({labels}) && {key} in {labels} && {labels}[{key}] in {values})")
    };
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        parts.push(value_of(key, &strings(value.as_str())));
    }
    for one in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = one["key"].as_str().unwrap_or_default();
        let values = strings(one["values"].as_array().into_iter().flatten().filter_map(Value::as_str));
        let has = format!("(has({labels}) && {} in {labels})", string(key));
        parts.push(match one["operator"].as_str().unwrap_or_default() {
            "In" => value_of(key, &values),
            "NotIn" => format!("!{}", value_of(key, &values)),
            "Exists" => has,
            _ => format!("!{has}"),
        });
    }
    if parts.is_empty() { "true".to_owned() } else { parts.join(" && ") }
}

/// An expression that holds for each container of the pod, init containers included. The predicate
/// gets the name of the list.
pub(super) fn each_container(predicate: impl Fn(&str) -> String) -> String {
    let (containers, init) = (predicate("containers"), predicate("initContainers"));
    format!(
        "object.spec.containers.all(c, {containers}) && \
         (!has(object.spec.initContainers) || object.spec.initContainers.all(c, {init}))"
    )
}

/// One operation of a JSON Patch. Path and value are CEL.
pub(super) fn add(path: &str, value: &str) -> String {
    format!("JSONPatch{{op: \"add\", path: {path}, value: {value}}}")
}
