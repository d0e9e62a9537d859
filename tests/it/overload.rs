//! Hostile load against the real binary: what good clients notice of it, and what it costs.

mod bodies;
mod peers;
mod room;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use self::bodies::Body;
use self::peers::{Peer, Report};
use crate::support::client::client_config;
use crate::support::{Client, Process, eventually, pause, pod, review};

const MIB: usize = 1024 * 1024;
/// A template that reads the whole pod, so that it becomes a value of the expression language as well.
const TEMPLATE: &str = "\
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata:
  name: proxy
spec:
  sidecars:
  - name: proxy
    image: registry.example/proxy:1.0
    env:
    - {name: POD, value: \"${size(pod.spec)}\"}
";

/// A template that works until it is stopped, for a pod with many arguments.
const SLOW: &str = "\
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata:
  name: slow
spec:
  match:
    conditions:
    - expression: apps.all(app, app.args.all(a, app.args.all(b, a != b + 'x')))
  sidecars:
  - name: slow
    image: registry.example/slow:1.0
";

/// The binary as it is shipped, with one template.
struct Server {
    process: Process,
    peer: Peer,
    admin: SocketAddr,
    _directory: TempDir,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("templates")).expect("a directory");
        std::fs::write(directory.path().join("templates/proxy.yaml"), TEMPLATE).expect("a file");
        std::fs::write(directory.path().join("templates/slow.yaml"), SLOW).expect("a file");
        let arguments =
            ["serve", "--dev", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--templates=templates"];
        let process = Process::start(directory.path(), &arguments);
        process.wait_for_log("ready");
        let address = |listener: &str| {
            let log = process.stderr();
            let found = log.split(&format!("{listener}=")).nth(1).and_then(|rest| rest.split_whitespace().next());
            found.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no address of {listener}: {log}"))
        };
        let (webhook, admin) = (address("webhook"), address("admin"));
        let authority = std::fs::read(directory.path().join(".outrigger/ca.crt")).expect("an authority");
        let tls = Arc::new(client_config(&authority));
        let peer = Peer { address: webhook, tls, stop: Arc::new(AtomicBool::new(false)) };
        Self { process, peer, admin, _directory: directory }
    }

    fn metric(&self, name: &str) -> i64 {
        let text = Client::connect_plain(self.admin).expect("a connection").get("/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Nothing is left of what came: no connection, no request, no byte.
    fn expect_rest(&self, open_files: usize) {
        eventually("the end of all requests", || self.metric("outrigger_admission_in_flight") == 0);
        eventually("all bytes given back", || self.metric("outrigger_admission_in_flight_bytes") == 0);
        eventually("the end of all connections", || self.process.open_files() <= open_files);
    }
}

fn good_bodies() -> Vec<Vec<u8>> {
    let environment: Vec<_> =
        (0..40).map(|n| json!({"name": format!("VARIABLE_{n}"), "value": "a value of it"})).collect();
    let body = |annotations: serde_json::Value| {
        let mut object = pod(&annotations);
        object["spec"]["containers"][0]["env"] = json!(environment);
        review(&object).to_string().into_bytes()
    };
    vec![body(json!({"outrigger.dev/inject": "proxy"})), body(json!({}))]
}

/// So many peers, each on a thread of its own.
fn spawn(
    count: usize,
    peer: &Peer,
    work: impl Fn(&Peer, usize) -> Report + Send + Sync + 'static,
) -> Vec<JoinHandle<Report>> {
    let work = Arc::new(work);
    let one = |number| {
        let (peer, work) = (peer.clone(), Arc::clone(&work));
        std::thread::spawn(move || work(&peer, number))
    };
    (0..count).map(one).collect()
}

fn join(threads: Vec<JoinHandle<Report>>) -> Report {
    let mut report = Report::default();
    for thread in threads {
        report.merge(thread.join().expect("a peer does not panic"));
    }
    report
}

fn spawn_good(peer: &Peer) -> Vec<JoinHandle<Report>> {
    spawn(4, peer, |peer, _| peer.api_server(&good_bodies(), Duration::from_millis(40)))
}

/// Peers that send these bodies without end, each beginning with another.
fn spawn_enemies(count: usize, peer: &Peer, bodies: Vec<Body>) -> Vec<JoinHandle<Report>> {
    let bodies: Vec<(Vec<u8>, bool)> = bodies.into_iter().map(|body| (body.bytes, body.allowed)).collect();
    spawn(count, peer, move |peer, number| {
        let mut own = Vec::new();
        own.extend((0..bodies.len()).map(|index| &bodies[(index + number) % bodies.len()]));
        peer.send_for_ever(&own)
    })
}

#[test]
fn good_requests_do_not_fail_under_a_hostile_load_and_memory_is_bounded() {
    let seconds = std::env::var("OVERLOAD_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(10);
    let server = Server::start();
    // Whatever is made once and kept is made now.
    let at_rest = server.process.open_files() + 8;
    let idle = server.process.memory("VmRSS");
    let silent = server.peer.silent(1_000);
    let head = b"POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-A: 0123456789012345678901234567890123456789012345678901234567890123456789";
    let body = [&b"POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"[..], &[b' '; 200]].concat();
    let slow = [
        spawn(1, &server.peer, move |peer, _| {
            peer.slow(200, head);
            Report::default()
        }),
        spawn(1, &server.peer, move |peer, _| {
            peer.slow(50, &body);
            Report::default()
        }),
    ];
    let good = spawn_good(&server.peer);
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut all = bodies::all("proxy");
    all.retain(|body| only.is_empty() || only.split(';').any(|name| name == body.name));
    let enemies =
        spawn_enemies(std::env::var("ENEMIES").ok().and_then(|n| n.parse().ok()).unwrap_or(50), &server.peer, all);
    pause(Duration::from_secs(seconds));
    server.peer.stop.store(true, Ordering::Relaxed);

    let good = join(good);
    let enemies = join(enemies);
    slow.into_iter().for_each(|threads| drop(join(threads)));
    drop(silent);
    let peak = server.process.memory("VmHWM");
    println!(
        "good: {} answered, {} asked again, p50 {:?}, p99 {:?}, longest {:?}; enemies: {} answered, {} shed, {} others {:?}",
        good.latencies.len(),
        good.again,
        good.latency(500),
        good.latency(990),
        good.latency(1000),
        enemies.latencies.len(),
        enemies.again,
        enemies.failures.len(),
        &enemies.failures[..enemies.failures.len().min(5)],
    );
    println!(
        "memory: {} MiB idle, {} MiB peak, {} MiB now",
        idle / MIB,
        peak / MIB,
        server.process.memory("VmRSS") / MIB
    );
    assert_eq!(good.failures, Vec::<String>::new());
    server.expect_rest(at_rest);
    assert!(peak <= 128 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn reviews_that_take_long_hold_up_no_others() {
    let server = Server::start();
    let mut object = pod(&json!({"outrigger.dev/inject": "slow"}));
    object["spec"]["containers"][0]["args"] = (0..2_500).map(|number| json!(format!("{number}"))).collect();
    let slow = Body { name: "slow", bytes: review(&object).to_string().into_bytes(), allowed: false };
    let good = spawn_good(&server.peer);
    let enemies = spawn_enemies(30, &server.peer, vec![slow]);
    pause(Duration::from_secs(4));
    server.peer.stop.store(true, Ordering::Relaxed);
    let (good, enemies) = (join(good), join(enemies));
    println!(
        "good: {} answered, p50 {:?}, p99 {:?}, longest {:?}; enemies: {} answered, p50 {:?}, {} {:?}",
        good.latencies.len(),
        good.latency(500),
        good.latency(990),
        good.latency(1000),
        enemies.latencies.len(),
        enemies.latency(500),
        enemies.failures.len(),
        enemies.failures.first()
    );
    assert_eq!(good.failures, Vec::<String>::new());
}
