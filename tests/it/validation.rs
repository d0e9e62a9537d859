//! `POST /validate` in process: templates that are refused, and what is said of the others.

use serde_json::{Value, json};

use crate::support::{Response, ServerBuilder, TestServer, template};

const HEAD: &str = "POST /validate?timeout=5s HTTP/1.1\r\nContent-Type: application/json";

fn server() -> TestServer {
    ServerBuilder::default().template(template("proxy")).start()
}

/// The review of a template of the namespace `shop` with the name `own`.
fn review(spec: &Value) -> Value {
    let object = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "InjectionTemplate",
        "metadata": {"name": "own", "namespace": "shop"}, "spec": spec});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u",
        "resource": {"group": "outrigger.dev", "version": "v1alpha1", "resource": "injectiontemplates"},
        "operation": "CREATE", "namespace": "shop", "name": "own", "object": object}})
}

fn send(server: &TestServer, body: &str) -> Response {
    server.connect().request(HEAD, body.as_bytes())
}

#[test]
fn a_template_is_refused_with_every_problem_or_let_through() {
    let server = server();
    let bad = json!({"pod": {"dnsPolicy": "Default"},
        "sidecars": [{"name": "s", "image": "i:1", "securityContext": {"privileged": true}}]});
    let response = send(&server, &review(&bad).to_string()).json()["response"].clone();
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(422)));
    let message = response["status"]["message"].as_str().expect("a message");
    assert!(message.contains("spec.pod.dnsPolicy") && message.contains("securityContext.privileged"), "{message}");
    let good = json!({"sidecars": [{"name": "s", "image": "i:1"}]});
    let response = send(&server, &review(&good).to_string()).json()["response"].clone();
    assert_eq!(response["allowed"], true);
    let response = send(&server, "{");
    assert_eq!(response.status, 400, "{}", response.text());
    for result in ["allowed", "denied", "error"] {
        assert_eq!(
            server.metric(&format!("outrigger_template_validations_total{{result=\"{result}\"}}")),
            1,
            "{result}"
        );
    }
    assert_eq!(server.metric("outrigger_admission_requests_total{dry_run=\"false\",result=\"denied\"}"), 0);
}
