//! Runs the examples in the documents.
//!
//! The second word of a fenced block's info string is its role: `yaml template` (a document) or
//! `yaml spec` (the `spec` of a template called `example`) are loaded, `yaml namespace` is the
//! namespace of the pod, `yaml pod` is created; then `yaml result` is an excerpt of the pod, `text
//! refused` the whole message, `text skipped` the explanations of the reasons, `text warnings` the warnings, and `text
//! problems` the problems found while loading. `yaml test` is a file of cases.
//!
//! Invariant: every YAML block of the checked documents has a role.

use std::collections::BTreeMap;

use outrigger::inject::{InjectError, Injector, Namespace, Outcome, Settings, SourceText, TemplateSet};
use serde_json::Value;

use super::markdown::{self, Block};
use crate::support::injected_pod;
use outrigger::workload::excerpt::differences;

const CHECKED: [&str; 3] = ["README.md", "docs/reference/templates.md", "docs/reference/annotations.md"];

/// The state after the blocks read so far.
#[derive(Default)]
struct Example {
    sources: Vec<SourceText>,
    namespace: Option<Namespace>,
    /// The last pod.
    pod: Value,
    outcome: Option<Result<Outcome, InjectError>>,
    /// What the engine explains of its reasons to skip the pod.
    explanations: Vec<String>,
    /// Whether a block has checked the last pod or the last broken template.
    unchecked: bool,
}

impl Example {
    /// Adds one block; returns its faults.
    fn read(&mut self, block: &Block) -> Vec<String> {
        match (block.language.as_str(), block.role.as_str()) {
            ("yaml", "template") => self.template(block.text.clone()),
            ("yaml", "spec") => self.template(whole_template(&block.text)),
            ("yaml", "namespace") => {
                self.namespace = Some(namespace(&super::yaml("namespace", &block.text)));
                Vec::new()
            }
            ("yaml", "pod") => self.pod(&super::yaml("pod", &block.text)),
            ("yaml", "result") => {
                let pod = self.pod.clone();
                self.check(|outcome| result(&pod, outcome, &super::yaml("result", &block.text)))
            }
            ("text", "refused") => self.check(|outcome| refused(outcome, &block.text)),
            ("text", "skipped") => {
                let explanations = std::mem::take(&mut self.explanations);
                self.check(|outcome| skipped(outcome, &explanations, &block.text))
            }
            ("text", "warnings") => self.check(|outcome| warnings(outcome, &block.text)),
            ("text", "problems") => self.problems(&block.text),
            // `cases` runs it.
            ("yaml", "test") => Vec::new(),
            ("yaml", role) => vec![format!("a YAML block with the role \"{role}\", which is none")],
            ("text", role) if !role.is_empty() => vec![format!("a text block with the role \"{role}\", which is none")],
            _ => Vec::new(),
        }
    }

    /// A template after a pod begins a new example.
    fn template(&mut self, text: String) -> Vec<String> {
        let mut faults = Vec::new();
        if self.outcome.is_some() || self.sources.is_empty() {
            faults = self.end();
            *self = Self::default();
        }
        self.sources.push(SourceText { origin: "example.yaml".to_owned(), text });
        self.unchecked = true;
        faults
    }

    fn pod(&mut self, pod: &Value) -> Vec<String> {
        let mut faults = if self.outcome.is_some() { self.end() } else { Vec::new() };
        let loaded = TemplateSet::load(&self.sources);
        faults.extend(loaded.problems.iter().map(ToString::to_string));
        let injector = if self.sources.is_empty() {
            super::built_in()
        } else {
            Injector::new(loaded.templates, Settings::default())
        };
        self.pod = pod.clone();
        let outcome = super::inject(&injector, self.namespace.as_ref(), pod);
        self.explanations = super::explanations(&injector, self.namespace.as_ref(), pod, &outcome);
        self.outcome = Some(outcome);
        self.unchecked = true;
        faults
    }

    fn check(&mut self, check: impl FnOnce(&Result<Outcome, InjectError>) -> Vec<String>) -> Vec<String> {
        self.unchecked = false;
        self.outcome.as_ref().map_or_else(|| vec!["there is no pod before it".to_owned()], check)
    }

    fn problems(&mut self, text: &str) -> Vec<String> {
        self.unchecked = false;
        let problems = TemplateSet::load(&std::mem::take(&mut self.sources)).problems;
        same_lines(&problems.iter().map(ToString::to_string).collect::<Vec<_>>(), text)
    }

    /// A template that no block checks must load.
    fn end(&self) -> Vec<String> {
        match (&self.outcome, self.unchecked) {
            (Some(_), true) => vec!["the pod before it has no result".to_owned()],
            (None, true) => TemplateSet::load(&self.sources).problems.iter().map(ToString::to_string).collect(),
            (_, false) => Vec::new(),
        }
    }
}

