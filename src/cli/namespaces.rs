//! Reads labels and annotations of namespaces from Namespace objects in files.
//!
//! Invariant: every namespace has the label with its name, as in a cluster.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::documents;
use super::errors::ErrorList;
use crate::inject::Namespace;
use crate::inject::text::json::json_type;
use crate::workload;

/// Namespaces by name.
pub(super) type NamespaceMap = BTreeMap<String, Namespace>;

/// All namespaces of a file; a file without one is an error.
pub(super) fn of_file(path: &Path) -> Result<NamespaceMap, ErrorList> {
    let values = documents::values(path)?;
    let found = of_values(&values)?;
    if found.is_empty() {
        return Err(format!("{}: no object of kind Namespace, expected at least one", documents::origin(path)).into());
    }
    Ok(found)
}

/// All namespaces among objects of any kind, also in lists.
pub(super) fn of_values<'a>(values: impl IntoIterator<Item = &'a Value>) -> Result<NamespaceMap, ErrorList> {
    let mut problems = ErrorList::default();
    let mut namespaces = NamespaceMap::new();
    for value in values {
        for object in workload::find(value, "").objects.iter().filter(|object| object.is_namespace()) {
            let Ok(value) = object.pointer.resolve(value) else { continue };
            if let Some(namespace) = problems.keep(namespace(value)) {
                namespaces.insert(namespace.name.clone(), namespace);
            }
        }
    }
    problems.or(namespaces)
}

fn namespace(value: &Value) -> Result<Namespace, ErrorList> {
    let Some(name) = value.pointer("/metadata/name").and_then(Value::as_str) else {
        return Err("Namespace: metadata.name is absent, expected the namespace's name".to_owned().into());
    };
    let (mut labels, annotations) =
        ErrorList::both(string_map(name, value, "labels"), string_map(name, value, "annotations"))?;
    // The API server sets this label on every namespace.
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
    Ok(Namespace { name: name.to_owned(), labels, annotations })
}

fn string_map(namespace: &str, value: &Value, member: &str) -> Result<BTreeMap<String, String>, ErrorList> {
    let entries = match value.pointer(&format!("/metadata/{member}")) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(entries)) => entries,
        Some(other) => return Err(wrong(namespace, member, other, "an object")),
    };
    let mut problems = ErrorList::default();
    let texts = entries.iter().filter_map(|(key, value)| match value.as_str() {
        Some(text) => Some((key.clone(), text.to_owned())),
        None => {
            problems.keep(Err(wrong(namespace, &format!("{member}[{key:?}]"), value, "a string (put it in quotes)")))
        }
    });
    let texts = texts.collect();
    problems.or(texts)
}

fn wrong(namespace: &str, member: &str, found: &Value, expected: &str) -> ErrorList {
    let found = json_type(found);
    format!("Namespace/{namespace}: metadata.{member} is {found}, expected {expected}").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespace_has_the_label_with_its_name() {
        let value =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo", "labels": {"team": "a"}}});
        let namespace = namespace(&value).expect("it is complete");
        let labels: Vec<_> = namespace.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["kubernetes.io/metadata.name=demo", "team=a"]);
    }

    #[test]
    fn all_values_of_a_namespace_that_are_no_text_are_named() {
        let metadata = json!({"name": "demo", "labels": {"a": true, "b": 1}, "annotations": []});
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        let problems = namespace(&value).expect_err("three values are wrong").to_string();
        assert_eq!(problems.lines().count(), 3, "{problems}");
        for part in [
            "metadata.labels[\"a\"] is a boolean",
            "metadata.labels[\"b\"] is a number",
            "metadata.annotations is a list",
        ] {
            assert!(problems.contains(part), "{part} is missing in {problems}");
        }
    }

    #[test]
    fn namespaces_are_found_in_lists() {
        let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [namespace("a"), {"kind": "Other"}]});
        let typed = json!({"apiVersion": "v1", "kind": "NamespaceList", "items": [{"metadata": {"name": "c"}}]});
        let inner = json!({"apiVersion": "v1", "kind": "List", "items": [typed]});
        let found = of_values([&list, &namespace("b"), &inner]).expect("all are well formed");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
