//! One source's text as checked and compiled documents, before it meets other sources.
//!
//! Invariants: a broken document takes no other with it; what is here depends on origin and text alone, so that a text that
//! has not changed need not be compiled again.

use super::LoadProblem;
use super::SourceText;
use super::checked::CheckedTemplate;
use super::compiled::Template;
use super::document::{self, Document, MAX_TEMPLATE_BYTES, ParseProblem, Place};
use super::enumerated;
use super::spec::{API_VERSION, CLUSTER_KIND, NAMESPACED_KIND, TemplateDocument};
use crate::inject::expression;
use crate::inject::schema;
use crate::inject::text::field::{FieldError, FieldPath, quote};
use crate::inject::text::message::Message;
use crate::inject::text::names;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// All documents of one source.
#[derive(Debug)]
pub struct ParsedSource {
    pub(super) origin: String,
    /// Of the text; `None` where none could be had.
    digest: Option<[u8; 32]>,
    pub(super) is_blank: bool,
    /// What can be done, beside renaming, about a name of this source that stands in another as well.
    pub(super) remedy: Option<&'static str>,
    pub(super) documents: Vec<ParsedDocument>,
}

/// One document: a template or problems, never both.
#[derive(Debug)]
pub(super) struct ParsedDocument {
    /// Empty where there is none, or it cannot be read.
    pub name: String,
    /// Whether the text could be read at all, right or wrong; otherwise any template may be behind it.
    pub is_read: bool,
    /// Where the name stands.
    pub place: Place,
    pub template: Option<Arc<CheckedTemplate>>,
    pub problems: Vec<LoadProblem>,
    pub warnings: Vec<LoadProblem>,
}

impl ParsedSource {
    /// Parses, checks and compiles all documents of a text. Never fails as a whole.
    pub fn parse(source: &SourceText) -> Self {
        Self {
            origin: source.origin.clone(),
            digest: Some(digest(&source.text)),
            is_blank: source.text.trim().is_empty(),
            remedy: None,
            documents: parse_documents(source),
        }
    }

    /// A source that can be done without where one of its names stands elsewhere as well: `remedy` says how.
    #[must_use]
    pub fn with_remedy(self, remedy: &'static str) -> Self {
        Self { remedy: Some(remedy), ..self }
    }

    /// The same of many texts, which is much less work together.
    pub fn parse_all(sources: &[SourceText]) -> Vec<Arc<Self>> {
        Self::together(|| sources.iter().map(|source| Arc::new(Self::parse(source))).collect())
    }

    /// Does work in which many texts are parsed: each by itself would need a thread of its own.
    pub fn together<T: Send>(work: impl Fn() -> T + Send + Sync) -> T {
        expression::with_large_stack(&work).unwrap_or_else(|_| work())
    }

    /// A source whose text could not be had at all.
    pub fn unreadable(problem: LoadProblem) -> Self {
        let origin = problem.origin.clone();
        Self {
            origin,
            digest: None,
            is_blank: false,
            remedy: None,
            documents: vec![ParsedDocument::unreadable(problem)],
        }
    }

    /// Whether this is what [`Self::parse`] would make of `source`.
    pub fn is_of(&self, source: &SourceText) -> bool {
        self.origin == source.origin && self.digest == Some(digest(&source.text))
    }

    /// Whether `other` says the same about the same source.
    pub fn is_same(&self, other: &Self) -> bool {
        let problems = |source: &Self| -> Vec<LoadProblem> {
            source.documents.iter().flat_map(|document| document.problems.clone()).collect()
        };
        self.origin == other.origin && self.digest == other.digest && problems(self) == problems(other)
    }

