//! A secret, put wherever a peer or an operator can put one, and looked for in everything that
//! others than they can read: log, metrics, panics, the admin listener, traces, and the bodies of
//! HTTP errors.
//!
//! What is said of a pod to its author may quote it: `status.message` and warnings of a review.
//! Nothing else may.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::collector::Collector;
use crate::support::{Process, Response, Serving, eventually, pod, review};

const CANARY: &str = "s3cr3t-canary";
const ADVISE: &str = "POST /advise HTTP/1.1\r\nContent-Type: application/json";
/// A secret that is a number: messages show it without quotes.
const NUMBER: &str = "746291583640";

/// Two that work, one of them with the canary wherever it may be, and files with it wherever it may
/// not.
#[allow(clippy::too_many_lines, reason = "nearly all of it is the text of templates")]
fn templates(directory: &Path) {
    let document = |name: &str, spec: &str| {
        format!(
            "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: {name}}}\nspec:\n{spec}\n"
        )
    };
    let full = format!(
        // `/templates` shows the description and the parameters, so they hold no canary.
        "  description: shown to all
  parameters:
  - {{name: word, type: string, default: a, description: shown to all, pattern: '^[a-z0-9-]*$'}}
  - {{name: size, type: quantity, default: 1Gi}}
  - {{name: port, type: port, default: 8080}}
  - {{name: mode, type: enum, values: [a, b], default: b}}
  match:
    conditions: [{{expression: 'params.word != \"{CANARY}-not\"', message: {CANARY}}}]
  sidecars:
  - {{name: full, image: 'registry.example/{CANARY}:1', args: [{CANARY}], env: [{{name: A, value: {CANARY}}}]}}
  metadata: {{annotations: {{example.com/note: {CANARY}}}}}"
    );
    let run_time = format!("  sidecars: [{{name: broken, image: \"${{pod.metadata.labels['{CANARY}']}}\"}}]");
    let files = [
        ("full", document("full", &full)),
        ("run-time", document("run-time", &run_time)),
        ("wrong-type", document("wrong-type", &format!("  sidecars: [{{name: a, image: [{CANARY}]}}]"))),
        ("wrong-value", document("wrong-value", &format!("  injection: {CANARY}\n  onConflict: \"{CANARY}\""))),
        ("wrong-name", document("wrong-name", &format!("  sidecars: [{{name: 'A {CANARY}', image: x}}]"))),
        (
            "wrong-parameter",
            document("wrong-parameter", &format!("  parameters: [{{name: a, type: port, default: {CANARY}}}]")),
        ),
        (
            "wrong-enum",
            document(
                "wrong-enum",
                &format!("  parameters: [{{name: a, type: enum, values: [{CANARY}, c], default: x}}]"),
            ),
        ),
        ("wrong-cel", document("wrong-cel", &format!("  sidecars: [{{name: a, image: \"${{ {CANARY} ' }}\"}}]"))),
        (
            "wrong-quantity",
            document(
                "wrong-quantity",
                &format!("  sidecars: [{{name: a, image: x, resources: {{limits: {{memory: {CANARY}}}}}}}]"),
            ),
        ),
        ("wrong-tag", document("wrong-tag", &format!("  description: !{CANARY} x"))),
        // Sentences in which a reader of English would take the value for Outrigger's own words.
        ("number", document("number", &format!("  sidecars: [{{name: a, image: {NUMBER}}}]"))),
        ("boolean", document("boolean", &format!("  sidecars: [{{name: a, image: x, stdin: '{CANARY}`s\"'}}]"))),
        (
            "expected",
            document(
                "expected",
                &format!("  parameters: [{{name: a, type: integer, default: \"expected `{CANARY}`\"}}]"),
            ),
        ),
        (
            "near-name",
            document(
                "near-name",
                &format!(
                    "  volumes: [{{name: {CANARY}}}]\n  sidecars: [{{name: a, image: x, volumeMounts: [{{name: {CANARY}s, mountPath: /a}}]}}]"
                ),
            ),
        ),
        (
            "one-of",
            document(
                "one-of",
                &format!("  parameters: [{{name: a, type: enum, values: ['b; {CANARY}', c], default: x}}]"),
            ),
        ),
        ("apostrophe", document("apostrophe", &format!("  description: !it's'{CANARY} x"))),
        ("duplicate", document("duplicate", &format!("  description: x\n  description: {CANARY}"))),
        ("no-yaml", format!("password: {CANARY}\n\t- [\n")),
        ("no-template", format!("apiVersion: {CANARY}\nkind: {CANARY}\n")),
    ];
    std::fs::create_dir(directory).expect("a directory");
    for (name, text) in files {
        std::fs::write(directory.join(name).with_extension("yaml"), text).expect("a file");
    }
}

