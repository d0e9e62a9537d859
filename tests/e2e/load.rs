//! Creates pods that request injection at a steady rate while a fault is injected, and records the
//! result of each.
//!
//! Most are dry runs, which admission treats like any other; every tenth is stored and deleted
//! again. None is scheduled, since only admission is tested.
//!
//! Invariant: every sent pod has its outcome.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::cluster::{Answer, Cluster, request};
use crate::pods;

/// The interval between two pods: 20 a second.
const INTERVAL: Duration = Duration::from_millis(50);
/// One pod in this many is stored.
const STORED: u64 = 10;

/// The result of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Injected,
    WithoutSidecar,
    /// Failed because of Outrigger, according to the API server's message.
    Refused(String),
    /// The API server did not call the webhook.
    Unreachable(String),
}

#[derive(Clone, Debug)]
pub struct Sample {
    pub sent: Instant,
    pub took: Duration,
    pub outcome: Outcome,
}

pub struct Load<'a> {
    cluster: &'a Cluster,
    is_over: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
    samples: Arc<Mutex<Vec<Sample>>>,
}

impl<'a> Load<'a> {
    /// Starts to create pods in a namespace.
    pub fn start(cluster: &'a Cluster, namespace: &str) -> Self {
        let (is_over, samples) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let sender = Sender {
            client: cluster.client.clone(),
            path: format!("/api/v1/namespaces/{namespace}/pods"),
            samples: Arc::clone(&samples),
        };
        let task = cluster.runtime.spawn(send_all(sender, Arc::clone(&is_over)));
        Self { cluster, is_over, task: Some(task), samples }
    }

    /// Stops creating pods, and waits for the outstanding responses.
    pub fn end(mut self) -> Vec<Sample> {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(task) = self.task.take() {
            self.cluster.runtime.block_on(task).expect("no panic");
        }
        std::mem::take(&mut *self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Load<'_> {
    /// Also stops if the test has failed meanwhile.
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

#[derive(Clone)]
struct Sender {
    client: Client,
    path: String,
    samples: Arc<Mutex<Vec<Sample>>>,
}

async fn send_all(sender: Sender, is_over: Arc<AtomicBool>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut pending = JoinSet::new();
    for number in 0.. {
        ticks.tick().await;
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let sender = sender.clone();
        pending.spawn(async move { sender.send(number).await });
        while pending.try_join_next().is_some() {}
    }
    pending.join_all().await;
}

impl Sender {
    async fn send(self, number: u64) {
        let is_stored = number.is_multiple_of(STORED);
        let name = format!("load-{number}");
        let mut pod = pods::idle(&name, &pods::asking(None));
        pod["spec"]["schedulingGates"] = json!([{"name": "outrigger.dev/e2e"}]);
        let query = if is_stored { "" } else { "?dryRun=All" };
        let sent = Instant::now();
        let answer = request(&self.client, "POST", &format!("{}{query}", self.path), &pod).await;
        let took = sent.elapsed();
        let outcome = match answer {
            Ok(answer) if !answer.is_success() => not_created(&answer),
            Ok(answer) if !pods::is_injected(&answer.body) => Outcome::WithoutSidecar,
            Ok(_) => Outcome::Injected,
            Err(error) => Outcome::Unreachable(error),
        };
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).push(Sample { sent, took, outcome });
        if is_stored {
            // Pods that cannot be deleted while the API server is unreachable go with the
            // namespace.
            let _ = request(&self.client, "DELETE", &format!("{}/{name}", self.path), &at_once()).await;
        }
    }
}

fn not_created(answer: &Answer) -> Outcome {
    let text = format!("{}: {}", answer.status, answer.message());
    if text.contains("webhook") { Outcome::Refused(text) } else { Outcome::Unreachable(text) }
}

fn at_once() -> Value {
    json!({"gracePeriodSeconds": 0})
}
