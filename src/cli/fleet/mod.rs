//! The pods and workloads of a cluster that carry or request templates, and what the cluster serves.
//!
//! Of each object only what is needed is kept, page by page: a cluster has many, and they may be
//! large.

mod pods;
mod scope;
mod served;
mod workloads;

use std::collections::BTreeMap;
use std::fmt;

use crate::inject::annotations::{self, NamedTemplate, TemplateRequest};

#[cfg(test)]
pub(super) use pods::Controller;
pub(super) use pods::{CarrierSearch, TemplatePod};
pub(super) use scope::{Scope, ScopeArgs};
pub(super) use served::{Served, ServedTemplate};
pub(super) use workloads::RequestingWorkload;

/// What creates a pod, or the pod itself if nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    /// `Deployment`
    pub kind: String,
    pub name: String,
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

/// The templates that an annotation requests; none if it opts out or cannot be read.
fn requested(annotations: &BTreeMap<String, String>, key: &str) -> Vec<NamedTemplate> {
    match annotations.get(key).map(|value| annotations::parse_template_request(value)) {
        Some(Ok(TemplateRequest::Templates(named))) => named,
        Some(Ok(TemplateRequest::OptOut) | Err(_)) | None => Vec::new(),
    }
}
