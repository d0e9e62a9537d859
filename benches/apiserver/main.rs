//! Outrigger as the API server sees it: 100 pods a second, and the time that each method of
//! injection adds to the creation of a pod.
//!
//!     KUBEBUILDER_ASSETS=DIR cargo bench --bench apiserver -- [--seconds 120] [--rounds 40] [--per-round 25]
//!
//! The bench starts its own control plane on loopback with the helpers of `tests/apiserver`. The
//! figures are in `docs/performance.md`.
//!
//! Invariant: all compared methods inject the same into the same pod, which is checked first.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test or benchmark that cannot go on ends, and nobody imports it"
)]

// The helpers of the API-server tests; a bench needs only some of them.
#[allow(dead_code)]
#[path = "../../tests/apiserver/authority.rs"]
mod authority;
#[allow(dead_code)]
#[path = "../../tests/apiserver/cluster.rs"]
mod cluster;
#[allow(dead_code)]
#[path = "../../tests/apiserver/control_plane.rs"]
mod control_plane;
#[allow(dead_code, unused_macros)]
#[path = "../../tests/harness/mod.rs"]
mod harness;
#[allow(dead_code)]
#[path = "../../tests/apiserver/outrigger.rs"]
mod outrigger;
#[allow(dead_code)]
#[path = "../../tests/apiserver/ports.rs"]
mod ports;
#[allow(dead_code)]
#[path = "../../tests/apiserver/process.rs"]
mod process;
#[allow(dead_code)]
#[path = "../../tests/apiserver/registration.rs"]
mod registration;

mod constant;
mod histogram;
mod latency;
mod policy;
mod sustained;

use serde_json::{Value, json};

use cluster::pod;
use outrigger::Outrigger;

/// Directory of the one template that is injected.
const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/apiserver/templates");
/// The name of the template.
const TEMPLATE: &str = "tail";
/// The annotation of a pod that requests the template.
const ANNOTATION: &str = "outrigger.dev/inject";

fn main() {
    if let Some(reason) = harness::reason_not_run(measure) {
        println!("NOT RUN: {reason}");
    }
}

fn measure() {
    let cluster = cluster::shared();
    let outrigger = Outrigger::start(cluster, "bench", &["--templates", TEMPLATES]);
    let seconds = argument("--seconds", 120);
    if seconds > 0 {
        sustained::run(cluster, &outrigger, seconds);
    }
    let rounds = argument("--rounds", 40);
    if rounds > 0 {
        latency::run(cluster, &outrigger, rounds, argument("--per-round", 25));
    }
}

/// The value of a flag; flags that cargo adds are skipped.
fn argument(flag: &str, default: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != flag);
    match arguments.nth(1) {
        Some(value) => value.parse().unwrap_or_else(|_| panic!("{flag} {value:?}: expected a number")),
        None => default,
    }
}

/// A pod of a small app that requests the template.
fn asking_pod() -> Value {
    let mut pod = pod("web", &json!({ANNOTATION: TEMPLATE, "prometheus.io/scrape": "true"}));
    pod["metadata"]["labels"] = json!({"app": "web", "team": "shop"});
    pod["spec"]["containers"][0]["env"] = json!([{"name": "MODE", "value": "production"}]);
    pod["spec"]["containers"][0]["ports"] = json!([{"name": "http", "containerPort": 8080}]);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m", "memory": "64Mi"}});
    pod["spec"]["containers"][0]["readinessProbe"] = json!({"httpGet": {"path": "/ready", "port": "http"}});
    pod
}
