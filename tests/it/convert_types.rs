//! What `outrigger convert` makes of values that have another type than their source's.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::convert_losses::{convert, text};

/// The value with one part at a time replaced by one of another type, each with the path of the part. Texts that
/// are maps in YAML are opened.
fn replaced(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    let inner = |key: &str, value: &Value| {
        let mut inner = Vec::new();
        replaced(value, &format!("{path}/{key}"), &mut inner);
        inner
    };
    let (a_text, a_list, a_map) = (json!("x-canary"), json!(["x-canary"]), json!({"x-canary": "x-canary"}));
    let others = match value {
        Value::Object(_) => vec![a_text],
        Value::Array(_) => vec![a_text, a_map],
        _ => vec![a_list],
    };
    found.extend(others.into_iter().map(|other| (path.to_owned(), other)));
    match value {
        Value::Object(map) => {
            for (key, member) in map {
                found.extend(inner(key, member).into_iter().map(|(path, changed)| {
                    let mut map = map.clone();
                    map.insert(key.clone(), changed);
                    (path, Value::Object(map))
                }));
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                found.extend(inner(&at.to_string(), item).into_iter().map(|(path, changed)| {
                    let mut items = items.clone();
                    items[at] = changed;
                    (path, Value::Array(items))
                }));
            }
        }
        Value::String(text) => {
            let opened: Option<Value> = serde_saphyr::from_str(text).ok().filter(Value::is_object);
            let variants = opened.map(|opened| inner("text", &opened)).unwrap_or_default();
            found.extend(variants.into_iter().skip(1).map(|(path, changed)| (path, json!(changed.to_string()))));
        }
        _ => {}
    }
}

/// Fields that say which object it is, or that the API server writes.
const OF_OBJECTS: [&str; 9] = [
    "/apiVersion",
    "/kind",
    "/metadata/name",
    "/metadata/namespace",
    "/metadata/creationTimestamp",
    "/metadata/generation",
    "/metadata/resourceVersion",
    "/metadata/uid",
    "/status",
];

/// A path or pointer as words with slashes.
fn plain(path: &str) -> String {
    let words = path.replace("~1", "/");
    let words = words.split(['.', '/', '[', ']', '"']).filter(|word| !word.is_empty());
    words.map(|word| format!("{word}/")).collect()
}

/// Each part of each input becomes a value of another type, one at a time; it must come out in the templates, be
/// listed as lost, or be refused with its place.
#[test]
fn no_value_of_another_type_is_dropped_silently() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/convert");
    let entries =
        |directory: &Path| fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    let cases = entries(&root).flat_map(|source| entries(&source.path())).map(|case| case.path());
    let (mut tried, mut wrong) = (0, Vec::new());
    for case in cases {
        let read = |name: &str| fs::read_to_string(case.join(name)).expect("a file");
        let input: Value = serde_saphyr::from_str(&read("input.yaml")).expect("YAML");
        let settings: Value = serde_saphyr::from_str(&read("case.yaml")).expect("YAML");
        let lost = |output: &Output| -> Vec<(String, String)> {
            let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let words = |lost: &Value| {
                (plain(&lost["path"].as_str().expect("a path").replace(": ", ".text.")), lost["why"].to_string())
            };
            result["lost"].as_array().expect("a list").iter().map(words).collect()
        };
        let convert = |input: &Value| {
            let mut more = vec!["-f", "input.yaml", "-o", "json"];
            more.extend(settings["from"].as_str().into_iter().flat_map(|from| ["--from", from]));
            convert(&[("input.yaml", &input.to_string())], &more)
        };
        let before = lost(&convert(&input));
        let mut variants = Vec::new();
        replaced(&input, "", &mut variants);
        for (path, changed) in variants {
            let output = convert(&changed);
            let stderr = text(&output.stderr);
            let is_refused = stderr.contains("error: input.yaml:") || stderr.contains("error: no template can be made");
            let is_object = OF_OBJECTS.iter().any(|part| path.ends_with(part) || path.contains("/status/"));
            let is_known = is_object
                || is_refused
                || output.status.success() && {
                    let is_new = |one: &(String, String)| !before.contains(one) || plain(&path).starts_with(&one.0);
                    text(&output.stdout).contains("x-canary") || lost(&output).iter().any(is_new)
                };
            tried += 1;
            if !is_known {
                wrong.push(format!("{}: {path}", case.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 500, "{tried}");
}
