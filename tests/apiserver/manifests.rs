//! The manifests and the chart, applied to an API server: the stored objects, the rights of the
//! account, and the objects left after removal.
//!
//! No pod runs here, so no webhook responds.
//!
//! Invariant: the test has its own control plane, since a webhook configuration without a webhook
//! would refuse the pods of all other tests.

mod rights;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::cluster::{Answer, Cluster, pod};
use crate::control_plane::assets;
use crate::harness;
use crate::process::eventually;

tests! {
    kustomize_installs_again_and_removes,
    helm_installs_upgrades_and_removes_the_webhook_first,
    helm_refuses_to_lose_templates_and_installs_a_second_installation,
}

const OURS: &str = "outrigger-system";
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/outrigger";
const ADVICE_CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const ADVICE_CONFIGURATION: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/outrigger";
const AUTHORITY: &str = "/api/v1/namespaces/outrigger-system/secrets/outrigger-ca";
const SERVING: &str = "/api/v1/namespaces/outrigger-system/secrets/outrigger-serving";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/outrigger-system/leases/outrigger";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/outrigger-system/deployments";

const TEMPLATE: &str = "/apis/outrigger.dev/v1alpha1/clusterinjectiontemplates/kept";

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// A cluster and the programs that install into it.
struct Installation {
    cluster: Cluster,
    assets: PathBuf,
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Installation {
    fn start() -> Self {
        let assets = assets();
        Self { cluster: Cluster::start(&assets), assets }
    }

    fn kubectl(&self, arguments: &[&str], path: &str) -> String {
        let mut kubectl = Command::new(&self.cluster.control_plane.kubectl);
        kubectl.args(arguments).arg(repository(path));
        self.succeeds(&mut kubectl)
    }

    /// Runs Helm. Without Helm the test is ignored.
    fn helm(&self, arguments: &[&OsStr]) -> String {
        self.succeeds(&mut self.helm_in(OURS, arguments))
    }

    fn helm_in(&self, namespace: &str, arguments: &[&OsStr]) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.assets.clone()).chain(std::env::split_paths(&path));
        let program = folders.map(|folder| folder.join("helm")).find(|program| program.is_file());
        let mut helm = Command::new(program.unwrap_or_else(|| harness::ignore("helm was not found")));
        for (variable, folder) in [("HELM_CACHE_HOME", "c"), ("HELM_CONFIG_HOME", "f"), ("HELM_DATA_HOME", "d")] {
            helm.env(variable, self.cluster.control_plane.janitor.directory().join(folder));
        }
        helm.args(arguments).args(["--namespace", namespace]);
        helm
    }

    /// What the command says, which must fail.
    fn fails(&self, command: &mut Command) -> String {
        command.env("KUBECONFIG", &self.cluster.control_plane.kubeconfig);
        let output = command.output().expect("the program runs");
        assert!(!output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn succeeds(&self, command: &mut Command) -> String {
        command.env("KUBECONFIG", &self.cluster.control_plane.kubeconfig);
        let output = command.output().expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
        assert!(!said.contains("would violate PodSecurity"), "{said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn get(&self, path: &str) -> Value {
        self.cluster.get(path).expect_success()
    }

    /// Writes like the program: certificates, the lease, and the bundle by server-side apply with
    /// its own field manager.
    fn write_like_the_program(&self) {
        let patch = |path: &str, content: &str, patch: &Value| {
            self.cluster.send("PATCH", path, content, patch.to_string().into_bytes()).expect_success();
        };
        patch(AUTHORITY, MERGE_PATCH, &json!({"data": {"ca.crt": "YQ=="}}));
        patch(SERVING, MERGE_PATCH, &json!({"data": {"tls.crt": "YQ=="}}));
        patch(LEASE, MERGE_PATCH, &json!({"spec": {"holderIdentity": "outrigger-1"}}));
        patch(&format!("{CONFIGURATION}?fieldManager=outrigger-ca-bundle"), APPLY_PATCH, &self.bundle());
        patch(&format!("{ADVICE_CONFIGURATION}?fieldManager=outrigger-ca-bundle"), APPLY_PATCH, &self.advice_bundle());
    }

    /// A server-side apply of nothing but `caBundle`.
    fn bundle(&self) -> Value {
        use base64::Engine;
        let bundle = base64::engine::general_purpose::STANDARD.encode(self.cluster.control_plane.authority.pem());
        let entry =
            |name: &str| json!({"name": format!("{name}.inject.outrigger.dev"), "clientConfig": {"caBundle": bundle}});
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "outrigger"}, "webhooks": [entry("pods"), entry("namespaces")],
        })
    }

    /// The same for the validating configuration.
    fn advice_bundle(&self) -> Value {
        let mut bundle = self.bundle();
        bundle["kind"] = json!("ValidatingWebhookConfiguration");
        for (entry, name) in bundle["webhooks"].as_array_mut().into_iter().flatten().zip(["advice", "templates"]) {
            entry["name"] = json!(format!("{name}.outrigger.dev"));
        }
        bundle
    }

    fn assert_program_fields_are_kept(&self, after: &str) {
        assert_eq!(self.get(AUTHORITY)["data"], json!({"ca.crt": "YQ=="}), "after {after}");
        assert_eq!(self.get(SERVING)["data"], json!({"tls.crt": "YQ=="}), "after {after}");
        assert_eq!(self.get(LEASE)["spec"]["holderIdentity"], "outrigger-1", "after {after}");
        let advice = self.get(ADVICE_CONFIGURATION);
        let expected = &self.advice_bundle()["webhooks"][0]["clientConfig"]["caBundle"];
        for index in 0..2 {
            assert_eq!(advice["webhooks"][index]["clientConfig"]["caBundle"], *expected, "after {after}");
        }
        let configuration = self.get(CONFIGURATION);
        for (index, entry) in self.bundle()["webhooks"].as_array().expect("two entries").iter().enumerate() {
            let bundle = &configuration["webhooks"][index]["clientConfig"]["caBundle"];
            assert_eq!(*bundle, entry["clientConfig"]["caBundle"], "after {after}");
        }
    }

    /// Asserts that Pod Security "restricted" admits Outrigger's pod.
    fn assert_pod_is_admitted(&self) {
        let deployment = self.get(&format!("{DEPLOYMENTS}/outrigger"));
        let template = &deployment["spec"]["template"];
        let mut pod = json!({"metadata": template["metadata"], "spec": template["spec"]});
        pod["metadata"]["name"] = json!("probe");
        let path = format!("/api/v1/namespaces/{OURS}/pods?dryRun=All");
        let admitted = self.cluster.send_object("POST", &path, &pod);
        assert!(admitted.warnings.is_empty(), "{:?}", admitted.warnings);
        admitted.expect_success();
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        let refused = self.cluster.send_object("POST", &path, &pod);
        assert!(refused.body.to_string().contains("violates PodSecurity"), "{}", refused.body);
    }

    /// Kinds and names of Outrigger's objects, cluster-wide and in its namespace.
    fn remaining_objects(&self) -> Vec<String> {
        let paths = [
            CONFIGURATIONS.to_owned(),
            ADVICE_CONFIGURATIONS.to_owned(),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles".to_owned(),
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings".to_owned(),
            "/apis/scheduling.k8s.io/v1/priorityclasses".to_owned(),
            DEPLOYMENTS.to_owned(),
            format!("/api/v1/namespaces/{OURS}/services"),
            format!("/api/v1/namespaces/{OURS}/secrets"),
            format!("/api/v1/namespaces/{OURS}/configmaps"),
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{OURS}/roles"),
            format!("/apis/networking.k8s.io/v1/namespaces/{OURS}/networkpolicies"),
            format!("/apis/policy/v1/namespaces/{OURS}/poddisruptionbudgets"),
        ];
        let names = paths.iter().flat_map(|path| {
            let items = self.get(path)["items"].as_array().cloned().unwrap_or_default();
            items.into_iter().filter_map(move |item| Some(format!("{path}: {}", item["metadata"]["name"].as_str()?)))
        });
        names.filter(|name| name.contains(": outrigger")).collect()
    }

    /// The etcd revision at which an object of this kind was first deleted after `since`.
    fn deleted_at(&self, path: &str, since: &str) -> u64 {
        let path = format!("{path}?watch=true&resourceVersion={since}&timeoutSeconds=1");
        let answer = self.cluster.get(&path);
        assert!(answer.is_success(), "{answer:?}");
        // A single event is parsed as JSON; several events are text, one per line.
        let text = answer.body.as_str().map_or_else(|| answer.body.to_string(), str::to_owned);
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut deleted = events.filter(|event| event["type"] == "DELETED");
        let event = deleted.next().unwrap_or_else(|| panic!("{path}: nothing was deleted: {text}"));
        let revision = event["object"]["metadata"]["resourceVersion"].as_str().expect("a revision");
        revision.parse().expect("revisions of etcd are numbers")
    }
}

