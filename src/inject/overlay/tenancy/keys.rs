//! Keys of labels and annotations that a template of a namespace may add.
//!
//! Annotations that only other webhooks read are not known here and are not refused.
//! Invariant: no key of a domain of Kubernetes is allowed but those that this file lists.

const KUBERNETES: [&str; 2] = ["kubernetes.io", "k8s.io"];
/// Domains of which all keys are allowed.
const OPEN_DOMAIN: &str = "app.kubernetes.io";
/// Annotations of Kubernetes that give a pod no right.
const OPEN: [&str; 4] = [
    "cluster-autoscaler.kubernetes.io/safe-to-evict",
    "controller.kubernetes.io/pod-deletion-cost",
    "kubectl.kubernetes.io/default-container",
    "kubectl.kubernetes.io/default-logs-container",
];
/// Domains that container runtimes, network plugins and clouds read: they give devices, networks of
/// other namespaces and roles.
const RUNTIMES: [&str; 13] = [
    "amazonaws.com",
    "azure.com",
    "cilium.io",
    "cloud.google.com",
    "cncf.io",
    "containerd.io",
    "crio.io",
    "gke.io",
    "multus-cni.io",
    "nri.io",
    "openshift.io",
    "ovn.org",
    "projectcalico.org",
];
/// The same, as prefixes of keys that may have no domain.
const RUNTIME_PREFIXES: [&str; 11] = [
    "azure.workload.identity",
    "com.github.containers.",
    "dev.gvisor.",
    "io.containerd.",
    "io.katacontainers.",
    "io.kubernetes.",
    "io.podman.",
    "module.wasm.",
    "org.criu.",
    "org.systemd.",
    "run.oci.",
];

/// Whether a template of a namespace may add this key to `field`, which is `labels` or `annotations`.
pub(super) fn is_allowed(field: &str, key: &str) -> bool {
    let key = key.to_lowercase();
    if RUNTIME_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
        return false;
    }
    // CRI-O reads keys that are a domain without a name.
    let domain = key.split_once('/').map_or(key.as_str(), |(domain, _)| domain);
    let is_of = |parent: &&str| domain.strip_suffix(*parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if domain == OPEN_DOMAIN || (field == "annotations" && OPEN.contains(&key.as_str())) {
        return true;
    }
    !KUBERNETES.iter().chain(&RUNTIMES).any(is_of)
}
