//! Compares what `outrigger explain` says with what a real API server does with the same pod.
//!
//! The world has a cluster of its own with template objects. Invariant: for each pod the claim is made
//! before the pod is sent, and the webhook's own log tells whether it was called.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, WEBHOOK_LABEL, pod};
use crate::control_plane::assets;
use crate::objects;
use crate::outrigger::{Outrigger, PROGRAM};
use crate::process::eventually;

tests! {
    pods_with_different_reasons_get_what_was_explained,
    workloads_get_what_was_explained_for_the_pod_of_their_controller,
    a_condition_of_somebody_else_is_explained_as_the_api_server_evaluates_it,
    pods_of_another_workload_with_the_same_labels_are_not_counted,
    a_workload_tells_which_of_its_pods_are_outdated,
    a_running_pod_is_compared_with_what_it_would_get_today,
    a_missing_object_is_named_with_its_nearest_neighbour,
    missing_rights_are_named_and_the_rest_is_explained,
    without_a_configuration_nobody_is_asked,
}

const NAME: &str = "outrigger-explain";
const LIMIT: Duration = Duration::from_secs(60);

struct World {
    cluster: &'static Cluster,
    server: Outrigger,
}

/// What `outrigger explain` has printed, and its exit code.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn explanation(&self) -> Value {
        let report: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        report["explanations"][0].clone()
    }
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    let assets = assets();
    WORLD.get_or_init(|| {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        let cluster = CLUSTER.get_or_init(|| Cluster::start(&assets));
        objects::install_crds(cluster);
        for (name, spec) in templates() {
            objects::apply(cluster, "", name, &spec).expect_success();
        }
        let server = Outrigger::start_in_cluster(cluster, "explain", &[]);
        let probe = namespace(cluster, "explain-probe", &json!({}), &json!({}));
        server.register(&probe, "explain", "agent", |_| {});
        World { cluster, server }
    })
}

