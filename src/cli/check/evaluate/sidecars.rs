//! Reports pods that requested templates and run without them.

use std::collections::BTreeMap;

use super::super::finding::{Code, Finding};
use super::super::observations::{Observations, PodState, Requester};
use super::configuration::{covers, covers_pod};
use super::namespaces::labels;
use super::{counted, listed};
use crate::inject::Namespace;
use crate::inject::annotations::AnnotationKeys;

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
    if without.is_empty() {
        return vec![Code::Sidecars.good(format!("{} with their sidecars", counted(with, "pod")))];
    }
    vec![Code::SidecarMissing.found(
        format!(
            "{} requested a sidecar and run without it: {}",
            counted(without.len(), "pod"),
            listed(without.iter().map(String::as_str))
        ),
        "they were created while the webhook was not called; recreate them: `kubectl -n NAMESPACE rollout restart deployment/NAME`, or delete a pod that a controller recreates",
    )]
}
