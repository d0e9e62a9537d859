//! The admin listener of the real binary: its paths, their content, and their methods.

use outrigger::telemetry::build;
use serde_json::{Value, json};

use crate::support::{Serving, pod, review};

#[test]
fn the_admin_listener_serves_version_and_templates_and_rejects_other_methods() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut serving = Serving::start(directory.path(), &[]);
    let version = serving.admin("/version");
    assert_eq!((version.status, version.header("content-type")), (200, Some("application/json")));
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"), "revision": build::REVISION, "features": ["otel"],
        "kubernetesApi": "1.37",
    });
    assert_eq!(version.json(), expected);
    let answer =
        serving.client.post(review(&pod(&json!({"outrigger.dev/inject": "log-collector"}))).to_string().as_bytes());
    assert_eq!(answer.json()["response"]["auditAnnotations"]["templates"], "log-collector");
    let templates = serving.admin("/templates").json();
    let list = templates["templates"].as_array().expect("a list");
    let named = |name: &str| list.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{templates}"));
    let (log_collector, proxy) = (named("log-collector"), named("proxy"));
    assert_eq!(
        (&log_collector["name"], &log_collector["state"], &log_collector["source"]),
        (&json!("log-collector"), &json!("active"), &json!("built-in log-collector.yaml"))
    );
    let revision = log_collector["revision"].as_str().expect("a revision");
    assert!(revision.len() == 10 && patch(&answer.json()).contains(revision), "the revision that pods carry");
    let keys: Vec<&str> = proxy.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = [
        "description",
        "injection",
        "name",
        "parameters",
        "revision",
        "shadowable",
        "source",
        "stableRevision",
        "state",
    ];
    assert_eq!(keys, expected, "nothing else of its content: {proxy}");
    assert_eq!((&proxy["shadowable"], &proxy["stableRevision"]), (&json!(true), &proxy["revision"]));
    assert_eq!(log_collector["injection"], "OptIn");
    let parameters = log_collector["parameters"].as_array().expect("a list");
    let directory = parameters.iter().find(|parameter| parameter["name"] == "logDir").expect("a parameter");
    for field in ["type", "default", "pattern", "description"] {
        assert!(directory[field].is_string(), "{field}: {directory}");
    }
    let index = serving.admin("/").text();
    let paths: Vec<&str> = index.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for path in paths.iter().filter(|path| path.starts_with('/')) {
        assert_eq!(serving.admin_method("GET", path), 200, "{path}");
    }
    assert!(paths.contains(&"/templates") && paths.contains(&"/readyz?verbose"), "{index}");
    assert_eq!(serving.admin("/healthz").text(), "no such page; / lists the pages\n");
    for (method, path, status) in [
        ("HEAD", "/livez", 200),
        ("HEAD", "/templates", 200),
        ("POST", "/templates", 405),
        ("DELETE", "/metrics", 405),
        ("GET", "/", 200),
        ("GET", "/healthz", 404),
        ("GET", "/mutate", 404),
    ] {
        assert_eq!(serving.admin_method(method, path), status, "{method} {path}");
    }
}

/// The patch of an answer.
fn patch(answer: &Value) -> String {
    use base64::Engine;
    let patch = answer["response"]["patch"].as_str().expect("a patch");
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(patch).expect("base64")).expect("UTF-8")
}
