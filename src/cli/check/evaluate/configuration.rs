//! Checks whether the webhook configuration exists, has both entries, and calls this installation.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

use super::super::finding::{Code, Finding};
use super::super::observations::{Observations, Target};
use super::{APPLY_AGAIN, drift};
use crate::admission::MUTATE_PATH;
use crate::cli::cluster::Lookup;

/// The first label of the names of both entries.
const ENTRIES: [&str; 2] = ["pods", "namespaces"];

pub(super) fn evaluate(observations: &Observations) -> Vec<Finding> {
    let target = &observations.target;
    match &observations.configuration {
        Lookup::Unknown => Vec::new(),
        Lookup::Absent => vec![Code::WebhookDeleted.found(
            format!(
                "there is no MutatingWebhookConfiguration {:?}: the API server does not call Outrigger, and pods are created without their sidecars",
                target.configuration
            ),
            format!("{APPLY_AGAIN}; if it has another name, give --name"),
        )],
        Lookup::Found(_) => {
            let mut findings = missing(observations);
            findings.extend(strangers(observations));
            for entry in ours(observations) {
                findings.extend(wrong_target(entry, target));
                findings.extend(elsewhere(observations, entry));
                findings.extend(drift::evaluate(entry, target));
            }
            if findings.is_empty() {
                findings.push(good(observations));
            }
            findings
        }
    }
}

/// The entries with the names of this installation.
pub(super) fn ours(observations: &Observations) -> impl Iterator<Item = &MutatingWebhook> {
    let names = ENTRIES.map(|what| observations.target.entry(what));
    observations.entries().iter().filter(move |entry| names.contains(&entry.name))
}

fn missing(observations: &Observations) -> Vec<Finding> {
    let names = ENTRIES.map(|what| observations.target.entry(what));
    let missing = names.into_iter().filter(|name| observations.entries().iter().all(|entry| entry.name != *name));
    let finding = |name: String| {
        Code::EntryMissing.found(
            format!("MutatingWebhookConfiguration {:?} has no entry {name:?}", observations.target.configuration),
            format!("{APPLY_AGAIN}; for annotations of another domain, give --domain"),
        )
    };
    missing.map(finding).collect()
}

fn wrong_target(entry: &MutatingWebhook, target: &Target) -> Option<Finding> {
    let Some(service) = &entry.client_config.service else {
        // A URL was chosen by hand; the dry-run pod shows whether it is right.
        return None;
    };
    let path = service.path.as_deref().unwrap_or_default();
    if service.namespace == target.namespace && path == MUTATE_PATH {
        return None;
    }
    Some(Code::WrongTarget.found(
        format!(
            "entry {:?} calls {}, expected a Service of namespace {:?} with the path {MUTATE_PATH:?}",
            entry.name,
            called(entry),
            target.namespace
        ),
        format!("if Outrigger is in namespace {0:?}, give --namespace {0}; else {APPLY_AGAIN}", service.namespace),
    ))
}

/// An account that may write the configuration can add entries that call other servers.
fn strangers(observations: &Observations) -> Vec<Finding> {
    let names = ENTRIES.map(|what| observations.target.entry(what));
    let strangers = observations.entries().iter().filter(|entry| !names.contains(&entry.name));
    let finding = |entry: &MutatingWebhook| {
        Code::Drift.found(
            format!(
                "MutatingWebhookConfiguration {:?} has an entry {:?}, which is not ours and calls {}",
                observations.target.configuration,
                entry.name,
                called(entry)
            ),
            format!(
                "find out who added it: its server can read and change all pods that it is sent; then {APPLY_AGAIN}"
            ),
        )
    };
    strangers.map(finding).collect()
}

/// Reports a URL if this namespace has a Deployment of Outrigger.
fn elsewhere(observations: &Observations, entry: &MutatingWebhook) -> Option<Finding> {
    let url = entry.client_config.url.as_ref()?;
    let is_here = observations.deployments.found().is_some_and(|deployments| !deployments.is_empty());
    is_here.then(|| {
        Code::Drift.found(
            format!(
                "entry {:?} calls {url}, expected a Service of namespace {:?}, which has a Deployment of Outrigger",
                entry.name, observations.target.namespace
            ),
            format!(
                "unless you did so, find out who did: the URL's server can read and change all pods that it is sent; then {APPLY_AGAIN}"
            ),
        )
    })
}

fn good(observations: &Observations) -> Finding {
    let policy = |what: &str| {
        let name = observations.target.entry(what);
        let entry = ours(observations).find(|entry| entry.name == name);
        entry.and_then(|entry| entry.failure_policy.as_deref()).unwrap_or("Fail")
    };
    let calls = observations.pods_entry().map(called).unwrap_or_default();
    Code::Configuration.good(format!(
        "MutatingWebhookConfiguration {:?} calls {calls} (failurePolicy {} for pods that request templates, {} for other pods of namespaces)",
        observations.target.configuration,
        policy("pods"),
        policy("namespaces"),
    ))
}

/// The target that an entry calls.
pub(super) fn called(entry: &MutatingWebhook) -> String {
    let config = &entry.client_config;
    match (&config.service, &config.url) {
        (Some(service), _) => format!(
            "Service {}/{}:{}{}",
            service.namespace,
            service.name,
            service.port.unwrap_or(443),
            service.path.as_deref().unwrap_or_default()
        ),
        (None, Some(url)) => url.clone(),
        (None, None) => "nobody".to_owned(),
    }
}

/// Whether an entry selects this namespace. The API server has already validated the selector.
pub(super) fn covers(entry: &MutatingWebhook, labels: &BTreeMap<String, String>) -> bool {
    selects(entry.namespace_selector.as_ref(), labels)
}

/// As [`covers`], for the labels of a pod.
pub(super) fn covers_pod(entry: &MutatingWebhook, labels: &BTreeMap<String, String>) -> bool {
    selects(entry.object_selector.as_ref(), labels)
}

fn selects(selector: Option<&LabelSelector>, labels: &BTreeMap<String, String>) -> bool {
    let selector = selector.cloned().map(Selector::try_from);
    selector.is_none_or(|selector| selector.is_ok_and(|selector| selector.matches(labels)))
}
