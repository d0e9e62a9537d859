//! The question put to the engine: one object, and the request that brings it.

use std::collections::BTreeMap;

/// Labels and annotations of the pod's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// What an admission request (or the command line) asks.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// API group, version and resource, such as `""`, `v1`, `pods`.
    pub group: &'a str,
    pub version: &'a str,
    pub resource: &'a str,
    /// `""` for the object itself, else such as `ephemeralcontainers`.
    pub sub_resource: &'a str,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: &'a str,
    /// Namespace of the request: a pod under admission often has none of its own.
    pub namespace: &'a str,
    /// What is known of that namespace; `None` when nothing is.
    pub namespace_object: Option<&'a Namespace>,
    /// Kind of the object that makes the pod, where the caller knows more than the pod's own `ownerReferences` say.
    pub owner_kind: Option<&'a str>,
    /// The object as JSON text, `null` or empty when the request has none.
    pub object: &'a str,
}

impl<'a> Request<'a> {
    /// The request that the API server would make for this new pod.
    pub fn create_pod(namespace: &'a str, object: &'a str) -> Self {
        Self {
            group: "",
            version: "v1",
            resource: "pods",
            sub_resource: "",
            operation: "CREATE",
            namespace,
            namespace_object: None,
            owner_kind: None,
            object,
        }
    }
}
