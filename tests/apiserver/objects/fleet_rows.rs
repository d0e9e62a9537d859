//! Which rows `outrigger get` has on a real API server: workloads without pods, runs of a CronJob, and
//! templates of one name.

use serde_json::{Value, json};

use super::fleet::{account, asking, run, run_as, serve};
use super::{LIMIT, apply, cluster, eventual_status, ready, sidecar};
use crate::cluster::{Namespace, pod};
use crate::harness;
use crate::process::eventually;
use crate::replicas::Running;

tests! {
    a_selector_chooses_workloads_by_the_labels_of_their_pods,
    refused_workloads_of_every_kind_have_a_row,
    runs_of_a_cron_job_are_in_its_row,
    a_template_of_a_tenant_counts_only_where_pods_get_it,
    pods_that_an_automatic_template_selects_have_a_row,
    objects_with_characters_that_yaml_forbids_can_be_read,
}

/// The rows as `kind/workload template state pods`, sorted.
fn rows(namespace: &Namespace, arguments: &[&str]) -> Vec<String> {
    let ran = run(namespace, &[&["get"], arguments].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    told(&ran.json())
}

fn told(report: &Value) -> Vec<String> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| {
        let [kind, workload, template, state] = ["kind", "workload", "template", "state"].map(|field| text(row, field));
        format!("{kind}/{workload} {template} {state} {}", row["pods"])
    };
    let mut rows: Vec<String> = report["workloads"].as_array().expect("rows").iter().map(row).collect();
    rows.sort();
    rows
}

/// A pod template that requests a template.
fn pods(app: &str, request: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}, "annotations": {"outrigger.dev/inject": request}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]}})
}

fn selecting(app: &str, request: &str, replicas: u32) -> Value {
    json!({"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": pods(app, request)})
}

fn job(request: &str) -> Value {
    let mut template = pods("job", request);
    template["spec"]["restartPolicy"] = json!("Never");
    json!({"template": template})
}

/// Creates an object; `group` is such as `/apis/apps/v1`.
fn create(namespace: &Namespace, group: &str, plural: &str, name: &str, spec: &Value) -> Value {
    let path = format!("{group}/namespaces/{}/{plural}", namespace.name);
    namespace.cluster.send_object("POST", &path, &json!({"metadata": {"name": name}, "spec": spec})).expect_success()
}

fn a_selector_chooses_workloads_by_the_labels_of_their_pods() {
    let namespace = cluster().namespace("fleet-selector", "none");
    for app in ["web", "other"] {
        create(&namespace, "/apis/apps/v1", "deployments", app, &selecting(app, "proxy", 0));
    }
    let (web, other) = ("Deployment/web proxy no-pods 0", "Deployment/other proxy no-pods 0");
    for (selector, expected) in [
        ("app=web", &[web][..]),
        ("app == web , !tier", &[web]),
        ("app in (web, db)", &[web]),
        ("app notin (web,),tier!=x", &[other]),
        ("app,app>1", &[]),
        ("tier", &[]),
        ("app", &[other, web]),
        ("tier in ()", &[]),
    ] {
        assert_eq!(rows(&namespace, &["-l", selector]), expected, "{selector}");
    }
    // What the API server would refuse is wrong usage.
    for selector in
        ["app web", "app in web", "app in (web", "!app=web", "=web", "app>x", ".app", "app=web,", "app in (a b)"]
    {
        let ran = run(&namespace, &["get", "-l", selector]);
        assert!(ran.code == Some(2) && ran.stderr.contains("invalid value"), "{selector}: {}", ran.stderr);
    }
}

