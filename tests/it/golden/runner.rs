//! The runners of a golden case: each takes a pod and returns a verdict.
//!
//! The expected verdict is not checked here.
//!
//! Invariant: every runner fills the same [`CaseResult`], so that a case cannot tell them apart.

use std::sync::OnceLock;
use std::time::Instant;

use outrigger::inject::{
    Blame, InjectError, Injection, Injector, MissingDefaults, NativeSidecars, Outcome, Request, Settings, Skip,
    SourceText, TemplateSet,
};
use serde_json::Value;

use super::case::{Case, Missing, Native, Verdict};

/// The result of a run in the terms of a case.
#[derive(Clone, Debug, Default)]
pub struct CaseResult {
    pub verdict: Verdict,
    pub reasons: Vec<String>,
    pub codes: Vec<String>,
    pub message: Option<String>,
    pub warnings: Vec<String>,
    /// What the engine explains of a skip; `None` where the runner does not ask for it.
    pub explanations: Option<Vec<String>>,
    /// The injected templates.
    pub templates: Vec<String>,
    pub patch: Option<Value>,
    /// The pod after the patch.
    pub pod: Option<Value>,
}

/// A method to run a case.
pub trait Runner {
    /// Runs the case's templates and settings on this object; an error is a fault of the case or of
    /// the runner.
    fn run(&self, case: &Case, object: &Value) -> Result<CaseResult, Vec<String>>;
}

/// Calls the engine directly, like the command line.
pub struct Offline;

/// Calls the engine with templates that are loaded already, whatever those of the case are.
pub struct Loaded<'i>(pub &'i Injector);

impl Runner for Offline {
    fn run(&self, case: &Case, pod: &Value) -> Result<CaseResult, Vec<String>> {
        Loaded(&injector(case)?).run(case, pod)
    }
}

impl Runner for Loaded<'_> {
    fn run(&self, case: &Case, pod: &Value) -> Result<CaseResult, Vec<String>> {
        let Self(injector) = self;
        let namespace = case.settings.namespace_object();
        let object = pod.to_string();
        let request = Request {
            group: &case.settings.group,
            version: "v1",
            resource: &case.settings.resource,
            sub_resource: &case.settings.sub_resource,
            operation: &case.settings.operation,
            namespace: &case.settings.namespace,
            owner_kind: None,
            namespace_object: namespace.as_ref(),
            object: &object,
        };
        Ok(match injector.inject(&request) {
            Ok(Outcome::Injected(injection)) => injected(pod, injection).map_err(|why| vec![why])?,
            Ok(Outcome::Skipped(skip)) => {
                let explanations = injector.explain(&request, &skip.reasons);
                let explanations = explanations.iter().map(ToString::to_string).collect();
                CaseResult { explanations: Some(explanations), ..skipped(skip) }
            }
            Err(error) => refused(&error),
        })
    }
}

/// The case's templates and settings, loaded; the number of broken documents must be that of the
/// case.
pub fn injector(case: &Case) -> Result<Injector, Vec<String>> {
    let loaded = TemplateSet::load(&[SourceText { origin: "templates.yaml".to_owned(), text: case.templates.clone() }]);
    if loaded.templates.broken() != case.broken_templates || (case.broken_templates == 0 && !loaded.problems.is_empty())
    {
        let problems = loaded.problems.iter().map(ToString::to_string);
        return Err(std::iter::once("templates that do not load:".to_owned()).chain(problems).collect());
    }
    Ok(Injector::new(loaded.templates, settings(case)))
}

fn settings(case: &Case) -> Settings {
    Settings {
        native_sidecars: match case.settings.native_sidecars {
            Native::Supported => NativeSidecars::Supported,
            Native::Unsupported => NativeSidecars::Unsupported,
        },
        cluster_version: case.settings.cluster_version.clone(),
        missing_defaults: match case.settings.namespace_defaults_missing {
            Missing::Skip => MissingDefaults::Skip,
            Missing::Reject => MissingDefaults::Reject,
        },
        excluded_namespaces: case.settings.excluded_namespaces.clone(),
        clock: Some(milliseconds),
        ..Settings::default()
    }
}

/// A monotonic clock for the time limit of expressions.
fn milliseconds() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn injected(pod: &Value, injection: Injection) -> Result<CaseResult, String> {
    let patch = injection.patch().map_err(|error| format!("no patch: {error}"))?;
    // The engine does not read managed fields.
    let mut pod = pod.clone();
    pod.pointer_mut("/metadata").and_then(Value::as_object_mut).map(|metadata| metadata.remove("managedFields"));
    json_patch::patch(&mut pod, &patch).map_err(|error| format!("the patch does not apply: {error}"))?;
    Ok(CaseResult {
        verdict: Verdict::Injected,
        reasons: injection.reasons.iter().map(|reason| reason.code().to_owned()).collect(),
        patch: serde_json::to_value(&patch).ok(),
        pod: Some(pod),
        warnings: injection.warnings,
        templates: injection.templates,
        ..CaseResult::default()
    })
}

fn skipped(skip: Skip) -> CaseResult {
    CaseResult {
        verdict: Verdict::Skipped,
        reasons: skip.reasons.iter().map(|reason| reason.code().to_owned()).collect(),
        codes: skip.errors.iter().map(|code| code.code().to_owned()).collect(),
        warnings: skip.warnings,
        templates: skip.templates,
        ..CaseResult::default()
    }
}

fn refused(error: &InjectError) -> CaseResult {
    CaseResult {
        verdict: match error.blame() {
            Blame::Pod => Verdict::Refused,
            Blame::Template | Blame::Injector => Verdict::Failed,
        },
        codes: error.codes().iter().map(|code| code.code().to_owned()).collect(),
        message: Some(error.to_string()),
        ..CaseResult::default()
    }
}
