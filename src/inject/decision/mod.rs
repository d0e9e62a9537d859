//! Decides from the head of a pod which templates are requested for it, or why it is skipped.
//!
//! `prepare` checks later whether a template's `match` selects the pod.
//! Invariant: all reasons that apply are collected, not just the first.

pub(super) mod keys;
pub(super) mod report;

mod explain;
pub(crate) mod rollout;
pub(super) mod trace;

use self::report::{InjectionReport, annotation_problem};
use super::annotations::{self, AnnotationKeys, NamedTemplate, TemplateRequest};
use super::error::{ErrorCode, InjectError, Problem};
use super::outcome::SkipReason;
use super::pod::read_set::ReadSet;
use super::pod::{OperatingSystem, PodHead};
use super::request::{Namespace, Request};
use super::settings::{MissingDefaults, Settings};
use super::template::{Found, Revision, VisibleTemplates};
use super::text::{Message, message, quote, value};

/// The templates that are requested for a pod.
pub(super) struct RequestedTemplates<'t> {
    /// At least one template, each once, in the order in which they are injected.
    pub templates: Vec<RequestedTemplate<'t>>,
    /// The fields of the pod that each template can read; `None` if one can read all fields.
    pub read_sets: Option<Vec<&'t ReadSet>>,
}

/// A template that is requested for a pod. It need not exist.
pub(super) struct RequestedTemplate<'t> {
    pub name: String,
    /// The revision at which the pod wants it, if it says so.
    pub revision: Option<Revision>,
    pub by: RequestedBy,
    /// What there is under this name.
    pub found: Found<'t>,
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

/// What the label of a namespace says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InjectionLabel<'n> {
    Enabled,
    Disabled,
    /// Treated as absent.
    Other(&'n str),
    Absent,
    /// The namespace is not known.
    Unknown,
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
    pub settings: &'a Settings,
    /// Those that pods of the request's namespace can name.
    pub templates: VisibleTemplates<'a>,
}

/// The value of the pod's annotation `inject`, if it has one.
type OwnRequest = Result<Option<TemplateRequest>, Message>;

