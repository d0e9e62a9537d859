//! `outrigger get` and `outrigger upgrade --dry-run`: what they say of pods that a real API server
//! stores, and what they say where something is missing.
//!
//! Pods do not run here: `tests/e2e/upgrade.rs` changes those that do.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{LIMIT, apply, cluster, eventual_status, is_ready, sidecar};
use crate::cluster::{Namespace, pod};
use crate::outrigger::PROGRAM;
use crate::process::eventually;
use crate::replicas::Running;

tests! {
    workloads_and_pods_are_shown_with_their_state,
    default_lists_request_and_missing_namespaces_are_named,
    each_difference_has_its_way_to_be_upgraded,
    missing_rights_and_an_absent_cluster_are_told,
    templates_and_pods_do_not_get_in_each_others_way,
}

/// What a command did.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

pub fn run_as(kubeconfig: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(PROGRAM)
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .output()
        .expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

pub fn run(namespace: &Namespace, arguments: &[&str]) -> Ran {
    let kubeconfig = &namespace.cluster.control_plane.kubeconfig;
    run_as(kubeconfig, &[arguments, &["--namespace", &namespace.name, "-o", "json"]].concat())
}

/// A pod on a node, as its ReplicaSet would create it.
pub fn asking(name: &str, owner: &str, request: &str) -> Value {
    let mut pod = pod(name, &json!({"outrigger.dev/inject": request}));
    pod["metadata"]["generateName"] = json!(format!("{owner}-abc-"));
    pod["metadata"]["labels"] = json!({"app": owner, "pod-template-hash": "abc"});
    let uid = "6f1ed002-ab5b-4f5a-8a44-3c5a0a4f8d5e";
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "name": format!("{owner}-abc"), "uid": uid, "controller": true}]);
    pod["spec"]["nodeName"] = json!("nowhere");
    pod
}

/// Applies a template and waits until pods get it.
pub fn serve(running: &Running, name: &str, spec: &Value) -> String {
    apply(running.cluster(), "", name, spec).expect_success();
    let generation = running.cluster().get(&super::path("", name)).expect_success()["metadata"]["generation"].clone();
    let status = eventual_status(running.cluster(), "", name, |status| {
        is_ready(status) && status["observedGeneration"] == generation
    });
    status["revision"].as_str().expect("a revision").to_owned()
}

