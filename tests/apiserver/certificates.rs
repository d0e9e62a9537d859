//! Certificates that the program makes for itself in a cluster: two replicas with the rights of the design behind one address, and an
//! API server that goes on creating pods while certificates are rotated, replicas end, and somebody changes what is ours.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::balancer::Balancer;
use crate::cluster::{Cluster, Namespace, WEBHOOK_LABEL, names, pod, request, say_skipped, shared};
use crate::control_plane::{ASSETS, free_port};
use crate::installation::{CA_SECRET, Installation, SERVING_SECRET};
use crate::outrigger::{PROGRAM, TEMPLATES, admin_answer};
use crate::process::{Process, eventually, pause};
use crate::registration;

const LIMIT: Duration = Duration::from_secs(90);
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
/// For so long after it was told to end, a replica still gets new connections: nobody has heard of it yet.
const NEWS: Duration = Duration::from_millis(500);

/// Rotated all the time: a leaf every two seconds, an authority every ten.
const SHORT: [&str; 5] = [
    "--certificate-duration=20s",
    "--certificate-renewal=2s",
    "--ca-duration=60s",
    "--ca-renewal=10s",
    "--ca-propagation=1s",
];
/// Rotated never, as far as a test is concerned.
const LONG: [&str; 1] = ["--ca-propagation=1s"];

/// An installation with its replicas behind one address.
struct Running {
    installation: Installation,
    balancer: Balancer,
    /// Stands between the replicas and the API server.
    api: Balancer,
    replicas: Vec<Replica>,
    settings: &'static [&'static str],
    /// Whose pods are sent.
    pods: Namespace,
}

