//! Replicas in a cluster whose API server is slow, returns errors, loses responses or is
//! unreachable: pods still get their sidecar, and reconciling resumes when the API server recovers.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::{Cluster, names, pod, shared};
use crate::control_plane::assets;
use crate::faults::{Fault, FaultyApiServer};
use crate::installation::{CA_SECRET, SERVING_SECRET};
use crate::process::{eventually, pause};
use crate::replicas::{Clients, LIMIT, Running};

tests! {
    certificates_rotate_although_one_api_call_in_four_fails,
    a_replica_becomes_ready_and_leads_with_an_api_server_that_takes_four_seconds_per_call,
    a_replica_is_ready_only_after_it_has_listed_the_namespaces,
    a_cluster_version_read_later_replaces_the_assumed_one,
    a_new_installation_is_ready_and_trusted_within_half_a_minute,
    replicas_serve_and_watch_a_restarted_api_server,
}

/// Certificates rotate frequently, but live long enough to survive a few failures in a row.
const OFTEN: [&str; 5] = [
    "--certificate-duration=60s",
    "--certificate-renewal=3s",
    "--ca-duration=180s",
    "--ca-renewal=12s",
    "--ca-propagation=1s",
];
const LONG: [&str; 1] = ["--ca-propagation=1s"];
/// The defaults of an unchanged installation.
const DEFAULT: [&str; 0] = [];

/// Injects a fault into about one request in four, in a pseudo-random but reproducible order.
fn any_fault(number: usize, _: &str) -> Fault {
    let faults = [
        Fault::Status(500),
        Fault::Lost,
        Fault::Status(409),
        Fault::Garbage,
        Fault::Status(429),
        Fault::Slow(Duration::from_secs(1)),
        Fault::Status(403),
        Fault::Lost,
        Fault::Status(410),
        Fault::Status(503),
    ];
    // Fibonacci hashing: neighbours end up far from each other.
    let dice = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    if dice.is_multiple_of(4) { faults[dice as usize / 4 % faults.len()] } else { Fault::None }
}

fn certificates_rotate_although_one_api_call_in_four_fails() {
    let cluster = shared();
    let mut running = Running::prepare(cluster, "faults", &OFTEN);
    let faulty = FaultyApiServer::start(cluster, running.installation.client(), any_fault);
    running.use_api_server(faulty.address);
    (0..2).for_each(|_| running.add());
    running.wait_until_called();

    let clients = Clients::start(&running.pods);
    let (mut authorities, mut leaves, begun) = (BTreeSet::new(), BTreeSet::new(), Instant::now());
    while authorities.len() < 3 || leaves.len() < 8 {
        assert!(begun.elapsed() < 3 * LIMIT, "{} authorities, {} leaves", authorities.len(), leaves.len());
        authorities.insert(running.field(CA_SECRET, "ca.crt"));
        leaves.insert(running.field(SERVING_SECRET, "tls.crt"));
        pause(Duration::from_millis(200));
    }
    let pods = clients.expect_no_failure();
    eprintln!("{} authorities, {} leaves, {pods} pods, {} calls", authorities.len(), leaves.len(), faulty.requests());
    assert!(pods > 50);
    running.assert_no_key_is_logged();
}

fn a_replica_becomes_ready_and_leads_with_an_api_server_that_takes_four_seconds_per_call() {
    let cluster = shared();
    let mut running = Running::prepare(cluster, "slow", &LONG);
    let slow = |_, _: &str| Fault::Slow(Duration::from_secs(4));
    let faulty = FaultyApiServer::start(cluster, running.installation.client(), slow);
    running.use_api_server(faulty.address);
    let (replica, begun) = (running.start_replica(), Instant::now());
    replica.process.wait_until(4 * LIMIT, || replica.is_ready());
    eprintln!("ready after {:?} and {} calls", begun.elapsed(), faulty.requests());
    assert_eq!(replica.metric("outrigger_leader"), Some(1.0));
    // The replica must also remain the leader.
    for _ in 0..20 {
        pause(Duration::from_secs(1));
        assert_eq!(replica.metric("outrigger_leader"), Some(1.0), "{}", replica.process.log());
    }
    running.balancer.add(replica.address);
    running.replicas.push(replica);
    running.wait_until_called();
}

/// A replica that starts later finds a certificate at once; it must not get requests before it has
/// listed the namespaces.
fn a_replica_is_ready_only_after_it_has_listed_the_namespaces() {
    let cluster = shared();
    let mut running = Running::start(cluster, "unknown", 1, &LONG);
    let takes_part = json!({"metadata": {
        "labels": {"outrigger.dev/injection": "enabled"}, "annotations": {"outrigger.dev/inject": "agent"},
    }});
    let path = format!("/api/v1/namespaces/{}", running.pods.name);
    cluster.send("PATCH", &path, "application/merge-patch+json", takes_part.to_string().into_bytes()).expect_success();
    let slow = |_, path: &str| match path {
        "/api/v1/namespaces" => Fault::Slow(Duration::from_secs(8)),
        _ => Fault::None,
    };
    let faulty = FaultyApiServer::start(cluster, running.installation.client(), slow);
    running.use_api_server(faulty.address);
    running.add();
    let first = running.replicas.remove(0);
    running.balancer.remove(first.address);
    // The API server's connections to this replica end with it.
    first.process.kill();
    eventually("the other replica is called", LIMIT, || {
        let answer = running.pods.create_pod(&pod("web", &json!({})), "&dryRun=All");
        answer.is_success().then_some(())
    });
    // Without knowing the namespace, the replica would not inject into this pod.
    let stored = running.pods.would_accept(&pod("web", &json!({})));
    assert!(!names(&stored, "/spec/initContainers").is_empty(), "{}", stored["metadata"]);
}

