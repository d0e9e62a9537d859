//! Connects `serve` to a cluster and distributes what the cluster provides.
//!
//! Invariant: an unreachable API server delays a replica that has a certificate only for a limited
//! time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::readiness_details::{ReadinessDetails, Topic};
use super::self_test::SelfTest;
use super::version::{self, ServerVersion};
use crate::cluster::certificates::plan::Policy;
use crate::cluster::certificates::serving_secret::CurrentCertificate;
use crate::cluster::client::{self, ConnectionSource};
use crate::cluster::leader::election::LeaseTiming;
use crate::cluster::namespaces::Namespaces;
use crate::cluster::{self, BackgroundTasks, Objects};
use crate::config::{CertificateSettings, ClusterAccess, ClusterSettings, Config};
use crate::process::health::Promise;
use crate::process::shutdown::{Lifecycle, Phase};
use crate::server::{NamespaceLookup, OwnerNotifier};
use crate::telemetry::metrics::Metrics;
use crate::tls::resolver::Resolver;

/// Longest wait for the namespaces before a replica with a certificate is ready.
const NAMESPACES_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of the API server, and the settings for the background tasks.
pub(super) struct ClusterConnection {
    client: Client,
    settings: cluster::BackgroundSettings,
    pub version: Option<ServerVersion>,
}

/// Connects, if the configuration has a cluster.
pub(super) async fn connect(config: &Config) -> anyhow::Result<Option<ClusterConnection>> {
    let Some(cluster) = &config.cluster else { return Ok(None) };
    let source = match cluster.access {
        ClusterAccess::Pod => ConnectionSource::Pod,
        ClusterAccess::Kubeconfig => ConnectionSource::Kubeconfig,
    };
    let client = client::connect(source).await.context("cannot connect to the cluster")?;
    let version = version::at_start(&client).await;
    let settings = settings(cluster, config, client.default_namespace());
    Ok(Some(ClusterConnection { client, settings, version }))
}

fn settings(cluster: &ClusterSettings, config: &Config, default_namespace: &str) -> cluster::BackgroundSettings {
    let namespace = cluster.namespace.as_ref().map_or(default_namespace, |namespace| namespace.as_str()).to_owned();
    let certificates = match &config.certificate {
        CertificateSettings::Cluster(made) => {
            let mut hosts = vec![format!("{}.{namespace}.svc", cluster.service)];
            hosts.extend(made.hosts.iter().map(ToString::to_string));
            let policy = Policy {
                leaf_life: made.certificate_duration,
                leaf_renewal: made.certificate_renewal,
                ca_life: made.ca_duration,
                ca_renewal: made.ca_renewal,
                propagation: made.ca_propagation,
            };
            Some((hosts, policy))
        }
        CertificateSettings::Dev { .. } | CertificateSettings::Files { .. } => None,
    };
    let objects = Objects {
        namespace,
        webhook_configuration: cluster.webhook_configuration.to_string(),
        ca_secret: cluster.ca_secret.to_string(),
        serving_secret: cluster.serving_secret.to_string(),
        lease: cluster.lease.to_string(),
    };
    cluster::BackgroundSettings {
        objects,
        name: cluster.name.clone(),
        domain: config.domain.to_string(),
        timing: LeaseTiming::default(),
        certificates,
    }
}

impl ClusterConnection {
    /// Starts the background tasks. Shutdown releases the lease. `upgraded` is called with each new
    /// version.
    pub(super) fn start(
        self,
        metrics: &Arc<Metrics>,
        mut lifecycle: Lifecycle,
        upgraded: impl Fn(&ServerVersion) + Send + 'static,
    ) -> anyhow::Result<BackgroundTasks> {
        let version = self.version.as_ref().map(|version| version.text.as_str());
        tracing::info!(version, namespace = self.settings.objects.namespace, "working in a cluster");
        tokio::spawn(version::follow(self.client.clone(), self.version, upgraded));
        let end = async move { lifecycle.reached(Phase::Draining).await };
        cluster::start(&self.client, self.settings, metrics, end).context("cannot register the cluster's metrics")
    }
}

/// Drops the promise once the namespaces are known, so that a replica that has just started does
/// not miss a namespace's settings; or after [`NAMESPACES_TIMEOUT`], since most pods request
/// injection themselves.
pub(super) async fn wait_for_namespaces(namespaces: Namespaces, promise: Promise) {
    if timeout(NAMESPACES_TIMEOUT, namespaces.listed()).await.is_err() {
        tracing::warn!("namespaces have not been read yet: their labels and annotations do not apply");
    }
    drop(promise);
}

/// Lists in the readiness details the required objects that do not exist.
pub(super) async fn report_missing_objects(mut missing: watch::Receiver<Vec<String>>, details: ReadinessDetails) {
    while missing.changed().await.is_ok() {
        details.replace(Topic::Certificate, missing.borrow_and_update().clone());
    }
}

/// The namespace lookup for reviews.
pub(super) fn namespaces(background: Option<&BackgroundTasks>) -> NamespaceLookup {
    match background.map(|background| background.namespaces.clone()) {
        Some(namespaces) => Arc::new(move |name| namespaces.get(name)),
        // Without a cluster, no namespace is known.
        None => Arc::new(|_| None),
    }
}

/// Tells owners of pods why those are refused; not without a cluster.
pub(super) fn notify(background: Option<&BackgroundTasks>) -> Option<OwnerNotifier> {
    let events = background?.events.clone();
    Some(Arc::new(move |notice| events.push(notice)))
}

/// The serving certificate from the cluster's Secret.
pub(super) struct ClusterCertificate {
    pub resolver: Arc<Resolver>,
    /// Notified of each certificate, including the first.
    replaced: Arc<Notify>,
    promise: Promise,
}

impl ClusterCertificate {
    /// The replica is not ready until there is a certificate and `promise` is dropped.
    pub(super) fn new(promise: Promise) -> Self {
        Self { resolver: Arc::new(Resolver::default()), replaced: Arc::default(), promise }
    }

    /// Serves every published certificate, and runs the self test from the first one on.
    pub(super) fn serve(self, current: CurrentCertificate, self_test: SelfTest) {
        let replaced = Arc::clone(&self.replaced);
        tokio::spawn(async move {
            replaced.notified().await;
            self_test.run(replaced, None).await;
        });
        tokio::spawn(self.follow(current));
    }

    async fn follow(self, mut current: CurrentCertificate) {
        let mut promise = Some(self.promise);
        loop {
            let pair = current.borrow_and_update().clone();
            if let Some(pair) = pair {
                self.resolver.replace(Arc::clone(&pair.key));
                promise = None;
                self.replaced.notify_one();
            }
            if current.changed().await.is_err() {
                // The promise stays outstanding, so that the replica never becomes ready.
                return std::mem::forget(promise);
            }
        }
    }
}
