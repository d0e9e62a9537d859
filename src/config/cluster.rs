//! The settings of work in a cluster.
//!
//! Invariant: outside of a pod nothing of a cluster is looked for unless the operator says so.

use std::time::Duration;

use super::reader::SettingsReader;
use super::settings;
use super::values::{CertificateMode, ClusterMode, DnsName, Host};

/// What the environment tells of the pod that we may be in.
#[derive(Clone, Debug, Default)]
pub(super) struct PodEnvironment {
    pub in_cluster: bool,
    pub name: Option<String>,
    pub namespace: Option<String>,
}

impl PodEnvironment {
    pub fn of(environment: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            in_cluster: environment("KUBERNETES_SERVICE_HOST").is_some(),
            name: environment("POD_NAME").or_else(|| environment("HOSTNAME")),
            namespace: environment("POD_NAMESPACE"),
        }
    }
}

/// Work in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    pub access: ClusterAccess,
    /// Of the pod; what names us among the replicas.
    pub name: String,
    /// Of our objects; `None` leaves it to the service account or the kubeconfig.
    pub namespace: Option<DnsName>,
    pub service: DnsName,
    pub webhook_configuration: DnsName,
    pub ca_secret: DnsName,
    pub serving_secret: DnsName,
    pub lease: DnsName,
}

/// Where to learn of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterAccess {
    /// The environment and the service account of a pod.
    Pod,
    /// `$KUBECONFIG`, or `~/.kube/config`.
    Kubeconfig,
}

/// Certificates that are made in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfIssued {
    /// Beside the Service's own name.
    pub hosts: Vec<Host>,
    pub certificate_duration: Duration,
    /// Where that is to be sooner than after two thirds of its life.
    pub certificate_renewal: Option<Duration>,
    pub ca_duration: Duration,
    pub ca_renewal: Option<Duration>,
    pub ca_propagation: Duration,
}

/// Whether to work in a cluster at all.
pub(super) fn is_enabled(reader: &mut SettingsReader, pod: &PodEnvironment, dev: bool) -> bool {
    match reader.get(&settings::CLUSTER) {
        Some(ClusterMode::On) => true,
        Some(ClusterMode::Auto) => pod.in_cluster && !dev,
        Some(ClusterMode::Off) | None => false,
    }
}

/// Everything is read before anything is decided, so that one problem hides no other.
pub(super) fn read(reader: &mut SettingsReader, pod: &PodEnvironment) -> Option<ClusterSettings> {
    let namespace: Option<DnsName> = reader.get(&settings::NAMESPACE);
    let service = reader.get(&settings::SERVICE);
    let webhook_configuration = reader.get(&settings::WEBHOOK_CONFIGURATION);
    let ca_secret = reader.get(&settings::CA_SECRET);
    let serving_secret = reader.get(&settings::SERVING_SECRET);
    let lease = reader.get(&settings::LEASE);
    let of_pod = || pod.namespace.as_deref().and_then(DnsName::parse);
    let access = if pod.in_cluster { ClusterAccess::Pod } else { ClusterAccess::Kubeconfig };
    Some(ClusterSettings {
        access,
        name: pod.name.clone().unwrap_or_else(|| "outrigger".to_owned()),
        namespace: namespace.or_else(of_pod),
        service: service?,
        webhook_configuration: webhook_configuration?,
        ca_secret: ca_secret?,
        serving_secret: serving_secret?,
        lease: lease?,
    })
}

/// The settings of certificates that are made in the cluster.
pub(super) fn self_issued(reader: &mut SettingsReader) -> Option<SelfIssued> {
    let hosts = reader.list(&settings::CERTIFICATE_HOSTS);
    let certificate_duration: Option<Duration> = reader.get(&settings::CERTIFICATE_DURATION);
    let certificate_renewal: Option<Duration> = reader.get(&settings::CERTIFICATE_RENEWAL);
    let ca_duration: Option<Duration> = reader.get(&settings::CA_DURATION);
    let ca_renewal: Option<Duration> = reader.get(&settings::CA_RENEWAL);
    let ca_propagation: Option<Duration> = reader.get(&settings::CA_PROPAGATION);
    let (certificate_duration, ca_duration) = (certificate_duration?, ca_duration?);
    let ca_propagation = ca_propagation?;
    if certificate_duration < Duration::from_secs(3) {
        reader.add_problem(
            &settings::CERTIFICATE_DURATION,
            "a certificate must last at least 3s, because its dates are whole seconds",
        );
    }
    // It is replaced after two thirds of its life; the rest has to be enough for a last leaf, and for trust in the next one.
    if ca_duration < 3 * certificate_duration || ca_duration < 6 * ca_propagation {
        reader.add_problem(
            &settings::CA_DURATION,
            "a certificate authority must last at least 3 times as long as a certificate (certificateDuration) and 6 times as long as caPropagation",
        );
    }
    for (setting, renewal) in
        [(&settings::CERTIFICATE_RENEWAL, certificate_renewal), (&settings::CA_RENEWAL, ca_renewal)]
    {
        if renewal.is_some_and(|renewal| renewal < Duration::from_secs(1)) {
            reader.add_problem(setting, "expected at least 1s, because dates of certificates are whole seconds");
        }
    }
    Some(SelfIssued { hosts, certificate_duration, certificate_renewal, ca_duration, ca_renewal, ca_propagation })
}

/// Where certificates come from, as the operator says it; in a cluster they are made by us unless files are named.
pub(super) fn certificate_mode(reader: &mut SettingsReader, in_cluster: bool, dev: bool) -> Option<CertificateMode> {
    let chosen: Option<CertificateMode> = reader.get(&settings::CERTIFICATES);
    let names_files = reader.is_given(&settings::TLS_CERT) || reader.is_given(&settings::TLS_KEY);
    match chosen {
        Some(mode) if dev => {
            reader.add_problem(
                &settings::CERTIFICATES,
                format!("\"{}\" cannot be used with --dev, which creates its own certificate", mode.as_str()),
            );
            None
        }
        Some(CertificateMode::SelfIssued) if !in_cluster => {
            reader.add_problem(
                &settings::CERTIFICATES,
                "\"self\" requires a cluster, which stores the certificates: set --cluster on, or --tls-cert and --tls-key",
            );
            None
        }
        Some(CertificateMode::SelfIssued) if names_files => {
            reader.add_problem(
                &settings::CERTIFICATES,
                "\"self\" cannot be used with --tls-cert and --tls-key: remove them, or set --certificates files",
            );
            None
        }
        Some(mode) => Some(mode),
        None if reader.is_given(&settings::CERTIFICATES) => None,
        None if in_cluster && !names_files && !dev => Some(CertificateMode::SelfIssued),
        None => Some(CertificateMode::Files),
    }
}