/// Simulates an upgrade: a cluster version read later replaces the version assumed at start.
fn a_cluster_version_read_later_replaces_the_assumed_one() {
    const OLD: &str = r#"{"major": "1", "minor": "30", "gitVersion": "v1.30.4", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}"#;
    let cluster = shared();
    let mut running = Running::prepare(cluster, "version", &LONG);
    let asked = AtomicUsize::new(0);
    let later = move |_, path: &str| match path {
        "/version" if asked.fetch_add(1, Ordering::SeqCst) == 0 => Fault::Status(500),
        "/version" => Fault::Body(OLD),
        _ => Fault::None,
    };
    let faulty = FaultyApiServer::start(cluster, running.installation.client(), later);
    running.use_api_server(faulty.address);
    running.add();
    let asking = pod("web", &json!({"outrigger.dev/inject": "agent"}));
    let stored = eventually("the sidecar is a plain container", LIMIT, || {
        let answer = running.pods.create_pod(&asking, "&dryRun=All");
        let is_plain = answer.is_success() && names(&answer.body, "/spec/containers").contains(&"agent");
        is_plain.then_some(answer.body)
    });
    assert!(!names(&stored, "/spec/initContainers").contains(&"agent"), "{}", stored["spec"]);
    let log = running.replicas[0].process.log();
    assert!(log.contains("a recent one is assumed") && log.contains("\"version\":\"1.30.4\""), "{log}");
}

fn a_new_installation_is_ready_and_trusted_within_half_a_minute() {
    let cluster = shared();
    let mut running = Running::prepare(cluster, "first", &DEFAULT);
    let begun = Instant::now();
    let (first, second) = (running.start_replica(), running.start_replica());
    let bundle =
        eventually("caBundle is set", LIMIT, || running.bundles().into_iter().find(|bundle| !bundle.is_empty()));
    let set = begun.elapsed();
    assert!(bundle.contains("BEGIN CERTIFICATE"));
    for replica in [first, second] {
        replica.process.wait_until(LIMIT, || replica.is_ready());
        running.balancer.add(replica.address);
        running.replicas.push(replica);
    }
    eprintln!("caBundle is set after {set:?}, all replicas are ready after {:?}", begun.elapsed());
    running.wait_until_called();
    eprintln!("pods have their sidecar after {:?}", begun.elapsed());
    assert!(begun.elapsed() < LIMIT);
}

/// The test stops the API server, so it has its own.
fn replicas_serve_and_watch_a_restarted_api_server() {
    let assets = assets();
    // This cluster ends with the test binary, like the shared one.
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(Path::new(&assets))));
    let mut running = Running::start(cluster, "restarted", 2, &OFTEN);
    let takes_part = json!({"metadata": {
        "labels": {"outrigger.dev/injection": "enabled"}, "annotations": {"outrigger.dev/inject": "agent"},
    }});

    cluster.control_plane.stop_api_server();
    // A replica that starts now has nothing to serve, and logs what it waits for.
    let late = running.start_replica();
    pause(Duration::from_secs(15));
    for replica in &running.replicas {
        assert!(replica.is_ready(), "{}", replica.process.log());
    }
    assert!(!late.is_ready());
    let log = late.process.log();
    let says = ["did not report its version", "waiting for a certificate", "cannot take part in the leader election"];
    says.iter().for_each(|text| assert!(log.contains(text), "{text}: {log}"));
    // The limit is six lines a minute for each of four watches, whatever the number of attempts
    // and errors.
    let lines = log.lines().filter(|line| line.contains("the watch failed")).count();
    assert!((4..=24).contains(&lines), "{lines} lines\n{log}");

    cluster.control_plane.start_api_server();
    let back = Instant::now();
    // The namespace changes at once, possibly before the replicas watch again.
    let path = format!("/api/v1/namespaces/{}", running.pods.name);
    let patch = takes_part.to_string().into_bytes();
    cluster.send("PATCH", &path, "application/merge-patch+json", patch).expect_success();
    eventually("a pod gets the sidecar that its namespace requests", LIMIT, || {
        let answer = running.pods.create_pod(&pod("web", &json!({})), "&dryRun=All");
        (answer.is_success() && !names(&answer.body, "/spec/initContainers").is_empty()).then_some(())
    });
    eprintln!("the namespace is followed {:?} after the API server was back", back.elapsed());
    late.process.wait_until(LIMIT, || late.is_ready());
    running.balancer.add(late.address);
    running.replicas.push(late);
    eprintln!("the late replica is ready {:?} after the API server was back", back.elapsed());

    let clients = Clients::start(&running.pods);
    let before = running.field(SERVING_SECRET, "tls.crt");
    eventually("certificates are renewed again", LIMIT, || {
        let now = running.field(SERVING_SECRET, "tls.crt");
        (!now.is_empty() && now != before).then_some(())
    });
    pause(Duration::from_secs(3));
    assert!(clients.expect_no_failure() > 20);
    running.leader();
    running.assert_no_key_is_logged();
}
