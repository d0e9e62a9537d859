//! Policies of `outrigger generate policy` on a real API server: each golden case whose template they
//! take, with the pod as the webhook injects it and as it is while the webhook is away.
//!
//! Invariant: all cases that disagree are listed; a template that is not taken is counted, not hidden.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    AGENT, LIMIT, PROGRAM, apply, as_sent, cases_of_new_pods, dry_run, message, namespace, printed, requested,
    type_warnings,
};
use crate::cluster::{Answer, Namespace, pod, shared};
use crate::golden::case::{self, Case, Verdict};
use crate::golden::runner::{CaseResult, Offline, Runner};
use crate::process::eventually;

tests! {
    an_enforcing_policy_refuses_pods_without_the_sidecar_and_admits_injected_ones,
    enforcing_policies_agree_with_the_webhook_in_all_golden_cases_that_they_take,
}

/// What the policy and the webhook make of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// Refused without the webhook, admitted as the webhook injects it.
    Enforced,
    /// The webhook refuses the pod, and so does the policy without it.
    RefusedByBoth,
    /// The webhook leaves the pod alone, and so does the policy.
    LeftAloneByBoth,
    /// The policy refuses a pod that brings what the template would add, without a status.
    RefusedWithTheSame,
    /// The policy refuses a pod for which the template's expressions leave out all of it.
    RefusedWithNothingToAdd,
    /// The policy refuses a pod that the webhook lets in without the template: `onError: Skip`.
    RefusedAfterSkip,
    /// The API server itself refuses the pod.
    Invalid,
}

/// A policy in a namespace of its own, and a pod for it.
pub struct Trial<'t> {
    pub what: String,
    pub template: &'t str,
    pub namespace: &'t Namespace,
    /// A namespace without a policy.
    pub plain: &'t Namespace,
    pub pod: Value,
}

impl Trial<'_> {
    /// How the policy agrees with the engine's result of this pod; `Err` says how it does not.
    pub fn judge(&self, result: &CaseResult) -> Result<Agreement, String> {
        let bare = dry_run(self.namespace, &self.pod);
        let is_refused = self.is_denied(&bare);
        if is_refused {
            self.check_message(&bare)?;
        } else if !bare.is_success() {
            return match dry_run(self.plain, &self.pod).is_success() {
                false => Ok(Agreement::Invalid),
                true => Err(format!("refused, but not by the policy's check: {}", message(&bare))),
            };
        }
        match (result.verdict, is_refused) {
            (Verdict::Injected, false) => Err("admitted without the webhook".to_owned()),
            (Verdict::Injected, true) => self.judge_injected(result.pod.as_ref().ok_or("no pod")?),
            (Verdict::Refused | Verdict::Failed, true) => Ok(Agreement::RefusedByBoth),
            // It is another template for which the webhook refuses the pod.
            (Verdict::Refused | Verdict::Failed, false) if self.is_listed() => Ok(Agreement::LeftAloneByBoth),
            (Verdict::Refused | Verdict::Failed, false) => {
                Err("the webhook refuses it, the policy admits it".to_owned())
            }
            (Verdict::Skipped, false) => Ok(Agreement::LeftAloneByBoth),
            (Verdict::Skipped, true) => stricter(result),
        }
    }

    fn judge_injected(&self, injected: &Value) -> Result<Agreement, String> {
        let answer = dry_run(self.namespace, injected);
        if answer.is_success() {
            return Ok(Agreement::Enforced);
        }
        match !self.is_denied(&answer) && !dry_run(self.plain, injected).is_success() {
            true => Ok(Agreement::Invalid),
            false => Err(format!("the injected pod is refused: {}", message(&answer))),
        }
    }

    fn is_denied(&self, answer: &Answer) -> bool {
        let policy = format!("ValidatingAdmissionPolicy '{}.{}.enforce", self.namespace.name, self.template);
        !answer.is_success() && message(answer).contains(&policy) && message(answer).contains("denied request: ")
    }

    /// Whether the pod's status says that it carries the template.
    fn is_listed(&self) -> bool {
        let status = self.pod["metadata"]["annotations"]["outrigger.dev/status"].as_str().unwrap_or_default();
        status.contains(&format!("\"name\":{:?}", self.template))
    }

    /// The author of a pod learns which pod it is, which template is missing, and what to do.
    fn check_message(&self, answer: &Answer) -> Result<(), String> {
        let metadata = &self.pod["metadata"];
        let name = metadata["name"].as_str().or(metadata["generateName"].as_str()).unwrap_or("web");
        let message = message(answer);
        let has_all =
            [format!("pod \"{name}"), format!("template {:?}", self.template), "let Outrigger inject".to_owned()]
                .iter()
                .all(|part| message.contains(part.as_str()));
        if has_all { Ok(()) } else { Err(format!("the refusal lacks pod, template or advice: {message}")) }
    }
}

