//! What the API server fills in before it calls the webhook counts as unset: defaults, the values of
//! LimitRanger and of the Priority plugin. The token that it mounts stays.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, names, pod};
use crate::control_plane::assets;
use crate::outrigger::{Outrigger, TEMPLATES, with_custom};
use crate::process::eventually;
use std::time::Duration;

tests! {
    an_auto_container_is_filled_as_offline,
    an_auto_container_keeps_its_own_values,
    volumes_as_stored_are_equal_to_the_templates,
    a_token_that_is_mounted_stays_with_a_warning,
    the_default_priority_class_counts_as_unset,
}

const LIMIT: Duration = Duration::from_secs(20);

/// A LimitRange with defaults, and a wait until admission uses it.
fn limit_range(namespace: &Namespace) {
    let object = json!({
        "metadata": {"name": "defaults"},
        "spec": {"limits": [{
            "type": "Container",
            "default": {"cpu": "1", "memory": "512Mi"}, "defaultRequest": {"cpu": "100m", "memory": "128Mi"},
        }]},
    });
    namespace.cluster.send_object("POST", &namespace.path("limitranges"), &object).expect_success();
    eventually("LimitRanger knows the LimitRange", LIMIT, || {
        let stored = namespace.would_accept(&pod("probe", &json!({})));
        stored.pointer("/spec/containers/0/resources/limits/cpu").map(drop)
    });
}

/// The container `mesh` of the stored pod.
fn mesh(namespace: &Namespace, own: &Value) -> Value {
    let mut asking = pod("web", &json!({"outrigger.dev/inject": "mesh"}));
    let mut container = json!({"name": "mesh", "image": "auto"});
    let fields = container.as_object_mut().expect("an object");
    fields.extend(own.as_object().expect("an object").clone());
    asking["spec"]["initContainers"] = json!([container]);
    let stored = namespace.would_accept(&asking);
    stored["spec"]["initContainers"][0].clone()
}

fn an_auto_container_is_filled_as_offline() {
    with_custom("auto-filled", |namespace, _| {
        let check = || {
            let container =
                mesh(namespace, &json!({"env": [{"name": "A", "value": "b"}], "readinessProbe": {"periodSeconds": 9}}));
            assert_eq!(container["image"], "registry.example/mesh:1");
            assert_eq!(container["imagePullPolicy"], "IfNotPresent");
            assert_eq!(container["terminationMessagePolicy"], "FallbackToLogsOnError");
            let probe = &container["readinessProbe"];
            assert_eq!((&probe["periodSeconds"], &probe["timeoutSeconds"]), (&json!(9), &json!(2)));
            assert_eq!(container["resources"]["requests"], json!({"cpu": "50m", "memory": "64Mi"}));
            container["resources"]["limits"].clone()
        };
        assert_eq!(check(), json!({"memory": "256Mi"}));
        limit_range(namespace);
        // LimitRanger alone sets a limit for cpu.
        assert_eq!(check(), json!({"cpu": "1", "memory": "256Mi"}));
    });
}

fn an_auto_container_keeps_its_own_values() {
    with_custom("auto-own", |namespace, _| {
        limit_range(namespace);
        let container = mesh(
            namespace,
            &json!({
                "imagePullPolicy": "Never", "terminationMessagePath": "/dev/own", "readinessProbe": {"timeoutSeconds": 3},
                "resources": {"requests": {"memory": "100Mi"}, "limits": {"memory": "200Mi"}},
            }),
        );
        assert_eq!(container["imagePullPolicy"], "Never");
        assert_eq!(container["terminationMessagePath"], "/dev/own");
        assert_eq!(container["readinessProbe"]["timeoutSeconds"], 3);
        let expected =
            json!({"requests": {"cpu": "50m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "200Mi"}});
        assert_eq!(container["resources"], expected);
    });
}

/// The stored pod without its status, created anew, already has the template.
fn volumes_as_stored_are_equal_to_the_templates() {
    with_custom("stored-volumes", |namespace, outrigger| {
        let mut stored = namespace.would_accept(&pod("first", &json!({"outrigger.dev/inject": "volumes"})));
        assert!(names(&stored, "/spec/volumes").len() > 30, "{stored}");
        let status =
            stored["metadata"]["annotations"].as_object_mut().and_then(|map| map.remove("outrigger.dev/status"));
        assert!(status.is_some());
        stored["metadata"] = json!({"name": "second", "annotations": stored["metadata"]["annotations"]});
        // The API server may fill in a field of a container once more, but no field of a volume.
        let again = namespace.create_pod(&stored, "&dryRun=All");
        assert!(again.is_success(), "{}", again.body["message"]);
        let decisions = outrigger.decisions_in(&namespace.name);
        let second = decisions.iter().filter(|decision| decision["name"] == "second");
        let results: Vec<_> = second.map(|decision| decision["result"].clone()).collect();
        assert_eq!(results, ["unchanged"], "{decisions:?}");
    });
}

fn a_token_that_is_mounted_stays_with_a_warning() {
    with_custom("token-mounted", |namespace, _| {
        let answer = namespace.create_pod(&pod("web", &json!({"outrigger.dev/inject": "quiet"})), "&dryRun=All");
        assert!(answer.warnings.iter().any(|warning| warning.contains("comes too late")), "{:?}", answer.warnings);
        let stored = answer.expect_success();
        assert_eq!(stored["spec"]["automountServiceAccountToken"], false);
        let mounts = |container: &Value| container["volumeMounts"].as_array().map_or(0, Vec::len);
        assert_eq!(mounts(&stored["spec"]["containers"][0]), 1, "{stored}");
        assert_eq!(mounts(&stored["spec"]["initContainers"][0]), 0, "{stored}");
    });
}

/// In a cluster of its own, because each pod gets the default class.
fn the_default_priority_class_counts_as_unset() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(&assets())));
    let namespace = cluster.namespace("priorities", "priorities");
    let outrigger = Outrigger::start(cluster, "priorities", &["--templates", TEMPLATES]);
    outrigger.register(&namespace, "priorities", "agent", |_| {});
    namespace.ensure_priority_class("tests-low", -100);
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let usual =
        json!({"metadata": {"name": "tests-usual"}, "value": 1000, "globalDefault": true, "preemptionPolicy": "Never"});
    cluster.send_object("POST", classes, &usual).expect_success();
    eventually("the class is the default", LIMIT, || {
        (namespace.would_accept(&pod("probe", &json!({})))["spec"]["priority"] == 1000).then_some(())
    });

    let asking = pod("web", &json!({"outrigger.dev/inject": "batch"}));
    let stored = namespace.would_accept(&asking);
    let spec = &stored["spec"];
    let priority = (&spec["priorityClassName"], &spec["priority"], &spec["preemptionPolicy"]);
    assert_eq!(priority, (&json!("tests-low"), &json!(-100), &json!("PreemptLowerPriority")));

    let mut own = asking;
    own["spec"]["priorityClassName"] = json!("tests-usual");
    let message = namespace.rejects(&own);
    assert!(message.contains("the pod has \"tests-usual\""), "{message}");
}
