//! Reports the outcome of loading templates to the log and to `/readyz?verbose`.
//!
//! Invariant: at most [`MAX_LINES`] lines, however many problems there are, and no values of a
//! template.

use std::collections::BTreeMap;

use crate::inject::{LoadProblem, TemplateSet, TemplateState, TemplateStatus};

/// Most names that one log line lists.
const MAX_NAMES: usize = 50;
/// Most problems logged for one load; `/readyz?verbose` lists the others.
const MAX_LINES: usize = 20;

/// The outcome of a load. It is logged only once nothing can fail any more, so that a failed start
/// logs its reason and nothing else.
#[derive(Default, PartialEq)]
pub(super) struct LoadReport {
    count: usize,
    invalid: usize,
    problems: Vec<String>,
    warnings: Vec<String>,
    /// Revisions by name.
    revisions: BTreeMap<String, String>,
    stale: Vec<String>,
}

impl LoadReport {
    pub(super) fn new(templates: &TemplateSet, problems: &[LoadProblem], warnings: &[LoadProblem]) -> Self {
        let texts = |problems: &[LoadProblem]| problems.iter().map(|problem| problem.sentence().redacted()).collect();
        let stale = |template: TemplateStatus<'_>| {
            let revision = template.revision.filter(|_| template.problem.is_some())?;
            let why = if template.state == TemplateState::Orphaned { "its source is gone or unreadable; " } else { "" };
            let name = shown(template.namespace, template.name);
            Some(format!("template {name:?}: {why}the last good revision {revision} is served"))
        };
        Self {
            count: templates.len(),
            invalid: templates.invalid(),
            problems: texts(problems),
            warnings: texts(warnings),
            revisions: templates
                .iter()
                .map(|template| (shown(template.namespace, template.name), template.revision.to_owned()))
                .collect(),
            stale: templates.all().filter_map(stale).collect(),
        }
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Logs everything, for the start.
    pub(super) fn log(&self) {
        self.log_problems(&Self::default());
        let names = listed(self.revisions.keys());
        tracing::info!(count = self.count, broken = self.invalid, names, "templates loaded");
        self.warn_if_empty();
    }

    /// Whether there were templates before and there are none now.
    pub(super) fn has_become_empty_since(&self, before: &Self) -> bool {
        self.count == 0 && before.count > 0
    }

    /// Logs the changes since `before`.
    pub(super) fn log_changes(&self, before: &Self) {
        self.log_problems(before);
        let added = listed(self.revisions.keys().filter(|name| !before.revisions.contains_key(*name)));
        let removed = listed(before.revisions.keys().filter(|name| !self.revisions.contains_key(*name)));
        let is_changed = |name: &str, revision: &String| before.revisions.get(name).is_some_and(|old| old != revision);
        let changed =
            listed(self.revisions.iter().filter(|(name, revision)| is_changed(name, revision)).map(|(name, _)| name));
        let (count, broken) = (self.count, self.invalid);
        if self.revisions != before.revisions || (count, broken) != (before.count, before.invalid) {
            tracing::info!(count, broken, added, changed, removed, "templates reloaded");
        }
        if !removed.is_empty() {
            tracing::warn!(removed, "templates were removed: pods that ask for them are refused");
        }
        self.warn_if_empty();
    }

    fn log_problems(&self, before: &Self) {
        for warning in new(&self.warnings, &before.warnings) {
            tracing::warn!(%warning, "template");
        }
        for problem in new(&self.problems, &before.problems) {
            tracing::error!(%problem, "broken template");
        }
        for stale in new(&self.stale, &before.stale) {
            tracing::warn!("{stale}");
        }
    }

    fn warn_if_empty(&self) {
        if self.count == 0 {
            tracing::warn!("there is no template to inject: every pod that requests one is denied");
        }
    }

    pub(super) fn details(&self) -> Vec<String> {
        let problems = self.problems.iter().map(|problem| format!("template {problem}"));
        problems.chain(self.stale.iter().cloned()).collect()
    }
}

/// A template's name, after that of its namespace if it has one.
fn shown(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

/// The lines that are not in `before`, limited to [`MAX_LINES`].
fn new<'l>(now: &'l [String], before: &[String]) -> impl Iterator<Item = String> + 'l {
    let before: std::collections::BTreeSet<&String> = before.iter().collect();
    let new: Vec<&String> = now.iter().filter(|line| !before.contains(*line)).collect();
    let more = new.len().saturating_sub(MAX_LINES);
    let rest = (more > 0).then(|| format!("and {more} more, which /readyz?verbose lists"));
    new.into_iter().take(MAX_LINES).cloned().chain(rest)
}

fn listed<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let shown = names[..names.len().min(MAX_NAMES)].join(",");
    let more = names.len().saturating_sub(MAX_NAMES);
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
