//! The composition root of `serve`: here the adapters meet, which know nothing of each other.
//!
//! In order: configuration, log, templates, certificate, sockets. Whatever can fail at start fails before the next step, with
//! one line that says what and where, and nothing before it; afterwards nothing is fatal.

mod dev;
mod memory;
mod templates;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};

use self::templates::Report;
use crate::config::{CertificateSettings, Config, ServeArgs};
use crate::health::{Promise, Readiness};
use crate::inject::{Injector, NativeSidecars, Settings};
use crate::processor_time;
use crate::server::{Admin, BindError, BoundServer, Limits, Listener, Server, Webhook};
use crate::shutdown::{self, Signals};
use crate::source::store::InjectorStore;
use crate::telemetry::logging;
use crate::telemetry::metrics::{Certificate, Metrics};
use crate::tls::resolver::Resolver;
use crate::tls::self_call::self_call;
use crate::tls::{self, CertificateSource, ServingCertificate};

/// Runs `outrigger serve` to the end of the process.
pub fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    // What is no text becomes one that no setting takes, instead of being passed over.
    let environment = |variable: &str| Some(std::env::var_os(variable)?.to_string_lossy().into_owned());
    let config = Config::resolve(args, environment)?;
    memory::settle();
    logging::init(config.log_format, config.log_level);
    let parts = Parts::prepare(&config)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let result = runtime.block_on(parts.run(&config));
    // Nobody waits for a review that is still being parsed after its time.
    runtime.shutdown_background();
    result
}

/// Everything that is there before the first socket.
struct Parts {
    readiness: Readiness,
    metrics: Arc<Metrics>,
    store: Arc<InjectorStore>,
    report: Report,
    certificate: ServingCertificate,
    resolver: Arc<Resolver>,
}

impl Parts {
    fn prepare(config: &Config) -> anyhow::Result<Self> {
        let readiness = Readiness::default();
        let (of_templates, of_certificate) = (readiness.promise("templates"), readiness.promise("certificate"));
        let metrics = Arc::new(Metrics::new()?);
        let now = SystemTime::now();

        let loaded = templates::load(config)?;
        metrics.templates_loaded(&loaded.templates, now);
        let store = Arc::new(InjectorStore::new(Injector::new(loaded.templates, settings(config))));
        drop(of_templates);

        let certificate = certificate_source(config).load(now)?;
        observe_certificate(&metrics, &certificate);
        let resolver = Arc::new(Resolver::new(Arc::clone(&certificate.key)));
        drop(of_certificate);

        Ok(Self { readiness, metrics, store, report: loaded.report, certificate, resolver })
    }

    async fn run(self, config: &Config) -> anyhow::Result<()> {
        let signals = Signals::listen().context("cannot listen for signals")?;
        let server = bind(config).await?;
        let (webhook_address, admin_address) = (server.webhook_address()?, server.admin_address()?);
        self.report.log();
        log_mode(native_sidecars(config));
        tracing::info!(webhook = %webhook_address, admin = %admin_address, "listening");
        warn_of_expiry(&self.certificate);

        let answers = self.readiness.promise("tls-self-call");
        let announcement = dev::announcement(config, webhook_address)?;
        tokio::spawn(confirm(webhook_address, Arc::clone(&self.resolver), answers, announcement));

        let (shutdown, lifecycle) = shutdown::lifecycle();
        tokio::spawn(signals.conduct(shutdown, config.shutdown_delay));
        let tls =
            tls::server_config(Arc::clone(&self.resolver), config.tls_min_version).context("cannot set up TLS")?;
        let (webhook, admin) = self.into_services();
        server.run(tls, webhook, admin, lifecycle).await;
        tracing::info!("ended");
        Ok(())
    }

    fn into_services(self) -> (Webhook, Admin) {
        let (store, notes) = (self.store, self.report.notes());
        let webhook = Webhook {
            snapshot: Arc::new(move || store.current()),
            // Without a cluster nothing is known of any namespace.
            namespaces: Arc::new(|_| None),
            metrics: Arc::clone(&self.metrics),
        };
        let admin = Admin { readiness: self.readiness, metrics: self.metrics, notes: Arc::new(move || notes.clone()) };
        (webhook, admin)
    }
}

/// What the operator decided, as the engine takes it.
fn settings(config: &Config) -> Settings {
    Settings {
        native_sidecars: native_sidecars(config),
        excluded_namespaces: config.excluded_namespaces.iter().map(ToString::to_string).collect(),
        domain: config.domain.to_string(),
        clock: Some(processor_time::milliseconds),
        ..Settings::default()
    }
}

fn native_sidecars(config: &Config) -> NativeSidecars {
    use crate::config::NativeSidecarsMode as Mode;
    match config.native_sidecars {
        // Every Kubernetes version in support has them.
        Mode::Auto | Mode::Always => NativeSidecars::Supported,
        Mode::Never => NativeSidecars::Unsupported,
    }
}

fn log_mode(native_sidecars: NativeSidecars) {
    tracing::info!(
        native_sidecars = native_sidecars == NativeSidecars::Supported,
        "working without a cluster: namespaces are unknown, so their default lists and Automatic templates do not apply"
    );
}

fn certificate_source(config: &Config) -> CertificateSource {
    match &config.certificate {
        CertificateSettings::Files { certificate, key } => {
            CertificateSource::Files { certificate: certificate.clone(), key: key.clone() }
        }
        CertificateSettings::Dev { directory, hosts } => {
            CertificateSource::SelfSigned { directory: directory.clone(), hosts: dev::hosts(hosts, config.listen) }
        }
    }
}

fn observe_certificate(metrics: &Metrics, certificate: &ServingCertificate) {
    metrics.certificate_expires(Certificate::Serving, certificate.expires);
    if let Some(expires) = certificate.ca_expires {
        metrics.certificate_expires(Certificate::Ca, expires);
    }
}

/// API servers refuse it, but it is the operator's, so it is served.
fn warn_of_expiry(certificate: &ServingCertificate) {
    if certificate.expires <= SystemTime::now() {
        tracing::error!("the certificate has expired; API servers will refuse it");
    }
}

async fn bind(config: &Config) -> anyhow::Result<BoundServer> {
    let limits = Limits {
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

/// Calls ourselves until we answer, then keeps the promise of it and tells the user.
async fn confirm(address: SocketAddr, resolver: Arc<Resolver>, answers: Promise, announcement: Option<String>) {
    while let Err(error) = call_once(address, &resolver).await {
        tracing::warn!(%error, "the webhook does not answer to itself yet");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drop(answers);
    tracing::info!("ready");
    if let Some(text) = announcement {
        // On a thread of its own: standard output may be a pipe that nobody reads.
        std::thread::spawn(move || dev::print(&text));
    }
}

async fn call_once(address: SocketAddr, resolver: &Resolver) -> io::Result<()> {
    let leaf = resolver.leaf().ok_or_else(|| io::Error::other("there is no certificate"))?;
    let limit = Duration::from_secs(5);
    tokio::time::timeout(limit, self_call(address, leaf)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A path as a shell takes it.
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

    #[test]
    fn the_webhook_configuration_names_the_path_that_is_served() {
        assert_eq!(crate::cluster::webhook_configuration::MUTATE_PATH, crate::server::MUTATE_PATH);
    }
}
