//! Templates: from text to compiled, checked, immutable values.

pub mod checked;
pub mod compiled;
pub mod document;
pub mod selector;
pub mod spec;
pub mod tree;

mod enumerated;
mod load;
pub mod parameters;
mod parsed;
mod read_set;
mod revision;

use crate::inject::text::message::Message;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use checked::CheckedTemplate;
pub use compiled::{Condition, Template};
pub use load::MAX_TEMPLATES;
pub use parsed::ParsedSource;
pub use revision::Revision;

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
    pub message: Message,
    /// What may have been meant, such as `did you mean "volumeMounts"?`.
    pub hint: Option<Message>,
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
    /// Working templates whose source has become wrong since, and what is wrong.
    stale: BTreeMap<String, String>,
    /// What is wrong with a text that could not be read at all, so that nobody knows which templates it holds.
    unread: Option<String>,
    /// Number of templates that are wrong in their source.
    invalid: usize,
}

/// What is known under a name.
#[derive(Clone)]
pub(super) enum Entry {
    Ready(Arc<CheckedTemplate>),
    Broken(Broken),
}

/// What a pod that asks for a template finds.
pub(super) enum Found<'a> {
    Ready(&'a Template),
    /// What is wrong.
    Broken(&'a str),
}

/// What is said of a template that does not compile a second time.
const GONE_WRONG: &str = "it was compiled before and is not any more; this is a fault of outrigger";

/// Named in a source, but wrong, and never was right.
#[derive(Clone)]
pub(super) struct Broken {
    pub origin: String,
    /// What is wrong, for whoever asks for it.
    pub problem: String,
}

impl TemplateSet {
    /// Parses, checks and compiles all documents of all sources. Never fails as a whole.
    pub fn load(sources: &[SourceText]) -> Loaded {
        Self::assemble(&ParsedSource::parse_all(sources), &Self::default())
    }

    /// The set that these sources make after `last` was served: a template that is wrong now, or hidden in a source that
    /// cannot be read, goes on in its last good revision. Never fails as a whole.
    pub fn assemble(sources: &[Arc<ParsedSource>], last: &Self) -> Loaded {
        load::assemble(sources, last)
    }

    fn new(
        entries: BTreeMap<String, Entry>,
        stale: BTreeMap<String, String>,
        unread: Option<String>,
        invalid: usize,
    ) -> Self {
        let automatic =
            entries.iter().filter(|(_, entry)| entry.is_automatic()).map(|(name, _)| name.clone()).collect();
        Self { entries, automatic, stale, unread, invalid }
    }

    /// Names of the templates that work, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.ready().map(|template| template.name.as_str()).collect()
    }

    /// What may be shown of the templates that work, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = TemplateInfo<'_>> {
        self.ready().map(|template| TemplateInfo {
            name: &template.name,
            revision: template.revision.as_str(),
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

    /// Number of templates that are wrong in their source, whether an older revision is served or not; a document or file of
    /// which not even a name can be read counts as one.
    pub fn invalid(&self) -> usize {
        self.invalid
    }

    /// Everything that is known under a name, sorted by it, in whatever state.
    pub fn all(&self) -> impl Iterator<Item = TemplateStatus<'_>> {
        self.entries.iter().map(|(name, entry)| {
            let stale = self.stale.get(name).map(String::as_str);
            match entry {
                Entry::Ready(template) => TemplateStatus {
                    name,
                    revision: Some(template.revision.as_str()),
                    origin: &template.origin,
                    state: stale.map_or(TemplateState::Active, |_| TemplateState::Stale),
                    problem: stale,
                },
                Entry::Broken(Broken { origin, problem }) => TemplateStatus {
                    name,
                    revision: None,
                    origin,
                    state: TemplateState::Invalid,
                    problem: Some(problem),
                },
            }
        })
    }

    fn ready(&self) -> impl Iterator<Item = &Arc<CheckedTemplate>> {
        self.entries.values().filter_map(|entry| match entry {
            Entry::Ready(template) => Some(template),
            Entry::Broken(_) => None,
        })
    }

    /// What is under a name, ready for use.
    pub(super) fn get(&self, name: &str) -> Option<Found<'_>> {
        Some(match self.entries.get(name)? {
            Entry::Ready(checked) => checked.template().map_or(Found::Broken(GONE_WRONG), Found::Ready),
            Entry::Broken(broken) => Found::Broken(&broken.problem),
        })
    }

    /// Why a name that is not known may be that of a template all the same.
    pub(super) fn unread(&self) -> Option<&str> {
        self.unread.as_deref()
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

/// How a template stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateState {
    /// Served as its source has it.
    Active,
    /// Its source is wrong now; the last good revision is served.
    Stale,
    /// Wrong, and nothing older is known: pods that ask for it are not admitted.
    Invalid,
}

impl TemplateState {
    pub const fn code(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Stale => "stale",
            Self::Invalid => "invalid",
        }
    }
}

/// What is known under a template's name.
#[derive(Clone, Copy, Debug)]
pub struct TemplateStatus<'a> {
    pub name: &'a str,
    /// What is served; `None` when nothing is.
    pub revision: Option<&'a str>,
    pub origin: &'a str,
    pub state: TemplateState,
    /// What is wrong with its source, place included.
    pub problem: Option<&'a str>,
}
