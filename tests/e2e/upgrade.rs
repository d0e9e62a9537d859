//! `outrigger upgrade` and `outrigger get` on running pods: an image, a resize, a restart, a pod that
//! does not get ready, and a run that is killed in the middle.
//!
//! Invariant: while pods are upgraded, no more of them are unavailable at once than allowed.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Ended, LIMIT, eventually, pause};
use crate::harness;
use crate::installation::Installation;
use crate::pods;

const NAMESPACE: &str = "outrigger-e2e-upgrade";
const TEMPLATE: &str = "upgraded";
const WORKLOADS: [&str; 3] = ["one", "two", "three"];
const REPLICAS: usize = 10;
const PODS: usize = REPLICAS * WORKLOADS.len();
const RUNS: &str = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";
/// An image that no registry has.
const ABSENT: &str = "localhost/absent:1";

/// Runs all cases one after the other on the same thirty pods.
pub fn brings_pods_up_to_date(installation: &Installation<'_>) {
    let cluster = installation.cluster;
    let Some(second) = cluster.settings.second_busybox.clone() else {
        harness::ignore("OUTRIGGER_E2E_BUSYBOX_2 is not set, so there is no other image to upgrade to");
    };
    cluster.make_namespace(NAMESPACE, &json!({"pod-security.kubernetes.io/enforce": "restricted"}));
    let mut sidecar = sidecar(&cluster.settings.busybox);
    apply(cluster, &sidecar);
    create_workloads(cluster);
    let first = Fleet::read(cluster);
    expect_states(cluster, "current");

    sidecar["image"] = json!(second);
    apply(cluster, &sidecar);
    expect_states(cluster, "outdated");
    a_dry_run_changes_nothing(cluster, &first);
    let after_image = a_killed_run_is_begun_again(cluster, &first);
    assert_eq!(after_image.images(), [second.as_str()].into());

    sidecar["resources"]["requests"]["cpu"] = json!("2m");
    apply(cluster, &sidecar);
    let report = upgrade(cluster, &["--max-unavailable", "1"]).done("resize", PODS);
    let after_resize = Fleet::read(cluster);
    after_resize.expect_same_containers(&after_image, &report);

    a_pod_that_does_not_get_ready_stops_the_upgrade(cluster, &mut sidecar, &after_resize);

    sidecar["env"] = json!([{"name": "NEW", "value": "1"}]);
    apply(cluster, &sidecar);
    let (most, report) = most_unavailable(cluster, || upgrade(cluster, &["--max-unavailable", "1"]));
    report.done("restart", PODS);
    assert!(most <= 1, "{most} pods were unavailable at once during the restarts");
    let restarted = Fleet::read(cluster);
    assert!(restarted.0.keys().all(|name| !after_resize.0.contains_key(name)), "all pods are new");
    expect_states(cluster, "current");
    cluster.kubectl(&["delete", "clusterinjectiontemplate", TEMPLATE]);
    cluster.delete_namespace(NAMESPACE);
}

fn sidecar(image: &str) -> Value {
    json!({
        "name": "helper", "image": image, "command": ["sh", "-c", RUNS],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
        "securityContext": {"runAsUser": 65533},
    })
}

fn apply(cluster: &Cluster, sidecar: &Value) {
    let template = json!({
        "apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate",
        "metadata": {"name": TEMPLATE}, "spec": {"sidecars": [sidecar]},
    });
    cluster.kubectl_with(&["apply", "--filename=-"], &template);
    let path = format!("/apis/outrigger.dev/v1alpha1/clusterinjectiontemplates/{TEMPLATE}");
    eventually("the template is served", LIMIT, || {
        let object = cluster.get(&path);
        let is_seen = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        (is_seen && object["status"]["revision"].is_string()).then_some(())
    });
}

