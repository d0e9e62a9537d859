//! The webhook over real sockets and TLS: verdicts, metrics, readiness, shutdown. HTTP rules are in
//! `protocol.rs`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outrigger::config::TlsVersion;
use outrigger::inject::{Namespace, Settings};
use outrigger::process::shutdown::Phase;
use pretty_assertions::assert_eq;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

use crate::support::client::{client_config_with, tcp};
use crate::support::{Client, Response, ServerBuilder, TestServer, eventually, pause, pod, review, template};

const LIMIT: usize = 10 * 1024 * 1024;

fn asks(name: &str) -> Value {
    pod(&json!({"outrigger.dev/inject": name}))
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The review of a pod that asks for nothing, with one field changed.
fn changed(path: &str, value: Value) -> Vec<u8> {
    let mut review = review(&pod(&json!({})));
    *review.pointer_mut(path).unwrap_or_else(|| panic!("{path} is no field")) = value;
    bytes(&review)
}

/// The `response` of an answer with a verdict.
fn verdict(response: &Response) -> Value {
    assert_eq!(
        (response.status, response.header("content-type")),
        (200, Some("application/json")),
        "{}",
        response.text()
    );
    let answer = response.json();
    assert_eq!((&answer["apiVersion"], &answer["kind"]), (&json!("admission.k8s.io/v1"), &json!("AdmissionReview")));
    assert!(answer.get("request").is_none());
    assert_eq!(answer["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    answer["response"].clone()
}

fn patched(object: &Value, response: &Value) -> Value {
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD.decode(response["patch"].as_str().expect("text")).expect("base64");
    let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a patch");
    let mut object = object.clone();
    json_patch::patch(&mut object, &patch).expect("the patch applies");
    object
}

#[test]
fn a_pod_that_asks_gets_its_sidecar() {
    let server = TestServer::start([template("proxy")]);
    let object = asks("proxy");
    let response = verdict(&server.post(&bytes(&review(&object))));
    assert_eq!(response["allowed"], true);
    let audit = json!({"result": "injected", "templates": "proxy"});
    assert_eq!(response["auditAnnotations"], audit);
    let pod = patched(&object, &response);
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "proxy");
    assert_eq!(pod["spec"]["containers"], object["spec"]["containers"]);

    let again = verdict(&server.post(&bytes(&review(&pod))));
    assert!(again.get("patch").is_none() && again.get("patchType").is_none());
    assert_eq!(again["auditAnnotations"]["result"], "unchanged");
}

#[test]
fn a_pod_that_does_not_ask_is_left_alone() {
    let server = TestServer::start([template("proxy")]);
    let response = verdict(&server.post(&bytes(&review(&pod(&json!({}))))));
    let expected = json!({
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "allowed": true,
        "auditAnnotations": {"result": "skipped", "reasons": "not_requested"},
    });
    assert_eq!(response, expected);
}

#[test]
fn a_refused_pod_is_told_why_on_one_line() {
    let server = TestServer::start([template("proxy")]);
    let response = verdict(&server.post(&bytes(&review(&asks("prxy")))));
    assert_eq!(response["allowed"], false);
    assert_eq!((&response["status"]["code"], &response["status"]["reason"]), (&json!(422), &json!("Invalid")));
    let message = response["status"]["message"].as_str().expect("a message");
    assert!(message.contains("\"prxy\"") && message.contains("proxy") && !message.contains('\n'), "{message}");
    assert_eq!(response["auditAnnotations"], json!({"result": "denied", "reasons": "template_not_found"}));
}

#[test]
fn labels_and_annotations_of_the_namespace_are_used() {
    let namespace = Namespace {
        name: "demo".to_owned(),
        labels: [("outrigger.dev/injection".to_owned(), "enabled".to_owned())].into(),
        annotations: [("outrigger.dev/inject".to_owned(), "proxy".to_owned())].into(),
    };
    let server = ServerBuilder::default().template(template("proxy")).namespace(namespace).start();
    let object = pod(&json!({}));
    assert_eq!(verdict(&server.post(&bytes(&review(&object))))["auditAnnotations"]["result"], "injected");
    let mut elsewhere = review(&object);
    elsewhere["request"]["namespace"] = json!("other");
    assert_eq!(verdict(&server.post(&bytes(&elsewhere)))["auditAnnotations"]["result"], "skipped");
}

#[test]
fn excluded_namespaces_are_left_alone() {
    let settings = Settings { excluded_namespaces: vec!["demo".to_owned()], ..Settings::default() };
    let server = ServerBuilder::default().template(template("proxy")).settings(settings).start();
    let response = verdict(&server.post(&bytes(&review(&asks("proxy")))));
    assert_eq!(response["auditAnnotations"]["reasons"], "namespace_excluded");
}

/// A request that does not create a pod is allowed whatever its object is.
#[test]
fn other_resources_and_operations_are_allowed_unread() {
    let server = TestServer::start([template("proxy")]);
    let cases = [
        ("/request/operation", json!("UPDATE"), "unsupported_operation"),
        ("/request/operation", json!("DELETE"), "unsupported_operation"),
        ("/request/operation", json!("CONNECT"), "unsupported_operation"),
        ("/request/resource/resource", json!("deployments"), "unsupported_resource"),
        ("/request/resource/group", json!("apps"), "unsupported_resource"),
    ];
    for (path, value, reason) in cases {
        let mut request = review(&asks("proxy"));
        *request.pointer_mut(path).expect("a field") = value;
        request["request"]["object"] = json!(null);
        let response = verdict(&server.post(&bytes(&request)));
        assert_eq!(
            (&response["allowed"], &response["auditAnnotations"]["reasons"]),
            (&json!(true), &json!(reason)),
            "{path}"
        );
    }
    let mut binding = review(&asks("proxy"));
    binding["request"]["subResource"] = json!("binding");
    assert_eq!(verdict(&server.post(&bytes(&binding)))["auditAnnotations"]["reasons"], "unsupported_resource");
}

#[test]
fn malformed_reviews_get_400_with_the_reason() {
    let server = TestServer::start([]);
    let mut client = server.connect();
    let deep = "[".repeat(100_000);
    let deep_object = format!("{}1{}", "[".repeat(127), "]".repeat(127));
    let good = review(&pod(&json!({}))).to_string();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "the body is empty"),
        ("no JSON", b"{".to_vec(), "the body is not an AdmissionReview: "),
        ("another shape", b"5".to_vec(), "the body is not an AdmissionReview: "),
        ("a list", b"[]".to_vec(), "expected apiVersion admission.k8s.io/v1"),
        ("NUL", b"\0".to_vec(), "the body is not an AdmissionReview: "),
        ("no UTF-8", [good.as_bytes(), b"\xff"].concat(), "the body is not an AdmissionReview: "),
        ("no UTF-8 within", good.replace("somebody", "\u{1}").into_bytes(), "the body is not an AdmissionReview: "),
        ("two reviews", format!("{good}{good}").into_bytes(), "the body is not an AdmissionReview: "),
        (
            "a key twice",
            good.replacen("\"uid\"", "\"uid\":\"x\",\"uid\"", 1).into_bytes(),
            "the body is not an AdmissionReview: ",
        ),
        ("deep", deep.clone().into_bytes(), "the body nests deeper than 128 levels"),
        (
            "deep object",
            good.replace("\"options\":{", &format!("\"x\":{deep_object},\"options\":{{")).into_bytes(),
            "the body nests deeper",
        ),
        (
            "v1beta1",
            changed("/apiVersion", json!("admission.k8s.io/v1beta1")),
            "expected apiVersion admission.k8s.io/v1",
        ),
        ("another kind", changed("/kind", json!("Pod")), "expected apiVersion admission.k8s.io/v1"),
        ("no request", changed("/request", json!(null)), "the AdmissionReview has no request"),
        ("no uid", changed("/request/uid", json!("")), "the request has no uid"),
        ("no object", changed("/request/object", json!(null)), "the request has no object"),
    ];
    let count = cases.len();
    for (name, body, expected) in cases {
        let response = client.post(&body);
        assert_eq!(
            (response.status, response.header("content-type")),
            (400, Some("text/plain; charset=utf-8")),
            "{name}"
        );
        let text = response.text();
        assert!(text.starts_with(expected) && text.ends_with('\n') && text.lines().count() == 1, "{name}: {text:?}");
    }
    let counted = format!("outrigger_admission_requests_total{{dry_run=\"false\",result=\"error\"}} {count}");
    assert!(server.metrics().lines().any(|line| line == counted), "{counted} is missing in {}", server.metrics());
}

