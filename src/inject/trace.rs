//! Traces a decision: what each step looked at, beside the outcome of the engine.
//!
//! Nothing here decides: the outcome comes from the pipeline, and each check from the function that
//! the pipeline asks. The pipeline itself builds no trace. Invariant: the verdict of the trace is that
//! of the pipeline.

use super::annotations::AnnotationKeys;
use super::decision::report::InjectionReport;
use super::decision::{Decider, trace as decision_trace};
use super::error::{Blame, ErrorCode, InjectError, Problem};
use super::outcome::trace::{
    Check, CodedSentence, DecisionTrace, StepKind, StepVerdict, TemplateTrace, TemplateVerdict, TraceStep, TraceVerdict,
};
use super::outcome::{Explanation, LeftOut, Outcome, SkipReason};
use super::pipeline;
use super::pod::Pod;
use super::prepare::Preparation;
use super::prepare::trace::coded;
use super::request::Request;
use super::settings::Settings;
use super::status::Status;
use super::template::TemplateSet;

/// What the pipeline has said about the request.
pub(super) struct Verdict<'o> {
    pub outcome: &'o Result<Outcome, InjectError>,
    /// Sentences about the reasons of a skip.
    pub explanations: &'o [Explanation],
}

impl Verdict<'_> {
    fn reasons(&self) -> &[SkipReason] {
        match self.outcome {
            Ok(Outcome::Injected(injection)) => &injection.reasons,
            Ok(Outcome::Skipped(skip)) => &skip.reasons,
            Err(_) => &[],
        }
    }

    fn problems(&self) -> &[Problem] {
        self.outcome.as_ref().err().map_or(&[], InjectError::problems)
    }

    fn left_out(&self) -> &[LeftOut] {
        match self.outcome {
            Ok(Outcome::Injected(injection)) => &injection.left_out,
            Ok(Outcome::Skipped(skip)) => &skip.left_out,
            Err(_) => &[],
        }
    }

    fn injected(&self) -> &[String] {
        match self.outcome {
            Ok(Outcome::Injected(injection)) => &injection.templates,
            Ok(Outcome::Skipped(_)) | Err(_) => &[],
        }
    }

    fn warnings(&self) -> &[String] {
        match self.outcome {
            Ok(Outcome::Injected(injection)) => &injection.warnings,
            Ok(Outcome::Skipped(skip)) => &skip.warnings,
            Err(_) => &[],
        }
    }

    /// The reason with what is known about this pod.
    fn sentence(&self, reason: SkipReason) -> CodedSentence {
        let known = self.explanations.iter().find(|explanation| explanation.reason == reason);
        let sentence = known.map_or_else(|| reason.sentence().to_owned(), |known| known.message.to_string());
        CodedSentence { code: reason.code().to_owned(), sentence }
    }
}

/// Traces the decision about the request.
pub(super) fn of(
    templates: &TemplateSet,
    settings: &Settings,
    keys: &AnnotationKeys,
    request: &Request<'_>,
    verdict: &Verdict<'_>,
) -> DecisionTrace {
    let templates = templates.visible_in(request.namespace);
    let decider = Decider { keys, request, settings, templates };
    let mut looked = LookedAt { request: decision_trace::request_checks(request), ..LookedAt::default() };
    if decision_is_about_a_pod(request) {
        looked.look(&decider, verdict);
    }
    looked.trace(keys, verdict)
}

/// The trace of a request that is refused before the engine looks at its pod.
pub(crate) fn refused(error: &InjectError) -> DecisionTrace {
    let outcome = Err(error.clone());
    let keys = AnnotationKeys::new(super::annotations::DEFAULT_DOMAIN);
    let unreadable = Check::of("readable as a pod", "no", false);
    let request = decision_trace::request_checks(&Request::create_pod("", ""));
    let looked = LookedAt { request, pod: vec![unreadable], ..LookedAt::default() };
    looked.trace(&keys, &Verdict { outcome: &outcome, explanations: &[] })
}

fn decision_is_about_a_pod(request: &Request<'_>) -> bool {
    super::decision::of_request(request).is_empty()
}

/// The checks of all steps that were reached.
#[derive(Default)]
struct LookedAt {
    request: Vec<Check>,
    pod: Vec<Check>,
    namespace: Vec<Check>,
    opt_out: Vec<Check>,
    requested: Vec<Check>,
    templates: Vec<TemplateTrace>,
}

