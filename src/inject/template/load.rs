//! Combines compiled sources into a [`TemplateSet`] and lists every problem with its line and
//! column.
//!
//! Invariants: a broken document does not affect others; the last good revision of a template is
//! served for as long as its source still names it, is unreadable, or is gone as a whole. A template
//! of one namespace never takes a name, or room, from one of the cluster or of another namespace.

use super::compile::{CompiledDocument, CompiledSource, LazyTemplate};
use super::set::{Deviations, Entries, TemplateEntry, TemplateId};
use super::{LoadProblem, SourceText, TemplateSet};
use crate::inject::text::{message, quote, value, words};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Result of [`TemplateSet::load`]: the set, and all errors and warnings.
pub struct Loaded {
    /// All templates that can be served.
    pub templates: TemplateSet,
    /// Errors; the templates concerned are in the set as broken ones.
    pub problems: Vec<LoadProblem>,
    /// Warnings about working templates, such as a container field that this build does not know.
    pub warnings: Vec<LoadProblem>,
}

impl Loaded {
    /// The errors; with `strict` the warnings too.
    pub fn faults(&self, strict: bool) -> impl Iterator<Item = &LoadProblem> {
        self.problems.iter().chain(self.warnings.iter().filter(move |_| strict))
    }
}

impl TemplateSet {
    /// Parses, checks and compiles all documents of all sources. Never fails as a whole.
    pub fn load(sources: &[SourceText]) -> Loaded {
        Self::assemble(&CompiledSource::compile_all(sources), &Self::default())
    }

    /// Builds the set that replaces `last`. A template that is broken now, or whose source is
    /// unreadable, keeps its last good revision. Never fails as a whole.
    pub fn assemble(sources: &[Arc<CompiledSource>], last: &Self) -> Loaded {
        let mut assembly = Assembly::default();
        let (fallback, own): (Vec<_>, Vec<_>) = sources.iter().partition(|source| source.is_fallback);
        // Templates of a source that is there win over those of a source that is gone.
        let (orphaned, present): (Vec<_>, Vec<_>) = own.into_iter().partition(|source| source.orphaned.is_some());
        for source in present {
            assembly.source(source, &BTreeSet::new(), last);
        }
        let mut of_fallback = BTreeSet::new();
        for (group, is_fallback) in [(orphaned, false), (fallback, true)] {
            let taken = assembly.taken(last);
            for source in group {
                let new = source.documents.iter().map(|document| document.id()).filter(|id| !taken.contains(id));
                of_fallback.extend(new.filter(|_| is_fallback).map(|id| id.name));
                assembly.source(source, &taken, last);
            }
        }
        let invalid = assembly.invalid();
        assembly.keep_last_good(last);
        let Assembly { entries, stale, orphaned, unread, problems, warnings, by_template, .. } = assembly;
        let deviations = Deviations { stale, orphaned, warnings: by_template };
        let templates = Self::new(entries, of_fallback, deviations, unread, invalid);
        Loaded { templates, problems, warnings }
    }
}

#[derive(Default)]
struct Assembly {
    entries: Entries,
    /// Why the last good revision is served, by template.
    stale: BTreeMap<TemplateId, LoadProblem>,
    /// Last good revisions that objects have kept.
    kept: Vec<Arc<LazyTemplate>>,
    /// Why sources are gone whose templates are served, by origin.
    orphaned: BTreeMap<String, LoadProblem>,
    /// Number of documents and files of which not even a name can be read.
    nameless: usize,
    /// Where each template is defined first.
    names: BTreeMap<TemplateId, String>,
    /// Templates that are defined twice.
    doubles: BTreeSet<TemplateId>,
    /// Sources that hide templates whose names cannot be read, and why.
    hiding: BTreeMap<String, LoadProblem>,
    /// The first unreadable text.
    unread: Option<LoadProblem>,
    problems: Vec<LoadProblem>,
    warnings: Vec<LoadProblem>,
    by_template: BTreeMap<TemplateId, Vec<LoadProblem>>,
}

impl Assembly {
    /// The templates that are defined, and those that an unreadable text may define: what it defined
    /// last.
    fn taken(&self, last: &TemplateSet) -> BTreeSet<TemplateId> {
        let hidden = last.working().filter(|template| self.hiding.contains_key(&template.origin));
        self.names.keys().cloned().chain(hidden.map(|template| TemplateId::of(template))).collect()
    }

    /// Adds the documents of a source, but for those that are `taken`.
    fn source(&mut self, source: &CompiledSource, taken: &BTreeSet<TemplateId>, last: &TemplateSet) {
        if let Some(problem) = &source.orphaned {
            self.orphaned.insert(source.origin.clone(), problem.clone());
        }
        for document in source.documents.iter().filter(|document| !taken.contains(&document.id())) {
            self.document(source, document);
        }
        // An empty file comes from a full disk or an editor that is saving, not from a removed
        // template.
        if source.is_blank && last.working().any(|template| template.origin == source.origin) {
            let message = "the file is empty; to remove its templates, remove the file";
            let problem = LoadProblem::of_source(&source.origin, message);
            self.hides(&source.origin, &problem);
            self.problems.push(problem);
        }
    }

