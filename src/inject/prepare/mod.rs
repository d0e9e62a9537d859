//! Checks which of the requested templates the pod can have, and renders those.
//!
//! Invariant: all problems of all templates are collected before the pod is refused.

mod app_containers;
mod candidate;
mod companions;
mod conditions;
mod files;
mod from_app;
mod keys;
mod not_found;
pub(super) mod overlaps;
mod parameters;
mod plan;
mod problems;
#[cfg(feature = "runtime")]
pub(super) mod selection;
mod share;
mod tenancy;
pub(super) mod trace;

use self::app_containers::AppContainers;
use super::annotations::AnnotationKeys;
use super::decision::report::{InjectionReport, annotation_problem};
use super::decision::{RequestedBy, RequestedTemplate};
use super::error::{Blame, ErrorCode, InjectError, Problem};
use super::merge::{RenderedTemplate, memory_limit};
use super::outcome::SkipReason;
use super::pod::{AUTO, ContainerList, PodDocument};
use super::request::Request;
use super::settings::{MissingDefaults, Settings};
use super::status::StatusEntry;
use super::template::spec::OnError;
use super::template::{Found, Template, VisibleTemplates};
use super::text::json::text;
use super::text::{Message, message, quote, value, words};
use std::collections::BTreeSet;

/// The inputs of the preparation: the pod, the request and the injector's settings.
pub(super) struct Preparation<'t, 'p> {
    pub settings: &'t Settings,
    pub keys: &'t AnnotationKeys,
    pub templates: VisibleTemplates<'t>,
    pub request: &'p Request<'p>,
    pub pod: &'p PodDocument,
    pub status: &'p [StatusEntry],
    /// Names of the templates that the pod asks for, and of those that it has.
    pub names: &'p [&'p str],
}

/// Why a requested template cannot be injected.
enum PrepareError {
    /// The template's `match` does not select the pod, for this reason.
    NotAllowed(Message),
    Problems(Vec<Problem>),
}

