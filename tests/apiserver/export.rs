//! Policies of `outrigger export` and `outrigger generate policy` on a real API server, compared with
//! the engine's results of the same pods.
//!
//! Invariant: all differing cases are listed; a template that is not exported is counted, not hidden.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Answer, Namespace, pod, shared};
use crate::golden::case::{self, Case, Verdict};
use crate::golden::runner::{Offline, Runner};
use crate::process::eventually;

tests! {
    exported_policies_inject_what_the_engine_injects_in_all_golden_cases_that_they_take,
    an_enforcing_policy_refuses_pods_without_the_sidecar_and_admits_injected_ones,
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_outrigger");
const LIMIT: Duration = Duration::from_secs(30);
/// Label of the namespaces in which the policies of one test hold.
const POLICY_LABEL: &str = "tests/policy";

/// The objects that a command prints, or its messages.
fn printed(arguments: &[&str], templates: &Path) -> Result<Vec<Value>, String> {
    let output = Command::new(PROGRAM).args(arguments).arg("--templates").arg(templates).output().expect("it starts");
    if output.status.success() {
        let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        return Ok(list["items"].as_array().cloned().expect("a List"));
    }
    assert!(output.stdout.is_empty(), "a command that fails has printed something");
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn namespace(name: &str) -> Namespace {
    let cluster = shared();
    let object = json!({"metadata": {"name": name, "labels": {POLICY_LABEL: name}}});
    cluster.send_object("POST", "/api/v1/namespaces", &object).expect_success();
    let namespace = Namespace { cluster, name: name.to_owned() };
    namespace.ensure_service_account("default");
    namespace
}

/// Applies the objects for this namespace alone, under names of their own.
fn apply(namespace: &Namespace, objects: &[Value]) -> Vec<String> {
    let cluster = namespace.cluster;
    let mut refused = Vec::new();
    for object in objects {
        let mut object = object.clone();
        let renamed = |name: &Value| json!(format!("{}.{}", namespace.name, name.as_str().unwrap_or_default()));
        object["metadata"]["name"] = renamed(&object["metadata"]["name"]);
        let kind = object["kind"].as_str().expect("a kind").to_lowercase();
        let resource = if kind.ends_with("policy") { kind.replace("policy", "policies") } else { format!("{kind}s") };
        if kind.ends_with("binding") {
            object["spec"]["policyName"] = renamed(&object["spec"]["policyName"]);
        } else {
            let only = json!({"key": POLICY_LABEL, "operator": "In", "values": [namespace.name]});
            let expressions = &mut object["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"];
            expressions.as_array_mut().expect("a list").push(only);
        }
        let path = format!("/apis/admissionregistration.k8s.io/v1/{resource}");
        let answer = cluster.send_object("POST", &path, &object);
        if !answer.is_success() {
            refused.push(format!("{kind}: {}", answer.body["message"]));
        }
    }
    refused
}

fn dry_run(namespace: &Namespace, pod: &Value) -> Answer {
    let mut pod = pod.clone();
    pod["metadata"]["namespace"] = json!(namespace.name);
    if pod["metadata"].get("name").is_none() && pod["metadata"].get("generateName").is_none() {
        pod["metadata"]["name"] = json!("web");
    }
    if let Some(account) = pod["spec"]["serviceAccountName"].as_str() {
        namespace.ensure_service_account(account);
    }
    let path = namespace.path("pods?dryRun=All&fieldValidation=Ignore");
    namespace.cluster.send_object("POST", &path, &pod)
}

/// The pod without what the API server makes up for each one.
pub fn comparable(pod: &Value) -> Value {
    let text = pod.to_string();
    let token = text.find("kube-api-access-").and_then(|at| text.get(at..at + "kube-api-access-12345".len()));
    let text = token.map_or_else(|| text.clone(), |token| text.replace(token, "kube-api-access"));
    let mut pod: Value = serde_json::from_str(&text).expect("JSON");
    // The engine's result was made without the token's volume, which the API server adds before it asks.
    if let Some(volumes) = pod["spec"]["volumes"].as_array_mut() {
        volumes.sort_by_key(|volume| volume["name"] == "kube-api-access");
    }
    for list in ["containers", "initContainers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            if let Some(mounts) = container["volumeMounts"].as_array_mut() {
                mounts.sort_by_key(|mount| mount["name"] == "kube-api-access");
            }
        }
    }
    let metadata = pod["metadata"].as_object_mut().expect("metadata");
    ["uid", "creationTimestamp", "managedFields", "namespace", "name", "generation"]
        .iter()
        .for_each(|key| drop(metadata.remove(*key)));
    pod
}

