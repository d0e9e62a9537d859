//! The API server's messages for a failed webhook call, by which users search the troubleshooting
//! guide.
//!
//! Where no Outrigger runs, a simulated server fails in one way.
//!
//! Invariant: each text is searched in the API server's message and in the guide, so that neither
//! can change alone.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, Identity};
use crate::cluster::{Cluster, Namespace, WEBHOOK_LABEL, in_namespace, pod};
use crate::outrigger::Outrigger;
use crate::ports::closed;
use crate::process::eventually;
use crate::registration;

tests! {
    each_failure_of_a_webhook_call_matches_its_text_in_the_guide,
    a_failing_match_condition_matches_its_text_in_the_guide,
    a_broken_template_matches_its_text_in_the_guide,
    no_template_exceeds_the_pod_security_of_its_namespace,
}

const GUIDE: &str = include_str!("../../docs/troubleshooting.md");

/// A port that handles every connection like this for as long as the tests run.
fn peer(treat: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || treat(stream)))));
    port
}

/// A server that speaks TLS with this certificate and knows no path.
fn server(cluster: &'static Cluster, identity: &Identity) -> u16 {
    let acceptor = identity.acceptor();
    let listener = cluster.runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    cluster.runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(not_found(acceptor.clone(), stream));
        }
    });
    port
}

async fn not_found(acceptor: TlsAcceptor, stream: tokio::net::TcpStream) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    // It responds after the head; a client that is still sending accepts this.
    let mut head = [0; 65_536];
    let _ = stream.read(&mut head).await;
    let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn hangs_up(_: TcpStream) {}

fn is_silent(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

fn speaks_plainly(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 1024]);
    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

fn at(host: &str, port: u16) -> Value {
    json!({"url": format!("https://{host}:{port}/mutate")})
}

fn service(namespace: &str) -> Value {
    json!({"service": {"namespace": namespace, "name": "outrigger", "path": "/mutate", "port": 443}})
}

/// A configuration for the pods of one namespace.
fn configuration(name: &str, mut client: Value, conditions: &Value, authority: &Authority) -> Value {
    client["caBundle"] = json!(BASE64.encode(authority.pem()));
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": "pods.inject.outrigger.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "timeoutSeconds": 1, "clientConfig": client, "matchConditions": conditions,
            "namespaceSelector": {"matchLabels": {WEBHOOK_LABEL: name}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }],
    })
}

/// The message for a user who creates a pod in the namespace, once the configuration is in use.
fn message(namespace: &Namespace) -> String {
    eventually("the API server refuses", Duration::from_secs(20), || {
        let answer = namespace.create_pod(&pod("asking", &json!({})), "&dryRun=All");
        (!answer.is_success()).then(|| answer.body["message"].as_str().expect("a message").to_owned())
    })
}

#[track_caller]
fn assert_message_is_in_the_guide(name: &str, said: &str, texts: &[&str]) {
    assert!(texts.iter().any(|text| said.contains(text)), "{name}: {said}");
    for text in texts {
        assert!(GUIDE.contains(text), "docs/troubleshooting.md says nothing of {text:?}");
    }
}

fn each_failure_of_a_webhook_call_matches_its_text_in_the_guide() {
    in_namespace("troubles", "troubles", |home| {
        let cluster = home.cluster;
        let (ours, another) = (&cluster.control_plane.authority, Authority::new());
        let good = || server(cluster, &ours.issue());
        let with_service = cluster.namespace("troubles-endpoints", "troubles-endpoints");
        let object = json!({"metadata": {"name": "outrigger"}, "spec": {"ports": [{"port": 443}]}});
        cluster.send_object("POST", &with_service.path("services"), &object).expect_success();
        let elsewhere = server(cluster, &ours.issue_for("outrigger.elsewhere.svc"));
        let cases: [(&str, Value, &Authority, &[&str]); 10] = [
            ("nobody", at("127.0.0.1", closed().port()), ours, &["connect: connection refused"]),
            ("hangs-up", at("127.0.0.1", peer(hangs_up)), ours, &["EOF", "connection reset by peer"]),
            ("silent", at("127.0.0.1", peer(is_silent)), ours, &["context deadline exceeded"]),
            ("plain", at("127.0.0.1", peer(speaks_plainly)), ours, &["server gave HTTP response to HTTPS client"]),
            ("authority", at("127.0.0.1", good()), &another, &["x509: certificate signed by unknown authority"]),
            (
                "expired",
                at("127.0.0.1", server(cluster, &ours.issue_expired())),
                ours,
                &["x509: certificate has expired or is not yet valid"],
            ),
            ("name", at("localhost", elsewhere), ours, &["x509: certificate is valid for"]),
            ("path", at("127.0.0.1", good()), ours, &["the server could not find the requested resource"]),
            ("service", service(&home.name), ours, &["service \"outrigger\" not found"]),
            ("endpoints", service(&with_service.name), ours, &["no endpoints available for service \"outrigger\""]),
        ];
        for (case, client, authority, texts) in cases {
            let name = format!("troubles-{case}");
            let namespace = if case == "endpoints" {
                Namespace { cluster, name: name.clone() }
            } else {
                cluster.namespace(&name, &name)
            };
            registration::create(cluster, &configuration(&name, client, &json!([]), authority));
            let said = message(&namespace);
            assert!(said.starts_with("Internal error occurred: failed calling webhook"), "{case}: {said}");
            assert_message_is_in_the_guide(case, &said, texts);
        }
    });
}

