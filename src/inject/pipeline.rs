//! The steps of an injection: open, decide, read, prepare, plan, commit, each once for a pod.

use super::annotations::AnnotationKeys;
use super::commit;
use super::decision::report::InjectionReport;
use super::decision::{self, Decider, Decision};
use super::error::InjectError;
use super::outcome::Outcome;
use super::pod::Pod;
use super::prepare::Preparation;
use super::request::Request;
use super::settings::Settings;
use super::status::Status;
use super::template::TemplateSet;

/// Runs all steps. All conflicts are found before anything is written.
pub(super) fn run(
    templates: &TemplateSet,
    settings: &Settings,
    keys: &AnnotationKeys,
    request: &Request<'_>,
) -> Result<Outcome, InjectError> {
    let reasons = decision::of_request(request);
    if !reasons.is_empty() {
        return Ok(Outcome::skipped(reasons));
    }
    let pod = Pod::open(request.object, &keys.inject)?;
    let decider = Decider { keys, request, excluded_namespaces: &settings.excluded_namespaces, templates };
    let (requested, read_sets) = match decider.decide(pod.head())? {
        Decision::Inject { requested, read_sets } => (requested, read_sets),
        Decision::Skip(reasons) => return Ok(Outcome::skipped(reasons)),
    };
    let pod = pod.read(read_sets.as_deref())?;
    let status = Status::of(&pod, &keys.status);
    let mut report = InjectionReport::default();
    let preparation = Preparation { settings, keys, templates, request, pod: &pod, status: &status };
    let candidates = preparation.prepare(&requested, &mut report)?;
    let planned = preparation.plan(candidates, &mut report)?;
    commit::commit(pod, &status, planned, keys, report)
}
