//! Outrigger as the API server sees it: 100 pods a second, and what each way to inject adds to the creation of a pod.
//!
//!     KUBEBUILDER_ASSETS=DIR cargo bench --bench apiserver -- [--seconds 120] [--rounds 40] [--per-round 25]
//!
//! A control plane of its own is started on loopback, as in `tests/apiserver`, whose language this program shares. The
//! figures stand in `docs/performance.md`. Invariant: what is compared does the same to the same pod, which is checked first.

// The language of the API-server tests, of which a bench needs a part.
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

/// Directory of the one template that is put in.
const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/apiserver/templates");
/// Its name.
const TEMPLATE: &str = "tail";
/// What pods ask with.
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

/// The number behind a flag; the flags that cargo adds are passed over.
fn argument(flag: &str, default: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != flag);
    match arguments.nth(1) {
        Some(value) => value.parse().unwrap_or_else(|_| panic!("{flag} {value:?}: expected a number")),
        None => default,
    }
}

/// A pod as a small app has it, which asks for the template.
fn asking_pod() -> Value {
    let mut pod = pod("web", &json!({ANNOTATION: TEMPLATE, "prometheus.io/scrape": "true"}));
    pod["metadata"]["labels"] = json!({"app": "web", "team": "shop"});
    pod["spec"]["containers"][0]["env"] = json!([{"name": "MODE", "value": "production"}]);
    pod["spec"]["containers"][0]["ports"] = json!([{"name": "http", "containerPort": 8080}]);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m", "memory": "64Mi"}});
    pod["spec"]["containers"][0]["readinessProbe"] = json!({"httpGet": {"path": "/ready", "port": "http"}});
    pod
}
