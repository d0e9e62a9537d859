//! `outrigger upgrade` where workloads are restarted: their controllers are real, and the test is the kubelet.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fleet::{account, asking, run as run_once, run_as, serve};
use super::fleet_run::{NEW, OLD, count, pods, run, say};
use super::{LIMIT, cluster, sidecar};
use crate::cluster::Namespace;
use crate::harness;
use crate::process::eventually;
use crate::replicas::Running;

tests! {
    a_failed_restart_goes_on_when_the_template_is_mended,
    a_workload_of_the_same_name_is_not_restarted,
    labels_that_choose_some_pods_of_a_workload_restart_nothing,
    new_pods_that_do_not_stay_ready_stop_the_upgrade,
    two_broken_workloads_get_the_former_template_again,
    what_is_not_ready_is_restarted_first_and_counts,
}

/// A template whose sidecar has this argument: another one needs new pods.
fn with_argument(argument: &str) -> Value {
    let mut spec = sidecar(OLD);
    spec["sidecars"][0]["args"] = json!([argument]);
    spec
}

/// The argument of the sidecar of a pod.
fn argument(pod: &Value) -> &str {
    let sidecar = pod["spec"]["initContainers"].as_array().into_iter().flatten();
    sidecar
        .filter(|container| container["name"] == "helper")
        .find_map(|one| one["args"][0].as_str())
        .unwrap_or_default()
}

fn start(name: &str) -> Running {
    if !cluster().control_plane.has_controllers {
        harness::ignore("KUBEBUILDER_ASSETS has no kube-controller-manager, so no workload gets a pod");
    }
    Running::start(cluster(), name, 1, &["--ca-propagation=1s"])
}

/// Creates a workload of `apps` with pods that request the template, and waits until they are ready.
fn create(namespace: &Namespace, kind: &str, name: &str, template: &str, edit: impl Fn(&mut Value)) -> Value {
    let container = json!({"name": "web", "image": "web:1"});
    let pods_of = json!({
        "metadata": {"labels": {"app": name}, "annotations": {"outrigger.dev/inject": template}},
        "spec": {"containers": [container]},
    });
    let mut workload = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": pods_of}});
    if kind == "StatefulSet" {
        workload["spec"]["serviceName"] = json!(name);
    }
    edit(&mut workload);
    let wanted = workload["spec"]["replicas"].as_u64().expect("a number");
    let path = path(namespace, kind, "");
    let created = namespace.cluster.send_object("POST", &path, &workload).expect_success();
    eventually("the pods of the workload are available", LIMIT, || {
        pods(namespace).iter().filter(|pod| is_of(pod, name)).for_each(|pod| say(namespace, pod, OLD, true, 0));
        let found = namespace.cluster.get(&format!("{path}/{name}")).expect_success();
        (found["status"]["availableReplicas"].as_u64().unwrap_or_default() == wanted).then_some(())
    });
    created
}

fn path(namespace: &Namespace, kind: &str, name: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!("/{name}") };
    format!("/apis/apps/v1/namespaces/{}/{}s{name}", namespace.name, kind.to_lowercase())
}

fn is_of(pod: &Value, workload: &str) -> bool {
    pod["metadata"]["labels"]["app"] == workload
}

