//! From texts to a [`TemplateSet`], with every problem listed in its place.
//!
//! Invariant: a broken document takes no other with it.

use super::compiled::Template;
use super::document::{self, Document, ParseProblem, Place};
use super::enumerated;
use super::spec::{API_VERSION, CLUSTER_KIND, NAMESPACED_KIND, TemplateDocument};
use super::{Entry, LoadProblem, Loaded, SourceText, TemplateSet};
use crate::inject::field::{FieldError, FieldPath, quote};
use crate::inject::names;
use crate::inject::schema;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Largest template, in bytes of its text.
pub const MAX_TEMPLATE_BYTES: usize = document::MAX_TEMPLATE_BYTES;
/// Most templates of one set.
pub const MAX_TEMPLATES: usize = 5_000;

pub(super) fn load(sources: &[SourceText]) -> Loaded {
    let mut loader = Loader::default();
    for source in sources {
        loader.source(source);
    }
    Loaded { templates: TemplateSet::new(loader.entries), problems: loader.problems, warnings: loader.warnings }
}

#[derive(Default)]
struct Loader {
    entries: BTreeMap<String, Entry>,
    /// Where each name was seen first.
    places: BTreeMap<String, String>,
    problems: Vec<LoadProblem>,
    warnings: Vec<LoadProblem>,
}

impl Loader {
    fn source(&mut self, source: &SourceText) {
        let limit = MAX_TEMPLATE_BYTES * count_documents(&source.text);
        if source.text.len() > limit {
            let message = format!(
                "{} KiB are more than the {} KiB that a template may have",
                source.text.len() / 1024 + 1,
                MAX_TEMPLATE_BYTES / 1024
            );
            self.problems.push(LoadProblem { line: 1, column: 1, ..without_place(&source.origin, message) });
            return;
        }
        for parsed in document::parse(&source.text) {
            match parsed {
                Ok(document) => self.document(&source.origin, &document),
                Err(problem) => self.problems.push(unreadable(&source.origin, &problem)),
            }
        }
    }

    fn document(&mut self, origin: &str, document: &Document) {
        let name = document.value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let reporter = Reporter { origin, document, name };
        let mut errors = check_header(&document.value);
        let mut compiled = None;
        if errors.is_empty() {
            let findings =
                schema::check(schema::template(), &document.value, &FieldPath::root(), schema::Expressions::Allowed);
            self.warnings.extend(findings.warnings.iter().map(|warning| reporter.problem(warning)));
            errors.extend(findings.errors);
            errors.extend(document.value.get("spec").map(enumerated::check).unwrap_or_default());
            errors = with_more(errors, check_name(name).into_iter().collect());
            match compile(name, origin, &document.value, errors.is_empty()) {
                Ok(template) => compiled = template,
                Err(more) => errors = with_more(errors, more),
            }
        }
        let mut problems: Vec<LoadProblem> = document
            .problems
            .iter()
            .map(|problem| LoadProblem { template: reporter.template(), ..unreadable(origin, problem) })
            .collect();
        problems.extend(errors.iter().map(|error| reporter.problem(error)));
        problems.extend(self.register_name(&reporter));
        problems.sort_by_key(|problem| (problem.line, problem.column));
        self.finish(name, compiled, problems);
    }

    /// One name in two places is wrong in both: which of them would be meant?
    fn register_name(&mut self, reporter: &Reporter<'_>) -> Option<LoadProblem> {
        if reporter.name.is_empty() {
            return None;
        }
        let path = FieldPath::root().child("metadata").child("name");
        let place = reporter.document.place(&path);
        let here = format!("{}:{}:{}", reporter.origin, place.line, place.column);
        match self.places.get(reporter.name) {
            Some(first) => {
                let message = format!("the name {} is taken by the template at {first}", quote(reporter.name));
                Some(reporter.problem(&FieldError::new(path, message)))
            }
            None => {
                self.places.insert(reporter.name.to_owned(), here);
                None
            }
        }
    }

    fn finish(&mut self, name: &str, compiled: Option<Template>, mut problems: Vec<LoadProblem>) {
        if problems.is_empty() && self.entries.len() >= MAX_TEMPLATES {
            let origin = compiled.as_ref().map_or_else(String::new, |template| template.origin.clone());
            problems.push(without_place(&origin, format!("more than {MAX_TEMPLATES} templates")));
        }
        let entry = match (compiled, problems.first()) {
            (Some(template), None) => Some(Entry::Ready(Arc::new(template))),
            (_, Some(problem)) => Some(Entry::Broken(problem.to_string())),
            (None, None) => None,
        };
        if let (Some(entry), false) = (entry, name.is_empty()) {
            self.entries.insert(name.to_owned(), entry);
        }
        self.problems.append(&mut problems);
    }
}

