//! Templates as one pod gets them: `when` and `forEach` are resolved, and what follows from values of
//! the pod is marked as an expression, so that the laws compare it by its name alone.
//!
//! Expressions are not evaluated; the generator takes them from the lists here.
//!
//! Invariant: a resolved template has only keys that containers, volumes and pods have.

use super::case::DOMAIN;
use super::pieces::text_of;
use serde_json::{Map, Value, json};

/// Conditions, and whether they hold by default and where the pod sets the parameter `flag` to false.
pub const CONDITIONS: [(&str, bool, bool); 4] = [
    ("true", true, true),
    ("params.flag", true, false),
    ("!params.flag", false, true),
    ("size(apps) > 99", false, false),
];
/// Lists of `forEach`, and their elements likewise.
pub const LISTS: [(&str, &[&str], &[&str]); 4] = [
    ("['a', 'b']", &["a", "b"], &["a", "b"]),
    ("[]", &[], &[]),
    ("params.flag ? ['c'] : []", &["c"], &[]),
    ("null", &[], &[]),
];
/// Stands for a value that the laws do not know.
pub const UNKNOWN: &str = "${unknown}";

/// The lists whose items may have clauses, by their path below `spec`.
const PARTS: [&[&str]; 6] =
    [&["sidecars"], &["initContainers"], &["volumes"], &["app", "env"], &["app", "envFrom"], &["app", "volumeMounts"]];

/// The template as this pod gets it.
pub fn resolved(template: &Value, pod: &Value) -> Value {
    let name = text_of(&template["metadata"], "name");
    let flag = pod["metadata"]["annotations"].get(format!("{name}.{DOMAIN}/flag")).is_none();
    with_items(template, |item| chosen(item, flag))
}

/// The template with every item that some pod gets.
pub fn with_all_items(template: &Value) -> Value {
    with_items(template, |item| elements(item, true))
}

/// Names of the variables that the template extends.
pub fn extended(template: &Value) -> Vec<String> {
    let variables = template["spec"]["app"]["env"].as_array().into_iter().flatten();
    variables.filter(|one| extends(one)).map(|one| text_of(one, "name")).collect()
}

fn extends(variable: &Value) -> bool {
    variable["onExisting"] == "Append" || variable["onExisting"] == "Prepend"
}

fn with_items(template: &Value, items: impl Fn(&Value) -> Vec<Value>) -> Value {
    let mut template = template.clone();
    let name = text_of(&template["metadata"], "name");
    let spec = &mut template["spec"];
    for part in PARTS {
        let list = part.iter().try_fold(&mut *spec, |value, field| value.get_mut(*field));
        if let Some(Value::Array(list)) = list {
            *list = list.iter().flat_map(&items).map(plain).collect();
        }
    }
    for files in spec["files"].as_array().cloned().into_iter().flatten() {
        let volume = text_of(&files, "name");
        let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
        volumes.push(json!({"name": volume, "downwardAPI": UNKNOWN}));
        spec["volumes"] = Value::Array(volumes);
        for item in files["items"].as_object().into_iter().flat_map(Map::keys) {
            spec["metadata"]["annotations"][format!("{name}.{DOMAIN}/file.{volume}.{item}")] = json!(UNKNOWN);
        }
    }
    template
}

/// The item once for each element, if its condition holds.
fn chosen(item: &Value, flag: bool) -> Vec<Value> {
    let holds = item.get("when").is_none_or(|when| {
        CONDITIONS
            .iter()
            .any(|(text, by_default, otherwise)| when == text && if flag { *by_default } else { *otherwise })
    });
    if holds { elements(item, flag) } else { Vec::new() }
}

fn elements(item: &Value, flag: bool) -> Vec<Value> {
    let Some(list) = item.get("forEach") else { return vec![item.clone()] };
    let row = LISTS.iter().find(|(text, ..)| list == text);
    let elements = row.map_or(&[] as &[&str], |(_, by_default, otherwise)| if flag { by_default } else { otherwise });
    elements.iter().map(|element| with_element(item, element)).collect()
}

fn with_element(item: &Value, element: &str) -> Value {
    let mut item = item.clone();
    for field in ["name", "mountPath"] {
        if let Some(Value::String(text)) = item.get_mut(field) {
            *text = text.replace("${each}", element);
        }
    }
    item
}

fn plain(mut item: Value) -> Value {
    let is_unknown = extends(&item) || item["onExisting"] == "Keep";
    if let Value::Object(fields) = &mut item {
        fields.retain(|key, _| !["when", "forEach", "onExisting", "separator", "share"].contains(&key.as_str()));
        if is_unknown {
            fields.remove("valueFrom");
            fields.insert("value".to_owned(), json!(UNKNOWN));
        }
    }
    item
}
