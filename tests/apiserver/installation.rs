//! What an installation brings besides the program: a namespace with the empty objects, and an account with no more rights than the
//! design gives it. Whatever the tests do as this account shows that the rights are enough.
//!
//! Nothing here runs. Invariant: each installation is by itself, down to the name of its webhook configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kube::Client;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};

/// Name of the objects in the namespace, as the manifests have them.
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
        for secret in [CA_SECRET, SERVING_SECRET] {
            apply_secret(&namespace, secret);
        }
        let lease = json!({"metadata": {"name": LEASE}});
        cluster.send_object("POST", &leases(&namespace), &lease).expect_success();
        namespace.ensure_service_account("outrigger");
        grant(&namespace);
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

    /// A kubeconfig with the rights of the program, and another way to the API server.
    pub fn kubeconfig(&self, directory: &Path, server: SocketAddr) -> PathBuf {
        let path = directory.join(format!("kubeconfig-{}", self.name()));
        let text = self.namespace.cluster.kubeconfig_of(&self.token);
        let text = text.replace(&self.namespace.cluster.address().to_string(), &server.to_string());
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// A Secret as it is now.
    pub fn secret(&self, name: &str) -> Value {
        self.namespace.cluster.get(&self.namespace.path(&format!("secrets/{name}"))).body
    }

    pub fn delete_secret(&self, name: &str) {
        let path = self.namespace.path(&format!("secrets/{name}"));
        self.namespace.cluster.send("DELETE", &path, "application/json", Vec::new()).expect_success();
    }

    pub fn apply_secret(&self, name: &str) {
        apply_secret(&self.namespace, name);
    }

    /// Who holds the lease.
    pub fn holder(&self) -> String {
        let lease = self.namespace.cluster.get(&format!("{}/{LEASE}", leases(&self.namespace))).expect_success();
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }
}

fn apply_secret(namespace: &Namespace, name: &str) {
    let secret = json!({"metadata": {"name": name}, "type": "Opaque"});
    namespace.cluster.send_object("POST", &namespace.path("secrets"), &secret).expect_success();
}

fn leases(namespace: &Namespace) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", namespace.name)
}

/// Exactly the design's rights, as far as they concern what is tested here.
fn grant(namespace: &Namespace) {
    let name = &namespace.name;
    let rule = |group: &str, resource: &str, names: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "resourceNames": names, "verbs": verbs});
    let cluster_rules = [
        rule(
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations",
            &[name],
            &["get", "list", "watch", "patch"],
        ),
        rule("", "namespaces", &[], &["get", "list", "watch"]),
    ];
    let rules = [
        rule("", "secrets", &[CA_SECRET, SERVING_SECRET], &["get", "list", "watch", "update", "patch"]),
        rule("coordination.k8s.io", "leases", &[LEASE], &["get", "update", "patch"]),
    ];
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let in_namespace = format!("{rbac}/namespaces/{name}");
    let of = |kind: &str, rules: &[Value]| json!({"kind": kind, "metadata": {"name": name}, "rules": rules});
    let bound = |kind: &str| {
        json!({
            "kind": format!("{kind}Binding"), "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "outrigger", "namespace": name}],
        })
    };
    let objects = [
        (format!("{rbac}/clusterroles"), of("ClusterRole", &cluster_rules)),
        (format!("{rbac}/clusterrolebindings"), bound("ClusterRole")),
        (format!("{in_namespace}/roles"), of("Role", &rules)),
        (format!("{in_namespace}/rolebindings"), bound("Role")),
    ];
    for (path, object) in objects {
        namespace.cluster.send_object("POST", &path, &object).expect_success();
    }
}