fn create_workloads(cluster: &Cluster) {
    let mut app = pods::spec(&cluster.settings.busybox, RUNS);
    app["terminationGracePeriodSeconds"] = json!(1);
    app["containers"][0]["resources"] = json!({"requests": {"cpu": "1m"}});
    let workloads = WORKLOADS.map(|name| {
        let mut workload = pods::deployment(name, REPLICAS, &json!({"outrigger.dev/inject": TEMPLATE}), &app);
        workload["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}});
        workload
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": workloads});
    cluster.kubectl_with(&["--namespace", NAMESPACE, "create", "--filename=-"], &list);
    for name in WORKLOADS {
        let name = format!("deployment/{name}");
        cluster.kubectl(&["--namespace", NAMESPACE, "rollout", "status", &name, "--timeout=180s"]);
    }
}

/// What is to stay, or to change, of each pod.
struct Fleet(BTreeMap<String, Running>);

#[derive(Debug, PartialEq)]
struct Running {
    uid: String,
    app: String,
    helper: String,
    image: String,
}

impl Fleet {
    fn read(cluster: &Cluster) -> Self {
        let pods = eventually("all pods run", LIMIT, || {
            let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
            let pods = cluster.get(&path)["items"].as_array().cloned().unwrap_or_default();
            (pods.len() == PODS && pods.iter().all(pods::is_ready)).then_some(pods)
        });
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let running = |pod: &Value| Running {
            uid: text(&pod["metadata"]["uid"]),
            app: text(&pod["status"]["containerStatuses"][0]["containerID"]),
            helper: text(&pod["status"]["initContainerStatuses"][0]["containerID"]),
            image: text(&pod["spec"]["initContainers"][0]["image"]),
        };
        Self(pods.iter().map(|pod| (pods::name_of(pod).to_owned(), running(pod))).collect())
    }

    fn images(&self) -> std::collections::BTreeSet<&str> {
        self.0.values().map(|pod| pod.image.as_str()).collect()
    }

    /// The same pods with the same app, each with another sidecar.
    fn expect_new_sidecars(&self, before: &Self) {
        for (name, pod) in &self.0 {
            let old = before.0.get(name).unwrap_or_else(|| panic!("pod {name} is new"));
            assert_eq!((&pod.uid, &pod.app), (&old.uid, &old.app), "{name}: the app was not touched");
            assert_ne!(pod.helper, old.helper, "{name}: the sidecar was started anew");
        }
    }

    fn expect_same_containers(&self, before: &Self, report: &Report) {
        assert_eq!(self.0, before.0, "nothing was started anew: {}", report.stdout);
    }
}

/// What a run of `upgrade` printed.
struct Report {
    is_success: bool,
    stdout: String,
    stderr: String,
}

impl Report {
    fn of(ended: Ended) -> Self {
        Self { is_success: ended.is_success, stdout: ended.output, stderr: ended.stderr }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }

    /// Number of pods with an outcome.
    fn count(&self, outcome: &str) -> usize {
        let report = self.json();
        let lines = report["workloads"].as_array().into_iter().flatten().filter(|line| line["outcome"] == outcome);
        lines.map(|line| line["pods"].as_array().map_or(0, Vec::len)).sum()
    }

    /// It is complete, and did so with so many pods.
    #[track_caller]
    fn done(self, how: &str, pods: usize) -> Self {
        assert!(self.is_success, "{}{}", self.stdout, self.stderr);
        assert_eq!(self.count("done"), pods, "{}{}", self.stdout, self.stderr);
        let report = self.json();
        let done = report["workloads"].as_array().into_iter().flatten().filter(|line| line["outcome"] == "done");
        for line in done {
            assert_eq!(line["how"], how, "{report}");
        }
        self
    }
}

fn command(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
    command.arg(arguments[0]).args(["--namespace", NAMESPACE, "--output", "json"]).args(&arguments[1..]);
    if arguments[0] == "upgrade" {
        command.arg("--min-ready=1s");
    }
    command.env("KUBECONFIG", &cluster.settings.kubeconfig);
    command
}

fn upgrade(cluster: &Cluster, arguments: &[&str]) -> Report {
    let mut command = command(cluster, &[&["upgrade", TEMPLATE], arguments].concat());
    Report::of(cluster.run(&mut command, None))
}

/// All workloads are in this state, as `get` tells.
#[track_caller]
fn expect_states(cluster: &Cluster, state: &str) {
    let ended = cluster.run(&mut command(cluster, &["get", TEMPLATE]), None);
    assert!(ended.is_success, "{}", ended.stderr);
    let found: Value = serde_json::from_str(&ended.output).expect("JSON");
    let rows = found["workloads"].as_array().expect("rows");
    let told: Vec<_> = rows.iter().map(|row| (row["state"].as_str(), row["pods"].as_u64())).collect();
    assert_eq!(told, vec![(Some(state), Some(10)); WORKLOADS.len()], "{found}");
}

fn a_dry_run_changes_nothing(cluster: &Cluster, before: &Fleet) {
    let report = upgrade(cluster, &["--dry-run"]);
    assert!(report.is_success, "{}", report.stderr);
    assert_eq!(report.count("planned"), PODS, "{}", report.stdout);
    assert_eq!(Fleet::read(cluster).0, before.0);
}

/// A run that is killed leaves some pods upgraded; the same command does the rest, and never more than
/// one pod is unavailable.
fn a_killed_run_is_begun_again(cluster: &Cluster, before: &Fleet) -> Fleet {
    let (most, ()) = most_unavailable(cluster, || {
        let mut run = spawn(cluster, &["upgrade", TEMPLATE, "--max-unavailable", "1", "--pause", "200ms"]);
        eventually("some pods have the new image", LIMIT, || (upgraded(cluster) >= 4).then_some(()));
        run.kill().expect("it runs");
        run.wait().expect("it has ended");
        let done = upgraded(cluster);
        assert!((4..PODS).contains(&done), "{done} pods were upgraded when it was killed");
        let report = upgrade(cluster, &["--max-unavailable", "1"]).done("image", PODS - done);
        println!("    killed after {done} of {PODS} pods; the second run did {}", report.count("done"));
    });
    assert!(most <= 1, "{most} pods were unavailable at once");
    let after = Fleet::read(cluster);
    after.expect_new_sidecars(before);
    expect_states(cluster, "current");
    after
}

fn spawn(cluster: &Cluster, arguments: &[&str]) -> Child {
    command(cluster, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// Number of pods whose sidecar has another image than the app's.
fn upgraded(cluster: &Cluster) -> usize {
    let pods = cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods"));
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    pods.iter().filter(|pod| pod["spec"]["initContainers"][0]["image"] != pod["spec"]["containers"][0]["image"]).count()
}

/// An image that cannot be pulled: one pod is left with it, and the command goes on once that is mended.
fn a_pod_that_does_not_get_ready_stops_the_upgrade(cluster: &Cluster, sidecar: &mut Value, before: &Fleet) {
    let good = std::mem::replace(&mut sidecar["image"], json!(ABSENT));
    apply(cluster, sidecar);
    let arguments = ["--max-unavailable", "1", "--ready-timeout", "8s"];
    let stopped = upgrade(cluster, &arguments);
    assert!(!stopped.is_success, "{}", stopped.stdout);
    assert_eq!((stopped.count("failed"), stopped.count("not-started")), (1, PODS - 1), "{}", stopped.stdout);
    let reason = stopped.json()["stopped"].as_str().unwrap_or_default().to_owned();
    assert!(
        reason.contains("is not ready within 8s: container helper ") && reason.contains("last warning: "),
        "{reason}"
    );
    assert!(stopped.stderr.contains("run the same command again"), "{}", stopped.stderr);
    println!("    stopped: {reason}");

    let again = upgrade(cluster, &arguments);
    assert_eq!((again.count("current"), again.count("not-started")), (1, PODS - 1), "{}", again.stdout);

    sidecar["image"] = good;
    apply(cluster, sidecar);
    let report = upgrade(cluster, &["--max-unavailable", "1"]);
    assert!(report.is_success, "{}{}", report.stdout, report.stderr);
    let after = Fleet::read(cluster);
    assert_eq!(after.images(), before.images());
    expect_states(cluster, "current");
}

/// The result of `work`, and the most pods that were not ready at any moment of it.
fn most_unavailable<T>(cluster: &Cluster, work: impl FnOnce() -> T) -> (usize, T) {
    let (is_over, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                let ready = WORKLOADS.iter().map(|name| {
                    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}");
                    let ready = cluster.look(&path).and_then(|found| found["status"]["readyReplicas"].as_u64());
                    usize::try_from(ready.unwrap_or_default()).unwrap_or_default()
                });
                let unavailable = PODS.saturating_sub(ready.sum());
                most.fetch_max(unavailable, Ordering::AcqRel);
                pause(Duration::from_millis(100));
            }
        });
        let result = work();
        is_over.store(true, Ordering::Release);
        result
    });
    (most.into_inner(), result)
}
