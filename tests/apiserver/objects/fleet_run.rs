//! `outrigger upgrade` on pods whose kubelet is the test: it says what a node would say of them.
//!
//! `tests/e2e/upgrade.rs` upgrades pods that run. Here are pods that behave as badly as no test could ask
//! of a real node.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fleet::{asking, serve};
use super::{cluster, sidecar};
use crate::cluster::Namespace;
use crate::outrigger::PROGRAM;
use crate::process::pause;
use crate::replicas::Running;

tests! {
    a_pod_that_ends_by_its_change_stops_the_upgrade,
    a_pod_that_fails_after_its_change_stops_the_upgrade,
    a_second_interrupt_waits_for_no_pod_and_lists_all,
    pods_that_are_not_ready_anyway_count_as_unavailable,
    what_others_change_is_left_alone_and_a_rollout_keeps_its_part,
}

const LIMIT: Duration = Duration::from_secs(60);
pub const OLD: &str = "helper:1";
pub const NEW: &str = "helper:2";

/// What a kubelet says of a pod whose sidecar has this image.
pub fn say(namespace: &Namespace, pod: &Value, image: &str, is_ready: bool, restarts: u32) {
    let name = pod["metadata"]["name"].as_str().expect("a name");
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
    let container = json!({"name": "helper", "image": image, "imageID": image, "containerID": format!("{image}-{restarts}"),
        "ready": is_ready, "restartCount": restarts, "state": if is_ready { running } else { waiting }});
    let ready = if is_ready { "True" } else { "False" };
    let status = json!({"status": {"phase": "Running", "observedGeneration": pod["metadata"]["generation"],
        "conditions": [{"type": "Ready", "status": ready, "lastProbeTime": null}], "initContainerStatuses": [container]}});
    let path = namespace.path(&format!("pods/{name}/status"));
    let answer =
        namespace.cluster.send("PATCH", &path, "application/merge-patch+json", status.to_string().into_bytes());
    // A controller may have deleted the pod meanwhile.
    if answer.body["code"] != 404 {
        answer.expect_success();
    }
}

pub fn pods(namespace: &Namespace) -> Vec<Value> {
    namespace.cluster.get(&namespace.path("pods")).expect_success()["items"].as_array().cloned().unwrap_or_default()
}

pub fn image(pod: &Value) -> &str {
    let containers = pod["spec"]["initContainers"].as_array().expect("a list");
    containers
        .iter()
        .find(|container| container["name"] == "helper")
        .and_then(|one| one["image"].as_str())
        .expect("an image")
}

fn start(namespace: &Namespace, arguments: &[&str]) -> Child {
    let mut program = Command::new(PROGRAM);
    program.arg("upgrade").args(arguments).args(["-n", &namespace.name, "-o", "json"]);
    program.env("KUBECONFIG", &namespace.cluster.control_plane.kubeconfig);
    program.env_remove("HTTPS_PROXY").env_remove("https_proxy");
    program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// Acts as kubelet until the program ends: `kubelet` gets each pod, and how long its sidecar has the image
/// that it has. Returns the exit code, the report and what was said.
pub fn run(
    namespace: &Namespace,
    arguments: &[&str],
    kubelet: impl Fn(&Value, Duration),
) -> (Option<i32>, Value, String) {
    let mut child = start(namespace, arguments);
    let begin = Instant::now();
    let mut since = std::collections::BTreeMap::new();
    while child.try_wait().expect("it can be waited for").is_none() {
        assert!(begin.elapsed() < LIMIT, "the upgrade does not end");
        for pod in pods(namespace) {
            let key = (pod["metadata"]["name"].to_string(), image(&pod).to_owned());
            let seen = since.entry(key).or_insert_with(Instant::now).elapsed();
            kubelet(&pod, seen);
        }
        pause(Duration::from_millis(100));
    }
    let output = child.wait_with_output().expect("it has ended");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), report, String::from_utf8_lossy(&output.stderr).into_owned())
}

pub fn count(report: &Value, outcome: &str) -> usize {
    let lines = report["workloads"].as_array().into_iter().flatten();
    lines.filter(|line| line["outcome"] == outcome).map(|line| line["pods"].as_array().map_or(0, Vec::len)).sum()
}