struct Replica {
    name: String,
    process: Process,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Replica {
    fn metric(&self, name: &str) -> Option<f64> {
        let text = admin_answer(self.admin, "/metrics")?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

impl Running {
    fn start(cluster: &'static Cluster, name: &str, replicas: usize, settings: &'static [&'static str]) -> Self {
        let installation = Installation::apply(cluster, name);
        let pods = cluster.namespace(&format!("{name}-pods"), name);
        let balancer = Balancer::start();
        register(&installation, &format!("https://{}/mutate", balancer.address()));
        let api = Balancer::start();
        api.add(cluster.address());
        let mut running = Self { installation, balancer, api, replicas: Vec::new(), settings, pods };
        (0..replicas).for_each(|_| running.add());
        running.wait_until_called();
        running
    }

    /// Starts one more replica, waits until it is ready, and lets it have its share.
    fn add(&mut self) {
        let cluster = self.cluster();
        let directory = cluster.control_plane.janitor.directory();
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (address, admin) = (address(free_port()), address(free_port()));
        let name = format!("{}-{}", self.installation.name(), address.port());
        let mut serve = Command::new(PROGRAM);
        serve.args(["serve", "--cluster=on", "--log-format=json", "--shutdown-delay=1500ms", "--templates", TEMPLATES]);
        serve.args(["--certificate-hosts=127.0.0.1", "--webhook-configuration", self.installation.name()]);
        serve.args([format!("--listen={address}"), format!("--admin-listen={admin}")]).args(self.settings);
        serve.env("KUBECONFIG", self.installation.kubeconfig(directory, self.api.address()));
        serve.env("POD_NAME", &name).env("POD_NAMESPACE", self.installation.name());
        let process = cluster.control_plane.janitor.spawn(&format!("outrigger-{name}"), &mut serve);
        let is_ready = || admin_answer(admin, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"));
        process.wait_until(LIMIT, is_ready);
        self.balancer.add(address);
        self.replicas.push(Replica { name, process, address, admin });
    }

    fn cluster(&self) -> &'static Cluster {
        self.pods.cluster
    }

    fn wait_until_called(&self) {
        let asking = pod("probe", &json!({"outrigger.dev/inject": "agent"}));
        eventually("the API server trusts and calls Outrigger", LIMIT, || {
            let answer = self.pods.create_pod(&asking, "&dryRun=All");
            (answer.is_success() && !names(&answer.body, "/spec/initContainers").is_empty()).then_some(())
        });
    }

    fn configuration(&self) -> Value {
        self.cluster().get(&format!("{CONFIGURATIONS}/{}", self.installation.name())).expect_success()
    }

    /// The certificates of every entry's `caBundle`, as text.
    fn bundles(&self) -> Vec<String> {
        let configuration = self.configuration();
        let webhooks = configuration["webhooks"].as_array().cloned().unwrap_or_default();
        let bundle = |webhook: &Value| BASE64.decode(webhook["clientConfig"]["caBundle"].as_str().unwrap_or_default());
        webhooks.iter().map(|webhook| String::from_utf8(bundle(webhook).expect("base64")).expect("PEM")).collect()
    }

    fn set_bundles(&self, bundle: &str) {
        let patch: Vec<Value> = (0..2)
            .map(|index| json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle}))
            .collect();
        let path = format!("{CONFIGURATIONS}/{}", self.installation.name());
        let patch = Value::Array(patch).to_string().into_bytes();
        self.cluster().send("PATCH", &path, "application/json-patch+json", patch).expect_success();
    }

    /// A field of a Secret, decoded.
    fn field(&self, secret: &str, key: &str) -> String {
        let text = self.installation.secret(secret)["data"][key].as_str().unwrap_or_default().to_owned();
        String::from_utf8(BASE64.decode(text).expect("base64")).expect("PEM")
    }

    /// The index of the replica that holds the lease.
    fn leader(&self) -> usize {
        eventually("somebody leads", LIMIT, || {
            let holder = self.installation.holder();
            self.replicas.iter().position(|replica| holder.starts_with(&replica.name))
        })
    }

    /// Tells a replica to end, as a rolling update does.
    fn end(&mut self, index: usize) {
        let replica = self.replicas.remove(index);
        replica.process.terminate();
        pause(NEWS);
        self.balancer.remove(replica.address);
        assert_eq!(replica.process.wait_for_end(LIMIT).code(), Some(0), "{}", replica.process.log());
        self.cluster().control_plane.janitor.forget(&replica.process);
    }

    /// No key in any log.
    fn assert_no_key_is_logged(&self) {
        for replica in &self.replicas {
            let log = replica.process.log();
            assert!(!log.contains("PRIVATE KEY") && !log.contains("MIG"), "{}", replica.name);
        }
    }
}

/// Registers the address for the pods of the installation, without a `caBundle`.
fn register(installation: &Installation, url: &str) {
    let output = Command::new(PROGRAM).args(["generate", "webhook", "--url", url]).output().expect("outrigger starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let mut configuration: Value = serde_saphyr::from_str(&text).expect("YAML");
    configuration["metadata"]["name"] = json!(installation.name());
    for webhook in configuration["webhooks"].as_array_mut().expect("a list") {
        let expression = json!({"key": WEBHOOK_LABEL, "operator": "In", "values": [installation.name()]});
        webhook["namespaceSelector"]["matchExpressions"].as_array_mut().expect("a list").push(expression);
    }
    registration::create(installation.namespace.cluster, &configuration);
}

/// Clients that create pods, one after the other each, until they are asked what became of them.
struct Clients {
    is_over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<Result<(), String>>>>,
    cluster: &'static Cluster,
}

impl Clients {
    fn start(pods: &Namespace) -> Self {
        let (cluster, is_over) = (pods.cluster, Arc::new(AtomicBool::new(false)));
        let client = || create(cluster.client(), pods.path("pods?dryRun=All"), Arc::clone(&is_over));
        let tasks = (0..2).map(|_| cluster.runtime.spawn(client())).collect();
        Self { is_over, tasks, cluster }
    }

    /// What became of all pods.
    fn outcomes(self) -> Vec<Result<(), String>> {
        self.is_over.store(true, Ordering::SeqCst);
        self.tasks.into_iter().flat_map(|task| self.cluster.runtime.block_on(task).expect("no panic")).collect()
    }

    /// Why pods were not created, or came without their sidecar.
    fn failures(self) -> Vec<String> {
        self.outcomes().into_iter().filter_map(Result::err).collect()
    }

    /// Every pod was created with its sidecar; how many there were.
    #[track_caller]
    fn expect_no_failure(self) -> usize {
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

fn in_installation(name: &str, replicas: usize, settings: &'static [&'static str], test: impl FnOnce(&mut Running)) {
    let Some(cluster) = shared() else { return say_skipped(&format!("{ASSETS} is not set")) };
    let mut running = Running::start(cluster, name, replicas, settings);
    test(&mut running);
    running.assert_no_key_is_logged();
}

#[test]
fn rotations_fail_no_pod() {
    in_installation("rotations", 2, &SHORT, |running| {
        let clients = Clients::start(&running.pods);
        let (mut authorities, mut leaves) = (BTreeSet::new(), BTreeSet::new());
        let (start, mut most_trusted) = (Instant::now(), 0);
        let mut has_handed_over = false;
        let first = running.field(CA_SECRET, "ca.crt");
        let trusts_the_first = |running: &Running| running.bundles().iter().any(|bundle| bundle.contains(&first));
        while authorities.len() < 4 || leaves.len() < 12 || trusts_the_first(running) {
            assert!(start.elapsed() < 2 * LIMIT, "{} authorities, {} leaves", authorities.len(), leaves.len());
            authorities.insert(running.field(CA_SECRET, "ca.crt"));
            leaves.insert(running.field(SERVING_SECRET, "tls.crt"));
            let trusted = running.bundles().iter().map(|bundle| bundle.matches("BEGIN").count()).max();
            most_trusted = most_trusted.max(trusted.unwrap_or_default());
            if authorities.len() == 2 && !has_handed_over {
                has_handed_over = true;
                running.add();
                running.end(running.leader());
            }
            pause(Duration::from_millis(100));
        }
        let pods = clients.expect_no_failure();
        assert!(pods > 100 && has_handed_over, "only {pods} pods were created");
        // The one that signs, the next one, and those of the last 25 s, whose leaves have not expired: nothing piles up.
        assert!((3..=7).contains(&most_trusted), "{most_trusted} certificates");
        eprintln!("{} authorities, {} leaves, {pods} pods, 0 failed", authorities.len(), leaves.len());
        for replica in &running.replicas {
            let rotations = replica.metric("outrigger_certificate_rotations_total{result=\"success\"}");
            assert!(rotations.is_some_and(|rotations| rotations > 1.0), "{}: {rotations:?}", replica.name);
        }
        let leaders = running.replicas.iter().filter(|one| one.metric("outrigger_leader") == Some(1.0)).count();
        assert_eq!(leaders, 1);
    });
}

#[test]
fn a_killed_leader_is_replaced_and_nothing_else_notices() {
    in_installation("killed", 2, &LONG, |running| {
        let killed = running.leader();
        let killed = running.replicas.remove(killed);
        running.balancer.remove(killed.address);
        // The API server keeps connections; those of the killed one break, and are no matter of the leader's.
        killed.process.kill();
        running.wait_until_called();
        let (clients, since) = (Clients::start(&running.pods), Instant::now());
        let next = running.leader();
        eprintln!("replaced after {:?}", since.elapsed());
        assert!(since.elapsed() < LIMIT && next == 0);
        let good = running.bundles();
        running.set_bundles("");
        eventually("the bundle is as it was", LIMIT, || (running.bundles() == good).then_some(()));
        let failed = clients.failures();
        // Only while the bundle was empty may a pod have been refused, and then for that reason.
        assert!(failed.iter().all(|failure| failure.contains("x509") || failure.contains("certificate")), "{failed:?}");
    });
}

#[test]
fn replicas_without_an_api_server_serve_on() {
    in_installation("partition", 2, &LONG, |running| {
        let clients = Clients::start(&running.pods);
        let leaders = |running: &Running| {
            running.replicas.iter().filter(|replica| replica.metric("outrigger_leader") == Some(1.0)).count()
        };
        running.api.cut();
        eventually("nobody leads", LIMIT, || (leaders(running) == 0).then_some(()));
        // Longer than the lease, and than what anybody waits for an answer.
        pause(Duration::from_secs(10));
        for replica in &running.replicas {
            let ready = admin_answer(replica.admin, "/readyz").unwrap_or_default();
            assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
        }
        running.api.add(running.cluster().address());
        eventually("somebody leads", LIMIT, || (leaders(running) == 1).then_some(()));
        assert!(clients.expect_no_failure() > 50);
        // And looks after the certificates again.
        let good = running.bundles();
        running.set_bundles("");
        eventually("the bundle is as it was", LIMIT, || (running.bundles() == good).then_some(()));
    });
}

#[test]
fn what_somebody_does_to_the_bundle_is_repaired() {
    in_installation("repair", 1, &LONG, |running| {
        let good = running.bundles();
        assert!(good.len() == 2 && good[0] == good[1] && good[0].matches("BEGIN").count() == 1);
        let other = BASE64.encode(running.cluster().control_plane.authority.pem());
        for bad in ["", other.as_str()] {
            running.set_bundles(bad);
            let since = Instant::now();
            eventually("the bundle is as it was", LIMIT, || (running.bundles() == good).then_some(()));
            eprintln!("repaired after {:?}", since.elapsed());
        }
        let configuration = running.configuration();
        let managers = configuration["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let ours = managers.iter().find(|entry| entry["manager"] == "outrigger-ca-bundle").expect("our field manager");
        let owned = ours["fieldsV1"]["f:webhooks"].to_string();
        assert_eq!(ours["operation"], "Apply");
        assert_eq!(owned.matches("f:caBundle").count(), 2, "{owned}");
        assert!(!owned.contains("f:failurePolicy") && !owned.contains("f:url"), "{owned}");
    });
}

#[test]
fn a_deleted_secret_is_survived_and_filled_again() {
    in_installation("deleted", 2, &LONG, |running| {
        for secret in [SERVING_SECRET, CA_SECRET] {
            let clients = Clients::start(&running.pods);
            let before = running.field(SERVING_SECRET, "tls.crt");
            running.installation.delete_secret(secret);
            let leader = running.leader();
            let says_so = || {
                running.replicas[leader]
                    .process
                    .log()
                    .lines()
                    .any(|line| line.contains("is not there") && line.contains(secret))
            };
            eventually("the leader says so", LIMIT, || says_so().then_some(()));
            pause(Duration::from_secs(2));
            running.installation.apply_secret(secret);
            eventually("there is a new certificate", LIMIT, || {
                let now = running.field(SERVING_SECRET, "tls.crt");
                (!now.is_empty() && now != before).then_some(())
            });
            pause(Duration::from_secs(2));
            assert!(clients.expect_no_failure() > 20);
        }
        // The lost authority is trusted until its leaves have expired.
        assert!(running.bundles().iter().all(|bundle| bundle.matches("BEGIN").count() == 2));
        for replica in &running.replicas {
            eventually("the replica is in sync", LIMIT, || {
                (replica.metric("outrigger_ca_bundle_in_sync")? > 0.0).then_some(())
            });
        }
    });
}

#[test]
fn a_namespace_says_what_its_pods_get() {
    in_installation("namespaces", 1, &LONG, |running| {
        let patch = json!({"metadata": {
            "labels": {"outrigger.dev/injection": "enabled"},
            "annotations": {"outrigger.dev/inject": "agent"},
        }});
        let path = format!("/api/v1/namespaces/{}", running.pods.name);
        let patch = patch.to_string().into_bytes();
        running.cluster().send("PATCH", &path, "application/merge-patch+json", patch).expect_success();
        eventually("a pod that says nothing gets what its namespace says", LIMIT, || {
            let stored = running.pods.would_accept(&pod("web", &json!({})));
            (!names(&stored, "/spec/initContainers").is_empty()).then_some(())
        });
        let opted_out = running.pods.would_accept(&pod("web", &json!({"outrigger.dev/inject": "false"})));
        assert!(names(&opted_out, "/spec/initContainers").is_empty());
    });
}
