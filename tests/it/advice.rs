//! `POST /advise` in process: what is said about workloads, and who learns why a pod is refused.

use std::sync::{Arc, Mutex};

use outrigger::admission::{AdviceMode, OwnerNotice};
use outrigger::inject::Namespace;
use serde_json::{Value, json};

use crate::support::{Client, Response, ServerBuilder, TestServer, pod, review, template};

const HEAD: &str = "POST /advise?timeout=2s HTTP/1.1\r\nContent-Type: application/json";

fn server(mode: AdviceMode) -> TestServer {
    ServerBuilder::default().template(template("proxy")).advice(mode).start()
}

/// The review of a new workload of this kind.
fn creation(group: &str, resource: &str, object: &Value) -> Value {
    let mut review = review(object);
    review["request"]["resource"] = json!({"group": group, "version": "v1", "resource": resource});
    review
}

fn deployment(annotations: &Value) -> Value {
    let template = json!({"metadata": {"annotations": annotations}, "spec": pod(&json!({}))["spec"]});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": template}})
}

fn advise(server: &TestServer, review: &Value) -> Value {
    let response = send(&mut server.connect(), review);
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["response"].clone()
}

fn send(client: &mut Client, review: &Value) -> Response {
    client.request(HEAD, review.to_string().as_bytes())
}

fn warnings(response: &Value) -> Vec<&str> {
    response["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn a_misspelt_template_is_a_warning_with_a_hint() {
    let server = server(AdviceMode::Warn);
    let response =
        advise(&server, &creation("apps", "deployments", &deployment(&json!({"outrigger.dev/inject": "prxy"}))));
    assert_eq!(response["allowed"], true);
    assert!(response.get("patch").is_none() && response.get("status").is_none(), "{response}");
    let warnings = warnings(&response);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let expected = "its pods would be refused: template_not_found: ";
    assert!(warnings[0].starts_with(expected) && warnings[0].contains("\"proxy\""), "{warnings:?}");
    assert_eq!(server.metric("outrigger_advice_requests_total{dry_run=\"false\",result=\"denied\"}"), 1);
    assert_eq!(server.metric("outrigger_advice_findings_total{code=\"template_not_found\"}"), 1);
    assert_eq!(server.metric("outrigger_admission_errors_total{code=\"template_not_found\"}"), 0);
}

#[test]
fn a_workload_without_a_mistake_gets_no_warning() {
    let server = server(AdviceMode::Deny);
    let asking = json!({"outrigger.dev/inject": "proxy"});
    let mut job = deployment(&asking);
    job["apiVersion"] = json!("batch/v1");
    job["kind"] = json!("Job");
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "web"},
        "spec": {"jobTemplate": {"spec": {"template": deployment(&asking)["spec"]["template"]}}},
    });
    for (group, resource, object) in
        [("apps", "deployments", deployment(&asking)), ("batch", "jobs", job), ("batch", "cronjobs", cron_job)]
    {
        let response = advise(&server, &creation(group, resource, &object));
        assert_eq!((&response["allowed"], warnings(&response)), (&json!(true), Vec::new()), "{resource}");
        assert_eq!(response["auditAnnotations"], json!({"result": "injected", "templates": "proxy"}));
    }
}

#[test]
fn deny_refuses_what_the_pods_would_be_refused_for_and_nothing_else() {
    let server = server(AdviceMode::Deny);
    let refused =
        advise(&server, &creation("apps", "deployments", &deployment(&json!({"outrigger.dev/inject": "prxy"}))));
    assert_eq!((&refused["allowed"], &refused["status"]["code"]), (&json!(false), &json!(422)));
    let message = refused["status"]["message"].as_str().expect("a message");
    assert!(message.starts_with("template_not_found: ") && message.contains("\"proxy\""), "{message}");
    let mut misplaced = deployment(&json!({}));
    misplaced["metadata"]["annotations"] = json!({"outrigger.dev/inject": "proxy"});
    let allowed = advise(&server, &creation("apps", "deployments", &misplaced));
    assert_eq!(allowed["allowed"], true);
    let warnings = warnings(&allowed);
    assert!(warnings[0].contains("spec.template.metadata.annotations"), "{warnings:?}");
}

