//! Values of parameters stay values: none becomes a setting of the configuration that it stands in.
//!
//! Each parameter with text gets values with the special characters of YAML, of shells and of
//! configuration files. What its pattern accepts must leave the structure of every file as it is with
//! a harmless value.
//!
//! Invariant: a file has no structure that harmless values do not give it.

use std::collections::BTreeSet;

use outrigger::inject::{Injector, Outcome, Request};
use regex::Regex;
use serde_json::{Value, json};

use super::HARMLESS;
use super::conventions::{HOSTILE, is_exception};
use super::files::{Catalog, Entry, parse, plain_pod};
use crate::support::injected_pod;

/// What has a meaning somewhere.
const SPECIAL: [&str; 26] = [
    ":",
    ": ",
    " #",
    "#",
    "{",
    "}",
    "[",
    "]",
    ",",
    "*",
    "&",
    "!",
    "|",
    ">",
    "%",
    "@",
    "'",
    "\"",
    "\\",
    "- ",
    "$",
    ";",
    " ",
    "`",
    "\n",
    "\n- x: y\n",
];

/// The annotation of a value, by the type of its parameter.
fn annotation(kind: &str, value: &str) -> Value {
    match kind {
        "list" => json!(json!([value]).to_string()),
        "map" => json!(json!({ "a": value }).to_string()),
        _ => json!(value),
    }
}

/// The structure of all files and arguments of a pod with this value; nothing if the pod is refused.
fn structure(injector: &Injector, pod: &Value, key: &str, value: Value) -> Option<Result<String, String>> {
    let mut pod = pod.clone();
    pod["metadata"]["annotations"][key] = value;
    let object = pod.to_string();
    let Ok(Outcome::Injected(injection)) = injector.inject(&Request::create_pod("demo", &object)) else { return None };
    let injected = injected_pod(&pod, &injection);
    let annotations = injected["metadata"]["annotations"].as_object()?;
    let files = annotations.iter().filter(|(key, _)| key.contains(".outrigger.dev/file."));
    let files = files.map(|(key, text)| structure_of_file(key, text.as_str().unwrap_or_default()));
    let containers = ["initContainers", "containers"].map(|list| structure_of_containers(&injected["spec"][list]));
    Some(files.chain(containers.map(Ok)).collect())
}

/// The number of lines of each argument: some programs are given their whole configuration so.
fn structure_of_containers(list: &Value) -> String {
    let words = |words: &Value| {
        let words = words.as_array().into_iter().flatten().filter_map(Value::as_str);
        words.map(|word| word.lines().count().to_string()).collect::<Vec<_>>().join(" ")
    };
    let container = |container: &Value| {
        format!("{}: {} {}\n", container["name"], words(&container["command"]), words(&container["args"]))
    };
    list.as_array().into_iter().flatten().map(container).collect()
}

fn structure_of_file(key: &str, text: &str) -> Result<String, String> {
    let is_yaml = [".yaml", ".yml", ".json"].iter().any(|ending| key.ends_with(ending));
    match parse(text) {
        Ok(value) if is_yaml => Ok(format!("{key}: {}\n", structure_of_value(&value))),
        Err(error) if is_yaml => Err(format!("{key}: {}", error.lines().next().unwrap_or_default())),
        _ => Ok(format!("{key}: {} lines\n", text.lines().count())),
    }
}

fn structure_of_value(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, field)| format!("{key}: {}", structure_of_value(field)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(structure_of_value).collect::<Vec<_>>().join(", ")),
        _ => "value".to_owned(),
    }
}

/// Values with each special text at the beginning, in the middle and at the end of the harmless ones
/// that the pattern accepts.
fn hostile(pattern: &Regex, harmless: &[&str]) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    for base in harmless.iter().filter(|base| pattern.is_match(base)) {
        let places = [0, base.chars().count() / 2, base.chars().count()];
        for special in SPECIAL {
            for place in places {
                let index = base.char_indices().nth(place).map_or(base.len(), |(index, _)| index);
                values.insert(format!("{}{special}{}", &base[..index], &base[index..]));
            }
        }
    }
    values.retain(|value| pattern.is_match(value));
    values
}

fn problems_of(catalog: &Catalog, injector: &Injector, entry: &Entry) -> Vec<String> {
    let pod = catalog.ask(&plain_pod(), &[&entry.name]);
    let mut problems = Vec::new();
    for parameter in entry.list("parameters") {
        let text = |field: &str| parameter[field].as_str().unwrap_or_default();
        let name = text("name");
        // A program or a file of the pod's author.
        let is_file = is_exception(&entry.name, HOSTILE, name);
        let Some(pattern) = parameter["pattern"].as_str().and_then(|pattern| Regex::new(pattern).ok()) else {
            continue;
        };
        if is_file {
            continue;
        }
        let key = format!("{}.outrigger.dev/{name}", entry.name);
        let example = pod["metadata"]["annotations"][&key].as_str();
        let harmless: Vec<&str> =
            example.into_iter().chain([text("default")]).filter(|text| !text.contains("${")).chain(HARMLESS).collect();
        let with = |value: &str| structure(injector, &pod, &key, annotation(text("type"), value));
        let usual: BTreeSet<String> =
            harmless.iter().filter(|value| pattern.is_match(value)).filter_map(|value| with(value)?.ok()).collect();
        let changed = hostile(&pattern, &harmless).into_iter().find_map(|value| match with(&value)? {
            Ok(structure) if usual.contains(&structure) => None,
            Ok(_) => Some(format!("{value:?} changes the structure of a file or an argument")),
            Err(error) => Some(format!("{value:?}: {error}")),
        });
        problems.extend(changed.map(|change| format!("{}: parameter {name}: {change}", entry.name)));
    }
    problems
}

#[test]
fn no_value_of_a_parameter_becomes_a_setting_of_a_file() {
    let catalog = Catalog::read();
    let injector = catalog.injector();
    let problems = super::problems(&catalog.entries, |entry| {
        let problems = problems_of(&catalog, &injector, entry);
        (!problems.is_empty()).then(|| problems.join("\n"))
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_value_that_becomes_a_setting_is_found() {
    let pattern = "^.*$";
    let text = "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {name: t}\nspec:\n  \
                parameters:\n  - {name: level, type: string, default: info, pattern: PATTERN}\n  \
                sidecars:\n  - {name: t, image: t, volumeMounts: [{name: t-conf, mountPath: /t}]}\n  \
                files:\n  - name: t-conf\n    items: {t.yaml: \"level: ${params.level}\"}\n";
    let with = |pattern: &str| {
        let text = text.replace("PATTERN", &format!("{pattern:?}"));
        let entry = Entry { name: "t".to_owned(), template: parse(&text).expect("YAML"), text, ..Entry::default() };
        let catalog = Catalog { entries: vec![entry] };
        problems_of(&catalog, &catalog.injector(), &catalog.entries[0])
    };
    assert_eq!(with("^[a-z]+$"), [""; 0]);
    assert_eq!(with(pattern).len(), 1);
}
