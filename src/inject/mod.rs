//! The injection engine: a pod and a set of templates in, a JSON Patch out.
//!
//! Pure and synchronous: no I/O, clock, environment or randomness. Every way to run Outrigger calls
//! [`Injector::inject`], or [`Injector::patch`] where the pod itself is not wanted: the same steps.

pub mod annotations;
pub mod duration;
pub mod error;
pub mod expression;
pub mod field;
pub mod merge;
pub mod names;
pub mod overlay;
pub mod parameters;
pub mod pod;
pub mod quantity;
pub mod reason;
pub mod schema;
pub mod status;
pub mod template;
pub mod weight;

mod decide;
mod find;
mod notes;
mod pipeline;
mod prepare;
mod reach;
mod redacted;
mod shape;
mod uninject;
mod validate;
mod writing;

use std::collections::BTreeMap;

pub use error::{Blame, ErrorCode, InjectError, Problem};
pub use find::find;
pub use reason::SkipReason;
pub use redacted::redacted;
pub use template::{LoadProblem, Loaded, ParsedSource, SourceText, TemplateSet, TemplateState, TemplateStatus};
pub use uninject::uninject;

/// One immutable snapshot: the templates and the settings that a request sees from start to end.
pub struct Injector {
    templates: TemplateSet,
    settings: Settings,
    keys: annotations::Keys,
}

/// What the operator decides for all pods.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether containers with `restartPolicy: Always` among the init containers work in this cluster.
    pub native_sidecars: NativeSidecars,
    /// Kubernetes version of the cluster as `MAJOR.MINOR.PATCH`, seen by expressions as `cluster.version`.
    pub cluster_version: String,
    /// Namespaces in which nothing is ever injected.
    pub excluded_namespaces: Vec<String>,
    /// Domain of all annotations and labels, by default `outrigger.dev`.
    pub domain: String,
    /// Milliseconds that the calling thread has worked, or those of any monotonic clock. The core has no clock of its own; without one only the step budget bounds an expression.
    pub clock: Option<fn() -> u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            native_sidecars: NativeSidecars::Supported,
            cluster_version: "1.37.0".to_owned(),
            excluded_namespaces: Vec::new(),
            domain: "outrigger.dev".to_owned(),
            clock: None,
        }
    }
}

/// KEP-753: native sidecars are init containers with `restartPolicy: Always`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeSidecars {
    Supported,
    Unsupported,
}

/// Labels and annotations of the pod's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// What an admission request (or the command line) asks.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// API group, version and resource, such as `""`, `v1`, `pods`.
    pub group: &'a str,
    pub version: &'a str,
    pub resource: &'a str,
    /// `""` for the object itself, else such as `ephemeralcontainers`.
    pub sub_resource: &'a str,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: &'a str,
    /// Namespace of the request: a pod under admission often has none of its own.
    pub namespace: &'a str,
    /// What is known of that namespace; `None` when nothing is.
    pub namespace_object: Option<&'a Namespace>,
    /// Kind of the object that makes the pod, where the caller knows more than the pod's own `ownerReferences` say.
    pub owner_kind: Option<&'a str>,
    /// The object as JSON text, `null` or empty when the request has none.
    pub object: &'a str,
}

impl<'a> Request<'a> {
    /// The request that the API server would make for this new pod.
    pub fn create_pod(namespace: &'a str, object: &'a str) -> Self {
        Self {
            group: "",
            version: "v1",
            resource: "pods",
            sub_resource: "",
            operation: "CREATE",
            namespace,
            namespace_object: None,
            owner_kind: None,
            object,
        }
    }
}

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

impl Injector {
    pub fn new(templates: TemplateSet, settings: Settings) -> Self {
        let keys = annotations::Keys::new(&settings.domain);
        Self { templates, settings, keys }
    }

    pub fn templates(&self) -> &TemplateSet {
        &self.templates
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Decides what the pod gets and puts it in.
    ///
    /// The steps are those of `pipeline`: what stands against it, what is asked for, what is there already, which templates
    /// can be had, what they would change and where that conflicts, the change itself, and a check of the result.
    pub fn inject(&self, request: &Request<'_>) -> Result<Outcome, InjectError> {
        pipeline::pod(self, request)
    }

    /// The same decision and patch without the pod: no more of it is read than the templates look at.
    pub fn patch(&self, request: &Request<'_>) -> Result<Outcome<PatchText>, InjectError> {
        pipeline::patch(self, request)
    }
}

#[cfg(test)]
mod tests;
