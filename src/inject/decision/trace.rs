//! Tells what the decision looked at: the request, the pod's head, the namespace, the lists.
//!
//! Invariant: what holds is asked of the functions that decide.

use super::{Decider, InjectionLabel, RequestedBy, RequestedTemplate, rollout};
use crate::inject::annotations::{self, TemplateRequest};
use crate::inject::outcome::SkipReason;
use crate::inject::outcome::trace::{Check, TraceRequester};
use crate::inject::pod::PodHead;
use crate::inject::request::Request;
use crate::inject::text::quote;

/// The value of an annotation or label in quotes, or that there is none.
fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "absent".to_owned(), quote)
}

/// The checks of the request.
pub(in crate::inject) fn request_checks(request: &Request<'_>) -> Vec<Check> {
    let reasons = super::of_request(request);
    let group = if request.group.is_empty() { String::new() } else { format!(".{}", request.group) };
    let sub = if request.sub_resource.is_empty() { String::new() } else { format!("/{}", request.sub_resource) };
    let resource = format!("{}{group}{sub}", request.resource);
    vec![
        Check::of("resource is pods", quote(&resource), !reasons.contains(&SkipReason::UnsupportedResource)),
        Check::of(
            "operation is CREATE",
            quote(request.operation),
            !reasons.contains(&SkipReason::UnsupportedOperation),
        ),
    ]
}

impl RequestedBy {
    /// The same for a trace.
    pub(in crate::inject) const fn traced(self) -> TraceRequester {
        match self {
            Self::Pod => TraceRequester::Pod,
            Self::Namespace => TraceRequester::Namespace,
            Self::Template => TraceRequester::Template,
        }
    }
}

impl<'a> Decider<'a> {
    fn holds_against(&self, head: &PodHead<'_>, reason: SkipReason) -> bool {
        !self.reasons_against(head, &self.own_request(head)).contains(&reason)
    }

    /// The checks of the pod itself. `reasons` are those of the decision.
    pub(in crate::inject) fn pod_checks(&self, head: &PodHead<'_>, reasons: &[SkipReason]) -> Vec<Check> {
        let mirror = head.annotation(annotations::MIRROR_POD);
        let os = head.operating_system().name();
        let fits = !reasons.contains(&SkipReason::WindowsPod);
        vec![
            Check::of("no mirror pod", shown(mirror), self.holds_against(head, SkipReason::MirrorPod)),
            Check::of("operating system has a template", os, fits),
        ]
    }

    /// The checks of the namespace.
    pub(in crate::inject) fn namespace_checks(&self, head: &PodHead<'_>) -> Vec<Check> {
        let excluded = self.settings.excluded_namespaces.join(", ");
        let label = match self.injection_label() {
            InjectionLabel::Enabled => quote("enabled"),
            InjectionLabel::Disabled => quote("disabled"),
            InjectionLabel::Other(other) => format!("{} (no effect)", quote(other)),
            InjectionLabel::Absent => "absent".to_owned(),
            InjectionLabel::Unknown => "not known".to_owned(),
        };
        vec![
            Check::of(
                format!("not excluded ({excluded})"),
                quote(self.request.namespace),
                self.holds_against(head, SkipReason::NamespaceExcluded),
            ),
            Check::of(
                format!("label {} not \"disabled\"", self.keys.injection),
                label,
                self.holds_against(head, SkipReason::NamespaceDisabled),
            ),
        ]
    }

    /// The check of the pod's opt-out.
    pub(in crate::inject) fn opt_out_checks(&self, head: &PodHead<'_>) -> Vec<Check> {
        let found = shown(head.annotation(&self.keys.inject));
        let what = format!("annotation {} not \"false\"", self.keys.inject);
        vec![Check::of(what, found, self.holds_against(head, SkipReason::OptedOut))]
    }

    /// The lists that were read, and the Automatic templates that were looked at.
    pub(in crate::inject) fn list_checks(&self, head: &PodHead<'_>, requests_some: bool) -> Vec<Check> {
        let own = head.annotation(&self.keys.inject);
        let mut checks = vec![Check::told(format!("pod's annotation {}", self.keys.inject), shown(own))];
        let takes_part = self.injection_label() == InjectionLabel::Enabled;
        match self.request.namespace_object {
            None => checks.push(Check::told("namespace's list", "not known: its labels and annotations are not known")),
            Some(namespace) => {
                let list = shown(namespace.annotations.get(&self.keys.inject).map(String::as_str));
                let use_ = match (own.is_some(), takes_part) {
                    (true, _) => " (the pod's list counts)",
                    (false, true) => "",
                    (false, false) => " (not used: the namespace is not enabled)",
                };
                checks.push(Check::told(format!("namespace's annotation {}", self.keys.inject), list + use_));
            }
        }
        let automatic = self.templates.automatic();
        if !automatic.is_empty() {
            let use_ = match (self.own_request(head), takes_part) {
                (Ok(Some(TemplateRequest::OptOut)), _) => " (not looked at: the pod opts out)",
                (_, true) => " (looked at below)",
                (_, false) => " (not looked at: the namespace is not enabled)",
            };
            checks.push(Check::told("Automatic templates", automatic.join(", ") + use_));
        }
        checks.push(Check::of("a template is requested", if requests_some { "yes" } else { "none" }, requests_some));
        checks
    }

    /// What is found under the name of a requested template.
    pub(in crate::inject) fn existence_checks(&self, requested: &RequestedTemplate<'_>) -> Vec<Check> {
        use crate::inject::template::Found;
        let name = &requested.name;
        let mut checks = vec![match &requested.found {
            Found::Working(template) => {
                let kind = match template.scope.namespace() {
                    Some(namespace) => format!("InjectionTemplate of namespace {}", quote(namespace)),
                    None => "ClusterInjectionTemplate".to_owned(),
                };
                Check::of("exists", format!("{kind}, from {}", template.origin), true)
            }
            Found::Broken(why) => Check::of("exists", format!("it does not load: {why}"), false),
            Found::RevisionGone(known) => Check::of("exists", format!("only revisions {}", known.join(", ")), false),
            Found::Unknown => Check::of("exists", "no template of this name", false),
        }];
        if let Some(sentence) = self.templates.hidden(name) {
            checks.push(Check::told("namespace's own", sentence.to_string()));
        } else if self.templates.shadows(name) {
            checks.push(Check::told("namespace's own", "takes the place of the cluster's template"));
        }
        if let Some(revision) = &requested.revision {
            checks.push(Check::told("pinned revision", revision.to_string()));
        } else if let Some((percent, current, stable)) = self.templates.rollout(name) {
            let slot = rollout::slot(name, self.request).0;
            let (is, gets) = if slot < percent { ("below", current) } else { ("not below", stable) };
            checks.push(Check::told(
                format!("rollout to {percent} %"),
                format!("this pod's part {slot} is {is} {percent}: revision {gets}"),
            ));
        }
        checks
    }
}
