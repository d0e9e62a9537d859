//! Outrigger's checks of values against those of a real API server.
//!
//! Templates with random values go into pods: through Outrigger (load, then injection), and to the
//! API server by a dry run with strict field validation. Where Outrigger injects, the API server
//! must accept the pod. Where it refuses, the API server must refuse the pod that a merge without
//! any check makes. The exceptions are listed with their reasons.
//!
//! `DIFFERENTIAL_SEED` and `DIFFERENTIAL_CASES` choose other cases.

use std::collections::BTreeMap;

use futures::StreamExt;
use outrigger::inject::{Injector, Outcome, Request, Settings, SourceText, TemplateSet};
use serde_json::{Value, json};

use crate::cluster::{Namespace, in_namespace, request};
use mutate::Specimens;
use random::Random;

mod mutate;
mod plain_merge;
mod random;

tests! {
    outrigger_and_the_api_server_agree_on_what_a_template_brings,
}

const SEED: u64 = 20_260_401;
const CASES: usize = 2_400;
/// Requests that are under way at a time.
const CONCURRENCY: usize = 8;
const TEMPLATE: &str = include_str!("differential/template.yaml");
const PODS: &str = include_str!("differential/pods.yaml");

/// Parts of Outrigger's messages, and why Outrigger refuses what the API server accepts.
/// All problems of a template must be of this kind.
const STRICTER: &[(&str, &str)] = &[
    ("conflict: ", "nothing of the author's is replaced, and containers of a pod share its ports"),
    ("already; they share one network", "nothing of the author's is replaced, and containers of a pod share its ports"),
    ("auto_container_unclaimed: ", "a container with `image: auto` needs its template"),
    ("duplicate entry ", "one key twice in a list is a mistake, and the second would win or be lost"),
    ("duplicate name ", "one key twice in a list is a mistake, and the second would win or be lost"),
    ("duplicate mount path ", "one key twice in a list is a mistake, and the second would win or be lost"),
    ("duplicate port ", "one key twice in a list is a mistake, and the second would win or be lost"),
    ("is no mount path", "the API documents that a mount path has no colon, but does not check it"),
    ("required field is missing", "the schema requires names of Secrets that some vendors' volumes do without"),
];

/// Parts of the API server's messages, and why Outrigger cannot know.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("serviceaccount \"", "the service account does not exist"),
    ("no PriorityClass", "the priority class does not exist"),
    ("RuntimeClass \"", "the runtime class does not exist"),
];

/// One template and one pod.
struct Case {
    /// The template without parameters.
    spec: Value,
    /// The template as Outrigger gets it.
    template: Value,
    pod: Value,
    /// A pod that contradicts nothing.
    plain_pod: Value,
    mutations: Vec<String>,
}

/// What Outrigger says, and the pod that the API server is asked about.
struct Verdict {
    refusal: Vec<String>,
    pod: Value,
}

