//! The outcome of the injection for one pod.

mod explanation;
mod skip_reason;
pub mod trace;

use super::error::ErrorCode;
pub use explanation::Explanation;
pub use skip_reason::SkipReason;

/// The outcome for a pod that is admitted.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The pod gets at least one template.
    Injected(Injection),
    /// The pod is admitted as it is.
    Skipped(Skip),
}

impl Outcome {
    /// A pod that is not changed, for these reasons.
    pub(super) fn skipped(reasons: Vec<SkipReason>) -> Self {
        Self::Skipped(Skip { reasons, ..Skip::default() })
    }
}

/// The outcome for a pod that gets templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// The JSON Patch (RFC 6902) as it is sent: a JSON array of at least one operation.
    pub patch_json: Vec<u8>,
    /// Names of the injected templates, in the order of the request.
    pub templates: Vec<String>,
    /// Reasons why other requested templates are not injected.
    pub reasons: Vec<SkipReason>,
    /// Other requested templates that are not injected because of an error.
    pub left_out: Vec<LeftOut>,
    /// Sentences for the pod's author, unbounded in length and number.
    pub warnings: Vec<String>,
}

impl Injection {
    /// The operations of [`Self::patch_json`], parsed.
    pub fn patch(&self) -> Result<json_patch::Patch, serde_json::Error> {
        serde_json::from_slice(&self.patch_json)
    }
}

/// A pod that is not changed.
#[derive(Clone, Debug, Default)]
pub struct Skip {
    /// All reasons that apply. Empty only if a template's `onError: Skip` turned errors into
    /// warnings. [`super::Injector::explain`] says more about them.
    pub reasons: Vec<SkipReason>,
    /// Codes of errors that a template's `onError: Skip` turned into warnings.
    pub errors: Vec<ErrorCode>,
    /// The templates with these errors.
    pub left_out: Vec<LeftOut>,
    /// Templates that the pod already has.
    pub templates: Vec<String>,
    /// Sentences for the pod's author, unbounded in length and number.
    pub warnings: Vec<String>,
}

/// A template that is left out because of an error that its `onError: Skip` turned into a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Name of the template.
    pub template: String,
    /// The kind of the error.
    pub code: ErrorCode,
}
