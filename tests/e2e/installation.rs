//! Installs Outrigger into the cluster and removes it as a user would, by kustomize or by the
//! chart.
//!
//! It waits for its own changes and inspects nothing else.
//!
//! Invariant: [`Installation::clean_up`] works in every state that a failed test may leave.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT, eventually, within};
use crate::pods;

pub const NAMESPACE: &str = "outrigger-system";
pub const CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/outrigger";
pub const SELECTOR: &str = "app.kubernetes.io/name=outrigger";
const DEPLOYMENT: &str = "deployment/outrigger";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/outrigger-system/leases/outrigger";
/// From this minor version on, Outrigger uses native sidecars by default; on older clusters a
/// setting must say that all nodes support them.
const NATIVE_SIDECARS_SINCE: u32 = 32;
/// The setting for native sidecars.
const ALWAYS_NATIVE: &str = "OUTRIGGER_NATIVE_SIDECARS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Kustomize,
    Chart,
}

/// The number of replicas after a step.
pub const REPLICAS: usize = 2;

pub struct Installation<'a> {
    pub cluster: &'a Cluster,
    pub method: Method,
}

impl Method {
    pub const ALL: [Self; 2] = [Self::Kustomize, Self::Chart];

    pub fn name(self) -> &'static str {
        match self {
            Self::Kustomize => "kustomize",
            Self::Chart => "chart",
        }
    }
}

impl<'a> Installation<'a> {
    /// Creates the value without installing anything.
    pub fn new(cluster: &'a Cluster, method: Method) -> Self {
        if method == Method::Kustomize {
            write_kustomization(cluster);
        }
        Self { cluster, method }
    }

    /// Installs, and waits until a pod that requests injection would get its sidecar.
    pub fn install(&self) {
        let start = Instant::now();
        match self.method {
            Method::Kustomize => self.apply(),
            Method::Chart => self.helm("install"),
        }
        self.wait_until_rolled_out();
        self.wait_until_healthy();
        println!(
            "    pods that ask get their sidecar {:.1} s after `{}`",
            start.elapsed().as_secs_f32(),
            self.command()
        );
    }

