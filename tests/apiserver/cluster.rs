//! The helpers of the API-server tests: a cluster, a namespace for each test, and the verbs
//! `accepts` and `rejects`.
//!
//! Objects are JSON values and never typed structs, so that no field is lost between the test and
//! the API server.
//!
//! Invariant: a test sees only its own namespace; shared parts (the control plane, the webhooks)
//! are started once and never changed.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use hyper::Request;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::control_plane::{ControlPlane, assets};
use crate::process::eventually;

/// Label of a namespace that selects the webhook configurations that cover it.
pub const WEBHOOK_LABEL: &str = "tests/webhook";

/// The control plane and a client of it.
pub struct Cluster {
    pub control_plane: ControlPlane,
    /// Runs the client and the simulated webhooks.
    pub runtime: Runtime,
    client: Client,
}

/// A response of the API server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Values of the `Warning` headers.
    pub warnings: Vec<String>,
    /// The object, or a `Status`.
    pub body: Value,
}

/// A namespace of one test.
pub struct Namespace {
    pub cluster: &'static Cluster,
    pub name: String,
}

/// The cluster that all tests share. If the programs for it are missing, the test is ignored.
pub fn shared() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let assets = assets();
    CLUSTER.get_or_init(|| Cluster::start(&assets))
}

/// Runs a test in a namespace that the webhooks with this label cover.
pub fn in_namespace(name: &str, webhook: &str, test: impl FnOnce(&Namespace)) {
    test(&shared().namespace(name, webhook));
}

impl Cluster {
    /// A cluster of its own, for a test whose changes would affect others.
    pub fn start(assets: &Path) -> Self {
        Self::of(ControlPlane::start(assets))
    }

    /// A cluster whose API server behaves as an older version, such as `1.34`.
    pub fn start_emulating(assets: &Path, version: &str) -> Self {
        Self::of(ControlPlane::start_emulating(assets, Some(version)))
    }

    fn of(control_plane: ControlPlane) -> Self {
        let runtime = Runtime::new().expect("a tokio runtime");
        let kubeconfig = Kubeconfig::read_from(&control_plane.kubeconfig).expect("a valid kubeconfig");
        let client = runtime.block_on(connect(kubeconfig));
        Self { control_plane, runtime, client }
    }

    /// Sends one request to the API server. Does not fail on an HTTP error status.
    pub fn send(&self, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
        self.send_with(&self.client, method, path, content_type, body)
    }

    /// A client of another server, whose certificate this authority has issued.
    pub fn client_of(&self, url: &str, ca_file: &Path) -> Client {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [],
            "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": ca_file}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": ""}}],
        });
        let kubeconfig = Kubeconfig::from_yaml(&kubeconfig.to_string()).expect("a valid kubeconfig");
        self.runtime.block_on(connect(kubeconfig))
    }

    /// A client of the API server with this token.
    pub fn client_as(&self, token: &str) -> Client {
        let kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig_of(token)).expect("a valid kubeconfig");
        self.runtime.block_on(connect(kubeconfig))
    }

    /// The address of the API server.
    pub fn address(&self) -> SocketAddr {
        let text = std::fs::read_to_string(&self.control_plane.kubeconfig).expect("a kubeconfig");
        let kubeconfig: Value = serde_json::from_str(&text).expect("JSON");
        let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().expect("a server");
        server.trim_start_matches("https://").parse().expect("an address")
    }

    /// A kubeconfig with this token.
    pub fn kubeconfig_of(&self, token: &str) -> String {
        let text = std::fs::read_to_string(&self.control_plane.kubeconfig).expect("a kubeconfig");
        let mut kubeconfig: Value = serde_json::from_str(&text).expect("JSON");
        kubeconfig["users"][0]["user"] = json!({"token": token});
        kubeconfig.to_string()
    }

    /// Like [`Cluster::send`], to another server.
    pub fn send_with(&self, client: &Client, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
        let answer = self.runtime.block_on(request(client, method, path, content_type, body));
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// A client of the API server, for tests that send many requests at a time.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Sends a JSON object.
    pub fn send_object(&self, method: &str, path: &str, object: &Value) -> Answer {
        self.send(method, path, "application/json", object.to_string().into_bytes())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "application/json", Vec::new())
    }

    /// Creates an object that may exist already.
    pub fn ensure(&self, path: &str, object: &Value) {
        let answer = self.send_object("POST", path, object);
        assert!(answer.is_success() || answer.status == 409, "{path}: {answer:?}");
    }

    /// A new namespace with a service account, so that pods can be created at once.
    pub fn namespace(&'static self, name: &str, webhook: &str) -> Namespace {
        let object = json!({"metadata": {"name": name, "labels": {WEBHOOK_LABEL: webhook}}});
        self.send_object("POST", "/api/v1/namespaces", &object).expect_success();
        let namespace = Namespace { cluster: self, name: name.to_owned() };
        namespace.ensure_service_account("default");
        namespace
    }
}

async fn connect(kubeconfig: Kubeconfig) -> Client {
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a usable kubeconfig");
    config.proxy_url = None;
    Client::try_from(config).expect("a client")
}

