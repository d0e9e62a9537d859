//! Compiles the documents of one source, independently of other sources.
//!
//! Invariants: a broken document does not affect others; the result depends only on origin and
//! text, so an unchanged text need not be compiled again.

use super::warnings::Warning;
use super::{Compiled, KeptRevision, LazyTemplate, ObjectText, compile, structure};
use crate::inject::expression;
use crate::inject::template::document::{self, Document, MAX_TEMPLATE_BYTES, ParseProblem, Place};
use crate::inject::template::set::TemplateId;
use crate::inject::template::spec::NAMESPACED_KIND;
use crate::inject::template::{LoadProblem, SourceText, TemplateScope, WarningKind};
use crate::inject::text::{FieldError, FieldPath, Message, message, value, words};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// All documents of one source.
#[derive(Debug)]
pub struct CompiledSource {
    pub(in crate::inject::template) origin: String,
    /// Hash of the text; `None` if there is no text.
    digest: Option<[u8; 32]>,
    pub(in crate::inject::template) is_blank: bool,
    /// Whether templates of other sources replace those of the same names in this one.
    pub(in crate::inject::template) is_fallback: bool,
    /// Why the source is gone, if these are its last documents.
    pub(in crate::inject::template) orphaned: Option<LoadProblem>,
    pub(in crate::inject::template) documents: Vec<CompiledDocument>,
}

/// One document: a template or problems, never both.
#[derive(Clone, Debug)]
pub(in crate::inject::template) struct CompiledDocument {
    /// Empty if there is none or it is unreadable.
    pub name: String,
    /// Whether the text is readable, valid or not; an unreadable one may define any template.
    pub is_read: bool,
    /// Line and column of the name.
    place: Place,
    pub scope: TemplateScope,
    pub template: Option<Arc<LazyTemplate>>,
    /// What the object kept of an earlier text, if this one has problems.
    pub last_good: Option<Arc<LazyTemplate>>,
    /// Whether the object has kept a revision, so that pods could have it.
    pub was_served: bool,
    pub problems: Vec<LoadProblem>,
    pub warnings: Vec<LoadProblem>,
}

impl CompiledSource {
    /// Parses, checks and compiles all documents of a text. Never fails as a whole.
    pub fn compile(source: &SourceText) -> Self {
        Self {
            origin: source.origin.clone(),
            digest: Some(digest(&source.text)),
            is_blank: source.text.trim().is_empty(),
            is_fallback: false,
            orphaned: None,
            // If the thread cannot be started, each expression reports that it cannot be compiled.
            documents: expression::with_large_stack(|| documents(source)).unwrap_or_else(|_| documents(source)),
        }
    }

    /// Compiles a template object with its earlier revisions: the same way as a text, but that its
    /// problems name no line.
    pub fn of_object(object: &ObjectText) -> Self {
        let document = || CompiledDocument::of_object(object);
        Self::with_document(object, expression::with_large_stack(document).unwrap_or_else(|_| document()))
    }

    /// A template object that cannot be compiled for a reason that is not in it.
    pub fn faulty_object(object: &ObjectText, why: &str) -> Self {
        Self::with_document(object, CompiledDocument::broken_object(object, message![words(why)]))
    }

    fn with_document(object: &ObjectText, document: CompiledDocument) -> Self {
        Self {
            origin: object.origin.clone(),
            digest: None,
            is_blank: false,
            is_fallback: false,
            orphaned: None,
            documents: vec![document],
        }
    }

    /// The same source, whose templates yield to those of other sources with the same names.
    #[must_use]
    pub fn as_fallback(self) -> Self {
        Self { is_fallback: true, ..self }
    }

    /// Compiles many texts together, which is much faster than one by one.
    pub fn compile_all(sources: &[SourceText]) -> Vec<Arc<Self>> {
        Self::together(|| sources.iter().map(|source| Arc::new(Self::compile(source))).collect())
    }

    /// Runs `work`, which compiles many texts, on one thread; otherwise each text would start its
    /// own.
    pub fn together<T: Send>(work: impl Fn() -> T + Send + Sync) -> T {
        expression::with_large_stack(&work).unwrap_or_else(|_| work())
    }

    /// A source whose text could not be obtained.
    pub fn unreadable(problem: LoadProblem) -> Self {
        let origin = problem.origin.clone();
        Self {
            origin,
            digest: None,
            is_blank: false,
            is_fallback: false,
            orphaned: None,
            documents: vec![CompiledDocument::unreadable(problem)],
        }
    }