fn workloads_and_pods_are_shown_with_their_state() {
    let running = Running::start(cluster(), "fleet", 1, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    let first = serve(&running, "fleet", &sidecar("helper:1"));
    for (name, owner, request) in [
        ("old-1", "old", "fleet"),
        ("old-2", "old", "fleet"),
        ("pinned-1", "pinned", &format!("fleet@{first}")),
        ("alone", "alone", "fleet"),
    ] {
        pods.accepts(&asking(name, owner, request));
    }
    let second = serve(&running, "fleet", &sidecar("helper:2"));
    pods.accepts(&asking("new-1", "new", "fleet"));
    // A pod that the webhook did not see: it was created before.
    let outside = cluster.namespace("fleet-outside", "none");
    outside.accepts(&asking("late-1", "late", "fleet"));
    let template = json!({"metadata": {"labels": {"app": "idle"}, "annotations": {"outrigger.dev/inject": "fleet, flet"}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
    let idle = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "idle"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "idle"}}, "template": template}});
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", pods.name);
    cluster.send_object("POST", &path, &idle).expect_success();

    let rows = |namespace: &Namespace| {
        let ran = run(namespace, &["get"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let report = ran.json();
        let row = |row: &Value| {
            let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
            (text("workload"), text("template"), text("state"), row["pods"].as_u64().unwrap_or_default())
        };
        report["workloads"].as_array().expect("rows").iter().map(row).collect::<Vec<_>>()
    };
    let row = |workload: &str, template: &str, state: &str, pods: u64| {
        (workload.to_owned(), template.to_owned(), state.to_owned(), pods)
    };
    let expected = [
        row("alone", "fleet", "outdated", 1),
        // The replicas of another test may not tell all templates, so a name may exist.
        row("idle", "fleet", "no-pods", 0),
        row("idle", "flet", "no-pods", 0),
        row("new", "fleet", "current", 1),
        row("old", "fleet", "outdated", 2),
        row("pinned", "fleet", "pinned", 1),
    ];
    let mut found = rows(pods);
    found.sort();
    let found: Vec<_> = found
        .into_iter()
        .map(|(workload, template, state, pods)| {
            let state = if template == "flet" { "no-pods".to_owned() } else { state };
            (workload, template, state, pods)
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(rows(&outside), [row("late", "fleet", "missing", 1)]);

    let wide = run_as(&cluster.control_plane.kubeconfig, &["get", "fleet", "-n", &pods.name, "-o", "wide"]);
    let line = wide.stdout.lines().find(|line| line.contains("deploy/old")).expect("a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    let expected = [&*pods.name, "deploy/old", "fleet", &first, "2", "outdated", &second, "old-1,", "old-2"];
    assert_eq!(words, expected, "{}", wide.stdout);
    assert!(wide.stderr.contains("1 current, 1 pinned, 2 outdated, 1 no-pods\n"), "{}", wide.stderr);
}

fn default_lists_request_and_missing_namespaces_are_named() {
    let running = Running::start(cluster(), "listed", 1, &["--ca-propagation=1s"]);
    let cluster = running.cluster();
    let kubeconfig = &cluster.control_plane.kubeconfig;
    serve(&running, "listed", &sidecar("helper:1"));
    // The webhook does not see these pods.
    let outside = cluster.namespace("listed-outside", "none");
    let patch = json!({"metadata": {"labels": {"outrigger.dev/injection": "enabled"},
        "annotations": {"outrigger.dev/inject": "listed"}}});
    let path = format!("/api/v1/namespaces/{}", outside.name);
    cluster.send("PATCH", &path, "application/merge-patch+json", patch.to_string().into_bytes()).expect_success();
    outside.accepts(&pod("silent", &json!({})));
    outside.accepts(&pod("opted-out", &json!({"outrigger.dev/inject": "false"})));
    outside.accepts(&pod("unreadable", &json!({"outrigger.dev/inject": "listed, false"})));
    for arguments in [&["get", "listed", "-n", &outside.name][..], &["get", "listed", "-A"]] {
        let ran = run_as(kubeconfig, arguments);
        let mut lines = ran.stdout.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        for name in ["pod/silent", "pod/unreadable"] {
            let expected = [&*outside.name, name, "listed", "-", "1", "missing"];
            assert_eq!(lines.next().expect("a row"), expected, "{}", ran.stdout);
        }
        assert_eq!(lines.next(), None, "{}", ran.stdout);
    }
    for arguments in [&["get", "-n", "listed-outsid"][..], &["templates", "--in-cluster", "-n", "listed-outsid"]] {
        let ran = run_as(kubeconfig, arguments);
        let expected = "error: there is no namespace \"listed-outsid\"; did you mean \"listed-outside\"?\n";
        assert_eq!((ran.code, &*ran.stdout), (Some(1), ""));
        assert!(ran.stderr.ends_with(expected), "{}", ran.stderr);
    }
}

/// A resize is accepted only where the pod's node has room.
fn make_room(running: &Running) {
    running.cluster().ensure("/api/v1/nodes", &json!({"metadata": {"name": "nowhere"}}));
    let room = json!({"cpu": "4", "memory": "8Gi", "pods": "100"});
    let status = json!({"status": {"capacity": room, "allocatable": room}}).to_string().into_bytes();
    let path = "/api/v1/nodes/nowhere/status";
    running.cluster().send("PATCH", path, "application/merge-patch+json", status).expect_success();
}

/// The Deployment `web` without pods.
fn deployment(namespace: &Namespace) -> Value {
    let container = json!({"name": "web", "image": "web:1"});
    let template = json!({"metadata": {"labels": {"app": "other"}}, "spec": {"containers": [container]}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace.name},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "other"}}, "template": template}})
}

