//! The record of one request, for logs and metrics.
//!
//! Invariant: a record has names, codes and annotation keys only: no value of an annotation or of
//! the environment, no object, no patch.

use crate::inject::{ErrorCode, SkipReason};

/// The result of a request: the value of the metric label, the log field and the audit annotation
/// `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReviewResult {
    /// `injected`
    Injected,
    /// `unchanged`: the pod already has all that it requests.
    Unchanged,
    /// `skipped`
    Skipped,
    /// `denied`: the pod's author can fix it.
    Denied,
    /// `error`: no verdict.
    Error,
}

impl ReviewResult {
    /// All results, in the order of the reference.
    pub const ALL: [Self; 5] = [Self::Injected, Self::Unchanged, Self::Skipped, Self::Denied, Self::Error];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Unchanged => "unchanged",
            Self::Skipped => "skipped",
            Self::Denied => "denied",
            Self::Error => "error",
        }
    }
}

/// The facts about one request that logs and metrics show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The request's `uid`, on one line.
    pub uid: String,
    /// The request's namespace, on one line.
    pub namespace: String,
    /// Name of the object, or its `generateName` and a `*`.
    pub name: String,
    /// Names of loaded templates that were injected, that the pod already has, or that caused an
    /// error.
    pub templates: Vec<String>,
    /// How the review counts.
    pub result: ReviewResult,
    /// Why the pod gets nothing, or not everything.
    pub reasons: Vec<SkipReason>,
    /// Codes of [`crate::inject::ErrorCode`] and [`super::ProtocolError`].
    pub errors: Vec<&'static str>,
    /// Errors of single templates, with the names of templates that exist.
    pub template_errors: Vec<(String, ErrorCode)>,
    /// Keys of the annotations with errors.
    pub annotations: Vec<String>,
    /// Whether the request is a dry run.
    pub dry_run: bool,
}

impl Record {
    /// Whether the request names a template, or a revision of one, that is not known here.
    pub fn misses_template(&self) -> bool {
        let codes = [ErrorCode::TemplateNotFound.code(), ErrorCode::RevisionNotFound.code()];
        self.errors.iter().any(|code| codes.contains(code))
            || self.reasons.contains(&SkipReason::DefaultTemplateMissing)
    }

    /// The record of a request that failed before anything else was known about it.
    pub fn failed(error: super::ProtocolError) -> Self {
        Self {
            uid: String::new(),
            namespace: String::new(),
            name: String::new(),
            templates: Vec::new(),
            result: ReviewResult::Error,
            reasons: Vec::new(),
            errors: vec![error.code()],
            template_errors: Vec::new(),
            annotations: Vec::new(),
            dry_run: false,
        }
    }
}
