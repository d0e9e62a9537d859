//! Finds Automatic templates that cannot be had together: their authors should learn of it before a
//! pod is refused.
//!
//! Invariant: it says nothing of two templates that no pod can get together: their labels, their
//! operating systems or their `excludes` rule it out.

use super::Preparation;
use super::app_containers::AppContainers;
use crate::inject::decision::RequestedTemplate;
use crate::inject::merge::{self, Controller, MergeContext, Parties, RenderedTemplate};
use crate::inject::template::Template;
use crate::inject::text::Message;

/// Two templates in conflict.
pub(in crate::inject) struct Overlap<'t> {
    pub templates: [&'t Template; 2],
    /// One line that names both, the path and both contents.
    pub message: Message,
}

impl<'t> Preparation<'t, '_> {
    /// The conflicts of these templates with each other, as far as they can be known without a pod.
    pub(in crate::inject) fn overlaps(&self, requested: &[RequestedTemplate<'t>]) -> Vec<Overlap<'t>> {
        let app = AppContainers::new(self, requested, &mut Vec::new());
        let templates = requested.iter().filter_map(|requested| requested.found.template());
        let candidates: Vec<RenderedTemplate<'t>> =
            templates.filter_map(|template| self.unconditional(template, &app)).collect();
        let context = MergeContext {
            native_sidecars: self.settings.native_sidecars,
            os: self.pod.operating_system(),
            controller: Controller::Other,
            is_restricted: false,
            has_default_priority: false,
        };
        let conflicts = merge::plan(self.pod, &[], &candidates, context).conflicts;
        let of_two = conflicts.into_iter().filter_map(|conflict| match conflict.parties {
            Parties::Templates(one, other) => {
                let templates = [candidates.get(one)?.template, candidates.get(other)?.template];
                Some(Overlap { templates, message: conflict.message })
            }
            Parties::TemplateAndPod(_) => None,
        });
        of_two.filter(|overlap| may_meet(overlap.templates)).collect()
    }
}

/// Whether a pod could get both.
fn may_meet([one, other]: [&Template; 2]) -> bool {
    let excludes = |one: &Template, other: &Template| one.spec.excludes.contains(&other.name);
    let (a, b) = (&one.matching, &other.matching);
    a.os.iter().any(|os| b.os.contains(os))
        && !a.pod_selector.is_disjoint_from(&b.pod_selector)
        && !a.namespace_selector.is_disjoint_from(&b.namespace_selector)
        && !excludes(one, other)
        && !excludes(other, one)
}
