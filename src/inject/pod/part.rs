//! Builds the tree of a scanned pod with only the fields of some read sets.
//!
//! Invariant: every field of a part is as in the whole pod. Where the whole pod would be refused, or
//! repeats a key, there is no part; the caller then parses the whole pod, whose messages are the only
//! ones that users see.

use super::read_set::ReadSet;
use super::scan::ScannedPod;
use crate::inject::text::json_scanner::JsonScanner;
use serde_json::{Map, Value};

/// The object with its metadata, but for managed fields, and the fields of these read sets.
pub(super) fn parse(pod: &ScannedPod<'_>, read_sets: &[&ReadSet]) -> Option<Value> {
    let part = Part { read_sets };
    let mut object = Map::new();
    object.insert("metadata".to_owned(), metadata(pod)?);
    object.insert("spec".to_owned(), part.spec(pod)?);
    Some(Value::Object(object))
}

fn metadata(pod: &ScannedPod<'_>) -> Option<Value> {
    let mut fields = Map::new();
    if pod.has_annotations {
        let text = |text: &str| Value::String(text.to_owned());
        let annotations = pod.head.annotations().map(|(key, value)| (key.to_owned(), text(value)));
        fields.insert("annotations".to_owned(), Value::Object(annotations.collect()));
    }
    for (key, text) in &pod.metadata {
        add(&mut fields, key, JsonScanner::new(text).value()?)?;
    }
    Some(Value::Object(fields))
}

/// Adds a field that the object does not have yet.
fn add(fields: &mut Map<String, Value>, key: &str, value: Value) -> Option<()> {
    fields.insert(key.to_owned(), value).is_none().then_some(())
}

struct Part<'r> {
    read_sets: &'r [&'r ReadSet],
}

impl Part<'_> {
    fn spec(&self, pod: &ScannedPod<'_>) -> Option<Value> {
        let mut fields = Map::new();
        for (key, text) in &pod.spec {
            let mut scanner = JsonScanner::new(text);
            let value = match *key {
                "containers" | "initContainers" | "ephemeralContainers" => {
                    list(&mut scanner, |scanner| self.container(scanner))?
                }
                "volumes" => list(&mut scanner, |scanner| self.volume(scanner))?,
                _ if self.read_sets.iter().any(|read_set| read_set.has_spec_field(key)) => scanner.value()?,
                _ => continue,
            };
            add(&mut fields, key, value)?;
        }
        Some(Value::Object(fields))
    }

    fn container(&self, scanner: &mut JsonScanner<'_>) -> Option<Value> {
        let mut fields = Map::new();
        scanner.object(|scanner, key| match key {
            _ if self.read_sets.iter().any(|read_set| read_set.has_container_field(key)) => {
                add(&mut fields, key, scanner.value()?)
            }
            "env" => check_objects(scanner, true),
            "envFrom" | "volumeMounts" | "volumeDevices" => check_objects(scanner, false),
            _ => scanner.skip(),
        })?;
        Some(Value::Object(fields))
    }

    /// A volume: its name, and whether its source is `projected`, which distinguishes the volume of
    /// the service account's token from others of that name.
    fn volume(&self, scanner: &mut JsonScanner<'_>) -> Option<Value> {
        let is_whole = self.read_sets.iter().any(|read_set| read_set.has_volume_sources);
        let mut fields = Map::new();
        scanner.object(|scanner, key| match key {
            _ if is_whole || key == "name" => add(&mut fields, key, scanner.value()?),
            "projected" if scanner.null() => add(&mut fields, key, Value::Null),
            "projected" => {
                scanner.object(|scanner, _| scanner.skip())?;
                add(&mut fields, key, Value::Object(Map::new()))
            }
            _ => scanner.skip(),
        })?;
        Some(Value::Object(fields))
    }
}

/// A list of objects, or null.
fn list<'a>(
    scanner: &mut JsonScanner<'a>,
    mut item: impl FnMut(&mut JsonScanner<'a>) -> Option<Value>,
) -> Option<Value> {
    if scanner.null() {
        return Some(Value::Null);
    }
    let mut items = Vec::new();
    scanner.list(|scanner| item(scanner).map(|item| items.push(item)))?;
    Some(Value::Array(items))
}

/// Checks a list of which nothing is kept: its items are objects, and a name in them is a string.
fn check_objects(scanner: &mut JsonScanner<'_>, must_have_name: bool) -> Option<()> {
    if scanner.null() {
        return Some(());
    }
    scanner.list(|scanner| {
        let mut has_name = !must_have_name;
        scanner.object(|scanner, key| match key {
            "name" if must_have_name || !scanner.null() => scanner.skip_string().map(|_| has_name = true),
            "name" => Some(()),
            _ => scanner.skip(),
        })?;
        has_name.then_some(())
    })
}
