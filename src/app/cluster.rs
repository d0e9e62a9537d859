//! The cluster's part in `serve`: the connection at the start, and what is known of the cluster while serving.
//!
//! Invariant: an API server that is away keeps nobody from starting who has a certificate.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::confirm::SelfCall;
use crate::cluster::certificates::plan::Policy;
use crate::cluster::certificates::serving::Current;
use crate::cluster::client::{self, Origin};
use crate::cluster::leader::election::Timing;
use crate::cluster::{self, Objects, Running};
use crate::config::{CertificateSettings, ClusterSettings, Config, Connection};
use crate::health::Promise;
use crate::server::NamespaceLookup;
use crate::shutdown::{Lifecycle, Phase};
use crate::telemetry::metrics::Metrics;
use crate::tls::resolver::Resolver;

/// The first minor version whose every supported kubelet has native sidecars.
const NATIVE_SIDECARS_SINCE: u32 = 32;
/// For the one call that is made at the start; an answer is nice to have.
const VERSION_LIMIT: Duration = Duration::from_secs(3);

/// A client, and what is to be done with it.
pub struct Connected {
    client: Client,
    settings: cluster::Settings,
    pub version: Option<Version>,
}

/// What the API server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Such as `1.36.3`.
    pub text: String,
    minor: u32,
}

impl Version {
    /// From what the API server says, such as `v1.36.3-gke.1`.
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split(['-', '+']).next().unwrap_or_default();
        let minor = text.strip_prefix("1.")?.split('.').next()?.parse().ok()?;
        Some(Self { text: text.to_owned(), minor })
    }

    pub fn has_native_sidecars(&self) -> bool {
        self.minor >= NATIVE_SIDECARS_SINCE
    }
}

/// The connection, where the configuration wants one.
pub async fn connect(config: &Config) -> anyhow::Result<Option<Connected>> {
    let Some(cluster) = &config.cluster else { return Ok(None) };
    let origin = match cluster.connection {
        Connection::Pod => Origin::Pod,
        Connection::Kubeconfig => Origin::Kubeconfig,
    };
    let client = client::connect(origin).await.context("cannot work in a cluster")?;
    let version = version(&client).await;
    let settings = settings(cluster, &config.certificate, client.default_namespace());
    Ok(Some(Connected { client, settings, version }))
}

async fn version(client: &Client) -> Option<Version> {
    let problem = match timeout(VERSION_LIMIT, client.apiserver_version()).await {
        Ok(Ok(info)) => match Version::parse(&info.git_version) {
            Some(version) => return Some(version),
            None => format!("it says {:?}, expected a version such as \"v1.36.3\"", info.git_version),
        },
        Ok(Err(error)) => cluster::explain(&error),
        Err(_) => "it does not answer in time".to_owned(),
    };
    tracing::warn!(problem, "the API server does not tell its version; it is taken for a new one");
    None
}

fn settings(
    cluster: &ClusterSettings,
    certificate: &CertificateSettings,
    default_namespace: &str,
) -> cluster::Settings {
    let namespace = cluster.namespace.as_ref().map_or(default_namespace, |namespace| namespace.as_str()).to_owned();
    let certificates = match certificate {
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
    cluster::Settings { objects, name: cluster.name.clone(), timing: Timing::default(), certificates }
}

impl Connected {
    /// Begins everything that runs beside the requests. The lease is given up when the process begins to end.
    pub fn start(self, metrics: &Arc<Metrics>, mut lifecycle: Lifecycle) -> anyhow::Result<Running> {
        tracing::info!(
            version = self.version.map(|version| version.text),
            namespace = self.settings.objects.namespace,
            "working in a cluster"
        );
        let end = async move { lifecycle.reached(Phase::Draining).await };
        cluster::start(&self.client, self.settings, metrics, end).context("cannot register the cluster's metrics")
    }
}

/// What requests are told of namespaces.
pub fn namespaces(running: Option<&Running>) -> NamespaceLookup {
    match running.map(|running| running.namespaces.clone()) {
        Some(namespaces) => Arc::new(move |name| namespaces.get(name)),
        // Without a cluster nothing is known of any namespace.
        None => Arc::new(|_| None),
    }
}

/// The certificate that the cluster gives.
pub struct Given {
    pub resolver: Arc<Resolver>,
    /// Told of each certificate, the first one included.
    replaced: Arc<Notify>,
    promise: Promise,
}

impl Given {
    /// From here on nobody is ready before there is a certificate.
    pub fn new(promise: Promise) -> Self {
        Self { resolver: Arc::new(Resolver::default()), replaced: Arc::default(), promise }
    }

    /// Takes over every certificate that comes, and calls ourselves from the first one on.
    pub fn serve(self, current: Current, self_call: SelfCall) {
        let replaced = Arc::clone(&self.replaced);
        tokio::spawn(async move {
            replaced.notified().await;
            self_call.run(replaced, None).await;
        });
        tokio::spawn(self.follow(current));
    }

    async fn follow(self, mut current: Current) {
        let mut promise = Some(self.promise);
        loop {
            let pair = current.borrow_and_update().clone();
            if let Some(pair) = pair {
                self.resolver.replace(Arc::clone(&pair.key));
                promise = None;
                self.replaced.notify_one();
            }
            if current.changed().await.is_err() {
                // While it is outstanding, nobody may take us for ready.
                return std::mem::forget(promise);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_api_servers_say_them() {
        let cases = [
            ("v1.36.3", Some(("1.36.3", true))),
            ("v1.32.0-gke.100", Some(("1.32.0", true))),
            ("v1.31.9+k3s1", Some(("1.31.9", false))),
            ("1.30.1", Some(("1.30.1", false))),
            ("v2.0.0", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let version = Version::parse(text);
            let found = version.as_ref().map(|version| (version.text.as_str(), version.has_native_sidecars()));
            assert_eq!(found, expected, "{text}");
        }
    }
}
