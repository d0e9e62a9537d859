//! What the engine decided for one pod.

use super::decision::reason::SkipReason;
use super::error::ErrorCode;

/// What was decided for a pod that is to be admitted.
#[derive(Clone, Debug)]
pub enum Outcome<I = Injection> {
    Injected(I),
    Skipped(Skip),
}

/// A pod that gets something, as much of it as an answer needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchText {
    /// The operations of [`Injection::patch`] as JSON.
    pub json: Vec<u8>,
    /// The rest is as in [`Injection`].
    pub templates: Vec<String>,
    pub reasons: Vec<SkipReason>,
    pub warnings: Vec<String>,
}

/// A pod that gets something.
#[derive(Clone, Debug)]
pub struct Injection {
    /// The operations that were applied to the pod, in order; never empty.
    pub patch: json_patch::Patch,
    /// The pod after the patch, without `metadata.managedFields`.
    pub pod: serde_json::Value,
    /// Names of the templates that were put in, in the order asked for.
    pub templates: Vec<String>,
    /// Reasons that held for other templates of the same pod.
    pub reasons: Vec<SkipReason>,
    /// Sentences for the pod's author, unbounded in length and number.
    pub warnings: Vec<String>,
}

/// A pod that is left as it is, with all reasons that hold (never empty unless an error was turned into warnings by `onError: Skip`).
#[derive(Clone, Debug, Default)]
pub struct Skip {
    pub reasons: Vec<SkipReason>,
    /// Codes of errors that a template's `onError: Skip` turned into warnings.
    pub errors: Vec<ErrorCode>,
    /// Templates the pod carries already.
    pub templates: Vec<String>,
    pub warnings: Vec<String>,
}