fn templates() -> [(&'static str, Value); 3] {
    let sidecar = |name: &str| json!([{"name": name, "image": format!("registry.example/{name}:1")}]);
    [
        (
            "agent",
            json!({
                "parameters": [{"name": "level", "type": "enum", "values": ["low", "high"], "default": "low"}],
                "sidecars": sidecar("agent"),
                "app": {"env": [{"name": "AGENT", "value": "${params.level}"}]},
            }),
        ),
        ("picky", json!({"match": {"podSelector": {"matchLabels": {"tier": "web"}}}, "sidecars": sidecar("picky")})),
        (
            "everywhere",
            json!({
                "injection": "Automatic", "sidecars": sidecar("everywhere"),
                "match": {"namespaceSelector": {"matchLabels": {"everywhere": "yes"}}},
            }),
        ),
    ]
}

/// A namespace that the webhooks cover, with more labels and annotations.
fn namespace(cluster: &'static Cluster, name: &str, labels: &Value, annotations: &Value) -> Namespace {
    let namespace = cluster.namespace(name, "explain");
    let patch = json!({"metadata": {"labels": labels, "annotations": annotations}}).to_string();
    let path = format!("/api/v1/namespaces/{name}");
    cluster.send("PATCH", &path, "application/merge-patch+json", patch.into_bytes()).expect_success();
    namespace
}

impl World {
    fn run_as(&self, kubeconfig: &PathBuf, arguments: &[&str]) -> Ran {
        let output = Command::new(PROGRAM)
            .args(["explain", "--name", NAME, "--kubeconfig"])
            .arg(kubeconfig)
            .args(arguments)
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .output()
            .expect("outrigger starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_as(&PathBuf::from(&self.cluster.control_plane.kubeconfig), arguments)
    }

    /// The explanation of a file with this object.
    fn explain(&self, namespace: &str, object: &Value) -> Value {
        let path = self.cluster.control_plane.janitor.directory().join(format!("explain-{namespace}.json"));
        std::fs::write(&path, object.to_string()).expect("a file");
        let file = path.to_string_lossy().into_owned();
        let ran = self.run(&["-f", &file, "-n", namespace, "-o", "json"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
        ran.explanation()
    }

    /// Decisions of the server about the pod `web` of this namespace.
    fn decisions(&self, namespace: &str) -> Vec<Value> {
        self.server.decisions_in(namespace).into_iter().filter(|one| one["name"] == "web").collect()
    }
}

fn asking(list: &str) -> Value {
    pod("web", &json!({"outrigger.dev/inject": list}))
}

/// A reason, the labels of the namespace, its annotations, the pod, the claim, and its code.
type Row = (&'static str, Value, Value, Value, &'static str, &'static str);

fn rows() -> Vec<Row> {
    let none = || json!({});
    let enabled = || json!({"outrigger.dev/injection": "enabled"});
    let with = |mut pod: Value, pointer: &str, value: Value| {
        let (parent, key) = pointer.rsplit_once('/').expect("a path");
        pod.pointer_mut(parent).expect("a parent")[key] = value;
        pod
    };
    let conflict = json!([{"name": "AGENT", "value": "mine"}]);
    let level = |value: &str| pod("web", &json!({"outrigger.dev/inject": "agent", "agent.outrigger.dev/level": value}));
    let everywhere = json!({"outrigger.dev/injection": "enabled", "everywhere": "yes"});
    vec![
        ("injected", none(), none(), asking("agent"), "injected", ""),
        ("not-covered", json!({WEBHOOK_LABEL: "other"}), none(), asking("agent"), "not_asked", ""),
        (
            "disabled",
            json!({"outrigger.dev/injection": "disabled"}),
            none(),
            asking("agent"),
            "skipped",
            "namespace_disabled",
        ),
        ("silent", none(), none(), pod("web", &none()), "not_asked", ""),
        ("opted-out", none(), none(), asking("false"), "skipped", "opted_out"),
        ("unknown", none(), none(), asking("agnet"), "refused", "template_not_found"),
        ("match", none(), none(), asking("picky"), "refused", "template_not_allowed"),
        ("conflict", none(), none(), with(asking("agent"), "/spec/containers/0/env", conflict), "refused", "conflict"),
        (
            "own-label",
            none(),
            none(),
            with(asking("agent"), "/metadata/labels", json!({"app.kubernetes.io/name": "outrigger"})),
            "not_asked",
            "",
        ),
        ("parameter", none(), none(), level("loud"), "refused", "parameter_invalid"),
        ("list", none(), none(), asking("agent, false"), "refused", "annotation_invalid"),
        ("default", enabled(), json!({"outrigger.dev/inject": "agent"}), pod("web", &none()), "injected", ""),
        ("not-enabled", none(), json!({"outrigger.dev/inject": "agent"}), pod("web", &none()), "not_asked", ""),
        ("automatic", everywhere, none(), pod("web", &none()), "injected", ""),
        ("no-automatic", enabled(), none(), pod("web", &none()), "skipped", "not_requested"),
        ("built-in", none(), none(), asking("log-collector"), "injected", ""),
    ]
}

fn pods_with_different_reasons_get_what_was_explained() {
    let world = world();
    for (reason, labels, annotations, pod, effect, code) in rows() {
        let namespace = namespace(world.cluster, &format!("explain-{reason}"), &labels, &annotations);
        expect(world, &namespace, &pod, (effect, code));
    }
    // An injected pod that is created again, as by a backup.
    let namespace = namespace(world.cluster, "explain-again", &json!({}), &json!({}));
    let mut again = namespace.would_accept(&pod("first", &json!({"outrigger.dev/inject": "agent"})));
    let metadata = &again["metadata"];
    again["metadata"] = json!({"name": "web", "annotations": metadata["annotations"], "labels": metadata["labels"]});
    expect(world, &namespace, &again, ("skipped", "already_injected"));
}

/// Explains the pod and sends it until both agree: the server learns of a new namespace by a watch.
fn expect(world: &World, namespace: &Namespace, pod: &Value, expected: (&str, &str)) {
    let compare = || compare(world, namespace, pod, &world.explain(&namespace.name, pod), expected);
    if let Err(difference) = compare() {
        eventually(&difference, Duration::from_secs(10), || compare().ok());
    }
}

/// Sends the pod and compares the result with the claim, and both with what is expected.
fn compare(
    world: &World,
    namespace: &Namespace,
    pod: &Value,
    claim: &Value,
    (effect, code): (&str, &str),
) -> Result<(), String> {
    let answer = namespace.create_pod(pod, "&dryRun=All");
    let decisions = world.decisions(&namespace.name);
    let status = |pod: &Value| pod["metadata"]["annotations"]["outrigger.dev/status"].clone();
    let real = match (answer.is_success(), decisions.is_empty()) {
        (true, true) => "not_asked",
        (true, false) if status(&answer.body) != status(pod) => "injected",
        (true, false) => "skipped",
        (false, _) => "refused",
    };
    let message = answer.body["message"].as_str().unwrap_or_default();
    let real_codes = if real == "refused" { message.to_owned() } else { json!(decisions).to_string() };
    let called: Vec<&Value> =
        claim["asked"]["webhooks"].as_array().into_iter().flatten().filter(|one| one["called"] == true).collect();
    let names_the_webhook =
        real != "refused" || called.iter().any(|one| message.contains(one["name"].as_str().unwrap_or("?")));
    let explained = claim["summary"].to_string();
    let agrees = claim["effect"] == real && real == effect && real_codes.contains(code) && explained.contains(code);
    if agrees && names_the_webhook && called.is_empty() == decisions.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}: expected {effect} {code}; claimed {} {explained}; really {real} ({message})\n{claim:#}",
        namespace.name, claim["effect"]
    ))
}

/// Templates that read or match what only a controller sets.
fn templates_about_controllers(cluster: &Cluster, namespace: &str) {
    let sidecar = |name: &str, args: Value| json!([{"name": name, "image": "registry.example/x:1", "args": args}]);
    let matching =
        |key: &str, operator: &str| json!({"podSelector": {"matchExpressions": [{"key": key, "operator": operator}]}});
    for (name, spec) in [
        ("named", json!({"sidecars": sidecar("named", json!(["${pod.metadata.name} ${pod.spec.hostname}"]))})),
        ("hashed", json!({"match": matching("pod-template-hash", "Exists"), "sidecars": sidecar("hashed", json!([]))})),
        (
            "indexless",
            json!({"match": matching("apps.kubernetes.io/pod-index", "DoesNotExist"),
            "sidecars": sidecar("indexless", json!([]))}),
        ),
    ] {
        objects::apply(cluster, namespace, name, &spec).expect_success();
    }
}

fn workloads_get_what_was_explained_for_the_pod_of_their_controller() {
    let world = world();
    let cluster = world.cluster;
    let namespace = namespace(cluster, "explain-controlled", &json!({}), &json!({}));
    templates_about_controllers(cluster, &namespace.name);
    eventually("the templates are served", LIMIT, || {
        let answer = namespace.create_pod(&asking("hashed"), "&dryRun=All");
        answer.body.to_string().contains("template_not_allowed").then_some(())
    });
    for (name, kind, template, effect) in [
        ("named-set", "StatefulSet", "named", "injected"),
        ("named-deployment", "Deployment", "named", "refused"),
        ("hashed-set", "StatefulSet", "hashed", "refused"),
        ("hashed-deployment", "Deployment", "hashed", "injected"),
        ("indexless-set", "StatefulSet", "indexless", "refused"),
        ("indexless-deployment", "Deployment", "indexless", "injected"),
    ] {
        let mut workload = deployment("web:1");
        workload["kind"] = json!(kind);
        workload["metadata"]["name"] = json!(name);
        workload["spec"]["replicas"] = json!(1);
        workload["spec"]["selector"]["matchLabels"]["app"] = json!(name);
        workload["spec"]["template"]["metadata"] =
            json!({"labels": {"app": name}, "annotations": {"outrigger.dev/inject": template}});
        let claim = world.explain(&namespace.name, &workload);
        assert_eq!(claim["effect"], effect, "{name}: {claim:#}");
        let plural = format!("{}s", kind.to_lowercase());
        let path = format!("/apis/apps/v1/namespaces/{}/{plural}", namespace.name);
        cluster.send_object("POST", &path, &workload).expect_success();
        let decided = eventually(name, LIMIT, || {
            let of_workload = |one: &Value| one["name"].as_str().is_some_and(|pod| pod.starts_with(name));
            world.server.decisions_in(&namespace.name).into_iter().find(of_workload)
        });
        let is_injected = decided["result"] == "injected";
        assert_eq!(is_injected, effect == "injected", "{name}: {decided:#}");
    }
}

fn a_condition_of_somebody_else_is_explained_as_the_api_server_evaluates_it() {
    let world = world();
    let cluster = world.cluster;
    let namespace = cluster.namespace("explain-condition", "explain-condition");
    for (name, expression, effect) in [
        ("never", "object.metadata.namespace == 'other'", "not_asked"),
        ("here", "request.namespace == 'explain-condition' && object.spec.containers.all(c, c.name != '')", "injected"),
        ("admin", "request.userInfo.username == 'admin'", "not_known"),
    ] {
        let configuration = format!("outrigger-explain-{name}");
        let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
        let mut ours = cluster.get(&format!("{path}/{NAME}")).expect_success();
        ours["metadata"] = json!({"name": configuration});
        for webhook in ours["webhooks"].as_array_mut().expect("webhooks") {
            webhook["namespaceSelector"] = json!({"matchLabels": {WEBHOOK_LABEL: "explain-condition"}});
            let conditions = webhook["matchConditions"].as_array_mut().expect("conditions");
            conditions.push(json!({"name": "more", "expression": expression}));
        }
        cluster.send_object("POST", path, &ours).expect_success();
        let expected = effect != "not_asked";
        let file = cluster.control_plane.janitor.directory().join("explain-condition.json");
        std::fs::write(&file, asking("agent").to_string()).expect("a file");
        let ran = Command::new(PROGRAM)
            .args(["explain", "--name", &configuration, "-n", &namespace.name, "-o", "json", "--kubeconfig"])
            .arg(&cluster.control_plane.kubeconfig)
            .arg("-f")
            .arg(&file)
            .output()
            .expect("outrigger starts");
        let report: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
        assert_eq!(report["explanations"][0]["effect"], effect, "{name}: {report:#}");
        let is_injected = || {
            let pod = namespace.create_pod(&asking("agent"), "&dryRun=All").expect_success();
            pod["metadata"]["annotations"].get("outrigger.dev/status").is_some()
        };
        if expected {
            eventually("the API server asks", LIMIT, || is_injected().then_some(()));
        } else {
            assert!(!is_injected(), "{name}");
        }
        cluster.send("DELETE", &format!("{path}/{configuration}"), "application/json", Vec::new()).expect_success();
        eventually("the API server does not ask any more", LIMIT, || (!is_injected()).then_some(()));
    }
}

fn pods_of_another_workload_with_the_same_labels_are_not_counted() {
    let world = world();
    let cluster = world.cluster;
    let namespace = namespace(cluster, "explain-canary", &json!({}), &json!({}));
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", namespace.name);
    for (name, track) in [("web", "stable"), ("web-canary", "canary")] {
        let mut workload = deployment("web:1");
        workload["metadata"]["name"] = json!(name);
        workload["spec"]["replicas"] = json!(1);
        // The selector of web also matches the pods of web-canary.
        let exists = json!([{"key": "app", "operator": "In", "values": ["web"]}]);
        workload["spec"]["selector"] = json!({"matchExpressions": exists});
        workload["spec"]["template"]["metadata"] = json!({"labels": {"app": "web", "track": track}});
        cluster.send_object("POST", &path, &workload).expect_success();
    }
    namespace.wait_for_pods("web", 2);
    let explanation = world.run(&["deploy/web", "-n", "explain-canary", "-o", "json"]).explanation();
    let pods = explanation["pods"][0]["pods"].as_array().cloned().unwrap_or_default();
    assert_eq!(pods.len(), 1, "{explanation:#}");
    assert!(!pods[0].to_string().contains("canary"), "{explanation:#}");
}

fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}, "annotations": {"outrigger.dev/inject": "moving"}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
    })
}

