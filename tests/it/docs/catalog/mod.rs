//! The pages of the catalog: their generated parts, and the pictures, are those of the templates.
//!
//! `OUTRIGGER_RECORD_CATALOG=1 cargo test --test it the_catalog` writes them instead of comparing.
//! What stands outside of the marks `<!-- generated: NAME -->` and `<!-- end -->` is written by hand.
//!
//! Invariant: every built-in template has a page, a picture, and a place in the index.

#[path = "../../../e2e/catalog/case.rs"]
#[allow(dead_code, reason = "the end-to-end tests run the same cases, and read more of them")]
mod case;
mod entry;
mod parts;
mod picture;
mod scene;

use std::collections::BTreeMap;

use case::Case;
use entry::Entry;
use scene::Scene;

use crate::catalog::files::Catalog;

const FOLDER: &str = "docs/catalog";

/// The patterns with their headings, in the order of the index.
const PATTERNS: [(&str, &str, &str); 9] = [
    ("sidecar", "Sidecars", "A helper that runs beside the app, and shares its files or its network."),
    ("ambassador", "Ambassadors", "A helper on localhost that stands for services outside of the pod."),
    ("adapter", "Adapters", "A helper that gives the app's metrics, logs or endpoints a common format."),
    ("init", "Init containers", "Work that is done before the app starts."),
    ("ci", "CI/CD", "Helpers of a pod that builds, tests or delivers."),
    ("gateway", "Gateways", "Helpers on the path of the requests to the app; they can be combined."),
    ("pod", "Fields of the pod", "Settings of the pod as a whole, and of each of its containers."),
    ("preset", "Presets", "Environment and volumes for all pods with a label."),
    ("agent", "Agents", "Instrumentation, secrets, and tools for operators."),
];

#[test]
fn the_catalog_pages_are_those_of_the_templates() {
    let expected = pages();
    if std::env::var_os("OUTRIGGER_RECORD_CATALOG").is_some() {
        for (path, text) in &expected {
            std::fs::write(super::repository(path), text).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        return;
    }
    let current = |path: &str| std::fs::read_to_string(super::repository(path)).unwrap_or_default();
    let differing: Vec<&String> =
        expected.iter().filter(|(path, text)| current(path) != **text).map(|(path, _)| path).collect();
    assert!(
        differing.is_empty(),
        "{differing:?} are not what the templates give; record them with \
         `OUTRIGGER_RECORD_CATALOG=1 cargo test --test it the_catalog`"
    );
}

#[test]
fn the_catalog_has_no_page_without_template() {
    let pages = super::files_in(FOLDER, ".md").into_iter().chain(super::files_in(FOLDER, ".svg"));
    let expected =
        pages.filter(|path| !["index.md", "conventions.md"].iter().any(|own| path.ends_with(&format!("/{own}"))));
    let names = names();
    let others: Vec<String> = expected
        .filter(|path| {
            let name = path.rsplit('/').next().and_then(|file| file.split('.').next()).unwrap_or_default();
            !names.iter().any(|known| known == name)
        })
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn every_case_of_the_catalog_names_templates_of_it() {
    let names = names();
    for case in case::all() {
        assert!(!case.templates.is_empty(), "{}: no templates", case.name);
        let unknown: Vec<&String> = case.templates.iter().filter(|name| !names.contains(name)).collect();
        assert!(unknown.is_empty(), "{}: unknown templates {unknown:?}", case.name);
    }
}

#[test]
fn a_picture_shows_what_a_template_brings() {
    let container = |name: &str, rest: serde_json::Value| {
        let mut container = serde_json::json!({"name": name, "image": format!("registry.example/{name}:1")});
        container.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        container
    };
    let before = serde_json::json!({"metadata": {}, "spec": {"containers": [container("web", serde_json::json!({}))]}});
    let after = serde_json::json!({"metadata": {}, "spec": {
        "shareProcessNamespace": true,
        "initContainers": [container("cache", serde_json::json!({
            "restartPolicy": "Always", "ports": [{"name": "cache", "containerPort": 6379}, {"containerPort": 9121}],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]}))],
        "containers": [container("web", serde_json::json!({
            "env": [{"name": "CACHE_URL", "value": "redis://127.0.0.1:6379"}],
            "volumeMounts": [{"name": "data", "mountPath": "/cache", "readOnly": true}]}))],
        "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}]}});
    let svg = picture::draw("A <pod>", &Scene::new(&before, &after));
    for part in [
        "A &lt;pod&gt;",
        ">cache<",
        ">sidecar<",
        ">+ CACHE_URL<",
        ">/data<",
        ">/cache (ro)<",
        ">data: emptyDir 1Mi<",
        ">pod: shareProcessNamespace: true<",
        ">:9121<",
    ] {
        assert!(svg.contains(part), "{part}\n{svg}");
    }
    // The app calls the cache: one arrow from container to container, not one from outside.
    assert_eq!((svg.matches(">:6379<").count(), svg.contains(">:6379 cache<")), (1, false), "{svg}");
}

/// Names of the built-in templates.
fn names() -> Vec<String> {
    Catalog::read().entries.into_iter().map(|entry| entry.name).collect()
}

/// The text of each page and picture, by its path.
fn pages() -> BTreeMap<String, String> {
    let injector = super::built_in();
    let templates = Catalog::read().entries.into_iter();
    let entries: Vec<Entry> = templates.map(|template| Entry::new(&injector, template)).collect();
    let cases = case::all();
    let mut pages = BTreeMap::new();
    for entry in &entries {
        let path = format!("{FOLDER}/{}.md", entry.name());
        let text = filled(&path, &super::read(&path), entry, &cases);
        pages.insert(path, text);
        let scene = Scene::new(&entry.before, &entry.after);
        let title = format!("A pod with the template {}", entry.name());
        pages.insert(format!("{FOLDER}/{}.svg", entry.name()), picture::draw(&title, &scene));
    }
    pages.insert(format!("{FOLDER}/index.md"), index(&entries));
    pages
}

/// The page with its generated parts.
fn filled(path: &str, page: &str, entry: &Entry, cases: &[Case]) -> String {
    let mut result = String::new();
    let mut rest = page;
    for (mark, text) in parts::of(entry, cases) {
        let begin = format!("<!-- generated: {mark} -->\n");
        let (before, after) =
            rest.split_once(&begin).unwrap_or_else(|| panic!("{path}: {begin:?} is missing, or misplaced"));
        let (_, after) = after.split_once("<!-- end -->").unwrap_or_else(|| panic!("{path}: {mark} has no end"));
        result.push_str(&format!("{before}{begin}\n{}\n\n<!-- end -->", text.trim()));
        rest = after;
    }
    result + rest
}

fn index(entries: &[Entry]) -> String {
    let mut page = parts::index_head(entries.len());
    for (pattern, heading, meaning) in PATTERNS {
        page.push_str(&format!("\n## {heading}\n\n{meaning}\n"));
        let of_pattern = entries.iter().filter(|entry| entry.pattern() == pattern);
        of_pattern.for_each(|entry| page.push_str(&parts::index_entry(entry)));
    }
    let unknown: Vec<&str> = entries
        .iter()
        .filter(|entry| PATTERNS.iter().all(|(pattern, ..)| *pattern != entry.pattern()))
        .map(|entry| entry.name())
        .collect();
    assert!(unknown.is_empty(), "templates without a known outrigger.dev/pattern: {unknown:?}");
    page
}
