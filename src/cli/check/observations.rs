//! What was seen of an installation, as far as anything is judged by it.
//!
//! Nothing here calls anybody or judges. Invariant: what could not be seen is `Unknown`, and the reason stands among the failures;
//! `Absent` was looked for and is not there.

use std::collections::BTreeMap;
use std::time::SystemTime;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;

use super::objects::PartialDeployment;
use crate::inject::Namespace;

/// Which installation it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub namespace: String,
    /// Name of the webhook configuration.
    pub configuration: String,
    pub domain: String,
}

impl Target {
    /// `pods.inject.DOMAIN` or `namespaces.inject.DOMAIN`.
    pub fn entry(&self, what: &str) -> String {
        format!("{what}.inject.{}", self.domain)
    }
}

/// The result of looking at something.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Lookup<T> {
    Found(T),
    Absent,
    #[default]
    Unknown,
}

impl<T> Lookup<T> {
    pub const fn found(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(found),
            Self::Absent | Self::Unknown => None,
        }
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Found(found) => Lookup::Found(f(found)),
            Self::Absent => Lookup::Absent,
            Self::Unknown => Lookup::Unknown,
        }
    }

    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

/// Why something could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The caller lacks a right, such as `list pods in all namespaces`.
    Forbidden {
        right: String,
    },
    Other {
        what: String,
        problem: String,
    },
}

/// Everything that was seen.
#[derive(Clone, Debug)]
pub struct Observations {
    pub target: Target,
    pub now: SystemTime,
    pub failures: Vec<Failure>,
    pub configuration: Lookup<MutatingWebhookConfiguration>,
    /// The Service that the configuration calls, or ours.
    pub service: Lookup<Service>,
    pub slices: Lookup<Vec<EndpointSlice>>,
    pub deployments: Lookup<Vec<PartialDeployment>>,
    pub replicas: Lookup<Vec<Replica>>,
    /// What is served, by whom.
    pub served: Vec<ServedCertificate>,
    pub namespaces: Lookup<Vec<Namespace>>,
    pub requesters: Lookup<Vec<Requester>>,
    pub dry_run: DryRun,
}

impl Observations {
    /// Before anything was looked at.
    pub fn unknown(target: Target, now: SystemTime) -> Self {
        Self {
            target,
            now,
            failures: Vec::new(),
            configuration: Lookup::Unknown,
            service: Lookup::Unknown,
            slices: Lookup::Unknown,
            deployments: Lookup::Unknown,
            replicas: Lookup::Unknown,
            served: Vec::new(),
            namespaces: Lookup::Unknown,
            requesters: Lookup::Unknown,
            dry_run: DryRun::NotSent("nothing was looked at yet".to_owned()),
        }
    }

    pub fn entries(&self) -> &[MutatingWebhook] {
        self.configuration.found().and_then(|found| found.webhooks.as_deref()).unwrap_or_default()
    }

    /// The entry for pods that ask.
    pub fn pods_entry(&self) -> Option<&MutatingWebhook> {
        let name = self.target.entry("pods");
        self.entries().iter().find(|entry| entry.name == name)
    }

    /// Replicas that told of themselves.
    pub fn responding(&self) -> impl Iterator<Item = (&Replica, &AdminReport)> {
        let replicas = self.replicas.found().into_iter().flatten();
        replicas.filter_map(|replica| replica.admin.as_ref().ok().map(|admin| (replica, admin)))
    }

    /// The state of each template on each replica that told of it.
    pub fn templates(&self) -> impl Iterator<Item = (&Replica, &ReplicaTemplate)> {
        self.responding().flat_map(|(replica, admin)| admin.templates.iter().map(move |template| (replica, template)))
    }
}

/// A pod of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub pod: String,
    /// Whether the kubelet says so.
    pub is_ready: bool,
    /// Why containers do not run, such as `ImagePullBackOff: …`.
    pub waiting: Vec<String>,
    /// What the admin listener says, or why it could not be asked.
    pub admin: Result<AdminReport, String>,
}

/// What the admin listener of a replica says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminReport {
    pub version: ReplicaVersion,
    /// Checks of `/readyz?verbose` that do not hold.
    pub not_ready: Vec<String>,
    /// What it says besides.
    pub notes: Vec<String>,
    pub templates: Vec<ReplicaTemplate>,
}

/// `/version`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct ReplicaVersion {
    pub version: String,
    #[serde(default)]
    pub revision: Option<String>,
}

impl std::fmt::Display for ReplicaVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.revision {
            Some(revision) => write!(f, "{} ({revision})", self.version),
            None => f.write_str(&self.version),
        }
    }
}

/// One of `/templates`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ReplicaTemplate {
    pub name: String,
    #[serde(default)]
    pub revision: Option<String>,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub problem: Option<String>,
}

/// A chain of certificates, the leaf first.
#[derive(Clone, Debug, PartialEq)]
pub struct ServedCertificate {
    /// Such as `pod outrigger-1`.
    pub by: String,
    pub chain: Result<Vec<CertificateDer<'static>>, String>,
    pub from: CertificateOrigin,
}

/// Where a certificate was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateOrigin {
    Handshake,
    Secret,
}

/// Something that names templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requester {
    pub kind: &'static str,
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub templates: Vec<String>,
    pub pod: PodState,
}

impl Requester {
    /// `Deployment shop/web`
    pub fn title(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Whether what requesters is a pod, and whether it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    NoPod,
    WithStatus,
    WithoutStatus,
}

/// The pod that was sent to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// Why none was sent.
    NotSent(String),
    Sent {
        namespace: String,
        template: String,
        outcome: DryRunOutcome,
    },
}

/// What the API server said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DryRunOutcome {
    /// It came back with these templates in it.
    Admitted {
        templates: Vec<String>,
    },
    Refused {
        message: String,
    },
    /// There was no answer.
    NoResponse(String),
}
