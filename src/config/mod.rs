//! The configuration of `serve`: turns flags, environment and file into a [`Config`], or reports
//! **all** problems.
//!
//! This module reads no file but the configuration file. Code that uses a certificate or a
//! directory checks whether it can be read.
//! Invariant: for each setting, a flag takes precedence over the environment, the environment over
//! the file, and the file over the default.

mod args;
mod bytes;
mod cluster;
mod domain;
pub(crate) mod duration;
mod file;
mod from_text;
mod given;
mod layers;
mod otlp;
mod print;
mod problem;
mod reader;
pub mod settings;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use args::{CONFIG_VARIABLE, SettingsArgs};
pub use bytes::ByteSize;
pub use cluster::{ClusterAccess, ClusterSettings, SelfIssued};
pub use domain::Domain;
pub use otlp::OtlpEndpoint;
pub use problem::{ConfigProblem, ConfigProblems, SettingSource};
pub use values::{
    CertificateMode, ClientName, ClusterMode, ConnectionLimit, DnsName, Host, LogFilter, LogFormat, LogLevel,
    MissingDefaultsAction, NativeSidecarsMode, TemplateSource, TlsVersion,
};

use crate::admission::AdviceMode;
use cluster::PodEnvironment;
use layers::Layers;
use reader::SettingsReader;

/// The checked configuration of `serve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address of the webhook (HTTPS).
    pub listen: SocketAddr,
    /// Address of the admin listener (HTTP).
    pub admin_listen: SocketAddr,
    /// The source of the serving certificate.
    pub certificate: CertificateSettings,
    /// Oldest TLS version that clients may use.
    pub tls_min_version: TlsVersion,
    /// Which clients may call the webhook.
    pub clients: ClientSettings,
    /// Most connections of the webhook at a time.
    pub max_connections: ConnectionLimit,
    /// `None` if no cluster is used.
    pub cluster: Option<ClusterSettings>,
    /// Never empty.
    pub templates: Vec<TemplateSource>,
    /// Whether the server refuses to start with a broken template.
    pub strict: bool,
    /// Domain of annotations and labels.
    pub domain: Domain,
    /// Advice about workloads when they are applied.
    pub advice: AdviceMode,
    /// Whether the cluster has native sidecars.
    pub native_sidecars: NativeSidecarsMode,
    /// Namespaces in which nothing is injected.
    pub excluded_namespaces: Vec<DnsName>,
    /// What becomes of a pod whose namespace lists a template by default that cannot be had.
    pub namespace_defaults_missing: MissingDefaultsAction,
    /// Memory for all requests of up to 1 MiB together.
    pub in_flight_bytes: ByteSize,
    /// Memory for all larger requests together.
    pub in_flight_large_bytes: ByteSize,
    /// Time between SIGTERM and the end of serving.
    pub shutdown_delay: Duration,
    /// Format of the log.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_filter: LogFilter,
    /// The collector of traces; without it, there are no traces.
    pub otlp_endpoint: Option<OtlpEndpoint>,
}

/// The clients that may call the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientSettings {
    /// All clients that can reach the port.
    Any,
    /// Clients with a certificate from one of these authorities and, if names are listed, with one
    /// of these names.
    WithCertificate {
        /// File of certificate authorities in PEM.
        authorities: PathBuf,
        /// Empty accepts every client of the authorities.
        names: Vec<ClientName>,
    },
}

/// The origin of the webhook's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSettings {
    /// `--dev`: the program creates the certificate and stores it in a directory.
    Dev {
        /// Where the authority and the certificate are kept.
        directory: PathBuf,
        /// Further host names and addresses.
        hosts: Vec<Host>,
    },
    /// The operator provides the certificate in files.
    Files {
        /// The chain in PEM, the leaf first.
        certificate: PathBuf,
        /// Its private key in PEM.
        key: PathBuf,
    },
    /// The program issues the certificate and stores it in the cluster.
    Cluster(SelfIssued),
}

