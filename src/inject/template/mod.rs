//! Templates: from text to compiled, checked, immutable values.

pub mod compiled;
pub mod document;
pub mod selector;
pub mod spec;
pub mod tree;

mod enumerated;
mod load;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use compiled::{Condition, Template};

/// Text that holds template documents, and where it comes from.
#[derive(Clone, Debug)]
pub struct SourceText {
    /// File name, ConfigMap key or object name, as problems name it.
    pub origin: String,
    pub text: String,
}

/// One thing that is wrong with a template's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadProblem {
    pub origin: String,
    /// 1-based; 0 when the problem has no place in the text.
    pub line: usize,
    /// 1-based, in characters; 0 when the problem has no place in the text.
    pub column: usize,
    /// Name of the template, where it is known.
    pub template: Option<String>,
    /// Path of the field, such as `spec.sidecars[0].image`; empty for the document itself.
    pub path: String,
    pub message: String,
    /// What may have been meant, such as `did you mean "volumeMounts"?`.
    pub hint: Option<String>,
}

impl fmt::Display for LoadProblem {
    /// `log.yaml:12:7: spec.sidecars[0].volumMounts: unknown field; did you mean "volumeMounts"?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// Result of [`TemplateSet::load`]: what works, and everything that does not.
pub struct Loaded {
    pub templates: TemplateSet,
    /// Errors; the templates concerned are in the set as broken ones.
    pub problems: Vec<LoadProblem>,
    /// What works but deserves a look, such as a container field that this build does not know.
    pub warnings: Vec<LoadProblem>,
}

/// All templates of one snapshot, indexed by name; immutable.
#[derive(Default)]
pub struct TemplateSet {
    entries: BTreeMap<String, Entry>,
    /// Names of working templates that choose their pods themselves, sorted.
    automatic: Vec<String>,
}

/// What is known under a name.
#[derive(Clone)]
pub(super) enum Entry {
    Ready(Arc<Template>),
    /// Named in a source, but wrong; the text is what is wrong, for whoever asks for it.
    Broken(String),
}

impl TemplateSet {
    /// Parses, checks and compiles all documents of all sources. Never fails as a whole.
    pub fn load(sources: &[SourceText]) -> Loaded {
        load::load(sources)
    }

    fn new(entries: BTreeMap<String, Entry>) -> Self {
        let automatic =
            entries.iter().filter(|(_, entry)| entry.is_automatic()).map(|(name, _)| name.clone()).collect();
        Self { entries, automatic }
    }

    /// Names of the templates that work, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.ready().map(|template| template.name.as_str()).collect()
    }

    /// What may be shown of the templates that work, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = TemplateInfo<'_>> {
        self.ready().map(|template| TemplateInfo {
            name: &template.name,
            revision: &template.revision,
            origin: &template.origin,
            description: &template.description,
        })
    }

    /// Whether a template of this name works.
    pub fn contains(&self, name: &str) -> bool {
        matches!(self.entries.get(name), Some(Entry::Ready(_)))
    }

    /// Number of templates that work.
    pub fn len(&self) -> usize {
        self.ready().count()
    }

    pub fn is_empty(&self) -> bool {
        self.ready().next().is_none()
    }

    /// Number of templates that are named but broken.
    pub fn broken(&self) -> usize {
        self.entries.len() - self.len()
    }

    fn ready(&self) -> impl Iterator<Item = &Template> {
        self.entries.values().filter_map(|entry| match entry {
            Entry::Ready(template) => Some(template.as_ref()),
            Entry::Broken(_) => None,
        })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub(super) fn automatic(&self) -> &[String] {
        &self.automatic
    }
}

impl Entry {
    fn is_automatic(&self) -> bool {
        matches!(self, Self::Ready(template) if template.mode == spec::InjectionMode::Automatic)
    }
}

/// What may be shown of a template.
#[derive(Clone, Copy, Debug)]
pub struct TemplateInfo<'a> {
    pub name: &'a str,
    pub revision: &'a str,
    pub origin: &'a str,
    pub description: &'a str,
}
