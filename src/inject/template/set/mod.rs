//! The templates of one snapshot by name: working, outdated and broken ones.

mod visible;

use super::compile::{KeptRevision, LazyTemplate};
use super::spec::InjectionMode;
use super::{LoadProblem, TemplateScope};
use crate::inject::text::{Message, message};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use visible::{Found, Slot, VisibleTemplates};

/// Most templates of the cluster, and as many of all namespaces together: no tenant uses up the
/// room of the cluster's.
const MAX_TEMPLATES: usize = 5_000;

/// All templates of one snapshot, indexed by name; immutable.
#[derive(Default)]
pub struct TemplateSet {
    entries: Entries,
    /// Names of the cluster's working templates that choose their pods themselves, sorted.
    automatic: Vec<String>,
    /// Names of the cluster's templates that are compiled in.
    fallback: BTreeSet<String>,
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
    pub stale: BTreeMap<TemplateId, LoadProblem>,
    /// Sources that are gone although their templates are served, by origin.
    pub orphaned: BTreeMap<String, LoadProblem>,
    /// Warnings about the text of a template.
    pub warnings: BTreeMap<TemplateId, Vec<LoadProblem>>,
}

/// Which template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TemplateId {
    pub scope: TemplateScope,
    pub name: String,
}

impl TemplateId {
    pub(super) fn of(template: &LazyTemplate) -> Self {
        Self { scope: template.scope.clone(), name: template.name.clone() }
    }
}

/// The entry of one name.
#[derive(Clone)]
pub(super) enum TemplateEntry {
    Working(Arc<LazyTemplate>),
    /// Named in a source, but broken, without a good revision to serve.
    Broken(Box<LoadProblem>),
}

/// The entries by scope and name.
#[derive(Default)]
pub(super) struct Entries {
    pub cluster: BTreeMap<String, TemplateEntry>,
    namespaced: BTreeMap<String, BTreeMap<String, TemplateEntry>>,
    /// Templates of namespaces that work: broken ones take no room from others.
    working_namespaced: usize,
}

impl Entries {
    pub(super) fn of_namespace(&self, namespace: &str) -> Option<&BTreeMap<String, TemplateEntry>> {
        self.namespaced.get(namespace)
    }

    pub(super) fn get(&self, scope: &TemplateScope, name: &str) -> Option<&TemplateEntry> {
        match scope.namespace() {
            None => self.cluster.get(name),
            Some(namespace) => self.namespaced.get(namespace)?.get(name),
        }
    }

    pub(super) fn insert(&mut self, scope: &TemplateScope, name: &str, entry: TemplateEntry) {
        let is_working = |entry: &TemplateEntry| matches!(entry, TemplateEntry::Working(_));
        let entries = match scope.namespace() {
            None => &mut self.cluster,
            Some(namespace) => self.namespaced.entry(namespace.to_owned()).or_default(),
        };
        let now = is_working(&entry);
        let before = entries.insert(name.to_owned(), entry).is_some_and(|before| is_working(&before));
        if scope.namespace().is_some() {
            self.working_namespaced = self.working_namespaced + usize::from(now) - usize::from(before);
        }
    }

    /// Those of the cluster first: namespace, name, entry.
    pub(super) fn all(&self) -> impl Iterator<Item = (Option<&str>, &str, &TemplateEntry)> {
        let cluster = self.cluster.iter().map(|(name, entry)| (None, name.as_str(), entry));
        let namespaced = self.namespaced.iter().flat_map(|(namespace, own)| {
            own.iter().map(move |(name, entry)| (Some(namespace.as_str()), name.as_str(), entry))
        });
        cluster.chain(namespaced)
    }

    /// Why there is no room for one more template.
    pub(super) fn too_many(&self, scope: &TemplateScope) -> Option<Message> {
        match scope.namespace() {
            None => (self.cluster.len() >= MAX_TEMPLATES).then(|| message!["more than ", MAX_TEMPLATES, " templates"]),
            Some(namespace) if self.working_of(namespace) >= TemplateSet::MAX_OF_NAMESPACE => {
                Some(message!["more than ", TemplateSet::MAX_OF_NAMESPACE, " templates in the namespace"])
            }
            Some(_) => (self.working_namespaced >= MAX_TEMPLATES)
                .then(|| message!["more than ", MAX_TEMPLATES, " templates in all namespaces together"]),
        }
    }

    fn working_of(&self, namespace: &str) -> usize {
        let entries = self.of_namespace(namespace).into_iter().flat_map(BTreeMap::values);
        entries.filter(|entry| matches!(entry, TemplateEntry::Working(_))).count()
    }
}

impl TemplateSet {
    /// Most templates of one namespace, so that no tenant uses up the room of the others.
    pub(crate) const MAX_OF_NAMESPACE: usize = 100;

