//! Lists the objects of every kind in a cluster, to find what an installation leaves behind.
//!
//! Invariant: short-lived objects are excluded by kind and namespace, never by name.

use std::collections::BTreeSet;

use crate::cluster::Cluster;

/// Kinds whose objects a cluster creates and deletes by itself.
const PASSING: [&str; 4] = ["events", "events.events.k8s.io", "componentstatuses", "ipaddresses.networking.k8s.io"];

/// The namespace of the leases with which nodes and components report that they are alive.
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

/// Metrics, not objects.
fn is_measured(kind: &str) -> bool {
    kind.ends_with(".metrics.k8s.io")
}
