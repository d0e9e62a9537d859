//! What there is in a cluster, of every kind: to see what an installation leaves behind.
//!
//! Invariant: what comes and goes by itself is left out by its kind and place, never by its name.

use std::collections::BTreeSet;

use crate::cluster::Cluster;

/// Kinds that a cluster makes and forgets by itself.
const PASSING: [&str; 4] = ["events", "events.events.k8s.io", "componentstatuses", "ipaddresses.networking.k8s.io"];

/// By which nodes and components of the cluster say that they live.
const PULSES: [&str; 2] = ["kube-node-lease/Lease/", "kube-system/Lease/"];

/// Names such as `namespace/configmap/name`.
pub fn take(cluster: &Cluster) -> BTreeSet<String> {
    let kinds = cluster.kubectl(&["api-resources", "--verbs=list", "--output=name"]);
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !PASSING.contains(kind) && !is_measured(kind)).collect();
    assert!(kinds.len() > 20, "the cluster has hardly any kinds: {kinds:?}");
    let columns = "custom-columns=NAMESPACE:.metadata.namespace,KIND:.kind,NAME:.metadata.name";
    let listed = cluster.kubectl(&["get", &kinds.join(","), "--all-namespaces", "--no-headers", "--output", columns]);
    let objects = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join("/"));
    objects.filter(|object| !PULSES.iter().any(|pulse| object.starts_with(pulse))).collect()
}

/// Figures and no objects.
fn is_measured(kind: &str) -> bool {
    kind.ends_with(".metrics.k8s.io")
}
