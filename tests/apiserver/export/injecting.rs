//! Policies of `outrigger export` on a real API server: each golden case whose template they take.
//!
//! Invariant: all differing cases are listed; a template that is not exported is counted, not hidden.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::enforcing_catalog::{TEMPLATES, cases};
use super::{LIMIT, apply, as_sent, cases_of_new_pods, dry_run, message, namespace, printed, requested, type_warnings};
use crate::catalog::files::Catalog;
use crate::cluster::{Namespace, pod, shared};
use crate::golden::case::{self, Case, Verdict};
use crate::golden::runner::{Offline, Runner};
use crate::process::eventually;

tests! {
    exported_policies_inject_what_the_engine_injects_in_all_golden_cases_that_they_take,
    exported_policies_inject_what_the_engine_injects_in_all_cases_of_the_catalog_that_they_take,
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
    objects: Vec<Value>,
}

/// All golden cases that are taken, the number of all cases, and policies that were refused.
fn taken_cases() -> (Vec<TakenCase>, usize, Vec<String>) {
    let directory = shared().control_plane.janitor.directory().join("export");
    std::fs::create_dir_all(&directory).expect("a directory");
    let (mut taken, mut failures) = (Vec::new(), Vec::new());
    let (cases, all) = cases_of_new_pods();
    for (index, (name, case)) in cases.into_iter().enumerate() {
        let settings = &case.settings;
        let is_usual = settings.native_sidecars == case::Native::Supported
            && settings.excluded_namespaces.is_empty()
            && settings.namespace_object().is_none();
        let Some((template, path)) = template_of(&case, &directory).filter(|_| is_usual) else { continue };
        let Ok(objects) = printed(&["export", &template], &path) else { continue };
        let namespace = namespace(&format!("export-{index}"), &json!({}));
        let refused = apply(&namespace, &objects);
        if refused.is_empty() {
            taken.push(TakenCase { name, case, template, namespace, objects });
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
    let message = message(&answer);
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
    let plain = namespace("export-plain", &json!({}));
    let (taken, all, mut failures) = taken_cases();
    let mut counts = BTreeMap::<&str, usize>::new();
    for case in &taken {
        wait_until_active(case);
        match judge(case, &plain) {
            Ok(outcome) => *counts.entry(outcome).or_default() += 1,
            Err(failure) => failures.push(format!("{}: {failure}", case.name)),
        }
        let warnings = type_warnings(&case.namespace, &case.objects);
        failures.extend(warnings.into_iter().map(|warning| format!("{}: {warning}", case.name)));
    }
    println!("{} of {all} golden cases are taken: {counts:?}", taken.len());
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), taken.len(), failures.join("\n"));
    assert!(counts.get("equal").copied().unwrap_or_default() >= 75, "only {counts:?}");
}

fn exported_policies_inject_what_the_engine_injects_in_all_cases_of_the_catalog_that_they_take() {
    let plain = namespace("export-catalog-plain", &json!({}));
    let catalog = Catalog::read();
    let mut counts = BTreeMap::<&str, usize>::new();
    let (mut templates, mut failures) = (Vec::new(), Vec::new());
    for entry in &catalog.entries {
        let Ok(objects) = printed(&["export", &entry.name], Path::new(TEMPLATES)) else { continue };
        templates.push(&entry.name);
        let installed = namespace(&format!("export-catalog-{}", entry.name), &json!({}));
        assert_eq!(apply(&installed, &objects), [""; 0], "{}", entry.name);
        for (name, case, metadata) in cases(entry.tests.as_deref().unwrap_or_default()) {
            if metadata != json!({}) || requested(&case.pod) != [entry.name.as_str()] {
                continue;
            }
            let namespace = Namespace { cluster: installed.cluster, name: installed.name.clone() };
            let (template, case) = (entry.name.clone(), Case { templates: entry.text.clone(), ..case });
            let taken = TakenCase { name, case, template, namespace, objects: objects.clone() };
            wait_until_active(&taken);
            match judge(&taken, &plain) {
                Ok(outcome) => *counts.entry(outcome).or_default() += 1,
                Err(failure) => failures.push(format!("{}: {}: {failure}", entry.name, taken.name)),
            }
        }
    }
    println!(
        "{} of {} built-in templates are exported: {templates:?}, {counts:?}",
        templates.len(),
        catalog.entries.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(counts.contains_key("equal"), "{counts:?}");
}
