//! A Kubernetes control plane on loopback: etcd, kube-apiserver and, if available,
//! kube-controller-manager.
//!
//! There is no node: pods are admitted and stored, but never run. The programs come from the folder
//! in `KUBEBUILDER_ASSETS`, either a full set or that of envtest, which lacks the controller
//! manager.
//!
//! Invariant: all programs listen on 127.0.0.1, on free ports.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::authority::{self, Authority};
use crate::harness;
use crate::ports::free_port;
use crate::process::{Janitor, Process};

/// The variable with the folder of the programs.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

const TOKEN: &str = "outrigger-tests";
const START_LIMIT: Duration = Duration::from_secs(120);

/// The controllers that the tests need: they create pods for workloads and a service account for
/// each namespace, and check the types of admission policies.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,replicationcontroller-controller,statefulset-controller,daemonset-controller,serviceaccount-controller,root-ca-certificate-publisher-controller,job-controller,validatingadmissionpolicy-status-controller";

/// The folder of the programs. Without it the test is ignored.
pub fn assets() -> PathBuf {
    let reason = || harness::ignore(format!("{ASSETS} is not set, so there is no kube-apiserver"));
    std::env::var_os(ASSETS).map_or_else(reason, PathBuf::from)
}

/// Running programs; they end with the janitor.
pub struct ControlPlane {
    pub janitor: Janitor,
    pub authority: Authority,
    pub kubeconfig: PathBuf,
    pub kubectl: PathBuf,
    /// Without the controller manager no Deployment gets a pod.
    pub has_controllers: bool,
    assets: PathBuf,
    etcd_port: u16,
    api_port: u16,
    /// The flag for an older version.
    emulated: Option<String>,
    api: Mutex<Process>,
    _processes: Vec<Process>,
}

impl ControlPlane {
    /// Starts all programs and returns when the API server is ready.
    pub fn start(assets: &Path) -> Self {
        Self::start_emulating(assets, None)
    }

    /// The same with an API server that behaves as an older version, such as `1.34`: it serves the fields
    /// that this version serves.
    pub fn start_emulating(assets: &Path, version: Option<&str>) -> Self {
        let janitor = Janitor::start();
        let authority = Authority::new();
        let (etcd_port, api_port) = (free_port(), free_port());
        write_files(janitor.directory(), &authority, api_port);
        let kubectl = assets.join("kubectl");
        let kubeconfig = janitor.directory().join("kubeconfig");
        let etcd = start_etcd(&janitor, assets, etcd_port);
        let emulated = version.map(|version| format!("--emulated-version={version}"));
        let api = start_api_server(&janitor, assets, etcd_port, api_port, emulated.as_deref());
        api.wait_until(START_LIMIT, || is_ready(&kubectl, &kubeconfig));
        let controllers = start_controllers(&janitor, assets, &kubeconfig);
        let has_controllers = controllers.is_some();
        let processes = [Some(etcd), controllers].into_iter().flatten().collect();
        let (assets, api) = (assets.to_owned(), Mutex::new(api));
        Self {
            janitor,
            authority,
            kubeconfig,
            kubectl,
            has_controllers,
            assets,
            etcd_port,
            api_port,
            emulated,
            api,
            _processes: processes,
        }
    }

    /// Stops the API server. Its objects stay in etcd.
    pub fn stop_api_server(&self) {
        let api = self.api.lock().unwrap_or_else(PoisonError::into_inner);
        api.kill();
        api.wait_for_end(START_LIMIT);
        self.janitor.forget(&api);
    }

    /// Starts the API server again at the same address, and returns when it is ready.
    pub fn start_api_server(&self) {
        let mut api = self.api.lock().unwrap_or_else(PoisonError::into_inner);
        let emulated = self.emulated.as_deref();
        *api = start_api_server(&self.janitor, &self.assets, self.etcd_port, self.api_port, emulated);
        api.wait_until(START_LIMIT, || is_ready(&self.kubectl, &self.kubeconfig));
    }
}

