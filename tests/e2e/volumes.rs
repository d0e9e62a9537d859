//! Volumes on a real node: a sidecar reads the files of its template, and shares a volume of the app.
//!
//! The template with files is injected offline, because an installation serves only the built-in
//! ones.
//!
//! Invariant: the namespace enforces Pod Security "restricted".

use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cluster::{Cluster, LIMIT, eventually};
use crate::installation::Installation;
use crate::pods::{self, SIDECAR};

const NAMESPACE: &str = "outrigger-e2e-volumes";
const PROGRAM: &str = env!("CARGO_BIN_EXE_outrigger");
/// The files of the template, by name; the last name is too long for the key of an annotation.
const FILES: [(&str, &str); 3] = [
    ("reader.conf", "level = debug\n\n"),
    ("text", "nul \0 ü <&> \"quotes\" $(HOME) ${HOME}\r\nno newline at the end"),
    (".a-name-that-is-longer-than-the-sixty-three-characters-of-a-key-of-an-annotation", "long"),
];
/// Prints the hash of each file.
const READS: &str = "trap 'exit 0' TERM; sha256sum /etc/reader/* /etc/reader/.a*; while :; do sleep 1 & wait $!; done";
/// Writes into a volume of its own that is mounted above the log directory.
const WRITES: &str = r#"trap 'exit 0' TERM; n=0; while :; do n=$((n+1)); echo "from the app, line $n" >> /var/log/app/web.log; sleep 1 & wait $!; done"#;

/// Runs both pods in one namespace.
pub fn are_read_by_sidecars(installation: &Installation<'_>) {
    let cluster = installation.cluster;
    cluster.make_namespace(NAMESPACE, &json!({"pod-security.kubernetes.io/enforce": "restricted"}));
    a_sidecar_reads_the_files_of_its_template(cluster);
    a_sidecar_reads_what_the_app_writes_into_its_own_volume(cluster);
    cluster.delete_namespace(NAMESPACE);
}

fn a_sidecar_reads_the_files_of_its_template(cluster: &Cluster) {
    let pod = with_files(cluster);
    cluster.kubectl_with(&["--namespace", NAMESPACE, "create", "--filename=-"], &pod);
    for (name, text) in FILES {
        let digest = Sha256::digest(text.as_bytes());
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{hash}  /etc/reader/{name}");
        eventually(&format!("the reader has the file {name}"), LIMIT, || {
            cluster.log(NAMESPACE, "reader", "reader").contains(&line).then_some(())
        });
    }
}

/// The pod with the reader, injected offline.
fn with_files(cluster: &Cluster) -> Value {
    let image = &cluster.settings.busybox;
    // `${` begins an expression.
    let items: serde_json::Map<String, Value> =
        FILES.iter().map(|(name, text)| ((*name).to_owned(), text.replace("${", "$${").into())).collect();
    let template = json!({
        "apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate", "metadata": {"name": "reader"},
        "spec": {
            "sidecars": [{
                "name": "reader", "image": image, "command": ["sh", "-c", READS],
                "volumeMounts": [{"name": "conf", "mountPath": "/etc/reader", "readOnly": true}],
            }],
            "files": [{"name": "conf", "items": items}],
        },
    });
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("reader.json"), template.to_string()).expect("a template");
    let app = pods::spec(image, "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done");
    let pod = pods::pod("reader", &json!({"outrigger.dev/inject": "reader"}), &app);
    let mut inject = Command::new(PROGRAM);
    inject.args(["inject", "-f", "-", "-o", "json", "--native-sidecars", "always", "--templates"]);
    let ended = cluster.run(inject.arg(directory.path()), Some(&pod));
    assert!(ended.is_success, "{}", ended.stderr);
    serde_json::from_str(&ended.output).expect("a pod as JSON")
}

fn a_sidecar_reads_what_the_app_writes_into_its_own_volume(cluster: &Cluster) {
    let mut app = pods::spec(&cluster.settings.busybox, WRITES);
    app["volumes"] = json!([{"name": "own", "emptyDir": {}}]);
    app["containers"][0]["volumeMounts"] = json!([{"name": "own", "mountPath": "/var/log"}]);
    let pod = pods::pod("shared", &pods::asking(cluster.settings.log_collector.as_deref()), &app);
    cluster.kubectl_with(&["--namespace", NAMESPACE, "create", "--filename=-"], &pod);
    eventually("the sidecar has the app's lines", LIMIT, || {
        cluster.log(NAMESPACE, "shared", SIDECAR).contains("from the app, line 2").then_some(())
    });
    let running = cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods/shared"));
    assert!(!pods::names(&running, "/spec/volumes").contains(&"log-collector-files"), "{}", running["spec"]);
}
