//! The input of the engine: an object under admission, and the request that contains it.

use std::collections::BTreeMap;

/// Labels and annotations of the pod's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Name of the namespace.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// An admission request, or its equivalent from the command line.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// API group, version and resource, such as `""`, `v1`, `pods`.
    pub group: &'a str,
    /// API version of the resource, such as `v1`.
    pub version: &'a str,
    /// Resource, such as `pods`.
    pub resource: &'a str,
    /// `""` for the object itself, or a subresource such as `ephemeralcontainers`.
    pub sub_resource: &'a str,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: &'a str,
    /// Namespace of the request. A pod under admission often does not name its namespace.
    pub namespace: &'a str,
    /// That namespace's labels and annotations, if known.
    pub namespace_object: Option<&'a Namespace>,
    /// Kind of the controller that creates the pod, if the caller knows it. Otherwise the pod's
    /// `ownerReferences` decide.
    pub owner_kind: Option<&'a str>,
    /// The object as JSON text; `null` or empty if the request has none.
    pub object: &'a str,
}

impl<'a> Request<'a> {
    /// The request that the API server would send for this new pod.
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
