//! Turns each outcome into the response of the webhook.
//!
//! Invariant: a response has both `patch` and `patchType` or neither, and no `request`. Only an
//! error that the pod's author can fix sets `allowed: false`, because that refuses the pod even
//! under `failurePolicy: Ignore`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::wire::{API_VERSION, KIND};
use super::{OwnerNotice, ProtocolError, Record, ReviewResult};
use crate::inject::text::{Message, message, one_line, value};
use crate::inject::{Blame, ErrorCode, InjectError, Outcome, Problem, SkipReason};

const MAX_WARNINGS: usize = 32;
/// The API server cuts longer ones if it gets many.
const MAX_WARNING: usize = 256;
/// Longest text of a response without a verdict.
const MAX_PLAIN: usize = 1024;
/// Longest message of a refusal: long enough for several hundred conflicts.
const MAX_MESSAGE: usize = 64 * 1024;

/// The response to the API server, and its record for logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewResponse {
    /// HTTP status.
    pub status: u16,
    /// Media type of the body.
    pub media_type: MediaType,
    /// The response body.
    pub body: Vec<u8>,
    /// What is logged and counted.
    pub record: Record,
    /// How many warnings the response has.
    pub warnings: usize,
    /// What the owner of the pod should learn.
    pub notice: Option<Box<OwnerNotice>>,
}

/// Media type of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// An `AdmissionReview`.
    Json,
    /// One line of text.
    Text,
}

/// The response to a request that cannot be reviewed.
pub(super) fn protocol_error(error: ProtocolError, detail: Option<Message>) -> ReviewResponse {
    let sentence = match detail {
        Some(detail) => message![error.sentence(), ": ", detail],
        None => error.sentence().into(),
    };
    no_verdict(error.status(), &sentence, Record::failed(error))
}

impl From<ProtocolError> for ReviewResponse {
    fn from(error: ProtocolError) -> Self {
        protocol_error(error, None)
    }
}

/// The result under which an outcome is counted.
pub(super) fn result(outcome: &Result<Outcome, InjectError>) -> ReviewResult {
    match outcome {
        Ok(Outcome::Injected(_)) => ReviewResult::Injected,
        Ok(Outcome::Skipped(skip)) => result_of_skip(&skip.reasons),
        Err(error) => match error.blame() {
            Blame::Pod => ReviewResult::Denied,
            Blame::Template | Blame::Injector => ReviewResult::Error,
        },
    }
}

/// A pod that already has all that it requests is `unchanged`; with any other reason it is
/// `skipped`.
fn result_of_skip(reasons: &[SkipReason]) -> ReviewResult {
    if reasons.contains(&SkipReason::AlreadyInjected) { ReviewResult::Unchanged } else { ReviewResult::Skipped }
}

/// The response to a review.
pub(super) fn verdict(uid: &str, outcome: Result<Outcome, InjectError>, record: Record) -> ReviewResponse {
    let (patch, warnings, message) = match outcome {
        Ok(Outcome::Injected(injection)) => (Some(injection.patch_json), injection.warnings, None),
        Ok(Outcome::Skipped(skip)) => (None, skip.warnings, None),
        Err(error) => match error.blame() {
            Blame::Pod => (None, Vec::new(), Some(error.to_string())),
            Blame::Template | Blame::Injector => return no_verdict(500, &problems_for_operators(&error), record),
        },
    };
    let response = AdmissionResponse {
        uid,
        patch: patch.as_deref(),
        message: message.as_deref(),
        warnings: &warnings,
        record: &record,
    };
    let body = response.to_json();
    with_body(body, warnings.len(), record)
}

/// The response to a review of a workload; with `refusal` it is refused.
pub(super) fn advice(uid: &str, refusal: Option<&str>, warnings: &[String], record: Record) -> ReviewResponse {
    let body = AdmissionResponse { uid, patch: None, message: refusal, warnings, record: &record }.to_json();
    with_body(body, warnings.len(), record)
}

fn with_body(body: serde_json::Result<Vec<u8>>, warnings: usize, record: Record) -> ReviewResponse {
    match body {
        Ok(body) => ReviewResponse { status: 200, media_type: MediaType::Json, body, record, warnings, notice: None },
        Err(error) => serialization_error(&error, record),
    }
}

/// All problems except the pod's own, which only its author should see.
fn problems_for_operators(error: &InjectError) -> Message {
    let problems = error.problems().iter().filter(|problem| problem.code.blame() != Blame::Pod);
    Message::join(problems.map(Problem::sentence), "; ")
}

