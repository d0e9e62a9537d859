//! Events on the owner of a pod that was refused, beside the API server's own.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::shared;
use crate::harness;
use crate::process::{eventually, pause};
use crate::replicas::{LIMIT, Running};

tests! {
    kubectl_describe_replicaset_shows_why_its_pods_are_refused,
}

fn kubectl_describe_replicaset_shows_why_its_pods_are_refused() {
    if !shared().control_plane.has_controllers {
        harness::ignore("KUBEBUILDER_ASSETS has no kube-controller-manager, so no Deployment gets a pod");
    }
    let running = Running::start(shared(), "events", 2, &["--ca-propagation=1s"]);
    let namespace = &running.pods;
    let secret = "s3cr3t-template";
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}, "annotations": {"outrigger.dev/inject": secret}},
                "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
            },
        },
    });
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", namespace.name);
    namespace.cluster.send_object("POST", &path, &deployment).expect_success();
    let described = eventually("both Events are there", LIMIT, || {
        let (succeeded, text) = namespace.kubectl(&["describe", "replicaset"], &Value::Null);
        (succeeded && text.contains("template_not_found  ") && text.contains("FailedCreate")).then_some(text)
    });
    let ours = described.lines().find(|line| line.contains("outrigger.dev/outrigger")).expect("our Event");
    assert!(ours.trim_start().starts_with("Warning") && ours.contains("template_not_found"), "{described}");
    assert!(ours.contains("no pod was created") && !ours.contains(secret), "{ours}");
    // The controller tries again and again; its owner is told once.
    pause(Duration::from_secs(5));
    let events = namespace.cluster.get(&namespace.path("events")).expect_success();
    let of_reason = |reason: &str| {
        let events = events["items"].as_array().into_iter().flatten();
        events.filter(|event| event["reason"] == reason).cloned().collect::<Vec<Value>>()
    };
    assert_eq!(of_reason("template_not_found").len(), 1, "{events}");
    assert_eq!(of_reason("template_not_found")[0]["involvedObject"]["kind"], "ReplicaSet");
    let total = |result: &str| -> f64 {
        let name = format!("outrigger_events_total{{result=\"{result}\"}}");
        running.replicas.iter().filter_map(|replica| replica.metric(&name)).sum()
    };
    assert_eq!((total("sent"), total("failed"), total("dropped")), (1.0, 0.0, 0.0));
    assert!(total("throttled") > 0.0);
}
