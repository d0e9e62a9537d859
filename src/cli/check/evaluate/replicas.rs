//! Checks the replicas: their number, the problems that they report, and their versions.

use std::collections::{BTreeMap, BTreeSet};

use super::super::finding::{Code, Finding};
use super::super::objects::PartialDeployment;
use super::super::observations::{Observations, Replica, ReplicaVersion};
use super::{APPLY_AGAIN, counted, listed};
use crate::telemetry::build;

pub(super) fn evaluate(observations: &Observations) -> Vec<Finding> {
    let mut findings = of_deployments(observations);
    for replica in observations.replicas.found().into_iter().flatten() {
        findings.extend(of_replica(observations, replica));
    }
    findings.extend(versions(observations));
    findings
}

/// The numbers of desired and of ready replicas.
fn wanted(deployment: &PartialDeployment) -> (i32, i32) {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    (wanted, ready)
}

/// Whether pods of an older revision exist, or some of the newest do not: while an old replica
/// serves, the new one may never start.
fn is_rolling_out(deployment: &PartialDeployment) -> bool {
    let Some(status) = &deployment.status else { return true };
    let updated = status.updated_replicas.unwrap_or(0);
    let is_unseen = status.observed_generation.zip(deployment.metadata.generation).is_some_and(|(seen, is)| seen < is);
    is_unseen || updated < wanted(deployment).0 || updated < status.replicas.unwrap_or(0)
}

fn of_deployments(observations: &Observations) -> Vec<Finding> {
    let namespace = &observations.target.namespace;
    let Some(deployments) = observations.deployments.found() else { return Vec::new() };
    if deployments.is_empty() {
        // Behind a URL a server may run anywhere.
        let is_elsewhere = observations.pods_entry().is_some_and(|entry| entry.client_config.url.is_some());
        let finding = Code::DeploymentMissing.found(
            format!("namespace {namespace:?} has no Deployment with the label app.kubernetes.io/name=outrigger"),
            format!("give the namespace of the installation with --namespace, or {APPLY_AGAIN}"),
        );
        return if is_elsewhere { Vec::new() } else { vec![finding] };
    }
    let mut findings = Vec::new();
    for deployment in deployments {
        let name = deployment.metadata.name.as_deref().unwrap_or_default();
        match wanted(deployment) {
            (0, _) => findings.push(Code::NoReplicas.found(
                format!("Deployment {namespace}/{name} is scaled to 0 replicas"),
                format!("`kubectl -n {namespace} scale deployment/{name} --replicas=1`, or more for high availability"),
            )),
            (wanted, ready) if ready < wanted || is_rolling_out(deployment) => {
                let old = if ready < wanted { "" } else { ", and they are not all of the newest revision" };
                findings.push(Code::ReplicasNotReady.found(
                    format!("Deployment {namespace}/{name} has {ready} of {wanted} replicas ready{old}{}", why(observations, deployment)),
                    format!("`kubectl -n {namespace} describe deployment/{name}` and `kubectl -n {namespace} get events`; a rollout may be under way, which --wait waits for"),
                ));
            }
            (_, ready) => findings.push(Code::Replicas.good(format!(
                "Deployment {namespace}/{name} has {} ready",
                counted(usize::try_from(ready).unwrap_or_default(), "replica")
            ))),
        }
    }
    findings
}

/// Why replicas do not start, according to the cluster.
fn why(observations: &Observations, deployment: &PartialDeployment) -> String {
    let waiting = observations.replicas.found().into_iter().flatten();
    let waiting =
        waiting.flat_map(|replica| replica.waiting.iter().map(move |reason| format!("pod {}: {reason}", replica.pod)));
    let conditions = deployment.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let refused = conditions
        .iter()
        .filter(|condition| is_so(&condition.type_, "ReplicaFailure") && is_so(&condition.status, "True"));
    let refused = refused.filter_map(|condition| condition.message.clone());
    let reasons: Vec<String> = waiting.chain(refused).collect();
    let reasons = listed(reasons.iter().map(String::as_str));
    if reasons.is_empty() { reasons } else { format!(" ({reasons})") }
}

fn is_so(text: &Option<String>, expected: &str) -> bool {
    text.as_deref() == Some(expected)
}

fn of_replica(observations: &Observations, replica: &Replica) -> Vec<Finding> {
    let (namespace, pod) = (&observations.target.namespace, &replica.pod);
    let logs = format!("`kubectl -n {namespace} logs {pod}` says more");
    let admin = match &replica.admin {
        Ok(admin) => admin,
        // Replicas that are not ready are reported above.
        Err(_) if !replica.is_ready => return Vec::new(),
        Err(problem) => {
            return vec![Code::ReplicaSilent.found(
                format!("pod {namespace}/{pod} is ready and does not respond to `check`: {problem}"),
                "its version, templates and certificate stay unknown; the rights `get` and `create` on pods/portforward are needed, and an API server that reaches the node",
            )];
        }
    };
    let mut findings = Vec::new();
    if !admin.not_ready.is_empty() {
        let checks = listed(admin.not_ready.iter().map(String::as_str));
        findings.push(
            Code::ReplicaNote.found(format!("pod {namespace}/{pod} is not ready because of: {checks}"), logs.clone()),
        );
    }
    // Templates have findings of their own.
    for note in admin.notes.iter().filter(|note| !note.starts_with("template ")) {
        findings.push(Code::ReplicaNote.found(format!("pod {namespace}/{pod} reports: {note}"), logs.clone()));
    }
    findings
}

fn versions(observations: &Observations) -> Vec<Finding> {
    let mut pods: BTreeMap<&ReplicaVersion, Vec<&str>> = BTreeMap::new();
    for (replica, admin) in observations.responding() {
        pods.entry(&admin.version).or_default().push(&replica.pod);
    }
    let namespace = &observations.target.namespace;
    let known: Vec<&ReplicaVersion> = pods.keys().copied().collect();
    match known.as_slice() {
        [] => Vec::new(),
        [version] => vec![one_version(version, pods.values().map(Vec::len).sum())],
        _ => {
            let each = pods.iter().map(|(version, pods)| format!("{version} on {}", listed(pods.iter().copied())));
            let each: Vec<String> = each.collect();
            vec![Code::VersionSkew.found(
                format!("the replicas run different versions: {}", each.join("; ")),
                format!("wait for a rollout that is under way (`kubectl -n {namespace} rollout status deployment/outrigger`), resume one that is paused, or delete the remaining pods of another version"),
            )]
        }
    }
}

fn one_version(version: &ReplicaVersion, count: usize) -> Finding {
    if version.version == build::VERSION {
        return Code::Versions.good(format!("{} of version {version}, as this program", counted(count, "replica")));
    }
    Code::ProgramDiffers.found(
        format!("{} of version {version}; this program is {}", counted(count, "replica"), build::VERSION),
        format!(
            "its expected webhook configuration may differ from that of the replicas: use `outrigger` {}",
            version.version
        ),
    )
}

/// Names of the pods that serve.
pub(super) fn names(observations: &Observations) -> BTreeSet<&str> {
    observations.responding().map(|(replica, _)| replica.pod.as_str()).collect()
}
