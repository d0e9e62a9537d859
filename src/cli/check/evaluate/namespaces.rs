//! Checks labels and default lists of namespaces, and requests in namespaces without injection.

use std::collections::BTreeMap;

use super::super::finding::{Code, Finding};
use super::super::observations::{Observations, Requester};
use super::configuration::covers;
use super::{counted, listed};
use crate::inject::Namespace;
use crate::inject::annotations::{self, AnnotationKeys};
use crate::inject::text::quote;

pub(super) fn evaluate(observations: &Observations) -> Vec<Finding> {
    let Some(namespaces) = observations.namespaces.found() else { return Vec::new() };
    let keys = AnnotationKeys::new(&observations.target.domain);
    let mut by_namespace: BTreeMap<&str, Vec<&Requester>> = BTreeMap::new();
    for requester in
        observations.requesters.found().into_iter().flatten().filter(|requester| !requester.templates.is_empty())
    {
        by_namespace.entry(&requester.namespace).or_default().push(requester);
    }
    let mut findings = Vec::new();
    let mut enabled = 0;
    for namespace in namespaces {
        enabled += usize::from(label(namespace, &keys) == Some("enabled"));
        findings.extend(of_label(namespace, &keys));
        if let Some(requesters) = by_namespace.get(namespace.name.as_str()) {
            findings.extend(in_requesting_namespace(observations, namespace, &keys, requesters));
        }
    }
    if findings.is_empty() {
        let (all, key) = (counted(namespaces.len(), "namespace"), &keys.injection);
        findings.push(Code::Namespaces.good(format!("{enabled} of {all} with the label {key}=enabled")));
    }
    findings
}

fn label<'n>(namespace: &'n Namespace, keys: &AnnotationKeys) -> Option<&'n str> {
    namespace.labels.get(&keys.injection).map(String::as_str)
}

fn of_label(namespace: &Namespace, keys: &AnnotationKeys) -> Option<Finding> {
    let (name, key) = (&namespace.name, &keys.injection);
    let enable = format!("`kubectl label namespace {name} {key}=enabled --overwrite`");
    match label(namespace, keys) {
        Some("enabled" | "disabled") => None,
        Some(value) => Some(Code::LabelUnknown.found(
            format!("namespace {name:?} has the label {key}={value:?}, expected \"enabled\" or \"disabled\": the webhook treats it as absent"),
            format!("{enable}, or {key}=disabled"),
        )),
        None => {
            let list = namespace.annotations.get(&keys.inject)?;
            let wants = !annotations::requested_names(list).is_empty();
            wants.then(|| {
                Code::DefaultListWithoutLabel.found(
                    format!("namespace {name:?} has the default list {} and not the label {key}=enabled: its pods are not injected", quote(list)),
                    enable,
                )
            })
        }
    }
}

fn in_requesting_namespace(
    observations: &Observations,
    namespace: &Namespace,
    keys: &AnnotationKeys,
    requesters: &[&Requester],
) -> Option<Finding> {
    let (name, key) = (&namespace.name, &keys.injection);
    let titles = || {
        let titles: Vec<String> = requesters.iter().map(|requester| requester.title()).collect();
        listed(titles.iter().map(String::as_str))
    };
    if label(namespace, keys) == Some("disabled") {
        return Some(Code::NamespaceDisabled.found(
            format!("namespace {name:?} has the label {key}=disabled, and templates are requested there by {}: nothing is injected", titles()),
            format!("`kubectl label namespace {name} {key}=enabled --overwrite`, or take the annotation {:?} off the objects that request templates", keys.inject),
        ));
    }
    let entry = observations.pods_entry()?;
    (!covers(entry, &labels(namespace))).then(|| {
        Code::NamespaceExcluded.found(
            format!("templates are requested in namespace {name:?} by {}, and the webhook excludes this namespace: nothing is injected", titles()),
            format!("run these pods in another namespace, or change the namespaceSelector of entry {:?}", entry.name),
        )
    })
}

/// The labels of a namespace, with its name among them as the API server sets it.
pub(super) fn labels(namespace: &Namespace) -> BTreeMap<String, String> {
    let mut labels = namespace.labels.clone();
    labels.entry(annotations::NAMESPACE_NAME.to_owned()).or_insert_with(|| namespace.name.clone());
    labels
}