fn refused_workloads_of_every_kind_have_a_row() {
    let running = Running::start(cluster(), "refusing", 1, &["--ca-propagation=1s"]);
    let namespace = &running.pods;
    serve(&running, "refusing", &sidecar("helper:1"));
    // The webhook refuses their pods: there is no such template.
    let request = "refusing, refusing-nonesuch";
    create(namespace, "/apis/batch/v1", "jobs", "job", &job(request));
    create(namespace, "/apis/apps/v1", "replicasets", "set", &selecting("set", request, 1));
    create(namespace, "/apis/apps/v1", "deployments", "web", &selecting("web", request, 1));
    let of_controller = json!({"replicas": 1, "selector": {"app": "rc"}, "template": pods("rc", request)});
    create(namespace, "/api/v1", "replicationcontrollers", "rc", &of_controller);
    let cron_job = json!({"schedule": "0 0 1 1 *", "suspend": true, "jobTemplate": {"spec": job(request)}});
    create(namespace, "/apis/batch/v1", "cronjobs", "nightly", &cron_job);
    if namespace.cluster.control_plane.has_controllers {
        eventually("the Deployment has a ReplicaSet", LIMIT, || {
            let path = format!("/apis/apps/v1/namespaces/{}/replicasets", namespace.name);
            let sets = namespace.cluster.get(&path).expect_success();
            (sets["items"].as_array()?.len() == 2).then_some(())
        });
    }
    let expected = ["CronJob/nightly", "Deployment/web", "Job/job", "ReplicaSet/set", "ReplicationController/rc"];
    assert_eq!(rows(namespace, &["refusing"]), expected.map(|workload| format!("{workload} refusing no-pods 0")));

    // What only the default list of the namespace requests is refused as well.
    let outside = cluster().namespace("refusing-outside", "none");
    let metadata =
        json!({"labels": {"outrigger.dev/injection": "enabled"}, "annotations": {"outrigger.dev/inject": "refusing"}});
    let patch = json!({"metadata": metadata}).to_string().into_bytes();
    let path = format!("/api/v1/namespaces/{}", outside.name);
    outside.cluster.send("PATCH", &path, "application/merge-patch+json", patch).expect_success();
    let mut silent = selecting("silent", "", 0);
    silent["template"]["metadata"].as_object_mut().expect("metadata").remove("annotations");
    create(&outside, "/apis/apps/v1", "deployments", "silent", &silent);
    create(&outside, "/apis/apps/v1", "deployments", "opted-out", &selecting("out", "false", 0));
    assert_eq!(rows(&outside, &[]), ["Deployment/silent refusing no-pods 0"]);
}

fn runs_of_a_cron_job_are_in_its_row() {
    if !cluster().control_plane.has_controllers {
        harness::ignore("KUBEBUILDER_ASSETS has no kube-controller-manager, so no Job gets a pod");
    }
    let running = Running::start(cluster(), "nightly", 1, &["--ca-propagation=1s"]);
    let namespace = &running.pods;
    serve(&running, "nightly", &sidecar("helper:1"));
    let cron_job = json!({"schedule": "0 0 1 1 *", "suspend": true, "jobTemplate": {"spec": job("nightly")}});
    let cron_job = create(namespace, "/apis/batch/v1", "cronjobs", "nightly", &cron_job);
    let owner = json!({"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": cron_job["metadata"]["uid"], "controller": true});
    for name in ["nightly-1", "nightly-2"] {
        let run = json!({"metadata": {"name": name, "ownerReferences": [owner]}, "spec": job("nightly")});
        let path = format!("/apis/batch/v1/namespaces/{}/jobs", namespace.name);
        namespace.cluster.send_object("POST", &path, &run).expect_success();
    }
    namespace.wait_for_pods("job", 2);
    assert_eq!(rows(namespace, &[]), ["CronJob/nightly nightly current 2"]);

    let may = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "get"]}]);
    let reader = account(namespace, "nightly-reader", &may);
    let of_runs = ["Job/nightly-1 nightly current 1", "Job/nightly-2 nightly current 1"];
    let ran = eventually("the rights are there", LIMIT, || {
        let ran = run_as(&reader, &["get", "-n", &namespace.name, "-o", "json"]);
        (ran.code == Some(0)).then_some(ran)
    });
    let report = ran.json();
    // Without the right to list template objects, and without a replica, no revision is known.
    assert_eq!(told(&report), of_runs.map(|row| row.replace("current", "unknown")));
    let not_read: Vec<&str> = report["notRead"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(not_read.iter().filter(|problem| problem.contains("list jobs")).count(), 1, "{not_read:?}");

    let mut spec = sidecar("helper:1");
    spec["sidecars"][0]["args"] = json!(["--new"]);
    serve(&running, "nightly", &spec);
    let ran = run(namespace, &["upgrade", "nightly", "--dry-run", "cronjob/nightly"]);
    let lines = ran.json()["workloads"].clone();
    assert_eq!(
        (lines.as_array().map(Vec::len), &lines[0]["workload"]),
        (Some(1), &json!("cronjob/nightly")),
        "{lines}"
    );
    let message = lines[0]["message"].as_str().unwrap_or_default();
    assert!(message.ends_with("a CronJob is not restarted; its next run has the current revision"), "{message}");
}

