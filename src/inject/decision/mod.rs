//! Decides from the head of a pod which templates are requested for it, or why it is skipped.
//!
//! `prepare` checks later whether a template's `match` selects the pod.
//! Invariant: all reasons that apply are collected, not just the first.

#[allow(dead_code, reason = "the steps of the injection and the commands use it next")]
pub(super) mod keys;
pub(super) mod report;

use super::annotations::{self, AnnotationKeys};
use super::error::{ErrorCode, InjectError, Problem};
use super::outcome::SkipReason;
use super::pod::read_set::ReadSet;
use super::pod::{OperatingSystem, PodHead};
use super::request::{Namespace, Request};
use super::template::{Template, TemplateSet};
use super::text::{Message, message, quote, value, words};

/// Which templates are requested for a pod, if any.
pub(super) enum Decision<'t> {
    Inject {
        /// At least one template, each once, in the order in which they are injected.
        requested: Vec<RequestedTemplate<'t>>,
        /// The fields of the pod that each template can read; `None` if one can read all fields.
        read_sets: Option<Vec<&'t ReadSet>>,
    },
    /// No template, for at least one reason.
    Skip(Vec<SkipReason>),
}

/// A template that is requested for a pod. It need not exist.
pub(super) struct RequestedTemplate<'t> {
    pub name: String,
    pub by: RequestedBy,
    /// The template of this name, if there is one.
    pub found: Option<Result<&'t Template, Message>>,
}

/// The party that requests a template for a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestedBy {
    Pod,
    /// The pod's namespace, in its default list.
    Namespace,
    /// The template itself: its injection is `Automatic`.
    Template,
}

/// The reasons to skip that the request alone gives, without its object: only new pods are
/// injected.
pub(super) fn of_request(request: &Request<'_>) -> Vec<SkipReason> {
    let mut reasons = Vec::new();
    if !request.group.is_empty() || request.resource != "pods" || !request.sub_resource.is_empty() {
        reasons.push(SkipReason::UnsupportedResource);
    }
    if request.operation != "CREATE" {
        reasons.push(SkipReason::UnsupportedOperation);
    }
    reasons
}

/// The inputs of a decision besides the pod.
pub(super) struct Decider<'a> {
    pub keys: &'a AnnotationKeys,
    pub request: &'a Request<'a>,
    pub excluded_namespaces: &'a [String],
    pub templates: &'a TemplateSet,
}

impl<'a> Decider<'a> {
    /// Decides about the pod with this head. A list of templates that cannot be parsed is an error.
    pub(super) fn decide(&self, head: &PodHead<'_>) -> Result<Decision<'a>, InjectError> {
        let mut reasons = self.reasons_against(head);
        let own = head.annotation(&self.keys.inject).map(annotations::parse_template_request).transpose();
        if own == Ok(Some(annotations::TemplateRequest::OptOut)) {
            reasons.push(SkipReason::OptedOut);
        }
        let requested = own.map_err(|why| self.bad_annotation(why, None)).and_then(|own| self.requested(own));
        let requested = match requested {
            Ok(requested) => requested,
            // Nothing is injected anyway, so the list does not matter.
            Err(_) if !reasons.is_empty() => return Ok(Decision::Skip(reasons)),
            Err(problem) => return Err(InjectError::from(vec![problem])),
        };
        if reasons.is_empty() && requested.is_empty() {
            reasons.push(SkipReason::NotRequested);
        }
        if head.operating_system() == OperatingSystem::Windows && !requested.iter().any(is_for_windows) {
            reasons.insert(usize::from(reasons.first() == Some(&SkipReason::MirrorPod)), SkipReason::WindowsPod);
        }
        if !reasons.is_empty() {
            return Ok(Decision::Skip(reasons));
        }
        let read_sets = self.read_sets(head, &requested);
        Ok(Decision::Inject { requested, read_sets })
    }

    fn reasons_against(&self, head: &PodHead<'_>) -> Vec<SkipReason> {
        let excluded = self.excluded_namespaces.iter().any(|name| name == self.request.namespace);
        let rows = [
            (head.annotation(annotations::MIRROR_POD).is_some(), SkipReason::MirrorPod),
            (excluded, SkipReason::NamespaceExcluded),
            (self.namespace_enabled() == Some(false), SkipReason::NamespaceDisabled),
        ];
        rows.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason).collect()
    }

    /// Whether the namespace's label enables or disables injection.
    fn namespace_enabled(&self) -> Option<bool> {
        match self.request.namespace_object?.labels.get(&self.keys.injection)?.as_str() {
            "enabled" => Some(true),
            "disabled" => Some(false),
            _ => None,
        }
    }

    /// The pod's list, or else that of an enabled namespace, and the Automatic templates there.
    fn requested(&self, own: Option<annotations::TemplateRequest>) -> Result<Vec<RequestedTemplate<'a>>, Problem> {
        let enabled = self.namespace_enabled() == Some(true);
        let (names, by) = match (own, self.request.namespace_object.filter(|_| enabled)) {
            (Some(annotations::TemplateRequest::OptOut), _) => return Ok(Vec::new()),
            (Some(annotations::TemplateRequest::Templates(names)), _) => (names, RequestedBy::Pod),
            (None, Some(namespace)) => (self.default_list(namespace)?, RequestedBy::Namespace),
            (None, None) => (Vec::new(), RequestedBy::Namespace),
        };
        let automatic: &[String] = if enabled { self.templates.automatic() } else { &[] };
        let automatic: Vec<String> = automatic.iter().filter(|name| !names.contains(name)).cloned().collect();
        let look_up = |by| move |name: String| RequestedTemplate { found: self.templates.get(&name), name, by };
        Ok(names
            .into_iter()
            .map(look_up(by))
            .chain(automatic.into_iter().map(look_up(RequestedBy::Template)))
            .collect())
    }

    fn default_list(&self, namespace: &Namespace) -> Result<Vec<String>, Problem> {
        let Some(list) = namespace.annotations.get(&self.keys.inject) else { return Ok(Vec::new()) };
        match annotations::parse_template_request(list) {
            Ok(annotations::TemplateRequest::Templates(names)) => Ok(names),
            Ok(annotations::TemplateRequest::OptOut) => Ok(Vec::new()),
            Err(why) => Err(self.bad_annotation(why, Some(&namespace.name))),
        }
    }

    /// The read sets are known only if no template is rendered anew with the pod's parameters.
    fn read_sets(&self, head: &PodHead<'_>, requested: &[RequestedTemplate<'a>]) -> Option<Vec<&'a ReadSet>> {
        let read_set = |requested: &RequestedTemplate<'a>| {
            let Some(Ok(template)) = requested.found else { return None };
            let sets_parameter = |key: &str| self.keys.parameter_of(&requested.name, key).is_some();
            if head.annotation_keys().any(sets_parameter) { None } else { template.read_set() }
        };
        requested.iter().map(read_set).collect()
    }

    fn bad_annotation(&self, why: Message, namespace: Option<&str>) -> Problem {
        let of = namespace.map_or_else(Message::default, |name| message![" of namespace ", value(quote(name))]);
        let message = message!["annotation ", words(&self.keys.inject), of, ": ", why];
        Problem { annotation: Some(self.keys.inject.clone()), ..Problem::new(ErrorCode::AnnotationInvalid, message) }
    }
}

/// Whether the template is for Windows pods.
fn is_for_windows(requested: &RequestedTemplate<'_>) -> bool {
    matches!(requested.found, Some(Ok(template)) if template.runs_on(OperatingSystem::Windows))
}
