//! The one table from a result to the response of the webhook.
//!
//! Invariants: `patch` and `patchType` stand together or not at all, the answer has no `request`, and only what the pod's author
//! can mend says `allowed: false`, because that refuses the pod even under `failurePolicy: Ignore`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::wire::{API_VERSION, KIND};
use super::{ProtocolError, Record, ReviewResult};
use crate::inject::text::message::{Message, message, value};
use crate::inject::text::quote::one_line;
use crate::inject::{Blame, ErrorCode, InjectError, Outcome, Problem, SkipReason};

const MAX_WARNINGS: usize = 32;
const MAX_WARNING: usize = 120;
/// Longest text of an answer without a verdict.
const MAX_PLAIN: usize = 1024;
/// Longest refusal: room for several hundred conflicts.
const MAX_MESSAGE: usize = 64 * 1024;

/// What goes back to the API server, and what is logged and counted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewResponse {
    /// HTTP status.
    pub status: u16,
    pub media_type: MediaType,
    pub body: Vec<u8>,
    pub record: Record,
}

/// Media type of an answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// An `AdmissionReview`.
    Json,
    /// One line of text.
    Text,
}

/// The answer to a request that is no review.
pub fn protocol_error(error: ProtocolError, detail: Option<Message>) -> ReviewResponse {
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

/// How a decision counts.
pub fn result(outcome: &Result<Outcome, InjectError>) -> ReviewResult {
    match outcome {
        Ok(Outcome::Injected(_)) => ReviewResult::Injected,
        Ok(Outcome::Skipped(skip)) => result_of_skip(&skip.reasons),
        Err(error) => match error.blame() {
            Blame::Pod => ReviewResult::Denied,
            Blame::Template | Blame::Injector => ReviewResult::Error,
        },
    }
}

/// A pod that carries all it asks for is `unchanged`, one that gets nothing for any other reason is `skipped`.
fn result_of_skip(reasons: &[SkipReason]) -> ReviewResult {
    if reasons.contains(&SkipReason::AlreadyInjected) { ReviewResult::Unchanged } else { ReviewResult::Skipped }
}

/// The answer to a review.
pub fn verdict(uid: &str, outcome: Result<Outcome, InjectError>, record: Record) -> ReviewResponse {
    let (patch, warnings, message) = match outcome {
        Ok(Outcome::Injected(injection)) => (Some(injection.patch_json), injection.warnings, None),
        Ok(Outcome::Skipped(skip)) => (None, skip.warnings, None),
        Err(error) => match error.blame() {
            Blame::Pod => (None, Vec::new(), Some(error.to_string())),
            Blame::Template | Blame::Injector => return no_verdict(500, &of_operators(&error), record),
        },
    };
    let response = AdmissionResponse {
        uid,
        patch: patch.as_deref(),
        message: message.as_deref(),
        warnings: &warnings,
        record: &record,
    };
    match response.to_json() {
        Ok(body) => ReviewResponse { status: 200, media_type: MediaType::Json, body, record },
        Err(error) => unserialisable(&error, record),
    }
}

/// What is wrong but for the pod's own problems, which are for its author.
fn of_operators(error: &InjectError) -> Message {
    let problems = error.problems().iter().filter(|problem| problem.code.blame() != Blame::Pod);
    Message::join(problems.map(Problem::sentence), "; ")
}

/// Without the values that the sentence quotes: an answer without a verdict ends up in the logs of API servers.
fn no_verdict(status: u16, sentence: &Message, record: Record) -> ReviewResponse {
    let mut body = one_line(&sentence.redacted(), MAX_PLAIN).into_bytes();
    body.push(b'\n');
    ReviewResponse { status, media_type: MediaType::Text, body, record }
}

fn unserialisable(error: &serde_json::Error, mut record: Record) -> ReviewResponse {
    record.result = ReviewResult::Error;
    record.errors.push(ErrorCode::Internal.code());
    no_verdict(500, &message!["the answer cannot be written: ", value(error)], record)
}

/// `AdmissionResponse` and the review around it, about to be written.
struct AdmissionResponse<'a> {
    uid: &'a str,
    /// JSON.
    patch: Option<&'a [u8]>,
    /// Set for a refusal.
    message: Option<&'a str>,
    warnings: &'a [String],
    record: &'a Record,
}

impl AdmissionResponse<'_> {
    /// Written by hand into one buffer: the patch is by far the larger part.
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

    /// The API server puts the webhook's name before each key.
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