/// Sends one request. Fails without a response, but not on an HTTP error status.
pub async fn request(
    client: &Client,
    method: &str,
    path: &str,
    content_type: &str,
    body: Vec<u8>,
) -> kube::Result<Answer> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .header("accept", "application/json")
        .body(Body::from(body))
        .expect("a valid request");
    let (head, body) = client.send(request).await?.into_parts();
    let warnings = head.headers.get_all("warning").iter().filter_map(|value| value.to_str().ok());
    let warnings = warnings.map(str::to_owned).collect();
    let text = body.collect_bytes().await?;
    let body = serde_json::from_slice(&text).unwrap_or_else(|_| json!(String::from_utf8_lossy(&text)));
    Ok(Answer { status: head.status.as_u16(), warnings, body })
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The object; fails the test if the API server refused the request.
    #[track_caller]
    pub fn expect_success(self) -> Value {
        assert!(self.is_success(), "the API server answered {}: {}", self.status, self.body["message"]);
        self.body
    }
}

impl Namespace {
    /// Path of a resource of the core group in this namespace.
    pub fn path(&self, resource: &str) -> String {
        format!("/api/v1/namespaces/{}/{resource}", self.name)
    }

    /// Creates the pod with strict field validation and returns the response. `query` is empty or
    /// begins with `&`.
    pub fn create_pod(&self, pod: &Value, query: &str) -> Answer {
        let path = self.path(&format!("pods?fieldValidation=Strict{query}"));
        self.cluster.send_object("POST", &path, pod)
    }

    /// Asserts that the API server accepts the pod; returns the stored pod.
    #[track_caller]
    pub fn accepts(&self, pod: &Value) -> Value {
        self.create_pod(pod, "").expect_success()
    }

    /// Asserts that the API server would accept the pod; returns the pod that it would store.
    #[track_caller]
    pub fn would_accept(&self, pod: &Value) -> Value {
        self.create_pod(pod, "&dryRun=All").expect_success()
    }

    /// Asserts that the API server refuses the pod; returns its message.
    #[track_caller]
    pub fn rejects(&self, pod: &Value) -> String {
        let answer = self.create_pod(pod, "");
        assert!(!answer.is_success(), "the pod was accepted: {}", answer.body);
        answer.body["message"].as_str().expect("a Status with a message").to_owned()
    }

    /// Waits until the namespace has this many pods with the label `app`, and returns them.
    pub fn wait_for_pods(&self, app: &str, count: usize) -> Vec<Value> {
        let path = self.path(&format!("pods?labelSelector=app%3D{app}"));
        eventually(&format!("{count} pods of {app}"), Duration::from_secs(30), || {
            let pods = self.cluster.get(&path).expect_success()["items"].as_array().cloned().unwrap_or_default();
            (pods.len() == count).then_some(pods)
        })
    }

    /// Pods refer to service accounts, so they must exist; the controller may create them first.
    pub fn ensure_service_account(&self, name: &str) {
        self.cluster.ensure(&self.path("serviceaccounts"), &json!({"metadata": {"name": name}}));
    }

    /// Creates a priority class and waits until admission knows it.
    pub fn ensure_priority_class(&self, name: &str, value: i64) {
        let class = json!({"metadata": {"name": name}, "value": value});
        self.cluster.ensure("/apis/scheduling.k8s.io/v1/priorityclasses", &class);
        let mut probe = pod("probe", &json!({}));
        probe["spec"]["priorityClassName"] = json!(name);
        eventually("admission knows the priority class", Duration::from_secs(10), || {
            self.create_pod(&probe, "&dryRun=All").is_success().then_some(())
        });
    }

    /// Runs kubectl in this namespace with the object as its input; returns whether it succeeded,
    /// and its output.
    pub fn kubectl(&self, arguments: &[&str], object: &Value) -> (bool, String) {
        let (succeeded, stdout, stderr) = self.kubectl_says(arguments, object);
        (succeeded, if succeeded { stdout } else { stderr })
    }

    /// Like [`Namespace::kubectl`], with both outputs.
    pub fn kubectl_says(&self, arguments: &[&str], object: &Value) -> (bool, String, String) {
        let control_plane = &self.cluster.control_plane;
        let mut kubectl = Command::new(&control_plane.kubectl);
        kubectl.arg("--kubeconfig").arg(&control_plane.kubeconfig).args(["--namespace", &self.name]).args(arguments);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = kubectl.spawn().expect("kubectl starts");
        let mut input = child.stdin.take().expect("its standard input is a pipe");
        input.write_all(object.to_string().as_bytes()).expect("kubectl reads");
        drop(input);
        let output = child.wait_with_output().expect("kubectl ends");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }
}

/// A pod with one container `web` and these annotations.
pub fn pod(name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
    })
}

/// Names of the elements of a list of the pod, such as `/spec/containers`.
pub fn names<'a>(pod: &'a Value, list: &str) -> Vec<&'a str> {
    pod.pointer(list)
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(|element| element["name"].as_str()).collect())
        .unwrap_or_default()
}
