//! The kinds of objects with pods that can be named, with their spellings and their place in the API.

/// A kind whose objects have pods.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub kind: &'static str,
    pub group: &'static str,
    pub plural: &'static str,
    /// Singular and short names.
    names: &'static [&'static str],
}

const KINDS: [Kind; 8] = [
    kind("Pod", "", "pods", &["pod", "po"]),
    kind("Deployment", "apps", "deployments", &["deployment", "deploy"]),
    kind("StatefulSet", "apps", "statefulsets", &["statefulset", "sts"]),
    kind("DaemonSet", "apps", "daemonsets", &["daemonset", "ds"]),
    kind("ReplicaSet", "apps", "replicasets", &["replicaset", "rs"]),
    kind("ReplicationController", "", "replicationcontrollers", &["replicationcontroller", "rc"]),
    kind("Job", "batch", "jobs", &["job"]),
    kind("CronJob", "batch", "cronjobs", &["cronjob", "cj"]),
];

static TABLE: [Kind; 8] = KINDS;

const fn kind(kind: &'static str, group: &'static str, plural: &'static str, names: &'static [&'static str]) -> Kind {
    Kind { kind, group, plural, names }
}

impl Kind {
    /// `apps/v1`
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", self.group) }
    }

    /// The path of the objects of a namespace.
    pub(super) fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/v1", self.group) };
        format!("{root}/namespaces/{namespace}/{}", self.plural)
    }

    fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let plain = name.split_once('.').map_or(name.as_str(), |(plain, _)| plain);
        let group = name.split_once('.').map(|(_, group)| group.trim_start_matches("v1.").trim_end_matches('.'));
        let is_group = group.is_none_or(|group| group == self.group || group == "v1");
        is_group && (plain == self.plural || self.names.contains(&plain))
    }
}

/// The kind of this name, as kubectl takes it.
pub(super) fn find(name: &str) -> Option<&'static Kind> {
    TABLE.iter().find(|kind| kind.is_called(name))
}

/// All names, for hints.
pub(super) fn names() -> Vec<&'static str> {
    TABLE.iter().flat_map(|kind| kind.names.iter().copied().chain([kind.plural])).collect()
}
