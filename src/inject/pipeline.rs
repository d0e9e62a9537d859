//! The steps of an injection: open, decide, read, prepare, plan, commit, each once for a pod.

use super::annotations::AnnotationKeys;
use super::commit;
use super::decision::report::InjectionReport;
use super::decision::{self, Decider, RequestedTemplate};
use super::error::{Blame, InjectError};
use super::outcome::{Explanation, Outcome, SkipReason};
use super::pod::{Pod, ScannedPod};
use super::prepare::Preparation;
#[cfg(feature = "runtime")]
use super::prepare::selection::ConditionVerdict;
use super::request::Request;
use super::settings::Settings;
use super::status::{Status, StatusEntry};
use super::template::spec::OnError;
use super::template::{LoadProblem, TemplateScope, TemplateSet, WarningKind};
use super::text::{message, quote, value};

/// Most Automatic templates that are compared with each other: all of them are compiled for it.
pub(crate) const MAX_OVERLAPPING: usize = 200;
const CONFLICT: &str = "a pod that gets two Automatic templates is refused: ";

/// Runs all steps. `scanned` is the object if its text was scanned before. All conflicts are found before anything is written.
pub(super) fn run(
    templates: &TemplateSet,
    settings: &Settings,
    keys: &AnnotationKeys,
    request: &Request<'_>,
    scanned: Option<ScannedPod<'_>>,
) -> Result<Outcome, InjectError> {
    let reasons = decision::of_request(request);
    if !reasons.is_empty() {
        return Ok(Outcome::skipped(reasons));
    }
    let pod = Pod::open(request.object, scanned, &keys.inject)?;
    let templates = templates.visible_in(request.namespace);
    let decider = Decider { keys, request, settings, templates };
    let mut report = InjectionReport::default();
    let Some(mut requests) = decider.decide(pod.head(), &mut report)? else {
        if report.is_not_requested() && has_automatic_match(&decider, pod) {
            return Ok(Outcome::skipped(vec![SkipReason::NamespaceNotEnabled]));
        }
        return Ok(Outcome::Skipped(report.skip()));
    };
    let mut pod = pod.read(requests.read_sets.as_deref())?;
    loop {
        let status = Status::of(&pod, &keys.status);
        let names = names(&requests.templates, &status);
        let preparation = Preparation { settings, keys, templates, request, pod: &pod, status: &status, names: &names };
        let mut of_try = report.clone();
        let candidates = preparation.prepare(&requests.templates, &mut of_try)?;
        let planned = preparation.plan(candidates, &mut of_try)?;
        let error = match commit::commit(pod, &status, planned, keys, of_try) {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        // The result is found to be invalid only when the pod has been changed, so it is read anew.
        let Some(index) = to_leave_out(&requests.templates, &error) else { return Err(error) };
        let left_out = requests.templates.remove(index);
        for problem in error.problems().iter().filter(|problem| problem.template.as_ref() == Some(&left_out.name)) {
            report.leave_out(&left_out.name, problem.code, &problem.message);
        }
        pod = Pod::open(request.object, None, &keys.inject)?.read(requests.read_sets.as_deref())?;
    }
}

/// Names of the requested templates, and of others that an earlier pass has injected.
pub(super) fn names<'n>(requested: &'n [RequestedTemplate<'_>], status: &'n [StatusEntry]) -> Vec<&'n str> {
    let mut names: Vec<&str> = requested.iter().map(|requested| requested.name.as_str()).collect();
    let had = status.iter().map(|entry| entry.name.as_str());
    let others: Vec<&str> = had.filter(|name| !names.contains(name)).collect();
    names.extend(others);
    names
}

/// The first template with `onError: Skip` whose part of the result is invalid, if the pod's author can
/// mend the result.
fn to_leave_out(requested: &[RequestedTemplate<'_>], error: &InjectError) -> Option<usize> {
    let is_named = |name: &str| error.problems().iter().any(|problem| problem.template.as_deref() == Some(name));
    let may_be_skipped = |requested: &RequestedTemplate<'_>| {
        requested.found.template().is_some_and(|template| template.spec.on_error == OnError::Skip)
            && is_named(&requested.name)
    };
    if error.blame() == Blame::Pod { requested.iter().position(may_be_skipped) } else { None }
}

