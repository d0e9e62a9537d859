//! Compares the documents, the built-in templates and the example workloads with the program.
//!
//! Invariant: every example that a reader can copy works, and every documented result is the actual
//! one.

mod built_in;
mod cases;
mod catalog;
mod examples;
mod first_template;
mod guides;
mod markdown;
mod messages;
mod reference;
mod walkthrough;

use std::fs;
use std::path::{Path, PathBuf};

use outrigger::inject::{
    InjectError, Injector, Loaded, Namespace, Outcome, Request, Settings, SourceText, TemplateSet,
};
use serde_json::Value;

/// A path from the root of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names of the files of a directory that end in `suffix`, sorted.
fn files_in(directory: &str, suffix: &str) -> Vec<String> {
    let entries = fs::read_dir(repository(directory)).unwrap_or_else(|error| panic!("{directory}: {error}"));
    let names =
        entries.map(|entry| entry.expect("an entry of the directory").file_name().to_string_lossy().into_owned());
    let mut paths: Vec<String> =
        names.filter(|name| name.ends_with(suffix)).map(|name| format!("{directory}/{name}")).collect();
    paths.sort();
    paths
}

fn yaml(origin: &str, text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{origin}: {error}"))
}

/// The templates of these texts; all must load.
fn load(sources: &[SourceText]) -> TemplateSet {
    let Loaded { templates, problems, .. } = TemplateSet::load(sources);
    assert!(problems.is_empty(), "{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    templates
}

/// Injects into a new pod of the namespace `demo`, or of the given one.
fn inject(injector: &Injector, namespace: Option<&Namespace>, pod: &Value) -> Result<Outcome, InjectError> {
    injector.inject(&request(namespace, &pod.to_string()))
}

/// What the engine explains of its reasons to skip the pod.
fn explanations(
    injector: &Injector,
    namespace: Option<&Namespace>,
    pod: &Value,
    outcome: &Result<Outcome, InjectError>,
) -> Vec<String> {
    let Ok(Outcome::Skipped(skip)) = outcome else { return Vec::new() };
    let explained = injector.explain(&request(namespace, &pod.to_string()), &skip.reasons);
    explained.iter().map(ToString::to_string).collect()
}

fn request<'a>(namespace: Option<&'a Namespace>, object: &'a str) -> Request<'a> {
    let name = namespace.map_or("demo", |namespace| &namespace.name);
    Request { namespace_object: namespace, ..Request::create_pod(name, object) }
}

/// The built-in templates with the default settings.
fn built_in() -> Injector {
    let templates = files_in("config/templates", ".yaml").into_iter().filter(|path| !path.ends_with(".test.yaml"));
    let sources: Vec<SourceText> = templates.map(|origin| SourceText { text: read(&origin), origin }).collect();
    Injector::new(load(&sources), Settings::default())
}
