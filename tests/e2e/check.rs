//! `outrigger check` in a real cluster: it passes on a healthy installation, and reports each fault
//! with its fix.
//!
//! The command runs outside the cluster, like that of a user.
//!
//! Invariant: each installation has one fault, and is healthy again before the next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT, eventually, pause, within};
use crate::installation::{Installation, NAMESPACE, REPLICAS, SELECTOR};
use crate::{node, pods};

const PROGRAM: &str = env!("CARGO_BIN_EXE_outrigger");
const PODS: &str = "outrigger-e2e-check";
/// The namespace for privileged pods.
const TOOLS: &str = "outrigger-e2e-tools";

/// One fault and its cure; `check` must report one of these codes.
struct Breakage {
    name: &'static str,
    codes: &'static [&'static str],
    damage: fn(&Installation<'_>),
    mend: fn(&Installation<'_>),
}

const BREAKAGES: [Breakage; 8] = [
    Breakage {
        name: "wrong bundle",
        codes: &["wrong_bundle"],
        damage: wrong_bundle,
        mend: |installation| installation.apply(),
    },
    Breakage { name: "expired leaf", codes: &["leaf_expired"], damage: expired_leaf, mend: long_leaf },
    Breakage {
        name: "no endpoints",
        codes: &["no_endpoints"],
        damage: no_endpoints,
        mend: |installation| installation.apply(),
    },
    Breakage { name: "packets dropped", codes: &["call_timeout"], damage: drop_packets, mend: let_packets_through },
    Breakage { name: "missing template", codes: &["template_missing"], damage: missing_template, mend: no_pods },
    Breakage {
        name: "webhook deleted",
        codes: &["webhook_deleted"],
        damage: no_webhook,
        mend: |installation| installation.apply(),
    },
    Breakage { name: "wrong namespace label", codes: &["label_unknown"], damage: wrong_label, mend: no_pods },
    Breakage { name: "version skew", codes: &["version_skew"], damage: other_version, mend: no_other_version },
];

pub fn reports_each_fault(installation: &Installation<'_>) {
    let cluster = installation.cluster;
    cluster.make_namespace(TOOLS, &json!({}));
    let is_healthy = check(cluster, &["--wait", "60s"]);
    assert!(is_healthy.failed.is_empty() && is_healthy.is_success, "{is_healthy:?}");
    assert!(is_healthy.codes.iter().any(|code| code == "injection"), "{is_healthy:?}");

    let unreported = BREAKAGES.iter().filter(|breakage| {
        let reported = catch_unwind(AssertUnwindSafe(|| breaks(installation, breakage)));
        let mended = catch_unwind(AssertUnwindSafe(|| {
            (breakage.mend)(installation);
            installation.wait_until_healthy();
            let after = check(cluster, &["--wait", "120s"]);
            assert!(after.is_success, "after {}: {after:?}", breakage.name);
        }));
        reported.is_err() || mended.is_err()
    });
    let unreported: Vec<&str> = unreported.map(|breakage| breakage.name).collect();
    assert!(unreported.is_empty(), "not reported or not repaired: {unreported:?}");
    cluster.delete_namespace(TOOLS);
}

fn breaks(installation: &Installation<'_>, breakage: &Breakage) {
    (breakage.damage)(installation);
    let mut last = Checked::default();
    let found = within(LIMIT, || {
        // Mistakes of a tenant are warnings, which only --strict makes failures.
        last = check(installation.cluster, &["--strict"]);
        last.failed.iter().find(|finding| breakage.codes.iter().any(|code| finding["code"] == *code)).cloned()
    });
    let Some(found) = found else { panic!("{}: check does not report it: {last:?}", breakage.name) };
    assert!(!last.is_success, "{last:?}");
    let text = |key: &str| found[key].as_str().unwrap_or_default();
    println!("    {}: {}: {}\n        hint: {}", breakage.name, text("code"), text("message"), text("hint"));
    let besides = last.failed.iter().filter(|other| **other != found);
    besides.for_each(|other| println!("        besides: {}: {}", other["code"], other["message"]));
    assert!(!text("message").is_empty() && !text("hint").is_empty(), "{found}");
}

/// The report of the command.
#[derive(Debug, Default)]
struct Checked {
    is_success: bool,
    codes: Vec<String>,
    /// Findings of the severity `failed`.
    failed: Vec<Value>,
    #[allow(dead_code, reason = "shown when a test fails")]
    stderr: String,
}

fn check(cluster: &Cluster, arguments: &[&str]) -> Checked {
    let mut command = Command::new(PROGRAM);
    let ended = cluster.run(command.args(["check", "--output=json"]).args(arguments), None);
    let Ok(report) = serde_json::from_str::<Value>(&ended.output) else {
        panic!("outrigger check prints no JSON: {}{}", ended.stderr, ended.output)
    };
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let codes = findings.iter().map(|finding| finding["code"].as_str().unwrap_or_default().to_owned()).collect();
    let failed = findings.into_iter().filter(|finding| finding["severity"] == "failed").collect();
    Checked { is_success: ended.is_success, codes, failed, stderr: ended.stderr }
}

/// Somebody sets another authority, and the program has lost the right to repair it.
fn wrong_bundle(installation: &Installation<'_>) {
    let cluster = installation.cluster;
    cluster.kubectl(&["delete", "clusterrolebinding", "outrigger"]);
    let other = cluster.get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt");
    let other = base64(other["data"]["ca.crt"].as_str().expect("the cluster's own authority"));
    let replace =
        |index| json!({"op": "replace", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": other});
    let patch = json!([replace(0), replace(1)]).to_string();
    // The API server applies a removed right with a delay.
    eventually("the other authority stays", LIMIT, || {
        cluster.kubectl(&["patch", "mutatingwebhookconfiguration", "outrigger", "--type=json", "--patch", &patch]);
        pause(Duration::from_secs(3));
        installation.bundles().iter().all(|bundle| *bundle == other).then_some(())
    });
}

fn base64(text: &str) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(text)
}

/// Certificates are short-lived, and the program may not write new ones.
fn expired_leaf(installation: &Installation<'_>) {
    let certificate = || installation.secret("outrigger-serving")["tls.crt"].to_string();
    let long = certificate();
    // The current certificate lasts for days; the shorter setting replaces it because of its age.
    installation.set(&["OUTRIGGER_CERTIFICATE_DURATION=20s", "OUTRIGGER_CERTIFICATE_RENEWAL=10s"]);
    eventually("there is a short certificate", LIMIT, || (certificate() != long).then_some(()));
    installation.cluster.kubectl(&["--namespace", NAMESPACE, "delete", "rolebinding", "outrigger"]);
}

fn long_leaf(installation: &Installation<'_>) {
    installation.apply();
    installation.set(&["OUTRIGGER_CERTIFICATE_DURATION-", "OUTRIGGER_CERTIFICATE_RENEWAL-"]);
}

fn no_endpoints(installation: &Installation<'_>) {
    let patch = json!({"spec": {"selector": {"app.kubernetes.io/name": "outriger"}}}).to_string();
    installation.cluster.kubectl(&["--namespace", NAMESPACE, "patch", "service", "outrigger", "--patch", &patch]);
}

/// Simulates a NetworkPolicy or a firewall between the API server and the pods.
fn drop_packets(installation: &Installation<'_>) {
    change_rules(installation, "-I");
}

fn let_packets_through(installation: &Installation<'_>) {
    change_rules(installation, "-D");
}

fn change_rules(installation: &Installation<'_>, verb: &str) {
    let rule = |chain: &str| format!("chroot /node iptables -w {verb} {chain} -p tcp --dport 9443 -j DROP");
    // The API server may be on this node or on another one.
    let script = format!("PATH=$PATH:/usr/sbin:/sbin; {} && {}", rule("OUTPUT"), rule("FORWARD"));
    for node in nodes(installation) {
        node::run(installation.cluster, TOOLS, &node, &script);
    }
}

fn nodes(installation: &Installation<'_>) -> Vec<Value> {
    let mut nodes: Vec<Value> = installation.replicas().iter().map(|pod| pod["spec"]["nodeName"].clone()).collect();
    nodes.sort_by_key(Value::to_string);
    nodes.dedup();
    nodes
}

fn missing_template(installation: &Installation<'_>) {
    let cluster = installation.cluster;
    cluster.make_namespace(PODS, &json!({}));
    let asking = json!({"outrigger.dev/inject": "log-colector"});
    let deployment = pods::deployment("web", 1, &asking, &pods::spec(&cluster.settings.busybox, "sleep 1000"));
    cluster.kubectl_with(&["--namespace", PODS, "create", "--filename=-"], &deployment);
}

fn no_pods(installation: &Installation<'_>) {
    installation.cluster.delete_namespace(PODS);
}

fn no_webhook(installation: &Installation<'_>) {
    installation.cluster.kubectl(&["delete", "mutatingwebhookconfiguration", "outrigger"]);
}

fn wrong_label(installation: &Installation<'_>) {
    installation.cluster.make_namespace(PODS, &json!({"outrigger.dev/injection": "enable"}));
}

/// The admin port of a replica of another version: one connection, request by request.
const OTHER_VERSION: &str = r#"
cat > /tmp/answers <<'END'
while read -r method path rest; do
  while read -r header && [ "${#header}" -gt 1 ]; do :; done
  case $path in
    /version) body='{"version":"0.0.1"}' ;;
    /templates) body='{"templates":[]}' ;;
    *) body='not ready' ;;
  esac
  printf 'HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n%s' "${#body}" "$body"
done
END
exec nc -ll -p 8080 -e sh /tmp/answers
"#;

/// There is no image of another version, so a pod simulates such a replica and never becomes ready.
fn other_version(installation: &Installation<'_>) {
    let mut spec = pods::spec(&installation.cluster.settings.busybox, OTHER_VERSION);
    spec["containers"][0]["readinessProbe"] = json!({"exec": {"command": ["false"]}});
    spec["containers"][0]["ports"] = json!([{"name": "admin", "containerPort": 8080}]);
    let mut pod = pods::pod("outrigger-other", &json!({}), &spec);
    let (key, value) = SELECTOR.split_once('=').expect("a label");
    pod["metadata"]["labels"] = json!({key: value});
    installation.cluster.kubectl_with(&["--namespace", NAMESPACE, "create", "--filename=-"], &pod);
}

fn no_other_version(installation: &Installation<'_>) {
    installation.cluster.kubectl(&["--namespace", NAMESPACE, "delete", "pod", "outrigger-other", "--now"]);
    eventually("only the replicas are left", LIMIT, || (installation.replicas().len() == REPLICAS).then_some(()));
}