/// Whether an Automatic template would be injected if the namespace were enabled. Such a pod seldom
/// gets here: the API server sends only pods that have the annotation, or of enabled namespaces.
fn has_automatic_match(decider: &Decider<'_>, pod: Pod<'_>) -> bool {
    let templates = decider.automatic_if_enabled(pod.head());
    if templates.is_empty() {
        return false;
    }
    // A pod that cannot be read is admitted as it is.
    let Ok(pod) = pod.read(None) else { return false };
    let Decider { keys, request, settings, templates: all } = *decider;
    let names = names(&templates, &[]);
    let preparation = Preparation { settings, keys, templates: all, request, pod: &pod, status: &[], names: &names };
    let prepared = preparation.prepare(&templates, &mut InjectionReport::default());
    prepared.map_or(true, |candidates| !candidates.is_empty())
}

/// The Automatic templates that conflict with each other in the pods of one namespace; an empty
/// name stands for those without templates of their own.
pub(super) fn overlaps(
    templates: &TemplateSet,
    settings: &Settings,
    keys: &AnnotationKeys,
    namespace: &str,
) -> Vec<(TemplateScope, LoadProblem)> {
    const POD: &str = r#"{"metadata":{"name":"pod"},"spec":{"containers":[{"name":"app","image":"app"}]}}"#;
    let request = Request::create_pod(namespace, POD);
    let decider = Decider { keys, request: &request, settings, templates: templates.visible_in(namespace) };
    let requested = decider.automatic(&[]);
    let read = Pod::open(POD, None, &keys.inject).ok().and_then(|pod| pod.read(None).ok());
    let Some(pod) = read.filter(|_| (2..=MAX_OVERLAPPING).contains(&requested.len())) else { return Vec::new() };
    let names = names(&requested, &[]);
    let templates = decider.templates;
    let preparation =
        Preparation { settings, keys, templates, request: &request, pod: &pod, status: &[], names: &names };
    let warnings = preparation.overlaps(&requested).into_iter().flat_map(|overlap| {
        overlap.templates.map(|template| {
            // A tenant writes nothing into what is said of a template of the cluster.
            let detail = match template.scope.namespace() {
                None if !namespace.is_empty() => {
                    message!["it conflicts with an Automatic template of namespace ", value(quote(namespace))]
                }
                _ => overlap.message.clone(),
            };
            let warning = LoadProblem::of_source(&template.origin, message![CONFLICT, detail]);
            let warning = LoadProblem {
                template: Some(template.name.clone()),
                warning: Some(WarningKind::AutomaticConflict),
                ..warning
            };
            (template.scope.clone(), warning)
        })
    });
    warnings.collect()
}

/// What the conditions of this template's `match` say of a pod; `None` if the template does not work.
#[cfg(feature = "runtime")]
pub(super) fn condition_verdicts(
    templates: &TemplateSet,
    settings: &Settings,
    keys: &AnnotationKeys,
    request: &Request<'_>,
    name: &str,
) -> Option<Vec<ConditionVerdict>> {
    let templates = templates.visible_in(request.namespace);
    let decider = Decider { keys, request, settings, templates };
    let requested = decider.asked_for(name);
    let pod = Pod::open(request.object, None, &keys.inject).ok()?.read(None).ok()?;
    let preparation = Preparation { settings, keys, templates, request, pod: &pod, status: &[], names: &[name] };
    preparation.condition_verdicts(&requested)
}

/// Explains each reason that no warning tells.
pub(super) fn explain(
    templates: &TemplateSet,
    settings: &Settings,
    keys: &AnnotationKeys,
    request: &Request<'_>,
    reasons: &[SkipReason],
) -> Vec<Explanation> {
    let templates = templates.visible_in(request.namespace);
    let decider = Decider { keys, request, settings, templates };
    let is_pod = decision::of_request(request).is_empty();
    match Some(()).filter(|()| is_pod).and_then(|()| Pod::open(request.object, None, &keys.inject).ok()) {
        Some(pod) => {
            let untold = reasons.iter().filter(|reason| !decider.warns(pod.head(), **reason));
            untold.map(|reason| decider.explain(&pod, *reason)).collect()
        }
        None => reasons.iter().map(|reason| Explanation::general(*reason)).collect(),
    }
}
