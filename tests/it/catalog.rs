//! The catalog of templates: its conventions, its combinations, and any pod with any of its
//! templates.
//!
//! Everything is read from the folders: a template, a pod or a named set that is added is tested
//! without a change here. `tests/apiserver/catalog.rs` asks a real API server.
//!
//! Invariant: all problems are reported at once, each with the template's name.

mod any_pod;
mod combinations;
pub mod conventions;
pub mod files;
mod values;

use std::panic::{AssertUnwindSafe, catch_unwind};

use outrigger::inject::Injector;
use serde_json::{Value, json};

use crate::golden::case::{Case, Verdict};
use crate::golden::laws;
use crate::golden::runner::{CaseResult, Loaded, Runner};
use files::Catalog;

/// Values that parameters with text may have; most accept at least one of them.
const HARMLESS: [&str; 16] = [
    "",
    "a",
    "1",
    "/a",
    "/a/b",
    "a.example",
    "a:1",
    "a.example:80",
    "a=1",
    "https://a.example/a",
    "a b",
    "*",
    "a-b",
    "%",
    "::1",
    "10.0.0.0/8",
];

/// Gives the pod to the engine, and checks the laws of an injected one. `templates` are those
/// that the pod asks for.
fn run(injector: &Injector, templates: &str, pod: &Value) -> Result<CaseResult, String> {
    let run = || {
        let mut case = case(templates, pod);
        let runner = Loaded(injector);
        let result = runner.run(&case, pod).map_err(|problems| problems.join("; "))?;
        if result.verdict == Verdict::Injected {
            case.expected = result.pod.as_ref().map(laws::without_our_marks);
            let broken = laws::check(&case, &result, &runner);
            if !broken.is_empty() {
                return Err(broken.join("; "));
            }
        }
        Ok(result)
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("panicked".to_owned()))
}

fn case(templates: &str, pod: &Value) -> Case {
    Case { verdict: Verdict::Injected, templates: templates.to_owned(), pod: pod.clone(), ..Case::default() }
}

/// The templates that the pod asks for, as far as the laws read them: parsing the whole texts for each
/// pod would take most of the time.
fn outlines(catalog: &Catalog, pod: &Value) -> String {
    let entries = files::requests(pod).into_iter().filter_map(|name| catalog.entry(&name));
    entries.map(|entry| format!("---\n{}\n", outline(&entry.template, pod))).collect()
}

fn outline(template: &Value, pod: &Value) -> Value {
    let spec = &template["spec"];
    let items = |list: &Value| list.as_array().cloned().unwrap_or_default().into_iter();
    let names = |list: &str| -> Value {
        let own = items(&spec[list]).map(|item| json!({"name": item["name"]}));
        // A volume whose name is computed may be any of the pod's.
        let is_computed = |item: &Value| item["name"].as_str().is_none_or(|name| name.contains("${"));
        let computed = list == "volumes" && items(&spec[list]).any(|item| is_computed(&item));
        own.chain(items(&pod["spec"][list]).filter(|_| computed)).collect()
    };
    let mut outline = json!({"metadata": {"name": template["metadata"]["name"]}, "spec": {}});
    for list in ["sidecars", "initContainers", "volumes", "files"].into_iter().filter(|list| spec[list].is_array()) {
        outline["spec"][list] = names(list);
    }
    for field in ["app", "pod", "metadata", "podResources"].into_iter().filter(|field| !spec[field].is_null()) {
        outline["spec"][field] = spec[field].clone();
    }
    outline
}

/// The problems of all items, found by as many threads as there are processors.
fn problems<T: Sync>(items: &[T], problem: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let size = items.len().div_ceil(threads).max(1);
    let problem = &problem;
    std::thread::scope(|scope| {
        let chunks = items
            .chunks(size)
            .map(|chunk| scope.spawn(move || chunk.iter().filter_map(problem).collect::<Vec<_>>()))
            .collect::<Vec<_>>();
        chunks.into_iter().flat_map(|chunk| chunk.join().expect("a thread that ends")).collect()
    })
}