/// Without a replica: pods that request injection are refused, pods in a participating namespace
/// and all others are created, and the API server counts both under the names and labels of our
/// alerts.
fn without_a_replica_only_pods_that_request_injection_are_refused(installation: &Installation) {
    let cluster = &installation.cluster;
    for (name, label) in [("takes-part", json!({"outrigger.dev/injection": "enabled"})), ("does-not", json!({}))] {
        let namespace = json!({"metadata": {"name": name, "labels": label}});
        cluster.send_object("POST", "/api/v1/namespaces", &namespace).expect_success();
        cluster
            .ensure(&format!("/api/v1/namespaces/{name}/serviceaccounts"), &json!({"metadata": {"name": "default"}}));
    }
    let create = |namespace: &str, annotations: &Value| {
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        cluster.send_object("POST", &path, &pod("web", annotations))
    };
    let asks = json!({"outrigger.dev/inject": "log-collector"});
    // The API server learns of the configuration a moment after it was applied.
    let refused = eventually("the API server calls the webhook", Duration::from_secs(20), || {
        Some(create("does-not", &asks)).filter(|answer| !answer.is_success())
    });
    let message = refused.body["message"].as_str().expect("a Status with a message");
    assert!(message.contains("failed calling webhook \"pods.inject.outrigger.dev\""), "{message}");
    create("does-not", &json!({})).expect_success();
    create("takes-part", &json!({})).expect_success();
    create("kube-system", &asks).expect_success();

    let metrics = cluster.get("/metrics").body;
    let metrics = metrics.as_str().expect("metrics are text");
    let is_counted = |name: &str, labels: &[&str]| {
        let mut lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.any(|line| labels.iter().all(|label| line.contains(label)))
    };
    let (pods, namespaces) = ("name=\"pods.inject.outrigger.dev\"", "name=\"namespaces.inject.outrigger.dev\"");
    let labels = [pods, "type=\"admit\"", "error_type=\"calling_webhook_error\""];
    assert!(is_counted("apiserver_admission_webhook_rejection_count", &labels));
    assert!(is_counted("apiserver_admission_webhook_request_total", &[pods, "type=\"admit\""]));
    assert!(is_counted("apiserver_admission_webhook_fail_open_count", &[namespaces, "type=\"admit\""]));
}

