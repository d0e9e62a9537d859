//! Advice at `kubectl apply`: what its user reads, what the API server sends, and what happens
//! without a server.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Answer, Namespace, pod, shared};
use crate::outrigger::{Outrigger, register_as};
use crate::process::{eventually, pause};
use crate::replicas::{LIMIT, Running};

tests! {
    kubectl_apply_prints_what_pods_would_be_refused_for,
    with_deny_such_a_workload_is_refused,
    with_deny_a_stateful_set_whose_template_reads_the_name_of_its_pod_is_accepted,
    scaling_and_status_updates_are_not_sent,
    a_webhook_that_does_not_respond_delays_kubectl_by_its_timeout_and_refuses_nothing,
    the_validating_configuration_is_repaired_and_no_pod_depends_on_it,
}

/// Runs a test in a namespace in which this mode of advice applies.
fn with_advice(name: &str, mode: &str, test: impl FnOnce(&Namespace, &Outrigger)) {
    let cluster = shared();
    let namespace = cluster.namespace(name, name);
    let server = Outrigger::start(cluster, name, &["--advice", mode]);
    register_as(&server.configurations()[1], &namespace, name, |_| {});
    eventually("the API server asks for advice", LIMIT, || {
        apply(&namespace, "deployments", &deployment("probe", "log-colector"), "?dryRun=All");
        (sent(&server) > 0).then_some(())
    });
    test(&namespace, &server);
}

fn deployment(name: &str, template: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": {"outrigger.dev/inject": template}},
                "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
            },
        },
    })
}

fn cron_job(template: &str) -> Value {
    let mut pod = pod("web", &json!({"outrigger.dev/inject": template}));
    pod["spec"]["restartPolicy"] = json!("Never");
    let template = json!({"metadata": {"annotations": pod["metadata"]["annotations"]}, "spec": pod["spec"]});
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template}}},
    })
}

fn path(namespace: &Namespace, resource: &str) -> String {
    let group = if resource.starts_with("deployments") { "apps" } else { "batch" };
    format!("/apis/{group}/v1/namespaces/{}/{resource}", namespace.name)
}

fn apply(namespace: &Namespace, resource: &str, object: &Value, query: &str) -> Answer {
    namespace.cluster.send_object("POST", &format!("{}{query}", path(namespace, resource)), object)
}

fn patch(namespace: &Namespace, resource: &str, patch: &Value) {
    let patch = patch.to_string().into_bytes();
    let content = "application/merge-patch+json";
    namespace.cluster.send("PATCH", &path(namespace, resource), content, patch).expect_success();
}

/// How many workloads were sent.
fn sent(server: &Outrigger) -> usize {
    let metrics = server.metrics();
    let samples = metrics.lines().filter(|line| line.starts_with("outrigger_advice_requests_total{"));
    samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).sum()
}

fn kubectl_apply_prints_what_pods_would_be_refused_for() {
    with_advice("advice-warn", "Warn", |namespace, _| {
        let (succeeded, stdout, stderr) =
            namespace.kubectl_says(&["apply", "-f", "-"], &deployment("web", "log-colector"));
        assert!(succeeded && stdout == "deployment.apps/web created\n", "{stdout} {stderr}");
        let line = stderr.trim_end();
        let expected = "Warning: its pods would be refused: template_not_found: ";
        assert!(line.starts_with(expected) && line.contains("log-collector") && !line.contains('\n'), "{stderr}");

        let (_, _, stderr) = namespace.kubectl_says(&["apply", "-f", "-"], &deployment("good", "log-collector"));
        assert_eq!(stderr, "");
        let (_, _, stderr) = namespace.kubectl_says(&["apply", "-f", "-"], &cron_job("log-colector"));
        assert!(stderr.starts_with(expected), "{stderr}");

        let mut misplaced = deployment("misplaced", "log-collector");
        let template = misplaced["spec"]["template"]["metadata"].as_object_mut().expect("a template");
        misplaced["metadata"]["annotations"] = template.remove("annotations").expect("annotations");
        let (succeeded, _, stderr) = namespace.kubectl_says(&["apply", "-f", "-"], &misplaced);
        assert!(succeeded && stderr.contains("spec.template.metadata.annotations"), "{stderr}");
    });
}

fn with_deny_such_a_workload_is_refused() {
    with_advice("advice-deny", "Deny", |namespace, _| {
        let (succeeded, _, stderr) = namespace.kubectl_says(&["apply", "-f", "-"], &deployment("web", "log-colector"));
        let expected = "admission webhook \"advice.outrigger.dev\" denied the request: template_not_found: ";
        assert!(!succeeded && stderr.contains(expected), "{stderr}");
        assert_eq!(namespace.cluster.get(&path(namespace, "deployments/web")).status, 404);
        apply(namespace, "deployments", &deployment("web", "log-collector"), "").expect_success();
    });
}

fn with_deny_a_stateful_set_whose_template_reads_the_name_of_its_pod_is_accepted() {
    let cluster = shared();
    let namespace = cluster.namespace("advice-named", "advice-named");
    let templates = cluster.control_plane.janitor.directory().join("advice-named");
    let text = "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {name: named}\nspec: {sidecars: \
                [{name: named, image: 'registry.example/x:1', args: ['${pod.metadata.name}']}]}\n";
    std::fs::create_dir(&templates).expect("a directory");
    std::fs::write(templates.join("named.yaml"), text).expect("a file");
    let templates = templates.to_string_lossy();
    let server = Outrigger::start(cluster, "advice-named", &["--advice", "Deny", "--templates", &templates]);
    register_as(&server.configurations()[1], &namespace, "advice-named", |_| {});
    eventually("the API server asks for advice", LIMIT, || {
        apply(&namespace, "deployments", &deployment("probe", "log-colector"), "?dryRun=All");
        (sent(&server) > 0).then_some(())
    });
    let (succeeded, _, stderr) = namespace.kubectl_says(&["apply", "-f", "-"], &deployment("web", "named"));
    assert!(!succeeded && stderr.contains("expression_missing_key"), "{stderr}");
    let mut set = deployment("set", "named");
    set["kind"] = json!("StatefulSet");
    let (succeeded, _, stderr) = namespace.kubectl_says(&["apply", "-f", "-"], &set);
    assert!(succeeded && stderr.is_empty(), "{stderr}");
}

