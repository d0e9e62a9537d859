//! The files of the catalog: each template with its cases, its example, its page and its end-to-end
//! cases, the corpus of pods, and the named sets.
//!
//! It only reads; what is expected of the files is not known here.
//!
//! Invariant: a template that is added to `config/templates` is included without a change here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use outrigger::inject::{Injector, NativeSidecars, Settings, SourceText, TemplateSet};
use serde::Deserialize;
use serde_json::{Value, json};

const DOMAIN: &str = "outrigger.dev";
const INJECT: &str = "outrigger.dev/inject";

/// All templates, sorted by name.
pub struct Catalog {
    pub entries: Vec<Entry>,
}

/// One template and the files that belong to it.
#[derive(Clone, Default)]
pub struct Entry {
    /// The name of its file, without `.yaml`.
    pub name: String,
    pub text: String,
    /// Null if the text is no YAML.
    pub template: Value,
    /// `config/templates/NAME.test.yaml`
    pub tests: Option<String>,
    /// `config/examples/NAME.yaml`
    pub example: Option<String>,
    /// `docs/catalog/NAME.md`
    pub page: Option<String>,
    /// The texts of the end-to-end cases that list the template.
    pub cases: Vec<String>,
}

/// A level of Pod Security, the strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Restricted,
    Baseline,
    Privileged,
}

/// Templates that people use together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedSet {
    pub name: String,
    pub templates: Vec<String>,
    pub why: String,
}

impl Level {
    pub const ALL: [Self; 3] = [Self::Restricted, Self::Baseline, Self::Privileged];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Baseline => "baseline",
            Self::Privileged => "privileged",
        }
    }
}

impl Entry {
    pub fn spec(&self) -> &Value {
        &self.template["spec"]
    }

