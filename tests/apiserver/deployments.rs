//! Injection into pods that a controller creates, and how a refusal appears in the controller's
//! status.

use serde_json::{Value, json};

use crate::cluster::{Namespace, names};
use crate::harness;
use crate::outrigger::with_built_in;
use crate::process::eventually;

tests! {
    both_pods_of_a_deployment_get_the_sidecar_and_the_volume,
    the_replica_set_of_a_refused_pod_reports_the_reason,
}

fn both_pods_of_a_deployment_get_the_sidecar_and_the_volume() {
    with_controllers("deployment", |namespace| {
        create(namespace, &deployment("web", "log-collector"));
        for pod in namespace.wait_for_pods("web", 2) {
            assert_matches_its_status(&pod);
            assert_shares_a_volume(&pod);
        }
    });
}

fn the_replica_set_of_a_refused_pod_reports_the_reason() {
    with_controllers("deployment-refused", |namespace| {
        create(namespace, &deployment("web", "log-colector"));
        let path = format!("/apis/apps/v1/namespaces/{}/replicasets", namespace.name);
        let message = eventually("the ReplicaSet reports the refusal", std::time::Duration::from_secs(30), || {
            let sets = namespace.cluster.get(&path).expect_success();
            let conditions = sets["items"][0]["status"]["conditions"].as_array()?;
            let failure = conditions.iter().find(|condition| condition["type"] == "ReplicaFailure")?;
            failure["message"].as_str().map(str::to_owned)
        });
        assert!(message.contains("\"log-colector\""), "{message}");
        assert!(!message.contains('\n'), "{message}");
    });
}

/// Runs a test in a cluster with the controller manager.
fn with_controllers(name: &str, test: impl FnOnce(&Namespace)) {
    with_built_in(name, |namespace, _| {
        if !namespace.cluster.control_plane.has_controllers {
            harness::ignore("KUBEBUILDER_ASSETS has no kube-controller-manager, so no Deployment gets a pod");
        }
        test(namespace);
    });
}

fn create(namespace: &Namespace, deployment: &Value) {
    let path = format!("/apis/apps/v1/namespaces/{}/deployments?fieldValidation=Strict", namespace.name);
    namespace.cluster.send_object("POST", &path, deployment).expect_success();
}

fn deployment(app: &str, template: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": app},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": app}},
            "template": {
                "metadata": {"labels": {"app": app}, "annotations": {"outrigger.dev/inject": template}},
                "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
            },
        },
    })
}

fn assert_matches_its_status(pod: &Value) {
    let status = pod["metadata"]["annotations"]["outrigger.dev/status"].as_str().expect("a status annotation");
    let status: Value = serde_json::from_str(status).expect("the status is JSON");
    let template = &status["templates"][0];
    assert_eq!(template["name"], "log-collector");
    let listed = |key: &str| template[key].as_array().cloned().unwrap_or_default();
    let put_in = [listed("containers"), listed("initContainers")].concat();
    assert!(!put_in.is_empty(), "{status}");
    let present = [names(pod, "/spec/containers"), names(pod, "/spec/initContainers")].concat();
    for name in put_in {
        assert!(present.contains(&name.as_str().unwrap_or_default()), "{name} is not among {present:?}");
    }
    for name in listed("volumes") {
        assert!(names(pod, "/spec/volumes").contains(&name.as_str().unwrap_or_default()), "{name}: {}", pod["spec"]);
    }
}

fn assert_shares_a_volume(pod: &Value) {
    let shared =
        pod["spec"]["volumes"].as_array().expect("volumes").iter().find(|volume| volume["emptyDir"].is_object());
    let shared = shared.expect("an emptyDir")["name"].as_str().expect("its name");
    assert!(
        names(&pod["spec"]["containers"][0], "/volumeMounts").contains(&shared),
        "the app lacks {shared}: {}",
        pod["spec"]
    );
    let helpers = pod["spec"]["initContainers"].as_array().expect("a native sidecar");
    let mounts = |container: &Value| names(container, "/volumeMounts").contains(&shared);
    assert!(helpers.iter().any(|helper| helper["restartPolicy"] == "Always" && mounts(helper)), "{}", pod["spec"]);
}