#[test]
fn unknown_fields_of_a_review_are_ignored() {
    let server = TestServer::start([template("proxy")]);
    let mut request = review(&asks("proxy"));
    request["request"]["fromTheFuture"] = json!({"deep": [1, 2, 3]});
    request["fromTheFuture"] = json!(1.5);
    assert_eq!(verdict(&server.post(&bytes(&request)))["auditAnnotations"]["result"], "injected");
}

#[test]
fn requests_share_a_connection_and_may_be_pipelined() {
    let server = TestServer::start([template("proxy")]);
    let mut client = server.connect();
    let (with, without) = (bytes(&review(&asks("proxy"))), bytes(&review(&pod(&json!({})))));
    let mut both = Vec::new();
    for body in [&with, &without] {
        let head = format!(
            "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        both.extend_from_slice(head.as_bytes());
        both.extend_from_slice(body);
    }
    for _ in 0..3 {
        client.send(&both).expect("the connection stays open");
        let results =
            [(); 2].map(|()| verdict(&client.receive().expect("an answer"))["auditAnnotations"]["result"].clone());
        assert_eq!(results, ["injected", "skipped"]);
    }
}

/// The API server writes `<`, `>` and `&` as six characters each, so a legal pod of 1.49 MiB comes
/// as 8.93 MiB.
#[test]
fn reviews_up_to_the_limit_are_accepted_and_larger_ones_refused() {
    let server = TestServer::start([template("proxy")]);
    let text = "<".repeat(3 * LIMIT / 20);
    let mut object = asks("proxy");
    object["spec"]["containers"][0]["env"] = json!([{"name": "TEXT", "value": text}]);
    let body = review(&object).to_string().replace('<', "\\u003c").into_bytes();
    assert!(body.len() > 8 * LIMIT / 10 && body.len() < LIMIT);
    let response = verdict(&server.post(&body));
    assert_eq!(patched(&object, &response)["spec"]["containers"][0]["env"][0]["value"], text);

    let mut client = server.connect();
    let head = format!(
        "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        LIMIT + 1
    );
    client.send(head.as_bytes()).expect("sent");
    let response = client.receive().expect("an answer before the body");
    assert_eq!((response.status, response.header("connection")), (413, Some("close")));
    client.expect_closed();
}

#[test]
fn a_chunked_body_is_refused_when_it_passes_the_limit() {
    let server = ServerBuilder::default().limits(|limits| limits.body_bytes = 1000).start();
    let mut client = server.connect();
    client
        .send(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .expect("sent");
    client.send(&[b"400\r\n".as_slice(), &[b' '; 0x400], b"\r\n"].concat()).expect("sent");
    assert_eq!(client.receive().expect("an answer").status, 413);
}

#[test]
fn a_body_that_misses_its_deadline_gets_408() {
    let server = TestServer::start([]);
    let mut client = server.connect();
    let start = Instant::now();
    client
        .send(b"POST /mutate?timeout=300ms HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        .expect("sent");
    let response = client.receive().expect("an answer");
    assert_eq!((response.status, response.header("connection")), (408, Some("close")));
    assert!((300..2_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[test]
fn silent_and_slow_peers_are_closed_and_do_not_delay_others() {
    let server = ServerBuilder::default()
        .limits(|limits| {
            limits.handshake = Duration::from_millis(300);
            limits.head = Duration::from_millis(300);
            limits.idle = Duration::from_millis(1_500);
        })
        .start();
    let start = Instant::now();
    let mut silent = Client::connect_plain(server.webhook).expect("a connection");
    let mut slow = server.connect();
    slow.send(b"POST /mutate HTTP/1.1\r\n").expect("sent");
    let mut idle = server.connect();
    let mut used = server.connect();
    let body = bytes(&review(&pod(&json!({}))));
    assert_eq!(used.post(&body).status, 200);
    assert_eq!(server.post(&body).status, 200, "others are answered meanwhile");

    silent.expect_closed();
    slow.expect_closed();
    let elapsed = start.elapsed();
    assert!((300..1_400).contains(&elapsed.as_millis()), "the limits of handshake and head: {elapsed:?}");
    assert_eq!(used.post(&body).status, 200, "an idle connection is kept for longer than a slow head");
    idle.expect_closed();
    assert!(start.elapsed() >= Duration::from_millis(1_500), "the limit of idleness: {:?}", start.elapsed());
}

#[test]
fn tls_1_2_is_accepted_only_by_setting() {
    let connects = |server: &TestServer, versions: &[&'static rustls::SupportedProtocolVersion]| {
        Client::connect(server.webhook, Arc::new(client_config_with(&server.ca_pem, versions))).is_ok()
    };
    let server = TestServer::start([]);
    assert!(!connects(&server, &[&TLS12]) && connects(&server, &[&TLS13]));
    let lenient = ServerBuilder::default().oldest_tls(TlsVersion::V1_2).start();
    assert!(connects(&lenient, &[&TLS12]) && connects(&lenient, &[&TLS13]));
}

#[test]
fn alpn_offers_http_1_1_alone() {
    let server = TestServer::start([]);
    let with = |protocols: &[&[u8]]| {
        let mut config = client_config_with(&server.ca_pem, &[&TLS13]);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Client::connect(server.webhook, Arc::new(config))
    };
    let body = bytes(&review(&pod(&json!({}))));
    assert_eq!(with(&[b"h2", b"http/1.1"]).expect("a connection").post(&body).status, 200);
    // With TLS 1.3 the refusal may come after what the client takes for the end of the handshake.
    let only_h2 = with(&[b"h2"]).and_then(|mut client| client.receive());
    assert!(only_h2.is_err());
}

#[test]
fn requests_are_counted_by_result_reason_and_code() {
    let server = TestServer::start([template("proxy")]);
    let mut client = server.connect();
    let mut dry_run = review(&asks("proxy"));
    dry_run["request"]["dryRun"] = json!(true);
    let wrong = pod(&json!({"outrigger.dev/inject": "proxy", "proxy.outrigger.dev/prot": "1"}));
    for request in [review(&asks("proxy")), dry_run, review(&asks("false")), review(&asks("prxy")), review(&wrong)] {
        assert_eq!(client.post(&bytes(&request)).status, 200);
    }
    let metrics = server.metrics();
    for line in [
        "outrigger_admission_requests_total{dry_run=\"false\",result=\"injected\"} 1",
        "outrigger_admission_requests_total{dry_run=\"true\",result=\"injected\"} 1",
        "outrigger_admission_requests_total{dry_run=\"false\",result=\"skipped\"} 1",
        "outrigger_admission_requests_total{dry_run=\"false\",result=\"denied\"} 2",
        "outrigger_admission_skips_total{reason=\"opted_out\"} 1",
        "outrigger_admission_errors_total{code=\"template_not_found\"} 1",
        "outrigger_template_errors_total{code=\"parameter_unknown\",template=\"proxy\"} 1",
        "outrigger_injections_total{template=\"proxy\"} 1",
        "outrigger_admission_request_duration_seconds_count 5",
        "outrigger_admission_in_flight 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
    }
    assert!(!metrics.contains("prxy"), "a name that a pod wrote is no label");
}

#[test]
fn the_admin_listener_reports_liveness_and_readiness() {
    let mut server = TestServer::start([]);
    let mut admin = server.connect_admin();
    assert_eq!((admin.get("/livez").status, admin.get("/readyz").status), (200, 503));
    let verbose = admin.get("/readyz?verbose").text();
    assert_eq!(verbose, "[-]test not ready\n[+]shutdown ok\n[!]a note\nnot ready\n");
    server.unready = None;
    let ready = admin.get("/readyz");
    assert_eq!((ready.status, ready.text()), (200, "ok\n".to_owned()));
    assert_eq!((admin.get("/nothing").status, admin.request("POST /livez HTTP/1.1", b"").status), (404, 405));
    server.advance(Phase::Draining);
    let status = |path: &str| server.connect_admin().get(path).status;
    assert_eq!((status("/livez"), status("/readyz"), status("/metrics")), (200, 503, 200));
}

#[test]
fn a_draining_server_responds_and_asks_for_a_new_connection() {
    let server = TestServer::start([]);
    let body = bytes(&review(&pod(&json!({}))));
    let (mut kept, mut busy) = (server.connect(), server.connect());
    assert_eq!(kept.post(&body).header("connection"), None);
    server.advance(Phase::Draining);
    let response = kept.post(&body);
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    kept.expect_closed();
    assert_eq!(server.post(&body).status, 200, "new connections are still taken");

    // One request is on its way when the server closes: it is answered before the end.
    busy.send(b"POST /mutate HTTP/1.1\r\n").expect("sent");
    pause(Duration::from_millis(100));
    server.advance(Phase::Closing);
    eventually("the end of listening", || tcp(server.webhook).is_err());
    assert!(!server.has_ended());
    let rest = format!("Host: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    busy.send(&[rest.as_bytes(), &body].concat()).expect("the connection is open");
    let response = busy.receive().expect("an answer");
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    eventually("the end of the server", || server.has_ended());
}