    /// The last documents of a source that is gone: they are served until another source has
    /// templates of their names.
    #[must_use]
    pub fn orphaned(&self, why: &str) -> Self {
        Self {
            origin: self.origin.clone(),
            digest: self.digest,
            is_blank: self.is_blank,
            is_fallback: self.is_fallback,
            orphaned: Some(LoadProblem::of_source(&self.origin, message![words(why)])),
            documents: self.documents.clone(),
        }
    }

    /// Whether a template can be served from it.
    pub fn has_templates(&self) -> bool {
        self.documents.iter().any(|document| document.template.is_some())
    }

    /// What an object has to remember of the revisions in it: the newest first, and the one that pods
    /// outside of a rollout get.
    pub fn history(&self) -> Option<(Vec<KeptRevision>, String)> {
        let document = self.documents.first()?;
        let template = document.template.as_ref().or(document.last_good.as_ref())?;
        Some((template.kept_revisions(), template.stable_revision().to_string()))
    }

    /// Whether something in it is wrong, so that an earlier revision may be served.
    pub fn has_problems(&self) -> bool {
        self.is_blank || self.documents.iter().any(|document| !document.problems.is_empty())
    }

    /// Whether [`Self::compile`] of `source` would return an equal result.
    pub fn is_of(&self, source: &SourceText) -> bool {
        self.origin == source.origin && self.digest == Some(digest(&source.text))
    }

    /// Whether `other` is an equal result for the same source.
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

