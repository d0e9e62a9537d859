//! Policies of `outrigger generate policy` of all built-in templates on a real API server, with the pods
//! of the templates' own cases.
//!
//! Invariant: every built-in template is enforced, and at least one of its pods shows it.

use std::collections::BTreeMap;
use std::path::Path;

use outrigger::inject::Injector;
use serde_json::{Value, json};

use super::enforcing::{Agreement, Trial, WithoutPolicy, wait_until_active};
use super::{POLICY_LABEL, apply, as_sent, namespace, printed, requested, type_warnings, without_nulls};
use crate::catalog::files::{Catalog, parse};
use crate::cluster::Namespace;
use crate::golden::case::{Case, Verdict};
use crate::golden::runner::{CaseResult, Loaded, Runner};

tests! {
    enforcing_policies_agree_with_the_webhook_in_all_cases_of_the_catalog,
}

pub const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/templates");

/// The pods of a template's cases, by the names of the cases, each as a case of its own.
pub fn cases(tests: &str) -> Vec<(String, Case, Value)> {
    let file = parse(tests).expect("the cases are YAML");
    let of = |case: &Value| {
        let known = &case["namespace"];
        let metadata = json!({"labels": known["labels"], "annotations": known["annotations"]});
        let mut settings = json!({"namespace": known["name"].as_str().unwrap_or("demo")});
        if known.is_object() {
            settings["namespaceObject"] = without_nulls(&metadata);
        }
        let name = case["name"].as_str().unwrap_or_default().to_owned();
        (case["pod"]["kind"] == "Pod").then(|| (name, of_pod(case["pod"].clone(), settings), without_nulls(&metadata)))
    };
    file["tests"].as_array().into_iter().flatten().filter_map(of).collect()
}

/// A case of this pod alone, for an injector that has the templates already.
fn of_pod(pod: Value, settings: Value) -> Case {
    Case { settings: serde_json::from_value(settings).expect("settings"), pod, ..Case::default() }
}

/// What the webhook makes of the pod.
fn result(injector: &Injector, case: &Case) -> CaseResult {
    Loaded(injector).run(case, &as_sent(&case.pod)).expect("the case runs")
}

/// The namespaces of one template: each has the policy and other labels and annotations.
struct Installed<'t> {
    template: &'t str,
    namespaces: BTreeMap<String, Namespace>,
}

impl Installed<'_> {
    /// The namespace with these labels and annotations, in which the policy is active. With a flag all
    /// of its pods are chosen.
    fn in_namespace(&mut self, metadata: &Value, has_flag: bool) -> &Namespace {
        let (template, count) = (self.template, self.namespaces.len());
        self.namespaces.entry(format!("{has_flag} {metadata}")).or_insert_with(|| {
            let name = format!("enforce-{template}-{count}");
            let selector = format!("{POLICY_LABEL}={name}");
            let mut arguments = vec!["generate", "policy", template];
            if has_flag {
                arguments.extend(["--namespace-selector", &selector]);
            }
            let objects = printed(&arguments, Path::new(TEMPLATES)).unwrap_or_else(|why| panic!("{why}"));
            let namespace = namespace(&name, metadata);
            assert_eq!(apply(&namespace, &objects), [""; 0], "{template}");
            wait_until_active(&namespace, template);
            assert_eq!(type_warnings(&namespace, &objects), [""; 0], "{template}");
            namespace
        })
    }
}

fn enforcing_policies_agree_with_the_webhook_in_all_cases_of_the_catalog() {
    let mut without_policy = WithoutPolicy::default();
    let catalog = Catalog::read();
    let injector = catalog.injector();
    let mut counts = BTreeMap::<Agreement, usize>::new();
    let (mut failures, mut all) = (Vec::new(), 0);
    for entry in &catalog.entries {
        let mut installed = Installed { template: &entry.name, namespaces: BTreeMap::new() };
        let mut enforced = 0;
        for (name, case, metadata) in cases(entry.tests.as_deref().unwrap_or_default()) {
            let result = result(&injector, &case);
            if !requested(&case.pod).contains(&entry.name) && !result.templates.contains(&entry.name) {
                continue;
            }
            all += 1;
            // A template that chooses by conditions: the policy needs a flag to choose the same pods.
            let needs_flag = !requested(&case.pod).contains(&entry.name) && result.verdict == Verdict::Injected;
            let namespace = installed.in_namespace(&metadata, needs_flag);
            let (what, template) = (format!("{}: {name}", entry.name), entry.name.as_str());
            let plain = without_policy.like("enforce-catalog", &metadata);
            let trial = Trial { what, template, namespace, plain, pod: case.pod };
            match trial.judge(&result) {
                Ok(agreement) => {
                    *counts.entry(agreement).or_default() += 1;
                    enforced += usize::from(agreement == Agreement::Enforced);
                }
                Err(failure) => failures.push(format!("{}: {failure}", trial.what)),
            }
        }
        if enforced == 0 {
            failures.push(format!("{}: no pod of its cases shows that it is enforced", entry.name));
        }
    }
    println!("{all} cases of {} built-in templates: {counts:?}", catalog.entries.len());
    assert!(failures.is_empty(), "{} of {all}:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(counts.values().sum::<usize>(), all, "a case was not compared");
}
