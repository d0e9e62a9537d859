//! The fields of a pod that a template can read, so that the others need not be parsed.
//!
//! Invariant: the injection depends on no other field, unless [`ReadSet::overlaps`]: containers and
//! volumes that are in the pod and in the template are compared with all their fields.

use super::{AUTO, ContainerList, OperatingSystem, PodDocument, usual};
use crate::inject::text::json::text;
use serde_json::Value;
use std::collections::BTreeSet;

/// Fields of each container that every template can read.
const ALWAYS_OF_CONTAINERS: [&str; 6] = ["name", "image", "ports", "resources", "restartPolicy", "volumeMounts"];
/// Fields of the spec that every template can read, besides [`LISTS_READ_IN_PART`].
const ALWAYS_OF_SPEC: [&str; 13] = [
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostUsers",
    "os",
    "nodeSelector",
    "automountServiceAccountToken",
    "resources",
    "resourceClaims",
    "restartPolicy",
    "securityContext",
    "terminationGracePeriodSeconds",
    "dnsConfig",
];
/// Fields of containers that are checked against a field of the spec that a template sets.
const OF_SPEC_FIELDS: [(&str, &str); 3] = [
    ("lifecycle", "terminationGracePeriodSeconds"),
    ("securityContext", "securityContext"),
    ("volumeDevices", "hostUsers"),
];
/// Fields of containers that are checked against another field that a template adds to.
const OF_CONTAINER_FIELDS: [(&str, &str); 1] = [("volumeDevices", "volumeMounts")];
/// Lists of the spec whose items are read in part. No [`ReadSet`] may have them as fields.
pub(crate) const LISTS_READ_IN_PART: [&str; 4] = ["containers", "initContainers", "ephemeralContainers", "volumes"];

/// The fields of a pod that one template can read, if its rendering is the same for all pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadSet {
    pub spec_fields: BTreeSet<String>,
    /// Fields of each container.
    pub container_fields: BTreeSet<&'static str>,
    /// Names of the containers that the template adds.
    pub containers: BTreeSet<String>,
    /// Names of the volumes that the template adds.
    pub volumes: BTreeSet<String>,
    /// Whether the sources of the pod's volumes are read, because the template may share one.
    pub has_volume_sources: bool,
    /// Fields of the spec on which the rendering depends: the set is that of the usual pod.
    pub usual: BTreeSet<String>,
}

impl ReadSet {
    pub(super) fn has_spec_field(&self, field: &str) -> bool {
        ALWAYS_OF_SPEC.contains(&field) || self.spec_fields.contains(field)
    }

    pub(super) fn has_container_field(&self, field: &str) -> bool {
        ALWAYS_OF_CONTAINERS.contains(&field)
            || self.container_fields.contains(field)
            || OF_SPEC_FIELDS.iter().any(|(own, other)| *own == field && self.spec_fields.contains(*other))
            || OF_CONTAINER_FIELDS.iter().any(|(own, other)| *own == field && self.container_fields.contains(other))
    }

    /// Whether more of the pod must be read: it has a container or volume that must be compared with
    /// one of the template, or containers whose security context matters, or the template is
    /// rendered anew.
    pub(super) fn overlaps(&self, pod: &PodDocument) -> bool {
        let is_shared =
            |container: &Value| text(container, "image") == AUTO || self.containers.contains(text(container, "name"));
        !usual::is(pod, &self.usual)
            || [ContainerList::Containers, ContainerList::InitContainers]
                .into_iter()
                .any(|list| pod.containers(list).iter().any(is_shared))
            || pod.spec_items("volumes").iter().any(|volume| self.volumes.contains(text(volume, "name")))
            || may_have_host_processes(pod)
    }
}

/// Whether the containers may be host processes of Windows: all of them are, or none.
fn may_have_host_processes(pod: &PodDocument) -> bool {
    pod.operating_system() == OperatingSystem::Windows || pod.spec_field("hostNetwork") == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_that_pod_and_template_share_is_an_overlap() {
        let set = |name: &str| BTreeSet::from([name.to_owned()]);
        let read_set = ReadSet { containers: set("log"), volumes: set("logs"), ..ReadSet::default() };
        let overlaps =
            |spec: Value| read_set.overlaps(&PodDocument::parse(&json!({"spec": spec}).to_string()).expect("a pod"));
        let web = json!({"name": "web", "image": "web:1"});
        assert!(!overlaps(json!({"containers": [web], "volumes": [{"name": "data"}]})));
        assert!(overlaps(json!({"containers": [web], "volumes": [{"name": "logs"}]})));
        assert!(overlaps(json!({"containers": [web], "initContainers": [{"name": "log"}]})));
        assert!(overlaps(json!({"containers": [{"name": "web", "image": "auto"}]})));
    }
}
