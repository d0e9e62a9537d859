//! A healthy installation in a cluster of its own, because `check` reads all namespaces.
//!
//! The webhook is called by its URL, and a test kubelet forwards ports to it.
//! Invariant: a test has the cluster for itself and leaves it as it found it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::kubelet::Kubelet;
use crate::cluster::{Cluster, Namespace, pod};
use crate::control_plane::assets;
use crate::outrigger::{Outrigger, PROGRAM};
use crate::process::eventually;

pub const OURS: &str = "outrigger-system";
pub const CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/outrigger";
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const JSON: &str = "application/json";
pub const MERGE: &str = "application/merge-patch+json";
const LIMIT: Duration = Duration::from_secs(60);

pub struct World {
    pub cluster: &'static Cluster,
    pub shop: Namespace,
    pub server: Outrigger,
    pub kubelet: Kubelet,
    turn: Mutex<()>,
}

/// What `outrigger check` has printed, and its exit code.
#[derive(Debug)]
pub struct Result {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Result {
    pub fn findings(&self) -> Vec<Value> {
        let report: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        report["findings"].as_array().cloned().expect("a list")
    }

    /// The message and the hint of a code.
    pub fn find(&self, code: &str) -> Option<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let found = self.findings().into_iter().find(|finding| finding["code"] == code)?;
        Some((text(&found["message"]), text(&found["hint"])))
    }

    pub fn has(&self, codes: &[&str]) -> bool {
        codes.iter().all(|code| self.find(code).is_some())
    }
}

/// Runs a test on the installation, alone.
pub fn with_world(test: impl FnOnce(&World)) {
    static WORLD: OnceLock<World> = OnceLock::new();
    let assets = assets();
    let world = WORLD.get_or_init(|| World::make(&assets));
    let _turn = world.turn.lock().unwrap_or_else(PoisonError::into_inner);
    world.restore();
    test(world);
}

