//! Checks the keys of a pod's annotations and labels that nothing reads.
//!
//! Only a pod that gets or requests templates is refused for a misspelt key: it would run otherwise
//! than its author means.

use super::Preparation;
use crate::inject::decision::keys::{KeyCheck, KeyPlace};
use crate::inject::decision::report::InjectionReport;
use crate::inject::decision::{RequestedBy, RequestedTemplate};
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::merge::RenderedTemplate;

impl<'t> Preparation<'t, '_> {
    /// Warns of keys that nothing reads. Returns a problem for each that its author must have meant
    /// for one that is read.
    pub(super) fn check_keys(
        &self,
        requested: &[RequestedTemplate<'t>],
        candidates: &[RenderedTemplate<'t>],
        report: &mut InjectionReport,
    ) -> Vec<Problem> {
        let requests_some = requested.iter().any(|one| one.by == RequestedBy::Pod);
        if !requests_some && candidates.is_empty() && report.already_injected.is_empty() {
            return Vec::new();
        }
        let names = self.names_in_use(requested, candidates);
        let check = KeyCheck::new(self.keys, &self.templates, &names);
        let annotations = check.unread(KeyPlace::PodAnnotation, self.pod.annotations().map(|(key, _)| key));
        let labels = check.unread(KeyPlace::PodLabel, self.pod.label_keys());
        let mut problems = Vec::new();
        for key in annotations.into_iter().chain(labels) {
            let sentence = key.sentence();
            if key.is_error() {
                let problem = Problem::new(ErrorCode::AnnotationUnknown, sentence);
                problems.push(Problem { annotation: Some(key.key), ..problem });
            } else {
                report.warn_of_key(&sentence);
            }
        }
        problems
    }

    /// Names of the templates whose parameters the pod may set: those that it or its namespace
    /// requests, that it has, and of the Automatic ones those that match.
    fn names_in_use<'n>(
        &'n self,
        requested: &'n [RequestedTemplate<'t>],
        candidates: &'n [RenderedTemplate<'t>],
    ) -> Vec<&'n str> {
        let named = requested.iter().filter(|one| one.by != RequestedBy::Template).map(|one| one.name.as_str());
        let rendered = candidates.iter().map(|candidate| candidate.template.name.as_str());
        named.chain(rendered).chain(self.status.iter().map(|entry| entry.name.as_str())).collect()
    }
}
