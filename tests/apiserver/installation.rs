//! The objects of an installation: a namespace, the empty Secrets and Lease, and an account with
//! exactly the rights of `manifests/base`. The tests therefore show that these rights suffice.
//!
//! No program runs here.
//!
//! Invariant: installations are independent, including the name of the webhook configuration; apart
//! from names their objects are those of the manifests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kube::Client;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};

/// Names of the objects in the namespace, as in the manifests.
pub const CA_SECRET: &str = "outrigger-ca";
pub const SERVING_SECRET: &str = "outrigger-serving";
pub const LEASE: &str = "outrigger";

/// An installation in a namespace of its own; the webhook configuration has the namespace's name.
pub struct Installation {
    pub namespace: Namespace,
    token: String,
}

impl Installation {
    pub fn apply(cluster: &'static Cluster, name: &str) -> Self {
        let namespace = cluster.namespace(name, "none");
        namespace.ensure_service_account("outrigger");
        for file in ["secrets.yaml", "lease.yaml", "rbac.yaml"] {
            manifest(file).into_iter().for_each(|object| create(&namespace, object));
        }
        let path = namespace.path("serviceaccounts/outrigger/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let answer = cluster.send_object("POST", &path, &request).expect_success();
        let token = answer["status"]["token"].as_str().expect("a token").to_owned();
        Self { namespace, token }
    }

    pub fn name(&self) -> &str {
        &self.namespace.name
    }

    /// A client with the rights of the program.
    pub fn client(&self) -> Client {
        self.namespace.cluster.client_as(&self.token)
    }

    /// A kubeconfig with the rights of the program, for another address of the API server.
    pub fn kubeconfig(&self, directory: &Path, server: SocketAddr) -> PathBuf {
        let path = directory.join(format!("kubeconfig-{}", self.name()));
        let text = self.namespace.cluster.kubeconfig_of(&self.token);
        let text = text.replace(&self.namespace.cluster.address().to_string(), &server.to_string());
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// A kubeconfig with the rights of the program, for a proxy that speaks plain HTTP.
    pub fn plain_kubeconfig(&self, directory: &Path, server: SocketAddr) -> PathBuf {
        let path = self.kubeconfig(directory, server);
        let text = std::fs::read_to_string(&path).expect("it was written");
        std::fs::write(&path, text.replace("https://", "http://")).expect("a file");
        path
    }

    /// The current Secret.
    pub fn secret(&self, name: &str) -> Value {
        self.namespace.cluster.get(&self.namespace.path(&format!("secrets/{name}"))).body
    }

    pub fn delete_secret(&self, name: &str) {
        let path = self.namespace.path(&format!("secrets/{name}"));
        self.namespace.cluster.send("DELETE", &path, "application/json", Vec::new()).expect_success();
    }

    /// Adds these fields to a Secret.
    pub fn write_secret(&self, name: &str, fields: &[(&str, &str)]) {
        let fields: serde_json::Map<String, Value> =
            fields.iter().map(|(key, text)| ((*key).to_owned(), json!(text))).collect();
        let patch = json!({"stringData": fields}).to_string().into_bytes();
        let path = self.namespace.path(&format!("secrets/{name}"));
        self.namespace.cluster.send("PATCH", &path, "application/merge-patch+json", patch).expect_success();
    }

    pub fn delete_lease(&self) {
        let path = format!("{}/{LEASE}", leases(&self.namespace));
        self.namespace.cluster.send("DELETE", &path, "application/json", Vec::new()).expect_success();
    }

    /// Applies the Lease of the manifests again.
    pub fn apply_lease(&self) {
        manifest("lease.yaml").into_iter().for_each(|lease| create(&self.namespace, lease));
    }

    /// Applies the empty Secret of the manifests again.
    pub fn apply_secret(&self, name: &str) {
        let mut secrets = manifest("secrets.yaml").into_iter();
        let secret = secrets.find(|secret| secret["metadata"]["name"] == name).expect("a Secret of the manifests");
        create(&self.namespace, secret);
    }

    /// The holder of the lease.
    pub fn holder(&self) -> String {
        let lease = self.namespace.cluster.get(&format!("{}/{LEASE}", leases(&self.namespace))).expect_success();
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }
}

fn leases(namespace: &Namespace) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", namespace.name)
}

/// The objects of a file of `manifests/base`.
fn manifest(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Creates an object of the manifests in this namespace; an object without a namespace is named
/// after it.
fn create(namespace: &Namespace, mut object: Value) {
    let (name, rbac) = (&namespace.name, "/apis/rbac.authorization.k8s.io/v1");
    let path = match object["kind"].as_str().expect("a kind") {
        "Secret" => namespace.path("secrets"),
        "Lease" => leases(namespace),
        "Role" => format!("{rbac}/namespaces/{name}/roles"),
        "RoleBinding" => format!("{rbac}/namespaces/{name}/rolebindings"),
        "ClusterRole" => format!("{rbac}/clusterroles"),
        "ClusterRoleBinding" => format!("{rbac}/clusterrolebindings"),
        kind => panic!("{kind}: where do such objects go?"),
    };
    match object["metadata"]["namespace"].is_null() {
        true => object["metadata"]["name"] = json!(name),
        false => object["metadata"]["namespace"] = json!(name),
    }
    if object["roleRef"]["kind"] == "ClusterRole" {
        object["roleRef"]["name"] = json!(name);
    }
    for subject in object["subjects"].as_array_mut().into_iter().flatten() {
        subject["namespace"] = json!(name);
    }
    for rule in object["rules"].as_array_mut().into_iter().flatten() {
        if rule["apiGroups"] == json!(["admissionregistration.k8s.io"]) {
            rule["resourceNames"] = json!([name]);
        }
    }
    namespace.cluster.send_object("POST", &path, &object).expect_success();
}
