//! What only the machine of a node can do: kill a process without a warning, drop packets.
//!
//! A privileged pod does it there, so that it works on any cluster. Invariant: the pod is gone afterwards.

use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT, eventually};

const NAME: &str = "on-the-node";

/// Runs a script of busybox as root beside all processes of the node, in its network, and with its files below `/node`: what it
/// printed. It has to succeed.
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