fn a_template_of_a_tenant_counts_only_where_pods_get_it() {
    let running = Running::start(cluster(), "owned", 1, &["--ca-propagation=1s"]);
    let (cluster, namespace) = (running.cluster(), &running.pods);
    serve(&running, "owned", &sidecar("helper:1"));
    namespace.accepts(&asking("web-1", "web", "owned"));
    assert_eq!(rows(namespace, &[]), ["Deployment/web owned current 1"]);

    apply(cluster, &namespace.name, "owned", &sidecar("tenant:1")).expect_success();
    eventual_status(cluster, &namespace.name, "owned", |status| {
        ready(status).1 == "NameTaken" && status["revision"].as_str().is_some_and(|revision| !revision.is_empty())
    });
    assert_eq!(rows(namespace, &[]), ["Deployment/web owned current 1"]);

    let mut shadowable = sidecar("helper:1");
    shadowable["shadowable"] = json!(true);
    serve(&running, "owned", &shadowable);
    eventual_status(cluster, &namespace.name, "owned", super::is_ready);
    assert_eq!(rows(namespace, &[]), ["Deployment/web owned outdated 1"]);
}

fn pods_that_an_automatic_template_selects_have_a_row() {
    let running = Running::start(cluster(), "unasked", 1, &["--ca-propagation=1s"]);
    let cluster = running.cluster();
    let automatic = |matching: Value| {
        let mut spec = sidecar("helper:1");
        spec["injection"] = json!("Automatic");
        spec["match"] = matching;
        spec
    };
    let selector = json!({"matchLabels": {"app": "unasked"}});
    serve(&running, "unasked", &automatic(json!({"podSelector": selector})));
    let conditions = json!([{"expression": "pod.spec.hostNetwork == false", "message": "no"}]);
    serve(&running, "unasked-maybe", &automatic(json!({"podSelector": selector, "conditions": conditions})));
    // The webhook does not see these pods.
    let outside = cluster.namespace("unasked-outside", "none");
    let labelled = |name: &str, app: &str, annotations: &Value| {
        let mut object = pod(name, annotations);
        object["metadata"]["labels"] = json!({"app": app});
        outside.accepts(&object);
    };
    labelled("silent", "unasked", &json!({}));
    labelled("named", "unasked", &json!({"outrigger.dev/inject": "unasked"}));
    labelled("opted-out", "unasked", &json!({"outrigger.dev/inject": "false"}));
    labelled("other", "other", &json!({}));
    let mut idle = selecting("unasked", "x", 0);
    idle["template"]["metadata"]["annotations"] = json!({});
    create(&outside, "/apis/apps/v1", "deployments", "idle", &idle);
    assert_eq!(rows(&outside, &[]), ["Pod/named unasked missing 1"]);
    let patch = json!({"metadata": {"labels": {"outrigger.dev/injection": "enabled"}}}).to_string().into_bytes();
    let path = format!("/api/v1/namespaces/{}", outside.name);
    cluster.send("PATCH", &path, "application/merge-patch+json", patch).expect_success();
    let expected = [
        "Deployment/idle unasked no-pods 0",
        "Deployment/idle unasked-maybe unknown 0",
        "Pod/named unasked missing 1",
        "Pod/named unasked-maybe unknown 1",
        "Pod/silent unasked missing 1",
        "Pod/silent unasked-maybe unknown 1",
    ];
    assert_eq!(rows(&outside, &[]), expected);
    for name in ["unasked", "unasked-maybe"] {
        super::delete(cluster, "", name).expect_success();
    }
}

fn objects_with_characters_that_yaml_forbids_can_be_read() {
    const TEXT: &str = "a\u{9b}2J\u{7f}b";
    let cluster = cluster();
    let mut spec = sidecar("helper:1");
    spec["parameters"] = json!([{"name": "text", "type": "string", "default": TEXT}]);
    spec["sidecars"][0]["args"] = json!(["${params.text}"]);
    let object = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate",
        "metadata": {"name": "unyaml"}, "spec": spec});
    cluster.send_object("POST", super::path("", "").trim_end_matches('/'), &object).expect_success();
    let kubeconfig = &cluster.control_plane.kubeconfig;
    let shown = run_as(kubeconfig, &["templates", "unyaml", "--in-cluster"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(!shown.stderr.contains("unyaml"), "{}", shown.stderr);
    assert!(shown.stdout.contains("# unyaml.outrigger.dev/text: \"a\\u009b2J\\u007fb\"\n"), "{}", shown.stdout);
    assert!(!shown.stdout.contains(['\u{9b}', '\u{7f}']), "{:?}", shown.stdout);
    for format in ["yaml", "json"] {
        let exported = run_as(kubeconfig, &["export", "unyaml", "--in-cluster", "-o", format]);
        assert_eq!(exported.code, Some(0), "{}", exported.stderr);
        assert!(!exported.stdout.contains(['\u{9b}', '\u{7f}']), "{:?}", exported.stdout);
    }
    super::delete(cluster, "", "unyaml").expect_success();
}