impl LookedAt {
    fn look(&mut self, decider: &Decider<'_>, verdict: &Verdict<'_>) {
        let (keys, request) = (decider.keys, decider.request);
        let pod = match Pod::open(request.object, None, &keys.inject) {
            Ok(pod) => pod,
            Err(error) => {
                return self.pod.push(Check::of("readable as a pod", InjectError::from(error).to_string(), false));
            }
        };
        let head = pod.head();
        self.pod = decider.pod_checks(head, verdict.reasons());
        self.namespace = decider.namespace_checks(head);
        self.opt_out = decider.opt_out_checks(head);
        let requested = decider.decide(head, &mut InjectionReport::default());
        let is_requested = match &requested {
            Ok(Some(_)) => true,
            Ok(None) => verdict.reasons().contains(&SkipReason::WindowsPod) && !is_without_request(verdict.reasons()),
            Err(_) => false,
        };
        self.requested = decider.list_checks(head, is_requested);
        let Ok(Some(requested)) = requested else { return };
        match pod.read(None) {
            Ok(pod) => {
                self.pod.push(Check::of("readable as a pod", "yes", true));
                let status = Status::of(&pod, &keys.status);
                let names = pipeline::names(&requested.templates, &status);
                let Decider { settings, templates, .. } = *decider;
                let (status, names) = (&status[..], &names[..]);
                let preparation = Preparation { settings, keys, templates, request, pod: &pod, status, names };
                self.templates = preparation.trace(decider, &requested.templates);
            }
            Err(error) => self.pod.push(Check::of("readable as a pod", InjectError::from(error).to_string(), false)),
        }
    }

    /// The trace, with the verdicts that follow from the outcome.
    fn trace(mut self, keys: &AnnotationKeys, verdict: &Verdict<'_>) -> DecisionTrace {
        for template in &mut self.templates {
            settle(template, verdict);
        }
        let stops = Stops::of(&self.templates, keys, verdict);
        let checks = |kind: StepKind| match kind {
            StepKind::Request => self.request.clone(),
            StepKind::Pod => self.pod.clone(),
            StepKind::Namespace => self.namespace.clone(),
            StepKind::OptOut => self.opt_out.clone(),
            StepKind::Requested => self.requested.clone(),
            StepKind::AlreadyInjected => self.templates.iter().map(was_injected).collect(),
            StepKind::Templates => self.pending().map(can_be_had).collect(),
            StepKind::Merge => self.pending().filter(|one| fits_or_conflicts(one)).map(fits).collect(),
        };
        let step = |kind: StepKind| {
            let (verdict, checks) = match (stops.verdict(kind), checks(kind)) {
                (StepVerdict::NotReached, _) => (StepVerdict::NotReached, Vec::new()),
                // An object that is no pod has nothing to look at.
                (StepVerdict::Passed, none) if none.is_empty() && kind <= StepKind::OptOut => {
                    (StepVerdict::NotReached, none)
                }
                (verdict, checks) => (verdict, checks),
            };
            TraceStep { step: kind, verdict, checks, reasons: stops.reasons_of(kind) }
        };
        DecisionTrace {
            steps: StepKind::ALL.map(step).into(),
            verdict: match verdict.outcome {
                Ok(Outcome::Injected(_)) => TraceVerdict::Injected,
                Ok(Outcome::Skipped(_)) => TraceVerdict::Skipped,
                Err(error) if error.blame() == Blame::Pod => TraceVerdict::Refused,
                Err(_) => TraceVerdict::Failed,
            },
            injected: verdict.injected().to_vec(),
            reasons: verdict.reasons().iter().map(|reason| verdict.sentence(*reason)).collect(),
            problems: coded(verdict.problems()),
            warnings: verdict.warnings().to_vec(),
            templates: self.templates,
        }
    }

    /// Templates that no earlier pass has injected.
    fn pending(&self) -> impl Iterator<Item = &TemplateTrace> {
        self.templates.iter().filter(|template| !is_marked(template))
    }
}

fn is_without_request(reasons: &[SkipReason]) -> bool {
    reasons.contains(&SkipReason::NotRequested) || reasons.contains(&SkipReason::NamespaceNotEnabled)
}