    /// A label of the template itself.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.template["metadata"]["labels"][format!("{DOMAIN}/{name}")].as_str()
    }

    /// The strictest level that admits a restricted pod with the template. A template without the
    /// label must meet the strictest one.
    pub fn level(&self) -> Level {
        let label = self.label("pod-security");
        Level::ALL.into_iter().find(|level| label == Some(level.name())).unwrap_or(Level::Restricted)
    }

    /// The items of a list of the `spec`.
    pub fn list(&self, field: &str) -> &[Value] {
        self.spec()[field].as_array().map_or(&[], Vec::as_slice)
    }

    /// The names of a list of the `spec`.
    pub fn names(&self, field: &str) -> Vec<&str> {
        self.list(field).iter().filter_map(Value::as_str).collect()
    }

    pub fn excludes(&self, other: &Self) -> bool {
        self.names("excludes").contains(&&*other.name) || other.names("excludes").contains(&&*self.name)
    }

    /// The pods of the example that ask for the template, as their controller would create them.
    pub fn example_pods(&self) -> Vec<Value> {
        let pods = documents(self.example.as_deref().unwrap_or_default()).into_iter().filter_map(pod_of);
        pods.filter(|pod| requests(pod).contains(&self.name)).collect()
    }

    /// The template's annotations of the example: its parameters.
    pub fn parameters_of_example(&self) -> BTreeMap<String, Value> {
        let prefix = format!("{}.{DOMAIN}/", self.name);
        let annotations = |pod: &Value| pod["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        let all = self.example_pods().iter().flat_map(annotations).collect::<Vec<_>>();
        all.into_iter().filter(|(key, _)| key.starts_with(&prefix)).collect()
    }

    /// The labels of the example's pods, by which a template may choose them.
    fn labels_of_example(&self) -> BTreeMap<String, Value> {
        let labels = |pod: &Value| pod["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        self.example_pods().iter().flat_map(labels).collect()
    }

    /// The pods of the template's own test cases.
    pub fn tested_pods(&self) -> Vec<Value> {
        let cases: Value = parse(self.tests.as_deref().unwrap_or_default()).unwrap_or_default();
        cases["tests"].as_array().into_iter().flatten().map(|case| case["pod"].clone()).collect()
    }
}

impl Catalog {
    /// The catalog of the repository.
    pub fn read() -> Self {
        let cases: Vec<String> = texts("tests/e2e/catalog", ".yaml").into_iter().map(|(_, text)| text).collect();
        let templates = texts("config/templates", ".yaml").into_iter();
        let templates = templates.filter(|(file, _)| !file.ends_with(".test.yaml"));
        let entry = |(file, text): (String, String)| {
            let name = file.trim_end_matches(".yaml").to_owned();
            let lists = |case: &&String| {
                let case: Value = parse(case).unwrap_or_default();
                case["templates"].as_array().is_some_and(|list| list.iter().any(|listed| *listed == *name))
            };
            Entry {
                template: parse(&text).unwrap_or_default(),
                tests: text_of(&format!("config/templates/{name}.test.yaml")),
                example: text_of(&format!("config/examples/{name}.yaml")),
                page: text_of(&format!("docs/catalog/{name}.md")),
                cases: cases.iter().filter(lists).cloned().collect(),
                name,
                text,
            }
        };
        Self { entries: templates.map(entry).collect() }
    }

    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// An injector of all templates that load.
    pub fn injector(&self) -> Injector {
        self.injector_for(NativeSidecars::Supported)
    }

    pub fn injector_for(&self, native_sidecars: NativeSidecars) -> Injector {
        let source = |entry: &Entry| SourceText { origin: format!("{}.yaml", entry.name), text: entry.text.clone() };
        let sources: Vec<SourceText> = self.entries.iter().map(source).collect();
        let settings = Settings { cluster_version: "1.36.0".to_owned(), native_sidecars, ..Settings::default() };
        Injector::new(TemplateSet::load(&sources).templates, settings)
    }

    /// Every two templates that do not exclude each other, the lesser name first.
    pub fn pairs(&self) -> Vec<[&Entry; 2]> {
        let all = self.entries.iter().enumerate();
        let pairs = all.flat_map(|(index, first)| self.entries[index + 1..].iter().map(move |second| [first, second]));
        pairs.filter(|[first, second]| !first.excludes(second)).collect()
    }

    /// As many templates as one pod can have, chosen in their order.
    pub fn all_together(&self) -> Vec<&Entry> {
        self.entries.iter().fold(Vec::new(), |mut chosen: Vec<&Entry>, entry| {
            if !chosen.iter().any(|other| other.excludes(entry)) {
                chosen.push(entry);
            }
            chosen
        })
    }

    /// Each template alone, and each named set.
    pub fn groups(&self) -> Vec<Vec<&str>> {
        let alone = self.entries.iter().map(|entry| vec![entry.name.as_str()]);
        let name = |name: String| self.entry(&name).map(|entry| entry.name.as_str());
        let sets = named_sets().into_iter().map(|set| set.templates.into_iter().filter_map(name).collect());
        alone.chain(sets).collect()
    }

    /// The pod, asking for these templates and those that they require, with the parameters of the
    /// examples.
    pub fn ask(&self, pod: &Value, templates: &[&str]) -> Value {
        let mut names: Vec<&str> = Vec::new();
        let mut rest: Vec<&str> = templates.to_vec();
        while !rest.is_empty() {
            names.append(&mut rest);
            let required = names.iter().filter_map(|name| self.entry(name)).flat_map(|entry| entry.names("requires"));
            rest = required.filter(|name| !names.contains(name)).collect();
            rest.dedup();
        }
        let mut pod = pod.clone();
        for entry in names.iter().filter_map(|name| self.entry(name)) {
            extend(&mut pod, "annotations", entry.parameters_of_example());
            let mut labels = entry.labels_of_example();
            labels.retain(|key, _| pod["metadata"]["labels"].get(key).is_none());
            extend(&mut pod, "labels", labels);
        }
        extend(&mut pod, "annotations", BTreeMap::from([(INJECT.to_owned(), json!(names.join(",")))]));
        pod
    }
}

fn extend(pod: &mut Value, field: &str, more: BTreeMap<String, Value>) {
    if pod["metadata"][field].as_object().is_none() {
        pod["metadata"][field] = json!({});
    }
    pod["metadata"][field].as_object_mut().into_iter().for_each(|map| map.extend(more.clone()));
}

/// The templates that the pod asks for by its annotation.
pub fn requests(pod: &Value) -> Vec<String> {
    let list = pod["metadata"]["annotations"][INJECT].as_str().unwrap_or_default();
    list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The pod that this object is, or that it has a template of.
fn pod_of(object: Value) -> Option<Value> {
    let template = match object["kind"].as_str()? {
        "Pod" => return Some(object),
        "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"],
        _ => &object["spec"]["template"],
    };
    template["spec"].is_object().then(|| {
        let mut pod = template.clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = object["metadata"]["name"].clone();
        pod
    })
}

/// A pod that any template can be added to. It meets every level of Pod Security.
pub fn plain_pod() -> Value {
    parse(&text_of("tests/testdata/catalog/plain-pod.yaml").expect("a file")).expect("a pod")
}

/// Pods of every kind, by the names of their files.
pub fn pods() -> Vec<(String, Value)> {
    let pod = |(file, text): (String, String)| {
        let pod = parse(&text).unwrap_or_else(|error| panic!("tests/testdata/catalog/pods/{file}: {error}"));
        (file.trim_end_matches(".yaml").to_owned(), pod)
    };
    texts("tests/testdata/catalog/pods", ".yaml").into_iter().map(pod).collect()
}

pub fn named_sets() -> Vec<NamedSet> {
    let text = text_of("tests/testdata/catalog/sets.yaml").expect("a file");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("sets.yaml: {error}"))
}

pub fn parse(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

pub fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_default()
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn text_of(path: &str) -> Option<String> {
    std::fs::read_to_string(repository(path)).ok()
}

/// The files of a directory that end in `suffix`, sorted, with their texts; none without the
/// directory.
fn texts(directory: &str, suffix: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(repository(directory)).into_iter().flatten().filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(suffix)).collect();
    names.sort();
    names.into_iter().filter_map(|name| Some((name.clone(), text_of(&format!("{directory}/{name}"))?))).collect()
}
