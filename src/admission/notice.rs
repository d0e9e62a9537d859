//! What the owner of a pod should learn: why the pod was refused, or left without what it asks for.
//!
//! Invariant: a notice has codes, template names and annotation keys, but no value of the pod. There
//! is none for a dry run, nor for a pod that no controller made: its author reads the response.

use super::wire::{self, AdmissionRequest};
use crate::inject::text::{Message, one_line};
use crate::inject::{InjectError, Outcome, Problem, SkipReason};

/// Longest sentence, in characters. Events take 1,024 bytes.
const MAX_SENTENCE: usize = 900;

/// Why the pods of one owner are refused, or left without what they ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerNotice {
    /// Namespace of the pod and its owner.
    pub namespace: String,
    /// The controller that created the pod.
    pub owner: Owner,
    /// At least one, each code once.
    pub causes: Vec<Cause>,
}

/// The controlling owner of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// One cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The stable code of the error or reason.
    pub code: &'static str,
    /// One line for people.
    pub sentence: String,
}

/// The notice about this outcome, if there is one.
pub(super) fn notice(
    request: &AdmissionRequest<'_>,
    outcome: &Result<Outcome, InjectError>,
) -> Option<Box<OwnerNotice>> {
    if request.dry_run.unwrap_or(false) {
        return None;
    }
    let causes = causes(outcome);
    if causes.is_empty() {
        return None;
    }
    let owner = wire::controller(request.object())?;
    Some(Box::new(OwnerNotice { namespace: request.namespace.to_string(), owner, causes }))
}

fn causes(outcome: &Result<Outcome, InjectError>) -> Vec<Cause> {
    let (reasons, left_out) = match outcome {
        Ok(Outcome::Injected(injection)) => (&injection.reasons, &injection.left_out),
        Ok(Outcome::Skipped(skip)) => (&skip.reasons, &skip.left_out),
        Err(error) => return refusals(error),
    };
    let mut causes: Vec<Cause> = Vec::new();
    if !asks_for_nothing(reasons) {
        let of_reasons = reasons.iter().filter(|reason| is_cause(**reason));
        causes.extend(of_reasons.map(|reason| Cause {
            code: reason.code(),
            sentence: format!("a pod was created without what it asks for: {reason}"),
        }));
    }
    for left_out in left_out {
        let (code, template) = (left_out.code.code(), &left_out.template);
        let sentence = format!("a pod was created without template {template:?}: {code}");
        match causes.iter_mut().find(|cause| cause.code == code) {
            Some(cause) => cause.sentence = one_line(&format!("{}; {sentence}", cause.sentence), MAX_SENTENCE),
            None => causes.push(Cause { code, sentence: one_line(&sentence, MAX_SENTENCE) }),
        }
    }
    causes
}

/// One cause for each code of a refusal.
fn refusals(error: &InjectError) -> Vec<Cause> {
    let cause = |code| {
        let problems = error.problems().iter().filter(|problem| problem.code == code);
        let sentence = Message::join(problems.map(Problem::sentence), "; ").redacted();
        Cause { code: code.code(), sentence: one_line(&format!("no pod was created: {sentence}"), MAX_SENTENCE) }
    };
    error.codes().into_iter().map(cause).collect()
}

/// Whether the pod lacks what it asks for because of this reason.
const fn is_cause(reason: SkipReason) -> bool {
    match reason {
        SkipReason::WindowsPod
        | SkipReason::NamespaceExcluded
        | SkipReason::NamespaceDisabled
        | SkipReason::NamespaceNotEnabled
        | SkipReason::DefaultListInvalid
        | SkipReason::DefaultTemplateMissing
        | SkipReason::DefaultTemplateBroken => true,
        SkipReason::UnsupportedResource
        | SkipReason::UnsupportedOperation
        | SkipReason::MirrorPod
        | SkipReason::OptedOut
        | SkipReason::NotRequested
        | SkipReason::AlreadyInjected
        | SkipReason::NothingToAdd => false,
    }
}

/// A pod that asks for nothing, or opts out, misses nothing.
fn asks_for_nothing(reasons: &[SkipReason]) -> bool {
    reasons.iter().any(|reason| matches!(reason, SkipReason::NotRequested | SkipReason::OptedOut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::text::{message, value};
    use crate::inject::{ErrorCode, Injection, LeftOut, Skip};

    fn problem(code: ErrorCode, message: Message) -> Problem {
        Problem { code, template: None, annotation: None, message }
    }

    fn refused(problems: Vec<Problem>) -> Result<Outcome, InjectError> {
        Err(InjectError::from(problems))
    }

    fn codes(outcome: &Result<Outcome, InjectError>) -> Vec<&'static str> {
        causes(outcome).iter().map(|cause| cause.code).collect()
    }

    #[test]
    fn a_refusal_has_one_cause_for_each_code_and_no_value() {
        let problem = |code, text: &str| problem(code, message!["template ", value(text), " is not there"]);
        let outcome = refused(vec![
            problem(ErrorCode::TemplateNotFound, "s3cr3t"),
            problem(ErrorCode::TemplateNotFound, "other"),
            problem(ErrorCode::Conflict, "s3cr3t"),
        ]);
        let causes = causes(&outcome);
        assert_eq!(codes(&outcome), ["template_not_found", "conflict"]);
        let expected = "no pod was created: template_not_found: template … is not there; \
                        template_not_found: template … is not there";
        assert_eq!(causes[0].sentence, expected);
    }

    #[test]
    fn a_long_sentence_is_cut() {
        let problem = |_| problem(ErrorCode::Conflict, message!["volumes[", value("x"), "] has two values"]);
        let causes = causes(&refused((0..100).map(problem).collect()));
        assert_eq!(causes[0].sentence.chars().count(), MAX_SENTENCE);
    }

    #[test]
    fn a_skip_has_a_cause_only_where_the_pod_misses_something() {
        let skipped =
            |reasons: &[SkipReason]| Ok(Outcome::Skipped(Skip { reasons: reasons.to_vec(), ..Skip::default() }));
        assert_eq!(codes(&skipped(&[SkipReason::NamespaceDisabled])), ["namespace_disabled"]);
        for reasons in [
            &[SkipReason::NamespaceDisabled, SkipReason::NotRequested][..],
            &[SkipReason::NamespaceExcluded, SkipReason::OptedOut],
            &[SkipReason::AlreadyInjected],
            &[SkipReason::NotRequested],
            &[SkipReason::MirrorPod],
        ] {
            assert_eq!(codes(&skipped(reasons)), [""; 0], "{reasons:?}");
        }
    }

    #[test]
    fn a_template_that_is_left_out_is_named() {
        let left_out = ["proxy", "tracer"]
            .map(|template| LeftOut { template: template.to_owned(), code: ErrorCode::ParameterInvalid })
            .to_vec();
        let injection = Injection {
            patch_json: Vec::new(),
            templates: Vec::new(),
            reasons: Vec::new(),
            left_out,
            warnings: Vec::new(),
        };
        let causes = causes(&Ok(Outcome::Injected(injection)));
        assert_eq!(causes.len(), 1);
        assert!(causes[0].sentence.contains("\"proxy\"") && causes[0].sentence.contains("\"tracer\""), "{causes:?}");
    }
}
