//! The pods and workloads of a cluster that carry or request templates, and what the cluster serves.
//!
//! Of each object only what is needed is kept, page by page: a cluster has many, and they may be
//! large.

mod automatic;
mod cron_jobs;
mod defaults;
mod pods;
mod scope;
mod selector;
mod served;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::inject::annotations::{self, NamedTemplate, TemplateRequest};

pub(super) use cron_jobs::resolve_cron_jobs;
pub(super) use defaults::add_default_requests;
pub(super) use pods::{CarrierSearch, Controller, TemplatePod};
pub(super) use scope::{Scope, ScopeArgs};
pub(super) use served::{ReplicaTemplates, Served, ServedTemplate};
pub(super) use workloads::RequestingWorkload;

/// What creates a pod, or the pod itself if nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    /// `Deployment`
    pub kind: String,
    pub name: String,
}

/// Labels of Kubernetes and of Argo Rollouts: the hash of the pod template in the name of a ReplicaSet,
/// and the kind of what owns it.
const HASHES: [(&str, &str); 2] = [("pod-template-hash", "Deployment"), ("rollouts-pod-template-hash", "Rollout")];

impl Owner {
    /// The workload that a person knows: the Deployment, not its ReplicaSet. `controller` creates the pod
    /// directly.
    pub(in crate::cli) fn of_pod(
        pod: &str,
        controller: Option<&Controller>,
        labels: &BTreeMap<String, String>,
    ) -> Self {
        let Some(Controller { kind, name, .. }) = controller else {
            return Self { kind: "Pod".to_owned(), name: pod.to_owned() };
        };
        let of_hash = |(label, owner): (&str, &str)| {
            let name = name.strip_suffix(labels.get(label)?)?.strip_suffix('-')?;
            let is_known = !name.is_empty() && kind == "ReplicaSet";
            is_known.then(|| Self { kind: owner.to_owned(), name: name.to_owned() })
        };
        let found = HASHES.into_iter().find_map(of_hash);
        found.unwrap_or_else(|| Self { kind: kind.clone(), name: name.clone() })
    }
}

impl fmt::Display for Owner {
    /// `deploy/web`, with the short names of kubectl.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = match self.kind.as_str() {
            "Deployment" => "deploy",
            "StatefulSet" => "sts",
            "DaemonSet" => "ds",
            "ReplicaSet" => "rs",
            "ReplicationController" => "rc",
            "Job" => "job",
            "CronJob" => "cronjob",
            "Pod" => "pod",
            kind => return write!(f, "{}/{}", kind.to_lowercase(), self.name),
        };
        write!(f, "{short}/{}", self.name)
    }
}

/// The templates that an annotation requests; none if it opts out. Of one that cannot be read, the names
/// that can: the pod was to have them.
fn requested(annotations: &BTreeMap<String, String>, key: &str) -> Vec<NamedTemplate> {
    match annotations.get(key).map(|value| annotations::parse_template_request(value)) {
        Some(Ok(TemplateRequest::Templates(named))) => named,
        Some(Ok(TemplateRequest::OptOut)) | None => Vec::new(),
        Some(Err(_)) => annotations.get(key).map(|value| readable_names(value)).unwrap_or_default(),
    }
}

/// What looks like a name of a template in a list that cannot be read.
fn readable_names(list: &str) -> Vec<NamedTemplate> {
    let name = |item: &str| {
        let item = item.trim_matches(|character: char| !character.is_ascii_alphanumeric());
        let name = item.split('@').next().unwrap_or_default();
        let is_name = |name: &str| name.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '-' | '.'));
        Some(name.to_owned()).filter(|name| !name.is_empty() && name != "false" && is_name(name))
    };
    let names: BTreeSet<String> = list.split(',').take(MAX_NAMES).filter_map(name).collect();
    names.into_iter().map(|name| NamedTemplate { name, revision: None }).collect()
}

/// Most names that are looked for in a list that cannot be read.
const MAX_NAMES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_an_annotation_that_cannot_be_read_are_requested() {
        let names = |value: &str| -> Vec<String> {
            let annotations = BTreeMap::from([("inject".to_owned(), value.to_owned())]);
            requested(&annotations, "inject").into_iter().map(|named| named.name).collect()
        };
        assert_eq!(names("proxy, logs"), ["proxy", "logs"]);
        assert_eq!(names("proxy, false"), ["proxy"]);
        assert_eq!(names("[\"logs\", 'proxy@x', a b]"), ["logs", "proxy"]);
        assert_eq!(names("false"), [""; 0]);
        assert_eq!(names(""), [""; 0]);
    }
}
