//! Rolling restarts behind one address while the API server keeps calling: no pod may fail.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::balancer::Balancer;
use crate::cluster::{Cluster, Namespace, in_namespace, names, pod, request};
use crate::outrigger::{ANY_PORTS, PROGRAM, addresses, admin_response, configurations, register};
use crate::process::{Process, pause};

tests! { rolling_restarts_fail_no_pod }

const RESTARTS: usize = 20;
const INSTANCES: usize = 2;
/// Clients that create pods continuously.
const CLIENTS: usize = 4;
/// A terminating instance still gets new connections for this long, until endpoints are updated.
const NEWS: Duration = Duration::from_millis(500);
const SHUTDOWN_DELAY: &str = "1500ms";
const LIMIT: Duration = Duration::from_secs(60);

/// One replica.
struct Instance {
    process: Process,
    address: SocketAddr,
}

fn rolling_restarts_fail_no_pod() {
    in_namespace("restarts", "restarts", |namespace| {
        let cluster = namespace.cluster;
        let directory = cluster.control_plane.janitor.directory().join("outrigger-restarts");
        let balancer = Balancer::start();
        let mut running: Vec<Instance> =
            (0..INSTANCES).map(|index| start(cluster, &directory, &index.to_string())).collect();
        running.iter().for_each(|instance| balancer.add(instance.address));
        let url = format!("https://{}/mutate", balancer.address());
        register(&configurations(&url, &directory)[0], namespace, "restarts", "log-collector", |_| {});

        let is_over = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| cluster.runtime.spawn(create(Client::of(namespace), is_over.clone()))).collect();
        let mut ending = Vec::new();
        for restart in 0..RESTARTS {
            for (index, instance) in running.iter_mut().enumerate() {
                // Like a Deployment: the new instance is ready before the old one is terminated,
                // and nobody waits for the old one.
                let new = start(cluster, &directory, &format!("{restart}-{index}"));
                balancer.add(new.address);
                let old = std::mem::replace(instance, new);
                old.process.terminate();
                pause(NEWS);
                balancer.remove(old.address);
                ending.push(old);
            }
        }
        for old in &ending {
            assert_eq!(old.process.wait_for_end(LIMIT).code(), Some(0), "{}", old.process.log());
            cluster.control_plane.janitor.forget(&old.process);
        }
        is_over.store(true, Ordering::SeqCst);

        let outcomes: Vec<Result<(), String>> =
            clients.into_iter().flat_map(|client| cluster.runtime.block_on(client).expect("no panic")).collect();
        let failures: Vec<&String> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!(
            failures.is_empty(),
            "{} of {} pods: {:?}",
            failures.len(),
            outcomes.len(),
            &failures[..failures.len().min(5)]
        );
        assert!(outcomes.len() > RESTARTS * INSTANCES, "only {} pods were created", outcomes.len());
        let answered = |instance: &Instance| instance.process.log().matches("\"decision\"").count();
        let idle = ending.iter().filter(|instance| answered(instance) == 0).count();
        assert!(idle < ending.len() / 2, "{idle} of {} instances were never called", ending.len());
    });
}

/// Starts an instance and returns when it is ready. All instances share one certificate.
fn start(cluster: &Cluster, directory: &Path, name: &str) -> Instance {
    let mut serve = Command::new(PROGRAM);
    serve.args(["serve", "--dev", "--cluster=off", "--log-format=json", "--shutdown-delay", SHUTDOWN_DELAY]);
    serve.arg("--dev-dir").arg(directory);
    serve.args(ANY_PORTS);
    let process = cluster.control_plane.janitor.spawn(&format!("outrigger-restarts-{name}"), &mut serve);
    let [address, admin] = addresses(&process);
    process.wait_until(LIMIT, || {
        admin_response(admin, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    });
    Instance { process, address }
}

struct Client {
    client: kube::Client,
    path: String,
}

impl Client {
    fn of(namespace: &Namespace) -> Self {
        Self { client: namespace.cluster.client(), path: namespace.path("pods?dryRun=All") }
    }
}

/// Creates pods until it is stopped: each has its sidecar, or its error is recorded.
async fn create(client: Client, is_over: Arc<AtomicBool>) -> Vec<Result<(), String>> {
    let pod = pod("web", &json!({"outrigger.dev/inject": "log-collector"})).to_string();
    let mut outcomes = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        let answer = request(&client.client, "POST", &client.path, "application/json", pod.clone().into_bytes()).await;
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
