//! Parses a review, passes its pod to the engine, and records the outcome.
//!
//! The engine ([`crate::inject`]) decides about pods; [`super::respond`] writes the response.
//! Invariant: the response has the request's uid, or it has no verdict.

use std::sync::Arc;

use super::respond::{self, ReviewResponse};
use super::wire::{self, API_VERSION, AdmissionRequest, AdmissionReview, KIND};
use super::{ProtocolError, Record, ReviewResult, envelope, notice};
use crate::inject::pod::depth;
use crate::inject::text::json::parser_message;
use crate::inject::text::{Message, message, one_line, value, words};
use crate::inject::{ErrorCode, InjectError, Injector, LeftOut, Namespace, Outcome, Problem, Request, ScannedPod};

/// Longest name that is recorded: a Kubernetes object's name and a `*`.
const MAX_NAME: usize = 254;
/// The number of annotation keys that are recorded.
const MAX_ANNOTATIONS: usize = 16;

/// Responds to one review. `namespaces` looks up a namespace in memory.
pub fn review(injector: &Injector, namespaces: impl Fn(&str) -> Option<Arc<Namespace>>, body: &[u8]) -> ReviewResponse {
    let (review, pod) = match envelope::read(body).map_or_else(|| Ok((parse(body)?, None)), Ok) {
        Ok(read) => read,
        Err((error, detail)) => return respond::protocol_error(error, detail),
    };
    match checked_request(&review) {
        Ok(request) => decide(injector, namespaces, request, pod),
        Err(error) => respond::protocol_error(error, None),
    }
}

pub(super) fn parse(body: &[u8]) -> Result<AdmissionReview<'_>, (ProtocolError, Option<Message>)> {
    if body.is_empty() {
        return Err((ProtocolError::BodyEmpty, None));
    }
    // The parser does not recurse into the object, so it can read deep text before it is refused.
    match serde_json::from_slice(body) {
        Ok(_) if depth::is_too_deep(body) => Err((ProtocolError::ReviewTooDeep, None)),
        Ok(review) => Ok(review),
        Err(_) if depth::nests_too_deeply(body) => Err((ProtocolError::ReviewTooDeep, None)),
        Err(error) => Err((ProtocolError::ReviewInvalid, Some(describe(&error)))),
    }
}

/// The parser's message. For a wrong type it quotes the value that it found.
fn describe(error: &serde_json::Error) -> Message {
    if !error.is_data() {
        return words(error);
    }
    let text = error.to_string();
    let location = format!(" at line {} column {}", error.line(), error.column());
    message![value(parser_message(&text.strip_suffix(&location).unwrap_or(&text))), words(location)]
}

fn checked_request<'r, 'a>(review: &'r AdmissionReview<'a>) -> Result<&'r AdmissionRequest<'a>, ProtocolError> {
    let request = checked_envelope(review)?;
    if request.creates_pod() && request.object.is_none() {
        return Err(ProtocolError::ObjectMissing);
    }
    Ok(request)
}

/// The request, if the review has a version that is supported and a `uid`.
pub(super) fn checked_envelope<'r, 'a>(
    review: &'r AdmissionReview<'a>,
) -> Result<&'r AdmissionRequest<'a>, ProtocolError> {
    if &*review.api_version != API_VERSION || &*review.kind != KIND {
        return Err(ProtocolError::ReviewVersionUnsupported);
    }
    let request = review.request.as_ref().ok_or(ProtocolError::RequestMissing)?;
    if request.uid.is_empty() {
        return Err(ProtocolError::UidMissing);
    }
    Ok(request)
}

fn decide(
    injector: &Injector,
    namespaces: impl Fn(&str) -> Option<Arc<Namespace>>,
    request: &AdmissionRequest<'_>,
    pod: Option<ScannedPod<'_>>,
) -> ReviewResponse {
    let namespace = namespaces(&request.namespace);
    let mut record = empty_record(request, pod.as_ref());
    let engine_request = Request {
        group: &request.resource.group,
        version: &request.resource.version,
        resource: &request.resource.resource,
        sub_resource: &request.sub_resource,
        operation: &request.operation,
        namespace: &request.namespace,
        namespace_object: namespace.as_deref(),
        owner_kind: None,
        object: request.object(),
    };
    let outcome = injector.inject_scanned(&engine_request, pod);
    fill_record(&mut record, injector, &request.namespace, &outcome);
    let notice = notice::notice(request, &outcome);
    ReviewResponse { notice, ..respond::verdict(&request.uid, outcome, record) }
}

