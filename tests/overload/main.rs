//! Hostile load against the real binary: its effect on ordinary clients, and its memory.
//!
//! A separate test binary, so that it does not disturb the timing of other tests; its tests run one
//! by one. With `OUTRIGGER_TEST_BINARY` another build is measured, such as a release; `--nocapture`
//! shows the figures.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test or benchmark that cannot go on ends, and nobody imports it"
)]

mod bodies;
mod peers;
#[path = "../it/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use self::peers::{Peer, Report};
use crate::support::client::client_config;
use crate::support::{Client, Process, eventually, pause, pod, review};

const MIB: usize = 1024 * 1024;
/// A template that reads the whole pod, so that it becomes a value of the expression language as
/// well.
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
    - expression: app.args.all(a, app.args.all(b, a != b + 'x'))
  sidecars:
  - name: slow
    image: registry.example/slow:1.0
";

static TURN: Mutex<()> = Mutex::new(());

/// The binary as it is shipped, with two templates.
struct Server {
    process: Process,
    peer: Peer,
    admin: SocketAddr,
    _turn: MutexGuard<'static, ()>,
    _directory: TempDir,
}

impl Server {
    fn start() -> Self {
        // One that failed has taken its server with it.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
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
        Self { process, peer, admin, _turn: turn, _directory: directory }
    }

    fn metric(&self, name: &str) -> i64 {
        let text = Client::connect_plain(self.admin).expect("a connection").get("/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Peak memory: 16 MiB for the code, whose pages are many more in a test build, and the peak of
    /// the rest.
    fn peak_beside_code(&self) -> usize {
        16 * MIB + self.process.memory("VmHWM").saturating_sub(self.process.memory("RssFile"))
    }

    /// No connection, request or reserved byte is left.
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

/// As many open files as the system allows, for this process and those that it starts.
#[allow(unsafe_code, reason = "the system calls have no safe wrapper among our crates")]
fn allow_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls are given a pointer to a value of ours that outlives them.
    let result = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    assert_eq!(result, 0, "the limit cannot be raised");
    assert!(limit.rlim_max >= 4_096, "{} open files are too few for this test", limit.rlim_max);
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

/// A hundred requests a second, half of which ask for a sidecar.
fn spawn_good(peer: &Peer) -> Vec<JoinHandle<Report>> {
    spawn(4, peer, |peer, _| peer.api_server(&good_bodies(), Duration::from_millis(40)))
}

/// Peers that send these bodies without end, each beginning with another.
fn spawn_enemies(count: usize, peer: &Peer, bodies: Vec<Vec<u8>>) -> Vec<JoinHandle<Report>> {
    spawn(count, peer, move |peer, number| {
        let from = number % bodies.len();
        peer.send_for_ever(bodies[from..].iter().chain(&bodies[..from]))
    })
}

/// Clients that never get to the end of a head, and such that never get to the end of a body.
fn spawn_slow(peer: &Peer) -> Vec<JoinHandle<Report>> {
    const START: &str = "POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let head = format!("{START}X-Slow: {}", "x".repeat(100));
    let body = format!("{START}Content-Length: 1000000\r\n\r\n{}", " ".repeat(200));
    let slow = |count, text: String| {
        spawn(1, peer, move |peer, _| {
            peer.slow(count, text.as_bytes());
            Report::default()
        })
    };
    slow(200, head).into_iter().chain(slow(50, body)).collect()
}

#[test]
fn ordinary_requests_do_not_fail_under_hostile_load_and_memory_is_bounded() {
    allow_open_files();
    let server = Server::start();
    // What is opened once and kept, such as the runtime's own, may still come.
    let open_files = server.process.open_files() + 8;
    let idle = server.process.memory("VmRSS");
    let silent = server.peer.silent(1_000);
    let slow = spawn_slow(&server.peer);
    let good = spawn_good(&server.peer);
    let enemies = spawn_enemies(50, &server.peer, bodies::all("proxy").into_iter().map(|body| body.bytes).collect());
    pause(Duration::from_secs(10));
    server.peer.stop.store(true, Ordering::Relaxed);

    let (good, enemies) = (join(good), join(enemies));
    join(slow);
    drop(silent);
    let peak = server.peak_beside_code();
    println!("good: {good}\nenemies: {enemies}\nmemory: {} MiB idle, {} MiB peak", idle / MIB, peak / MIB);
    assert_eq!(good.failures, Vec::<String>::new());
    assert!(good.latencies.len() > 20, "only {} of the good ones were answered", good.latencies.len());
    assert!(enemies.again > 0, "the load was too small for anything to be shed");
    assert_eq!(enemies.failures, Vec::<String>::new());
    server.expect_rest(open_files);
    assert!(peak <= 128 * MIB, "{} MiB", peak / MIB);
}

/// Each alone, so that none is shed.
#[test]
fn every_hostile_body_gets_the_verdict_of_its_pod() {
    let server = Server::start();
    for body in bodies::all("proxy") {
        let start = Instant::now();
        let mut response = server.peer.post(&body.bytes);
        // Unoptimised code comes near the limit, and processor time is longer where cores are shared.
        for _ in 0..2 {
            if response.status == 500 && response.text().contains("200 ms") {
                response = server.peer.post(&body.bytes);
            }
        }
        println!("{}: {:?}, {} MiB peak", body.name, start.elapsed(), server.process.memory("VmHWM") / MIB);
        let verdict = response.json();
        assert_eq!(
            (response.status, &verdict["response"]["allowed"]),
            (200, &json!(body.allowed)),
            "{}: {}",
            body.name,
            response.text().chars().take(400).collect::<String>()
        );
    }
    let peak = server.peak_beside_code();
    assert!(peak <= 100 * MIB, "{} MiB", peak / MIB);
}

/// Thirty clients send reviews that take as long as the limits allow.
#[test]
fn long_reviews_do_not_delay_others() {
    let server = Server::start();
    let mut object = pod(&json!({"outrigger.dev/inject": "slow"}));
    object["spec"]["containers"][0]["args"] = (0..2_500).map(|number| json!(number.to_string())).collect();
    let slow = review(&object).to_string().into_bytes();
    let good = spawn_good(&server.peer);
    let enemies = spawn_enemies(30, &server.peer, vec![slow]);
    pause(Duration::from_secs(4));
    server.peer.stop.store(true, Ordering::Relaxed);
    let (good, enemies) = (join(good), join(enemies));
    println!("good: {good}\nenemies: {enemies}");
    assert_eq!(good.failures, Vec::<String>::new());
    // One after the other, all would take equally long.
    assert!(good.latency(500) * 3 < enemies.latency(500), "good: {good}\nenemies: {enemies}");
}