fn scaling_and_status_updates_are_not_sent() {
    with_advice("advice-quiet", "Warn", |namespace, server| {
        apply(namespace, "deployments", &deployment("web", "log-colector"), "").expect_success();
        let mut other = deployment("other", "x");
        other["spec"]["template"]["metadata"]["annotations"] = json!({"example.com/inject": "x"});
        apply(namespace, "deployments", &other, "").expect_success();
        let created = sent(server);
        let (succeeded, _, stderr) = namespace.kubectl_says(&["scale", "deployment/web", "--replicas=2"], &Value::Null);
        assert!(succeeded && stderr.is_empty(), "{stderr}");
        patch(namespace, "deployments/web/status", &json!({"status": {"observedGeneration": 7}}));
        patch(
            namespace,
            "deployments/web",
            &json!({"metadata": {"annotations": {"note": "a"}}, "spec": {"replicas": 1}}),
        );
        // The controllers write the status of both, and an annotation.
        pause(Duration::from_secs(3));
        assert_eq!(sent(server), created);
        let changed = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}});
        patch(namespace, "deployments/other", &changed);
        assert_eq!(sent(server), created, "nobody asks in it");
        patch(namespace, "deployments/web", &changed);
        assert_eq!(sent(server), created + 1);

        apply(namespace, "cronjobs", &cron_job("log-colector"), "").expect_success();
        assert_eq!(sent(server), created + 2);
        patch(namespace, "cronjobs/nightly", &json!({"spec": {"schedule": "0 4 * * *"}}));
        assert_eq!(sent(server), created + 2);
        // An API server that still has the old object in its cache would ask once more.
        eventually("the cache has the new schedule", LIMIT, || {
            let path = path(namespace, "cronjobs/nightly?resourceVersion=0");
            (namespace.cluster.get(&path).expect_success()["spec"]["schedule"] == "0 4 * * *").then_some(())
        });
        let labels = json!({"metadata": {"labels": {"a": "b"}}});
        patch(namespace, "cronjobs/nightly", &json!({"spec": {"jobTemplate": {"spec": {"template": labels}}}}));
        assert_eq!(sent(server), created + 3);
    });
}

fn a_webhook_that_does_not_respond_delays_kubectl_by_its_timeout_and_refuses_nothing() {
    let namespace = shared().namespace("advice-dead", "advice-dead");
    // The system accepts the connection, and nobody ever reads from it.
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let url = format!("https://{}/advise", silent.local_addr().expect("bound"));
    let server = Outrigger::start(namespace.cluster, "advice-dead", &[]);
    register_as(&server.configurations()[1], &namespace, "advice-dead", |webhook| {
        webhook["clientConfig"]["url"] = json!(url);
    });
    let timeout = Duration::from_secs(2);
    let timed = |name: &str| {
        let start = Instant::now();
        let said = namespace.kubectl_says(&["apply", "-f", "-"], &deployment(name, "log-colector"));
        (start.elapsed(), said)
    };
    let mut number = 0;
    eventually("the API server calls the webhook", LIMIT, || {
        number += 1;
        let (elapsed, (succeeded, _, stderr)) = timed(&format!("probe-{number}"));
        assert!(succeeded, "{stderr}");
        (elapsed >= timeout).then_some(())
    });
    let (elapsed, (succeeded, stdout, stderr)) = timed("web");
    assert!(succeeded && stdout == "deployment.apps/web created\n", "{stderr}");
    assert!(elapsed >= timeout && elapsed < timeout + Duration::from_secs(3), "{elapsed:?}");
}

fn the_validating_configuration_is_repaired_and_no_pod_depends_on_it() {
    let mut running = Running::start(shared(), "advice-bundle", 1, &["--ca-propagation=1s"]);
    let good = running.bundles();
    let configurations = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/advice-bundle";
    let cluster = running.cluster();
    let patch = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]).to_string();
    cluster.send("PATCH", configurations, "application/json-patch+json", patch.into_bytes()).expect_success();
    let since = Instant::now();
    eventually("the bundle is as it was", LIMIT, || (running.bundles() == good).then_some(()));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    let object = deployment("web", "agnt");
    let advised = || {
        let answer = apply(&running.pods, "deployments", &object, "?dryRun=All");
        answer.warnings.iter().any(|warning| warning.contains("template_not_found")).then_some(())
    };
    eventually("the API server trusts the webhook for advice", LIMIT, advised);

    cluster.send("DELETE", configurations, "application/json", Vec::new()).expect_success();
    let words = "the validating webhook configuration advice-bundle does not exist; apply it again";
    eventually("the leader notes it", LIMIT, || running.replicas[0].notes(words).then_some(()));
    running.pods.would_accept(&pod("web", &json!({"outrigger.dev/inject": "agent"})));
    assert_eq!(running.replicas[0].metric("outrigger_ca_bundle_in_sync"), Some(1.0));
    // A new replica serves without it.
    running.add();
    assert!(running.replicas[1].is_ready());
    running.assert_no_key_is_logged();
}