fn outrigger_and_the_api_server_agree_on_what_a_template_brings() {
    let seed = number("DIFFERENTIAL_SEED").unwrap_or(SEED);
    let count = number("DIFFERENTIAL_CASES").map_or(CASES, |count| count as usize);
    in_namespace("differential", "none", |namespace| {
        let pods = pods();
        every_pod_is_valid(namespace, &pods);
        let cases = generate(seed, count, &pods);
        let verdicts = std::thread::scope(|scope| {
            let halves = cases
                .chunks(count.div_ceil(2))
                .map(|half| scope.spawn(|| half.iter().map(verdict).collect::<Vec<_>>()));
            let halves: Vec<_> = halves.collect();
            halves.into_iter().flat_map(|half| half.join().expect("a thread that ends")).collect::<Vec<_>>()
        });
        let answers = ask(namespace, verdicts.iter().map(|verdict| &verdict.pod));
        compare(seed, &cases, &verdicts, &answers);
    });
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

fn pods() -> Vec<(String, Value)> {
    let pods: Vec<Value> = serde_saphyr::from_str(PODS).expect("pods");
    let pod = |pod: Value| {
        let name = pod["name"].as_str().expect("a name").to_owned();
        let mut object = json!({
            "apiVersion": "v1", "kind": "Pod", "spec": pod["spec"],
            "metadata": {"name": "p", "annotations": {"outrigger.dev/inject": "t"}},
        });
        if pod["labels"].is_object() {
            object["metadata"]["labels"] = pod["labels"].clone();
        }
        (name, object)
    };
    pods.into_iter().map(pod).collect()
}

/// A pod that the API server refuses as it stands would prove nothing.
fn every_pod_is_valid(namespace: &Namespace, pods: &[(String, Value)]) {
    let answers = ask(namespace, pods.iter().map(|(_, pod)| pod));
    for ((name, _), answer) in pods.iter().zip(answers) {
        assert_eq!(answer, None, "{name}");
    }
}

fn generate(seed: u64, count: usize, pods: &[(String, Value)]) -> Vec<Case> {
    let template: Value = serde_saphyr::from_str(TEMPLATE).expect("a template");
    let specimens = Specimens::of(&template["spec"]);
    let mut random = Random::new(seed);
    let case = |_| {
        let mut spec = template["spec"].clone();
        prune(&mut random, &mut spec);
        if random.percent(30) {
            spec["podResources"] = json!("Keep");
        }
        let original = spec.clone();
        let changes = match random.below(10) {
            0..2 => 0,
            2..8 => 1,
            _ => 2,
        };
        let paths: Vec<Vec<String>> =
            (0..changes).map(|_| mutate::mutate(&mut random, &mut spec, &specimens)).collect();
        let (name, pod) = random.pick(pods);
        let (mut template, mut pod) = (template.clone(), pod.clone());
        template["spec"] = spec.clone();
        let parameters = if random.percent(30) { parameters(&original, &spec, &paths) } else { Vec::new() };
        for (index, (path, default, value)) in parameters.iter().enumerate() {
            let kind = if default.is_string() { "string" } else { "integer" };
            let parameter = json!({"name": format!("p{index}"), "type": kind, "default": default});
            mutate::append(&mut template["spec"], "parameters", parameter);
            *mutate::at_mut(&mut template["spec"], path) = json!(format!("${{params.p{index}}}"));
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            pod["metadata"]["annotations"][format!("t.outrigger.dev/p{index}")] = json!(text);
        }
        let shown = |path: &Vec<String>| format!("{} = {}", path.join("."), shown_at(&spec, path));
        let mutations = std::iter::once(format!("pod {name}")).chain(paths.iter().map(shown)).collect();
        Case { spec, template, pod, plain_pod: pods[0].1.clone(), mutations }
    };
    (0..count).map(case).collect()
}

/// The text or number at each changed path, with the one before it.
fn parameters(original: &Value, spec: &Value, paths: &[Vec<String>]) -> Vec<(Vec<String>, Value, Value)> {
    let pointer = |path: &[String]| {
        path.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect::<String>()
    };
    let parameter = |path: &Vec<String>| {
        let (old, new) = (original.pointer(&pointer(path))?, spec.pointer(&pointer(path))?);
        let fits = (old.is_string() && new.is_string()) || (old.is_i64() && new.is_i64());
        (fits && old != new).then(|| (path.clone(), old.clone(), new.clone()))
    };
    let mut found: Vec<_> = paths.iter().filter_map(parameter).collect();
    found.dedup_by(|left, right| left.0 == right.0);
    found
}

fn shown_at(spec: &Value, path: &[String]) -> String {
    let value = path.iter().try_fold(spec, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    });
    value.map_or_else(|| "(none)".to_owned(), |value| value.to_string().chars().take(200).collect())
}

