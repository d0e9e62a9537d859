//! Reads the texts of templates from directories, files and the manifests of ConfigMaps.
//!
//! Invariant: the problems of all sources are told together.

use std::path::Path;

use serde_json::Value;

use super::documents;
use super::errors::{ErrorList, unreadable};
use crate::config::TemplateSource;
use crate::inject::{CompiledSource, SourceText, TemplateSet};
use crate::source::{built_in, directory};
use crate::workload;

/// The names of the templates that load, whatever is wrong with others.
pub(super) fn template_names(from: &[TemplateSource]) -> Vec<String> {
    let built_in = if from.contains(&TemplateSource::BuiltIn) { built_in::sources() } else { Vec::new() };
    let texts = template_texts(from).unwrap_or_default();
    let sources = [built_in, CompiledSource::compile_all(&texts)].concat();
    let loaded = TemplateSet::assemble(&sources, &TemplateSet::default());
    loaded.templates.names().into_iter().map(str::to_owned).collect()
}

/// The texts of all directories and files.
pub(super) fn template_texts(from: &[TemplateSource]) -> Result<Vec<SourceText>, ErrorList> {
    let mut problems = ErrorList::default();
    let mut texts = Vec::new();
    for source in from {
        let TemplateSource::Directory(path) = source else { continue };
        // A pipe is read as a file.
        if path.exists() && !path.is_dir() {
            texts.extend(problems.keep(templates_of_file(path)).unwrap_or_default());
            continue;
        }
        match directory::read(path) {
            Ok(found) => {
                problems.extend(found.problems.iter().map(ToString::to_string));
                texts.extend(found.texts);
            }
            Err(error) => problems.push(unreadable(path.display(), &error)),
        }
    }
    problems.or(texts)
}

/// The templates of a file, or those in the ConfigMaps of which it is the manifest.
fn templates_of_file(path: &Path) -> Result<Vec<SourceText>, ErrorList> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&origin, &error))?;
    // A text that is no YAML is reported with its lines by the reader of templates.
    let values = documents::values_of(&origin, text.as_bytes()).unwrap_or_default();
    let mut objects: Vec<&Value> = Vec::new();
    for value in &values {
        let found = workload::find(value, "").objects;
        if found.is_empty() || !found.iter().all(|object| object.kind == "ConfigMap") {
            return Ok(vec![SourceText { origin, text }]);
        }
        objects.extend(found.iter().filter_map(|object| object.pointer.resolve(value).ok()));
    }
    if objects.is_empty() {
        return Ok(vec![SourceText { origin, text }]);
    }
    let is_template = |key: &str| {
        let name = Path::new(key);
        let is_case = name.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(".test"));
        let has_extension = name.extension().is_some_and(|found| found == "yaml" || found == "yml" || found == "json");
        has_extension && !is_case
    };
    let data = |map: &'_ &Value| map.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
    let entries: Vec<(String, String, Value)> = objects
        .iter()
        .flat_map(|map| data(map).into_iter().map(|(key, text)| (name(map), key, text)))
        .filter(|(_, key, _)| is_template(key))
        .collect();
    let texts: Vec<SourceText> = entries
        .iter()
        .filter_map(|(map, key, text)| {
            // Templates of several ConfigMaps are told apart.
            let is_alone = entries.iter().filter(|(_, other, _)| other == key).count() == 1;
            let place = if is_alone { key.clone() } else { format!("{map}/{key}") };
            Some(SourceText { origin: format!("{origin}: {place}"), text: text.as_str()?.to_owned() })
        })
        .collect();
    if texts.is_empty() {
        return Err(format!("templates {origin}: the ConfigMap has no key *.yaml, *.yml or *.json").into());
    }
    Ok(texts)
}

/// `NAMESPACE/NAME`, or the name alone.
fn name(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    let names = [text("/metadata/namespace"), text("/metadata/name")];
    names.into_iter().flatten().collect::<Vec<_>>().join("/")
}
