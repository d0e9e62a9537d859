//! Everything that runs beside the requests, started together.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::certificates::plan::Policy;
use super::certificates::reconciler::{Keeper, Wake, keep_while_leading};
use super::certificates::serving_secret::{Current, Follower};
use super::leader::election::Timing;
use super::leader::{Candidate, Leadership, stand};
use super::namespaces::Namespaces;
use super::task::persist;
use super::{Objects, watching};
use crate::telemetry::metrics::{ClusterMetrics, Metrics};

/// What runs, and on which objects.
#[derive(Clone, Debug)]
pub struct Settings {
    pub objects: Objects,
    /// Of this process among the replicas; a suffix makes it unique.
    pub name: String,
    pub timing: Timing,
    /// Where certificates are ours to make: for which hosts, and for how long.
    pub certificates: Option<(Vec<String>, Policy)>,
}

/// What runs.
pub struct Running {
    pub namespaces: Namespaces,
    /// Where certificates are ours to make.
    pub certificate: Option<Current>,
    /// What the leader misses of our objects, in sentences; nothing on all others.
    pub absent: watch::Receiver<Vec<String>>,
    leader: Option<JoinHandle<()>>,
}

impl Running {
    /// Waits until the lease is released, after the `end` that [`start`] was given; not for long.
    pub async fn ended(self) {
        if let Some(leader) = self.leader {
            // The lease then runs out by itself.
            _ = tokio::time::timeout(Duration::from_secs(6), leader).await;
        }
    }
}

/// Starts all of it. Calls nobody before it returns: an API server that is away holds up nothing.
pub fn start(
    client: &Client,
    settings: Settings,
    metrics: &Arc<Metrics>,
    end: impl Future<Output = ()> + Send + 'static,
) -> prometheus::Result<Running> {
    let namespaces = Namespaces::default();
    let (known, from) = (namespaces.clone(), client.clone());
    persist("namespaces", move || known.clone().follow(from.clone()));
    let (tell_absent, absent) = watch::channel(Vec::new());
    let Some((hosts, policy)) = settings.certificates.clone() else {
        return Ok(Running { namespaces, certificate: None, absent, leader: None });
    };
    let cluster_metrics = metrics.in_cluster()?;
    let wake = watch_certificates(client, &settings.objects);
    let (publish, certificate) = watch::channel(None);
    let follower = Follower {
        secret_name: settings.objects.serving_secret.clone(),
        secret: wake.serving.clone(),
        configuration: wake.configuration.clone(),
        hosts: hosts.clone(),
        metrics: Arc::clone(metrics),
        cluster_metrics: cluster_metrics.clone(),
    };
    persist("certificate", move || follower.clone().run(publish.clone()));

    let (leadership, leader) = stand(candidate(client, &settings), end);
    tokio::spawn(show(leadership.clone(), cluster_metrics));
    let keeper = Arc::new(Keeper::new(client, settings.objects, hosts, policy, wake, tell_absent));
    persist("certificates", move || keep_while_leading(Arc::clone(&keeper), leadership.clone()));
    Ok(Running { namespaces, certificate: Some(certificate), absent, leader: Some(leader) })
}

fn watch_certificates(client: &Client, objects: &Objects) -> Wake {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &objects.namespace);
    Wake {
        configuration: watching::object(configurations, &objects.webhook_configuration),
        serving: watching::object(secrets, &objects.serving_secret),
    }
}

fn candidate(client: &Client, settings: &Settings) -> Candidate {
    Candidate {
        leases: Api::namespaced(client.clone(), &settings.objects.namespace),
        name: settings.objects.lease.clone(),
        identity: format!("{}_{:016x}", settings.name, super::jitter::random()),
        timing: settings.timing,
    }
}

/// Shows in the metrics who leads.
async fn show(mut leadership: Leadership, metrics: ClusterMetrics) {
    loop {
        metrics.leader(false);
        leadership.gained().await;
        metrics.leader(true);
        leadership.lost().await;
    }
}
