//! The observations of an installation that findings are derived from.
//!
//! Invariant: an object that could not be read is `Unknown`, and `failures` has the reason; an
//! object that does not exist is `Absent`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;

use super::super::cluster::{Failure, Lookup};
use super::objects::PartialDeployment;
use crate::inject::{KeyPlace, KnownTemplates, Namespace};

/// The installation to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub namespace: String,
    /// Name of the webhook configuration.
    pub configuration: String,
    pub domain: String,
}

impl Target {
    /// `pods.inject.DOMAIN` or `namespaces.inject.DOMAIN`.
    pub(super) fn entry(&self, what: &str) -> String {
        format!("{what}.inject.{}", self.domain)
    }
}

/// All observations of one check.
#[derive(Clone, Debug)]
pub(super) struct Observations {
    pub target: Target,
    pub now: SystemTime,
    pub failures: Vec<Failure>,
    pub configuration: Lookup<MutatingWebhookConfiguration>,
    /// The configuration of the same name by which the API server asks for advice.
    pub advice: Lookup<ValidatingWebhookConfiguration>,
    /// The Service that the configuration calls; without a configuration the default one.
    pub service: Lookup<Service>,
    pub slices: Lookup<Vec<EndpointSlice>>,
    pub deployments: Lookup<Vec<PartialDeployment>>,
    pub replicas: Lookup<Vec<Replica>>,
    /// The certificates that the replicas serve.
    pub served: Vec<ServedCertificate>,
    pub namespaces: Lookup<Vec<Namespace>>,
    /// The lease of the leader election.
    pub lease: Lookup<Lease>,
    pub requesters: Lookup<Vec<Requester>>,
    pub dry_run: DryRun,
    pub trials: Trials,
    /// What controllers have lately said about pods that our webhook refused.
    pub refusals: Lookup<Vec<RefusalEvent>>,
}

impl Observations {
    /// The state before anything was read.
    pub(super) fn unknown(target: Target, now: SystemTime) -> Self {
        Self {
            target,
            now,
            failures: Vec::new(),
            configuration: Lookup::Unknown,
            advice: Lookup::Unknown,
            service: Lookup::Unknown,
            slices: Lookup::Unknown,
            deployments: Lookup::Unknown,
            replicas: Lookup::Unknown,
            served: Vec::new(),
            namespaces: Lookup::Unknown,
            lease: Lookup::Unknown,
            requesters: Lookup::Unknown,
            dry_run: DryRun::NotSent("nothing was looked at yet".to_owned()),
            trials: Trials::default(),
            refusals: Lookup::Unknown,
        }
    }

    pub(super) fn entries(&self) -> &[MutatingWebhook] {
        self.configuration.found().and_then(|found| found.webhooks.as_deref()).unwrap_or_default()
    }

    /// The entry for pods that request templates.
    pub(super) fn pods_entry(&self) -> Option<&MutatingWebhook> {
        let name = self.target.entry("pods");
        self.entries().iter().find(|entry| entry.name == name)
    }

    /// The replicas whose admin listener responded.
    pub(super) fn responding(&self) -> impl Iterator<Item = (&Replica, &AdminReport)> {
        let replicas = self.replicas.found().into_iter().flatten();
        replicas.filter_map(|replica| replica.admin.as_ref().ok().map(|admin| (replica, admin)))
    }

    /// The state of each template on each replica that responded.
    pub(super) fn templates(&self) -> impl Iterator<Item = (&Replica, &ReplicaTemplate)> {
        self.responding().flat_map(|(replica, admin)| admin.templates.iter().map(move |template| (replica, template)))
    }
}

/// A pod of this installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replica {
    pub pod: String,
    /// The pod's condition `Ready`.
    pub is_ready: bool,
    /// Why containers do not run, such as `ImagePullBackOff: …`.
    pub waiting: Vec<String>,
    /// The state that the admin listener reports, or why it could not be read.
    pub admin: Result<AdminReport, String>,
}

/// The state that the admin listener of a replica reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AdminReport {
    pub version: ReplicaVersion,
    /// Failing checks of `/readyz?verbose`.
    pub not_ready: Vec<String>,
    /// Warnings of `/readyz?verbose`.
    pub notes: Vec<String>,
    pub templates: Vec<ReplicaTemplate>,
}

