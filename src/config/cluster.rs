//! The settings for use in a cluster.
//!
//! Invariant: outside a pod, no cluster is used unless the operator enables it.

use std::time::Duration;

use super::reader::SettingsReader;
use super::settings;
use super::values::{CertificateMode, ClusterMode, DnsName, Host};

/// The environment variables that describe the pod in which the program runs, if any.
#[derive(Clone, Debug, Default)]
pub(super) struct PodEnvironment {
    pub in_cluster: bool,
    pub name: Option<String>,
    pub namespace: Option<String>,
}

impl PodEnvironment {
    pub(super) fn of(environment: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            in_cluster: environment("KUBERNETES_SERVICE_HOST").is_some(),
            name: environment("POD_NAME").or_else(|| environment("HOSTNAME")),
            namespace: environment("POD_NAMESPACE"),
        }
    }
}

/// The objects and the connection that the program uses in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// How to reach the API server.
    pub access: ClusterAccess,
    /// Name of the pod, which identifies this replica.
    pub name: String,
    /// Namespace of the Service, the Secrets and the Lease. By default that of the service account
    /// or the kubeconfig.
    pub namespace: Option<DnsName>,
    /// The Service by which API servers call the webhook.
    pub service: DnsName,
    /// The MutatingWebhookConfiguration.
    pub webhook_configuration: DnsName,
    /// The Secret of the certificate authorities.
    pub ca_secret: DnsName,
    /// The Secret of the serving certificate.
    pub serving_secret: DnsName,
    /// The Lease of the leader election.
    pub lease: DnsName,
}

/// The source of the API server's address and credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterAccess {
    /// The environment and the service account of a pod.
    Pod,
    /// `$KUBECONFIG`, or `~/.kube/config`.
    Kubeconfig,
}

/// The settings of certificates that the program issues in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfIssued {
    /// More names, besides the Service's own.
    pub hosts: Vec<Host>,
    /// Lifetime of a serving certificate.
    pub certificate_duration: Duration,
    /// Age at which to replace a certificate, if less than two thirds of its lifetime.
    pub certificate_renewal: Option<Duration>,
    /// Lifetime of a certificate authority.
    pub ca_duration: Duration,
    /// Age at which an authority is replaced; two thirds of its lifetime if absent.
    pub ca_renewal: Option<Duration>,
    /// Time for API servers to see a changed `caBundle`.
    pub ca_propagation: Duration,
}

/// Whether to use a cluster.
pub(super) fn is_enabled(reader: &mut SettingsReader, pod: &PodEnvironment, dev: bool) -> bool {
    match reader.get(&settings::CLUSTER) {
        Some(ClusterMode::On) => true,
        Some(ClusterMode::Auto) => pod.in_cluster && !dev,
        Some(ClusterMode::Off) | None => false,
    }
}

/// Reads all settings before it returns, so that one problem does not hide another.
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

/// Reads the settings of certificates that the program issues in the cluster.
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
    // A CA is replaced after two thirds of its lifetime. The last third must suffice for the last
    // certificate that it signs, and for API servers to trust the next CA.
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

/// The origin of the certificate. By default the program issues certificates in a cluster, unless
/// the operator names files.
pub(super) fn certificate_mode(reader: &mut SettingsReader, in_cluster: bool, dev: bool) -> Option<CertificateMode> {
    let chosen: Option<CertificateMode> = reader.get(&settings::CERTIFICATES);
    let names_files = reader.is_given(&settings::TLS_CERT) || reader.is_given(&settings::TLS_KEY);
    match chosen {
        Some(mode) if dev => {
            reader.add_problem(
                &settings::CERTIFICATES,
                format!("\"{mode}\" cannot be used with --dev, which creates its own certificate"),
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