/// Why the policy refuses a pod that the webhook leaves alone.
fn stricter(result: &CaseResult) -> Result<Agreement, String> {
    match result.reasons.as_slice() {
        [] if !result.codes.is_empty() => Ok(Agreement::RefusedAfterSkip),
        [reason] if reason == "already_injected" => Ok(Agreement::RefusedWithTheSame),
        [reason] if reason == "nothing_to_add" => Ok(Agreement::RefusedWithNothingToAdd),
        reasons => Err(format!("the webhook leaves it alone, the policy refuses it: {reasons:?}")),
    }
}

/// Waits until the policy refuses a pod that requests the template and does not carry it.
pub fn wait_until_active(namespace: &Namespace, template: &str) {
    let probe = pod("probe", &json!({"outrigger.dev/inject": template}));
    eventually("the policy is active", LIMIT, || (!dry_run(namespace, &probe).is_success()).then_some(()));
}

/// Namespaces without a policy, by their labels and annotations.
#[derive(Default)]
pub struct WithoutPolicy(BTreeMap<String, Namespace>);

impl WithoutPolicy {
    /// The namespace with these labels and annotations; `test` begins its name.
    pub fn like(&mut self, test: &str, metadata: &Value) -> &Namespace {
        let name = format!("{test}-plain-{}", self.0.len());
        self.0.entry(metadata.to_string()).or_insert_with(|| super::namespace(&name, metadata))
    }
}

/// A golden case with the policy of one of its templates.
struct TakenCase {
    name: String,
    case: Case,
    result: CaseResult,
    template: String,
    /// Labels and annotations of the case's namespace.
    metadata: Value,
    namespace: Namespace,
    objects: Vec<Value>,
}

/// The templates of which the pod is to carry something: those that it got or asks for.
fn templates_of(case: &Case, result: &CaseResult) -> Vec<String> {
    let mut names = requested(&case.pod);
    names.extend(result.templates.iter().cloned());
    if result.verdict == Verdict::Injected {
        names.retain(|name| result.templates.contains(name));
    }
    names.sort();
    names.dedup();
    names
}

