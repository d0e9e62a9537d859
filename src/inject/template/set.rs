//! The templates of one snapshot by name: working, outdated and broken ones.

use super::LoadProblem;
use super::compile::{LazyTemplate, Template};
use super::spec::InjectionMode;
use crate::inject::text::{Message, message};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All templates of one snapshot, indexed by name; immutable.
#[derive(Default)]
pub struct TemplateSet {
    entries: BTreeMap<String, TemplateEntry>,
    /// Names of working templates that choose their pods themselves, sorted.
    automatic: Vec<String>,
    deviations: Deviations,
    /// The problem of a text that is unreadable, so that the names of its templates are unknown.
    unread: Option<LoadProblem>,
    /// Number of templates that are wrong in their source.
    invalid: usize,
}

/// What is to be said about working templates, and why they are not what their sources say now.
#[derive(Default)]
pub(super) struct Deviations {
    /// Templates whose source is broken now, with the problem.
    pub stale: BTreeMap<String, LoadProblem>,
    /// Sources that are gone although their templates are served, by origin.
    pub orphaned: BTreeMap<String, LoadProblem>,
    /// Warnings about the text of a template, by its name.
    pub warnings: BTreeMap<String, Vec<LoadProblem>>,
}

/// The entry of one name.
#[derive(Clone)]
pub(super) enum TemplateEntry {
    Working(Arc<LazyTemplate>),
    /// Named in a source, but broken, without a good revision to serve.
    Broken(Box<LoadProblem>),
}

impl TemplateSet {
    pub(super) fn new(
        entries: BTreeMap<String, TemplateEntry>,
        deviations: Deviations,
        unread: Option<LoadProblem>,
        invalid: usize,
    ) -> Self {
        let automatic =
            entries.iter().filter(|(_, entry)| entry.is_automatic()).map(|(name, _)| name.clone()).collect();
        Self { entries, automatic, deviations, unread, invalid }
    }

    /// Names of the templates that work, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.working().map(|template| template.name.as_str()).collect()
    }

    /// Public details of the working templates, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = TemplateInfo<'_>> {
        self.working().map(|template| TemplateInfo {
            name: &template.name,
            revision: template.revision.as_str(),
            origin: &template.origin,
            description: &template.description,
        })
    }

    /// Whether a template of this name works.
    pub fn contains(&self, name: &str) -> bool {
        matches!(self.entries.get(name), Some(TemplateEntry::Working(_)))
    }

    /// Whether a template of this name exists, working or broken.
    pub fn knows(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Number of templates that work.
    pub fn len(&self) -> usize {
        self.working().count()
    }

    /// Whether no template can be served.
    pub fn is_empty(&self) -> bool {
        self.working().next().is_none()
    }

    /// Number of templates that are named but broken.
    pub fn broken(&self) -> usize {
        self.entries.len() - self.len()
    }

    /// Number of templates that are wrong in their source, whether an older revision is served or
    /// not; a document or file of which not even a name can be read counts as one.
    pub fn invalid(&self) -> usize {
        self.invalid
    }

    /// Number of templates that are served although their source is gone.
    pub fn orphaned(&self) -> usize {
        self.working().filter(|template| self.deviations.orphaned.contains_key(&template.origin)).count()
    }

    /// All templates, working or broken, sorted by name.
    pub fn all(&self) -> impl Iterator<Item = TemplateStatus<'_>> {
        self.entries.iter().map(|(name, entry)| match entry {
            TemplateEntry::Working(template) => self.working_status(name, template),
            TemplateEntry::Broken(problem) => TemplateStatus {
                name,
                revision: None,
                origin: &problem.origin,
                state: TemplateState::Invalid,
                problem: Some(problem),
                warnings: &[],
                interface: None,
            },
        })
    }

    fn working_status<'a>(&'a self, name: &'a str, template: &'a LazyTemplate) -> TemplateStatus<'a> {
        let orphaned = self.deviations.orphaned.get(&template.origin);
        let (state, problem) = match (orphaned, self.deviations.stale.get(name)) {
            (Some(problem), _) => (TemplateState::Orphaned, Some(problem)),
            (None, Some(problem)) => (TemplateState::Stale, Some(problem)),
            (None, None) => (TemplateState::Active, None),
        };
        TemplateStatus {
            name,
            revision: Some(template.revision.as_str()),
            origin: &template.origin,
            state,
            problem,
            warnings: self.deviations.warnings.get(name).map_or(&[], Vec::as_slice),
            interface: Some(TemplateInterface(template)),
        }
    }

    pub(super) fn working(&self) -> impl Iterator<Item = &Arc<LazyTemplate>> {
        self.entries.values().filter_map(|entry| match entry {
            TemplateEntry::Working(template) => Some(template),
            TemplateEntry::Broken(_) => None,
        })
    }

    /// Looks up the template that a pod requests; the error explains why there is none.
    pub(in crate::inject) fn get(&self, name: &str) -> Option<Result<&Template, Message>> {
        Some(match self.entries.get(name)? {
            TemplateEntry::Working(lazy) => lazy
                .template()
                .ok_or_else(|| message!["it loaded once and cannot be compiled again, which is a bug in Outrigger"]),
            TemplateEntry::Broken(problem) => Err(problem.sentence()),
        })
    }

    /// Names of the templates that a working template excludes. It is not compiled for it.
    pub(in crate::inject) fn excluded_by(&self, name: &str) -> &[String] {
        match self.entries.get(name) {
            Some(TemplateEntry::Working(template)) => &template.excludes,
            Some(TemplateEntry::Broken(_)) | None => &[],
        }
    }

    /// Names of all templates, working or broken, sorted.
    pub(in crate::inject) fn all_names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Why an unknown name may still be that of a template: an unreadable text may define it.
    pub(in crate::inject) fn unread(&self) -> Option<Message> {
        self.unread.as_ref().map(LoadProblem::sentence)
    }

    pub(in crate::inject) fn automatic(&self) -> &[String] {
        &self.automatic
    }
}

