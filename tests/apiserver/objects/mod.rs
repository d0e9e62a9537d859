//! Templates as objects: real replicas that read them from a real API server.
//!
//! They have a cluster of their own, since a template of the cluster is seen by every replica.
//!
//! Invariant: each test names its templates after itself, and none of them is Automatic in a
//! namespace of another test.

pub mod away;
pub mod definitions;
pub mod fleet;
pub mod fleet_rows;
pub mod fleet_run;
pub mod followed;
pub mod lifecycle;
pub mod restart_run;
pub mod revisions;
pub mod status;
pub mod tenants;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Answer, Cluster, Namespace, pod};
use crate::control_plane::assets;
use crate::process::eventually;
use crate::replicas::Replica;

pub const LIMIT: Duration = Duration::from_secs(60);
const API: &str = "/apis/outrigger.dev/v1alpha1";

/// A cluster with the CRDs of the manifests.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let assets = assets();
    CLUSTER.get_or_init(|| {
        let cluster = Cluster::start(&assets);
        install_crds(&cluster);
        cluster
    })
}

/// Creates the CRDs and waits until the API server serves them.
pub fn install_crds(cluster: &Cluster) {
    install_crds_with(cluster, |_| {});
}

/// The same with changed CRDs.
pub fn install_crds_with(cluster: &Cluster, change: impl Fn(&mut Value)) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/crds");
    for entry in std::fs::read_dir(&directory).expect("manifests/crds") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a file");
        for mut crd in serde_saphyr::from_multiple::<Value>(&text).expect("YAML") {
            if crd["kind"] == "CustomResourceDefinition" {
                change(&mut crd);
                cluster.ensure("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd);
            }
        }
    }
    for plural in ["clusterinjectiontemplates", "injectiontemplates"] {
        eventually("the kinds are served", LIMIT, || {
            cluster.get(&format!("{API}/{plural}")).is_success().then_some(())
        });
    }
}

/// A template that adds one sidecar with this image.
pub fn sidecar(image: &str) -> Value {
    json!({"sidecars": [{"name": "helper", "image": image, "resources": {"limits": {"memory": "16Mi"}}}]})
}

/// The path of a template; an empty namespace is that of a cluster template.
pub fn path(namespace: &str, name: &str) -> String {
    match namespace {
        "" => format!("{API}/clusterinjectiontemplates/{name}"),
        _ => format!("{API}/namespaces/{namespace}/injectiontemplates/{name}"),
    }
}

/// Applies a template as `kubectl apply --server-side` does.
pub fn apply(cluster: &Cluster, namespace: &str, name: &str, spec: &Value) -> Answer {
    apply_with(cluster, namespace, name, spec, "")
}

/// The same with more of the query, such as `&dryRun=All`.
pub fn apply_with(cluster: &Cluster, namespace: &str, name: &str, spec: &Value, query: &str) -> Answer {
    let kind = if namespace.is_empty() { "ClusterInjectionTemplate" } else { "InjectionTemplate" };
    let object =
        json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let path = format!("{}?fieldManager=tests&force=true{query}", path(namespace, name));
    cluster.send("PATCH", &path, "application/apply-patch+yaml", object.to_string().into_bytes())
}

pub fn delete(cluster: &Cluster, namespace: &str, name: &str) -> Answer {
    cluster.send("DELETE", &path(namespace, name), "application/json", Vec::new())
}

/// The status of a template.
pub fn status(cluster: &Cluster, namespace: &str, name: &str) -> Value {
    cluster.get(&path(namespace, name)).expect_success()["status"].clone()
}

/// Waits until the status satisfies the condition, and returns it.
pub fn eventual_status(cluster: &Cluster, namespace: &str, name: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("the status of {name}"), LIMIT, || {
        Some(status(cluster, namespace, name)).filter(|status| is(status))
    })
}

/// The condition `Ready`: its status, reason and message.
pub fn ready(status: &Value) -> (String, String, String) {
    let condition = &status["conditions"][0];
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

/// Whether the template is ready at the generation of the object.
pub fn is_ready(status: &Value) -> bool {
    ready(status).0 == "True"
}

/// The image of the sidecar `helper` in a pod that asks for this, or the API server's message.
pub fn image(namespace: &Namespace, requested: &str) -> Result<String, String> {
    image_of(namespace, "probe", requested)
}

/// The same for a pod with this name.
pub fn image_of(namespace: &Namespace, name: &str, requested: &str) -> Result<String, String> {
    let answer = namespace.create_pod(&pod(name, &json!({"outrigger.dev/inject": requested})), "&dryRun=All");
    if !answer.is_success() {
        return Err(answer.body["message"].as_str().unwrap_or_default().to_owned());
    }
    let helper = answer.body["spec"]["initContainers"].as_array().into_iter().flatten();
    let image =
        helper.filter(|container| container["name"] == "helper").find_map(|container| container["image"].as_str());
    image.map(str::to_owned).ok_or_else(|| format!("no sidecar: {:?}", answer.warnings))
}

/// Waits until pods that ask for this get this image.
pub fn wait_for_image(namespace: &Namespace, requested: &str, expected: &str) {
    eventually(&format!("{requested} has the image {expected}"), LIMIT, || {
        (image(namespace, requested).as_deref() == Ok(expected)).then_some(())
    });
}

/// The templates that a replica has, as its admin listener tells them.
pub fn templates_of(replica: &Replica) -> Vec<Value> {
    let answer = crate::outrigger::admin_response(replica.admin, "/templates").unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let templates: Value = serde_json::from_str(body).unwrap_or_default();
    templates["templates"].as_array().cloned().unwrap_or_default()
}