/// A pod with the canary in every value.
fn pod_with_canaries(annotations: &Value) -> Value {
    let mut pod = pod(annotations);
    pod["metadata"]["annotations"]["note"] = json!(CANARY);
    pod["metadata"]["labels"] = json!({"label": CANARY});
    pod["metadata"]["managedFields"] = json!([{"manager": CANARY}]);
    pod["spec"]["containers"][0] = json!({
        "name": "web",
        "image": CANARY,
        "command": [CANARY],
        "args": [CANARY],
        "workingDir": format!("/{CANARY}"),
        "env": [{"name": "TOKEN", "value": CANARY}, {"name": CANARY, "valueFrom": {"secretKeyRef": {"name": CANARY, "key": "k"}}}],
        "volumeMounts": [{"name": "data", "mountPath": format!("/{CANARY}")}],
        CANARY: {"unknown": CANARY},
    });
    pod["spec"]["volumes"] = json!([{"name": "data", "hostPath": {"path": format!("/{CANARY}")}}]);
    pod[CANARY] = json!(CANARY);
    pod
}

/// Reviews with canaries, each with the result that it has.
fn reviews() -> Vec<(Value, &'static str)> {
    let asking = |annotations: Value| review(&pod_with_canaries(&annotations));
    let full = |key: &str, value: &str| asking(json!({"outrigger.dev/inject": "full", key: value}));
    let mut reviews = vec![
        (asking(json!({})), "skipped"),
        (asking(json!({"outrigger.dev/inject": "full"})), "injected"),
        (full("outrigger.dev/containers", CANARY), "denied"),
        (full("outrigger.dev/status", CANARY), "injected"),
        (full("outrigger.dev/containr", CANARY), "denied"),
        (full("outrigger.dev/team", CANARY), "injected"),
        (asking(json!({"outrigger.dev/injct": CANARY})), "skipped"),
        (full("full.outrigger.dev/word", &format!("{CANARY}!")), "denied"),
        (full("full.outrigger.dev/word", &format!("{CANARY}-not")), "denied"),
        (full("full.outrigger.dev/size", CANARY), "denied"),
        (full("full.outrigger.dev/port", CANARY), "denied"),
        (full("full.outrigger.dev/mode", &CANARY.repeat(100_000)), "denied"),
    ];
    let mut conflicting = asking(json!({"outrigger.dev/inject": "full"}));
    conflicting["request"]["object"]["spec"]["initContainers"] =
        json!([{"name": "full", "image": CANARY, "command": [CANARY]}]);
    reviews.push((conflicting, "denied"));
    let mut invalid = asking(json!({"outrigger.dev/inject": "full"}));
    invalid["request"]["object"]["spec"]["volumes"] =
        json!([{"name": CANARY, "emptyDir": {}}, {"name": CANARY, "emptyDir": {}}]);
    reviews.push((invalid, "injected"));
    reviews
}