fn moving(image: &str) -> Value {
    json!({"sidecars": [{"name": "moving", "image": image}]})
}

fn a_workload_tells_which_of_its_pods_are_outdated() {
    let world = world();
    let cluster = world.cluster;
    let namespace = namespace(cluster, "explain-workload", &json!({}), &json!({}));
    objects::apply(cluster, "explain-workload", "moving", &moving("registry.example/moving:1"));
    let ask = || world.run(&["deploy/web", "-n", "explain-workload", "-o", "json"]);
    eventually("the template is served", LIMIT, || {
        namespace.create_pod(&asking("moving"), "&dryRun=All").is_success().then_some(())
    });
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", namespace.name);
    cluster.send_object("POST", &path, &deployment("web:1")).expect_success();
    namespace.wait_for_pods("web", 2);
    let explanation = ask().explanation();
    assert_eq!(explanation["effect"], "injected", "{explanation:#}");
    assert_eq!(explanation["pods"].as_array().map(Vec::len), Some(1), "{explanation:#}");
    assert_eq!(explanation["pods"][0]["is_current"], true, "{explanation:#}");
    objects::apply(cluster, "explain-workload", "moving", &moving("registry.example/moving:2"));
    let explanation = ask().explanation();
    assert_eq!(explanation["pods"][0]["is_current"], false, "{explanation:#}");
    assert_eq!(explanation["pods"][0]["pods"].as_array().map(Vec::len), Some(2), "{explanation:#}");
    let text = world.run(&["deployments", "web", "-n", "explain-workload"]).stdout;
    assert!(text.contains("a new pod would get moving at revision"), "{text}");
}

