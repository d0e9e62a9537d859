//! Sidecars that run: in the pods of a Deployment, during a rolling update, in a Job, and not in
//! pods that request nothing.
//!
//! The template is the built-in `log-collector`; its image may be any that tails `/logs` like
//! Fluent Bit.
//!
//! Invariant: the namespace enforces Pod Security "restricted", for the sidecar as well.

use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT, eventually};
use crate::installation::Installation;
use crate::pods::{self, SIDECAR};

const NAMESPACE: &str = "outrigger-e2e-sidecars";
/// Writes a line a second to a file until it is stopped, like an app with log files.
const WRITES: &str = r#"trap 'exit 0' TERM; n=0; while :; do n=$((n+1)); echo "from the app, line $n" >> /var/log/app/web.log; sleep 1 & wait $!; done"#;
/// Writes three lines and exits.
const WRITES_AND_ENDS: &str =
    r#"for n in 1 2 3; do echo "from the job, line $n" >> /var/log/app/job.log; sleep 1; done; echo done"#;

/// Runs all cases in one namespace, in the order in which a user would meet them.
pub fn run_beside_the_app(installation: &Installation<'_>) {
    let cluster = installation.cluster;
    cluster.make_namespace(NAMESPACE, &json!({"pod-security.kubernetes.io/enforce": "restricted"}));
    let image = &cluster.settings.busybox;
    let asking = pods::asking(cluster.settings.log_collector.as_deref());
    let app = pods::spec(image, WRITES);

    // The workloads are independent, so they start together.
    let kinds = [
        pods::deployment("web", 2, &asking, &app),
        pods::job("job", &asking, &pods::spec(image, WRITES_AND_ENDS)),
        pods::pod("silent", &json!({"example.com/team": "a"}), &app_without_logs(image)),
    ];
    cluster.kubectl_with(
        &["--namespace", NAMESPACE, "create", "--filename=-"],
        &json!({"apiVersion": "v1", "kind": "List", "items": kinds}),
    );
    wait_for_rollout(cluster);
    let before = both_pods_collect_what_the_app_writes(cluster);
    a_rolling_update_keeps_the_sidecar(cluster, &before);
    a_job_completes(cluster);
    assert_pod_without_request_is_unchanged(cluster, image);
    cluster.delete_namespace(NAMESPACE);
}

fn app_without_logs(image: &str) -> Value {
    pods::spec(image, "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done")
}

fn wait_for_rollout(cluster: &Cluster) {
    cluster.kubectl(&["--namespace", NAMESPACE, "rollout", "status", "deployment/web", "--timeout=180s"]);
}

/// Names of the two running pods of the Deployment, with their sidecar.
fn both_pods_collect_what_the_app_writes(cluster: &Cluster) -> Vec<String> {
    let running = eventually("two pods of the Deployment and no others", LIMIT, || {
        let pods = cluster.pods(NAMESPACE, "app=web");
        (pods.len() == 2 && pods.iter().all(pods::is_ready)).then_some(pods)
    });
    for pod in &running {
        started_first(pod);
        let name = pods::name_of(pod);
        eventually(&format!("the sidecar of {name} has the app's lines"), LIMIT, || {
            let log = cluster.log(NAMESPACE, name, SIDECAR);
            (log.contains("from the app, line 1") && log.contains("from the app, line 2")).then_some(())
        });
    }
    running.iter().map(|pod| pods::name_of(pod).to_owned()).collect()
}

/// Asserts that the sidecar is native and started before the app.
fn started_first(pod: &Value) {
    let sidecar = &pod["spec"]["initContainers"][0];
    assert_eq!((&sidecar["name"], &sidecar["restartPolicy"]), (&json!(SIDECAR), &json!("Always")), "{}", pod["spec"]);
    let status = &pod["status"]["initContainerStatuses"][0];
    assert!(status["started"] == true && status["restartCount"] == 0, "{status}");
    let started = |status: &Value| status["state"]["running"]["startedAt"].as_str().map(str::to_owned);
    let sidecar = started(status).expect("the sidecar runs");
    let app = started(&pod["status"]["containerStatuses"][0]).expect("the app runs");
    // RFC 3339 times in UTC compare as text.
    assert!(sidecar <= app, "the sidecar started at {sidecar}, the app at {app}");
}

fn a_rolling_update_keeps_the_sidecar(cluster: &Cluster, before: &[String]) {
    cluster.kubectl(&["--namespace", NAMESPACE, "set", "env", "deployment/web", "REVISION=2"]);
    wait_for_rollout(cluster);
    let after = both_pods_collect_what_the_app_writes(cluster);
    assert!(after.iter().all(|name| !before.contains(name)), "{before:?} are still there: {after:?}");
}

fn a_job_completes(cluster: &Cluster) {
    cluster.kubectl(&["--namespace", NAMESPACE, "wait", "--for=condition=Complete", "job/job", "--timeout=180s"]);
    let pods = cluster.pods(NAMESPACE, "app=job");
    let [pod] = &pods[..] else { panic!("one pod of the Job: {pods:?}") };
    assert!(pods::is_injected(pod) && pod["status"]["phase"] == "Succeeded", "{}", pod["status"]);
    let log = cluster.log(NAMESPACE, pods::name_of(pod), SIDECAR);
    assert!((1..=3).all(|line| log.contains(&format!("from the job, line {line}"))), "{log}");
}

fn assert_pod_without_request_is_unchanged(cluster: &Cluster, image: &str) {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/silent");
    let pod =
        eventually("the pod that requests nothing runs", LIMIT, || Some(cluster.get(&path)).filter(pods::is_ready));
    assert_eq!(pod["metadata"]["annotations"], json!({"example.com/team": "a"}));
    assert_eq!(pod["metadata"]["labels"], json!({"app": "silent"}));
    assert!(pod["spec"]["initContainers"].is_null());
    assert_eq!(pods::names(&pod, "/spec/containers"), ["web"]);
    assert_eq!(pod["spec"]["containers"][0]["image"], json!(image));
    // Every pod has the token volume.
    let ours = pods::names(&pod, "/spec/volumes").into_iter().filter(|name| !name.starts_with("kube-api-access-"));
    assert_eq!(ours.count(), 0, "{}", pod["spec"]["volumes"]);
}
