//! Checks that the pod gets the templates that its templates require, and none that they exclude.
//!
//! Invariant: the set counts, not its order: all templates that the pod gets, Automatic ones and
//! those that it already has included.

use super::Preparation;
use crate::inject::decision::report::InjectionReport;
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::merge::RenderedTemplate;
use crate::inject::template::spec::OnError;
use crate::inject::text::{Message, message, quote, value, words};
use std::collections::BTreeSet;

/// A template that cannot be had because of another one.
struct Violation {
    /// Position among the candidates.
    candidate: usize,
    /// The two templates, sorted by name.
    pair: [String; 2],
    code: ErrorCode,
    message: Message,
}

impl<'t> Preparation<'t, '_> {
    /// Leaves out templates with `onError: Skip` that cannot be had beside the others, and returns
    /// the problems of the rest. `reported` has problems of templates that are no candidates because
    /// of them.
    pub(super) fn check_companions(
        &self,
        candidates: &mut Vec<RenderedTemplate<'t>>,
        reported: &[Problem],
        report: &mut InjectionReport,
    ) -> Vec<Problem> {
        loop {
            let violations = self.violations(candidates, reported);
            let may_be_skipped =
                |violation: &&Violation| candidates[violation.candidate].template.spec.on_error == OnError::Skip;
            // Automatic templates stand last, so they give way to those that the pod names.
            let Some(first) = violations.iter().rev().find(may_be_skipped).map(|violation| violation.candidate) else {
                return to_problems(violations, candidates);
            };
            for violation in violations.iter().filter(|violation| violation.candidate == first) {
                report.leave_out(&candidates[first].template.name, violation.code, &violation.message);
            }
            candidates.remove(first);
        }
    }

    fn violations(&self, candidates: &[RenderedTemplate<'t>], reported: &[Problem]) -> Vec<Violation> {
        let mut violations = Vec::new();
        let name_of = |candidate: &RenderedTemplate<'t>| candidate.template.name.as_str();
        let names_others = |candidate: &RenderedTemplate<'t>| {
            !candidate.template.spec.requires.is_empty() || !candidate.template.spec.excludes.is_empty()
        };
        if candidates.iter().any(names_others) {
            let had: BTreeSet<&str> = self.status.iter().map(|entry| entry.name.as_str()).collect();
            let failed: BTreeSet<&str> = reported.iter().filter_map(|problem| problem.template.as_deref()).collect();
            let gets = |name: &str| candidates.iter().any(|candidate| name_of(candidate) == name);
            let gets = |name: &str| gets(name) || had.contains(name) || failed.contains(name);
            for (index, candidate) in candidates.iter().enumerate() {
                let spec = &candidate.template.spec;
                let required = spec.requires.iter().filter(|name| !gets(name));
                violations.extend(required.map(|name| self.required(index, name_of(candidate), name)));
                let excluded = spec.excludes.iter().filter(|name| gets(name));
                violations.extend(excluded.map(|name| self.excluded(index, name_of(candidate), name)));
            }
        }
        // What an earlier pass injected stays, so the new template cannot be had.
        for entry in self.status.iter().filter(|_| !candidates.is_empty()) {
            // A status can name any number of templates, so none is compiled for it.
            let excludes = self.templates.excluded_by(&entry.name);
            let excluded = |name: &str| excludes.iter().any(|excluded| excluded == name);
            let positions = (0..candidates.len()).filter(|index| excluded(name_of(&candidates[*index])));
            violations.extend(positions.map(|index| self.excluded(index, &entry.name, name_of(&candidates[index]))));
        }
        violations
    }

    fn required(&self, candidate: usize, own: &str, other: &str) -> Violation {
        let requires = message!["template ", words(quote(own)), " requires template "];
        let message = match self.templates.knows(other) {
            true => {
                let missing = ", which the pod does not get; add it to the pod's annotation ";
                requires.with(words(quote(other))).with(missing).with(words(&self.keys.inject))
            }
            false => requires.with(value(quote(other))).with(", which does not exist; ask the author of the template"),
        };
        Violation { candidate, pair: pair(own, other), code: ErrorCode::TemplateRequired, message }
    }

    fn excluded(&self, candidate: usize, own: &str, other: &str) -> Violation {
        // A status can name any template.
        let other_name = if self.templates.knows(other) { words(quote(other)) } else { value(quote(other)) };
        let message = message![
            "template ",
            words(quote(own)),
            " excludes template ",
            other_name,
            ", and the pod gets both; keep one of the two in the pod's annotation ",
            words(&self.keys.inject),
        ];
        Violation { candidate, pair: pair(own, other), code: ErrorCode::TemplateExcluded, message }
    }
}

fn pair(one: &str, other: &str) -> [String; 2] {
    let mut pair = [one, other].map(str::to_owned);
    pair.sort();
    pair
}

/// Two templates that exclude each other are reported once.
fn to_problems(violations: Vec<Violation>, candidates: &[RenderedTemplate<'_>]) -> Vec<Problem> {
    let mut excluded = BTreeSet::new();
    let mut problems = Vec::new();
    for Violation { candidate, pair, code, message } in violations {
        if code == ErrorCode::TemplateExcluded && !excluded.insert(pair) {
            continue;
        }
        let template = candidates.get(candidate).map(|candidate| candidate.template.name.clone());
        problems.push(Problem { template, ..Problem::new(code, message) });
    }
    problems
}
