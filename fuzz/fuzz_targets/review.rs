//! Fuzzes the request body: any bytes get a response that follows the protocol.

#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use libfuzzer_sys::fuzz_target;
use outrigger::admission::{MediaType, review};
use outrigger::inject::Injector;
use outrigger_fuzz::{injector, laws};
use serde_json::Value;

static INJECTOR: LazyLock<Injector> =
    LazyLock::new(|| injector(&[include_str!("../../tests/apiserver/templates/agent.yaml")], true));

fuzz_target!(|body: &[u8]| {
    let response = review(&INJECTOR, |_| None, body);
    match response.media_type {
        MediaType::Json => {
            assert_eq!(response.status, 200);
            check_verdict(body, &response.body);
        }
        MediaType::Text => {
            assert!((400..600).contains(&response.status), "{}", response.status);
            let text = std::str::from_utf8(&response.body).expect("text is UTF-8");
            assert_eq!(text.trim_end().lines().count(), 1, "{text:?}");
        }
    }
});

fn check_verdict(body: &[u8], answer: &[u8]) {
    let answer: Value = serde_json::from_slice(answer).expect("the answer is JSON");
    let response = &answer["response"];
    assert!(response["allowed"].is_boolean());
    assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some());
    // The server skips fields that it does not read, so they may contain a lone surrogate.
    let Ok(request) = serde_json::from_slice::<Value>(body) else { return };
    assert_eq!(response["uid"], request["request"]["uid"]);
    if let Some(patch) = response["patch"].as_str() {
        let patch = BASE64.decode(patch).expect("the patch is base64");
        let patch = serde_json::from_slice(&patch).expect("the patch is a JSON Patch");
        laws::applies(&request["request"]["object"], &patch);
    }
}