    /// File name, ConfigMap key or object name, as problems name it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Why its text could not be had.
    pub fn unreadable_because(&self) -> Option<String> {
        let problem = self.documents.iter().find_map(|document| document.problems.first());
        problem.filter(|_| self.digest.is_none()).map(ToString::to_string)
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Without a thread to do it on each expression says for itself that it cannot be compiled.
fn parse_documents(source: &SourceText) -> Vec<ParsedDocument> {
    expression::with_large_stack(|| documents(source)).unwrap_or_else(|_| documents(source))
}

fn documents(source: &SourceText) -> Vec<ParsedDocument> {
    let limit = MAX_TEMPLATE_BYTES * count_documents(&source.text);
    if source.text.len() > limit {
        let message = format!(
            "{} KiB are more than the {} KiB that a template may have",
            source.text.len() / 1024 + 1,
            MAX_TEMPLATE_BYTES / 1024
        );
        let problem = LoadProblem { line: 1, column: 1, ..without_place(&source.origin, message) };
        return vec![ParsedDocument::unreadable(problem)];
    }
    let parsed = document::parse(&source.text).into_iter();
    let mut documents: Vec<ParsedDocument> = parsed
        .map(|parsed| match parsed {
            Ok(document) => ParsedDocument::check(&source.origin, &document),
            Err(problem) => ParsedDocument::unreadable(unreadable(&source.origin, &problem)),
        })
        .collect();
    // The room is that of the parsed texts, which are far larger.
    documents.shrink_to_fit();
    documents
}

impl ParsedDocument {
    fn unreadable(problem: LoadProblem) -> Self {
        Self {
            name: String::new(),
            is_read: false,
            place: Place::default(),
            template: None,
            problems: vec![problem],
            warnings: Vec::new(),
        }
    }

    fn check(origin: &str, document: &Document) -> Self {
        let name = document.value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let reporter = Reporter { origin, document, name };
        let (mut errors, mut warnings, mut compiled) = (check_header(&document.value), Vec::new(), None);
        if errors.is_empty() {
            let findings =
                schema::check(schema::template(), &document.value, &FieldPath::root(), schema::Expressions::Allowed);
            warnings.extend(findings.warnings.iter().map(|warning| reporter.problem(warning)));
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
        let template = compiled.filter(|_| problems.is_empty()).map(Arc::new);
        let place = document.place(&name_path());
        Self { name: name.to_owned(), is_read: true, place, template, problems, warnings }
    }

    /// Where the template stands, such as `log.yaml:4:3`.
    pub fn shown_place(&self, origin: &str) -> String {
        format!("{origin}:{}:{}", self.place.line, self.place.column)
    }

    /// A problem with the name, found when the source met others.
    pub fn name_problem(&self, origin: &str, message: impl Into<Message>, hint: impl Into<Message>) -> LoadProblem {
        LoadProblem {
            line: self.place.line,
            column: self.place.column,
            template: Some(self.name.clone()),
            path: name_path().to_string(),
            hint: Some(hint.into()),
            ..without_place(origin, message)
        }
    }
}

fn name_path() -> FieldPath {
    FieldPath::root().child("metadata").child("name")
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
) -> Result<Option<CheckedTemplate>, Vec<FieldError>> {
    let mut value = document.clone();
    drop_nulls(&mut value);
    let raw = value.get("spec").cloned().unwrap_or_default();
    let parsed = shape_is_right.then(|| serde_json::from_value::<TemplateDocument>(value));
    match parsed.transpose() {
        Ok(parsed) => {
            let compiled = Template::compile(name, origin, parsed.map(|document| document.spec), &raw)?;
            Ok(compiled.map(|template| CheckedTemplate::new(template, &raw)))
        }
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
        return Some(FieldError::new(name_path(), "\"false\" opts out in annotations and cannot name a template"));
    }
    let rule = names::check_dns_label(name).err()?;
    Some(FieldError::new(name_path(), format!("{} is no valid name: {rule}", quote(name))))
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

pub(super) fn without_place(origin: &str, message: impl Into<Message>) -> LoadProblem {
    LoadProblem {
        origin: origin.to_owned(),
        line: 0,
        column: 0,
        template: None,
        path: String::new(),
        message: message.into(),
        hint: None,
    }
}