    /// Why its text could not be obtained.
    pub fn unreadable_because(&self) -> Option<String> {
        let problem = self.documents.iter().find_map(|document| document.problems.first());
        problem.filter(|_| self.digest.is_none()).map(|problem| problem.sentence().redacted())
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn documents(source: &SourceText) -> Vec<CompiledDocument> {
    let limit = MAX_TEMPLATE_BYTES * count_documents(&source.text);
    if source.text.len() > limit {
        let sentence = too_large(source.text.len());
        let problem = LoadProblem { line: 1, column: 1, ..LoadProblem::of_source(&source.origin, sentence) };
        return vec![CompiledDocument::unreadable(problem)];
    }
    let parsed = document::parse(&source.text).into_iter();
    let mut documents: Vec<CompiledDocument> = parsed
        .map(|parsed| match parsed {
            Ok(document) => CompiledDocument::compile(&source.origin, &document),
            Err(problem) => CompiledDocument::unreadable(unreadable(&source.origin, &problem)),
        })
        .collect();
    // Bounds the memory of the parsed texts, which are far larger than the texts themselves.
    documents.shrink_to_fit();
    documents
}

fn too_large(bytes: usize) -> Message {
    const KIB: usize = 1024;
    let (found, most) = (bytes / KIB + 1, MAX_TEMPLATE_BYTES / KIB);
    message![found, " KiB are more than the ", most, " KiB that a template may have"]
}

/// Estimates the number of documents in the text, to limit it before parsing.
fn count_documents(text: &str) -> usize {
    1 + text.lines().filter(|line| line.starts_with("---")).count()
}

impl CompiledDocument {
    fn unreadable(problem: LoadProblem) -> Self {
        Self {
            name: String::new(),
            is_read: false,
            place: Place::default(),
            scope: TemplateScope::Cluster,
            template: None,
            last_good: None,
            was_served: false,
            problems: vec![problem],
            warnings: Vec::new(),
        }
    }

    fn of_object(object: &ObjectText) -> Self {
        // Before it is parsed: the tree of a text can be many times as large.
        if object.is_too_large() {
            return Self::broken_object(object, too_large(object.document.len()));
        }
        let value = match serde_json::from_str(&object.document) {
            Ok(value) => value,
            Err(error) => return Self::broken_object(object, message!["cannot be read as JSON: ", value(error)]),
        };
        let document = Document::of_value(value);
        let compiled = Self::compile_in(&object.origin, &document, &object.revisions, &object.stable);
        let is_broken = !compiled.problems.is_empty();
        let last_good = is_broken.then(|| LazyTemplate::last_good(object)).flatten().map(Arc::new);
        let was_served = object.was_served;
        Self { name: object.name.clone(), scope: object.scope.clone(), last_good, was_served, ..compiled }
    }

    /// An object of which not even a document can be read. Its name is known all the same.
    fn broken_object(object: &ObjectText, message: Message) -> Self {
        let problem =
            LoadProblem { template: Some(object.name.clone()), ..LoadProblem::of_source(&object.origin, message) };
        Self {
            name: object.name.clone(),
            scope: object.scope.clone(),
            is_read: true,
            last_good: LazyTemplate::last_good(object).map(Arc::new),
            ..Self::unreadable(problem)
        }
    }

    fn compile(origin: &str, document: &Document) -> Self {
        // An object as `kubectl get --output=yaml` prints it: its status is not part of the template.
        let exported = document.value.get("status").is_some().then(|| {
            let mut document = document.clone();
            document.value.as_object_mut().map(|fields| fields.remove("status"));
            document
        });
        let mut compiled = Self::compile_in(origin, exported.as_ref().unwrap_or(document), &[], "");
        if compiled.template.as_ref().is_some_and(|template| template.lacks_stable_revision()) {
            let path = FieldPath::root().child("spec").child("rollout");
            let Place { line, column } = document.place(&path);
            let sentence = message!["only an object of the cluster keeps earlier revisions: all pods get this one"];
            let problem = LoadProblem {
                template: Some(compiled.name.clone()),
                warning: Some(WarningKind::NoEffect),
                ..LoadProblem::of_source(origin, sentence)
            };
            compiled.warnings.push(LoadProblem { line, column, path: path.to_string(), ..problem });
        }
        compiled
    }

    fn compile_in(origin: &str, document: &Document, kept: &[KeptRevision], stable: &str) -> Self {
        let text = |path: &str| document.value.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let name = text("/metadata/name");
        let scope = match text("/kind") {
            NAMESPACED_KIND => TemplateScope::Namespace(text("/metadata/namespace").to_owned()),
            _ => TemplateScope::Cluster,
        };
        let Compiled { template, errors, warnings } = compile(name, &scope, origin, document);
        let of_template = (!name.is_empty()).then(|| name.to_owned());
        let of_field = |error: &FieldError| {
            let Place { line, column } = document.place_of(error);
            let (path, hint) = (error.path.to_string(), error.hint.clone());
            let template = of_template.clone();
            LoadProblem { line, column, template, path, hint, ..LoadProblem::of_source(origin, error.message.clone()) }
        };
        let of_text = document.problems.iter();
        let of_text =
            of_text.map(|problem| LoadProblem { template: of_template.clone(), ..unreadable(origin, problem) });
        let problems: Vec<LoadProblem> = of_text.chain(errors.iter().map(of_field)).collect();
        let of_warning = |one: &Warning| LoadProblem { warning: Some(one.kind), ..of_field(&one.error) };
        let warnings = warnings.iter().map(of_warning).collect();
        let template = template.filter(|_| problems.is_empty());
        let template = template.map(|template| Arc::new(template.with_history(kept, stable)));
        let place = document.place(&structure::name_path());
        let (name, last_good, was_served) = (name.to_owned(), None, false);
        Self { name, is_read: true, place, scope, template, last_good, was_served, problems, warnings }
    }

    /// Which template it is.
    pub(in crate::inject::template) fn id(&self) -> TemplateId {
        TemplateId { scope: self.scope.clone(), name: self.name.clone() }
    }

    /// Origin, line and column of the template, such as `log.yaml:4:3`; of an object the origin alone.
    pub(crate) fn shown_place(&self, origin: &str) -> String {
        if self.place == Place::default() {
            return origin.to_owned();
        }
        format!("{origin}:{}:{}", self.place.line, self.place.column)
    }

    /// A problem with the name that involves other sources.
    pub(crate) fn name_problem(
        &self,
        origin: &str,
        message: impl Into<Message>,
        hint: impl Into<Message>,
    ) -> LoadProblem {
        LoadProblem {
            line: self.place.line,
            column: self.place.column,
            template: Some(self.name.clone()),
            path: structure::name_path().to_string(),
            hint: Some(hint.into()),
            ..LoadProblem::of_source(origin, message)
        }
    }
}

fn unreadable(origin: &str, problem: &ParseProblem) -> LoadProblem {
    let Place { line, column } = problem.place;
    let message = problem.message.clone();
    LoadProblem { line, column, path: problem.path.to_string(), ..LoadProblem::of_source(origin, message) }
}