/// A failing match condition of the operator also refuses the pod, without a call.
fn a_failing_match_condition_matches_its_text_in_the_guide() {
    in_namespace("troubles-condition", "troubles-condition", |namespace| {
        let authority = &namespace.cluster.control_plane.authority;
        let conditions = json!([{"name": "x", "expression": "object.metadata.labels['app'] == 'web'"}]);
        let configuration =
            configuration("troubles-condition", at("127.0.0.1", closed().port()), &conditions, authority);
        registration::create(namespace.cluster, &configuration);
        assert_message_is_in_the_guide("condition", &message(namespace), &["resulted in error"]);
    });
}

/// A server with these templates, by their names, for the namespace of the test.
fn with_templates(namespace: &Namespace, name: &str, templates: &[(&str, &str)]) -> Outrigger {
    let directory = namespace.cluster.control_plane.janitor.directory().join(format!("templates-{name}"));
    std::fs::create_dir(&directory).expect("a directory");
    for (template, spec) in templates {
        let text = format!(
            "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: {template}}}\nspec: {spec}\n"
        );
        std::fs::write(directory.join(format!("{template}.yaml")), text).expect("a file");
    }
    let directory = directory.display().to_string();
    let arguments = ["--strict=false", "--templates", "built-in", "--templates", &directory];
    let outrigger = Outrigger::start(namespace.cluster, name, &arguments);
    outrigger.register(namespace, name, "log-collector", |_| {});
    outrigger
}

/// The refusal for a broken template names the template, because the author of the pod cannot fix
/// it.
fn a_broken_template_matches_its_text_in_the_guide() {
    in_namespace("troubles-template", "troubles-template", |namespace| {
        let outrigger = with_templates(namespace, "troubles-template", &[("broken", "{sidecar: []}")]);
        let said = namespace.rejects(&pod("asking", &json!({"outrigger.dev/inject": "broken"})));
        let texts = ["an error on the server (\"", "template_broken", "has prevented the request from succeeding"];
        for text in texts {
            assert_message_is_in_the_guide("template", &said, &[text]);
        }
        namespace.would_accept(&pod("asking", &json!({"outrigger.dev/inject": "log-collector"})));
        outrigger.kill();
    });
}

/// Pod Security checks the pod after Outrigger, so no template exceeds what the namespace allows.
fn no_template_exceeds_the_pod_security_of_its_namespace() {
    in_namespace("troubles-restricted", "troubles-restricted", |namespace| {
        let privileged = "{hardened: false, sidecars: [{name: s, image: 'x:1', securityContext: {privileged: true}}]}";
        let outrigger = with_templates(namespace, "troubles-restricted", &[("privileged", privileged)]);
        let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        let path = format!("/api/v1/namespaces/{}", namespace.name);
        let content = "application/merge-patch+json";
        namespace.cluster.send("PATCH", &path, content, label.to_string().into_bytes()).expect_success();
        let asking = |template: &str| {
            let mut pod = pod("asking", &json!({"outrigger.dev/inject": template}));
            pod["spec"]["securityContext"] =
                json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
            pod["spec"]["containers"][0]["securityContext"] =
                json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
            pod
        };
        let said = eventually("Pod Security is enforced", Duration::from_secs(20), || {
            let answer = namespace.create_pod(&asking("privileged"), "&dryRun=All");
            (!answer.is_success()).then(|| answer.body["message"].as_str().expect("a message").to_owned())
        });
        assert_message_is_in_the_guide("restricted", &said, &["violates PodSecurity \"restricted"]);
        assert!(said.contains("privileged (container \"s\""), "{said}");
        namespace.would_accept(&asking("log-collector"));
        outrigger.kill();
    });
}