impl<'a> Decider<'a> {
    /// Decides about the pod with this head. `None`: it is skipped, for the reasons in the report.
    /// A list of the pod that cannot be parsed is an error.
    pub(super) fn decide(
        &self,
        head: &PodHead<'_>,
        report: &mut InjectionReport,
    ) -> Result<Option<RequestedTemplates<'a>>, InjectError> {
        let own = self.own_request(head);
        self.reasons_against(head, &own).into_iter().for_each(|reason| report.skip_for(reason));
        let is_skipped = !report.reasons().is_empty();
        let requests_some = requests_some(&own);
        let requested = match own.map_err(|why| self.bad_annotation(why, None)) {
            Ok(own) => self.requested(own, is_skipped, report)?,
            // Nothing is injected anyway, so the list does not matter.
            Err(_) if is_skipped => Vec::new(),
            Err(problem) => return Err(InjectError::from(vec![problem])),
        };
        if requested.is_empty() && report.reasons().is_empty() {
            report.skip_for(self.nothing_requested(head));
        }
        if head.operating_system() == OperatingSystem::Windows && !requested.iter().any(is_for_windows) {
            report.skip_for(SkipReason::WindowsPod);
        }
        if is_skipped || requested.is_empty() || report.has(SkipReason::WindowsPod) {
            if requests_some && !report.has(SkipReason::MirrorPod) {
                self.warn(report);
            }
            return Ok(None);
        }
        report.warnings.extend(self.wrong_label().map(|sentence| sentence.to_string()));
        let read_sets = self.read_sets(head, &requested);
        Ok(Some(RequestedTemplates { templates: requested, read_sets }))
    }

    /// The Automatic templates that an enabled namespace would have, if this one is not enabled.
    pub(super) fn automatic_if_enabled(&self, head: &PodHead<'_>) -> Vec<RequestedTemplate<'a>> {
        let is_off = matches!(self.injection_label(), InjectionLabel::Other(_) | InjectionLabel::Absent);
        let opts_out = self.own_request(head) == Ok(Some(TemplateRequest::OptOut));
        if is_off && !opts_out { self.automatic(&[]) } else { Vec::new() }
    }

    /// What the namespace's label says about injection.
    pub(super) fn injection_label(&self) -> InjectionLabel<'a> {
        let Some(namespace) = self.request.namespace_object else { return InjectionLabel::Unknown };
        match namespace.labels.get(&self.keys.injection).map(String::as_str) {
            Some("enabled") => InjectionLabel::Enabled,
            Some("disabled") => InjectionLabel::Disabled,
            Some(other) => InjectionLabel::Other(other),
            None => InjectionLabel::Absent,
        }
    }

    fn own_request(&self, head: &PodHead<'_>) -> OwnRequest {
        head.annotation(&self.keys.inject).map(annotations::parse_template_request).transpose()
    }

    fn reasons_against(&self, head: &PodHead<'_>, own: &OwnRequest) -> Vec<SkipReason> {
        let excluded = self.settings.excluded_namespaces.iter().any(|name| name == self.request.namespace);
        let rows = [
            (head.annotation(annotations::MIRROR_POD).is_some(), SkipReason::MirrorPod),
            (excluded, SkipReason::NamespaceExcluded),
            (self.injection_label() == InjectionLabel::Disabled, SkipReason::NamespaceDisabled),
            (*own == Ok(Some(TemplateRequest::OptOut)), SkipReason::OptedOut),
        ];
        rows.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason).collect()
    }

    /// The pod's list, or else that of an enabled namespace, and the Automatic templates there.
    fn requested(
        &self,
        own: Option<TemplateRequest>,
        is_skipped: bool,
        report: &mut InjectionReport,
    ) -> Result<Vec<RequestedTemplate<'a>>, InjectError> {
        let enabled = self.injection_label() == InjectionLabel::Enabled;
        let (names, by) = match (own, self.request.namespace_object.filter(|_| enabled)) {
            (Some(TemplateRequest::OptOut), _) => return Ok(Vec::new()),
            (Some(TemplateRequest::Templates(names)), _) => (names, RequestedBy::Pod),
            (None, Some(namespace)) => match self.default_list(namespace) {
                Ok(names) => (names, RequestedBy::Namespace),
                Err(_) if is_skipped => (Vec::new(), RequestedBy::Namespace),
                Err(problem) if self.settings.missing_defaults == MissingDefaults::Reject => {
                    return Err(InjectError::from(vec![problem]));
                }
                Err(problem) => {
                    report.warn_of(SkipReason::DefaultListInvalid, &problem.message);
                    (Vec::new(), RequestedBy::Namespace)
                }
            },
            (None, None) => (Vec::new(), RequestedBy::Namespace),
        };
        let automatic = if enabled { self.automatic(&names) } else { Vec::new() };
        let requested = names.into_iter().map(|named| self.look_up(named, by));
        Ok(requested.chain(automatic).collect())
    }

    /// The template of this name, as a pod asks for it.
    #[cfg(feature = "runtime")]
    pub(super) fn asked_for(&self, name: &str) -> RequestedTemplate<'a> {
        self.look_up(NamedTemplate { name: name.to_owned(), revision: None }, RequestedBy::Pod)
    }

    fn look_up(&self, named: NamedTemplate, by: RequestedBy) -> RequestedTemplate<'a> {
        let NamedTemplate { name, revision } = named;
        let revision = revision.as_deref().and_then(Revision::parse);
        let found = self.templates.get(&name, revision.as_ref(), || rollout::slot(&name, self.request));
        RequestedTemplate { name, revision, by, found }
    }

    /// The Automatic templates that are not named.
    pub(super) fn automatic(&self, named: &[NamedTemplate]) -> Vec<RequestedTemplate<'a>> {
        let names = self.templates.automatic().into_iter();
        let names = names.filter(|name| !named.iter().any(|named| named.name == *name));
        let named = |name: &str| NamedTemplate { name: name.to_owned(), revision: None };
        names.map(|name| self.look_up(named(name), RequestedBy::Template)).collect()
    }

    fn default_list(&self, namespace: &Namespace) -> Result<Vec<NamedTemplate>, Problem> {
        let Some(list) = namespace.annotations.get(&self.keys.inject) else { return Ok(Vec::new()) };
        match annotations::parse_template_request(list) {
            Ok(TemplateRequest::Templates(names)) => Ok(names),
            Ok(TemplateRequest::OptOut) => Ok(Vec::new()),
            Err(why) => Err(self.bad_annotation(why, Some(&namespace.name))),
        }
    }

    /// Why a pod for which nothing is requested gets nothing.
    fn nothing_requested(&self, head: &PodHead<'_>) -> SkipReason {
        let says_nothing = || head.annotation(&self.keys.inject).is_none();
        if self.has_unused_default_list() && says_nothing() {
            SkipReason::NamespaceNotEnabled
        } else {
            SkipReason::NotRequested
        }
    }

    /// Whether the namespace has a default list, and its label is not `enabled`.
    fn has_unused_default_list(&self) -> bool {
        let Some(namespace) = self.request.namespace_object else { return false };
        let is_off = matches!(self.injection_label(), InjectionLabel::Other(_) | InjectionLabel::Absent);
        is_off && self.default_list(namespace).map_or(true, |names| !names.is_empty())
    }

    /// The read sets are known only if no template is rendered anew with the pod's parameters.
    fn read_sets(&self, head: &PodHead<'_>, requested: &[RequestedTemplate<'a>]) -> Option<Vec<&'a ReadSet>> {
        let read_set = |requested: &RequestedTemplate<'a>| {
            let template = requested.found.template()?;
            let sets_parameter = |key: &str| self.keys.parameter_of(&requested.name, key).is_some();
            if head.annotation_keys().any(sets_parameter) { None } else { template.read_set() }
        };
        requested.iter().map(read_set).collect()
    }

    fn bad_annotation(&self, why: Message, namespace: Option<&str>) -> Problem {
        let of = namespace.map_or_else(Message::default, |name| message![" of namespace ", value(quote(name))]);
        annotation_problem(ErrorCode::AnnotationInvalid, &self.keys.inject, of, why)
    }
}

/// Whether the pod itself names a template, even in a list that cannot be parsed.
fn requests_some(own: &OwnRequest) -> bool {
    match own {
        Ok(Some(TemplateRequest::Templates(names))) => !names.is_empty(),
        Ok(Some(TemplateRequest::OptOut) | None) => false,
        Err(_) => true,
    }
}

/// Whether the template is for Windows pods.
fn is_for_windows(requested: &RequestedTemplate<'_>) -> bool {
    requested.found.template().is_some_and(|template| template.runs_on(OperatingSystem::Windows))
}
