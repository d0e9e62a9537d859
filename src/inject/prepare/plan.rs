//! Plans the merge of all templates, and leaves out those that conflict and have `onError: Skip`.

use super::{Preparation, container_names};
use crate::inject::annotations::{DEFAULT_CONTAINER, POD_SECURITY};
use crate::inject::commit::PlannedInjection;
use crate::inject::decision::report::InjectionReport;
use crate::inject::error::{ErrorCode, InjectError, Problem};
use crate::inject::merge::{self, Conflict, Controller, MergeContext, Parties, Plan, RenderedTemplate, Subject};
use crate::inject::pod::{ContainerList, managed_fields};
use crate::inject::schema::merge_keys::clean_path;
use crate::inject::status::StatusEntry;
use crate::inject::template::Template;
use crate::inject::template::spec::OnError;
use crate::inject::text::json::text;
use crate::inject::text::{Message, message, words};
use std::collections::BTreeSet;

impl<'t> Preparation<'t, '_> {
    /// Plans the merge. A conflict is an error, unless one of its templates may be skipped.
    pub(crate) fn plan(
        &self,
        candidates: Vec<RenderedTemplate<'t>>,
        report: &mut InjectionReport,
    ) -> Result<PlannedInjection<'t>, InjectError> {
        let (candidates, plan) = self.without_conflicts(candidates, report)?;
        report.warnings.extend(plan.warnings.iter().map(ToString::to_string));
        let unchanged = plan.entries.iter().zip(&candidates).enumerate();
        for (_, (entry, candidate)) in unchanged.filter(|(index, _)| !plan.changes_for(*index)) {
            if candidate.is_blank() {
                report.has_nothing_to_add = true;
            } else {
                report.already_injected.push(entry.name.clone());
            }
        }
        let default_container = self.default_container(&candidates).map(str::to_owned);
        Ok(PlannedInjection { candidates, plan, default_container })
    }

    /// Plans the merge. As long as a template conflicts and may be skipped, plans again without it.
    fn without_conflicts(
        &self,
        mut candidates: Vec<RenderedTemplate<'t>>,
        report: &mut InjectionReport,
    ) -> Result<(Vec<RenderedTemplate<'t>>, Plan), InjectError> {
        let is_job = self.request.owner_kind == Some("Job") || self.pod.is_owned_by_job();
        let context = MergeContext {
            native_sidecars: self.settings.native_sidecars,
            os: self.pod.operating_system(),
            controller: if is_job { Controller::Job } else { Controller::Other },
            is_restricted: self
                .request
                .namespace_object
                .is_some_and(|namespace| namespace.labels.get(POD_SECURITY).is_some_and(|level| level == "restricted")),
            has_default_priority: self.has_default_priority(&candidates),
        };
        loop {
            let plan = merge::plan(self.pod, self.status, &candidates, context);
            if plan.conflicts.is_empty() {
                // The template that fills a container with `image: auto` may have been skipped.
                let unclaimed = self.unclaimed(&candidates);
                return if unclaimed.is_empty() { Ok((candidates, plan)) } else { Err(InjectError::from(unclaimed)) };
            }
            let with_pod = |index: usize| {
                plan.conflicts.iter().filter(move |conflict| conflict.parties == Parties::TemplateAndPod(index))
            };
            let may_be_skipped = |index: &usize| {
                candidates[*index].template.spec.on_error == OnError::Skip && with_pod(*index).next().is_some()
            };
            let Some(index) = (0..candidates.len()).find(may_be_skipped) else {
                let problems = plan.conflicts.iter().map(|conflict| self.conflict_problem(conflict, &candidates));
                return Err(InjectError::from(problems.collect::<Vec<_>>()));
            };
            for conflict in with_pod(index) {
                report.leave_out(&candidates[index].template.name, ErrorCode::Conflict, &conflict.message);
            }
            candidates.remove(index);
            // Others may require the template that is left out.
            let problems = self.check_companions(&mut candidates, &[], report);
            if !problems.is_empty() {
                return Err(InjectError::from(problems));
            }
        }
    }

    /// Whether the API server has set the pod's priority class. Before it calls webhooks, it lists in
    /// `managedFields` what the author wrote, but not what its plugins set.
    fn has_default_priority(&self, candidates: &[RenderedTemplate<'_>]) -> bool {
        const CLASS: &str = "priorityClassName";
        let has_class = self.pod.spec_field(CLASS).is_some_and(|class| class != "");
        has_class
            && candidates.iter().any(|candidate| candidate.overlay.pod_fields().contains_key(CLASS))
            && managed_fields::lists(self.request.object, CLASS) == Some(false)
    }

    /// The app's first container, unless the pod or a template already names one.
    fn default_container(&self, candidates: &[RenderedTemplate<'_>]) -> Option<&str> {
        let named = candidates.iter().any(|candidate| candidate.overlay.annotations().contains_key(DEFAULT_CONTAINER));
        if named || self.pod.annotation(DEFAULT_CONTAINER).is_some() {
            return None;
        }
        let mut foreign: BTreeSet<&str> = self.status.iter().flat_map(StatusEntry::container_names).collect();
        foreign.extend(self.auto_containers());
        foreign.extend(container_names(candidates));
        let mut own = self.pod.containers(ContainerList::Containers).iter().map(|container| text(container, "name"));
        own.find(|name| !foreign.contains(*name))
    }

    fn conflict_problem(&self, conflict: &Conflict, candidates: &[RenderedTemplate<'_>]) -> Problem {
        let index = match conflict.parties {
            Parties::TemplateAndPod(index) | Parties::Templates(_, index) => index,
        };
        let template = candidates.get(index).map(|candidate| candidate.template);
        let advice = template.and_then(|template| match &conflict.subject {
            Subject::MountPath(path) => self.advice_about_mount(template, path),
            Subject::Port(port) => self.advice_about_port(template, *port),
            Subject::Other => None,
        });
        let message = conflict.message.clone().with(advice.unwrap_or_default());
        Problem {
            template: template.map(|template| template.name.clone()),
            ..Problem::new(ErrorCode::Conflict, message)
        }
    }

    /// If a parameter of the template has this mount path as its value, another value avoids the
    /// conflict.
    pub(super) fn advice_about_mount(&self, template: &Template, path: &str) -> Option<Message> {
        let key = self.parameter_with(template, |text| clean_path(text) == path)?;
        Some(message!["; set the annotation ", words(key), " to a path at which nothing is mounted"])
    }

    /// The same for a port.
    fn advice_about_port(&self, template: &Template, port: i64) -> Option<Message> {
        let port = port.to_string();
        let key = self.parameter_with(template, |text| text.trim() == port)?;
        Some(message!["; set the annotation ", words(key), " to another port"])
    }

    /// The annotation of the first parameter that has such a value for this pod.
    fn parameter_with(&self, template: &Template, is_it: impl Fn(&str) -> bool) -> Option<String> {
        let keys = template.parameters.iter().map(|parameter| {
            let key = self.keys.parameter(&template.name, parameter.name());
            let has_it = match (self.pod.annotation(&key), template.defaults.get(parameter.name())) {
                (Some(own), _) => is_it(own),
                (None, Some(cel::Value::String(default))) => is_it(default),
                (None, Some(cel::Value::Int(default))) => is_it(&default.to_string()),
                (None, _) => false,
            };
            has_it.then_some(key)
        });
        keys.flatten().next()
    }
}