/// The pod as the API server sends it: without nulls and empty lists.
fn as_sent(value: &Value) -> Value {
    let is_sent = |value: &Value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty());
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| is_sent(value));
            Value::Object(fields.map(|(key, value)| (key.clone(), as_sent(value))).collect())
        }
        Value::Array(items) => items.iter().map(as_sent).collect(),
        other => other.clone(),
    }
}

/// The one template that a case with the default settings requests, as a file.
fn template_of(case: &Case, directory: &Path) -> Option<(String, PathBuf)> {
    let requested = case.pod.pointer("/metadata/annotations/outrigger.dev~1inject")?.as_str()?.trim().to_owned();
    let path = directory.join("templates.yaml");
    std::fs::write(&path, &case.templates).expect("a file");
    (!requested.is_empty() && !requested.contains(',') && requested != "false").then_some((requested, path))
}

/// A case whose template is exported, with its policies in a namespace of its own.
struct TakenCase {
    name: String,
    case: Case,
    template: String,
    namespace: Namespace,
}

/// All golden cases that are taken, the number of all cases, and policies that were refused.
fn taken_cases() -> (Vec<TakenCase>, usize, Vec<String>) {
    let directory = shared().control_plane.janitor.directory().join("export");
    std::fs::create_dir_all(&directory).expect("a directory");
    let (mut all, mut taken, mut failures) = (0, Vec::new(), Vec::new());
    for (name, case) in case::read_all() {
        all += 1;
        let Ok(case) = case else { continue };
        let settings = &case.settings;
        let is_usual = settings.operation == "CREATE"
            && settings.resource == "pods"
            && settings.sub_resource.is_empty()
            && settings.native_sidecars == case::Native::Supported
            && settings.excluded_namespaces.is_empty()
            && settings.namespace_object().is_none();
        let Some((template, path)) = template_of(&case, &directory).filter(|_| is_usual) else { continue };
        let Ok(objects) = printed(&["export", &template, "-o", "json"], &path) else { continue };
        let namespace = namespace(&format!("export-{all}"));
        let refused = apply(&namespace, &objects);
        if refused.is_empty() {
            taken.push(TakenCase { name, case, template, namespace });
        } else {
            failures.push(format!("{name}: the policies are refused: {}", refused.join("; ")));
        }
    }
    (taken, all, failures)
}

/// Waits until the policies of a case are active: the guard refuses what is not injected, and later
/// nothing that is.
fn wait_until_active(taken: &TakenCase) {
    if taken.case.templates.contains("Selector") {
        // Not every pod is selected, so no probe is like the pod.
        return crate::process::pause(Duration::from_secs(2));
    }
    let (template, namespace) = (&taken.template, &taken.namespace);
    let mut probe = pod("probe", &json!({"outrigger.dev/inject": template, "outrigger.dev/containers": "x"}));
    probe["metadata"]["labels"] = json!({});
    eventually("the guard is active", LIMIT, || (!dry_run(namespace, &probe).is_success()).then_some(()));
    let good = pod("probe", &json!({"outrigger.dev/inject": template}));
    let begun = std::time::Instant::now();
    while !dry_run(namespace, &good).is_success() && begun.elapsed() < Duration::from_secs(4) {
        crate::process::pause(Duration::from_millis(50));
    }
}

