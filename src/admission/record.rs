//! What may be logged and counted of one request.
//!
//! Invariant: names, codes and annotation keys only. No value of an annotation or of the environment, no object, no patch.

use crate::inject::SkipReason;

/// How a request ended: the closed set of the metric label, the log field and the audit annotation `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReviewResult {
    /// `injected`
    Injected,
    /// `unchanged`: the pod carries all that it asks for.
    Unchanged,
    /// `skipped`
    Skipped,
    /// `denied`: the pod's author can mend it.
    Denied,
    /// `error`: no verdict.
    Error,
}

impl ReviewResult {
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

/// One request, as logs and metrics see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub uid: String,
    pub namespace: String,
    /// Name of the object, or its `generateName` and a `*`.
    pub name: String,
    /// Names of loaded templates that were put in, are there already, or are what went wrong.
    pub templates: Vec<String>,
    pub result: ReviewResult,
    pub reasons: Vec<SkipReason>,
    /// Codes of [`crate::inject::ErrorCode`] and [`super::ProtocolError`].
    pub errors: Vec<&'static str>,
    /// Keys of the annotations that are wrong.
    pub annotations: Vec<String>,
    pub dry_run: bool,
}

impl Record {
    /// A request of which nothing is known but that it failed.
    pub fn failed(error: super::ProtocolError) -> Self {
        Self {
            uid: String::new(),
            namespace: String::new(),
            name: String::new(),
            templates: Vec::new(),
            result: ReviewResult::Error,
            reasons: Vec::new(),
            errors: vec![error.code()],
            annotations: Vec::new(),
            dry_run: false,
        }
    }
}
