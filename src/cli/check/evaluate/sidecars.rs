//! Reports pods that requested templates and run without them, or with an older revision.

use std::collections::{BTreeMap, BTreeSet};

use super::super::finding::{Code, Finding};
use super::super::observations::{Observations, PodState, Requester};
use super::configuration::{covers, covers_pod};
use super::namespaces::labels;
use super::{counted, listed};
use crate::inject::Namespace;
use crate::inject::annotations::AnnotationKeys;
use crate::inject::text::quote;

pub(super) fn evaluate(observations: &Observations) -> Vec<Finding> {
    let Some(requesters) = observations.requesters.found() else { return Vec::new() };
    let keys = AnnotationKeys::new(&observations.target.domain);
    let namespaces = observations.namespaces.found().into_iter().flatten();
    let namespaces: BTreeMap<&str, &Namespace> = namespaces.map(|one| (one.name.as_str(), one)).collect();
    // Where nothing is injected, more than pods has to change; that is told by the namespaces.
    let is_told = |requester: &Requester| {
        let Some(namespace) = namespaces.get(requester.namespace.as_str()) else { return false };
        let is_disabled = namespace.labels.get(&keys.injection).is_some_and(|label| label == "disabled");
        let is_left_out = observations
            .pods_entry()
            .is_some_and(|entry| !covers(entry, &labels(namespace)) || !covers_pod(entry, &requester.labels));
        is_disabled || is_left_out
    };
    let pods =
        requesters.iter().filter(|requester| requester.pod != PodState::NoPod && !requester.templates.is_empty());
    let (mut with, mut without) = (0, Vec::new());
    for pod in pods {
        match pod.pod {
            PodState::WithStatus => with += 1,
            PodState::WithoutStatus if !is_told(pod) => without.push(format!("{}/{}", pod.namespace, pod.name)),
            PodState::WithoutStatus | PodState::NoPod => {}
        }
    }
    let mut findings = outdated(observations, requesters);
    if without.is_empty() && findings.is_empty() {
        return vec![Code::Sidecars.good(format!("{} with their sidecars", counted(with, "pod")))];
    }
    if without.is_empty() {
        return findings;
    }
    findings.push(Code::PodWithoutSidecar.found(
        format!(
            "{} requested a sidecar and run without it: {}",
            counted(without.len(), "pod"),
            listed(without.iter().map(String::as_str))
        ),
        "they were created while the webhook was not called; recreate them: `kubectl -n NAMESPACE rollout restart deployment/NAME`, or delete a pod that a controller recreates",
    ));
    findings
}

/// Pods that carry another revision of a template than all replicas serve.
fn outdated(observations: &Observations, requesters: &[Requester]) -> Vec<Finding> {
    let mut served: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, template) in observations.templates() {
        served.entry(&template.name).or_default().extend(template.revision.as_deref());
    }
    let mut pods: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for pod in requesters {
        for (template, carried) in &pod.revisions {
            let Some(current) = served.get(template.as_str()).filter(|revisions| revisions.len() == 1) else {
                continue;
            };
            for current in current.iter().filter(|current| *current != carried) {
                pods.entry((template, current)).or_default().push(format!("{}/{}", pod.namespace, pod.name));
            }
        }
    }
    let finding = |((template, current), pods): ((&str, &str), Vec<String>)| {
        let names = listed(pods.iter().map(String::as_str));
        Code::PodOutdated.found(
            format!(
                "{} with an older revision of template {} than {current}, which is served: {names}",
                counted(pods.len(), "pod"),
                quote(template)
            ),
            "a running pod is never changed; when it suits you, recreate the pods: `kubectl -n NAMESPACE rollout restart deployment/NAME`",
        )
    };
    pods.into_iter().map(finding).collect()
}