/// The account of Outrigger's pods, used with its own token.
struct Account<'a> {
    cluster: &'a Cluster,
    client: Client,
}

impl<'a> Account<'a> {
    fn of(cluster: &'a Cluster) -> Self {
        let path = format!("/api/v1/namespaces/{OURS}/serviceaccounts/outrigger/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let token = cluster.send_object("POST", &path, &request).expect_success()["status"]["token"].clone();
        let kubeconfig = Kubeconfig::read_from(&cluster.control_plane.kubeconfig).expect("a valid kubeconfig");
        let mut kubeconfig = serde_json::to_value(kubeconfig).expect("a kubeconfig is JSON");
        kubeconfig["users"] = json!([{"name": "admin", "user": {"token": token}}]);
        let kubeconfig = Kubeconfig::from_yaml(&kubeconfig.to_string()).expect("a valid kubeconfig");
        let client = cluster.runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("a usable one");
            config.proxy_url = None;
            Client::try_from(config).expect("a client")
        });
        Self { cluster, client }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let content = match method {
            "PATCH" if path.contains("fieldManager") => APPLY_PATCH,
            "PATCH" => MERGE_PATCH,
            _ => JSON,
        };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.cluster.send_with(&self.client, method, path, content, body)
    }

    #[track_caller]
    fn may(&self, method: &str, path: &str, body: &Value) {
        let answer = self.send(method, path, body);
        assert!(answer.is_success(), "{method} {path}: {}", answer.body);
    }

    #[track_caller]
    fn may_not(&self, method: &str, path: &str, body: &Value) {
        let answer = self.send(method, path, body);
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
        assert!(answer.body["message"].as_str().is_some_and(|message| message.contains("cannot")), "{}", answer.body);
    }
}