impl<'t> Preparation<'t, '_> {
    /// Renders the templates to inject.
    pub(super) fn prepare(
        &self,
        requested: &[RequestedTemplate<'t>],
        report: &mut InjectionReport,
    ) -> Result<Vec<RenderedTemplate<'t>>, InjectError> {
        let mut problems = Vec::new();
        let mut templates = Vec::new();
        for requested in requested {
            let resolved = self.resolve(requested, report, &mut problems);
            templates.extend(resolved.map(|template| (template, requested.by)));
        }
        if templates.is_empty() && problems.is_empty() {
            // The pod gets nothing more, so nothing in it can be wrong for a template.
            problems.extend(self.check_keys(requested, &[], report));
            problems.extend(self.unclaimed(&[]));
            return if problems.is_empty() { Ok(Vec::new()) } else { Err(InjectError::from(problems)) };
        }
        let app = AppContainers::new(self, requested, &mut problems);
        let mut candidates = Vec::new();
        for (template, by) in templates {
            match self.candidate(template, &app, &mut report.warnings) {
                Ok(candidate) => candidates.push(candidate),
                Err(error) => {
                    let found = self.problems_of(template, by, error);
                    leave_out_or_report(template, found, report, &mut problems);
                }
            }
        }
        let incompatible = self.check_companions(&mut candidates, &problems, report);
        problems.extend(incompatible);
        problems.extend(self.check_keys(requested, &candidates, report));
        problems.extend(self.unclaimed(&candidates));
        problems.extend(memory_limit::check(&candidates));
        if problems.is_empty() { Ok(candidates) } else { Err(InjectError::from(problems)) }
    }

    /// The template of this name, unless the pod already has it.
    fn resolve(
        &self,
        requested: &RequestedTemplate<'t>,
        report: &mut InjectionReport,
        problems: &mut Vec<Problem>,
    ) -> Option<&'t Template> {
        let name = &requested.name;
        if let Some(done) = self.status.iter().find(|entry| entry.name == *name) {
            if let Some(template) = requested.found.template()
                && template.revision != done.revision
            {
                let other = if requested.revision.is_some() { "the one it asks for" } else { "the current one" };
                report.warnings.push(format!(
                    "template {}: the pod has revision {}, {other} is {}",
                    quote(name),
                    quote(done.revision.as_str()),
                    template.revision
                ));
            }
            report.already_injected.push(name.clone());
            return None;
        }
        report.warnings.extend(self.templates.hidden(name).map(|sentence| sentence.to_string()));
        match &requested.found {
            Found::Working(template) => return Some(template),
            Found::Broken(why) => {
                let of = self.of_requester(requested.by);
                let why = message!["template ", words(quote(name)), " cannot be used: ", why.clone()];
                let problem = annotation_problem(ErrorCode::TemplateBroken, &self.keys.inject, of, why);
                let problem = Problem { template: Some(name.clone()), ..problem };
                self.leave_out_default(requested.by, problem, report, problems);
            }
            Found::RevisionGone(known) => {
                let problem = self.revision_not_found(requested, known);
                self.leave_out_default(requested.by, problem, report, problems);
            }
            Found::Unknown => {
                let problem = self.not_found(requested, problems.len());
                self.leave_out_default(requested.by, problem, report, problems);
            }
        }
        None
    }

    /// Reports the problem of a template that cannot be had. A pod that does not request it itself
    /// is not refused, unless the operator wants that.
    fn leave_out_default(
        &self,
        by: RequestedBy,
        problem: Problem,
        report: &mut InjectionReport,
        problems: &mut Vec<Problem>,
    ) {
        if by != RequestedBy::Namespace || self.settings.missing_defaults == MissingDefaults::Reject {
            problems.push(problem);
            return;
        }
        let reason = match problem.code {
            ErrorCode::TemplateBroken => SkipReason::DefaultTemplateBroken,
            _ => SkipReason::DefaultTemplateMissing,
        };
        report.warn_of(reason, &problem.message);
    }

    /// Containers that are filled from a template's container of the same name.
    fn auto_containers(&self) -> impl Iterator<Item = &str> {
        let all = [ContainerList::Containers, ContainerList::InitContainers].map(|list| self.pod.containers(list));
        let auto = all.into_iter().flatten().filter(|container| text(container, "image") == AUTO);
        auto.map(|container| text(container, "name"))
    }

    /// The problems to report. An Automatic template that does not match is not a problem.
    fn problems_of(&self, template: &Template, by: RequestedBy, error: PrepareError) -> Vec<Problem> {
        let is_automatic = by == RequestedBy::Template;
        match error {
            PrepareError::NotAllowed(_) if is_automatic => Vec::new(),
            PrepareError::NotAllowed(why) => {
                let why = message!["template ", words(quote(&template.name)), " is not for this pod: ", why];
                let of = self.of_requester(by);
                let problem = annotation_problem(ErrorCode::TemplateNotAllowed, &self.keys.inject, of, why);
                vec![Problem { template: Some(template.name.clone()), ..problem }]
            }
            // A condition that reads a key that the pod lacks does not match.
            PrepareError::Problems(found)
                if is_automatic && found.iter().all(|one| one.code == ErrorCode::ExpressionMissingKey) =>
            {
                Vec::new()
            }
            PrepareError::Problems(found) => found,
        }
    }

    /// Problems of containers with `image: auto` that no template fills.
    fn unclaimed(&self, candidates: &[RenderedTemplate<'_>]) -> Vec<Problem> {
        let claimed: BTreeSet<&str> = container_names(candidates).collect();
        let unclaimed = self.auto_containers().filter(|name| !claimed.contains(*name));
        unclaimed
            .map(|name| {
                let name = value(quote(name));
                let why = " has \"image: auto\", but no template that the pod gets has a container of this name";
                Problem::new(ErrorCode::AutoContainerUnclaimed, message!["container ", name, why])
            })
            .collect()
    }
}

/// Reports the problems. They become warnings if the template's `onError` is `Skip` and the pod's
/// author can fix all of them.
fn leave_out_or_report(
    template: &Template,
    found: Vec<Problem>,
    report: &mut InjectionReport,
    problems: &mut Vec<Problem>,
) {
    let is_fixable = found.iter().all(|problem| problem.code.blame() == Blame::Pod);
    if template.spec.on_error == OnError::Skip && is_fixable {
        for problem in found {
            report.leave_out(&template.name, problem.code, &problem.message);
        }
    } else {
        problems.extend(found);
    }
}

fn container_names<'c>(candidates: &'c [RenderedTemplate<'_>]) -> impl Iterator<Item = &'c str> {
    candidates.iter().flat_map(|candidate| candidate.overlay.container_names())
}
