//! The first steps of the decision: what stands against any injection, and what is asked for.
//!
//! Not here: whether a template can be had (`prepare`). All reasons that hold are collected, not just the first.

pub mod reason;
pub mod report;

use super::annotations;
use super::annotations::Keys;
use super::error::{ErrorCode, Problem};
use super::pod::PodHead;
use super::template::{Found, TemplateSet};
use super::{Namespace, Request, SkipReason};
use crate::inject::pod::OperatingSystem;

/// What a pod is to get, before the templates are asked whether it may.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Templates that the pod or its namespace names, in order.
    pub named: Vec<String>,
    /// Whether the namespace names them for the pod.
    pub by_namespace: bool,
    /// Templates that choose their pods themselves.
    pub automatic: Vec<String>,
}

impl Asked {
    pub fn is_nothing(&self) -> bool {
        self.named.is_empty() && self.automatic.is_empty()
    }
}

/// Step 1, before any look at the object: only the creation of a pod is of interest.
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

/// Everything that decides without the templates' own conditions.
pub(super) struct Standing<'a> {
    pub keys: &'a Keys,
    pub head: &'a PodHead<'a>,
    pub request: &'a Request<'a>,
    pub excluded: &'a [String],
    pub templates: &'a TemplateSet,
}

impl Standing<'_> {
    /// Steps 2 to 5: what is asked for, or all reasons against it.
    pub fn asked(&self) -> Result<Asked, Verdict> {
        let mut reasons = self.against();
        let own = self.head.annotation(&self.keys.inject).map(annotations::parse_request).transpose();
        if own == Ok(Some(annotations::Request::OptOut)) {
            reasons.push(SkipReason::OptedOut);
        }
        let asked = own.map_err(|message| self.bad_annotation(&message, None)).and_then(|own| self.collect(own));
        let asked = match asked {
            Ok(asked) => asked,
            // Where nothing is injected anyway, a list that cannot be read is nobody's concern.
            Err(_) if !reasons.is_empty() => return Err(Verdict::Skip(reasons)),
            Err(problem) => return Err(Verdict::Refuse(problem)),
        };
        if reasons.is_empty() && asked.is_nothing() {
            reasons.push(SkipReason::NotRequested);
        }
        if self.is_windows_without_template(&asked) {
            reasons.insert(usize::from(reasons.first() == Some(&SkipReason::MirrorPod)), SkipReason::WindowsPod);
        }
        if reasons.is_empty() { Ok(asked) } else { Err(Verdict::Skip(reasons)) }
    }

    fn against(&self) -> Vec<SkipReason> {
        let excluded = self.excluded.iter().any(|name| name == self.request.namespace);
        let rows = [
            (self.head.annotation(annotations::MIRROR_POD).is_some(), SkipReason::MirrorPod),
            (excluded, SkipReason::NamespaceExcluded),
            (self.takes_part() == Some(false), SkipReason::NamespaceDisabled),
        ];
        rows.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason).collect()
    }

    /// What the namespace's label says.
    fn takes_part(&self) -> Option<bool> {
        match self.request.namespace_object?.labels.get(&self.keys.injection)?.as_str() {
            "enabled" => Some(true),
            "disabled" => Some(false),
            _ => None,
        }
    }

    /// The pod's list, else that of a namespace that takes part, plus what chooses by itself.
    fn collect(&self, own: Option<annotations::Request>) -> Result<Asked, Problem> {
        let takes_part = self.takes_part() == Some(true);
        let default = || match self.request.namespace_object.filter(|_| takes_part) {
            Some(namespace) => self.default_list(namespace),
            None => Ok(Vec::new()),
        };
        let (named, by_namespace) = match own {
            Some(annotations::Request::OptOut) => return Ok(Asked::default()),
            Some(annotations::Request::Templates(names)) => (names, false),
            None => (default()?, true),
        };
        let automatic: &[String] = if takes_part { self.templates.automatic() } else { &[] };
        let automatic = automatic.iter().filter(|name| !named.contains(name)).cloned().collect();
        Ok(Asked { named, by_namespace, automatic })
    }

    fn default_list(&self, namespace: &Namespace) -> Result<Vec<String>, Problem> {
        let Some(value) = namespace.annotations.get(&self.keys.inject) else { return Ok(Vec::new()) };
        match annotations::parse_request(value) {
            Ok(annotations::Request::Templates(names)) => Ok(names),
            Ok(annotations::Request::OptOut) => Ok(Vec::new()),
            Err(message) => Err(self.bad_annotation(&message, Some(&namespace.name))),
        }
    }

    /// A Windows pod is left alone unless a template that it may have says Windows.
    fn is_windows_without_template(&self, asked: &Asked) -> bool {
        let mut names = asked.named.iter().chain(&asked.automatic);
        self.head.operating_system() == OperatingSystem::Windows
            && !names.any(|name| match self.templates.get(name) {
                Some(Found::Ready(template)) => template.runs_on(OperatingSystem::Windows),
                Some(Found::Broken(_)) | None => false,
            })
    }

    fn bad_annotation(&self, message: &str, namespace: Option<&str>) -> Problem {
        let of = namespace.map(|name| format!(" of namespace {}", super::text::field::quote(name))).unwrap_or_default();
        Problem {
            code: ErrorCode::AnnotationInvalid,
            template: None,
            annotation: Some(self.keys.inject.clone()),
            message: format!("annotation {}{of}: {message}", self.keys.inject).into(),
        }
    }
}

/// Why nothing is put in.
pub(super) enum Verdict {
    Skip(Vec<SkipReason>),
    Refuse(Problem),
}
