//! Actions that need the machine of a node: kill a process without a warning, drop packets.
//!
//! A privileged pod performs them, so that they work on any cluster.
//!
//! Invariant: the pod is deleted afterwards.

use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT, eventually};

const NAME: &str = "on-the-node";

/// Runs a busybox script as root in the node's process and network namespaces, with its files below
/// `/node`; returns the output. Fails the test if the script fails.
pub fn run(cluster: &Cluster, namespace: &str, node: &Value, script: &str) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME},
        "spec": {
            "nodeName": node, "hostPID": true, "hostNetwork": true, "restartPolicy": "Never",
            "containers": [{
                "name": NAME, "image": cluster.settings.busybox, "command": ["sh", "-c", script],
                "securityContext": {"privileged": true},
                "volumeMounts": [{"name": "node", "mountPath": "/node"}],
            }],
            "volumes": [{"name": "node", "hostPath": {"path": "/"}}],
        },
    });
    cluster.kubectl_with(&["--namespace", namespace, "create", "--filename=-"], &pod);
    let path = format!("/api/v1/namespaces/{namespace}/pods/{NAME}");
    let ended = eventually("the script on the node has ended", LIMIT, || {
        let pod = cluster.get(&path);
        let phase = pod["status"]["phase"].as_str().map(str::to_owned);
        phase.filter(|phase| phase == "Succeeded" || phase == "Failed")
    });
    let log = cluster.log(namespace, NAME, NAME);
    cluster.kubectl(&["--namespace", namespace, "delete", "pod", NAME, "--now"]);
    assert_eq!(ended, "Succeeded", "{script}: {log}");
    log
}