fn whole_template(spec: &str) -> String {
    let indented: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata:\n  name: example\nspec:\n{indented}"
    )
}

fn namespace(object: &Value) -> Namespace {
    let strings = |field: &str| -> BTreeMap<String, String> {
        let entries = object["metadata"][field].as_object().into_iter().flatten();
        entries.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    };
    let name = object["metadata"]["name"].as_str().unwrap_or("demo").to_owned();
    Namespace { name, labels: strings("labels"), annotations: strings("annotations") }
}

fn result(pod: &Value, outcome: &Result<Outcome, InjectError>, excerpt: &Value) -> Vec<String> {
    match outcome {
        Ok(Outcome::Injected(injection)) => differences(&injected_pod(pod, injection), excerpt),
        Ok(Outcome::Skipped(skip)) => vec![format!("skipped: {:?}", skip.reasons)],
        Err(error) => vec![format!("refused: {error}")],
    }
}

fn refused(outcome: &Result<Outcome, InjectError>, message: &str) -> Vec<String> {
    match outcome {
        Err(error) => same_lines(&[error.to_string()], message),
        Ok(_) => vec!["the pod was not refused".to_owned()],
    }
}

fn skipped(outcome: &Result<Outcome, InjectError>, explanations: &[String], expected: &str) -> Vec<String> {
    match outcome {
        Ok(Outcome::Skipped(_)) => same_lines(explanations, expected),
        Ok(Outcome::Injected(_)) => vec!["the pod was injected".to_owned()],
        Err(error) => vec![format!("refused: {error}")],
    }
}

fn warnings(outcome: &Result<Outcome, InjectError>, expected: &str) -> Vec<String> {
    match outcome {
        Ok(Outcome::Injected(injection)) => same_lines(&injection.warnings, expected),
        Ok(Outcome::Skipped(skip)) => same_lines(&skip.warnings, expected),
        Err(error) => vec![format!("refused: {error}")],
    }
}

/// Documents wrap long lines; continuation lines are indented.
fn same_lines(actual: &[String], shown: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in shown.lines() {
        match lines.last_mut() {
            Some(last) if line.starts_with("  ") => *last = format!("{last} {}", line.trim()),
            _ => lines.push(line.trim().to_owned()),
        }
    }
    if actual == lines {
        Vec::new()
    } else {
        vec![format!("the program prints\n{}\nthe document expects\n{}", actual.join("\n"), lines.join("\n"))]
    }
}

fn faults_of(path: &str, text: &str) -> Vec<String> {
    let mut example = Example::default();
    let mut faults = Vec::new();
    for block in markdown::blocks(text) {
        faults.extend(example.read(&block).into_iter().map(|fault| format!("{path}:{}: {fault}", block.line)));
    }
    faults.extend(example.end().into_iter().map(|fault| format!("{path}: at the end: {fault}")));
    faults
}

#[test]
fn examples_in_the_documents_give_the_documented_result() {
    let faults: Vec<String> = CHECKED.iter().flat_map(|path| faults_of(path, &super::read(path))).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn a_wrong_example_fails() {
    let template = "```yaml spec\nsidecars: [{name: a, image: b}]\n```\n";
    let pod = "```yaml pod\nmetadata: {annotations: {outrigger.dev/inject: example}}\nspec: {containers: [{name: web}]}\n```\n";
    let right = "```yaml result\nspec: {initContainers: [{name: a}]}\n```\n";
    assert_eq!(faults_of("a.md", &[template, pod, right].concat()), [""; 0]);
    assert_eq!(faults_of("a.md", &[template, pod].concat()).len(), 1, "no result");
    assert_eq!(faults_of("a.md", &[template, right].concat()).len(), 1, "no pod");
    assert_eq!(
        faults_of("a.md", &[template, pod, &right.replace("name: a", "name: c")].concat()).len(),
        1,
        "another result"
    );
    assert_eq!(
        faults_of("a.md", &[template, pod, "```text skipped\nnot_requested: x\n```\n"].concat()).len(),
        1,
        "not skipped"
    );
    assert_eq!(faults_of("a.md", &[template, pod, "```text refused\nno\n```\n"].concat()).len(), 1, "not refused");
    assert_eq!(faults_of("a.md", "```yaml\na: b\n```\n").len(), 1, "no role");
    assert_eq!(faults_of("a.md", "```yaml spec\nsidecar: []\n```\n").len(), 1, "does not load");
    assert_eq!(faults_of("a.md", &[template, "```text problems\nno\n```\n"].concat()).len(), 1, "loads");
}