/// Whether the policy chooses the pod without any flag: the pod or its namespace asks for the template,
/// or the template is Automatic and has no condition.
fn is_chosen(case: &Case, template: &str) -> bool {
    let of_namespace = case.settings.namespace_object();
    let namespace = of_namespace.map(|namespace| json!({"metadata": {"annotations": namespace.annotations}}));
    let is_silent = case.pod.pointer("/metadata/annotations/outrigger.dev~1inject").is_none();
    let lists = |pod: &Value| requested(pod).iter().any(|name| name == template);
    let is_automatic = case::documents(&case.templates).iter().any(|document| {
        let spec = &document["spec"];
        let has_conditions = spec["match"]["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty());
        document["metadata"]["name"] == template && spec["injection"] == "Automatic" && !has_conditions
    });
    lists(&case.pod) || is_automatic || (is_silent && namespace.as_ref().is_some_and(lists))
}

/// The golden cases whose templates are taken, with their policies; their number; and problems.
fn taken_cases() -> (Vec<TakenCase>, usize, Vec<String>) {
    let path = shared().control_plane.janitor.directory().join("enforced-golden.yaml");
    let (mut taken, mut failures) = (Vec::new(), Vec::new());
    let (cases, all) = cases_of_new_pods();
    let usual = cases.into_iter().filter(|(_, case)| case.settings.excluded_namespaces.is_empty());
    for (index, (name, case)) in usual.enumerate() {
        let known = case.settings.namespace_object();
        let metadata = known.map(|known| json!({"labels": known.labels, "annotations": known.annotations}));
        let metadata = metadata.unwrap_or_else(|| json!({}));
        std::fs::write(&path, &case.templates).expect("a file");
        let result = Offline.run(&case, &as_sent(&case.pod)).expect("the case runs");
        for (of_case, template) in templates_of(&case, &result).into_iter().enumerate() {
            let namespace_name = format!("enforce-{index}-{of_case}");
            let selector = format!("{}={namespace_name}", super::POLICY_LABEL);
            let mut arguments = vec!["generate", "policy", &template];
            if !is_chosen(&case, &template) {
                arguments.extend(["--namespace-selector", &selector]);
            }
            let Ok(objects) = printed(&arguments, &path) else { continue };
            let namespace = namespace(&namespace_name, &metadata);
            let refused = apply(&namespace, &objects);
            if refused.is_empty() {
                let (name, case, result) = (name.clone(), case.clone(), result.clone());
                let metadata = metadata.clone();
                taken.push(TakenCase { name, case, result, template, metadata, namespace, objects });
            } else {
                failures.push(format!("{name}: the policy is refused: {}", refused.join("; ")));
            }
        }
    }
    (taken, all, failures)
}

/// Whether the webhook is not asked for pods of the namespace, so that the policy is not either.
fn is_disabled(metadata: &Value) -> bool {
    metadata["labels"]["outrigger.dev/injection"] == "disabled"
}

fn enforcing_policies_agree_with_the_webhook_in_all_golden_cases_that_they_take() {
    let (taken, all, mut failures) = taken_cases();
    let mut counts = BTreeMap::<Agreement, usize>::new();
    let mut without_policy = WithoutPolicy::default();
    for one in &taken {
        if is_disabled(&one.metadata) {
            crate::process::pause(Duration::from_secs(2));
        } else {
            wait_until_active(&one.namespace, &one.template);
        }
        let what = format!("{} ({})", one.name, one.template);
        let (template, namespace, pod) = (one.template.as_str(), &one.namespace, one.case.pod.clone());
        let plain = without_policy.like("enforce", &one.metadata);
        let trial = Trial { what, template, namespace, plain, pod };
        match trial.judge(&one.result) {
            Ok(agreement) => *counts.entry(agreement).or_default() += 1,
            Err(failure) => failures.push(format!("{}: {failure}", trial.what)),
        }
        failures.extend(
            type_warnings(&one.namespace, &one.objects).iter().map(|warning| format!("{}: {warning}", trial.what)),
        );
    }
    let mut cases: Vec<&str> = taken.iter().map(|one| one.name.as_str()).collect();
    cases.dedup();
    println!("{} of {all} golden cases are taken, with {} policies: {counts:?}", cases.len(), taken.len());
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), taken.len(), failures.join("\n"));
    let count = |agreement: Agreement| counts.get(&agreement).copied().unwrap_or_default();
    assert_eq!(counts.values().sum::<usize>(), taken.len(), "a policy was not compared");
    assert!(count(Agreement::Enforced) >= 250, "only {counts:?}");
}

fn an_enforcing_policy_refuses_pods_without_the_sidecar_and_admits_injected_ones() {
    let namespace = namespace("enforced", &json!({}));
    let directory = namespace.cluster.control_plane.janitor.directory();
    let templates = directory.join("enforced.yaml");
    std::fs::write(&templates, AGENT).expect("a file");
    let objects = printed(&["generate", "policy", "agent", "--selector", "app=web"], &templates);
    let objects = objects.expect("a policy");
    let refused = apply(&namespace, &objects);
    assert!(refused.is_empty(), "{refused:?}");
    let chosen = |mut pod: Value| {
        pod["metadata"]["labels"]["app"] = json!("web");
        pod
    };
    let bare = chosen(pod("web", &json!({})));
    let refusal = eventually("the policy is active", LIMIT, || {
        let answer = dry_run(&namespace, &bare);
        (!answer.is_success()).then(|| message(&answer))
    });
    assert!(refusal.contains("must carry template") && refusal.contains("let Outrigger inject"), "{refusal}");
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

    assert_eq!(type_warnings(&namespace, &objects), [""; 0]);
}
