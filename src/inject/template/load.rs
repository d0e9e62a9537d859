//! From parsed sources to a [`TemplateSet`], with every problem listed in its place.
//!
//! Invariants: a broken document takes no other with it; what was good once goes on in its last good revision for as long as
//! its source still names it, or cannot be read.

use super::parsed::{ParsedDocument, ParsedSource, without_place};
use super::{Broken, Entry, LoadProblem, Loaded, TemplateSet};
use crate::inject::text::field::quote;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most templates of one set.
pub const MAX_TEMPLATES: usize = 5_000;

/// Puts the sources together, after `last` was served.
pub(super) fn assemble(sources: &[Arc<ParsedSource>], last: &TemplateSet) -> Loaded {
    let mut assembly = Assembly::default();
    for source in sources {
        assembly.source(source, last);
    }
    let invalid = assembly.invalid();
    assembly.keep_last_good(last);
    let Assembly { entries, stale, unread, problems, warnings, .. } = assembly;
    Loaded { templates: TemplateSet::new(entries, stale, unread, invalid), problems, warnings }
}

#[derive(Default)]
struct Assembly {
    entries: BTreeMap<String, Entry>,
    /// Why the last good revision is served, by name of the template.
    stale: BTreeMap<String, String>,
    /// Number of documents and files of which not even a name can be read.
    nameless: usize,
    /// Where each name was seen first.
    places: BTreeMap<String, Seen>,
    /// Sources that hide templates whose names cannot be read, and why.
    hiding: BTreeMap<String, String>,
    /// The first text that could not be read at all.
    unread: Option<String>,
    problems: Vec<LoadProblem>,
    warnings: Vec<LoadProblem>,
}

/// Where a name was seen, and how its source can be done without.
struct Seen {
    place: String,
    remedy: Option<&'static str>,
}

impl Assembly {
    fn source(&mut self, source: &ParsedSource, last: &TemplateSet) {
        for document in &source.documents {
            self.document(source, document);
        }
        // A full disk, or an editor at work, leaves an empty file behind; nobody removes templates like that.
        if source.is_blank && last.ready().any(|template| template.origin == source.origin) {
            let message = "the file is empty; to remove its templates, remove the file".to_owned();
            let problem = without_place(&source.origin, message);
            self.hides(&source.origin, &problem);
            self.problems.push(problem);
        }
    }

    fn document(&mut self, source: &ParsedSource, document: &ParsedDocument) {
        let origin = &source.origin;
        self.warnings.extend(document.warnings.iter().cloned());
        let mut problems = document.problems.clone();
        problems.extend(self.register_name(source, document));
        problems.sort_by_key(|problem| (problem.line, problem.column));
        if !document.is_read && self.unread.is_none() {
            self.unread = problems.first().map(ToString::to_string);
        }
        match problems.first() {
            Some(problem) if document.name.is_empty() => self.hides(origin, problem),
            _ => self.named(origin, document, &mut problems),
        }
        self.problems.append(&mut problems);
    }

    /// One name in two places is wrong in both: which of them would be meant?
    fn register_name(&mut self, source: &ParsedSource, document: &ParsedDocument) -> Option<LoadProblem> {
        if document.name.is_empty() {
            return None;
        }
        let Some(Seen { place, remedy }) = self.places.get(&document.name) else {
            let place = document.shown_place(&source.origin);
            self.places.insert(document.name.clone(), Seen { place, remedy: source.remedy });
            return None;
        };
        let message =
            format!("the name {} stands at {place} as well; neither of the two is taken", quote(&document.name));
        let remedy = remedy.or(source.remedy).map(|remedy| format!(", or {remedy}")).unwrap_or_default();
        Some(document.name_problem(&source.origin, message, format!("rename one of them{remedy}")))
    }

    fn named(&mut self, origin: &str, document: &ParsedDocument, problems: &mut Vec<LoadProblem>) {
        let is_known = self.entries.contains_key(&document.name);
        if problems.is_empty() && !is_known && self.entries.len() >= MAX_TEMPLATES {
            problems.push(without_place(origin, format!("more than {MAX_TEMPLATES} templates")));
        }
        let entry = match (&document.template, problems.first()) {
            (Some(template), None) => Entry::Ready(Arc::clone(template)),
            (_, Some(problem)) => Entry::Broken(Broken { origin: origin.to_owned(), problem: problem.to_string() }),
            (None, None) => return,
        };
        self.entries.insert(document.name.clone(), entry);
    }

    /// Not even the name of what is wrong is known, so it may be any of the source's templates.
    fn hides(&mut self, origin: &str, problem: &LoadProblem) {
        self.nameless += 1;
        self.hiding.entry(origin.to_owned()).or_insert_with(|| problem.to_string());
    }

    /// Number of documents and files that are wrong; a name counts once.
    fn invalid(&self) -> usize {
        self.nameless + self.entries.values().filter(|entry| matches!(entry, Entry::Broken(_))).count()
    }

    fn keep_last_good(&mut self, last: &TemplateSet) {
        for template in last.ready() {
            let problem = match self.entries.get(&template.name) {
                Some(Entry::Ready(_)) => continue,
                Some(Entry::Broken(broken)) => Some(&broken.problem),
                None => self.hiding.get(&template.origin),
            };
            if let Some(problem) = problem {
                self.stale.insert(template.name.clone(), problem.clone());
                self.entries.insert(template.name.clone(), Entry::Ready(Arc::clone(template)));
            }
        }
    }
}
