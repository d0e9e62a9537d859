//! The program under test: `outrigger serve`, started like a user would, and registered with the
//! output of `outrigger generate webhook`.
//!
//! The generated configuration is changed in two fields only, so that several servers can coexist:
//! its name, and one more label in its namespace selectors.
//!
//! Invariant: after [`Outrigger::register`] returns, the API server calls the server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, WEBHOOK_LABEL, names, pod, shared};
use crate::process::{Process, eventually};
use crate::registration;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_outrigger");
/// Templates of the tests.
pub const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apiserver/templates");

/// The kernel chooses the ports; [`addresses`] reads them from the log.
pub const ANY_PORTS: [&str; 2] = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];

const LIMIT: Duration = Duration::from_secs(30);

/// A running server.
pub struct Outrigger {
    process: Process,
    directory: PathBuf,
    address: SocketAddr,
    admin: SocketAddr,
}

/// `serve --dev` without further options: the built-in templates. Covers the namespaces labelled
/// `built-in`.
pub fn built_in() -> &'static Outrigger {
    static SERVER: OnceLock<Outrigger> = OnceLock::new();
    SERVER.get_or_init(|| Outrigger::start_shared("built-in", &[], "log-collector"))
}

/// The templates of `tests/apiserver/templates`. Covers the namespaces labelled `custom`.
pub fn custom() -> &'static Outrigger {
    static SERVER: OnceLock<Outrigger> = OnceLock::new();
    SERVER.get_or_init(|| Outrigger::start_shared("custom", &["--templates", TEMPLATES], "agent"))
}

/// Runs a test in a namespace that [`built_in`] covers.
pub fn with_built_in(name: &str, test: impl FnOnce(&Namespace, &Outrigger)) {
    crate::cluster::in_namespace(name, "built-in", |namespace| test(namespace, built_in()));
}

/// Runs a test in a namespace that [`custom`] covers.
pub fn with_custom(name: &str, test: impl FnOnce(&Namespace, &Outrigger)) {
    crate::cluster::in_namespace(name, "custom", |namespace| test(namespace, custom()));
}

impl Outrigger {
    /// Starts a server that knows no cluster, and returns when it is ready.
    pub fn start(cluster: &Cluster, name: &str, arguments: &[&str]) -> Self {
        Self::start_with(cluster, name, "off", arguments)
    }

    /// Starts a server that knows the namespaces of the cluster, and returns when it is ready.
    pub fn start_in_cluster(cluster: &Cluster, name: &str, arguments: &[&str]) -> Self {
        Self::start_with(cluster, name, "on", arguments)
    }

    fn start_with(cluster: &Cluster, name: &str, mode: &str, arguments: &[&str]) -> Self {
        let janitor = &cluster.control_plane.janitor;
        let directory = janitor.directory().join(format!("outrigger-{name}"));
        let mut serve = Command::new(PROGRAM);
        serve.args(["serve", "--dev", "--cluster", mode, "--log-format", "json", "--dev-dir"]).arg(&directory);
        serve.env("KUBECONFIG", &cluster.control_plane.kubeconfig);
        let process = janitor.spawn(&format!("outrigger-{name}"), serve.args(ANY_PORTS).args(arguments));
        let [address, admin] = addresses(&process);
        let server = Self { process, directory, address, admin };
        server
            .process
            .wait_until(LIMIT, || server.admin("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")));
        server
    }

    fn start_shared(name: &str, arguments: &[&str], template: &str) -> Self {
        let cluster = shared();
        let server = Self::start(cluster, name, arguments);
        server.register(&cluster.namespace(&format!("{name}-probe"), name), name, template, |_| {});
        server
    }

    /// The MutatingWebhookConfiguration of `outrigger generate webhook` for this server.
    pub fn configuration(&self) -> Value {
        self.configurations()[0].clone()
    }

    /// Both configurations: the mutating and the validating one.
    pub fn configurations(&self) -> [Value; 2] {
        configurations(&format!("https://{}/mutate", self.address), &self.directory)
    }

    /// The addresses of the webhook and of the admin listener.
    pub fn addresses(&self) -> [SocketAddr; 2] {
        [self.address, self.admin]
    }

    /// Like [`register`], for this server.
    pub fn register(&self, probe: &Namespace, label: &str, template: &str, edit: impl Fn(&mut Value)) {
        register(&self.configuration(), probe, label, template, edit);
    }

    /// Log lines about decisions in this namespace.
    pub fn decisions_in(&self, namespace: &str) -> Vec<Value> {
        let lines = self.complete_log();
        let records = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.filter(|record| record["namespace"] == namespace).collect()
    }

    /// The log once it has a line for each counted request; lines are written a few milliseconds
    /// later.
    fn complete_log(&self) -> String {
        let metrics = self.admin("/metrics").expect("the admin listener answers");
        let samples = metrics.lines().filter(|line| line.starts_with("outrigger_admission_requests_total{"));
        let counted: usize = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).sum();
        eventually("the lines of all requests", LIMIT, || {
            let log = self.process.log();
            (log.matches("\"message\":\"decision\"").count() >= counted).then_some(log)
        })
    }

    /// Kills the server without a shutdown, like a lost node.
    pub fn kill(&self) {
        self.process.kill();
        eventually("the port is closed", LIMIT, || TcpStream::connect(self.address).err());
    }

    /// Sends a review of a new pod directly to the server; returns the patch.
    pub fn review(&self, namespace: &Namespace, pod: &Value) -> Value {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "CREATE", "namespace": namespace.name, "dryRun": true,
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "name": pod["metadata"]["name"], "object": pod,
            },
        });
        let answer = self.answer(namespace.cluster, review.to_string().into_bytes());
        let patch = answer["response"]["patch"].as_str().map(str::to_owned).expect("a patch");
        let patch = BASE64.decode(patch).expect("the patch is base64");
        serde_json::from_slice(&patch).expect("the patch is JSON")
    }

    /// Sends a review directly to the server; returns the response.
    pub fn answer(&self, cluster: &Cluster, review: Vec<u8>) -> Value {
        let client = cluster.client_of(&format!("https://{}", self.address), &self.ca_file());
        cluster.send_with(&client, "POST", "/mutate", "application/json", review).expect_success()
    }

    /// The output of `/metrics`.
    pub fn metrics(&self) -> String {
        self.admin("/metrics").expect("the admin listener answers")
    }

    fn ca_file(&self) -> PathBuf {
        certificate_authority(&self.directory)
    }

    fn admin(&self, path: &str) -> Option<String> {
        admin_response(self.admin, path)
    }
}