fn a_running_pod_is_compared_with_what_it_would_get_today() {
    let world = world();
    let cluster = world.cluster;
    let namespace = namespace(cluster, "explain-running", &json!({}), &json!({}));
    objects::apply(cluster, "explain-running", "moving", &moving("registry.example/moving:1"));
    eventually("the template is served", LIMIT, || {
        namespace.create_pod(&asking("moving"), "&dryRun=All").is_success().then_some(())
    });
    namespace.accepts(&asking("moving"));
    let ask = || world.run(&["pod/web", "-n", "explain-running", "-o", "json"]).explanation();
    let explanation = ask();
    assert_eq!(explanation["carried"]["is_current"], true, "{explanation:#}");
    assert!(explanation["summary"].to_string().contains(", as a new pod would"), "{explanation:#}");
    objects::apply(cluster, "explain-running", "moving", &moving("registry.example/moving:2"));
    let explanation = ask();
    assert_eq!(explanation["carried"]["is_current"], false, "{explanation:#}");
    let image = "replace /spec/initContainers/0/image \"registry.example/moving:2\"";
    assert_eq!(explanation["carried"]["changes"], json!([image]), "{explanation:#}");
    assert!(explanation["summary"].to_string().contains(", a new pod would get "), "{explanation:#}");
    assert!(explanation["carried"]["advice"].to_string().contains("outrigger upgrade moving"), "{explanation:#}");
}