    fn document(&mut self, source: &CompiledSource, document: &CompiledDocument) {
        let origin = &source.origin;
        self.warnings.extend(document.warnings.iter().cloned());
        if !document.warnings.is_empty() && !document.name.is_empty() {
            self.by_template.entry(document.id()).or_default().extend(document.warnings.iter().cloned());
        }
        let mut problems = document.problems.clone();
        problems.extend(self.register_name(source, document));
        problems.sort_by_key(|problem| (problem.line, problem.column));
        if !document.is_read && self.unread.is_none() {
            self.unread = problems.first().cloned();
        }
        match problems.first() {
            Some(problem) if document.name.is_empty() => self.hides(origin, problem),
            _ => self.named(origin, document, &mut problems),
        }
        self.problems.append(&mut problems);
    }

    /// A name that is defined twice is an error in both definitions, since either may be intended.
    fn register_name(&mut self, source: &CompiledSource, document: &CompiledDocument) -> Option<LoadProblem> {
        if document.name.is_empty() {
            return None;
        }
        let Some(place) = self.names.get(&document.id()) else {
            self.names.insert(document.id(), document.shown_place(&source.origin));
            return None;
        };
        self.doubles.insert(document.id());
        let name = value(quote(&document.name));
        let sentence =
            message!["the name ", name, " stands at ", words(place), " as well; neither of the two is taken"];
        Some(document.name_problem(&source.origin, sentence, message!["rename one of them"]))
    }

    fn named(&mut self, origin: &str, document: &CompiledDocument, problems: &mut Vec<LoadProblem>) {
        let is_known = self.entries.get(&document.scope, &document.name).is_some();
        if problems.is_empty()
            && !is_known
            && let Some(sentence) = self.entries.too_many(&document.scope)
        {
            problems.push(LoadProblem {
                template: Some(document.name.clone()),
                ..LoadProblem::of_source(origin, sentence)
            });
        }
        let entry = match (&document.template, problems.first()) {
            (Some(template), None) => TemplateEntry::Working(Arc::clone(template)),
            (_, Some(problem)) => TemplateEntry::Broken(Box::new(problem.clone())),
            (None, None) => return,
        };
        self.entries.insert(&document.scope, &document.name, entry);
        self.kept.extend(document.last_good.clone());
        // An object that was served before a file took its name too is served on, by every replica.
        if !problems.is_empty() && document.was_served {
            self.kept.extend(document.template.clone());
        }
    }

    /// The broken document's name is unreadable, so it may be any of the source's templates.
    fn hides(&mut self, origin: &str, problem: &LoadProblem) {
        self.nameless += 1;
        self.hiding.entry(origin.to_owned()).or_insert_with(|| problem.clone());
    }

    /// Number of broken documents and files; a template counts once.
    fn invalid(&self) -> usize {
        let broken = self.entries.all().filter(|(_, _, entry)| matches!(entry, TemplateEntry::Broken(_)));
        self.nameless + broken.count()
    }

    /// A template that is broken now keeps the revision of its own source: of the last set, or what its
    /// object has kept. Otherwise it keeps that of another source, but never a built-in one, which would
    /// be another template.
    fn keep_last_good(&mut self, last: &TemplateSet) {
        let kept = std::mem::take(&mut self.kept);
        let is_own = |template: &&Arc<LazyTemplate>| self.is_of_broken_source(template);
        let own: Vec<Arc<LazyTemplate>> = last.working().filter(is_own).cloned().collect();
        let others = last.working().filter(|template| !last.is_built_in(template));
        for template in own.iter().chain(&kept).chain(others) {
            let problem = match self.entries.get(&template.scope, &template.name) {
                Some(TemplateEntry::Working(_)) => continue,
                Some(TemplateEntry::Broken(problem)) => Some(&**problem),
                None => self.hiding.get(&template.origin),
            };
            if let Some(problem) = problem {
                self.stale.insert(TemplateId::of(template), problem.clone());
                let entry = TemplateEntry::Working(Arc::clone(template));
                self.entries.insert(&template.scope, &template.name, entry);
            }
        }
    }

    /// Whether the source of this template is the one that is broken now. Of two sources with one name
    /// neither is.
    fn is_of_broken_source(&self, template: &LazyTemplate) -> bool {
        match self.entries.get(&template.scope, &template.name) {
            Some(TemplateEntry::Broken(problem)) => {
                problem.origin == template.origin && !self.doubles.contains(&TemplateId::of(template))
            }
            Some(TemplateEntry::Working(_)) | None => false,
        }
    }
}