fn each_difference_has_its_way_to_be_upgraded() {
    let running = Running::start(cluster(), "ways", 1, &["--ca-propagation=1s"]);
    let pods = &running.pods;
    make_room(&running);
    let mut spec = sidecar("helper:1");
    spec["sidecars"][0]["resources"] = json!({"requests": {"cpu": "10m"}, "limits": {"memory": "16Mi"}});
    serve(&running, "ways", &spec);
    serve(&running, "ways-other", &json!({"app": {"env": [{"name": "OTHER", "value": "1"}]}}));
    pods.accepts(&asking("web-1", "web", "ways-other, ways"));
    let mut single = asking("single", "single", "ways");
    single["metadata"].as_object_mut().expect("metadata").retain(|key, _| key == "name" || key == "annotations");
    pods.accepts(&single);
    let ways = |expected: &[(&str, &str, &str)]| {
        let ran = run(pods, &["upgrade", "ways", "--dry-run"]);
        let report = ran.json();
        let lines = report["workloads"].as_array().expect("lines").iter();
        let found: Vec<_> = lines
            .map(|line| {
                let text = |field: &str| line[field].as_str().unwrap_or_default();
                (text("workload"), text("how"), text("outcome"))
            })
            .collect();
        assert_eq!(found, expected, "{report}");
        report
    };
    ways(&[("deploy/web", "none", "current"), ("pod/single", "none", "current")]);

    // Another template is out of date too: that is not asked for.
    serve(&running, "ways-other", &json!({"app": {"env": [{"name": "OTHER", "value": "2"}]}}));
    ways(&[("deploy/web", "none", "current"), ("pod/single", "none", "current")]);

    spec["sidecars"][0]["image"] = json!("helper:2");
    serve(&running, "ways", &spec);
    ways(&[("deploy/web", "image", "planned"), ("pod/single", "image", "planned")]);

    spec["sidecars"][0]["resources"]["requests"]["cpu"] = json!("20m");
    serve(&running, "ways", &spec);
    ways(&[("deploy/web", "image and resize", "planned"), ("pod/single", "image and resize", "planned")]);

    // What would change the QoS class cannot be a resize.
    spec["sidecars"][0]["args"] = json!(["--new"]);
    serve(&running, "ways", &spec);
    let told = |outcomes: [(&str, &str); 2]| {
        let [(web, how), (single, other)] = outcomes;
        let report = ways(&[("deploy/web", how, web), ("pod/single", other, single)]);
        [0, 1].map(|index| report["workloads"][index]["message"].as_str().unwrap_or_default().to_owned())
    };
    let [web, single] = told([("failed", "none"), ("failed", "none")]);
    assert_eq!(web, "spec.initContainers[helper].args differs: its workload is gone");
    assert!(single.ends_with("nothing creates this pod anew; delete and create it yourself"), "{single}");
    // What the run would refuse, the dry run tells.
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", pods.name);
    running.cluster().send_object("POST", &path, &deployment(pods)).expect_success();
    let [other, _] = told([("failed", "none"), ("failed", "none")]);
    assert!(other.ends_with("its pods belong to another object of its name"), "{other}");

    let ran = run(pods, &["upgrade", "ways", "--dry-run", "--no-restart", "deploy/web"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stderr.contains("nothing was changed"), "{}", ran.stderr);
    assert!(ran.stdout.contains("which --no-restart leaves out"), "{}", ran.stdout);
    let ran = run(pods, &["upgrade", "wys", "--dry-run"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("did you mean \"ways\"?"), "{}", ran.stderr);
    let ran = run(pods, &["upgrade", "ways", "deploy/wbe"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("there are: deploy/web, pod/single"), "{}", ran.stderr);
}

/// The kubeconfig of an account with these rights in the namespace.
pub fn account(namespace: &Namespace, name: &str, rules: &Value) -> PathBuf {
    namespace.ensure_service_account(name);
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let path = namespace.path(&format!("serviceaccounts/{name}/token"));
    let token = namespace.cluster.send_object("POST", &path, &request).expect_success()["status"]["token"].clone();
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}", namespace.name);
    let binding = json!({
        "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace.name}],
    });
    namespace.cluster.ensure(&format!("{rbac}/roles"), &json!({"metadata": {"name": name}, "rules": rules}));
    namespace.cluster.ensure(&format!("{rbac}/rolebindings"), &binding);
    let file = namespace.cluster.control_plane.janitor.directory().join(format!("kubeconfig-{name}"));
    std::fs::write(&file, namespace.cluster.kubeconfig_of(token.as_str().expect("a token"))).expect("a file");
    file
}

/// The order in which two templates are injected does not make pods differ, and a pod for which the webhook
/// gives no verdict keeps no other from being upgraded.
fn templates_and_pods_do_not_get_in_each_others_way() {
    let running = Running::start(cluster(), "beside", 1, &["--ca-propagation=1s"]);
    let pods = &running.pods;
    let spec = |name: &str, image: &str| {
        json!({"sidecars": [{"name": name, "image": image, "resources": {"limits": {"memory": "16Mi"}}}],
            "app": {"env": [{"name": name.to_uppercase(), "value": "1"}],
                "volumeMounts": [{"name": name, "mountPath": format!("/{name}")}]},
            "volumes": [{"name": name, "emptyDir": {"sizeLimit": "1Mi"}}]})
    };
    serve(&running, "beside-p", &spec("p", "p:1"));
    serve(&running, "beside-q", &spec("q", "q:1"));
    let mut pod = asking("web-1", "web", "beside-p, beside-q");
    pod["metadata"]["labels"]["n"] = json!("0");
    pods.accepts(&pod);
    let line = |template: &str| {
        let report = run(pods, &["upgrade", template, "--dry-run"]).json();
        let text = |field: &str| report["workloads"][0][field].as_str().unwrap_or_default().to_owned();
        [text("how"), text("outcome"), text("message")]
    };
    for template in ["beside-p", "beside-q"] {
        assert_eq!(line(template), ["none", "current", ""], "{template}");
    }
    for (template, name) in [("beside-p", "p"), ("beside-q", "q")] {
        serve(&running, template, &spec(name, "new:1"));
        assert_eq!(line(template), ["image", "planned", ""], "{template}");
    }

    // A template that wants another place among the others needs new pods.
    let mut moved = spec("p", "new:1");
    moved["placement"] = json!({"order": "Last"});
    serve(&running, "beside-p", &moved);
    let [_, outcome, message] = line("beside-p");
    assert!(outcome == "failed" && message.starts_with("the order of spec.initContainers"), "{outcome}: {message}");
    serve(&running, "beside-p", &spec("p", "new:1"));

    let mut other = asking("other-1", "other", "beside-p");
    other["metadata"]["labels"]["n"] = json!("7");
    pods.accepts(&other);
    serve(&running, "beside-p", &spec("p", "${['x:1', 'x:2'][int(pod.metadata.labels.n)]}"));
    let ran = run(pods, &["upgrade", "beside-p", "--dry-run"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let report = ran.json();
    let outcome = |workload: &str| {
        let lines = report["workloads"].as_array().expect("lines");
        let line = lines.iter().find(|line| line["workload"] == workload).expect("a line");
        [&line["outcome"], &line["message"]].map(|text| text.as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(outcome("deploy/web"), ["planned", ""], "{report}");
    let [outcome, message] = outcome("deploy/other");
    assert!(outcome == "failed" && message.contains("index out of bounds"), "{report}");
}

fn missing_rights_and_an_absent_cluster_are_told() {
    let running = Running::start(cluster(), "rights", 1, &["--ca-propagation=1s"]);
    let pods = &running.pods;
    serve(&running, "rights", &sidecar("helper:1"));
    pods.accepts(&asking("web-1", "web", "rights"));
    serve(&running, "rights", &sidecar("helper:2"));
    let may = |resource: &str, verbs: &[&str]| json!({"apiGroups": [""], "resources": [resource], "verbs": verbs});
    let upgrade =
        |kubeconfig: &Path| run_as(kubeconfig, &["upgrade", "rights", "-n", &pods.name, "--dry-run", "-o", "json"]);

    let nobody = account(pods, "nobody", &json!([]));
    for arguments in [&["get", "-n", &pods.name][..], &["upgrade", "rights", "-n", &pods.name]] {
        let ran = run_as(&nobody, arguments);
        assert_eq!((ran.code, &*ran.stdout), (Some(1), ""));
        assert!(ran.stderr.contains("the right to list pods in namespace"), "{}", ran.stderr);
    }
    let reader = account(pods, "reader", &json!([may("pods", &["list", "get"])]));
    eventually("the rights are there", LIMIT, || {
        run_as(&reader, &["get", "-n", &pods.name]).stdout.contains("deploy/web").then_some(())
    });
    let ran = run_as(&reader, &["get", "-n", &pods.name]);
    assert!(ran.stderr.contains("warning: the right to list deployments in namespace"), "{}", ran.stderr);
    let ran = upgrade(&reader);
    assert!(
        ran.code == Some(1) && ran.stdout.contains("the right to create pods (a dry run) is missing"),
        "{}",
        ran.stdout
    );

    let creator = account(pods, "creator", &json!([may("pods", &["list", "get", "create"])]));
    let ran = eventually("the rights are there", LIMIT, || {
        Some(upgrade(&creator)).filter(|ran| !ran.stdout.contains("create pods") && !ran.stdout.is_empty())
    });
    assert!(ran.stdout.contains("the right to patch pods is missing"), "{}{}", ran.stdout, ran.stderr);

    let gone = pods.cluster.control_plane.janitor.directory().join("kubeconfig-gone");
    let text = std::fs::read_to_string(&pods.cluster.control_plane.kubeconfig).expect("a kubeconfig");
    let address = pods.cluster.address().to_string();
    std::fs::write(&gone, text.replace(&address, "127.0.0.1:9")).expect("a file");
    for arguments in [&["get"][..], &["upgrade", "rights"]] {
        let ran = run_as(&gone, arguments);
        assert_eq!((ran.code, &*ran.stdout), (Some(1), ""));
        assert!(ran.stderr.contains("cannot reach the API server at https://127.0.0.1:9/"), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(!ran.stderr.contains("tcp connect error"), "{}", ran.stderr);
    }
    let ran = run_as(&gone, &["get", "--context", "nope"]);
    assert!(ran.stderr.contains("the kubeconfig has no context \"nope\"; it has "), "{}", ran.stderr);
}