    fn command(&self) -> &'static str {
        match self.method {
            Method::Kustomize => "kubectl apply -k",
            Method::Chart => "helm install",
        }
    }

    /// Applies all objects, also repeatedly.
    pub fn apply(&self) {
        match self.method {
            Method::Kustomize => drop(self.cluster.kubectl(&["apply", "--kustomize", &self.kustomization()])),
            Method::Chart => self.helm("upgrade"),
        }
    }

    fn helm(&self, verb: &str) {
        let (cluster, chart) = (self.cluster, repository("manifests/chart"));
        let (image, busybox) = (&cluster.settings.image, &cluster.settings.busybox);
        let mut values = format!("image.repository={},image.tag={}", image.name, image.tag);
        values.push_str(&format!(",highAvailability.enabled=true,test.image={busybox}"));
        if cluster.minor_version() < NATIVE_SIDECARS_SINCE {
            values.push_str(",config.nativeSidecars=always");
        }
        let mut arguments = vec![verb, "outrigger", &chart, "--namespace", NAMESPACE, "--set", &values];
        arguments.extend(["--wait", "--timeout=3m"]);
        if verb == "install" {
            arguments.push("--create-namespace");
        }
        cluster.helm(&arguments);
    }

    /// Removes the installation as documented, including the objects that an uninstall keeps.
    pub fn remove(&self) {
        match self.method {
            Method::Kustomize => {
                self.cluster.kubectl(&[
                    "delete",
                    "mutatingwebhookconfiguration,validatingwebhookconfiguration",
                    "outrigger",
                ]);
                self.cluster.kubectl(&["delete", "--ignore-not-found", "--kustomize", &self.kustomization()]);
            }
            Method::Chart => {
                self.cluster.helm(&["uninstall", "outrigger", "--namespace", NAMESPACE, "--wait", "--timeout=3m"]);
            }
        }
    }

    /// Removes the definitions of templates, and with them all templates.
    pub fn remove_definitions(&self) {
        let names = ["clusterinjectiontemplates", "injectiontemplates"].map(|plural| format!("{plural}.outrigger.dev"));
        let [one, other] = &names;
        self.cluster.try_kubectl(&["delete", "customresourcedefinition", one, other, "--ignore-not-found"]);
    }

    /// Removes all remaining objects.
    pub fn clean_up(&self) {
        let cluster = self.cluster;
        cluster.try_kubectl(&[
            "delete",
            "mutatingwebhookconfiguration,validatingwebhookconfiguration",
            "outrigger",
            "--ignore-not-found",
        ]);
        match self.method {
            Method::Kustomize => {
                cluster.try_kubectl(&["delete", "--ignore-not-found", "--kustomize", &self.kustomization()])
            }
            Method::Chart => {
                cluster.try_helm(&["uninstall", "outrigger", "--namespace", NAMESPACE, "--wait", "--ignore-not-found"])
            }
        };
        self.remove_definitions();
        self.delete_namespaces(|name| name == NAMESPACE || name == "outrigger-test");
    }

    /// Cleans up after a failed test.
    pub fn clean_up_after_test(&self) {
        self.delete_namespaces(|name| name.starts_with("outrigger-e2e-"));
    }

    fn delete_namespaces(&self, is_meant: impl Fn(&str) -> bool) {
        let namespaces = self.cluster.try_kubectl(&["get", "namespaces", "--output=name"]).output;
        let names = namespaces.lines().filter_map(|line| line.strip_prefix("namespace/"));
        for name in names.filter(|name| is_meant(name)) {
            self.cluster.try_kubectl(&["delete", "namespace", name, "--ignore-not-found", "--timeout=180s"]);
        }
    }

    /// Prints what helps to diagnose a failure.
    pub fn show(&self) {
        let ours = ["logs", "--namespace", NAMESPACE, "--selector", SELECTOR, "--tail=1000", "--prefix"];
        let commands: [&[&str]; 4] = [
            &["get", "pods", "--all-namespaces", "--output=wide"],
            &["get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"],
            &["get", "mutatingwebhookconfigurations,validatingwebhookconfigurations"],
            &ours,
        ];
        for command in commands {
            let ended = self.cluster.try_kubectl(command);
            eprintln!("--- kubectl {}\n{}", command.join(" "), ended.stderr);
            // A line for each pod would hide all others.
            let lines = ended.output.lines().filter(|line| !line.contains(r#""message":"decision""#));
            lines.for_each(|line| eprintln!("{line}"));
        }
    }

    fn kustomization(&self) -> String {
        self.cluster.directory.path().to_string_lossy().into_owned()
    }

    /// The Deployment has all its replicas, and only of its newest revision.
    pub fn wait_until_rolled_out(&self) {
        self.cluster.kubectl(&["--namespace", NAMESPACE, "rollout", "status", DEPLOYMENT, "--timeout=180s"]);
        eventually("old replicas are gone", LIMIT, || (self.replicas().len() == REPLICAS).then_some(()));
    }

    /// All replicas are ready, and a pod that requests injection would get its sidecar.
    pub fn wait_until_healthy(&self) {
        eventually("all replicas are ready", LIMIT, || {
            let replicas = self.replicas();
            (replicas.len() == REPLICAS && replicas.iter().all(pods::is_ready)).then_some(())
        });
        let pod = pods::idle("probe", &pods::asking(None));
        let mut last = String::new();
        let is_injected = within(LIMIT, || {
            let answer = self.cluster.would_create("default", &pod);
            last = answer.message();
            (answer.is_success() && pods::is_injected(&answer.body)).then_some(())
        });
        assert!(
            is_injected.is_some(),
            "after {LIMIT:?} no pod that requests injection would be created with its sidecar: {last}"
        );
    }

    /// The pods of the installation, including terminating ones.
    pub fn replicas(&self) -> Vec<Value> {
        self.cluster.pods(NAMESPACE, SELECTOR)
    }

    pub fn scale(&self, replicas: usize) {
        self.cluster.kubectl(&["--namespace", NAMESPACE, "scale", DEPLOYMENT, &format!("--replicas={replicas}")]);
    }

    /// Starts a rolling restart.
    pub fn restart(&self) {
        self.cluster.kubectl(&["--namespace", NAMESPACE, "rollout", "restart", DEPLOYMENT]);
    }

    /// Changes settings by their variables, `NAME=VALUE` or `NAME-` for the default, and waits for
    /// replicas that have them.
    pub fn set(&self, variables: &[&str]) {
        self.cluster.kubectl(&[&["--namespace", NAMESPACE, "set", "env", DEPLOYMENT], variables].concat());
        self.wait_until_rolled_out();
        self.wait_until_healthy();
    }

    /// The name of the pod that holds the lease.
    pub fn leader(&self) -> String {
        eventually("somebody leads", LIMIT, || {
            let holder = self.holder()?;
            let replicas = self.replicas();
            replicas.iter().map(pods::name_of).find(|name| holder.starts_with(name)).map(str::to_owned)
        })
    }

    /// The holder of the lease, different for each process.
    pub fn holder(&self) -> Option<String> {
        let lease = self.cluster.look(LEASE)?;
        lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty()).map(str::to_owned)
    }

    /// Fields of one of Outrigger's Secrets; empty if it does not exist.
    pub fn secret(&self, name: &str) -> Value {
        let secret = self.cluster.look(&format!("/api/v1/namespaces/{NAMESPACE}/secrets/{name}"));
        secret.map_or(Value::Null, |secret| secret["data"].clone())
    }

    /// `caBundle` of both webhooks.
    pub fn bundles(&self) -> Vec<String> {
        let configuration = self.cluster.look(CONFIGURATION).unwrap_or_default();
        let webhooks = configuration["webhooks"].as_array().into_iter().flatten();
        webhooks.map(|webhook| webhook["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The log of all replicas in the last seconds.
    pub fn log(&self, since: Duration) -> String {
        let since = format!("--since={}s", since.as_secs() + 1);
        let arguments = ["--namespace", NAMESPACE, "logs", "--selector", SELECTOR, "--tail=-1", &since];
        self.cluster.try_kubectl(&arguments).output
    }
}

fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_string_lossy().into_owned()
}

/// A user's kustomization. It refers to the manifests by a link, since kustomize takes no absolute
/// paths.
fn write_kustomization(cluster: &Cluster) {
    let directory = cluster.directory.path();
    std::os::unix::fs::symlink(repository("manifests"), directory.join("manifests")).expect("a link");
    let image = &cluster.settings.image;
    let mut kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": ["manifests/base"],
        "components": ["manifests/components/high-availability"],
        "images": [{"name": "registry.example/outrigger", "newName": image.name, "newTag": image.tag}],
    });
    if cluster.minor_version() < NATIVE_SIDECARS_SINCE {
        let variable = json!({"name": ALWAYS_NATIVE, "value": "always"});
        let patch = json!([{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": variable}]);
        kustomization["patches"] = json!([{"target": {"kind": "Deployment"}, "patch": patch.to_string()}]);
    }
    std::fs::write(directory.join("kustomization.yaml"), kustomization.to_string()).expect("a file");
}