/// Whether the pod's status lists the template.
fn is_marked(template: &TemplateTrace) -> bool {
    template.checks.first().is_some_and(|check| check.what == "not injected before")
}

/// Sets the verdict of a template, and its problems.
fn settle(template: &mut TemplateTrace, verdict: &Verdict<'_>) {
    let problems: Vec<Problem> = verdict
        .problems()
        .iter()
        .filter(|problem| problem.template.as_ref() == Some(&template.name) || names(problem, template))
        .cloned()
        .collect();
    let left_out: Vec<ErrorCode> =
        verdict.left_out().iter().filter(|one| one.template == template.name).map(|one| one.code).collect();
    let exists = template.revision.is_some();
    template.verdict = if is_marked(template) {
        TemplateVerdict::AlreadyInjected
    } else if !problems.is_empty() {
        TemplateVerdict::Refused
    } else if verdict.injected().contains(&template.name) {
        TemplateVerdict::Injected
    } else if verdict.outcome.is_err() {
        let is_refused = template.checks.iter().any(Check::fails);
        if is_refused { TemplateVerdict::NotChosen } else { TemplateVerdict::NotInjected }
    } else if !left_out.is_empty() || !exists {
        TemplateVerdict::LeftOut
    } else if template.checks.iter().any(Check::fails) {
        TemplateVerdict::NotChosen
    } else if template.brings.is_empty() && verdict.reasons().contains(&SkipReason::NothingToAdd) {
        TemplateVerdict::NothingToAdd
    } else if verdict.reasons().contains(&SkipReason::AlreadyInjected) {
        TemplateVerdict::AlreadyInjected
    } else {
        TemplateVerdict::NotChosen
    };
    if !problems.is_empty() {
        template.problems = coded(&problems);
    }
}

/// Whether a problem without a template is about this one: that of an unknown name quotes it, and
/// otherwise only names that are known.
fn names(problem: &Problem, template: &TemplateTrace) -> bool {
    template.revision.is_none()
        && matches!(problem.code, ErrorCode::TemplateNotFound | ErrorCode::TemplateBroken)
        && problem.template.is_none()
        && problem.message.to_string().contains(&super::text::quote(&template.name))
}

fn was_injected(template: &TemplateTrace) -> Check {
    match template.checks.first().filter(|_| is_marked(template)) {
        Some(check) => Check { what: format!("template {}", template.name), ..check.clone() },
        None => Check::of(format!("template {}", template.name), "not in the pod's status", true),
    }
}

fn can_be_had(template: &TemplateTrace) -> Check {
    let failed: Vec<String> = template
        .checks
        .iter()
        .filter(|check| check.fails())
        .map(|check| format!("{}: {}", check.what, check.found))
        .chain(template.problems.iter().filter(|problem| !is_of_merge(problem)).map(|problem| problem.code.clone()))
        .collect();
    let found = if failed.is_empty() { "yes".to_owned() } else { failed.join("; ") };
    Check::of(format!("template {}", template.name), found, failed.is_empty())
}

fn is_of_merge(problem: &CodedSentence) -> bool {
    problem.code == ErrorCode::Conflict.code() || problem.code == ErrorCode::Internal.code()
}

fn fits_or_conflicts(template: &TemplateTrace) -> bool {
    can_be_had(template).holds == Some(true)
}

fn fits(template: &TemplateTrace) -> Check {
    let what = format!("template {}", template.name);
    match (template.problems.first(), template.verdict) {
        (Some(problem), _) => Check::of(what, problem.code.clone(), false),
        (None, TemplateVerdict::AlreadyInjected) => Check::of(what, "everything is in the pod already", false),
        (None, TemplateVerdict::NothingToAdd) => Check::of(what, "it brings nothing for this pod", false),
        (None, TemplateVerdict::LeftOut) => Check::of(what, "left out with a warning", false),
        (None, _) => Check::of(what, "yes", true),
    }
}

/// Which steps stop the decision, or leave templates out, and why.
struct Stops {
    reasons: Vec<(StepKind, CodedSentence)>,
    first: Option<StepKind>,
}

