//! The server in the test process, on free ports, assembled from the same parts as the program.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::SystemTime;

use outrigger::admission::AdviceMode;
use outrigger::config::TlsVersion;
use outrigger::inject::{Injector, Loaded, Namespace, Settings, SourceText, TemplateSet};
use outrigger::process::health::{Promise, Readiness};
use outrigger::process::shutdown;
use outrigger::process::shutdown::{Phase, Shutdown};
use outrigger::server::{Admin, Limits, OwnerNotifier, Server, Snapshot, Webhook};
use outrigger::telemetry::metrics::Metrics;
use outrigger::tls::client_auth::ClientCheck;
use outrigger::tls::resolver::Resolver;
use outrigger::tls::{self, CertificateSource, HandshakePolicy};
use rustls::ClientConfig;
use tempfile::TempDir;

use super::client::{self, Client, Response};
use super::eventually;

/// Options of a [`TestServer`].
pub struct ServerBuilder {
    templates: Vec<SourceText>,
    settings: Settings,
    injector: Option<Injector>,
    namespaces: Vec<Namespace>,
    limits: Limits,
    policy: HandshakePolicy,
    advice: AdviceMode,
    notify: Option<OwnerNotifier>,
}

/// A running server; it shuts down when the value is dropped.
pub struct TestServer {
    pub webhook: SocketAddr,
    pub admin: SocketAddr,
    pub ca_pem: Vec<u8>,
    client: Arc<ClientConfig>,
    /// Keeps the server unready until the value is taken and dropped.
    pub unready: Option<Promise>,
    shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            templates: Vec::new(),
            settings: Settings::default(),
            injector: None,
            namespaces: Vec::new(),
            limits: Limits::default(),
            policy: HandshakePolicy { oldest: TlsVersion::V1_3, clients: None },
            advice: AdviceMode::Warn,
            notify: None,
        }
    }
}

impl ServerBuilder {
    pub fn template(mut self, text: SourceText) -> Self {
        self.templates.push(text);
        self
    }

    pub fn templates(mut self, texts: impl IntoIterator<Item = SourceText>) -> Self {
        self.templates.extend(texts);
        self
    }

    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Serves this injector and ignores the templates and settings; it may have broken templates.
    pub fn injector(mut self, injector: Injector) -> Self {
        self.injector = Some(injector);
        self
    }

    /// Adds a namespace that the server knows.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespaces.push(namespace);
        self
    }

    pub fn advice(mut self, mode: AdviceMode) -> Self {
        self.advice = mode;
        self
    }

    /// Passes notices for owners of pods to this function.
    pub fn notify(mut self, notify: OwnerNotifier) -> Self {
        self.notify = Some(notify);
        self
    }

    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub fn oldest_tls(mut self, version: TlsVersion) -> Self {
        self.policy.oldest = version;
        self
    }

    /// Accepts only clients that pass this check.
    pub fn clients(mut self, check: Arc<ClientCheck>) -> Self {
        self.policy.clients = Some(check);
        self
    }

    pub fn start(self) -> TestServer {
        // Without templates there is nothing to load.
        let templates = if self.templates.is_empty() { TemplateSet::default() } else { load(&self.templates) };
        let injector = Arc::new(self.injector.unwrap_or_else(|| Injector::new(templates, self.settings)));
        let namespaces: Vec<Arc<Namespace>> = self.namespaces.into_iter().map(Arc::new).collect();
        let directory = tempfile::tempdir().expect("a directory");
        let source = CertificateSource::SelfSigned {
            directory: directory.path().to_owned(),
            hosts: vec!["localhost".to_owned()],
        };
        let certificate = source.load(SystemTime::now()).expect("a certificate");
        let ca_pem = std::fs::read(directory.path().join(tls::self_signed::CA_CERTIFICATE)).expect("an authority");
        let tls = tls::server_config(Arc::new(Resolver::new(certificate.key)), &self.policy).expect("TLS");

        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let readiness = Readiness::default();
        let unready = readiness.promise("test");
        let snapshot: Snapshot = Arc::new(move || Arc::clone(&injector));
        let webhook = Webhook {
            snapshot: Arc::clone(&snapshot),
            namespaces: Arc::new(move |name| namespaces.iter().find(|namespace| namespace.name == name).cloned()),
            metrics: Arc::clone(&metrics),
            advice: self.advice,
            notify: self.notify,
            freshness: None,
        };
        let admin = Admin { readiness, metrics, snapshot, details: Arc::new(|| vec!["a note".to_owned()]) };
        let (shutdown, lifecycle) = shutdown::lifecycle();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server { webhook: any, admin: any, limits: self.limits };
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let server = server.bind().await.expect("free ports");
                let addresses = (server.webhook_address().expect("bound"), server.admin_address().expect("bound"));
                sender.send(addresses).expect("the test waits");
                server.run(tls, webhook, admin, lifecycle).await;
            });
            runtime.shutdown_background();
        });
        let (webhook, admin) = receiver.recv().expect("the server is bound");
        let client = Arc::new(client::client_config(&ca_pem));
        TestServer {
            webhook,
            admin,
            ca_pem,
            client,
            unready: Some(unready),
            shutdown,
            thread: Some(thread),
            _directory: directory,
        }
    }
}

fn load(texts: &[SourceText]) -> TemplateSet {
    let Loaded { templates, problems, .. } = TemplateSet::load(texts);
    assert!(problems.is_empty(), "{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    templates
}

impl TestServer {
    /// A server with these templates and the defaults of everything else.
    pub fn start(templates: impl IntoIterator<Item = SourceText>) -> Self {
        ServerBuilder::default().templates(templates).start()
    }

    /// The authority that a client must trust.
    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }

    /// The value of a metric, with its labels as written in the output.
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("{name} is missing in\n{metrics}"))
    }

    /// Waits until all connections and requests have ended.
    pub fn expect_nothing_left(&self) {
        let open = "outrigger_connections";
        eventually("the end of all connections", || self.metric(open) == 0);
        assert_eq!(self.metric("outrigger_admission_in_flight"), 0);
    }

    /// A new connection to the webhook.
    pub fn connect(&self) -> Client {
        Client::connect(self.webhook, Arc::clone(&self.client)).expect("a TLS connection")
    }

    /// A new connection to the admin listener.
    pub fn connect_admin(&self) -> Client {
        Client::connect_plain(self.admin).expect("a connection")
    }

    /// Posts a review over a new connection.
    pub fn post(&self, body: &[u8]) -> Response {
        self.connect().post(body)
    }

    pub fn metrics(&self) -> String {
        self.connect_admin().get("/metrics").text()
    }

    pub fn advance(&self, phase: Phase) {
        self.shutdown.advance(phase);
    }

    /// Whether the server has ended without being asked to.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.advance(Phase::Closing);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            // A second panic would hide the first.
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}