/// Three pods with the old image, all ready.
pub fn three(running: &Running, template: &str) {
    serve(running, template, &sidecar(OLD));
    for name in ["web-1", "web-2", "web-3"] {
        let pod = running.pods.accepts(&asking(name, "web", template));
        say(&running.pods, &pod, OLD, true, 0);
    }
    serve(running, template, &sidecar(NEW));
}

fn a_pod_that_fails_after_its_change_stops_the_upgrade() {
    let running = Running::start(cluster(), "failing", 1, &["--ca-propagation=1s"]);
    let namespace = &running.pods;
    three(&running, "failing");
    // Ready at first, and then its container ends again and again.
    let kubelet = |pod: &Value, seen: Duration| {
        if image(pod) == NEW {
            let is_ready = seen < Duration::from_millis(600);
            say(namespace, pod, NEW, is_ready, u32::from(!is_ready));
        }
    };
    let arguments = ["failing", "--min-ready", "4s", "--ready-timeout", "3s"];
    let (code, report, said) = run(namespace, &arguments, kubelet);
    assert_eq!((code, count(&report, "failed"), count(&report, "not-started")), (Some(1), 1, 2), "{report}{said}");
    assert!(said.contains("is not ready within 3s: container helper: CrashLoopBackOff: back-off"), "{said}");
    assert!(said.contains("run the same command again"), "{said}");
    assert_eq!(pods(namespace).iter().filter(|pod| image(pod) == NEW).count(), 1);

    // It fails only after it has counted as ready.
    let kubelet = |pod: &Value, seen: Duration| {
        if image(pod) == NEW {
            let is_ready = seen < Duration::from_secs(5);
            say(namespace, pod, NEW, is_ready, u32::from(!is_ready));
        }
    };
    for pod in pods(namespace).iter().filter(|pod| image(pod) == NEW) {
        namespace
            .cluster
            .send(
                "DELETE",
                &namespace
                    .path(&format!("pods/{}?gracePeriodSeconds=0", pod["metadata"]["name"].as_str().expect("a name"))),
                "application/json",
                Vec::new(),
            )
            .expect_success();
    }
    let arguments = ["failing", "--min-ready", "500ms", "--pause", "7s", "--ready-timeout", "3s"];
    let (code, report, said) = run(namespace, &arguments, kubelet);
    assert_eq!((code, count(&report, "done"), count(&report, "not-started")), (Some(1), 0, 1), "{report}{said}");
    assert!(said.contains("got ready, and is not ready any more: container helper: CrashLoopBackOff"), "{said}");
}

fn a_second_interrupt_waits_for_no_pod_and_lists_all() {
    let running = Running::start(cluster(), "interrupted", 1, &["--ca-propagation=1s"]);
    let namespace = &running.pods;
    three(&running, "interrupted");
    let mut child = start(namespace, &["interrupted", "--ready-timeout", "1h"]);
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut wait_for = |text: &str| {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(said.read_line(&mut line).expect("a line"), 0, "it ended without {text:?}");
        }
    };
    // No kubelet says that the changed pod is ready.
    let begin = Instant::now();
    while pods(namespace).iter().all(|pod| image(pod) == OLD) {
        assert!(begin.elapsed() < LIMIT, "no pod is changed");
        pause(Duration::from_millis(50));
    }
    interrupt(&child);
    wait_for("Ctrl-C: stopping after the pods that are being changed");
    interrupt(&child);
    wait_for("a third Ctrl-C ends without a list");
    wait_for("stopped: interrupted");
    wait_for("3 pods: 1 failed, 2 not-started; run the same command again");
    let output = child.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((count(&report, "failed"), count(&report, "not-started")), (1, 2), "{report}");
    assert!(report.to_string().contains("and the command ended before it was ready: "), "{report}");
}

fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill(1) runs");
    assert!(status.success());
}

