//! The operator's settings for the injection, which apply to all pods.

/// The settings for all pods.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether the cluster supports init containers with `restartPolicy: Always`.
    pub native_sidecars: NativeSidecars,
    /// Kubernetes version of the cluster as `MAJOR.MINOR.PATCH`. Expressions read it as
    /// `cluster.version`.
    pub cluster_version: String,
    /// Namespaces in which nothing is ever injected.
    pub excluded_namespaces: Vec<String>,
    /// What becomes of a pod whose namespace lists a template by default that cannot be had.
    pub missing_defaults: MissingDefaults,
    /// Domain of all annotations and labels, by default `outrigger.dev`.
    pub domain: String,
    /// CPU time of the calling thread in milliseconds, or the time of any monotonic clock. The
    /// engine has no clock of its own. Without this one, only the step budget limits an expression.
    pub clock: Option<fn() -> u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            native_sidecars: NativeSidecars::Supported,
            cluster_version: "1.37.0".to_owned(),
            excluded_namespaces: Vec::new(),
            missing_defaults: MissingDefaults::Skip,
            domain: "outrigger.dev".to_owned(),
            clock: None,
        }
    }
}

/// What becomes of a pod whose namespace has a default list with a mistake: it cannot be read, or
/// it names a template that does not exist or never loaded. The pod's author did not make the
/// mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingDefaults {
    /// The pod is created without the template, with a warning.
    Skip,
    /// The pod is refused, as if it had requested the template itself.
    Reject,
}

/// KEP-753: native sidecars are init containers with `restartPolicy: Always`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeSidecars {
    /// Kubelets run init containers with `restartPolicy: Always` as sidecars.
    Supported,
    /// Sidecars become plain containers.
    Unsupported,
}

impl NativeSidecars {
    /// The minor version of Kubernetes 1 from which on every kubelet that the API server supports runs
    /// native sidecars: they are on by default since 1.29, and kubelets may be three versions older.
    pub const FIRST_MINOR: u32 = 32;

    /// The support in a cluster whose API server has this version of Kubernetes.
    pub fn in_version(major: u32, minor: u32) -> Self {
        if (major, minor) >= (1, Self::FIRST_MINOR) { Self::Supported } else { Self::Unsupported }
    }
}