/// The record of a request of which nothing is known yet but who sent it.
pub(super) fn empty_record(request: &AdmissionRequest<'_>, pod: Option<&ScannedPod<'_>>) -> Record {
    Record {
        uid: one_line(&request.uid, MAX_NAME),
        namespace: one_line(&request.namespace, MAX_NAME),
        name: name(request, pod),
        templates: Vec::new(),
        result: ReviewResult::Error,
        reasons: Vec::new(),
        errors: Vec::new(),
        template_errors: Vec::new(),
        annotations: Vec::new(),
        dry_run: request.dry_run.unwrap_or(false),
    }
}

pub(super) fn fill_record(
    record: &mut Record,
    injector: &Injector,
    namespace: &str,
    outcome: &Result<Outcome, InjectError>,
) {
    record.result = respond::result(outcome);
    match outcome {
        Ok(Outcome::Injected(injection)) => {
            record.templates.clone_from(&injection.templates);
            record.reasons.clone_from(&injection.reasons);
            record.template_errors = left_out(&injection.left_out);
        }
        Ok(Outcome::Skipped(skip)) => {
            record.templates = loaded(injector, namespace, &skip.templates);
            record.reasons.clone_from(&skip.reasons);
            record.errors = skip.errors.iter().map(|code| code.code()).collect();
            record.template_errors = left_out(&skip.left_out);
        }
        Err(error) => {
            record.templates =
                loaded(injector, namespace, error.problems().iter().filter_map(|problem| problem.template.as_ref()));
            record.errors = error.codes().into_iter().map(|code| code.code()).collect();
            record.template_errors = template_errors(injector, namespace, error.problems());
            record.annotations = annotations(error.problems());
        }
    }
}

/// The pod's name for the record. A pod of a ReplicaSet has only a `generateName` at admission.
fn name(request: &AdmissionRequest<'_>, pod: Option<&ScannedPod<'_>>) -> String {
    if !request.name.is_empty() {
        return one_line(&request.name, MAX_NAME);
    }
    let generated = match pod {
        Some(pod) => Some(pod.generate_name().into_owned()).filter(|name| !name.is_empty()),
        None => wire::generate_name(request.object()),
    };
    one_line(&generated.map(|name| name + "*").unwrap_or_default(), MAX_NAME)
}

/// The names that are loaded templates. Any other name is text of an annotation, which must not be
/// logged.
fn loaded<'n>(injector: &Injector, namespace: &str, names: impl IntoIterator<Item = &'n String>) -> Vec<String> {
    let mut loaded: Vec<String> = Vec::new();
    for name in names {
        if !loaded.contains(name) && injector.templates().is_known_in(namespace, name) {
            loaded.push(name.clone());
        }
    }
    loaded
}

fn left_out(templates: &[LeftOut]) -> Vec<(String, ErrorCode)> {
    templates.iter().map(|one| (one.template.clone(), one.code)).collect()
}

/// Each template with each of its codes once. A problem may name what is no template: text of an
/// annotation, which must be no label of a metric.
fn template_errors(injector: &Injector, namespace: &str, problems: &[Problem]) -> Vec<(String, ErrorCode)> {
    let mut errors: Vec<(String, ErrorCode)> = Vec::new();
    for problem in problems {
        let is_known = |name: &&String| injector.templates().is_known_in(namespace, name);
        let Some(template) = problem.template.as_ref().filter(is_known) else { continue };
        if !errors.iter().any(|(name, code)| name == template && *code == problem.code) {
            errors.push((template.clone(), problem.code));
        }
    }
    errors
}

/// The first distinct annotation keys with errors: a pod can have thousands.
fn annotations(problems: &[Problem]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for key in problems.iter().filter_map(|problem| problem.annotation.as_deref()) {
        if keys.len() == MAX_ANNOTATIONS {
            break;
        }
        let key = one_line(key, 2 * MAX_NAME);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}