    pub(super) fn new(
        entries: Entries,
        fallback: BTreeSet<String>,
        deviations: Deviations,
        unread: Option<LoadProblem>,
        invalid: usize,
    ) -> Self {
        let automatic = entries.cluster.iter().filter(|(_, entry)| entry.is_automatic());
        let automatic = automatic.map(|(name, _)| name.clone()).collect();
        Self { entries, automatic, fallback, deviations, unread, invalid }
    }

    pub(super) const fn entries(&self) -> &Entries {
        &self.entries
    }

    /// The templates that pods of this namespace can name.
    pub(crate) fn visible_in(&self, namespace: &str) -> VisibleTemplates<'_> {
        VisibleTemplates::new(self, &self.entries, namespace)
    }

    /// All Automatic templates with their revisions.
    pub(in crate::inject) fn automatic_revisions(&self) -> Vec<(TemplateScope, String, String)> {
        let automatic = self.working().filter(|template| template.mode == InjectionMode::Automatic);
        let id = |template: &Arc<LazyTemplate>| {
            (template.scope.clone(), template.name.clone(), template.revision.to_string())
        };
        automatic.map(id).collect()
    }

    /// Namespaces with Automatic templates of their own.
    pub(in crate::inject) fn namespaces_with_automatic(&self) -> impl Iterator<Item = &str> {
        let has_some = |own: &BTreeMap<String, TemplateEntry>| own.values().any(TemplateEntry::is_automatic);
        self.entries.namespaced.iter().filter(move |(_, own)| has_some(own)).map(|(namespace, _)| namespace.as_str())
    }

    /// Whether the cluster's template of this name is compiled in.
    pub(super) fn is_of_fallback(&self, name: &str) -> bool {
        self.fallback.contains(name)
    }

    /// Whether it is a built-in template of this set.
    pub(super) fn is_built_in(&self, template: &LazyTemplate) -> bool {
        template.scope == TemplateScope::Cluster && self.is_of_fallback(&template.name)
    }

    /// Why a new template of this name would have no room.
    pub fn has_no_room_for(&self, scope: &TemplateScope, name: &str) -> Option<String> {
        let is_new = self.entries.get(scope, name).is_none();
        self.entries.too_many(scope).filter(|_| is_new).map(|sentence| sentence.to_string())
    }

    /// The set with more warnings about templates.
    pub(in crate::inject) fn with_warnings(mut self, warnings: Vec<(TemplateScope, LoadProblem)>) -> Self {
        for (scope, warning) in warnings {
            let Some(name) = warning.template.clone() else { continue };
            self.deviations.warnings.entry(TemplateId { scope, name }).or_default().push(warning);
        }
        self
    }

    /// Why the `InjectionTemplate` of this name is not used in its namespace, if it is not.
    pub fn hidden_in(&self, namespace: &str, name: &str) -> Option<String> {
        self.visible_in(namespace).hidden(name).map(|sentence| sentence.to_string())
    }

    /// Why an `InjectionTemplate` of this name would not be used in this namespace.
    pub fn would_be_hidden_in(&self, namespace: &str, name: &str) -> Option<String> {
        self.visible_in(namespace).would_hide(name).map(|sentence| sentence.to_string())
    }

    /// Whether pods of this namespace can name a template so, working or broken.
    pub fn is_known_in(&self, namespace: &str, name: &str) -> bool {
        self.visible_in(namespace).knows(name)
    }

    /// Names of the templates that work, those of the cluster first.
    pub fn names(&self) -> Vec<&str> {
        self.working().map(|template| template.name.as_str()).collect()
    }

    /// Public details of the working templates, those of the cluster first, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = TemplateInfo<'_>> {
        self.working().map(|template| TemplateInfo {
            name: &template.name,
            namespace: template.scope.namespace(),
            revision: template.revision.as_str(),
            origin: &template.origin,
            description: &template.description,
        })
    }

    /// Whether a template of the cluster with this name works.
    pub fn contains(&self, name: &str) -> bool {
        matches!(self.entries.cluster.get(name), Some(TemplateEntry::Working(_)))
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
        self.entries.all().filter(|(_, _, entry)| matches!(entry, TemplateEntry::Broken(_))).count()
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

    /// All templates, working or broken: those of the cluster, then those of namespaces, by name.
    pub fn all(&self) -> impl Iterator<Item = TemplateStatus<'_>> {
        self.entries.all().map(|(namespace, name, entry)| match entry {
            TemplateEntry::Working(template) => self.working_status(template),
            TemplateEntry::Broken(problem) => TemplateStatus { name, namespace, ..TemplateStatus::broken(problem) },
        })
    }

    /// The template of this scope and name, working or broken.
    pub fn status_of(&self, scope: &TemplateScope, name: &str) -> Option<TemplateStatus<'_>> {
        self.entries.get(scope, name).map(|entry| match entry {
            TemplateEntry::Working(template) => self.working_status(template),
            TemplateEntry::Broken(problem) => TemplateStatus::broken(problem),
        })
    }

    fn working_status<'a>(&'a self, template: &'a LazyTemplate) -> TemplateStatus<'a> {
        let id = TemplateId::of(template);
        let orphaned = self.deviations.orphaned.get(&template.origin);
        let (state, problem) = match (orphaned, self.deviations.stale.get(&id)) {
            (Some(problem), _) => (TemplateState::Orphaned, Some(problem)),
            (None, Some(problem)) => (TemplateState::Stale, Some(problem)),
            (None, None) => (TemplateState::Active, None),
        };
        TemplateStatus {
            name: &template.name,
            namespace: template.scope.namespace(),
            revision: Some(template.revision.as_str()),
            origin: &template.origin,
            state,
            problem,
            warnings: self.deviations.warnings.get(&id).map_or(&[], Vec::as_slice),
            interface: Some(TemplateInterface(template)),
            is_built_in: self.is_built_in(template),
        }
    }

    pub(super) fn working(&self) -> impl Iterator<Item = &Arc<LazyTemplate>> {
        self.entries.all().filter_map(|(_, _, entry)| match entry {
            TemplateEntry::Working(template) => Some(template),
            TemplateEntry::Broken(_) => None,
        })
    }

    /// Why an unknown name may still be that of a template: an unreadable text may define it.
    pub(super) fn unread(&self) -> Option<Message> {
        self.unread.as_ref().map(LoadProblem::sentence)
    }

    /// Names of the cluster's templates that choose their pods themselves.
    pub(super) fn automatic(&self) -> &[String] {
        &self.automatic
    }
}

