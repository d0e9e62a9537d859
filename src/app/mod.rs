//! The composition root of `serve`: connects the adapters, which do not know each other.
//!
//! The order is configuration, log, templates, certificate, sockets. A failure at the start stops
//! it before the next step, with one line that names the problem and its location and no line
//! before it; after the start no error is fatal.

mod certificate;
mod clients;
mod cluster;
mod dev;
mod memory;
mod readiness_details;
mod self_test;
mod templates;
mod version;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};

use self::certificate::CertificateFiles;
use self::clients::ClientAuthorities;
use self::cluster::{ClusterCertificate, ClusterConnection};
use self::readiness_details::ReadinessDetails;
use self::self_test::SelfTest;
use self::templates::{ObjectFreshness, Templates};
use self::version::ServerVersion;
use crate::cluster::BackgroundTasks;
use crate::cluster::certificates::serving_secret::CurrentCertificate;
use crate::cluster::templates::Wakeup;
use crate::config::{
    CertificateSettings, ClientSettings, Config, ConfigProblems, MissingDefaultsAction, OtlpEndpoint, SettingsArgs,
};
use crate::inject::{MissingDefaults, NativeSidecars, Settings};
use crate::process::health::Readiness;
use crate::process::processor_time;
use crate::process::shutdown::{self, Hangups, Signals};
use crate::reload::watch;
use crate::server::{Admin, BindError, BoundServer, Freshness, Limits, Listener, Server, Snapshot, Webhook};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{logging, traces};
use crate::tls::resolver::Resolver;
use crate::tls::{self, CertificateSource, HandshakePolicy};

/// Runs `outrigger serve` until the process ends.
pub(crate) fn serve(args: &SettingsArgs) -> anyhow::Result<()> {
    let config = Config::resolve(args, environment)?;
    memory::configure_allocator();
    let metrics = Arc::new(Metrics::new()?);
    let _log = logging::init(config.log_format, &config.log_filter, metrics.log_lines_dropped().clone())
        .context("cannot start the log")?;
    let endpoint = config.otlp_endpoint.as_ref().map(OtlpEndpoint::as_str);
    let _traces = endpoint.map(|url| traces::init(url, metrics.trace_spans_lost().clone())).transpose()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    // Before anything is loaded: from here on a SIGHUP requests a reload and does not end the
    // process.
    let hangups = runtime.block_on(async { Hangups::listen() }).context("cannot listen for signals")?;
    let connection = runtime.block_on(cluster::connect(&config))?;
    let prepared = PreparedServer::prepare(&config, metrics, connection)?;
    let result = runtime.block_on(prepared.run(&config, hangups));
    // No caller waits for a review that is still running after its deadline.
    runtime.shutdown_background();
    result
}

/// The configuration with which `outrigger serve` would start, in the file format, and the problems
/// because of which it would not.
pub(crate) fn print_config(args: &SettingsArgs) -> (String, Result<(), ConfigProblems>) {
    Config::print(args, environment)
}

/// Text that is not Unicode becomes an invalid value, so that it causes an error instead of being
/// ignored.
fn environment(variable: &str) -> Option<String> {
    Some(std::env::var_os(variable)?.to_string_lossy().into_owned())
}

/// Everything that is loaded before the first socket opens.
struct PreparedServer {
    readiness: Readiness,
    metrics: Arc<Metrics>,
    details: ReadinessDetails,
    templates: Templates,
    certificate: CertificateProvider,
    clients: Option<ClientAuthorities>,
    connection: Option<ClusterConnection>,
    /// The templates of the cluster, once it is connected.
    objects: Option<FollowedObjects>,
}

/// The template objects of the cluster.
struct FollowedObjects {
    /// Wakes the templates when an object changes.
    wakeup: Wakeup,
    freshness: ObjectFreshness,
}

/// The source of the serving certificate.
enum CertificateProvider {
    Watched(Box<CertificateFiles>),
    Cluster(ClusterCertificate),
}

impl CertificateProvider {
    fn resolver(&self) -> Arc<Resolver> {
        match self {
            Self::Watched(certificate) => certificate.resolver(),
            Self::Cluster(certificate) => Arc::clone(&certificate.resolver),
        }
    }
}