/// The addresses of the webhook and of the admin listener of a server with [`ANY_PORTS`] and a JSON log. Waits until
/// it listens.
pub fn addresses(process: &Process) -> [SocketAddr; 2] {
    process.wait_until(LIMIT, || listening(&process.log()).is_some());
    listening(&process.log()).expect("a log only grows")
}

fn listening(log: &str) -> Option<[SocketAddr; 2]> {
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.find(|line| line["message"] == "listening")?;
    let address = |listener: &str| line[listener].as_str()?.parse().ok();
    Some([address("webhook")?, address("admin")?])
}

/// The full response of the admin listener, including its head.
pub fn admin_response(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The output of `outrigger generate webhook` for a server at this URL with its certificates in
/// this directory: the mutating configuration, and the validating one.
pub fn configurations(url: &str, directory: &Path) -> [Value; 2] {
    let output = Command::new(PROGRAM)
        .args(["generate", "webhook", "--url", url, "--ca-file"])
        .arg(certificate_authority(directory))
        .output()
        .expect("outrigger starts");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "generate webhook: {}: {errors}", output.status);
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
        .unwrap_or_else(|error| panic!("generate webhook prints no YAML: {error}\n{text}"));
    documents.try_into().expect("two configurations")
}

/// Registers a configuration for the namespaces with this label, changed by `edit`, and waits until
/// a pod that requests the template is injected.
pub fn register(configuration: &Value, probe: &Namespace, label: &str, template: &str, edit: impl Fn(&mut Value)) {
    register_as(configuration, probe, label, edit);
    let asking = pod("probe", &json!({"outrigger.dev/inject": template}));
    eventually("the API server calls Outrigger", LIMIT, || {
        let injected = probe.would_accept(&asking);
        (names(&injected, "/spec/initContainers").len() + names(&injected, "/spec/containers").len() > 1).then_some(())
    });
}

/// Creates the configuration for the namespaces with this label, changed by `edit`, without
/// waiting.
pub fn register_as(configuration: &Value, probe: &Namespace, label: &str, edit: impl Fn(&mut Value)) {
    let mut configuration = configuration.clone();
    configuration["metadata"]["name"] = json!(format!("outrigger-{label}"));
    for webhook in configuration["webhooks"].as_array_mut().expect("a list of webhooks") {
        restrict(webhook, label);
        edit(webhook);
    }
    registration::create(probe.cluster, &configuration);
}

fn certificate_authority(directory: &Path) -> PathBuf {
    directory.join("ca.crt")
}

fn restrict(webhook: &mut Value, label: &str) {
    let expression = json!({"key": WEBHOOK_LABEL, "operator": "In", "values": [label]});
    let expressions = &mut webhook["namespaceSelector"]["matchExpressions"];
    match expressions.as_array_mut() {
        Some(expressions) => expressions.push(expression),
        None => *expressions = json!([expression]),
    }
}