/// `/version`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct ReplicaVersion {
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

/// One item of `/templates`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct ReplicaTemplate {
    pub name: String,
    /// The namespace of an `InjectionTemplate`.
    #[serde(default)]
    pub namespace: Option<String>,
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub injection: String,
    /// Absent if the template is not served.
    #[serde(default)]
    pub parameters: Option<Vec<ReplicaParameter>>,
    #[serde(default)]
    pub warnings: Vec<String>,
    #[serde(default)]
    pub revision: Option<String>,
    /// The revision that pods outside of a rollout get; older replicas do not tell it.
    #[serde(default, rename = "stableRevision")]
    pub stable_revision: Option<String>,
    /// Whether a template of a namespace takes its place there; older replicas do not tell it.
    #[serde(default)]
    pub shadowable: Option<bool>,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub problem: Option<String>,
}

impl ReplicaTemplate {
    /// The name, after that of its namespace if it has one.
    pub(super) fn title(&self) -> String {
        self.namespace.as_ref().map_or_else(|| self.name.clone(), |namespace| format!("{namespace}/{}", self.name))
    }

    /// Whether pods of this namespace can name it.
    pub(super) fn is_visible_in(&self, namespace: &str) -> bool {
        self.namespace.as_ref().is_none_or(|own| own == namespace)
    }
}

/// A declared parameter of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct ReplicaParameter {
    pub name: String,
}

/// Names of templates and parameters, as far as the replicas tell them.
#[derive(Clone, Debug, Default)]
pub(super) struct LoadedTemplates {
    /// The parameters by template; `None` if they are not known.
    pub by_name: BTreeMap<String, Option<Vec<String>>>,
    /// Whether a replica told them. Otherwise any name may be right.
    pub is_known: bool,
}

impl KnownTemplates for LoadedTemplates {
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.by_name.keys().map(String::as_str))
    }

    fn has(&self, template: &str) -> bool {
        !self.is_known || self.by_name.contains_key(template)
    }

    fn parameters(&self, template: &str) -> Option<Vec<&str>> {
        Some(self.by_name.get(template)?.as_ref()?.iter().map(String::as_str).collect())
    }

    fn is_complete(&self) -> bool {
        self.is_known
    }
}

/// A chain of certificates, the leaf first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ServedCertificate {
    /// Such as `pod outrigger-1`.
    pub by: String,
    pub chain: Result<Vec<CertificateDer<'static>>, String>,
    pub from: CertificateOrigin,
}

/// How a certificate was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertificateOrigin {
    Handshake,
    Secret,
}

/// An object that concerns us: a pod, or a workload with a pod template, that requests templates,
/// has a sidecar, or has keys that look like ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requester {
    pub kind: &'static str,
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// The requested templates.
    pub templates: Vec<String>,
    pub pod: PodState,
    /// Its keys that look like ours, where they stand.
    pub keys: Vec<(KeyPlace, String)>,
    /// The revisions of templates that a pod carries, by template.
    pub revisions: BTreeMap<String, String>,
}

impl Requester {
    /// `Deployment shop/web`
    pub(super) fn title(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Whether the requester is a pod, and whether it was injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodState {
    NoPod,
    WithStatus,
    WithoutStatus,
}

/// The dry runs of the pods of workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trials {
    /// Titles of the workloads whose pods were tried.
    pub tried: BTreeSet<String>,
    /// Title and sentence of those that our webhook denied.
    pub denied: Vec<(String, String)>,
}

/// An event of a controller whose pod our webhook denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefusalEvent {
    /// Kind of the controller, such as `ReplicaSet`.
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub message: String,
}

/// The dry-run pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DryRun {
    /// Why none was sent.
    NotSent(String),
    Sent {
        namespace: String,
        template: String,
        outcome: DryRunOutcome,
    },
}

/// How the API server responded to the dry-run pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DryRunOutcome {
    /// It was admitted; its status annotation lists these templates.
    Admitted {
        templates: Vec<String>,
    },
    Refused {
        message: String,
    },
    /// The API server did not respond.
    NoResponse(String),
}