impl PreparedServer {
    fn prepare(config: &Config, metrics: Arc<Metrics>, connection: Option<ClusterConnection>) -> anyhow::Result<Self> {
        let (readiness, details) = (Readiness::default(), ReadinessDetails::default());
        let (templates_promise, certificate_promise) =
            (readiness.promise("templates"), readiness.promise("certificate"));

        let settings = settings(config, connection.as_ref().and_then(|connection| connection.version.as_ref()));
        let templates = Templates::load(config, settings, Arc::clone(&metrics), details.clone())?;
        drop(templates_promise);

        let clients = clients(config, details.clone())?;
        let certificate = match certificate_source(config) {
            Some(source) => {
                let certificate = CertificateFiles::load(source, Arc::clone(&metrics), details.clone())?;
                drop(certificate_promise);
                CertificateProvider::Watched(Box::new(certificate))
            }
            None => CertificateProvider::Cluster(ClusterCertificate::new(certificate_promise)),
        };

        let objects = None;
        Ok(Self { readiness, metrics, details, templates, certificate, clients, connection, objects })
    }

    async fn run(mut self, config: &Config, hangups: Hangups) -> anyhow::Result<()> {
        let signals = Signals::listen(&hangups).context("cannot listen for signals")?;
        let server = bind(config).await?;
        let (webhook_address, admin_address) = (server.webhook_address()?, server.admin_address()?);
        self.templates.log();
        tracing::info!(webhook = %webhook_address, admin = %admin_address, "listening");
        if let Some(endpoint) = &config.otlp_endpoint {
            tracing::info!(%endpoint, "sending traces");
        }

        let (shutdown, lifecycle) = shutdown::lifecycle();
        let background = match self.connection.take() {
            Some(connection) => {
                let (config, changed) = (config.clone(), self.templates.settings_changed());
                // During shutdown the receiver may be gone.
                let upgraded = move |version: &ServerVersion| _ = changed.send(settings(&config, Some(version)));
                let mut background = connection.start(&self.metrics, lifecycle.clone(), upgraded)?;
                if let Some(feed) = background.templates.take() {
                    let wakeup = feed.wakeup.clone();
                    let freshness = self.templates.follow_objects(feed, self.readiness.promise("template objects"));
                    self.objects = Some(FollowedObjects { wakeup, freshness });
                }
                let promise = self.readiness.promise("namespaces");
                tokio::spawn(cluster::wait_for_namespaces(background.namespaces.clone(), promise));
                tokio::spawn(cluster::report_missing_objects(background.missing.clone(), self.details.clone()));
                Some(background)
            }
            None => {
                log_mode(native_sidecars(config, None));
                None
            }
        };
        tokio::spawn(signals.conduct(shutdown, config.shutdown_delay));
        let clients = self.clients.as_ref().map(ClientAuthorities::check);
        let policy = HandshakePolicy { oldest: config.tls_min_version, clients };
        let tls = tls::server_config(self.certificate.resolver(), &policy).context("cannot set up TLS")?;
        let (webhook, admin) = self.services(config, background.as_ref());
        let announcement = dev::announcement(config, webhook_address)?;
        let self_test = SelfTest::new(webhook_address, self.certificate.resolver(), self.readiness.clone());
        let current = background.as_ref().and_then(|background| background.certificate.clone());
        self.watch(self_test, announcement, current, hangups)?;
        server.run(tls, webhook, admin, lifecycle).await;
        if let Some(background) = background {
            background.lease_released().await;
        }
        tracing::info!("ended");
        Ok(())
    }

    /// Starts watching for changes, and reloads at once on SIGHUP. `current` is the certificate
    /// from the cluster.
    fn watch(
        self,
        self_test: SelfTest,
        announcement: Option<String>,
        current: Option<CurrentCertificate>,
        hangups: Hangups,
    ) -> anyhow::Result<()> {
        let templates = watch::spawn("templates", self.templates).context("cannot start a thread")?;
        if let Some(objects) = self.objects {
            let woken = templates.clone();
            objects.wakeup.set(move || woken.wake());
        }
        let mut triggers = vec![templates];
        match self.certificate {
            CertificateProvider::Watched(mut certificate) => {
                certificate.warn_of_expiry();
                tokio::spawn(self_test.run(certificate.replaced(), announcement));
                triggers.push(watch::spawn("certificate", *certificate).context("cannot start a thread")?);
            }
            CertificateProvider::Cluster(certificate) => {
                certificate
                    .serve(current.context("certificates come from a cluster, and none is connected")?, self_test);
            }
        }
        if let Some(clients) = self.clients {
            triggers.push(watch::spawn("clients", clients).context("cannot start a thread")?);
        }
        tokio::spawn(hangups.conduct(move || triggers.iter().for_each(watch::Trigger::pull)));
        Ok(())
    }

