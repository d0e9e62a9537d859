//! Replicas of the program as in a cluster: with the rights of the manifests, behind one address,
//! with certificates that they create themselves; and clients that create pods continuously.
//!
//! Invariant: a replica gets no requests before it is ready.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::balancer::Balancer;
use crate::cluster::{Cluster, Namespace, WEBHOOK_LABEL, names, pod, request};
use crate::installation::Installation;
use crate::outrigger::{ANY_PORTS, PROGRAM, TEMPLATES, addresses, admin_response};
use crate::process::{Process, eventually, pause};
use crate::registration;

pub const LIMIT: Duration = Duration::from_secs(90);
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const ADVICE_CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
/// A terminating replica still gets new connections for this long, until endpoints are updated.
const NEWS: Duration = Duration::from_millis(500);

/// An installation with its replicas behind one address.
pub struct Running {
    pub installation: Installation,
    pub balancer: Balancer,
    /// The proxy between the replicas and the API server.
    pub api: Balancer,
    pub replicas: Vec<Replica>,
    kubeconfig: PathBuf,
    settings: &'static [&'static str],
    /// The installation whose pods are sent.
    pub pods: Namespace,
}

pub struct Replica {
    pub name: String,
    pub process: Process,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

impl Replica {
    pub fn is_ready(&self) -> bool {
        admin_response(self.admin, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Whether `/readyz?verbose` contains these words.
    pub fn notes(&self, words: &str) -> bool {
        admin_response(self.admin, "/readyz?verbose").is_some_and(|answer| answer.contains(words))
    }

    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = admin_response(self.admin, "/metrics")?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

impl Running {
    pub fn start(cluster: &'static Cluster, name: &str, replicas: usize, settings: &'static [&'static str]) -> Self {
        let mut running = Self::prepare(cluster, name, settings);
        (0..replicas).for_each(|_| running.add());
        running.wait_until_called();
        running
    }

    /// Prepares everything except the replicas.
    pub fn prepare(cluster: &'static Cluster, name: &str, settings: &'static [&'static str]) -> Self {
        let installation = Installation::apply(cluster, name);
        let pods = cluster.namespace(&format!("{name}-pods"), name);
        let balancer = Balancer::start();
        register(&installation, &format!("https://{}/mutate", balancer.address()));
        let api = Balancer::start();
        api.add(cluster.address());
        let kubeconfig = installation.kubeconfig(cluster.control_plane.janitor.directory(), api.address());
        Self { installation, balancer, api, replicas: Vec::new(), kubeconfig, settings, pods }
    }

    /// Replicas started from now on use this server instead of the API server.
    pub fn use_api_server(&mut self, server: SocketAddr) {
        let directory = self.cluster().control_plane.janitor.directory();
        self.kubeconfig = self.installation.plain_kubeconfig(directory, server);
    }

    /// Starts one more replica, waits until it is ready, and adds it to the balancer.
    pub fn add(&mut self) {
        let replica = self.start_replica();
        replica.process.wait_until(LIMIT, || replica.is_ready());
        self.balancer.add(replica.address);
        self.replicas.push(replica);
    }

    /// Starts a replica without waiting until it is ready.
    pub fn start_replica(&self) -> Replica {
        let cluster = self.cluster();
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{}-{}", self.installation.name(), STARTED.fetch_add(1, Ordering::Relaxed));
        let mut serve = Command::new(PROGRAM);
        serve.args([
            "serve",
            "--cluster=on",
            "--log-format=json",
            "--log-level=trace",
            "--shutdown-delay=1500ms",
            "--templates",
            TEMPLATES,
        ]);
        serve.args(["--certificate-hosts=127.0.0.1", "--webhook-configuration", self.installation.name()]);
        serve.args(ANY_PORTS).args(self.settings);
        serve.env("KUBECONFIG", &self.kubeconfig);
        serve.env("POD_NAME", &name).env("POD_NAMESPACE", self.installation.name());
        let process = cluster.control_plane.janitor.spawn(&format!("outrigger-{name}"), &mut serve);
        let [address, admin] = addresses(&process);
        Replica { name, process, address, admin }
    }

    pub fn cluster(&self) -> &'static Cluster {
        self.pods.cluster
    }

    pub fn wait_until_called(&self) {
        let asking = pod("probe", &json!({"outrigger.dev/inject": "agent"}));
        eventually("the API server trusts and calls Outrigger", LIMIT, || {
            let answer = self.pods.create_pod(&asking, "&dryRun=All");
            (answer.is_success() && !names(&answer.body, "/spec/initContainers").is_empty()).then_some(())
        });
    }

    pub fn configuration(&self) -> Value {
        self.configurations()[0].clone()
    }

    /// The mutating and the validating configuration.
    pub fn configurations(&self) -> [Value; 2] {
        [CONFIGURATIONS, ADVICE_CONFIGURATIONS]
            .map(|path| self.cluster().get(&format!("{path}/{}", self.installation.name())).expect_success())
    }

    /// The certificates of every entry's `caBundle`, of both configurations, as text.
    pub fn bundles(&self) -> Vec<String> {
        let webhooks: Vec<Value> = self
            .configurations()
            .iter()
            .flat_map(|configuration| configuration["webhooks"].as_array().cloned().unwrap_or_default())
            .collect();
        let bundle = |webhook: &Value| BASE64.decode(webhook["clientConfig"]["caBundle"].as_str().unwrap_or_default());
        webhooks.iter().map(|webhook| String::from_utf8(bundle(webhook).expect("base64")).expect("PEM")).collect()
    }

    /// Sets `caBundle` of every entry of both configurations.
    pub fn set_bundles(&self, bundle: &str) {
        for (configurations, entries) in [(CONFIGURATIONS, 2), (ADVICE_CONFIGURATIONS, 1)] {
            let patch: Vec<Value> = (0..entries)
                .map(|index| json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle}))
                .collect();
            let path = format!("{configurations}/{}", self.installation.name());
            let patch = Value::Array(patch).to_string().into_bytes();
            self.cluster().send("PATCH", &path, "application/json-patch+json", patch).expect_success();
        }
    }

    /// A field of a Secret, decoded.
    pub fn field(&self, secret: &str, key: &str) -> String {
        let text = self.installation.secret(secret)["data"][key].as_str().unwrap_or_default().to_owned();
        String::from_utf8(BASE64.decode(text).expect("base64")).expect("PEM")
    }

    /// The index of the replica that holds the lease.
    pub fn leader(&self) -> usize {
        eventually("a candidate leads", LIMIT, || {
            let holder = self.installation.holder();
            self.replicas.iter().position(|replica| holder.starts_with(&replica.name))
        })
    }

    /// Sends SIGTERM to a replica, as a rolling update does.
    pub fn end(&mut self, index: usize) {
        let replica = self.replicas.remove(index);
        replica.process.terminate();
        pause(NEWS);
        self.balancer.remove(replica.address);
        assert_eq!(replica.process.wait_for_end(LIMIT).code(), Some(0), "{}", replica.process.log());
        self.cluster().control_plane.janitor.forget(&replica.process);
    }

    /// No log contains a key, in any encoding of a Secret.
    pub fn assert_no_key_is_logged(&self) {
        for replica in &self.replicas {
            let log = replica.process.log();
            let forms = ["PRIVATE KEY", "MIG", "LS0tLS1CRUdJTiBQ", "45, 45, 45, 45, 45, 66, 69, 71"];
            forms.iter().for_each(|form| assert!(!log.contains(form), "{}: {form}", replica.name));
        }
    }
}

/// Registers the address for the pods and workloads of the installation, without a `caBundle`.
pub fn register(installation: &Installation, url: &str) {
    let output = Command::new(PROGRAM).args(["generate", "webhook", "--url", url]).output().expect("outrigger starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let configurations: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    for mut configuration in configurations {
        configuration["metadata"]["name"] = json!(installation.name());
        for webhook in configuration["webhooks"].as_array_mut().expect("a list") {
            let expression = json!({"key": WEBHOOK_LABEL, "operator": "In", "values": [installation.name()]});
            let expressions = &mut webhook["namespaceSelector"]["matchExpressions"];
            match expressions.as_array_mut() {
                Some(expressions) => expressions.push(expression),
                None => *expressions = json!([expression]),
            }
        }
        registration::create(installation.namespace.cluster, &configuration);
    }
}

/// Clients that create pods continuously until they are stopped.
pub struct Clients {
    is_over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<Result<(), String>>>>,
    cluster: &'static Cluster,
}

impl Clients {
    pub fn start(pods: &Namespace) -> Self {
        let (cluster, is_over) = (pods.cluster, Arc::new(AtomicBool::new(false)));
        let client = || create(cluster.client(), pods.path("pods?dryRun=All"), Arc::clone(&is_over));
        let tasks = (0..2).map(|_| cluster.runtime.spawn(client())).collect();
        Self { is_over, tasks, cluster }
    }

    /// The results of all pods.
    fn outcomes(self) -> Vec<Result<(), String>> {
        self.is_over.store(true, Ordering::SeqCst);
        self.tasks.into_iter().flat_map(|task| self.cluster.runtime.block_on(task).expect("no panic")).collect()
    }

    /// Why pods were not created, or were created without their sidecar.
    pub fn failures(self) -> Vec<String> {
        self.outcomes().into_iter().filter_map(Result::err).collect()
    }

    /// Asserts that every pod was created with its sidecar; returns their number.
    #[track_caller]
    pub fn expect_no_failure(self) -> usize {
        let outcomes = self.outcomes();
        let failures: Vec<&String> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        let shown = &failures[..failures.len().min(5)];
        assert!(failures.is_empty(), "{} of {} pods: {shown:?}", failures.len(), outcomes.len());
        outcomes.len()
    }
}

async fn create(client: kube::Client, path: String, is_over: Arc<AtomicBool>) -> Vec<Result<(), String>> {
    let pod = pod("web", &json!({"outrigger.dev/inject": "agent"})).to_string();
    let mut outcomes = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        let answer = request(&client, "POST", &path, "application/json", pod.clone().into_bytes()).await;
        outcomes.push(match answer {
            Ok(answer) if !answer.is_success() => Err(answer.body["message"].to_string()),
            Ok(answer) if names(&answer.body, "/spec/initContainers").is_empty() => Err("no sidecar".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        });
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    outcomes
}
