//! While all replicas are down, only pods that request injection are refused, and workloads recover
//! afterwards.
//!
//! Invariant: the outage is short, since the ReplicaSet waits longer for its next attempt after a
//! longer outage.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT, eventually, pause};
use crate::installation::{Installation, REPLICAS};
use crate::pods;

const NAMESPACE: &str = "outrigger-e2e-outage";
const TAKES_PART: &str = "outrigger-e2e-takes-part";
/// Far below the webhook timeout: the API server does not call the webhook, or the call fails at
/// once.
const AT_ONCE: Duration = Duration::from_millis(2500);
const OUR_NAME: &str = r#"failed calling webhook "pods.inject.outrigger.dev""#;

pub fn only_pods_that_request_injection_are_refused(installation: &Installation<'_>) {
    let cluster = installation.cluster;
    cluster.make_namespace(NAMESPACE, &json!({}));
    cluster.make_namespace(TAKES_PART, &json!({"outrigger.dev/injection": "enabled"}));
    installation.scale(0);
    eventually("no replica is left", LIMIT, || installation.replicas().is_empty().then_some(()));
    eventually("the Service leads nowhere", LIMIT, || asks(cluster).is_err().then_some(()));

    for namespace in [NAMESPACE, TAKES_PART] {
        let start = Instant::now();
        let pod = pods::pod("silent", &json!({}), &pods::spec(&cluster.settings.busybox, "sleep 1000"));
        let answer = cluster.send("POST", &format!("/api/v1/namespaces/{namespace}/pods"), &pod);
        let took = start.elapsed();
        println!("    without a replica, a pod that does not ask in {namespace}: {} after {took:.0?}", answer.status);
        assert!(answer.is_success() && took < AT_ONCE, "{namespace}: {took:?}: {}", answer.body);
    }
    let message = asks(cluster).expect_err("a pod that requests injection was created");
    assert!(message.contains(OUR_NAME), "{message}");
    println!("    refused: {message}");

    let deployment = {
        let asking = pods::asking(cluster.settings.log_collector.as_deref());
        pods::deployment(
            "web",
            1,
            &asking,
            &pods::spec(&cluster.settings.busybox, "trap 'exit 0' TERM; sleep 1000 & wait $!"),
        )
    };
    cluster.kubectl_with(&["--namespace", NAMESPACE, "create", "--filename=-"], &deployment);
    let told = eventually("the ReplicaSet says why it has no pod", LIMIT, || failure(cluster));
    assert!(told.contains(OUR_NAME), "{told}");
    // Some attempts fail before the replicas are ready again.
    pause(Duration::from_secs(3));
    assert!(cluster.pods(NAMESPACE, "app=web").is_empty());

    installation.scale(REPLICAS);
    installation.wait_until_healthy();
    let back = Instant::now();
    eventually("the pod that the ReplicaSet retried runs", LIMIT, || {
        let pods = cluster.pods(NAMESPACE, "app=web");
        pods.iter().any(|pod| pods::is_injected(pod) && pods::is_ready(pod)).then_some(())
    });
    println!("    the refused pod runs {:.1} s after we were back", back.elapsed().as_secs_f32());
    cluster.delete_namespace(NAMESPACE);
    cluster.delete_namespace(TAKES_PART);
}

/// Creates a pod that requests injection; returns the message of the refusal.
fn asks(cluster: &Cluster) -> Result<(), String> {
    let answer = cluster.would_create(NAMESPACE, &pods::idle("asks", &pods::asking(None)));
    if answer.is_success() { Ok(()) } else { Err(answer.message()) }
}

fn failure(cluster: &Cluster) -> Option<String> {
    let sets: Value = cluster.get(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"));
    let conditions = sets["items"][0]["status"]["conditions"].as_array()?;
    let failure = conditions.iter().find(|condition| condition["type"] == "ReplicaFailure")?;
    failure["message"].as_str().map(str::to_owned)
}