/// Every call that the program makes.
fn assert_needed_calls_are_allowed(installation: &Installation, account: &Account<'_>) {
    let secrets = format!("/api/v1/namespaces/{OURS}/secrets");
    account.may("GET", CONFIGURATION, &Value::Null);
    account.may("GET", &format!("{CONFIGURATIONS}?fieldSelector=metadata.name%3Doutrigger"), &Value::Null);
    account.may(
        "PATCH",
        &format!("{CONFIGURATION}?fieldManager=outrigger-ca-bundle&force=true"),
        &installation.bundle(),
    );
    account.may("GET", ADVICE_CONFIGURATION, &Value::Null);
    account.may("GET", &format!("{ADVICE_CONFIGURATIONS}?fieldSelector=metadata.name%3Doutrigger"), &Value::Null);
    account.may(
        "PATCH",
        &format!("{ADVICE_CONFIGURATION}?fieldManager=outrigger-ca-bundle&force=true"),
        &installation.advice_bundle(),
    );
    account.may("GET", "/api/v1/namespaces", &Value::Null);
    account.may("GET", "/api/v1/namespaces/default", &Value::Null);
    for secret in ["outrigger-ca", "outrigger-serving"] {
        let path = format!("{secrets}/{secret}");
        account.may("GET", &format!("{secrets}?fieldSelector=metadata.name%3D{secret}"), &Value::Null);
        account.may("PATCH", &path, &json!({"data": {"x": "YQ=="}}));
        let mut object = account.send("GET", &path, &Value::Null).expect_success();
        object["data"] = json!({"ca.crt": "Yg=="});
        account.may("PUT", &path, &object);
    }
    let mut lease = account.send("GET", LEASE, &Value::Null).expect_success();
    lease["spec"] = json!({"holderIdentity": "outrigger-2", "leaseDurationSeconds": 15});
    account.may("PUT", LEASE, &lease);
    account.may("PATCH", LEASE, &json!({"spec": {"leaseTransitions": 1}}));
    account.may("GET", "/api/v1/pods?limit=1", &Value::Null);
    for resource in ["clusterinjectiontemplates", "injectiontemplates"] {
        account.may("GET", &format!("/apis/outrigger.dev/v1alpha1/{resource}"), &Value::Null);
    }
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "x", "namespace": "default"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "outrigger.dev/outrigger",
        "reportingInstance": "outrigger-1", "action": "Inject", "reason": "Refused", "type": "Warning", "note": "x",
        "regarding": {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "namespace": "default"},
    });
    account.may("POST", "/apis/events.k8s.io/v1/namespaces/default/events", &event);
}

fn kustomize_installs_again_and_removes() {
    let installation = Installation::start();
    installation.kubectl(&["apply", "--validate=strict", "-k"], "manifests");
    installation.assert_pod_is_admitted();
    without_a_replica_only_pods_that_request_injection_are_refused(&installation);

    installation.write_like_the_program();
    let said = installation.kubectl(&["apply", "-k"], "manifests");
    let changed: Vec<&str> = said.lines().filter(|line| !line.ends_with(" unchanged")).collect();
    assert!(changed.is_empty(), "{changed:?}");
    installation.assert_program_fields_are_kept("kubectl apply");
    // Without --force-conflicts: nobody else manages a field of the manifests.
    installation.kubectl(&["apply", "--server-side", "-k"], "manifests");
    installation.assert_program_fields_are_kept("kubectl apply --server-side");

    let account = Account::of(&installation.cluster);
    assert_needed_calls_are_allowed(&installation, &account);
    rights::all_else_is_refused(&account);
    rights::let_it_watch(&account);
    rights::assert_exact_rights(&account);
    rights::on_our_configuration_are_for_all_of_it(&account);
    rights::assert_harmful_calls_are_refused(&account);

    for configuration in [CONFIGURATION, ADVICE_CONFIGURATION] {
        installation.cluster.send("DELETE", configuration, JSON, Vec::new()).expect_success();
    }
    // As docs/install.md does it: all but the definitions of templates.
    let all_but = "--selector=app.kubernetes.io/component!=crds";
    installation.kubectl(&["delete", "--ignore-not-found", "--wait=false", all_but, "-k"], "manifests");
    let left: Vec<String> = installation.remaining_objects();
    assert!(left.is_empty(), "{left:?}");
    installation.get("/apis/outrigger.dev/v1alpha1/clusterinjectiontemplates");
    let asks = pod("web", &json!({"outrigger.dev/inject": "log-collector"}));
    eventually("pods are created as before", Duration::from_secs(20), || {
        let path = "/api/v1/namespaces/does-not/pods?dryRun=All";
        Some(installation.cluster.send_object("POST", path, &asks)).filter(Answer::is_success)
    });
}

