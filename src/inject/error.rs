//! The errors of an injection: their codes, their messages, and who must act.

use super::text::{Message, message};
use std::fmt;

/// The party that must fix an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The pod's author: HTTP 200 with `allowed: false`, code 422.
    Pod,
    /// The template's author: HTTP 500, so that the `failurePolicy` decides.
    Template,
    /// The developers of Outrigger, because it is a bug: HTTP 500, so that the `failurePolicy`
    /// decides.
    Injector,
}

/// The kind of a problem. Its code is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// `pod_invalid`: the object cannot be read as a pod.
    PodInvalid,
    /// `annotation_invalid`: an annotation's value is not valid.
    AnnotationInvalid,
    /// `annotation_unknown`: nothing reads an annotation, and it resembles one that is read.
    AnnotationUnknown,
    /// `template_not_found`
    TemplateNotFound,
    /// `revision_not_found`: a template has no such revision, or does not keep it any more.
    RevisionNotFound,
    /// `template_not_allowed`: the template's `match` does not select the pod.
    TemplateNotAllowed,
    /// `template_required`: a template requires another one that the pod does not get.
    TemplateRequired,
    /// `template_excluded`: a template excludes another one that the pod gets.
    TemplateExcluded,
    /// `template_broken`: the template was never loaded successfully.
    TemplateBroken,
    /// `parameter_unknown`
    ParameterUnknown,
    /// `parameter_missing`
    ParameterMissing,
    /// `parameter_invalid`
    ParameterInvalid,
    /// `container_not_found`: `outrigger.dev/containers` names no container of the pod.
    ContainerNotFound,
    /// `auto_container_unclaimed`: no injected template has a container of this name to fill
    /// the pod's `image: auto` container.
    AutoContainerUnclaimed,
    /// `command_unknown`: a template prepends to the command of a container that has none.
    CommandUnknown,
    /// `conflict`
    Conflict,
    /// `expression_missing_key`: the pod, its app container or its namespace lacks a key that an
    /// expression reads.
    ExpressionMissingKey,
    /// `expression_failed`
    ExpressionFailed,
    /// `result_invalid`: with this pod and its values, the result would not be a valid pod.
    ResultInvalid,
    /// `internal`
    Internal,
}

impl ErrorCode {
    /// All codes, in the order of the reference.
    pub const ALL: [Self; 20] = [
        Self::PodInvalid,
        Self::AnnotationInvalid,
        Self::AnnotationUnknown,
        Self::TemplateNotFound,
        Self::RevisionNotFound,
        Self::TemplateNotAllowed,
        Self::TemplateRequired,
        Self::TemplateExcluded,
        Self::TemplateBroken,
        Self::ParameterUnknown,
        Self::ParameterMissing,
        Self::ParameterInvalid,
        Self::ContainerNotFound,
        Self::AutoContainerUnclaimed,
        Self::CommandUnknown,
        Self::Conflict,
        Self::ExpressionMissingKey,
        Self::ExpressionFailed,
        Self::ResultInvalid,
        Self::Internal,
    ];

    /// The stable code: metric label, log field, audit annotation.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PodInvalid => "pod_invalid",
            Self::AnnotationInvalid => "annotation_invalid",
            Self::AnnotationUnknown => "annotation_unknown",
            Self::TemplateNotFound => "template_not_found",
            Self::RevisionNotFound => "revision_not_found",
            Self::TemplateNotAllowed => "template_not_allowed",
            Self::TemplateRequired => "template_required",
            Self::TemplateExcluded => "template_excluded",
            Self::TemplateBroken => "template_broken",
            Self::ParameterUnknown => "parameter_unknown",
            Self::ParameterMissing => "parameter_missing",
            Self::ParameterInvalid => "parameter_invalid",
            Self::ContainerNotFound => "container_not_found",
            Self::AutoContainerUnclaimed => "auto_container_unclaimed",
            Self::CommandUnknown => "command_unknown",
            Self::Conflict => "conflict",
            Self::ExpressionMissingKey => "expression_missing_key",
            Self::ExpressionFailed => "expression_failed",
            Self::ResultInvalid => "result_invalid",
            Self::Internal => "internal",
        }
    }

    /// Who must act.
    pub const fn blame(self) -> Blame {
        match self {
            Self::PodInvalid
            | Self::AnnotationInvalid
            | Self::AnnotationUnknown
            | Self::TemplateNotFound
            | Self::RevisionNotFound
            | Self::TemplateNotAllowed
            | Self::TemplateRequired
            | Self::TemplateExcluded
            | Self::ParameterUnknown
            | Self::ParameterMissing
            | Self::ParameterInvalid
            | Self::ContainerNotFound
            | Self::AutoContainerUnclaimed
            | Self::CommandUnknown
            | Self::Conflict
            | Self::ExpressionMissingKey
            | Self::ResultInvalid => Blame::Pod,
            Self::TemplateBroken | Self::ExpressionFailed => Blame::Template,
            Self::Internal => Blame::Injector,
        }
    }
}

/// One problem of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The kind of the problem.
    pub code: ErrorCode,
    /// The template that the problem concerns, if any.
    pub template: Option<String>,
    /// The key of the annotation that the problem concerns, if any. Logs show it instead of the
    /// message.
    pub annotation: Option<String>,
    /// One line that names the object, quotes the value and says what is expected. The pod's author
    /// sees the whole line, everybody else a redacted one.
    pub message: Message,
}

impl Problem {
    /// A problem that concerns no template and no annotation.
    pub(super) fn new(code: ErrorCode, message: impl Into<Message>) -> Self {
        Self { code, template: None, annotation: None, message: message.into() }
    }

    /// Code and message.
    pub fn sentence(&self) -> Message {
        message![self.code.code(), ": ", self.message.clone()]
    }
}

/// All problems because of which a pod is refused or gets no verdict; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectError {
    problems: Vec<Problem>,
}

impl InjectError {
    /// All problems; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Who must act. A bug of the injector hides errors of templates, and those hide errors of the
    /// pod.
    pub fn blame(&self) -> Blame {
        let of = |blame| self.problems.iter().any(|problem| problem.code.blame() == blame);
        if of(Blame::Injector) {
            Blame::Injector
        } else if of(Blame::Template) {
            Blame::Template
        } else {
            Blame::Pod
        }
    }

    /// Distinct codes in the order of their problems.
    pub fn codes(&self) -> Vec<ErrorCode> {
        let mut codes: Vec<ErrorCode> = Vec::new();
        for problem in &self.problems {
            if !codes.contains(&problem.code) {
                codes.push(problem.code);
            }
        }
        codes
    }
}

impl From<Vec<Problem>> for InjectError {
    fn from(problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty());
        Self { problems }
    }
}

impl fmt::Display for InjectError {
    /// All problems on one line, joined by `; `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Message::join(self.problems.iter().map(Problem::sentence), "; ").fmt(f)
    }
}

impl std::error::Error for InjectError {}
