//! Starts the background tasks that talk to the API server.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::certificates::configurations::WebhookConfigurationObject;
use super::certificates::plan::Policy;
use super::certificates::reconciler::{MissingObjects, Reconciler, WatchedObjects, reconcile_while_leading};
use super::certificates::serving_secret::{CurrentCertificate, ServingSecretFollower};
use super::leader::election::LeaseTiming;
use super::leader::{LeaderElector, Leadership, start_election};
use super::namespaces::Namespaces;
use super::task::supervise;
use super::templates::{self, StatusSettings, TemplateFeed};
use super::{EventQueue, Objects, events, watching};
use crate::telemetry::metrics::{ClusterMetrics, Metrics};

/// Which background tasks to start, and the objects they work on.
#[derive(Clone, Debug)]
pub struct BackgroundSettings {
    /// Names of the objects to maintain.
    pub objects: Objects,
    /// Name of this replica; a random suffix makes it unique.
    pub name: String,
    /// The domain of labels and annotations of pods.
    pub domain: String,
    /// Times of the leader election.
    pub timing: LeaseTiming,
    /// Set in certificate mode `self`: the hosts and lifetimes of the certificates to issue.
    pub certificates: Option<(Vec<String>, Policy)>,
}

/// Handles of the background tasks.
pub struct BackgroundTasks {
    /// Labels and annotations of namespaces.
    pub namespaces: Namespaces,
    /// Takes notices for the owners of pods.
    pub events: EventQueue,
    /// Template objects; to be taken by the part that serves templates. Until then they wait.
    pub templates: Option<TemplateFeed>,
    /// The serving certificate, in certificate mode `self`.
    pub certificate: Option<CurrentCertificate>,
    /// Sentences about required objects that do not exist; empty unless this replica leads.
    pub missing: watch::Receiver<Vec<String>>,
    leader: JoinHandle<()>,
}

impl BackgroundTasks {
    /// Waits, for a limited time, until the lease is released after shutdown began.
    pub async fn lease_released(self) {
        // Without a release, the lease expires by itself.
        _ = tokio::time::timeout(Duration::from_secs(6), self.leader).await;
    }
}

/// Starts all tasks. Makes no call before it returns, so an unreachable API server delays nothing.
pub fn start(
    client: &Client,
    settings: BackgroundSettings,
    metrics: &Arc<Metrics>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> prometheus::Result<BackgroundTasks> {
    let namespaces = Namespaces::default();
    let (known, from) = (namespaces.clone(), client.clone());
    supervise("namespaces", move || known.clone().follow(from.clone()));
    let events = events::start(client, &settings.name, metrics.events()?);
    let cluster_metrics = metrics.in_cluster()?;
    let (leadership, leader) = start_election(leader_elector(client, &settings), shutdown);
    tokio::spawn(record_leadership(leadership.clone(), cluster_metrics.clone()));
    let status =
        StatusSettings { domain: settings.domain.clone(), events: events.clone(), leadership: leadership.clone() };
    let templates = Some(templates::start(client, status, &cluster_metrics));
    let (report_missing, missing) = watch::channel(Vec::new());
    let certificate = match settings.certificates.clone() {
        Some(made) => Some(start_certificates(client, settings, made, metrics, leadership, report_missing)?),
        None => None,
    };
    Ok(BackgroundTasks { namespaces, events, templates, certificate, missing, leader })
}

/// Starts the tasks that make and follow the serving certificate.
fn start_certificates(
    client: &Client,
    settings: BackgroundSettings,
    (hosts, policy): (Vec<String>, Policy),
    metrics: &Arc<Metrics>,
    leadership: Leadership,
    report_missing: MissingObjects,
) -> prometheus::Result<CurrentCertificate> {
    let configurations = WebhookConfigurationObject::all(client, &settings.objects.webhook_configuration);
    let watched = watch_certificates(client, &settings.objects, &configurations);
    let (publish, certificate) = watch::channel(None);
    let follower = ServingSecretFollower {
        secret_name: settings.objects.serving_secret.clone(),
        secret: watched.serving.clone(),
        configurations: watched.configurations.clone(),
        hosts: hosts.clone(),
        metrics: Arc::clone(metrics),
        ca_bundle: metrics.ca_bundle()?,
    };
    supervise("certificate", move || follower.clone().run(publish.clone()));
    let reconciler =
        Reconciler::new(client, settings.objects, configurations, (hosts, policy), watched, report_missing);
    let reconciler = Arc::new(reconciler);
    supervise("certificates", move || reconcile_while_leading(Arc::clone(&reconciler), leadership.clone()));
    Ok(certificate)
}

fn watch_certificates(
    client: &Client,
    objects: &Objects,
    configurations: &[WebhookConfigurationObject],
) -> WatchedObjects {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &objects.namespace);
    WatchedObjects {
        configurations: configurations.iter().map(WebhookConfigurationObject::watch).collect(),
        serving: watching::object(secrets, &objects.serving_secret),
    }
}

fn leader_elector(client: &Client, settings: &BackgroundSettings) -> LeaderElector {
    LeaderElector {
        leases: Api::namespaced(client.clone(), &settings.objects.namespace),
        name: settings.objects.lease.clone(),
        identity: format!("{}_{:016x}", settings.name, super::jitter::random()),
        timing: settings.timing,
    }
}

/// Records in the metrics whether this replica leads.
async fn record_leadership(mut leadership: Leadership, metrics: ClusterMetrics) {
    loop {
        metrics.leader(false);
        leadership.gained().await;
        metrics.leader(true);
        leadership.lost().await;
    }
}