/// How the API server with the policies agrees with the engine; `Err` says how it does not.
fn judge(taken: &TakenCase, plain: &Namespace) -> Result<&'static str, String> {
    let answer = dry_run(&taken.namespace, &taken.case.pod);
    let message = answer.body["message"].as_str().unwrap_or_default().to_owned();
    let by_guard = message.contains("let Outrigger inject template");
    let result = Offline.run(&taken.case, &as_sent(&taken.case.pod)).expect("the case runs");
    match (result.verdict, answer.is_success()) {
        (Verdict::Injected, true) => {
            let expected = comparable(&dry_run(plain, &result.pod.expect("a pod")).body);
            let found = comparable(&answer.body);
            if expected == found { Ok("equal") } else { Err(format!("{found}\n  differs from {expected}")) }
        }
        // The pod as it is, or an unknown field of the template.
        (Verdict::Injected, false) if message.contains("decoding error") || message.contains("is invalid") => {
            Ok("invalid")
        }
        (Verdict::Injected, false) if by_guard => Ok("narrower: refused, the webhook injects"),
        (Verdict::Skipped, false) if by_guard => Ok("stricter: refused, the webhook skips"),
        (Verdict::Refused | Verdict::Failed, false) => Ok("equal"),
        (Verdict::Skipped, true)
            if !answer.body.to_string().contains("/revision")
                || result.reasons.contains(&"already_injected".to_owned()) =>
        {
            Ok("equal")
        }
        (verdict, success) => Err(format!("{verdict:?} and admitted {success}: {message}")),
    }
}

fn exported_policies_inject_what_the_engine_injects_in_all_golden_cases_that_they_take() {
    let plain = namespace("export-plain");
    let (taken, all, mut failures) = taken_cases();
    let mut counts = BTreeMap::<&str, usize>::new();
    for case in &taken {
        wait_until_active(case);
        match judge(case, &plain) {
            Ok(outcome) => *counts.entry(outcome).or_default() += 1,
            Err(failure) => failures.push(format!("{}: {failure}", case.name)),
        }
    }
    println!("{} of {all} golden cases are taken: {counts:?}", taken.len());
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), taken.len(), failures.join("\n"));
    assert!(counts.get("equal").copied().unwrap_or_default() >= 50, "only {counts:?}");
}

/// A template whose image no parameter can change, so that the policy can ask for it.
const AGENT: &str = "\
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: agent}
spec:
  sidecars:
  - {name: agent, image: 'registry.example/agent:1'}
";

fn an_enforcing_policy_refuses_pods_without_the_sidecar_and_admits_injected_ones() {
    let namespace = namespace("enforced");
    let directory = namespace.cluster.control_plane.janitor.directory();
    let templates = directory.join("enforced.yaml");
    std::fs::write(&templates, AGENT).expect("a file");
    let objects = printed(&["generate", "policy", "agent", "--selector", "app=web", "-o", "json"], &templates);
    let refused = apply(&namespace, &objects.expect("a policy"));
    assert!(refused.is_empty(), "{refused:?}");
    let chosen = |mut pod: Value| {
        pod["metadata"]["labels"]["app"] = json!("web");
        pod
    };
    let bare = chosen(pod("web", &json!({})));
    let message = eventually("the policy is active", LIMIT, || {
        let answer = dry_run(&namespace, &bare);
        (!answer.is_success()).then(|| answer.body["message"].to_string())
    });
    assert!(message.contains("must carry template") && message.contains("let Outrigger inject"), "{message}");
    assert!(dry_run(&namespace, &pod("other", &json!({}))).is_success(), "a pod that is not chosen is refused");

    let file = directory.join("enforced.json");
    std::fs::write(&file, pod("web", &json!({"outrigger.dev/inject": "agent"})).to_string()).expect("a file");
    let mut inject = Command::new(PROGRAM);
    inject.args(["inject", "-o", "json", "--templates"]).arg(&templates).arg("-f").arg(&file);
    let output = inject.output().expect("it starts");
    let injected = chosen(serde_json::from_slice(&output.stdout).expect("a pod"));
    dry_run(&namespace, &injected).expect_success();

    let status = &injected["metadata"]["annotations"]["outrigger.dev/status"];
    let forged = chosen(pod("web", &json!({"outrigger.dev/status": status})));
    let answer = dry_run(&namespace, &forged);
    assert!(!answer.is_success() && answer.body["message"].to_string().contains("no sidecar"), "{answer:?}");

    let mut foreign = injected.clone();
    foreign["spec"]["initContainers"][0]["image"] = json!("registry.example/evil:1");
    let answer = dry_run(&namespace, &foreign);
    assert!(!answer.is_success() && answer.body["message"].to_string().contains("must have the image"), "{answer:?}");

    let path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/enforced.agent.enforce.outrigger.dev";
    let found = namespace.cluster.get(path).expect_success();
    let warnings = &found["status"]["typeChecking"]["expressionWarnings"];
    assert!(warnings.as_array().is_none_or(Vec::is_empty), "{warnings}");
}
