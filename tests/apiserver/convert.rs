//! What `outrigger convert` prints, on a real API server: the templates are applied, and a pod of each
//! case is compared with the pod that the other injector's documents promise.
//!
//! The cases are those of `tests/it/convert.rs`. They have a cluster of their own, since their templates
//! are of the whole cluster and some share a name; one case follows the other. Invariant: all differing
//! cases are listed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};
use crate::control_plane::assets;
use crate::export::injecting::comparable;
use crate::objects;
use crate::outrigger::{Outrigger, PROGRAM, admin_response};
use crate::process::eventually;

tests! {
    converted_templates_inject_what_the_other_injectors_promise,
}

const LIMIT: Duration = Duration::from_secs(30);
/// The namespace of the cases; some of them name it.
const NAMESPACE: &str = "shop";
/// What Outrigger writes for itself, and for kubectl.
const OWN: [&str; 2] = ["outrigger.dev/status", "kubectl.kubernetes.io/default-container"];

/// All cases; those that need labels on the namespace come last.
fn cases() -> Vec<PathBuf> {
    let list = |directory: &Path| {
        let entries = fs::read_dir(directory).expect("a directory");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/convert");
    let mut cases: Vec<PathBuf> = list(&root).iter().flat_map(|source| list(source)).collect();
    cases.sort_by_key(|case| (case.join("namespace.yaml").exists(), case.clone()));
    cases
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The templates that the program prints for the input of a case.
fn converted(case: &Path) -> Vec<Value> {
    let mut inputs: Vec<String> = fs::read_dir(case)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("input"))
        .collect();
    inputs.sort_by_key(|name| (name.len(), name.clone()));
    let mut convert = Command::new(PROGRAM);
    convert.arg("convert").current_dir(case);
    inputs.iter().for_each(|name| _ = convert.args(["-f", name]));
    if let Some(from) = read(&case.join("case.yaml"))["from"].as_str() {
        convert.args(["--from", from]);
    }
    let output = convert.output().expect("outrigger starts");
    assert!(output.status.success(), "{}: {}", case.display(), String::from_utf8_lossy(&output.stderr));
    serde_saphyr::from_multiple(&String::from_utf8(output.stdout).expect("text")).expect("YAML")
}

/// The address of a template as an object, with its name.
fn address(template: &Value) -> (String, String) {
    let text = |field: &str| template["metadata"][field].as_str().unwrap_or_default().to_owned();
    (objects::path(&text("namespace"), &text("name")), text("name"))
}

/// Waits until the webhook has all of these templates, or none of them.
fn wait_for(server: &Outrigger, templates: &[Value], expected: bool) {
    let names: Vec<_> = templates.iter().map(|template| &template["metadata"]["name"]).collect();
    eventually(&format!("the webhook has {names:?}: {expected}"), LIMIT, || {
        let answer = admin_response(server.addresses()[1], "/templates").unwrap_or_default();
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        let served: Value = serde_json::from_str(body).unwrap_or_default();
        let served = served["templates"].as_array().cloned().unwrap_or_default();
        let is_served = |template: &Value| served.iter().any(|one| one["name"] == template["metadata"]["name"]);
        templates.iter().all(|template| is_served(template) == expected).then_some(())
    });
}

/// Applies the templates, first as a dry run with strict validation.
fn apply(cluster: &Cluster, templates: &[Value]) -> Result<(), String> {
    for template in templates {
        let (path, name) = address(template);
        for query in ["&dryRun=All", ""] {
            let path = format!("{path}?fieldManager=tests&fieldValidation=Strict{query}");
            let body = template.to_string().into_bytes();
            let answer = cluster.send("PATCH", &path, "application/apply-patch+yaml", body);
            if !answer.is_success() {
                return Err(format!("template {name} is refused: {}", answer.body["message"]));
            }
        }
    }
    Ok(())
}

/// The pod that the API server would store, without what has no meaning in a comparison: what it makes
/// up, what Outrigger writes for itself, and the order of volumes and mounts.
fn stored(namespace: &Namespace, pod: &Value) -> Result<Value, String> {
    let mut pod = pod.clone();
    pod["metadata"]["namespace"] = json!(namespace.name);
    namespace.ensure_service_account("helper");
    let answer = namespace.create_pod(&pod, "&dryRun=All");
    if !answer.is_success() {
        return Err(answer.body["message"].to_string());
    }
    let mut pod = comparable(&answer.body);
    for key in ["annotations", "labels"] {
        let metadata = pod["metadata"].as_object_mut().expect("metadata");
        let Some(Value::Object(entries)) = metadata.get_mut(key) else { continue };
        entries.retain(|key, _| !OWN.contains(&key.as_str()) && !key.ends_with(".outrigger.dev/revision"));
        if entries.is_empty() {
            metadata.remove(key);
        }
    }
    sort(&mut pod["spec"]["volumes"]);
    for list in ["containers", "initContainers"] {
        let containers = pod["spec"][list].as_array_mut();
        containers.into_iter().flatten().for_each(|container| sort(&mut container["volumeMounts"]));
    }
    Ok(pod)
}

fn sort(list: &mut Value) {
    if let Some(items) = list.as_array_mut() {
        items.sort_by_key(ToString::to_string);
    }
}

fn check(server: &Outrigger, shop: &Namespace, plain: &Namespace, case: &Path) -> Result<(), String> {
    let templates = converted(case);
    let result = apply(shop.cluster, &templates).and_then(|()| {
        wait_for(server, &templates, true);
        let found = stored(shop, &read(&case.join("pod.yaml")))?;
        let expected = stored(plain, &read(&case.join("expected.yaml")))?;
        if found == expected { Ok(()) } else { Err(format!("the source promises\n{expected}\nthe pod is\n{found}")) }
    });
    for template in &templates {
        shop.cluster.send("DELETE", &address(template).0, "application/json", Vec::new());
    }
    wait_for(server, &templates, false);
    result.map_err(|problem| format!("{}: {problem}", case.display()))
}

fn converted_templates_inject_what_the_other_injectors_promise() {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let assets = assets();
    let cluster = CLUSTER.get_or_init(|| Cluster::start(&assets));
    objects::install_crds(cluster);
    objects::apply(cluster, "", "agent", &objects::sidecar("agent:1")).expect_success();
    // Without the built-in templates, since one of them has the name of a converted one.
    let empty = cluster.control_plane.janitor.directory().join("no-templates");
    fs::create_dir_all(&empty).expect("a directory");
    let server = Outrigger::start_in_cluster(cluster, "convert", &["--templates", &empty.display().to_string()]);
    server.register(&cluster.namespace("convert-probe", "convert"), "convert", "agent", |_| {});
    let (shop, plain) = (cluster.namespace(NAMESPACE, "convert"), cluster.namespace("plain", "none"));
    let (labelled, unlabelled): (Vec<_>, Vec<_>) =
        cases().into_iter().partition(|case| case.join("namespace.yaml").exists());
    let mut failures: Vec<String> =
        unlabelled.iter().filter_map(|case| check(&server, &shop, &plain, case).err()).collect();
    label(&server, &shop);
    failures.extend(labelled.iter().filter_map(|case| check(&server, &shop, &plain, case).err()));
    let count = labelled.len() + unlabelled.len();
    assert!(failures.is_empty(), "{} of {count} cases:\n{}", failures.len(), failures.join("\n\n"));
    assert!(count >= 18 && labelled.len() >= 6, "three cases of each of six sources");
}

/// Gives the namespace the labels of the cases, and waits until the webhook has read them.
fn label(server: &Outrigger, shop: &Namespace) {
    let labels = json!({"metadata": {"labels": {"outrigger.dev/injection": "enabled", "team": "shop"}}});
    let path = format!("/api/v1/namespaces/{}", shop.name);
    let body = labels.to_string().into_bytes();
    shop.cluster.send("PATCH", &path, "application/merge-patch+json", body).expect_success();
    let probe = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate",
        "metadata": {"name": "probe"}, "spec": {"injection": "Automatic",
        "match": {"podSelector": {"matchLabels": {"probe": "asks"}}}, "hardened": false,
        "app": {"env": [{"name": "PROBE", "value": "reached"}]}}});
    let templates = [json!({"metadata": {"name": "probe"}})];
    apply(shop.cluster, &[probe]).expect("the probe is accepted");
    wait_for(server, &templates, true);
    let mut pod = crate::cluster::pod("probe", &json!({}));
    pod["metadata"]["labels"] = json!({"probe": "asks"});
    eventually("automatic templates reach the namespace", LIMIT, || {
        shop.would_accept(&pod).to_string().contains("PROBE").then_some(())
    });
    shop.cluster.send("DELETE", &objects::path("", "probe"), "application/json", Vec::new());
    wait_for(server, &templates, false);
}
