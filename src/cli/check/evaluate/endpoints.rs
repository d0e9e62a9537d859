//! Checks whether the Service that the entries call exists and has ready endpoints.

use k8s_openapi::api::admissionregistration::v1::ServiceReference;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::super::finding::{Code, Finding};
use super::super::observations::Observations;
use super::configuration::ours;
use super::{APPLY_AGAIN, counted};
use crate::cli::cluster::Lookup;

pub(super) fn evaluate(observations: &Observations) -> Vec<Finding> {
    // With a URL no Service is called.
    let Some(called) = ours(observations).find_map(|entry| entry.client_config.service.as_ref()) else {
        return Vec::new();
    };
    let title = format!("Service {}/{}", called.namespace, called.name);
    match &observations.service {
        Lookup::Unknown => Vec::new(),
        Lookup::Absent => vec![Code::ServiceMissing.found(
            format!("{title} does not exist, and the webhook configuration calls it"),
            format!("{APPLY_AGAIN}; if Outrigger was removed, delete the webhook configuration: pods that request templates are refused while it exists"),
        )],
        Lookup::Found(service) => of_service(observations, service, called, &title),
    }
}

fn of_service(observations: &Observations, service: &Service, called: &ServiceReference, title: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let port = called.port.unwrap_or(443);
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    if ports.iter().all(|found| found.port != port) {
        let has: Vec<String> = ports.iter().map(|port| port.port.to_string()).collect();
        findings.push(Code::ServicePortMissing.found(
            format!("{title} has no port {port}, which the webhook configuration calls; it has {}", has.join(", ")),
            APPLY_AGAIN,
        ));
    }
    let Some(slices) = observations.slices.found() else { return findings };
    match ready(slices) {
        0 => findings.push(nobody(observations, slices, title)),
        count if findings.is_empty() => {
            findings.push(Code::Endpoints.good(format!("{title} has {}", counted(count, "ready endpoint"))));
        }
        _ => {}
    }
    findings
}

fn ready(slices: &[EndpointSlice]) -> usize {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    // An absent condition counts as ready.
    let is_ready =
        |endpoint: &&Endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
    endpoints.filter(is_ready).map(|endpoint| endpoint.addresses.len().min(1)).sum()
}

fn describe(namespace: &str) -> String {
    format!(
        "`kubectl -n {namespace} describe pods -l app.kubernetes.io/name=outrigger` says why; the lines on replicas below say more"
    )
}

fn nobody(observations: &Observations, slices: &[EndpointSlice], title: &str) -> Finding {
    let namespace = &observations.target.namespace;
    let known: usize = slices.iter().map(|slice| slice.endpoints.iter().flatten().count()).sum();
    let (why, hint) = match observations.replicas.found().map(Vec::len) {
        _ if known > 0 => (format!("{} known and none is ready", counted(known, "endpoint")), describe(namespace)),
        Some(0) => (
            "no pod is behind it".to_owned(),
            format!(
                "`kubectl -n {namespace} scale deployment/outrigger --replicas=1` if it was scaled down, else look at `kubectl -n {namespace} describe deployment,replicaset`"
            ),
        ),
        Some(count)
            if observations
                .replicas
                .found()
                .is_some_and(|replicas| replicas.iter().all(|replica| !replica.is_ready)) =>
        {
            (format!("{} and none is ready", counted(count, "pod")), describe(namespace))
        }
        _ => (
            "no endpoint is known".to_owned(),
            format!(
                "compare the selector of the Service with the labels of the pods: `kubectl -n {namespace} get service,pods --show-labels`"
            ),
        ),
    };
    let is_ignored = observations.pods_entry().is_some_and(|entry| entry.failure_policy.as_deref() == Some("Ignore"));
    let outcome = if is_ignored { "created without their sidecars" } else { "refused" };
    Code::NoEndpoints.found(
        format!("{title} has no ready endpoint ({why}): the API server's calls fail, and pods that request templates are {outcome}"),
        hint,
    )
}