fn write_files(directory: &Path, authority: &Authority, port: u16) {
    let write =
        |name: &str, text: &str| std::fs::write(directory.join(name), text).expect("the working directory is writable");
    let serving = authority.issue();
    write("ca.pem", authority.pem());
    write("api.pem", &serving.certificate);
    write("api.key", &serving.key);
    let (private, public) = authority::key_pair();
    write("accounts.key", &private);
    write("accounts.pub", &public);
    // Only traces that a client samples are recorded, and the API server's own spans are discarded:
    // the tests need the header that it sends to webhooks.
    let tracing = json!({
        "apiVersion": "apiserver.config.k8s.io/v1beta1", "kind": "TracingConfiguration",
        "endpoint": format!("127.0.0.1:{}", free_port()), "samplingRatePerMillion": 0,
    });
    write("tracing.json", &tracing.to_string());
    write("tokens.csv", &format!("{TOKEN},admin,admin,\"system:masters\"\n"));
    // kubectl and kube both read YAML, which includes JSON.
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "tests",
        "clusters": [{"name": "tests", "cluster": {
            "server": format!("https://127.0.0.1:{port}"), "certificate-authority": directory.join("ca.pem"),
        }}],
        "users": [{"name": "admin", "user": {"token": TOKEN}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
    });
    write("kubeconfig", &kubeconfig.to_string());
}

fn start_etcd(janitor: &Janitor, assets: &Path, port: u16) -> Process {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", free_port()));
    let mut etcd = Command::new(assets.join("etcd"));
    etcd.arg("--data-dir").arg(janitor.directory().join("etcd"));
    etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    etcd.args(["--initial-cluster", &format!("default={peer}"), "--unsafe-no-fsync", "--log-level", "error"]);
    janitor.spawn("etcd", &mut etcd)
}

fn start_api_server(janitor: &Janitor, assets: &Path, etcd_port: u16, port: u16, emulated: Option<&str>) -> Process {
    let file = |flag: &str, name: &str| format!("--{flag}={}", janitor.directory().join(name).display());
    let mut api = Command::new(assets.join("kube-apiserver"));
    api.arg(format!("--etcd-servers=http://127.0.0.1:{etcd_port}")).arg(format!("--secure-port={port}"));
    api.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--service-cluster-ip-range=10.0.0.0/24"]);
    api.args(["--authorization-mode=RBAC", "--allow-privileged=true"]);
    api.args([
        file("cert-dir", "apiserver"),
        file("tls-cert-file", "api.pem"),
        file("tls-private-key-file", "api.key"),
    ]);
    api.args([file("token-auth-file", "tokens.csv"), file("service-account-key-file", "accounts.pub")]);
    api.arg(file("service-account-signing-key-file", "accounts.key"));
    api.arg(file("tracing-config-file", "tracing.json"));
    api.arg("--service-account-issuer=https://kubernetes.default.svc");
    // There is no kube-proxy, so the API server calls Services at their endpoints, as with many
    // providers, and never through a proxy of this machine.
    api.arg("--enable-aggregator-routing=true").args(emulated);
    api.env_remove("HTTPS_PROXY").env_remove("https_proxy");
    janitor.spawn("kube-apiserver", &mut api)
}

fn start_controllers(janitor: &Janitor, assets: &Path, kubeconfig: &Path) -> Option<Process> {
    let program = assets.join("kube-controller-manager");
    if !program.exists() {
        return None;
    }
    let mut controllers = Command::new(program);
    controllers.arg("--kubeconfig").arg(kubeconfig).args(["--leader-elect=false", "--secure-port=0"]);
    controllers.arg(format!("--controllers={CONTROLLERS}"));
    controllers.arg("--root-ca-file").arg(janitor.directory().join("ca.pem"));
    Some(janitor.spawn("kube-controller-manager", &mut controllers))
}

fn is_ready(kubectl: &Path, kubeconfig: &Path) -> bool {
    let answer = Command::new(kubectl).arg("--kubeconfig").arg(kubeconfig).args(["get", "--raw", "/readyz"]).output();
    answer.is_ok_and(|output| output.stdout == b"ok")
}