/// A response without a verdict. The values that the sentence quotes are left out, because API
/// servers log such responses.
fn no_verdict(status: u16, sentence: &Message, record: Record) -> ReviewResponse {
    let mut body = one_line(&sentence.redacted(), MAX_PLAIN).into_bytes();
    body.push(b'\n');
    ReviewResponse { status, media_type: MediaType::Text, body, record, warnings: 0, notice: None }
}

fn serialization_error(error: &serde_json::Error, mut record: Record) -> ReviewResponse {
    record.result = ReviewResult::Error;
    record.errors.push(ErrorCode::Internal.code());
    no_verdict(500, &message!["the response cannot be written as JSON: ", value(error)], record)
}

/// The parts of an `AdmissionResponse` and of the review around it.
struct AdmissionResponse<'a> {
    uid: &'a str,
    /// JSON.
    patch: Option<&'a [u8]>,
    /// Set if the pod is refused.
    message: Option<&'a str>,
    warnings: &'a [String],
    record: &'a Record,
}

impl AdmissionResponse<'_> {
    /// Writes everything into one buffer, because the patch is by far the largest part.
    fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let patch = self.patch.map_or(0, |patch| patch.len().div_ceil(3) * 4);
        let mut out = Vec::with_capacity(patch + 512);
        push(&mut out, &format_args!(r#"{{"apiVersion":"{API_VERSION}","kind":"{KIND}","response":{{"uid":"#));
        push_json(&mut out, self.uid)?;
        push(&mut out, &format_args!(r#","allowed":{}"#, self.message.is_none()));
        if let Some(patch) = self.patch {
            out.extend_from_slice(br#","patchType":"JSONPatch","patch":""#);
            push_base64(&mut out, patch);
            out.push(b'"');
        }
        self.push_status(&mut out)?;
        self.push_audit_annotations(&mut out)?;
        self.push_warnings(&mut out)?;
        out.extend_from_slice(b"}}");
        Ok(out)
    }

    fn push_status(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let Some(message) = self.message else { return Ok(()) };
        out.extend_from_slice(br#","status":{"status":"Failure","message":"#);
        push_json(out, &one_line(message, MAX_MESSAGE))?;
        out.extend_from_slice(br#","reason":"Invalid","code":422}"#);
        Ok(())
    }

    /// The API server prefixes each key with the webhook's name.
    fn push_audit_annotations(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        push(out, &format_args!(r#","auditAnnotations":{{"result":"{}""#, self.record.result.code()));
        let reasons: Vec<&str> = self
            .record
            .reasons
            .iter()
            .map(|reason: &SkipReason| reason.code())
            .chain(self.record.errors.iter().copied())
            .collect();
        for (key, value) in [("reasons", reasons.join(",")), ("templates", self.record.templates.join(","))] {
            if !value.is_empty() {
                push(out, &format_args!(r#","{key}":"#));
                push_json(out, &value)?;
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn push_warnings(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        if self.warnings.is_empty() {
            return Ok(());
        }
        out.extend_from_slice(br#","warnings":"#);
        push_json(out, &bounded(self.warnings))
    }
}

/// The warnings as short lines. If there are too many, the last line counts the others.
fn bounded(warnings: &[String]) -> Vec<String> {
    let shown = if warnings.len() > MAX_WARNINGS { MAX_WARNINGS - 1 } else { warnings.len() };
    let mut lines: Vec<String> = warnings[..shown].iter().map(|warning| one_line(warning, MAX_WARNING)).collect();
    if shown < warnings.len() {
        lines.push(format!("… and {} more warnings", warnings.len() - shown));
    }
    lines
}

fn push(out: &mut Vec<u8>, text: &std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    _ = std::io::Write::write_fmt(out, *text);
}

fn push_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> serde_json::Result<()> {
    serde_json::to_writer(out, value)
}

fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    // Base64 has four characters for every three bytes, rounded up.
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written.ok(), Some(out.len() - start));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::inject::text::words;
    use crate::inject::{Injection, Skip};

    fn record_of(outcome: &Result<Outcome, InjectError>) -> Record {
        Record { result: result(outcome), errors: Vec::new(), ..Record::failed(ProtocolError::Panic) }
    }

    fn respond(outcome: Result<Outcome, InjectError>) -> ReviewResponse {
        let record = record_of(&outcome);
        verdict("u\"1", outcome, record)
    }

    fn json_of(response: &ReviewResponse) -> Value {
        assert_eq!((response.status, response.media_type), (200, MediaType::Json));
        serde_json::from_slice(&response.body).expect("the response is JSON")
    }

    fn skipped(reasons: &[SkipReason], warnings: Vec<String>) -> Result<Outcome, InjectError> {
        Ok(Outcome::Skipped(Skip { reasons: reasons.to_vec(), warnings, ..Skip::default() }))
    }

    fn failed(code: ErrorCode, message: &str) -> Result<Outcome, InjectError> {
        let problem = Problem { code, template: None, annotation: None, message: words(message) };
        Err(InjectError::from(vec![problem]))
    }

    #[test]
    fn a_skip_is_allowed_and_has_neither_patch_nor_patch_type() {
        let response = respond(skipped(&[SkipReason::NotRequested], Vec::new()));
        let expected = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": "u\"1", "allowed": true, "auditAnnotations": {"result": "skipped"}},
        });
        assert_eq!(json_of(&response), expected);
    }

    #[test]
    fn a_patch_is_base64_text_of_the_operations() {
        // Three lengths, so that each padding occurs.
        for value in ["a", "ab", "abc"] {
            let operations = json!([{"op": "add", "path": "/metadata/labels/x", "value": value}]);
            let injection = Injection {
                patch_json: operations.to_string().into_bytes(),
                templates: vec!["proxy".to_owned()],
                reasons: Vec::new(),
                left_out: Vec::new(),
                warnings: Vec::new(),
            };
            let response = &json_of(&respond(Ok(Outcome::Injected(injection))))["response"];
            assert_eq!(response["patchType"], "JSONPatch");
            let bytes = STANDARD.decode(response["patch"].as_str().expect("text")).expect("base64");
            assert_eq!(serde_json::from_slice::<Value>(&bytes).expect("JSON"), operations);
        }
    }

    #[test]
    fn an_error_that_the_author_can_fix_is_denied_with_one_line() {
        let response = respond(failed(ErrorCode::ParameterInvalid, "a\nb"));
        let response = &json_of(&response)["response"];
        assert_eq!(response["allowed"], json!(false));
        let status =
            json!({"status": "Failure", "code": 422, "reason": "Invalid", "message": "parameter_invalid: a\\nb"});
        assert_eq!(response["status"], status);
        assert_eq!(response["auditAnnotations"]["result"], "denied");
        assert!(response.get("patch").is_none() && response.get("patchType").is_none());
    }

    #[test]
    fn a_response_without_a_verdict_leaves_out_the_pods_own_problems() {
        let problem = |code, message: &str| Problem { code, template: None, annotation: None, message: words(message) };
        let problems = vec![
            problem(ErrorCode::ParameterInvalid, "annotation x: \"s3cr3t\""),
            problem(ErrorCode::ExpressionFailed, "why"),
            problem(ErrorCode::Internal, "how"),
        ];
        let response = respond(Err(InjectError::from(problems)));
        assert_eq!((response.status, response.body), (500, b"expression_failed: why; internal: how\n".to_vec()));
    }

    #[test]
    fn errors_of_templates_and_the_injector_give_no_verdict() {
        for code in ErrorCode::ALL.into_iter().filter(|code| code.blame() != Blame::Pod) {
            let response = respond(failed(code, "why"));
            assert_eq!((response.status, response.media_type), (500, MediaType::Text));
            assert_eq!(response.body, format!("{}: why\n", code.code()).into_bytes());
            assert_eq!(response.record.result, ReviewResult::Error);
        }
    }

    #[test]
    fn warnings_beyond_the_limit_are_counted_and_long_ones_are_cut() {
        let warnings: Vec<String> = (0..40).map(|n| format!("{n}\n{}", "x".repeat(300))).collect();
        let response = respond(skipped(&[], warnings));
        let json = json_of(&response);
        let shown = json["response"]["warnings"].as_array().expect("a list");
        assert_eq!(shown.len(), 32);
        assert!(shown.iter().filter_map(Value::as_str).all(|line| line.chars().count() <= 256 && !line.contains('\n')));
        assert_eq!(shown[31], "… and 9 more warnings");
    }

    #[test]
    fn thirty_two_warnings_are_all_shown() {
        let response = respond(skipped(&[], vec!["w".to_owned(); 32]));
        assert_eq!(json_of(&response)["response"]["warnings"], json!(vec!["w"; 32]));
    }

    #[test]
    fn already_injected_counts_as_unchanged() {
        let response = respond(skipped(&[SkipReason::AlreadyInjected], Vec::new()));
        assert_eq!(response.record.result, ReviewResult::Unchanged);
        assert_eq!(json_of(&response)["response"]["auditAnnotations"]["result"], "unchanged");
    }

    #[test]
    fn protocol_errors_are_one_line_of_text() {
        let response = protocol_error(ProtocolError::ReviewInvalid, Some(message!["line 1\nline 2 ", value("s3cr3t")]));
        assert_eq!((response.status, response.media_type), (400, MediaType::Text));
        assert_eq!(response.body, "the body is not an AdmissionReview: line 1\\nline 2 …\n".as_bytes());
        assert_eq!(response.record.errors, ["review_invalid"]);
    }
}
