//! Compares the trace of each golden case with the outcome of the engine.
//!
//! Invariant: the trace says what the engine does, and a step that stops the decision names a check
//! that failed or a reason.

use outrigger::inject::decision_trace::{
    Check, CodedSentence, DecisionTrace, StepKind, StepVerdict, TemplateVerdict, TraceVerdict,
};
use outrigger::inject::{Blame, InjectError, Outcome, Request};

use super::case::Case;
use super::runner;

#[test]
fn the_trace_of_every_case_says_what_the_engine_does() {
    super::run_all(|case| {
        let (faults, _) = trace(case)?;
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    });
}

/// Each step must stop the decision in some case, or a step that is never reached would go unseen.
#[test]
fn every_step_of_the_trace_stops_some_case() {
    let cases = super::case::read_all().into_iter().filter_map(|(_, case)| case.ok());
    let traces: Vec<DecisionTrace> = cases.filter_map(|case| Some(trace(&case).ok()?.1)).collect();
    for kind in StepKind::ALL {
        let stops = |trace: &&DecisionTrace| trace.step(kind).is_some_and(|step| step.verdict == StepVerdict::Stopped);
        assert!(traces.iter().any(|trace| stops(&trace)), "no case stops at {kind:?}");
    }
    for verdict in [
        TemplateVerdict::Injected,
        TemplateVerdict::AlreadyInjected,
        TemplateVerdict::NotChosen,
        TemplateVerdict::LeftOut,
        TemplateVerdict::Refused,
        TemplateVerdict::NothingToAdd,
        TemplateVerdict::NotInjected,
    ] {
        let has = |trace: &DecisionTrace| trace.templates.iter().any(|one| one.verdict == verdict);
        assert!(traces.iter().any(has), "no template of a case is {verdict:?}");
    }
}

/// What is wrong with the trace of a case, and the trace.
fn trace(case: &Case) -> Result<(Vec<String>, DecisionTrace), Vec<String>> {
    let injector = runner::injector(case)?;
    let namespace = case.settings.namespace_object();
    let object = case.pod.to_string();
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
    let outcome = injector.inject(&request);
    let (_, trace) = injector.trace(&request);
    let mut faults = Vec::new();
    compare_outcome(&outcome, &trace, &mut faults);
    check_steps(&trace, &mut faults);
    check_templates(&trace, &mut faults);
    Ok((faults.into_iter().map(|fault| format!("{fault}: {trace:#?}")).collect(), trace))
}

/// The verdict, the templates and all codes are those of the engine.
fn compare_outcome(outcome: &Result<Outcome, InjectError>, trace: &DecisionTrace, faults: &mut Vec<String>) {
    let codes = |list: &[CodedSentence]| list.iter().map(|one| one.code.clone()).collect::<Vec<_>>();
    let (verdict, injected, reasons, problems) = match outcome {
        Ok(Outcome::Injected(one)) => (TraceVerdict::Injected, one.templates.clone(), one.reasons.clone(), Vec::new()),
        Ok(Outcome::Skipped(skip)) => (TraceVerdict::Skipped, Vec::new(), skip.reasons.clone(), Vec::new()),
        Err(error) => {
            let verdict = if error.blame() == Blame::Pod { TraceVerdict::Refused } else { TraceVerdict::Failed };
            let codes = error.problems().iter().map(|problem| problem.code.code().to_owned()).collect();
            (verdict, Vec::new(), Vec::new(), codes)
        }
    };
    let reasons: Vec<&str> = reasons.iter().map(|reason| reason.code()).collect();
    let stopped = trace.steps.iter().filter(|step| step.verdict == StepVerdict::Stopped).count();
    for (what, holds) in [
        ("another verdict", trace.verdict == verdict),
        ("other templates", trace.injected == injected),
        ("other reasons", codes(&trace.reasons) == reasons),
        ("other problems", codes(&trace.problems) == problems),
        ("a pod that is injected stops nowhere", (verdict == TraceVerdict::Injected) == (stopped == 0)),
    ] {
        faults.extend((!holds).then(|| what.to_owned()));
    }
}

/// A step that stops has a reason, and an early one a check that fails.
fn check_steps(trace: &DecisionTrace, faults: &mut Vec<String>) {
    for step in &trace.steps {
        let fails = step.checks.iter().any(Check::fails);
        let is_early = step.step <= StepKind::OptOut;
        // What rules a pod out as a whole is always a check with the actual value.
        let is_list = step.reasons.iter().any(|reason| reason.code == "annotation_invalid");
        let stops_early = step.verdict == StepVerdict::Stopped && step.step <= StepKind::Requested;
        for (what, holds) in [
            ("stops without a reason", step.verdict != StepVerdict::Stopped || !step.reasons.is_empty()),
            (
                "passes and looks at nothing",
                step.verdict != StepVerdict::Passed || !is_early || !step.checks.is_empty(),
            ),
            ("passes with a failed check", step.verdict != StepVerdict::Passed || !is_early || !fails),
            ("is not reached, and was looked at", step.verdict != StepVerdict::NotReached || step.checks.is_empty()),
            ("stops and no check fails", !stops_early || fails || is_list),
        ] {
            faults.extend((!holds).then(|| format!("{:?} {what}", step.step)));
        }
    }
}

/// A template is injected if the engine says so; then no check fails, and it brings something.
fn check_templates(trace: &DecisionTrace, faults: &mut Vec<String>) {
    for template in &trace.templates {
        let is_injected = template.verdict == TemplateVerdict::Injected;
        for (what, holds) in [
            ("is injected or not", is_injected == trace.injected.contains(&template.name)),
            ("has failed checks", !(is_injected && template.checks.iter().any(Check::fails))),
            ("brings nothing", !is_injected || !template.brings.is_empty()),
        ] {
            faults.extend((!holds).then(|| format!("{} {what}", template.name)));
        }
    }
}