impl TemplateEntry {
    fn is_automatic(&self) -> bool {
        matches!(self, Self::Working(template) if template.mode == InjectionMode::Automatic)
    }
}

/// Public details of a template.
#[derive(Clone, Copy, Debug)]
pub struct TemplateInfo<'a> {
    pub name: &'a str,
    pub revision: &'a str,
    pub origin: &'a str,
    pub description: &'a str,
}

/// The state of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateState {
    /// The current source is served.
    Active,
    /// The source is broken; the last good revision is served.
    Stale,
    /// The source is gone as a whole; its last good revision is served.
    Orphaned,
    /// Broken without an older revision: pods that request it are not admitted.
    Invalid,
}

impl TemplateState {
    /// The stable code: metric label and `/templates`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Stale => "stale",
            Self::Orphaned => "orphaned",
            Self::Invalid => "invalid",
        }
    }
}

/// A template's name, state and problem.
#[derive(Clone, Copy, Debug)]
pub struct TemplateStatus<'a> {
    /// Name of the template.
    pub name: &'a str,
    /// The served revision, if any.
    pub revision: Option<&'a str>,
    /// Where the template comes from.
    pub origin: &'a str,
    /// Whether it is served.
    pub state: TemplateState,
    /// The problem of its source, with file, line and column.
    pub problem: Option<&'a LoadProblem>,
    /// Warnings about its source.
    pub warnings: &'a [LoadProblem],
    /// What its author says to the authors of pods, if it is served.
    pub interface: Option<TemplateInterface<'a>>,
}

/// What pods may know of a template: its description and its parameters.
#[derive(Clone, Copy, Debug)]
pub struct TemplateInterface<'a>(&'a LazyTemplate);

impl<'a> TemplateInterface<'a> {
    /// `spec.description`.
    pub fn description(self) -> &'a str {
        &self.0.description
    }

    /// Whether it chooses its pods itself.
    pub fn is_automatic(self) -> bool {
        self.0.mode == InjectionMode::Automatic
    }

    /// The declared parameters as the template has them: name, type, default, rule, description.
    pub fn parameters(self) -> Vec<Value> {
        self.0.parameters()
    }
}