impl Config {
    /// Combines and checks the layers. `environment` returns the value of a variable.
    pub fn resolve(args: &SettingsArgs, environment: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigProblems> {
        resolve(args, environment).0
    }

    /// The effective configuration as a file, with the source of each value, and the problems because
    /// of which a server would not start with it.
    pub fn print(
        args: &SettingsArgs,
        environment: impl Fn(&str) -> Option<String>,
    ) -> (String, Result<(), ConfigProblems>) {
        let (config, layers) = resolve(args, environment);
        (print::print(&layers), config.map(|_| ()))
    }
}

fn resolve(
    args: &SettingsArgs,
    environment: impl Fn(&str) -> Option<String>,
) -> (Result<Config, ConfigProblems>, Layers) {
    let pod = PodEnvironment::of(&environment);
    let (layers, problems) = Layers::gather(args, environment);
    let mut reader = SettingsReader::new(layers, problems);
    let config = read(&mut reader, &pod);
    let (layers, problems) = reader.into_parts();
    match config {
        Some(config) if problems.is_empty() => (Ok(config), layers),
        _ => (Err(ConfigProblems(problems)), layers),
    }
}

/// Reads every setting before the first `?`, so that one problem does not hide another.
fn read(reader: &mut SettingsReader, pod: &PodEnvironment) -> Option<Config> {
    let dev = reader.get(&settings::DEV);
    let strict = strict(reader, dev == Some(true));
    let listen = reader.get(&settings::LISTEN);
    let admin_listen = reader.get(&settings::ADMIN_LISTEN);
    let in_cluster = cluster::is_enabled(reader, pod, dev == Some(true));
    let cluster = cluster::read(reader, pod);
    let certificate = certificate(reader, dev == Some(true), in_cluster);
    let tls_min_version = reader.get(&settings::TLS_MIN_VERSION);
    let clients = clients(reader);
    let max_connections = reader.get(&settings::MAX_CONNECTIONS);
    let templates = templates(reader);
    let domain = reader.get(&settings::DOMAIN);
    let advice = reader.get(&settings::ADVICE);
    let native_sidecars = reader.get(&settings::NATIVE_SIDECARS);
    let excluded_namespaces = reader.list(&settings::EXCLUDE_NAMESPACES);
    let namespace_defaults_missing = reader.get(&settings::NAMESPACE_DEFAULTS_MISSING);
    let in_flight_bytes = at_least(reader, &settings::IN_FLIGHT_BYTES, LEAST_IN_FLIGHT);
    let in_flight_large_bytes = at_least(reader, &settings::IN_FLIGHT_LARGE_BYTES, LEAST_IN_FLIGHT_LARGE);
    let shutdown_delay = shutdown_delay(reader, dev == Some(true));
    let log_format = log_format(reader, pod.in_cluster);
    let log_filter = reader.get(&settings::LOG_LEVEL);
    let otlp_endpoint = otlp_endpoint(reader);
    Some(Config {
        listen: listen?,
        admin_listen: admin_listen?,
        certificate: certificate?,
        tls_min_version: tls_min_version?,
        clients,
        max_connections: max_connections?,
        cluster: if in_cluster { Some(cluster?) } else { None },
        templates,
        strict: strict?,
        domain: domain?,
        advice: advice?,
        native_sidecars: native_sidecars?,
        excluded_namespaces,
        namespace_defaults_missing: namespace_defaults_missing?,
        in_flight_bytes: in_flight_bytes?,
        in_flight_large_bytes: in_flight_large_bytes?,
        shutdown_delay: shutdown_delay?,
        log_format: log_format?,
        log_filter: log_filter?,
        otlp_endpoint,
    })
}

fn certificate(reader: &mut SettingsReader, dev: bool, in_cluster: bool) -> Option<CertificateSettings> {
    let self_issued = cluster::self_issued(reader);
    let mode = cluster::certificate_mode(reader, in_cluster, dev);
    let directory = reader.get(&settings::DEV_DIR);
    let hosts = reader.list(&settings::DEV_HOST);
    let certificate = reader.get(&settings::TLS_CERT);
    let key = reader.get(&settings::TLS_KEY);
    if mode? == CertificateMode::SelfIssued {
        return self_issued.map(CertificateSettings::Cluster);
    }
    match (dev, certificate, key) {
        (true, None, None) => Some(CertificateSettings::Dev { directory: directory?, hosts }),
        (true, ..) => {
            let setting = if reader.is_given(&settings::TLS_CERT) { &settings::TLS_CERT } else { &settings::TLS_KEY };
            reader.add_problem(setting, "cannot be used with --dev, which creates its own certificate");
            None
        }
        (false, Some(certificate), Some(key)) => Some(CertificateSettings::Files { certificate, key }),
        (false, Some(_), None) => {
            reader.report_missing(&settings::TLS_CERT, "a certificate requires its key: set --tls-key too");
            None
        }
        (false, None, Some(_)) => {
            reader.report_missing(&settings::TLS_KEY, "a key requires its certificate: set --tls-cert too");
            None
        }
        (false, None, None) => {
            reader.report_missing(
                &settings::TLS_CERT,
                "no certificate is set: set --tls-cert and --tls-key, or use --dev, which creates one",
            );
            None
        }
    }
}

fn clients(reader: &mut SettingsReader) -> ClientSettings {
    let authorities = reader.get(&settings::CLIENT_CA);
    let names: Vec<ClientName> = reader.list(&settings::CLIENT_NAME);
    match authorities {
        Some(authorities) => ClientSettings::WithCertificate { authorities, names },
        None => {
            if !names.is_empty() {
                reader.add_problem(
                    &settings::CLIENT_NAME,
                    "clientName requires a certificate authority: set --client-ca (clientCa) too",
                );
            }
            ClientSettings::Any
        }
    }
}

/// The sources of templates. An empty list is an error: without a template there is nothing to
/// serve.
fn templates(reader: &mut SettingsReader) -> Vec<TemplateSource> {
    let is_empty = reader.values(&settings::TEMPLATES).is_empty();
    if is_empty {
        reader.add_problem(&settings::TEMPLATES, "templates: the list is empty; expected directories, or built-in");
    }
    reader.list(&settings::TEMPLATES)
}

/// With less memory, the largest requests could never be accepted.
const LEAST_IN_FLIGHT: ByteSize = ByteSize::mebibytes(2);
const LEAST_IN_FLIGHT_LARGE: ByteSize = ByteSize::mebibytes(10);

fn at_least(reader: &mut SettingsReader, setting: &settings::Setting, least: ByteSize) -> Option<ByteSize> {
    let size: ByteSize = reader.get(setting)?;
    if size < least {
        reader.add_problem(setting, format!("{:?}: expected at least {:?}", size.to_string(), least.to_string()));
        return None;
    }
    Some(size)
}

/// Under `--dev` the default is true: an author of templates wants to see every error.
fn strict(reader: &mut SettingsReader, dev: bool) -> Option<bool> {
    if dev && !reader.is_given(&settings::STRICT) {
        return Some(true);
    }
    reader.get(&settings::STRICT)
}

/// Under `--dev` the default is zero, so that Ctrl-C ends the program at once.
fn shutdown_delay(reader: &mut SettingsReader, dev: bool) -> Option<Duration> {
    if dev && !reader.is_given(&settings::SHUTDOWN_DELAY) {
        return Some(Duration::ZERO);
    }
    reader.get(&settings::SHUTDOWN_DELAY)
}

/// In a cluster the default is JSON for log collectors, elsewhere text for people.
fn log_format(reader: &mut SettingsReader, in_cluster: bool) -> Option<LogFormat> {
    let chosen: values::LogFormatChoice = reader.get(&settings::LOG_FORMAT)?;
    Some(chosen.resolve(in_cluster))
}

fn otlp_endpoint(reader: &mut SettingsReader) -> Option<OtlpEndpoint> {
    let endpoint = reader.get(&settings::OTLP_ENDPOINT);
    if endpoint.is_some() && !cfg!(feature = "otel") {
        reader.add_problem(
            &settings::OTLP_ENDPOINT,
            "this build cannot send traces: it was built without the feature otel",
        );
    }
    endpoint
}