fn new_pods_that_do_not_stay_ready_stop_the_upgrade() {
    let running = start("unstable");
    let namespace = &running.pods;
    serve(&running, "unstable", &with_argument("--old"));
    create(namespace, "Deployment", "one", "unstable", |_| ());
    create(namespace, "Deployment", "two", "unstable", |_| ());
    serve(&running, "unstable", &with_argument("--new"));
    // The new pods are ready until all of them are there and have been for a while.
    let complete = Cell::new(None);
    let kubelet = |pod: &Value, _: Duration| {
        if is_of(pod, "one") && argument(pod) == "--new" {
            if complete.get().is_none()
                && pods(namespace).iter().filter(|pod| is_of(pod, "one")).all(|pod| argument(pod) == "--new")
            {
                complete.set(Some(Instant::now()));
            }
            let is_ready = complete.get().is_none_or(|since| since.elapsed() < Duration::from_millis(2500));
            say(namespace, pod, OLD, is_ready, u32::from(!is_ready));
        }
    };
    let (code, report, said) = run(namespace, &["unstable", "--min-ready", "5s", "--ready-timeout", "4s"], kubelet);
    assert_eq!((code, count(&report, "failed"), count(&report, "not-started")), (Some(1), 2, 2), "{report}{said}");
    assert!(
        said.contains("it is restarted, and pod ") && said.contains(" has not stayed ready for 5s within 4s: "),
        "{said}"
    );
    let untouched = pods(namespace).into_iter().filter(|pod| is_of(pod, "two"));
    assert!({ untouched }.all(|pod| argument(&pod) == "--old"), "the second workload is not begun");

    // All pods have the revision now, and it is still said that they do not run.
    let (code, report, said) =
        run(namespace, &["unstable", "deploy/one", "--min-ready", "0s", "--ready-timeout", "2s"], |pod, _| {
            say(namespace, pod, OLD, argument(pod) == "--old", 1)
        });
    assert_eq!((code, count(&report, "failed")), (Some(1), 2), "{report}{said}");
    assert!(report.to_string().contains("it has the revision, and is not ready: container helper: "), "{report}");
}

fn a_failed_restart_goes_on_when_the_template_is_mended() {
    let running = start("mended");
    let namespace = &running.pods;
    serve(&running, "mended", &with_argument("--old"));
    create(namespace, "Deployment", "web", "mended", |_| ());
    create(namespace, "StatefulSet", "db", "mended", |_| ());
    serve(&running, "mended", &with_argument("--broken"));
    let kubelet = |pod: &Value, _: Duration| say(namespace, pod, OLD, argument(pod) != "--broken", 0);
    let arguments = |workload| ["mended", workload, "--min-ready", "1s", "--ready-timeout", "3s"];
    for workload in ["deploy/web", "sts/db"] {
        let (code, report, said) = run(namespace, &arguments(workload), kubelet);
        assert_eq!((code, count(&report, "failed")), (Some(1), 2), "{report}{said}");
        assert!(said.contains("its rollout has made no progress within 3s: "), "{said}");
        assert!(said.contains(" is not ready: container helper: CrashLoopBackOff: back-off"), "{said}");
    }
    serve(&running, "mended", &with_argument("--mended"));
    let (code, report, said) = run(namespace, &arguments("deploy/web"), kubelet);
    assert_eq!((code, count(&report, "done")), (Some(0), 2 + 1), "{report}{said}");
    assert!(pods(namespace).iter().filter(|pod| is_of(pod, "web")).all(|pod| argument(pod) == "--mended"));

    // A StatefulSet waits for the broken pod for ever.
    let (code, _, said) = run(namespace, &arguments("sts/db"), kubelet);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("pod db-1 is not ready: ") && said.contains("so delete this pod yourself"), "{said}");
    let broken = namespace.path("pods/db-1?gracePeriodSeconds=0");
    namespace.cluster.send("DELETE", &broken, "application/json", Vec::new()).expect_success();
    let (code, _, said) = run(namespace, &arguments("sts/db"), kubelet);
    assert_eq!(code, Some(0), "{said}");
    assert!(pods(namespace).iter().all(|pod| argument(pod) == "--mended"));
}

