//! The cluster as a user sees it: kubectl, helm, and single requests for tests that need a
//! response's details.
//!
//! It knows nothing of Outrigger.
//!
//! Invariant: every wait has a limit, and its failure names the awaited condition.

#![allow(clippy::disallowed_methods, reason = "the tests are synchronous and wait for a cluster")]

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hyper::Request;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::settings::Settings;

/// For operations that take seconds in a healthy cluster; the machine may be slow.
pub const LIMIT: Duration = Duration::from_secs(180);
/// For one response. The API server itself gives up on a webhook after seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

pub struct Cluster {
    pub settings: Settings,
    pub runtime: Runtime,
    pub client: Client,
    /// For files that kubectl and helm read.
    pub directory: TempDir,
    kubectl: PathBuf,
    helm: PathBuf,
}

/// A response of the API server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The object, or a `Status`.
    pub body: Value,
}

/// The result of a program.
pub struct Ended {
    pub is_success: bool,
    pub output: String,
    pub stderr: String,
}

impl Cluster {
    pub fn connect(settings: Settings) -> Self {
        let runtime = Runtime::new().expect("a tokio runtime");
        let kubeconfig = Kubeconfig::read_from(&settings.kubeconfig).expect("a valid kubeconfig");
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("a usable kubeconfig");
            Client::try_from(config).expect("a client")
        });
        let directory = tempfile::Builder::new().prefix("outrigger-e2e-").tempdir().expect("a temporary directory");
        let kubectl = find("kubectl", settings.assets.as_deref());
        let helm = find("helm", settings.assets.as_deref());
        Self { settings, runtime, client, directory, kubectl, helm }
    }

    /// Loads the images onto the nodes, if there is a command for it.
    pub fn load_images(&self) {
        let Some(command) = &self.settings.load else { return };
        let program = self.settings.image.to_string();
        let others = [&self.settings.second_busybox, &self.settings.log_collector].map(Option::as_ref);
        let images = [Some(&program), Some(&self.settings.busybox)].into_iter().chain(others);
        for image in images.flatten() {
            let command = format!("{command} \"$1\"");
            let ended = self.run(Command::new("sh").args(["-c", &command, "load", image]), None);
            ended.expect_success(&format!("OUTRIGGER_E2E_LOAD for {image}"));
        }
    }

    /// Minor version of the API server.
    pub fn minor_version(&self) -> u32 {
        let version = self.get("/version");
        let minor: String =
            version["minor"].as_str().unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        minor.parse().unwrap_or_else(|_| panic!("the API server has no version: {version}"))
    }

    /// Runs kubectl with the object as its input; returns its output. Fails the test if kubectl
    /// fails.
    #[track_caller]
    pub fn kubectl_with(&self, arguments: &[&str], input: &Value) -> String {
        self.try_kubectl_with(arguments, input).expect_success(&format!("kubectl {arguments:?}"))
    }

    /// Runs kubectl; returns its output. Fails the test if kubectl fails.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).expect_success(&format!("kubectl {arguments:?}"))
    }

    /// Runs kubectl with the object as its input.
    pub fn try_kubectl_with(&self, arguments: &[&str], input: &Value) -> Ended {
        self.run(Command::new(&self.kubectl).args(arguments), Some(input))
    }

    /// The PATH on which a shell finds this cluster's kubectl first.
    pub fn path(&self) -> OsString {
        let folder = self.kubectl.parent().map(Path::to_path_buf);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = folder.into_iter().chain(std::env::split_paths(&path));
        std::env::join_paths(folders).expect("folders that were in a PATH")
    }

    pub fn try_kubectl(&self, arguments: &[&str]) -> Ended {
        self.run(Command::new(&self.kubectl).args(arguments), None)
    }

    /// Runs helm; returns its output. Fails the test if helm fails.
    #[track_caller]
    pub fn helm(&self, arguments: &[&str]) -> String {
        self.try_helm(arguments).expect_success(&format!("helm {arguments:?}"))
    }

    pub fn try_helm(&self, arguments: &[&str]) -> Ended {
        let mut helm = Command::new(&self.helm);
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(variable, self.directory.path().join(variable));
        }
        self.run(helm.args(arguments), None)
    }

    /// Runs a program with this cluster's kubeconfig.
    pub fn run(&self, command: &mut Command, input: Option<&Value>) -> Ended {
        command.env("KUBECONFIG", &self.settings.kubeconfig);
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        if let (Some(object), Some(mut pipe)) = (input, child.stdin.take()) {
            pipe.write_all(object.to_string().as_bytes()).expect("the program reads its input");
        }
        let output = child.wait_with_output().expect("the program ends");
        Ended {
            is_success: output.status.success(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// An object or a list of objects; it must exist.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, &Value::Null);
        assert!(answer.is_success(), "GET {path}: {}", answer.body);
        answer.body
    }

    /// Sends one request; fails the test without a response, but not on an error status.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, object: &Value) -> Answer {
        let answer = self.runtime.block_on(request(&self.client, method, path, object));
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// An object, if it exists and the API server is reachable.
    pub fn look(&self, path: &str) -> Option<Value> {
        let answer = self.runtime.block_on(request(&self.client, "GET", path, &Value::Null)).ok()?;
        answer.is_success().then_some(answer.body)
    }

    /// Creates a namespace and waits until pods can be created in it.
    pub fn make_namespace(&self, name: &str, labels: &Value) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        self.kubectl_with(&["create", "--filename=-"], &namespace);
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        eventually(&format!("the account of namespace {name}"), LIMIT, || self.look(&account));
    }

    /// Deletes a namespace and its objects, if it exists.
    pub fn delete_namespace(&self, name: &str) {
        self.kubectl(&["delete", "namespace", name, "--ignore-not-found", "--wait", "--timeout=180s"]);
    }

    /// The pod that the API server would store.
    pub fn would_create(&self, namespace: &str, pod: &Value) -> Answer {
        self.send("POST", &format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"), pod)
    }

    /// Pods with this label.
    pub fn pods(&self, namespace: &str, selector: &str) -> Vec<Value> {
        let selector = selector.replace('=', "%3D");
        let pods = self.get(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector={selector}"));
        pods["items"].as_array().cloned().unwrap_or_default()
    }

    /// The log of a pod's container; empty if there is none yet.
    pub fn log(&self, namespace: &str, pod: &str, container: &str) -> String {
        self.try_kubectl(&["logs", "--namespace", namespace, pod, "--container", container]).output
    }
}

/// Sends one request. Fails without a response, but not on an HTTP error status.
pub async fn request(client: &Client, method: &str, path: &str, object: &Value) -> Result<Answer, String> {
    let body = if object.is_null() { Vec::new() } else { object.to_string().into_bytes() };
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .header("accept", "application/json")
        .body(Body::from(body))
        .expect("a valid request");
    let answer = async {
        let (head, body) = client.send(request).await?.into_parts();
        let text = body.collect_bytes().await?;
        let body = serde_json::from_slice(&text).unwrap_or_else(|_| json!(String::from_utf8_lossy(&text)));
        Ok::<_, kube::Error>(Answer { status: head.status.as_u16(), body })
    };
    match tokio::time::timeout(ANSWER_LIMIT, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {ANSWER_LIMIT:?}")),
    }
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The message of a refusal.
    pub fn message(&self) -> String {
        self.body["message"].as_str().map_or_else(|| self.body.to_string(), str::to_owned)
    }
}

impl Ended {
    #[track_caller]
    fn expect_success(self, what: &str) -> String {
        assert!(self.is_success, "{what}: {}{}", self.stderr, self.output);
        self.output
    }
}

fn find(program: &str, assets: Option<&Path>) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = assets.map(Path::to_path_buf).into_iter().chain(std::env::split_paths(&path));
    let found = folders.map(|folder| folder.join(program)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("{program} is needed and was found neither in KUBEBUILDER_ASSETS nor in PATH"))
}

/// Sleeps.
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Calls `probe` until it returns a value; fails the test with `what` after `limit`.
#[track_caller]
pub fn eventually<T>(what: &str, limit: Duration, probe: impl FnMut() -> Option<T>) -> T {
    within(limit, probe).unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// Calls `probe` until it returns a value or the time is over.
pub fn within<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let value = probe();
        if value.is_some() || start.elapsed() >= limit {
            return value;
        }
        pause(Duration::from_millis(200));
    }
}