#[test]
fn off_allows_everything_without_a_word() {
    let server = server(AdviceMode::Off);
    let object = deployment(&json!({"outrigger.dev/inject": "prxy"}));
    let response = advise(&server, &creation("apps", "deployments", &object));
    assert_eq!((&response["allowed"], warnings(&response)), (&json!(true), Vec::new()));
}

#[test]
fn only_new_and_changed_objects_are_reviewed() {
    let server = server(AdviceMode::Deny);
    let object = deployment(&json!({"outrigger.dev/inject": "prxy"}));
    for (pointer, value, allowed) in [
        ("/request/operation", "UPDATE", false),
        ("/request/operation", "DELETE", true),
        ("/request/operation", "CONNECT", true),
        ("/request/subResource", "scale", true),
    ] {
        let mut review = creation("apps", "deployments", &object);
        review["request"]["subResource"] = json!("");
        *review.pointer_mut(pointer).expect("a field") = json!(value);
        assert_eq!(advise(&server, &review)["allowed"], allowed, "{pointer} {value}");
    }
}

#[test]
fn the_namespace_decides_as_it_does_for_pods() {
    let labels = [("outrigger.dev/injection".to_owned(), "disabled".to_owned())].into();
    let namespace = Namespace { name: "demo".to_owned(), labels, ..Namespace::default() };
    let server = ServerBuilder::default().template(template("proxy")).namespace(namespace).start();
    let object = deployment(&json!({"outrigger.dev/inject": "proxy"}));
    let response = advise(&server, &creation("apps", "deployments", &object));
    assert!(warnings(&response).iter().any(|warning| warning.contains("namespace_disabled")), "{response}");
    assert_eq!(response["auditAnnotations"]["result"], "skipped");
}

#[test]
fn an_object_that_is_too_large_is_allowed_with_a_warning() {
    let server = server(AdviceMode::Deny);
    let mut object = deployment(&json!({"outrigger.dev/inject": "prxy"}));
    object["metadata"]["annotations"] = json!({"large": "x".repeat(1024 * 1024)});
    let response = advise(&server, &creation("apps", "deployments", &object));
    assert_eq!(response["allowed"], true);
    assert!(warnings(&response)[0].contains("too large for advice"), "{response}");
}

/// A server that keeps its notices, and the notices.
fn notified() -> (TestServer, Arc<Mutex<Vec<OwnerNotice>>>) {
    let notices: Arc<Mutex<Vec<OwnerNotice>>> = Arc::default();
    let kept = Arc::clone(&notices);
    let notify = move |notice| kept.lock().expect("no panic").push(notice);
    (ServerBuilder::default().template(template("proxy")).notify(Arc::new(notify)).start(), notices)
}

#[test]
fn the_owner_of_a_refused_pod_is_told_but_not_about_a_dry_run() {
    let (server, notices) = notified();
    let mut refused = pod(&json!({"outrigger.dev/inject": "s3cr3t"}));
    let owner =
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u1", "controller": true});
    server.post(review(&refused).to_string().as_bytes());
    refused["metadata"]["ownerReferences"] = json!([owner]);
    let mut dry_run = review(&refused);
    dry_run["request"]["dryRun"] = json!(true);
    server.post(dry_run.to_string().as_bytes());
    assert_eq!(notices.lock().expect("no panic").len(), 0, "neither without an owner, nor for a dry run");
    server.post(review(&refused).to_string().as_bytes());
    let mut injected = pod(&json!({"outrigger.dev/inject": "proxy"}));
    injected["metadata"]["ownerReferences"] = json!([owner]);
    server.post(review(&injected).to_string().as_bytes());
    let notices = notices.lock().expect("no panic");
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!((notices[0].namespace.as_str(), notices[0].owner.uid.as_str()), ("demo", "u1"));
    assert_eq!(notices[0].causes[0].code, "template_not_found");
    assert!(!format!("{notices:?}").contains("s3cr3t"), "{notices:?}");
}
