//! The usual templates of the golden cases: a real API server creates their pods through the webhook,
//! and stores what the cases expect.
//!
//! A case is a directory `tests/testdata/inject/usual-*`, and `tests/it` runs it too; a new one needs
//! no Rust. Cases of one template are numbered, and have the same `templates.yaml`.
//!
//! Invariant: all failing cases are listed, not only the first.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cluster::{Namespace, names, shared};
use crate::golden::case::{self, Case, Verdict};
use crate::outrigger::Outrigger;
use outrigger::workload::excerpt::differences;

tests! {
    the_pods_of_the_usual_templates_are_created_as_expected,
}

/// The templates that the golden cases show.
const TEMPLATES: [&str; 8] = [
    "usual-ca-certificates",
    "usual-fluentd",
    "usual-git-sync",
    "usual-jvm-agent",
    "usual-oauth2-proxy",
    "usual-opentelemetry",
    "usual-redis-ambassador",
    "usual-secrets",
];

fn the_pods_of_the_usual_templates_are_created_as_expected() {
    let cases: Vec<(String, Case)> = case::names()
        .into_iter()
        .filter(|name| name.starts_with("usual-"))
        .map(|name| (name.clone(), case::read(&name).unwrap_or_else(|problems| panic!("{name}: {problems:?}"))))
        .collect();
    let templates = templates(&cases);
    assert_eq!(templates.keys().copied().collect::<Vec<_>>(), TEMPLATES);
    // The cases expect the name of their namespace in what is injected.
    let namespace = shared().namespace("demo", "usual");
    let labels = json!({"metadata": {"labels": {"outrigger.dev/injection": "enabled"}}}).to_string().into_bytes();
    let path = "/api/v1/namespaces/demo";
    namespace.cluster.send("PATCH", path, "application/merge-patch+json", labels).expect_success();
    let directory = directory(&namespace, &templates);
    let arguments = ["--templates", directory.to_str().expect("a path of text")];
    let server = Outrigger::start_in_cluster(namespace.cluster, "usual", &arguments);
    server.register(&namespace, "usual", "jvm-agent", |_| {});
    let problems: Vec<String> = cases.iter().flat_map(|(name, case)| problems(&namespace, name, case)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The text of each template, by the name of its first case.
fn templates(cases: &[(String, Case)]) -> BTreeMap<&str, &str> {
    let mut templates = BTreeMap::new();
    for (name, case) in cases {
        let number = name.rsplit_once('-').filter(|(_, number)| number.parse::<usize>().is_ok());
        let first = number.map_or(name.as_str(), |(first, _)| first);
        let text = *templates.entry(first).or_insert(case.templates.as_str());
        assert!(text == case.templates, "{name} has other templates than {first}");
    }
    templates
}

/// A directory with the templates, for the server.
fn directory(namespace: &Namespace, templates: &BTreeMap<&str, &str>) -> PathBuf {
    let directory = namespace.cluster.control_plane.janitor.directory().join("usual-templates");
    std::fs::create_dir(&directory).expect("a new directory");
    for (name, text) in templates {
        std::fs::write(directory.join(format!("{name}.yaml")), text).expect("a file");
    }
    directory
}

/// Creates the pod of a case; returns what is not as the case expects.
fn problems(namespace: &Namespace, name: &str, case: &Case) -> Vec<String> {
    let of_case = |problem: String| format!("{name}: {problem}");
    let mut pod = case.pod.clone();
    // The other cases have pods of the same name.
    if pod["metadata"].get("name").is_some() {
        pod["metadata"]["name"] = json!(name);
    }
    if let Some(account) = pod["spec"]["serviceAccountName"].as_str() {
        namespace.ensure_service_account(account);
    }
    let answer = namespace.create_pod(&pod, "");
    let message = answer.body["message"].as_str().unwrap_or_default().to_owned();
    match (&case.expected, answer.is_success()) {
        (Some(expected), true) => {
            let mut expected = expected.clone();
            if expected["metadata"].get("name").is_some() {
                expected["metadata"]["name"] = json!(name);
            }
            let mut problems = differences(&answer.body, &expected);
            let (stored, expected) = (brought(&answer.body), brought(&expected));
            if stored != expected {
                problems.push(format!("stored {stored:#?}, expected {expected:#?}"));
            }
            problems.into_iter().map(of_case).collect()
        }
        (None, false) if case.verdict == Verdict::Refused => {
            let missing = case.message.iter().filter(|part| !message.contains(part.as_str()));
            missing.map(|part| of_case(format!("{message:?} lacks {part:?}"))).collect()
        }
        (_, accepted) => vec![of_case(format!("expected {:?}, accepted: {accepted}: {message}", case.verdict))],
    }
}

/// The names of everything that a template can bring, in the pod's order, without the service
/// account's token, which the API server brings.
fn brought(pod: &Value) -> Vec<(String, Vec<String>)> {
    let is_token = |name: &&str| name.starts_with("kube-api-access-");
    let volumes = names(pod, "/spec/volumes").into_iter().filter(|name| !is_token(name));
    let mut lists = vec![("volumes".to_owned(), volumes.map(str::to_owned).collect())];
    for list in ["initContainers", "containers"] {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        lists.push((list.to_owned(), names(pod, &format!("/spec/{list}")).into_iter().map(str::to_owned).collect()));
        for container in containers {
            let mounts = container["volumeMounts"].as_array().into_iter().flatten();
            let mounts = mounts.filter(|mount| !mount["name"].as_str().as_ref().is_some_and(is_token));
            let mounts = mounts.filter_map(|mount| mount["mountPath"].as_str()).map(str::to_owned).collect();
            lists.push((format!("mounts of {}", container["name"]), mounts));
            let env = names(container, "/env").into_iter().map(str::to_owned).collect();
            lists.push((format!("env of {}", container["name"]), env));
        }
    }
    lists
}