/// The warnings, each a short line, the last saying how many more there are.
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
    // Four characters for every three bytes begun.
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written.ok(), Some(out.len() - start));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::inject::text::message::words;
    use crate::inject::{Injection, Skip};

    fn record_of(outcome: &Result<Outcome, InjectError>) -> Record {
        Record { result: result(outcome), errors: Vec::new(), ..Record::failed(ProtocolError::Panic) }
    }

    fn answer(outcome: Result<Outcome, InjectError>) -> ReviewResponse {
        let record = record_of(&outcome);
        verdict("u\"1", outcome, record)
    }

    fn json_of(answer: &ReviewResponse) -> Value {
        assert_eq!((answer.status, answer.media_type), (200, MediaType::Json));
        serde_json::from_slice(&answer.body).expect("the answer is JSON")
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
        let answer = answer(skipped(&[SkipReason::NotRequested], Vec::new()));
        let expected = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": "u\"1", "allowed": true, "auditAnnotations": {"result": "skipped"}},
        });
        assert_eq!(json_of(&answer), expected);
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
                warnings: Vec::new(),
            };
            let response = &json_of(&answer(Ok(Outcome::Injected(injection))))["response"];
            assert_eq!(response["patchType"], "JSONPatch");
            let bytes = STANDARD.decode(response["patch"].as_str().expect("text")).expect("base64");
            assert_eq!(serde_json::from_slice::<Value>(&bytes).expect("JSON"), operations);
        }
    }

    #[test]
    fn what_the_author_can_mend_is_denied_on_one_line() {
        let answer = answer(failed(ErrorCode::ParameterInvalid, "a\nb"));
        let response = &json_of(&answer)["response"];
        assert_eq!(response["allowed"], json!(false));
        let status =
            json!({"status": "Failure", "code": 422, "reason": "Invalid", "message": "parameter_invalid: a\\nb"});
        assert_eq!(response["status"], status);
        assert_eq!(response["auditAnnotations"]["result"], "denied");
        assert!(response.get("patch").is_none() && response.get("patchType").is_none());
    }

    #[test]
    fn an_answer_without_a_verdict_keeps_what_the_pod_says_to_itself() {
        let problem = |code, message: &str| Problem { code, template: None, annotation: None, message: words(message) };
        let problems = vec![
            problem(ErrorCode::ParameterInvalid, "annotation x: \"s3cr3t\""),
            problem(ErrorCode::ExpressionFailed, "why"),
            problem(ErrorCode::Internal, "how"),
        ];
        let answer = answer(Err(InjectError::from(problems)));
        assert_eq!((answer.status, answer.body), (500, b"expression_failed: why; internal: how\n".to_vec()));
    }

    #[test]
    fn other_faults_give_no_verdict() {
        for code in ErrorCode::ALL.into_iter().filter(|code| code.blame() != Blame::Pod) {
            let answer = answer(failed(code, "why"));
            assert_eq!((answer.status, answer.media_type), (500, MediaType::Text));
            assert_eq!(answer.body, format!("{}: why\n", code.code()).into_bytes());
            assert_eq!(answer.record.result, ReviewResult::Error);
        }
    }

    #[test]
    fn warnings_are_short_few_and_counted() {
        let warnings: Vec<String> = (0..40).map(|n| format!("{n}\n{}", "x".repeat(200))).collect();
        let answer = answer(skipped(&[], warnings));
        let json = json_of(&answer);
        let shown = json["response"]["warnings"].as_array().expect("a list");
        assert_eq!(shown.len(), 32);
        assert!(shown.iter().filter_map(Value::as_str).all(|line| line.chars().count() <= 120 && !line.contains('\n')));
        assert_eq!(shown[31], "… and 9 more warnings");
    }

    #[test]
    fn thirty_two_warnings_are_all_shown() {
        let answer = answer(skipped(&[], vec!["w".to_owned(); 32]));
        assert_eq!(json_of(&answer)["response"]["warnings"], json!(vec!["w"; 32]));
    }

    #[test]
    fn already_injected_counts_as_unchanged() {
        let answer = answer(skipped(&[SkipReason::AlreadyInjected], Vec::new()));
        assert_eq!(answer.record.result, ReviewResult::Unchanged);
        assert_eq!(json_of(&answer)["response"]["auditAnnotations"]["result"], "unchanged");
    }

    #[test]
    fn protocol_errors_are_one_line_of_text() {
        let answer = protocol_error(ProtocolError::ReviewInvalid, Some(message!["line 1\nline 2 ", value("s3cr3t")]));
        assert_eq!((answer.status, answer.media_type), (400, MediaType::Text));
        assert_eq!(answer.body, "the body is not an AdmissionReview: line 1\\nline 2 …\n".as_bytes());
        assert_eq!(answer.record.errors, ["review_invalid"]);
    }
}
