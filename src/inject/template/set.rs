//! The templates of one snapshot, by name, in whatever state.

use super::LoadProblem;
use super::compile::{LazyTemplate, Template};
use super::spec::InjectionMode;
use crate::inject::text::message::{Message, message};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All templates of one snapshot, indexed by name; immutable.
#[derive(Default)]
pub struct TemplateSet {
    entries: BTreeMap<String, TemplateEntry>,
    /// Names of working templates that choose their pods themselves, sorted.
    automatic: Vec<String>,
    /// Working templates whose source has become wrong since, and what is wrong.
    stale: BTreeMap<String, LoadProblem>,
    /// What is wrong with a text that could not be read at all, so that nobody knows which templates it holds.
    unread: Option<LoadProblem>,
    /// Number of templates that are wrong in their source.
    invalid: usize,
}

/// What is known under a name.
#[derive(Clone)]
pub(super) enum TemplateEntry {
    Working(Arc<LazyTemplate>),
    /// Named in a source, but wrong, and never was right.
    Broken(Box<LoadProblem>),
}

impl TemplateSet {
    pub(super) fn new(
        entries: BTreeMap<String, TemplateEntry>,
        stale: BTreeMap<String, LoadProblem>,
        unread: Option<LoadProblem>,
        invalid: usize,
    ) -> Self {
        let automatic =
            entries.iter().filter(|(_, entry)| entry.is_automatic()).map(|(name, _)| name.clone()).collect();
        Self { entries, automatic, stale, unread, invalid }
    }

    /// Names of the templates that work, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.working().map(|template| template.name.as_str()).collect()
    }

    /// What may be shown of the templates that work, sorted by name.
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

    /// Number of templates that work.
    pub fn len(&self) -> usize {
        self.working().count()
    }

    pub fn is_empty(&self) -> bool {
        self.working().next().is_none()
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
            let stale = self.stale.get(name);
            match entry {
                TemplateEntry::Working(template) => TemplateStatus {
                    name,
                    revision: Some(template.revision.as_str()),
                    origin: &template.origin,
                    state: stale.map_or(TemplateState::Active, |_| TemplateState::Stale),
                    problem: stale,
                },
                TemplateEntry::Broken(problem) => TemplateStatus {
                    name,
                    revision: None,
                    origin: &problem.origin,
                    state: TemplateState::Invalid,
                    problem: Some(problem),
                },
            }
        })
    }

    pub(super) fn working(&self) -> impl Iterator<Item = &Arc<LazyTemplate>> {
        self.entries.values().filter_map(|entry| match entry {
            TemplateEntry::Working(template) => Some(template),
            TemplateEntry::Broken(_) => None,
        })
    }

    /// What a pod finds that asks for this name: the template, or what is wrong with it.
    pub(in crate::inject) fn get(&self, name: &str) -> Option<Result<&Template, Message>> {
        Some(match self.entries.get(name)? {
            TemplateEntry::Working(lazy) => lazy
                .template()
                .ok_or_else(|| message!["it was compiled before and is not any more; this is a fault of outrigger"]),
            TemplateEntry::Broken(problem) => Err(problem.sentence()),
        })
    }

    /// Why a name that is not known may be that of a template all the same.
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
    pub problem: Option<&'a LoadProblem>,
}