/// Neither waits for the pods of the other, which are not ready, and the rollout of the broken template is replaced
/// although the old pods have the wanted revision.
fn two_broken_workloads_get_the_former_template_again() {
    let running = start("former");
    let namespace = &running.pods;
    serve(&running, "former", &with_argument("--old"));
    let one_at_a_time = |workload: &mut Value| {
        workload["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}});
    };
    create(namespace, "Deployment", "one", "former", one_at_a_time);
    create(namespace, "Deployment", "two", "former", one_at_a_time);
    serve(&running, "former", &with_argument("--broken"));
    let kubelet = |pod: &Value, _: Duration| say(namespace, pod, OLD, argument(pod) != "--broken", 0);
    for workload in ["deploy/one", "deploy/two"] {
        let arguments = ["former", workload, "--min-ready", "0s", "--ready-timeout", "3s", "--max-unavailable", "2"];
        let (code, report, said) = run(namespace, &arguments, kubelet);
        assert_eq!(code, Some(1), "{report}{said}");
    }
    let broken = pods(namespace).iter().filter(|pod| argument(pod) == "--broken").count();
    assert_eq!(broken, 2, "one pod of each");
    serve(&running, "former", &with_argument("--old"));
    let (code, report, said) = run(namespace, &["former", "--min-ready", "0s", "--ready-timeout", "20s"], kubelet);
    assert_eq!((code, count(&report, "done")), (Some(0), 2), "{report}{said}");
    assert!(pods(namespace).iter().all(|pod| argument(pod) == "--old"));
}

fn a_workload_of_the_same_name_is_not_restarted() {
    let running = start("namesake");
    let namespace = &running.pods;
    serve(&running, "namesake", &with_argument("--old"));
    let first = create(namespace, "Deployment", "web", "namesake", |_| ());
    // The ReplicaSet stays; its owner is another Deployment than the one that has the name now.
    let sets = namespace.cluster.get(&path(namespace, "ReplicaSet", "")).expect_success();
    let set = sets["items"][0]["metadata"]["name"].as_str().expect("a ReplicaSet").to_owned();
    let orphan = json!({"metadata": {"ownerReferences": null}}).to_string();
    let away = json!({"propagationPolicy": "Orphan"}).to_string();
    namespace.cluster.send("DELETE", &path(namespace, "Deployment", "web"), "application/json", away.into_bytes());
    let no_finalizer = json!({"metadata": {"finalizers": null}}).to_string();
    let merge = |path: &str, patch: &str| {
        namespace.cluster.send("PATCH", path, "application/merge-patch+json", patch.as_bytes().to_vec())
    };
    eventually("the Deployment is gone", LIMIT, || {
        merge(&path(namespace, "Deployment", "web"), &no_finalizer);
        (!namespace.cluster.get(&path(namespace, "Deployment", "web")).is_success()).then_some(())
    });
    merge(&path(namespace, "ReplicaSet", &set), &orphan).expect_success();
    let second = create(namespace, "Deployment", "web", "false", |workload| {
        workload["spec"]["selector"]["matchLabels"] = json!({"app": "web", "other": "yes"});
        workload["spec"]["template"]["metadata"]["labels"] = json!({"app": "web", "other": "yes"});
        workload["spec"]["replicas"] = json!(0);
    });
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    serve(&running, "namesake", &with_argument("--new"));
    let ran = run_once(namespace, &["upgrade", "namesake", "--dry-run"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("its pods belong to another object of its name"), "{}", ran.stdout);
}

fn labels_that_choose_some_pods_of_a_workload_restart_nothing() {
    let running = start("some");
    let namespace = &running.pods;
    serve(&running, "some", &with_argument("--old"));
    create(namespace, "Deployment", "web", "some", |_| ());
    let one = pods(namespace)[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let label = json!({"metadata": {"labels": {"canary": "yes"}}}).to_string();
    let pod = namespace.path(&format!("pods/{one}"));
    namespace.cluster.send("PATCH", &pod, "application/merge-patch+json", label.into_bytes()).expect_success();
    serve(&running, "some", &with_argument("--new"));
    let ran = run_once(namespace, &["upgrade", "some", "-l", "canary=yes"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let expected = "a restart replaces all 2 pods of the workload, and --selector chooses 1 of them";
    assert!(
        ran.stdout.contains(expected) && ran.stderr.contains("nothing was changed"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    let ran = run_once(namespace, &["upgrade", "some", "-l", "app=web", "--dry-run"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);

    assert!(ran.stdout.contains("\"planned\"") && ran.stdout.contains("spec.initContainers[helper].args differs"));
    let ran = run_once(namespace, &["upgrade", "some", "--dry-run", "--no-restart", "deploy/web"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("nothing was changed"), "{}", ran.stderr);

    // What the run would refuse, the dry run tells.
    let paused = json!({"spec": {"paused": true}}).to_string();
    let web = path(namespace, "Deployment", "web");
    namespace.cluster.send("PATCH", &web, "application/merge-patch+json", paused.into_bytes()).expect_success();
    let ran = run_once(namespace, &["upgrade", "some", "--dry-run"]);
    assert!(ran.code == Some(1) && ran.stdout.contains("it is paused"), "{}{}", ran.stdout, ran.stderr);

    // What is left out needs no right.
    let may = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "get", "create", "patch"]}]);
    let of_pods = account(namespace, "some-pods", &may);
    let arguments = ["upgrade", "some", "-n", &namespace.name, "--dry-run"];
    let ran = eventually("the rights are there", LIMIT, || {
        Some(run_as(&of_pods, &arguments)).filter(|ran| ran.stdout.contains("get deployments"))
    });
    assert!(ran.stdout.contains("the right to get deployments \"web\" is missing"), "{}", ran.stdout);
    let ran = run_as(&of_pods, &[&arguments[..], &["--no-restart"]].concat());
    assert!(ran.stdout.contains("needs a restart, which --no-restart leaves out"), "{}{}", ran.stdout, ran.stderr);
}

fn what_is_not_ready_is_restarted_first_and_counts() {
    let running = start("first");
    let namespace = &running.pods;
    let spec = |image: &str, value: &str| {
        let mut spec = sidecar(image);
        let value = format!("${{pod.metadata.labels.app == 'restarted' ? '{value}' : 'same'}}");
        spec["sidecars"][0]["env"] = json!([{"name": "VALUE", "value": value}]);
        spec
    };
    serve(&running, "first", &spec(OLD, "old"));
    create(namespace, "Deployment", "restarted", "first", |workload| {
        workload["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}});
    });
    for name in ["changed-1", "changed-2"] {
        let pod = namespace.accepts(&asking(name, "changed", "first"));
        say(namespace, &pod, OLD, true, 0);
    }
    let is_restarted = |pod: &&Value| is_of(pod, "restarted");
    let broken = pods(namespace).iter().find(is_restarted).expect("a pod").clone();
    say(namespace, &broken, OLD, false, 3);
    serve(&running, "first", &spec(NEW, "new"));
    // No pod that is ready is changed in place while the broken one is there.
    let kubelet = |pod: &Value, _: Duration| {
        let image = super::fleet_run::image(pod);
        if image == NEW && is_of(pod, "changed") {
            let is_there = pods(namespace).iter().any(|one| one["metadata"]["uid"] == broken["metadata"]["uid"]);
            assert!(!is_there, "two pods are unavailable");
        }
        if image == NEW {
            say(namespace, pod, NEW, true, 0);
        }
    };
    let (code, report, said) = run(namespace, &["first", "--min-ready", "0s", "--ready-timeout", "20s"], kubelet);
    assert_eq!((code, count(&report, "done")), (Some(0), 4), "{report}{said}");

    // A strategy that takes two pods waits until two may become unavailable.
    let mut workload = namespace.cluster.get(&path(namespace, "Deployment", "restarted")).expect_success();
    workload["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": 2, "maxSurge": 0}});
    namespace.cluster.send_object("PUT", &path(namespace, "Deployment", "restarted"), &workload).expect_success();
    serve(&running, "first", &spec(NEW, "newer"));
    let current = namespace.accepts(&asking("late-1", "late", "first"));
    say(namespace, &current, NEW, false, 3);
    let arguments = ["first", "--min-ready", "0s", "--ready-timeout", "2s", "--max-unavailable", "2"];
    let (code, report, said) = run(namespace, &arguments, |_, _| ());
    assert_eq!(code, Some(1), "{report}{said}");
    assert!(said.contains("2 pods may not become unavailable while pod "), "{said}");
}
