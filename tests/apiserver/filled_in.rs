//! What the API server fills in before it calls the webhook counts as unset: defaults, the values of
//! LimitRanger and of the Priority plugin. The token that it mounts stays.

use outrigger::inject::{Injector, Settings, TemplateSet};
use outrigger::workload::{Reviewer, find};
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
    the_pod_that_offline_commands_assume_is_the_one_that_the_api_server_stores,
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

/// A pod with what the API server normalises and fills in.
fn terse_pod() -> Value {
    let probe = json!({"httpGet": {"port": 8080}, "initialDelaySeconds": 0});
    let env = json!([
        {"name": "EMPTY", "value": ""}, {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    ]);
    let web = json!({"name": "web", "image": "registry.example/web:1", "command": [], "args": null, "env": env,
        "envFrom": [], "tty": false, "stdin": false, "workingDir": "", "securityContext": {},
        "ports": [{"containerPort": 8080, "hostPort": 0}, {"containerPort": 53, "protocol": "UDP"}],
        "livenessProbe": probe, "readinessProbe": {"grpc": {"port": 9090}, "failureThreshold": 5},
        "startupProbe": {"tcpSocket": {"port": 8080}, "timeoutSeconds": 0},
        "lifecycle": {"preStop": {"httpGet": {"port": 1}}, "postStart": {"exec": {"command": ["true"]}}},
        "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi", "ephemeral-storage": "1500M"},
            "requests": {"cpu": "0.5"}},
        "volumeMounts": [{"name": "secret", "mountPath": "/s/", "readOnly": false, "subPath": ""},
            {"name": "empty", "mountPath": "/e", "readOnly": true}],
    });
    let plain = json!({"name": "plain", "image": "plain"});
    let context = json!({"privileged": false, "capabilities": {"add": [], "drop": ["ALL"]}, "runAsUser": 0});
    let setup =
        json!({"name": "setup", "image": "setup:latest", "resources": {"requests": {"cpu": 1, "memory": "1e3"}}});
    let sidecar = json!({"name": "sidecar", "image": "a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "restartPolicy": "Always", "securityContext": context, "resources": {"limits": {"memory": "0.5Gi"}}});
    let sources = json!([{"secret": {"name": "s"}}, {"configMap": {"name": "c", "items": []}},
        {"serviceAccountToken": {"path": "token"}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]);
    let claim = json!({"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "",
        "resources": {"requests": {"storage": "1024Mi"}}}});
    let volumes = json!([
        {"name": "secret", "secret": {"secretName": "s"}}, {"name": "config", "configMap": {"name": "c"}},
        {"name": "all", "projected": {"sources": sources}}, {"name": "nothing"},
        {"name": "empty", "emptyDir": {"sizeLimit": "2048Ki", "medium": ""}},
        {"name": "host", "hostPath": {"path": "/var"}}, {"name": "image", "image": {"reference": "registry.example/data"}},
        {"name": "claim", "ephemeral": {"volumeClaimTemplate": claim}},
    ]);
    let spec = json!({"containers": [web, plain], "initContainers": [setup, sidecar], "volumes": volumes,
        "hostNetwork": false, "hostPID": false, "shareProcessNamespace": false, "nodeSelector": {}, "hostAliases": [],
        "imagePullSecrets": null, "securityContext": {"sysctls": [], "runAsUser": 0}, "overhead": null,
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": ""}}}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}},
        "dnsConfig": {"options": [{"name": "ndots", "value": ""}], "searches": []}});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "terse", "labels": {"empty": ""}}, "spec": spec})
}

fn the_pod_that_offline_commands_assume_is_the_one_that_the_api_server_stores() {
    with_custom("assumed", |namespace, _| {
        let of_host = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "host", "labels": {}}, "spec": {
            "hostNetwork": true, "restartPolicy": "Never", "containers": [{"name": "web", "image": "web:1",
                "ports": [{"containerPort": 80}]}]}});
        for pod in [terse_pod(), of_host] {
            let injector = Injector::new(TemplateSet::default(), Settings::default());
            let reviewer = Reviewer { injector: &injector, namespace: &namespace.name, namespace_object: None };
            let assumed = reviewer.trace(&pod, &find(&pod, "outrigger.dev").pods[0]).expect("a pod").pod;
            let stored = without_admission(namespace.would_accept(&pod));
            assert_eq!(assumed["metadata"]["labels"], stored["metadata"]["labels"]);
            for (field, stored) in stored["spec"].as_object().expect("a spec") {
                assert_eq!(&assumed["spec"][field], stored, "{field}");
            }
            let more = assumed["spec"].as_object().expect("a spec").keys();
            let more: Vec<_> = more.filter(|field| stored["spec"].get(field.as_str()).is_none()).collect();
            assert!(more.is_empty(), "{more:?}");
        }
    });
}

/// Without what in-tree admission adds, and the deprecated name of the service account.
fn without_admission(mut pod: Value) -> Value {
    let spec = pod["spec"].as_object_mut().expect("a spec");
    for field in ["priority", "preemptionPolicy", "tolerations", "serviceAccount"] {
        spec.remove(field);
    }
    let is_token = |item: &Value| item["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-"));
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let container = container.as_object_mut().expect("a container");
            let mounts = container.get_mut("volumeMounts").and_then(Value::as_array_mut).expect("mounts");
            mounts.retain(|mount| !is_token(mount));
            if mounts.is_empty() {
                container.remove("volumeMounts");
            }
        }
    }
    let volumes = spec.get_mut("volumes").and_then(Value::as_array_mut).expect("volumes");
    volumes.retain(|volume| !is_token(volume));
    if volumes.is_empty() {
        spec.remove("volumes");
    }
    pod
}