/// The pods of the reviews as pod templates, with keys at the wrong level.
fn workloads() -> Vec<Value> {
    let workload = |review: Value| {
        let mut review = review;
        let mut template = review["request"]["object"].take();
        for place in ["/metadata/name", "/metadata/generateName"] {
            if let Some(name) = template.pointer_mut(place) {
                *name = Value::Null;
            }
        }
        review["request"]["resource"] = json!({"group": "apps", "version": "v1", "resource": "deployments"});
        review["request"]["object"] = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "labels": {format!("outrigger.dev/{CANARY}"): CANARY},
                "annotations": {"outrigger.dev/inject": CANARY, format!("{CANARY}.outrigger.dev/a"): CANARY},
            },
            "spec": {"template": template},
        });
        review
    };
    reviews().into_iter().map(|(review, _)| workload(review)).collect()
}

/// Bodies that get no verdict.
fn bodies() -> Vec<String> {
    let of = |object: &str| review(&json!("OBJECT")).to_string().replace("\"OBJECT\"", object);
    let asking = |name: &str| review(&pod_with_canaries(&json!({"outrigger.dev/inject": name}))).to_string();
    vec![
        CANARY.to_owned(),
        format!("{{\"{CANARY}\": "),
        format!("{{\"apiVersion\": \"{CANARY}\", \"kind\": \"{CANARY}\", \"request\": {{\"uid\": \"{CANARY}\"}}}}"),
        format!("{{\"apiVersion\": {{\"{CANARY}\": 1}}}}"),
        format!("{{\"apiVersion\": \"a\", \"kind\": \"b\", \"request\": \"{CANARY}\"}}"),
        of(&format!("\"{CANARY}\"")),
        of(&format!("{{\"metadata\": \"{CANARY}\"}}")),
        of(&format!("{{\"metadata\": {{\"annotations\": \"{CANARY}\"}}}}")),
        of(&format!(
            "{{\"metadata\": {{\"annotations\": {{\"outrigger.dev/inject\": \"full\"}}}}, \"spec\": \"{CANARY}\"}}"
        )),
        of(&format!(
            "{{\"metadata\": {{\"annotations\": {{\"outrigger.dev/inject\": \"full\"}}}}, \"spec\": {{\"{CANARY}\": "
        )),
        review(&pod(&json!({}))).to_string().replace("\"dryRun\":false", &format!("\"dryRun\":\"{CANARY}\"")),
        asking("run-time"),
        asking("wrong-value"),
        asking("no-such, wrong-type"),
        // It may stand in the file that cannot be read, so there is no verdict.
        asking(CANARY),
        asking(&format!("full, {}", CANARY.repeat(5_000))),
    ]
}

