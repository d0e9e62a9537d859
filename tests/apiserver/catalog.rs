//! The catalog of templates against a real API server: combinations, labels, examples, and any pod.
//!
//! Pods are created by dry runs through the webhook, which serves `config/templates`. Everything is
//! read from the folders, as in `tests/it/catalog`, which checks the same pods without an API server.
//!
//! Invariant: all problems are reported at once, each with the template's name.

use std::sync::OnceLock;
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::cluster::{Answer, Namespace, WEBHOOK_LABEL, pod, request, shared};
use crate::outrigger::Outrigger;
use crate::process::eventually;
use files::{Catalog, Entry, Level, named_sets, plain_pod, pods, requests};

#[allow(dead_code, reason = "shared with tests/it, which uses all of it")]
#[path = "../it/catalog/files.rs"]
pub mod files;

tests! {
    every_two_templates_and_every_named_set_are_accepted_together,
    every_template_needs_the_level_of_its_label,
    the_pods_of_every_example_are_accepted,
    any_pod_is_accepted_with_any_template_or_refused_with_a_reason,
}

const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/templates");
/// Requests that are under way at a time.
const CONCURRENCY: usize = 8;
const LIMIT: Duration = Duration::from_secs(30);
/// The beginning of a refusal that names what the author of the pod has to do.
const DENIED: &str = "admission webhook \"pods.inject.outrigger.dev\" denied the request: ";

/// A pod to create in a namespace, and what the report calls it.
struct Trial<'n> {
    what: String,
    namespace: &'n Namespace,
    pod: Value,
}

/// Starts the server, once for all tests of this file.
fn serve() {
    static SERVER: OnceLock<Outrigger> = OnceLock::new();
    SERVER.get_or_init(|| {
        let cluster = shared();
        let server = Outrigger::start_in_cluster(cluster, "catalog", &["--templates", TEMPLATES]);
        server.register(&cluster.namespace("catalog-probe", "catalog"), "catalog", "log-collector", |_| {});
        server
    });
}

/// A namespace of each level of Pod Security that the webhook covers.
fn namespaces(test: &str) -> [Namespace; 3] {
    serve();
    Level::ALL.map(|level| {
        let cluster = shared();
        let name = format!("catalog-{test}-{}", level.name());
        let labels = json!({WEBHOOK_LABEL: "catalog", "pod-security.kubernetes.io/enforce": level.name()});
        let object = json!({"metadata": {"name": name, "labels": labels}});
        cluster.send_object("POST", "/api/v1/namespaces", &object).expect_success();
        let namespace = Namespace { cluster, name };
        namespace.ensure_service_account("default");
        if level != Level::Privileged {
            let mut host = pod("host", &json!({}));
            host["spec"]["hostPID"] = json!(true);
            eventually("Pod Security knows the namespace", LIMIT, || {
                (!namespace.create_pod(&host, "&dryRun=All").is_success()).then_some(())
            });
        }
        namespace
    })
}

fn at(namespaces: &[Namespace; 3], level: Level) -> &Namespace {
    &namespaces[level as usize]
}

/// The level at which a restricted pod with all these templates is admitted.
fn loosest(entries: &[&Entry]) -> Level {
    entries.iter().map(|entry| entry.level()).max().unwrap_or(Level::Restricted)
}

/// The API server's answers, in the order of the trials.
fn create(trials: &[Trial<'_>]) -> Vec<Answer> {
    let cluster = shared();
    let client = cluster.client();
    let one = |trial: &Trial<'_>| {
        let mut pod = trial.pod.clone();
        pod["metadata"]["namespace"] = json!(trial.namespace.name);
        let path = trial.namespace.path("pods?dryRun=All&fieldValidation=Strict");
        let client = client.clone();
        async move {
            let body = pod.to_string().into_bytes();
            request(&client, "POST", &path, "application/json", body).await.expect("an answer")
        }
    };
    let requests: Vec<_> = trials.iter().map(one).collect();
    cluster.runtime.block_on(futures::stream::iter(requests).buffered(CONCURRENCY).collect())
}

fn message(answer: &Answer) -> String {
    answer.body["message"].as_str().unwrap_or("no message").to_owned()
}

/// The trials whose answer is wrong, with what is wrong.
fn problems(trials: &[Trial<'_>], problem: impl Fn(&Trial<'_>, &Answer) -> Option<String>) -> Vec<String> {
    let answers = create(trials);
    let of_trial = |(trial, answer): (&Trial<'_>, &Answer)| {
        Some(format!("{} ({}): {}", trial.what, trial.namespace.name, problem(trial, answer)?))
    };
    trials.iter().zip(&answers).filter_map(of_trial).collect()
}

fn report(problems: &[String], count: usize) {
    assert!(problems.is_empty(), "{} of {count}:\n{}", problems.len(), problems.join("\n"));
}

/// The pod must be accepted, with all templates that it asks for.
fn is_injected(trial: &Trial<'_>, answer: &Answer) -> Option<String> {
    if !answer.is_success() {
        return Some(message(answer));
    }
    let status = answer.body["metadata"]["annotations"]["outrigger.dev/status"].as_str().unwrap_or_default();
    let names = requests(&trial.pod).into_iter();
    let missing: Vec<String> = names.filter(|name| !status.contains(&format!("\"{name}\""))).collect();
    (!missing.is_empty()).then(|| format!("accepted without {missing:?}"))
}

