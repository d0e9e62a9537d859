//! Policies of `outrigger export` and `outrigger generate policy` on a real API server, compared with
//! the engine's results of the same pods.
//!
//! Here are the helpers of these tests. Each policy holds in one namespace alone.

pub mod bypass;
pub mod enforcing;
pub mod enforcing_catalog;
pub mod guard;
pub mod injecting;
pub mod placed;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Answer, Namespace, shared};
use crate::golden::case::{self, Case};
use crate::golden::prepared;
use crate::process::eventually;

const PROGRAM: &str = env!("CARGO_BIN_EXE_outrigger");
const LIMIT: Duration = Duration::from_secs(60);
/// Label of the namespaces in which the policies of one test hold.
const POLICY_LABEL: &str = "tests/policy";
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";

/// A template whose image no parameter can change, so that the policy can ask for it.
const AGENT: &str = "\
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: agent}
spec:
  sidecars:
  - {name: agent, image: 'registry.example/agent:1'}
";

/// The objects that a command prints, or its messages.
fn printed(arguments: &[&str], templates: &Path) -> Result<Vec<Value>, String> {
    let mut program = Command::new(PROGRAM);
    let output = program.args(arguments).args(["-o", "json", "--templates"]).arg(templates).output();
    let output = output.expect("it starts");
    if output.status.success() {
        let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        return Ok(list["items"].as_array().cloned().expect("a List"));
    }
    assert!(output.stdout.is_empty(), "a command that fails has printed something");
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A namespace in which policies hold, with more labels and annotations.
fn namespace(name: &str, metadata: &Value) -> Namespace {
    let cluster = shared();
    let mut object = json!({"metadata": metadata});
    object["metadata"]["name"] = json!(name);
    object["metadata"]["labels"][POLICY_LABEL] = json!(name);
    cluster.send_object("POST", "/api/v1/namespaces", &object).expect_success();
    let namespace = Namespace { cluster, name: name.to_owned() };
    namespace.ensure_service_account("default");
    namespace
}

/// The name under which a policy holds in this namespace.
fn renamed(namespace: &Namespace, name: &str) -> String {
    format!("{}.{name}", namespace.name)
}

/// Applies the objects for this namespace alone, under names of their own. Returns the problems.
fn apply(namespace: &Namespace, objects: &[Value]) -> Vec<String> {
    let mut refused = Vec::new();
    for object in objects {
        let mut object = object.clone();
        let rename = |name: &Value| json!(renamed(namespace, name.as_str().unwrap_or_default()));
        object["metadata"]["name"] = rename(&object["metadata"]["name"]);
        let kind = object["kind"].as_str().expect("a kind").to_lowercase();
        let resource = if kind.ends_with("policy") { kind.replace("policy", "policies") } else { format!("{kind}s") };
        if kind.ends_with("binding") {
            object["spec"]["policyName"] = rename(&object["spec"]["policyName"]);
        } else {
            let only = json!({"key": POLICY_LABEL, "operator": "In", "values": [namespace.name]});
            let expressions = &mut object["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"];
            expressions.as_array_mut().expect("a list").push(only);
        }
        let path = format!("/apis/admissionregistration.k8s.io/v1/{resource}");
        let answer = namespace.cluster.send_object("POST", &path, &object);
        if !answer.is_success() {
            refused.push(format!("{kind}: {}", answer.body["message"]));
        }
    }
    refused
}

/// Warnings of the type check of the namespace's validating policies, once it is done. A controller
/// does it.
fn type_warnings(namespace: &Namespace, objects: &[Value]) -> Vec<String> {
    if !namespace.cluster.control_plane.has_controllers {
        return Vec::new();
    }
    let validating = objects.iter().filter(|object| object["kind"] == "ValidatingAdmissionPolicy");
    let mut warnings = Vec::new();
    for name in validating.filter_map(|object| object["metadata"]["name"].as_str()) {
        let path = format!("{POLICIES}/{}", renamed(namespace, name));
        let checked = eventually("the policy's types are checked", LIMIT, || {
            let policy = namespace.cluster.get(&path).expect_success();
            let is_current = policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
            let checked = policy["status"]["typeChecking"].clone();
            (is_current && checked.is_object()).then_some(checked)
        });
        let found = checked["expressionWarnings"].as_array().cloned().unwrap_or_default();
        warnings.extend(found.iter().map(|warning| format!("{name}: {}", warning["warning"])));
    }
    warnings
}

/// Sends the pod as a new one of this namespace, with what it refers to.
fn dry_run(namespace: &Namespace, pod: &Value) -> Answer {
    let pod = prepared(namespace, pod);
    let path = namespace.path("pods?dryRun=All&fieldValidation=Ignore");
    let is_known = |answer: &Answer| !message(answer).contains("no PriorityClass with name");
    eventually("admission knows the priority class", LIMIT, || {
        Some(namespace.cluster.send_object("POST", &path, &pod)).filter(is_known)
    })
}

fn message(answer: &Answer) -> String {
    answer.body["message"].as_str().unwrap_or_default().to_owned()
}

/// The pod as the API server sends it: without nulls and empty lists; a label or annotation that is null
/// is empty.
fn as_sent(pod: &Value) -> Value {
    let mut pod = pod.clone();
    for map in ["labels", "annotations"] {
        let values = pod["metadata"][map].as_object_mut().into_iter().flat_map(|map| map.values_mut());
        values.filter(|value| value.is_null()).for_each(|value| *value = json!(""));
    }
    without_nulls(&pod)
}

fn without_nulls(value: &Value) -> Value {
    let is_sent = |value: &Value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty());
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| is_sent(value));
            Value::Object(fields.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Names of templates in the pod's annotation, without revisions.
fn requested(pod: &Value) -> Vec<String> {
    let list = pod["metadata"]["annotations"]["outrigger.dev/inject"].as_str().unwrap_or_default();
    let names = list.split(',').map(|item| item.split('@').next().unwrap_or_default().trim().to_owned());
    names.filter(|name| !name.is_empty() && name != "false").collect()
}

/// All cases in which a pod is created, with the number of all cases.
fn cases_of_new_pods() -> (Vec<(String, Case)>, usize) {
    let cases = case::read_all();
    let all = cases.len();
    let is_new_pod = |case: &Case| {
        let settings = &case.settings;
        settings.operation == "CREATE" && settings.resource == "pods" && settings.sub_resource.is_empty()
    };
    let readable = cases.into_iter().filter_map(|(name, case)| Some((name, case.ok()?)));
    (readable.filter(|(_, case)| is_new_pod(case)).collect(), all)
}
