//! Creates and stores 100 pods a second for minutes, and measures failures and the API server's
//! wait for the webhook.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, request};
use crate::histogram::Histogram;
use crate::latency::percentile;
use crate::outrigger::Outrigger;
use crate::{TEMPLATE, asking_pod};

const A_SECOND: usize = 100;
/// The webhook in the configuration for pods that request injection.
const WEBHOOK: &str = "pods.inject.outrigger.dev";

/// Creates the pods and prints the results.
pub fn run(cluster: &'static Cluster, outrigger: &Outrigger, seconds: usize) {
    let namespace = cluster.namespace("sustained", "sustained");
    outrigger.register(&namespace, "sustained", TEMPLATE, |_| {});
    let before = Histogram::read(cluster, WEBHOOK);
    let start = Instant::now();
    let outcomes = cluster.runtime.block_on(create(&namespace, seconds * A_SECOND));
    let took = start.elapsed();
    let calls = Histogram::read(cluster, WEBHOOK).since(&before);

    let failures: Vec<&String> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    let mut times: Vec<Duration> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
    times.sort();
    println!("## {} pods in {:.1} s ({A_SECOND} a second)", outcomes.len(), took.as_secs_f64());
    println!("failed or without their sidecar: {}", failures.len());
    for failure in failures.iter().take(5) {
        println!("  {failure}");
    }
    let ms = |share: f64| percentile(&times, share).as_secs_f64() * 1e3;
    println!("creation of a pod: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms", ms(0.5), ms(0.99), ms(1.0));
    println!("apiserver_admission_webhook_admission_duration_seconds{{name=\"{WEBHOOK}\"}}: {} calls", calls.count());
    for line in calls.lines() {
        println!("  {line}");
    }
    println!();
}

/// Sends requests on schedule, whether or not earlier ones have a response.
async fn create(namespace: &Namespace, count: usize) -> Vec<Result<Duration, String>> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / A_SECOND as u32);
    let mut sent = Vec::with_capacity(count);
    for _ in 0..count {
        ticks.tick().await;
        let (client, path) = (namespace.cluster.client(), namespace.path("pods"));
        sent.push(tokio::spawn(async move {
            let mut pod = asking_pod();
            pod["metadata"]["name"] = Value::Null;
            pod["metadata"]["generateName"] = json!("web-");
            let start = Instant::now();
            let answer = request(&client, "POST", &path, "application/json", pod.to_string().into_bytes()).await;
            let took = start.elapsed();
            let answer = answer.map_err(|error| error.to_string())?;
            let has_sidecar = answer.body["spec"]["initContainers"][0]["name"] == "tail";
            if answer.is_success() && has_sidecar { Ok(took) } else { Err(answer.body["message"].to_string()) }
        }));
    }
    let mut outcomes = Vec::with_capacity(count);
    for one in sent {
        outcomes.push(one.await.unwrap_or_else(|error| Err(error.to_string())));
    }
    outcomes
}