/// Everything that was answered with an HTTP error.
fn error_bodies(serving: &mut Serving) -> String {
    let mut errors = String::new();
    let mut keep = |what: &str, answer: &Response| {
        if answer.status != 200 {
            writeln!(errors, "{what}: {} {:?} {}", answer.status, answer.headers, answer.text()).expect("a String");
        }
    };
    for (body, result) in reviews() {
        let answer = serving.client.post(body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["response"]["auditAnnotations"]["result"], result, "{}", answer.text());
        let audit = answer.json()["response"]["auditAnnotations"].to_string();
        assert!(!audit.contains(CANARY), "an audit log has many readers: {audit}");
    }
    for body in workloads() {
        let answer = serving.client.request(ADVISE, body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let audit = answer.json()["response"]["auditAnnotations"].to_string();
        assert!(!audit.contains(CANARY), "an audit log has many readers: {audit}");
    }
    for body in bodies() {
        let answer = serving.client.post(body.as_bytes());
        keep("a body", &answer);
    }
    let head = |line: &str, headers: &str| format!("{line} HTTP/1.1\r\n{headers}");
    for (line, headers) in [
        (
            format!("POST /mutate?timeout={CANARY}&{CANARY}={CANARY}"),
            format!("Content-Type: application/json\r\nAuthorization: Bearer {CANARY}"),
        ),
        ("POST /mutate".to_owned(), format!("Content-Type: {CANARY}")),
        (
            "POST /mutate".to_owned(),
            format!("Content-Type: application/json\r\ntraceparent: {CANARY}\r\ntracestate: a={CANARY}"),
        ),
        (format!("GET /{CANARY}?{CANARY}"), format!("Cookie: {CANARY}")),
        (format!("{} /mutate", CANARY.to_uppercase()), format!("{CANARY}: {CANARY}")),
    ] {
        // Some of these close the connection.
        keep("a request", &serving.connect().request(&head(&line, &headers), b"{}"));
    }
    errors
}

/// What is said of configuration files with the canary where no setting is.
fn refused_files(directory: &Path) -> String {
    let texts = [
        format!("password: {CANARY}\n"),
        format!("dev: {{password: {CANARY}}}\n"),
        format!("- {CANARY}\n"),
        format!("dev: true\n  {CANARY}: [\n"),
        format!("listen: *{CANARY}\n"),
    ];
    let mut said = String::new();
    for text in texts {
        std::fs::write(directory.join("bad.yaml"), text).expect("a file");
        let (code, stdout, stderr) = Process::run(directory, &["serve", "--config=bad.yaml"]);
        assert_eq!(code, Some(1), "{stderr}");
        said += &(stdout + &stderr);
    }
    said
}

/// What the admin listener shows when a template that worked is no longer right.
fn reloaded(serving: &Serving, file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("a file");
    std::fs::write(file, text.replace("default: 8080", &format!("default: {CANARY}"))).expect("a file");
    serving.process.signal("HUP");
    eventually("the reload", || serving.admin("/templates").text().contains("stale"));
    ["/templates", "/readyz?verbose", "/metrics"].map(|path| serving.admin(path).text()).concat()
}

/// What the program says to its readers when all of that has happened.
fn said(format: &str) -> Vec<(&'static str, String)> {
    let collector = Collector::start();
    let directory = tempfile::tempdir().expect("a directory");
    templates(&directory.path().join("t"));
    let config = format!("# {CANARY}\nlogLevel: trace\nstrict: false\ntemplates: [t]\ndevHost: [{CANARY}.local]\n");
    std::fs::write(directory.path().join("c.yaml"), config).expect("a file");
    let refused = refused_files(directory.path());
    // --dev is strict, so that a certificate made before is served.
    drop(Serving::start(directory.path(), &[]));
    let endpoint = format!("--otlp-endpoint=http://{}", collector.address);
    let arguments = ["--config=c.yaml", "--log-format", format, "--shutdown-delay=0s", &endpoint];
    let mut serving = Serving::with_certificate(directory.path(), &arguments);
    let errors = error_bodies(&mut serving);
    assert!(errors.lines().count() > 15, "{errors}");
    let requests = reviews().len() + workloads().len() + bodies().len() + 3;
    eventually("the lines of all requests", || serving.process.stderr().matches("duration_us").count() == requests);
    let admin = ["/metrics", "/readyz?verbose", "/templates", "/version", &format!("/{CANARY}")]
        .map(|path| serving.admin(path).text());
    assert!(admin[2].contains("\"wrong-value\"") && admin[2].contains("t/wrong-value.yaml:"), "{}", admin[2]);
    let reloaded = reloaded(&serving, &directory.path().join("t/full.yaml"));
    serving.process.signal("TERM");
    assert_eq!(serving.process.wait().code(), Some(0));
    let spans: Vec<String> = collector.rest().iter().map(|request| format!("{request:?}")).collect();
    assert_eq!(spans.concat().matches("outrigger.result").count(), requests, "every request has its span");
    vec![
        ("HTTP errors", errors),
        ("log", serving.process.stderr()),
        ("standard output", serving.process.stdout()),
        ("admin", admin.concat()),
        ("admin after a reload", reloaded),
        ("refused configurations", refused),
        ("traces", spans.concat()),
    ]
}

#[test]
fn no_value_is_ever_logged_counted_traced_or_shown() {
    let leaks = |line: &&str| [CANARY, NUMBER].iter().any(|canary| line.to_lowercase().contains(canary));
    for format in ["json", "text"] {
        for (what, text) in said(format) {
            let leaks: Vec<&str> = text.lines().filter(leaks).collect();
            assert!(leaks.is_empty(), "{format} {what}:\n{}", leaks.join("\n"));
        }
    }
}