fn arguments(words: &[&'static str]) -> Vec<&'static OsStr> {
    words.iter().copied().map(OsStr::new).collect()
}

fn helm_installs_upgrades_and_removes_the_webhook_first() {
    let installation = Installation::start();
    let chart = repository("manifests/chart");
    let install = [arguments(&["install", "outrigger"]), vec![chart.as_os_str()], arguments(&["--create-namespace"])];
    installation.helm(&install.concat());
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespace = format!("/api/v1/namespaces/{OURS}");
    installation.cluster.send("PATCH", &namespace, MERGE_PATCH, label.to_string().into_bytes()).expect_success();
    installation.assert_pod_is_admitted();

    installation.write_like_the_program();
    let values = arguments(&["--set", "webhook.timeoutSeconds=7,highAvailability.enabled=true"]);
    let upgrade = [arguments(&["upgrade", "outrigger"]), vec![chart.as_os_str()], values];
    installation.helm(&upgrade.concat());
    installation.assert_program_fields_are_kept("helm upgrade");
    assert_eq!(installation.get(CONFIGURATION)["webhooks"][0]["timeoutSeconds"], 7);
    let template = json!({
        "apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate",
        "metadata": {"name": "kept"}, "spec": {},
    });
    eventually("the API server has the kind", Duration::from_secs(20), || {
        let path = TEMPLATE.trim_end_matches("/kept");
        Some(installation.cluster.send_object("POST", path, &template)).filter(Answer::is_success)
    });
    installation.helm(&arguments(&["rollback", "outrigger", "1"]));
    installation.assert_program_fields_are_kept("helm rollback");
    assert_eq!(installation.get(CONFIGURATION)["webhooks"][0]["timeoutSeconds"], 5);

    let since = installation.get(CONFIGURATIONS)["metadata"]["resourceVersion"].clone();
    let since = since.as_str().expect("a list has a revision");
    installation.helm(&arguments(&["uninstall", "outrigger"]));
    let webhook = installation.deleted_at(CONFIGURATIONS, since);
    let advice = installation.deleted_at(ADVICE_CONFIGURATIONS, since);
    for path in [DEPLOYMENTS.to_owned(), format!("/api/v1/namespaces/{OURS}/services")] {
        let deleted = installation.deleted_at(&path, since);
        assert!(webhook < deleted && advice < deleted, "{path} went before the webhook configurations");
    }
    let left = installation.remaining_objects();
    assert!(left.is_empty(), "{left:?}");
    // The definitions of templates are kept, and with them every template.
    installation.get(TEMPLATE);
    // The namespace exists from the earlier test, like a namespace that the user has created.
    let again = [arguments(&["install", "outrigger"]), vec![chart.as_os_str()]];
    installation.helm(&again.concat());
    assert!(!installation.remaining_objects().is_empty());
}

fn helm_refuses_to_lose_templates_and_installs_a_second_installation() {
    let installation = Installation::start();
    let chart = repository("manifests/chart");
    let chart = [chart.as_os_str()];
    let set = |values: &'static str| arguments(&["--set", values]);
    let templates = set("templates.redis\\.yaml=kind: X,templates.other\\.yaml=kind: Y");
    installation.helm(&[&arguments(&["install", "outrigger", "--create-namespace"])[..], &chart, &templates].concat());
    let upgrade = [&arguments(&["upgrade", "outrigger"])[..], &chart].concat();
    let one = set("templates.other\\.yaml=kind: Z");
    let said = installation.fails(&mut installation.helm_in(OURS, &[&upgrade[..], &one].concat()));
    assert!(said.contains("no template redis.yaml") && said.contains("allowTemplateRemoval=true"), "{said}");
    let config_map = format!("/api/v1/namespaces/{OURS}/configmaps/outrigger-templates");
    assert!(installation.get(&config_map)["data"]["redis.yaml"].is_string());
    installation.helm(&[&upgrade[..], &templates, &set("webhook.timeoutSeconds=6")].concat());
    installation.helm(&[&upgrade[..], &one, &set("allowTemplateRemoval=true")].concat());
    assert!(installation.get(&config_map)["data"]["redis.yaml"].is_null());

    // The same names in another namespace: Helm refuses, because the objects belong to the first.
    let second = [&arguments(&["install", "sidecars", "--create-namespace"])[..], &chart].concat();
    let said = installation.fails(&mut installation.helm_in("sidecars", &second));
    assert!(said.contains("outrigger") && said.contains("exists and cannot be imported"), "{said}");
    let named = set("nameOverride=sidecars,domain=sidecars.example.com,crds.install=false");
    installation.succeeds(&mut installation.helm_in("sidecars", &[&second[..], &named].concat()));
    for (path, name) in
        [(CONFIGURATIONS, "sidecars"), (ADVICE_CONFIGURATIONS, "sidecars"), (CONFIGURATIONS, "outrigger")]
    {
        installation.get(&format!("{path}/{name}"));
    }
    installation.succeeds(&mut installation.helm_in("sidecars", &arguments(&["uninstall", "sidecars"])));
    assert_eq!(installation.cluster.get(&format!("{CONFIGURATIONS}/sidecars")).status, 404);
    installation.get(CONFIGURATION);
    installation.get(ADVICE_CONFIGURATION);
}