/// Leaves out most of the template, so that single values matter.
fn prune(random: &mut Random, spec: &mut Value) {
    let mut keep = |percent: usize| random.percent(percent);
    for list in ["sidecars", "initContainers"] {
        let containers = spec[list].as_array_mut().expect("containers");
        containers.retain(|container| container["name"] == "side" || keep(40));
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            container.retain(|field, _| matches!(field.as_str(), "name" | "image") || keep(50));
        }
    }
    let volumes = spec["volumes"].as_array_mut().expect("volumes");
    volumes.retain(|volume| matches!(volume["name"].as_str(), Some("scratch" | "host" | "claim" | "all")) || keep(12));
    spec["pod"].as_object_mut().expect("fields").retain(|_, _| keep(20));
}

fn verdict(case: &Case) -> Verdict {
    let refused = |refusal: Vec<String>, pod: &Value| Verdict { refusal, pod: plain_merge::merged(pod, &case.spec) };
    let text = case.template.to_string();
    let loaded = TemplateSet::load(&[SourceText { origin: "t.yaml".to_owned(), text }]);
    if loaded.templates.broken() > 0 || loaded.templates.len() != 1 {
        let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        // The template is wrong whatever the pod is.
        return refused(problems, &case.plain_pod);
    }
    let injector = Injector::new(loaded.templates, Settings::default());
    let object = case.pod.to_string();
    match injector.inject(&Request::create_pod("differential", &object)) {
        Ok(Outcome::Injected(injection)) => {
            let mut pod = case.pod.clone();
            json_patch::patch(&mut pod, &injection.patch().expect("a patch")).expect("the patch applies");
            Verdict { refusal: Vec::new(), pod }
        }
        Ok(Outcome::Skipped(_)) => Verdict { refusal: Vec::new(), pod: case.pod.clone() },
        Err(error) => refused(error.problems().iter().map(|one| one.sentence().to_string()).collect(), &case.pod),
    }
}

/// The API server's refusals, in the order of the pods.
fn ask<'p>(namespace: &Namespace, pods: impl Iterator<Item = &'p Value>) -> Vec<Option<String>> {
    let path = namespace.path("pods?dryRun=All&fieldValidation=Strict");
    let client = namespace.cluster.client();
    let one = |pod: &Value| {
        let (client, path, body) = (client.clone(), path.clone(), pod.to_string().into_bytes());
        async move {
            let answer = request(&client, "POST", &path, "application/json", body).await.expect("an answer");
            let refusal = || answer.body["message"].as_str().unwrap_or("no message").to_owned();
            (!answer.is_success()).then(refusal)
        }
    };
    let requests: Vec<_> = pods.map(one).collect();
    namespace.cluster.runtime.block_on(futures::stream::iter(requests).buffered(CONCURRENCY).collect())
}

fn compare(seed: u64, cases: &[Case], verdicts: &[Verdict], answers: &[Option<String>]) {
    let (mut counts, mut differences) = (BTreeMap::<&str, usize>::new(), Vec::new());
    for ((case, verdict), answer) in cases.iter().zip(verdicts).zip(answers) {
        let row = |rows: &[(&'static str, &'static str)], text: &str| {
            rows.iter().find(|(part, _)| text.contains(part)).map(|row| row.1)
        };
        let ours = &verdict.refusal;
        let kind = match answer {
            None if ours.is_empty() => "both accept",
            Some(_) if !ours.is_empty() => "both refuse",
            None if ours.iter().all(|problem| row(STRICTER, problem).is_some()) => {
                row(STRICTER, &ours[0]).unwrap_or_default()
            }
            None => "only Outrigger refuses",
            Some(answer) => row(ENVIRONMENT, answer).unwrap_or("only the API server refuses"),
        };
        *counts.entry(kind).or_default() += 1;
        if kind.starts_with("only") {
            let ours = if ours.is_empty() { "accepts".to_owned() } else { ours.join("; ") };
            let theirs = answer.as_deref().unwrap_or("accepts");
            differences.push(format!(
                "{kind}:\n  {}\n  Outrigger: {ours}\n  API server: {theirs}",
                case.mutations.join("\n  ")
            ));
        }
    }
    println!("{} cases of seed {seed}: {counts:#?}", cases.len());
    assert!(differences.is_empty(), "{} differences with seed {seed}:\n{}", differences.len(), differences.join("\n"));
}