impl Stops {
    fn of(templates: &[TemplateTrace], keys: &AnnotationKeys, verdict: &Verdict<'_>) -> Self {
        let mut reasons = Vec::new();
        let has_requested = !templates.is_empty();
        for reason in verdict.reasons() {
            for step in steps_of(*reason, templates) {
                reasons.push((step, verdict.sentence(*reason)));
            }
        }
        for problem in verdict.problems() {
            let step = step_of_problem(problem, keys, has_requested);
            reasons.extend(coded(std::slice::from_ref(problem)).into_iter().map(|coded| (step, coded)));
        }
        for left_out in verdict.left_out() {
            let step = if left_out.code == ErrorCode::Conflict { StepKind::Merge } else { StepKind::Templates };
            let sentence =
                format!("template {} is left out, as its onError says", super::text::quote(&left_out.template));
            reasons.push((step, CodedSentence { code: left_out.code.code().to_owned(), sentence }));
        }
        let is_injected = matches!(verdict.outcome, Ok(Outcome::Injected(_)));
        // A decision that ends with nothing ends at the last step that took a template, but what
        // rules a pod out as a whole does so at once.
        let early = reasons.iter().map(|(step, _)| *step).filter(|step| *step <= StepKind::Requested).min();
        let late = reasons.iter().map(|(step, _)| *step).max();
        Self { first: if is_injected { None } else { early.or(late) }, reasons }
    }

    fn reasons_of(&self, kind: StepKind) -> Vec<CodedSentence> {
        let mut found: Vec<CodedSentence> = Vec::new();
        for (_, reason) in self.reasons.iter().filter(|(step, _)| *step == kind) {
            if !found.contains(reason) {
                found.push(reason.clone());
            }
        }
        found
    }

    fn verdict(&self, kind: StepKind) -> StepVerdict {
        let has_reason = self.reasons.iter().any(|(step, _)| *step == kind);
        // The steps before the lists are all looked at.
        let is_looked_at = kind <= StepKind::OptOut && self.first.is_none_or(|first| first > StepKind::Request);
        match self.first {
            Some(first) if has_reason && (kind >= first || kind <= StepKind::OptOut) && kind <= last(first) => {
                StepVerdict::Stopped
            }
            Some(first) if kind > first && !is_looked_at => StepVerdict::NotReached,
            _ if has_reason => StepVerdict::Partly,
            _ => StepVerdict::Passed,
        }
    }
}

/// The last step that is looked at when a decision stops at this one.
fn last(first: StepKind) -> StepKind {
    match first {
        StepKind::Request => StepKind::Request,
        StepKind::Pod | StepKind::Namespace | StepKind::OptOut => StepKind::Requested,
        later => later,
    }
}

/// The steps at which a reason arises.
fn steps_of(reason: SkipReason, templates: &[TemplateTrace]) -> Vec<StepKind> {
    match reason {
        SkipReason::UnsupportedResource | SkipReason::UnsupportedOperation => vec![StepKind::Request],
        SkipReason::MirrorPod | SkipReason::WindowsPod => vec![StepKind::Pod],
        SkipReason::NamespaceExcluded | SkipReason::NamespaceDisabled => vec![StepKind::Namespace],
        SkipReason::OptedOut => vec![StepKind::OptOut],
        // No Automatic template matches.
        SkipReason::NotRequested if !templates.is_empty() => vec![StepKind::Templates],
        SkipReason::NamespaceNotEnabled | SkipReason::DefaultListInvalid | SkipReason::NotRequested => {
            vec![StepKind::Requested]
        }
        SkipReason::DefaultTemplateMissing | SkipReason::DefaultTemplateBroken => vec![StepKind::Templates],
        SkipReason::AlreadyInjected => {
            let done = |marked: bool| {
                templates.iter().any(|one| one.verdict == TemplateVerdict::AlreadyInjected && is_marked(one) == marked)
            };
            let steps = [(done(true), StepKind::AlreadyInjected), (done(false), StepKind::Merge)];
            steps.into_iter().filter(|(is_done, _)| *is_done).map(|(_, step)| step).collect()
        }
        SkipReason::NothingToAdd => vec![StepKind::Merge],
    }
}

fn step_of_problem(problem: &Problem, keys: &AnnotationKeys, has_requested: bool) -> StepKind {
    match problem.code {
        ErrorCode::PodInvalid => StepKind::Pod,
        ErrorCode::AnnotationInvalid if !has_requested && problem.annotation.as_ref() == Some(&keys.inject) => {
            StepKind::Requested
        }
        ErrorCode::Conflict | ErrorCode::Internal => StepKind::Merge,
        _ => StepKind::Templates,
    }
}