/// How many documents the text seems to hold: enough to bound it before it is read.
fn count_documents(text: &str) -> usize {
    1 + text.lines().filter(|line| line.starts_with("---")).count()
}

/// Compiles what can be compiled, so that wrong shapes and wrong expressions are listed together.
fn compile(
    name: &str,
    origin: &str,
    document: &Value,
    shape_is_right: bool,
) -> Result<Option<Template>, Vec<FieldError>> {
    let mut value = document.clone();
    drop_nulls(&mut value);
    let raw = value.get("spec").cloned().unwrap_or_default();
    let parsed = shape_is_right.then(|| serde_json::from_value::<TemplateDocument>(value));
    match parsed.transpose() {
        Ok(parsed) => Template::compile(name, origin, parsed.map(|document| document.spec), &raw),
        Err(error) => Err(vec![FieldError::new(FieldPath::root(), error.to_string())]),
    }
}

/// What follows from a problem that is listed already would only be noise.
fn with_more(mut errors: Vec<FieldError>, more: Vec<FieldError>) -> Vec<FieldError> {
    let listed: Vec<String> = errors.iter().map(|error| error.path.to_string()).collect();
    errors.extend(more.into_iter().filter(|error| {
        let path = error.path.to_string();
        !listed.iter().any(|known| path == *known || path.starts_with(&format!("{known}.")))
    }));
    errors
}

/// A null means absent, as everywhere in Kubernetes.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn check_header(document: &Value) -> Vec<FieldError> {
    let root = FieldPath::root();
    if !document.is_object() {
        return vec![FieldError::new(root, "expected a template document with apiVersion, kind, metadata and spec")];
    }
    let mut errors = Vec::new();
    let bytes = document.to_string().len();
    if bytes > MAX_TEMPLATE_BYTES {
        errors
            .push(FieldError::new(root.clone(), format!("the template has {bytes} bytes as JSON, more than 256 KiB")));
    }
    let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default();
    let version = text("apiVersion");
    if version != API_VERSION {
        let message = format!("unsupported apiVersion {}; expected {API_VERSION:?}", quote(version));
        errors.push(FieldError::new(root.child("apiVersion"), message));
    }
    let kind = text("kind");
    if kind == NAMESPACED_KIND {
        let message = format!("{} is not taken from files; expected {CLUSTER_KIND:?}", quote(kind));
        errors.push(FieldError::new(root.child("kind"), message));
    } else if kind != CLUSTER_KIND {
        let message = format!("unknown kind {}; expected {CLUSTER_KIND:?}", quote(kind));
        errors.push(FieldError::new(root.child("kind"), message));
    }
    errors
}

fn check_name(name: &str) -> Option<FieldError> {
    if name == "false" {
        let path = FieldPath::root().child("metadata").child("name");
        return Some(FieldError::new(path, "\"false\" opts out in annotations and cannot name a template"));
    }
    names::check_dns_label(name).err().map(|rule| {
        let path = FieldPath::root().child("metadata").child("name");
        FieldError::new(path, format!("{} is no valid name: {rule}", quote(name)))
    })
}

struct Reporter<'a> {
    origin: &'a str,
    document: &'a Document,
    name: &'a str,
}

impl Reporter<'_> {
    fn template(&self) -> Option<String> {
        (!self.name.is_empty()).then(|| self.name.to_owned())
    }

    fn problem(&self, error: &FieldError) -> LoadProblem {
        let Place { line, column } = self.document.place(&error.path);
        LoadProblem {
            origin: self.origin.to_owned(),
            line,
            column,
            template: self.template(),
            path: error.path.to_string(),
            message: error.message.clone(),
            hint: error.hint.clone(),
        }
    }
}

fn unreadable(origin: &str, problem: &ParseProblem) -> LoadProblem {
    let Place { line, column } = problem.place;
    LoadProblem { line, column, path: problem.path.to_string(), ..without_place(origin, problem.message.clone()) }
}

fn without_place(origin: &str, message: String) -> LoadProblem {
    LoadProblem {
        origin: origin.to_owned(),
        line: 0,
        column: 0,
        template: None,
        path: String::new(),
        message,
        hint: None,
    }
}