fn every_two_templates_and_every_named_set_are_accepted_together() {
    let namespaces = namespaces("together");
    let catalog = Catalog::read();
    let mut groups: Vec<Vec<&Entry>> = catalog.pairs().into_iter().map(Vec::from).collect();
    for set in named_sets() {
        let entry = |name: &String| catalog.entry(name).unwrap_or_else(|| panic!("there is no template {name}"));
        groups.push(set.templates.iter().map(entry).collect());
    }
    groups.push(catalog.all_together());
    let trial = |group: &Vec<&Entry>| {
        let names: Vec<&str> = group.iter().map(|entry| entry.name.as_str()).collect();
        let namespace = at(&namespaces, loosest(group));
        Trial { what: names.join(", "), namespace, pod: catalog.ask(&plain_pod(), &names) }
    };
    let trials: Vec<Trial<'_>> = groups.iter().map(trial).collect();
    let problems = problems(&trials, is_injected);
    report(&problems, trials.len());
}

/// Its own level admits a restricted pod with the template, the next stricter one refuses it.
fn every_template_needs_the_level_of_its_label() {
    let namespaces = namespaces("level");
    let catalog = Catalog::read();
    let trial = |entry: &Entry, level: Level| Trial {
        what: entry.name.clone(),
        namespace: at(&namespaces, level),
        pod: catalog.ask(&plain_pod(), &[&entry.name]),
    };
    let own: Vec<Trial<'_>> = catalog.entries.iter().map(|entry| trial(entry, entry.level())).collect();
    let mut problems_found = problems(&own, is_injected);
    let stricter = |entry: &Entry| Level::ALL.into_iter().rfind(|level| *level < entry.level());
    let stricter: Vec<Trial<'_>> =
        catalog.entries.iter().filter_map(|entry| Some(trial(entry, stricter(entry)?))).collect();
    problems_found.extend(problems(&stricter, |_, answer| {
        let message = message(answer);
        let refused = !answer.is_success() && message.replace(' ', "").to_lowercase().contains("podsecurity");
        (!refused).then(|| format!("the label could be stricter, since the pod is not refused: {message}"))
    }));
    report(&problems_found, own.len() + stricter.len());
}

fn the_pods_of_every_example_are_accepted() {
    let namespaces = namespaces("example");
    let catalog = Catalog::read();
    let mut trials = Vec::new();
    for entry in &catalog.entries {
        let namespace = at(&namespaces, entry.level());
        for pod in entry.example_pods() {
            prepare(namespace, &pod);
            trials.push(Trial { what: entry.name.clone(), namespace, pod });
        }
    }
    let problems = problems(&trials, is_injected);
    report(&problems, trials.len());
}

fn any_pod_is_accepted_with_any_template_or_refused_with_a_reason() {
    let namespaces = namespaces("any");
    let (catalog, pods) = (Catalog::read(), pods());
    let alone = shared().namespace("catalog-alone", "none");
    let covered = at(&namespaces, Level::Privileged);
    let prepared: Vec<Trial<'_>> = pods
        .iter()
        .map(|(file, pod)| {
            [&alone, covered].into_iter().for_each(|namespace| prepare(namespace, pod));
            Trial { what: file.clone(), namespace: &alone, pod: pod.clone() }
        })
        .collect();
    let invalid = problems(&prepared, |_, answer| (!answer.is_success()).then(|| message(answer)));
    assert!(invalid.is_empty(), "pods that the API server refuses without Outrigger:\n{}", invalid.join("\n"));
    let groups = catalog.groups();
    let trial = |group: &Vec<&str>, file: &String, pod: &Value| Trial {
        what: format!("{}, {file}", group.join(" + ")),
        namespace: covered,
        pod: catalog.ask(pod, group),
    };
    let trials: Vec<Trial<'_>> =
        groups.iter().flat_map(|group| pods.iter().map(move |(file, pod)| trial(group, file, pod))).collect();
    let problems = problems(&trials, |_, answer| {
        let message = message(answer);
        (!answer.is_success() && !message.starts_with(DENIED)).then_some(message)
    });
    report(&problems, trials.len());
}

/// Creates what the pod refers to and what the API server looks up.
fn prepare(namespace: &Namespace, pod: &Value) {
    let spec = &pod["spec"];
    for account in ["serviceAccountName", "serviceAccount"].into_iter().filter_map(|key| spec[key].as_str()) {
        namespace.ensure_service_account(account);
    }
    if let Some(class) = spec["priorityClassName"].as_str().filter(|class| !class.starts_with("system-")) {
        namespace.ensure_priority_class(class, spec["priority"].as_i64().unwrap_or(1000));
    }
    if let Some(class) = spec["runtimeClassName"].as_str() {
        let class = json!({"metadata": {"name": class}, "handler": "tests"});
        namespace.cluster.ensure("/apis/node.k8s.io/v1/runtimeclasses", &class);
    }
}
