//! Runs a golden case through the webhook over TLS and translates the response into the terms of a
//! case.
//!
//! The expected response is not checked here.
//!
//! Invariant: the patch is taken from the bytes on the wire and applied to the sent object, like
//! the API server does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outrigger::inject::{ErrorCode, SkipReason};
use serde_json::{Value, json};

use super::case::{Case, Verdict};
use super::runner::{CaseResult, Runner, injector};
use crate::support::{self, ServerBuilder};

/// Runs cases over HTTPS, each with a new server.
pub struct Https;

impl Runner for Https {
    fn run(&self, case: &Case, object: &Value) -> Result<CaseResult, Vec<String>> {
        let builder = ServerBuilder::default().injector(injector(case)?);
        let server = case.settings.namespace_object().into_iter().fold(builder, ServerBuilder::namespace).start();
        let response = server.post(review_of(case, object).to_string().as_bytes());
        match response.status {
            200 => answered(object, &response.json()["response"]).map_err(|why| vec![why]),
            500 => Ok(without_verdict(response.text().trim_end())),
            other => Err(vec![format!("HTTP {other}: {}", response.text())]),
        }
    }
}

fn review_of(case: &Case, object: &Value) -> Value {
    let settings = &case.settings;
    let mut review = support::review(object);
    let request = &mut review["request"];
    request["namespace"] = json!(settings.namespace);
    request["operation"] = json!(settings.operation);
    request["resource"] = json!({"group": settings.group, "version": "v1", "resource": settings.resource});
    if !settings.sub_resource.is_empty() {
        request["subResource"] = json!(settings.sub_resource);
    }
    review
}

fn answered(object: &Value, response: &Value) -> Result<CaseResult, String> {
    let mut result = CaseResult {
        verdict: if response["allowed"] == true { Verdict::Skipped } else { Verdict::Refused },
        message: response["status"]["message"].as_str().map(str::to_owned),
        warnings: response["warnings"].as_array().into_iter().flatten().filter_map(text).collect(),
        ..CaseResult::default()
    };
    let listed = |key: &str| response["auditAnnotations"][key].as_str().unwrap_or_default().split(',');
    result.templates = listed("templates").filter(|name| !name.is_empty()).map(str::to_owned).collect();
    for code in listed("reasons").filter(|code| !code.is_empty()) {
        let is_reason = SkipReason::ALL.iter().any(|reason| reason.code() == code);
        if is_reason { &mut result.reasons } else { &mut result.codes }.push(code.to_owned());
    }
    if let Some(patch) = response["patch"].as_str() {
        result.verdict = Verdict::Injected;
        let bytes = STANDARD.decode(patch).map_err(|error| format!("the patch is no base64: {error}"))?;
        let patch: json_patch::Patch = serde_json::from_slice(&bytes).map_err(|error| format!("no patch: {error}"))?;
        let mut pod = object.clone();
        json_patch::patch(&mut pod, &patch).map_err(|error| format!("the patch does not apply: {error}"))?;
        result.patch = serde_json::to_value(&patch).ok();
        result.pod = Some(pod);
    }
    Ok(result)
}

/// A failed review has the error's text, in which each problem begins with its code.
fn without_verdict(message: &str) -> CaseResult {
    let begins = |code: &str| message.starts_with(&format!("{code}: ")) || message.contains(&format!("; {code}: "));
    let codes = ErrorCode::ALL.iter().map(|code| code.code()).filter(|code| begins(code)).map(str::to_owned);
    CaseResult {
        verdict: Verdict::Failed,
        codes: codes.collect(),
        message: Some(message.to_owned()),
        ..CaseResult::default()
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