impl World {
    fn make(assets: &Path) -> Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        let cluster = CLUSTER.get_or_init(|| Cluster::start(assets));
        let kubelet = Kubelet::start(cluster);
        add_node(cluster, kubelet.port);
        let server = Outrigger::start(cluster, "check", &[]);
        let ours = cluster.namespace(OURS, "none");
        let shop = cluster.namespace("shop", "none");
        let world = Self { cluster, shop, server, kubelet, turn: Mutex::new(()) };
        let [webhook, admin] = world.server.addresses();
        world.add_replica(&ours, "outrigger-1", webhook, Some(admin));
        world.register(&world.server.configuration());
        world
    }

    /// Removes what a failed test left, so that it does not fail others.
    fn restore(&self) {
        let (ours, shop) = (self.ours(), &self.shop);
        for path in [
            ours.path("services/outrigger"),
            format!("/apis/discovery.k8s.io/v1/namespaces/{OURS}/endpointslices/outrigger"),
            format!("/apis/apps/v1/namespaces/{OURS}/deployments/outrigger"),
            ours.path("pods/outrigger-2?gracePeriodSeconds=0"),
            ours.path("pods/outrigger-silent?gracePeriodSeconds=0"),
            "/apis/apps/v1/namespaces/shop/deployments/web".to_owned(),
            shop.path("events/web-refused"),
            shop.path("pods/asks?gracePeriodSeconds=0"),
            shop.path("pods/too-early?gracePeriodSeconds=0"),
        ] {
            // Usually there is nothing to delete.
            self.cluster.send("DELETE", &path, JSON, Vec::new());
        }
        let metadata =
            json!({"labels": {"outrigger.dev/injection": null}, "annotations": {"outrigger.dev/inject": null}});
        self.patch("/api/v1/namespaces/shop", &json!({"metadata": metadata}));
        self.register(&self.server.configuration());
    }

    /// A replica on the node whose ports lead to these addresses; without the second its admin port
    /// is closed.
    fn add_replica(&self, ours: &Namespace, name: &str, webhook: SocketAddr, admin: Option<SocketAddr>) {
        let mut object = pod(name, &json!({}));
        object["metadata"]["labels"] = json!({"app.kubernetes.io/name": "outrigger"});
        object["spec"]["nodeName"] = json!("tests");
        object["spec"]["containers"][0]["ports"] = json!([{"name": "admin", "containerPort": 8080}]);
        ours.accepts(&object);
        let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        self.patch(&ours.path(&format!("pods/{name}/status")), &status);
        self.kubelet.open(name, 9443, webhook);
        if let Some(admin) = admin {
            self.kubelet.open(name, 8080, admin);
        }
    }

    pub fn ours(&self) -> Namespace {
        Namespace { cluster: self.cluster, name: OURS.to_owned() }
    }

    /// One more replica, until `test` is over.
    pub fn with_replica(&self, name: &str, webhook: SocketAddr, admin: Option<SocketAddr>, test: impl FnOnce()) {
        self.add_replica(&self.ours(), name, webhook, admin);
        test();
        self.delete(&self.ours().path(&format!("pods/{name}?gracePeriodSeconds=0")));
    }

    /// Replaces the configuration.
    pub fn register(&self, configuration: &Value) {
        self.cluster.send("DELETE", CONFIGURATION, JSON, Vec::new());
        self.cluster.send_object("POST", CONFIGURATIONS, configuration).expect_success();
    }

    /// Changes both entries until `test` is over.
    pub fn with_entries(&self, edit: impl Fn(&mut Value), test: impl FnOnce()) {
        let mut configuration = self.server.configuration();
        configuration["webhooks"].as_array_mut().expect("entries").iter_mut().for_each(edit);
        self.register(&configuration);
        test();
        self.register(&self.server.configuration());
    }

    /// A kubeconfig of an account without permissions.
    pub fn kubeconfig_of(&self, account: &str) -> PathBuf {
        self.shop.ensure_service_account(account);
        let path = self.shop.path(&format!("serviceaccounts/{account}/token"));
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let token = self.cluster.send_object("POST", &path, &request).expect_success()["status"]["token"].clone();
        let kubeconfig = self.cluster.control_plane.janitor.directory().join(format!("kubeconfig-{account}"));
        let text = self.cluster.kubeconfig_of(token.as_str().expect("a token"));
        std::fs::write(&kubeconfig, text).expect("a file");
        kubeconfig
    }

    /// Grants the account these rules in the whole cluster.
    pub fn grant(&self, account: &str, rules: &[Value]) {
        let role = json!({"metadata": {"name": account}, "rules": rules});
        let binding = json!({
            "metadata": {"name": account},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": self.shop.name}],
        });
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        self.cluster.ensure(&format!("{rbac}/clusterroles"), &role);
        self.cluster.ensure(&format!("{rbac}/clusterrolebindings"), &binding);
    }

    pub fn patch(&self, path: &str, patch: &Value) {
        self.cluster.send("PATCH", path, MERGE, patch.to_string().into_bytes()).expect_success();
    }

    pub fn delete(&self, path: &str) {
        self.cluster.send("DELETE", path, JSON, Vec::new()).expect_success();
    }

    /// Runs `outrigger check` with a kubeconfig and these arguments.
    pub fn check_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Result {
        self.run_as(kubeconfig, &[&["check"], arguments].concat())
    }

    /// Runs a command of the program with all rights.
    pub fn run(&self, arguments: &[&str]) -> Result {
        self.run_as(&self.cluster.control_plane.kubeconfig, arguments)
    }

    fn run_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Result {
        let output = Command::new(PROGRAM)
            .args(arguments)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .output()
            .expect("outrigger starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Result { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub fn check(&self, arguments: &[&str]) -> Result {
        self.check_as(&self.cluster.control_plane.kubeconfig, &[&["-o", "json"], arguments].concat())
    }

    /// Checks until these codes are among the findings: the API server learns of a change a moment
    /// later.
    pub fn expect(&self, codes: &[&str], arguments: &[&str]) -> Result {
        eventually(&format!("{codes:?} after {}", self.check(arguments).stdout), LIMIT, || {
            Some(self.check(arguments)).filter(|result| result.has(codes))
        })
    }

    /// As [`World::expect`], with exit code 1.
    pub fn expect_failed(&self, codes: &[&str]) -> Result {
        let result = self.expect(codes, &[]);
        assert_eq!(result.code, Some(1), "{result:?}");
        result
    }

    /// As [`World::expect`], where the installation itself is healthy: only `--strict` ends with
    /// exit code 1.
    pub fn expect_warning(&self, code: &str) -> Result {
        let result = self.expect(&[code], &[]);
        assert_eq!(result.code, Some(0), "{result:?}");
        let strict = self.check(&["--strict"]);
        assert!(strict.code == Some(1) && strict.stderr.contains(code), "{strict:?}");
        result
    }

    /// Waits until `check --strict` succeeds again.
    pub fn expect_healthy(&self) -> Result {
        eventually(&format!("healthy, found {}", self.check(&[]).stdout), LIMIT, || {
            Some(self.check(&["--strict"])).filter(|result| result.code == Some(0))
        })
    }
}

/// A Node object with the address of the test kubelet.
fn add_node(cluster: &Cluster, port: u16) {
    let node = json!({"metadata": {"name": "tests"}});
    cluster.send_object("POST", "/api/v1/nodes", &node).expect_success();
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }});
    let answer = cluster.send("PATCH", "/api/v1/nodes/tests/status", MERGE, status.to_string().into_bytes());
    answer.expect_success();
}