impl TemplateEntry {
    pub(super) fn is_automatic(&self) -> bool {
        matches!(self, Self::Working(template) if template.mode == InjectionMode::Automatic)
    }
}

/// Public details of a template.
#[derive(Clone, Copy, Debug)]
pub struct TemplateInfo<'a> {
    pub name: &'a str,
    /// The namespace of an `InjectionTemplate`.
    pub namespace: Option<&'a str>,
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
    /// The namespace of an `InjectionTemplate`.
    pub namespace: Option<&'a str>,
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
    /// Whether it is compiled in, so that any other template of its name takes its place.
    pub is_built_in: bool,
    /// What its author says to the authors of pods, if it is served.
    pub interface: Option<TemplateInterface<'a>>,
}

impl<'a> TemplateStatus<'a> {
    /// The status of a template of which nothing but its problem is known.
    fn broken(problem: &'a LoadProblem) -> Self {
        Self {
            name: problem.template.as_deref().unwrap_or_default(),
            namespace: None,
            revision: None,
            origin: &problem.origin,
            state: TemplateState::Invalid,
            problem: Some(problem),
            warnings: &[],
            is_built_in: false,
            interface: None,
        }
    }
}

/// What others may know of a template: its description, its parameters and sidecars, its revisions.
#[derive(Clone, Copy, Debug)]
pub struct TemplateInterface<'a>(&'a LazyTemplate);

impl<'a> TemplateInterface<'a> {
    /// `spec.description`.
    pub fn description(self) -> &'a str {
        &self.0.description
    }

    /// The spec as written.
    pub(crate) fn spec(self) -> Option<Value> {
        self.0.raw_spec()
    }

    /// Whether it chooses its pods itself.
    pub fn is_automatic(self) -> bool {
        self.0.mode == InjectionMode::Automatic
    }

    /// Names of its sidecars, as far as they do not depend on the pod.
    pub fn sidecars(self) -> &'a [String] {
        &self.0.sidecars
    }

    /// The revision that pods outside of a rollout get.
    pub fn stable_revision(self) -> &'a str {
        self.0.stable_revision().as_str()
    }

    /// The part of the pods that get the revision, if a rollout is under way.
    pub fn rollout_percent(self) -> Option<u8> {
        self.0.rollout_percent()
    }

    /// Whether a rollout is asked for and has no earlier revision to give to the other pods.
    pub fn lacks_stable_revision(self) -> bool {
        self.0.lacks_stable_revision()
    }

    /// The revisions that its object should keep, the newest first.
    pub fn kept_revisions(self) -> Vec<KeptRevision> {
        self.0.kept_revisions()
    }

    /// Whether a template of a namespace may take its place there.
    pub fn is_shadowable(self) -> bool {
        self.0.is_shadowable
    }

    /// The declared parameters as the template has them: name, type, default, rule, description.
    pub fn parameters(self) -> Vec<Value> {
        self.0.parameters()
    }
}