fn pods_that_are_not_ready_anyway_count_as_unavailable() {
    let running = Running::start(cluster(), "unready", 1, &["--ca-propagation=1s"]);
    let namespace = &running.pods;
    three(&running, "unready");
    // It has the new revision, and is not ready.
    let current = namespace.accepts(&asking("other-1", "other", "unready"));
    say(namespace, &current, NEW, false, 3);
    let kubelet = |pod: &Value, _: Duration| {
        if image(pod) == NEW && pod["metadata"]["name"] != "other-1" {
            say(namespace, pod, NEW, true, 0);
        }
    };
    let arguments = |most| ["unready", "--min-ready", "0s", "--ready-timeout", "2s", "--max-unavailable", most];
    let (code, report, said) = run(namespace, &arguments("1"), kubelet);
    assert_eq!((code, count(&report, "current"), count(&report, "not-started")), (Some(1), 1, 3), "{report}{said}");
    let expected = format!("no pod may become unavailable while pod {}/other-1 is not ready", namespace.name);
    assert!(said.contains(&expected) && said.contains("nothing was changed"), "{said}");
    let (code, report, said) = run(namespace, &arguments("2"), kubelet);
    // It has the revision, and what the template has brought does not run.
    assert_eq!((code, count(&report, "done"), count(&report, "failed")), (Some(1), 3, 1), "{report}{said}");
    assert!(
        report.to_string().contains("it has the revision, and is not ready: container helper: CrashLoop"),
        "{report}"
    );
}

fn a_pod_that_ends_by_its_change_stops_the_upgrade() {
    let running = Running::start(cluster(), "ends", 1, &["--ca-propagation=1s"]);
    let namespace = &running.pods;
    three(&running, "ends");
    let kubelet = |pod: &Value, _: Duration| {
        if image(pod) == NEW {
            let status = json!({"status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}});
            let name = pod["metadata"]["name"].as_str().expect("a name");
            let path = namespace.path(&format!("pods/{name}/status"));
            let patch = status.to_string().into_bytes();
            namespace.cluster.send("PATCH", &path, "application/merge-patch+json", patch).expect_success();
        }
    };
    let (code, report, said) = run(namespace, &["ends", "--min-ready", "0s"], kubelet);
    assert_eq!((code, count(&report, "failed"), count(&report, "not-started")), (Some(1), 1, 2), "{report}{said}");
    assert!(said.contains("is changed, and has ended since: the pod has failed: Evicted: low on memory"), "{said}");
}

fn what_others_change_is_left_alone_and_a_rollout_keeps_its_part() {
    let running = Running::start(cluster(), "parts", 1, &["--ca-propagation=1s"]);
    let namespace = &running.pods;
    let first = serve(&running, "parts", &sidecar(OLD));
    let names: Vec<String> = (0..8).map(|index| format!("db-{index}")).collect();
    let member = |name: &str| {
        let mut pod = asking(name, "db", "parts");
        let metadata = pod["metadata"].as_object_mut().expect("metadata");
        metadata.remove("generateName");
        metadata.insert("labels".to_owned(), json!({"app": "db"}));
        pod["metadata"]["ownerReferences"][0]["kind"] = json!("StatefulSet");
        pod["metadata"]["ownerReferences"][0]["name"] = json!("db");
        pod
    };
    let mut spec = sidecar(NEW);
    spec["rollout"] = json!({"percent": 50});
    let second = serve(&running, "parts", &spec);
    assert_ne!(first, second);
    for name in &names {
        let pod = namespace.accepts(&member(name));
        say(namespace, &pod, image(&pod), true, 0);
    }
    let new = pods(namespace).iter().filter(|pod| image(pod) == NEW).count();
    assert!((1..8).contains(&new), "{new} of 8 pods have the new revision");
    // Another admission plugin has replaced the app's image of a running pod.
    let patch = json!({"spec": {"containers": [{"name": "web", "image": "mirror.example/web:1"}]}}).to_string();
    let path = namespace.path("pods/db-0");
    namespace
        .cluster
        .send("PATCH", &path, "application/strategic-merge-patch+json", patch.into_bytes())
        .expect_success();
    let (code, report, said) = run(namespace, &["parts"], |_, _| ());
    assert_eq!((code, count(&report, "current")), (Some(0), 8), "{report}{said}");
    let app = namespace.cluster.get(&path).expect_success()["spec"]["containers"][0]["image"].clone();
    assert_eq!(app, "mirror.example/web:1");
}