    fn services(&self, config: &Config, background: Option<&BackgroundTasks>) -> (Webhook, Admin) {
        let (store, details) = (self.templates.store(), self.details.clone());
        let snapshot: Snapshot = Arc::new(move || store.current());
        let webhook = Webhook {
            snapshot: Arc::clone(&snapshot),
            namespaces: cluster::namespaces(background),
            metrics: Arc::clone(&self.metrics),
            advice: config.advice,
            notify: cluster::notify(background),
            freshness: self.objects.as_ref().map(|objects| {
                let freshness = objects.freshness.clone();
                Freshness::new(move || freshness.is_behind(), self.templates.replaced())
            }),
        };
        let admin = Admin {
            readiness: self.readiness.clone(),
            metrics: Arc::clone(&self.metrics),
            snapshot,
            details: Arc::new(move || details.all()),
        };
        (webhook, admin)
    }
}

/// The operator's settings for the engine.
fn settings(config: &Config, version: Option<&ServerVersion>) -> Settings {
    Settings {
        native_sidecars: native_sidecars(config, version),
        cluster_version: version.map_or_else(|| Settings::default().cluster_version, |version| version.text.clone()),
        excluded_namespaces: config.excluded_namespaces.iter().map(ToString::to_string).collect(),
        missing_defaults: match config.namespace_defaults_missing {
            MissingDefaultsAction::Skip => MissingDefaults::Skip,
            MissingDefaultsAction::Reject => MissingDefaults::Reject,
        },
        domain: config.domain.to_string(),
        clock: Some(processor_time::milliseconds),
    }
}

fn native_sidecars(config: &Config, version: Option<&ServerVersion>) -> NativeSidecars {
    use crate::config::NativeSidecarsMode as Mode;
    match config.native_sidecars {
        // Every supported Kubernetes version has them.
        Mode::Auto => version.map_or(NativeSidecars::Supported, ServerVersion::native_sidecars),
        Mode::Always => NativeSidecars::Supported,
        Mode::Never => NativeSidecars::Unsupported,
    }
}

fn log_mode(native_sidecars: NativeSidecars) {
    tracing::info!(
        native_sidecars = native_sidecars == NativeSidecars::Supported,
        "working without a cluster: namespaces are unknown, so their default lists and Automatic templates do not apply"
    );
}

/// `None` if the certificate comes from the cluster.
fn certificate_source(config: &Config) -> Option<CertificateSource> {
    match &config.certificate {
        CertificateSettings::Files { certificate, key } => {
            Some(CertificateSource::Files { certificate: certificate.clone(), key: key.clone() })
        }
        CertificateSettings::Dev { directory, hosts } => Some(CertificateSource::SelfSigned {
            directory: directory.clone(),
            hosts: dev::hosts(hosts, config.listen),
        }),
        CertificateSettings::Cluster(_) => None,
    }
}

fn clients(config: &Config, details: ReadinessDetails) -> anyhow::Result<Option<ClientAuthorities>> {
    let ClientSettings::WithCertificate { authorities, names } = &config.clients else { return Ok(None) };
    let names = names.iter().map(|name| name.clone().into_string()).collect();
    Ok(Some(ClientAuthorities::load(authorities, names, details)?))
}

async fn bind(config: &Config) -> anyhow::Result<BoundServer> {
    let limits = Limits {
        connections: config.max_connections.get(),
        in_flight_bytes: config.in_flight_bytes.bytes(),
        in_flight_large_bytes: config.in_flight_large_bytes.bytes(),
        ..Limits::default()
    };
    let server = Server { webhook: config.listen, admin: config.admin_listen, limits };
    server.bind().await.map_err(|error: BindError| {
        let setting = match error.listener {
            Listener::Webhook => crate::config::settings::LISTEN,
            Listener::Admin => crate::config::settings::ADMIN_LISTEN,
        };
        anyhow!("{error}; choose another address with --{}", setting.flag)
    })
}

/// A path, quoted for a shell if needed.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ':' | ',');
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(shell_word(Path::new(".outrigger/ca.crt")), ".outrigger/ca.crt");
        assert_eq!(shell_word(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
