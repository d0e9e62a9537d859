//! Compares the manifests, the chart and the image with the program and with one another.
//!
//! Tests with an API server are in `tests/apiserver/`.
//!
//! Invariant: manifests, chart and code cannot drift; an object that is added to only one of them
//! fails here.

mod certs;
mod chart;
mod crds;
mod guides;
mod image;
mod monitoring;
mod objects;
mod render;
mod trust;
mod values;
mod webhook;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::Test;

/// The tests of all parts.
pub const TESTS: &[&[Test]] = &[
    certs::TESTS,
    chart::TESTS,
    crds::TESTS,
    guides::TESTS,
    image::TESTS,
    monitoring::TESTS,
    objects::TESTS,
    trust::TESTS,
    values::TESTS,
    webhook::TESTS,
];

/// A path from the root of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every document of a YAML text that is not empty.
fn documents(origin: &str, text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{origin}: {error}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// The objects of a file of the repository.
fn file(path: &str) -> Vec<Value> {
    let objects = documents(path, &read(path));
    assert!(!objects.is_empty(), "{path} holds no object");
    objects
}

/// The one object of a file of the repository.
fn object(path: &str) -> Value {
    let mut objects = file(path);
    assert_eq!(objects.len(), 1, "{path}");
    objects.remove(0)
}

/// The values of all fields with this name, at any depth.
fn values_of<'a>(value: &'a Value, field: &str) -> Vec<&'a Value> {
    match value {
        Value::Object(map) => {
            let own = map.get(field).into_iter();
            own.chain(map.values().flat_map(|value| values_of(value, field))).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| values_of(item, field)).collect(),
        _ => Vec::new(),
    }
}

/// The text at a path of an object.
#[track_caller]
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {pointer} of {value}"))
}

/// The list at a path of an object.
#[track_caller]
fn list<'a>(value: &'a Value, pointer: &str) -> &'a Vec<Value> {
    value.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no list at {pointer} of {value}"))
}