fn a_missing_object_is_named_with_its_nearest_neighbour() {
    let world = world();
    let namespace = namespace(world.cluster, "explain-missing", &json!({}), &json!({}));
    namespace.accepts(&pod("web-abc12", &json!({})));
    let ran = world.run(&["pod/web", "pod/web-abc12", "-n", "explain-missing", "-o", "json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("Pod explain-missing/web does not exist; did you mean \"web-abc12\"?"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.explanation()["object"], "Pod explain-missing/web-abc12");
}

fn missing_rights_are_named_and_the_rest_is_explained() {
    let world = world();
    let namespace = namespace(world.cluster, "explain-rights", &json!({}), &json!({}));
    namespace.ensure_service_account("reader");
    namespace.accepts(&asking("agent"));
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}", namespace.name);
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    let cluster = world.cluster;
    cluster.ensure(&format!("{rbac}/roles"), &json!({"metadata": {"name": "reader"}, "rules": rules}));
    let subject = json!([{"kind": "ServiceAccount", "name": "reader", "namespace": namespace.name}]);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"});
    cluster.ensure(
        &format!("{rbac}/rolebindings"),
        &json!({"metadata": {"name": "reader"}, "roleRef": role, "subjects": subject}),
    );
    let path = namespace.path("serviceaccounts/reader/token");
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token = cluster.send_object("POST", &path, &request).expect_success()["status"]["token"].clone();
    let kubeconfig = cluster.control_plane.janitor.directory().join("kubeconfig-explain");
    std::fs::write(&kubeconfig, cluster.kubeconfig_of(token.as_str().expect("a token"))).expect("a file");
    let ran = eventually("the rights are known", LIMIT, || {
        Some(world.run_as(&kubeconfig, &["pod/web", "-n", "explain-rights", "-o", "json"]))
            .filter(|ran| !ran.stdout.contains("\"explanations\": []"))
    });
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for what in
        ["namespace \"explain-rights\"", "clusterinjectiontemplates", "mutatingwebhookconfigurations", "ConfigMap"]
    {
        assert!(ran.stderr.contains(what), "{what}: {}", ran.stderr);
    }
    assert!(ran.explanation()["summary"].to_string().contains("which is not known"), "{ran:?}");
    let file = cluster.control_plane.janitor.directory().join("explain-rights.json");
    std::fs::write(&file, asking("agent").to_string()).expect("a file");
    let ran = world.run_as(&kubeconfig, &["-f", &file.to_string_lossy(), "-n", "explain-rights"]);
    assert!(ran.stdout.contains("? not known: the templates could not be read"), "{ran:?}");
    assert!(ran.code == Some(1) && ran.stderr.contains("clusterinjectiontemplates"), "{ran:?}");
}

fn without_a_configuration_nobody_is_asked() {
    let world = world();
    let namespace = namespace(world.cluster, "explain-nobody", &json!({}), &json!({}));
    namespace.accepts(&pod("web", &json!({})));
    let ran = world.run(&["pod/web", "-n", "explain-nobody", "-o", "json", "--name", "outrigger-nobody"]);
    assert_ne!(ran.code, Some(0), "--name twice is wrong usage: {ran:?}");
    let output = Command::new(PROGRAM)
        .args(["explain", "pod/web", "-n", "explain-nobody", "--kubeconfig"])
        .arg(&world.cluster.control_plane.kubeconfig)
        .output()
        .expect("outrigger starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("the cluster has no MutatingWebhookConfiguration \"outrigger\""), "{text}");
    assert!(text.contains("outrigger-explain; see --name"), "{text}");
}
