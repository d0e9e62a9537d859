//! Shutdown of the real binary step by step, and rolling restarts that fail no pod.

mod balancer;
mod pool;
mod rolling;

use std::path::Path;
use std::time::{Duration, Instant};

use outrigger::config::settings;
use outrigger::process::shutdown::Phase;
use outrigger::server::Limits;
use pretty_assertions::assert_eq;
use serde_json::json;

use crate::reload::world::{Plain, World, asking, templates};
use crate::support::client::tcp;
use crate::support::{Client, ServerBuilder, eventually, pause, pod, review};

const DELAY: Duration = Duration::from_secs(4);
fn world(delay: &str) -> World {
    let world = World::start_with(&["t"], &[&format!("--shutdown-delay={delay}")]);
    Plain::at(&world.path("t")).write("a.yaml", &templates(1, &["one"]));
    world.eventually_served(&mut world.connect(), "one", 1);
    world
}

fn status(world: &World, path: &str) -> u16 {
    Client::connect_plain(world.admin).expect("a connection").get(path).status
}

/// Sends a request except the last byte of its body.
fn begin(client: &mut Client, body: &[u8]) {
    let head = "POST /mutate?timeout=5s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
    client.send(&[head.as_bytes(), &body[..body.len() - 1]].concat()).expect("sent");
}

/// A normal response that asks the client to open another connection next time.
fn assert_is_answered_for_the_last_time(client: &mut Client, what: &str) {
    let response = client.post(&asking("one"));
    assert_eq!((response.status, response.header("connection")), (200, Some("close")), "{what}");
    assert_eq!(response.json()["response"]["auditAnnotations"]["result"], "injected", "{what}");
    client.expect_closed();
}

#[test]
fn shutdown_follows_the_documented_order() {
    let mut world = world("4s");
    let (mut idle, mut used, mut late, mut busy) = (world.connect(), world.connect(), world.connect(), world.connect());
    assert_eq!(used.post(&asking("one")).header("connection"), None);
    assert_eq!(late.post(&asking("one")).header("connection"), None);
    let start = Instant::now();
    world.process.signal("TERM");
    world.process.wait_for_log("shutting down");
    assert_eq!((status(&world, "/readyz"), status(&world, "/livez")), (503, 200), "not ready at once");
    assert_is_answered_for_the_last_time(&mut used, "a connection that was used");
    assert_is_answered_for_the_last_time(&mut world.connect(), "a new connection");
    pause(DELAY / 4);
    assert_is_answered_for_the_last_time(&mut idle, "a connection that was idle until now");
    let body = asking("one");
    begin(&mut busy, &body);

    eventually("the end of listening", || tcp(world.webhook).is_err());
    assert!(start.elapsed() >= DELAY, "it stopped listening after {:?}", start.elapsed());
    assert_eq!((status(&world, "/readyz"), status(&world, "/livez")), (503, 200));
    assert!(world.process.is_running(), "a request is in flight");
    let response = late.post(&asking("one"));
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")), "{}", response.text());
    assert_eq!(response.header("connection"), Some("close"));
    busy.send(&body[body.len() - 1..]).expect("the connection is open");
    let response = busy.receive().expect("what began before is answered");
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert_eq!(world.process.wait().code(), Some(0), "{}", world.process.stderr());
}

/// The kubelet kills a pod of the manifests or of the chart after its grace period. By then the
/// program has ended.
#[test]
fn the_longest_shutdown_is_shorter_than_the_grace_period_of_the_pod() {
    let read = |path: &str| -> serde_json::Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests").join(path);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let delay = settings::SHUTDOWN_DELAY.default.strip_suffix('s').and_then(|seconds| seconds.parse().ok());
    let longest = Duration::from_secs(delay.expect("a number of seconds")) + Limits::default().closing;
    let (deployment, values) = (read("base/deployment.yaml"), read("chart/values.yaml"));
    for (origin, pod) in [("kustomize", &deployment["spec"]["template"]["spec"]), ("chart", &values)] {
        let grace = pod["terminationGracePeriodSeconds"].as_u64().map(Duration::from_secs);
        assert!(grace > Some(longest), "{origin}: {grace:?}, but the program may take {longest:?} to end");
    }
    assert!(!read("base/config.yaml").to_string().contains("shutdownDelay"), "the delay is the default");
}

/// A client that never reads its response gets the same limited time as any other.
#[test]
fn a_client_that_does_not_read_its_response_delays_shutdown_by_a_limited_time() {
    let mut world = world("0s");
    let value = "x".repeat(200_000);
    let large = templates(2, &["large"]).replace("generation-2\n", &format!("generation-2\n    args: [{value}]\n"));
    let many = (0..40).map(|n| large.replace("large", &format!("large{n}"))).collect::<Vec<_>>().join("---\n");
    Plain::at(&world.path("t")).write("a.yaml", &many);
    let asked = (0..40).map(|n| format!("large{n}")).collect::<Vec<_>>().join(",");
    world.eventually_served(&mut world.connect(), &asked, 2);
    let mut deaf = world.connect();
    let body = review(&pod(&json!({"outrigger.dev/inject": asked}))).to_string();
    let log = world.process.stderr().matches("result=\"injected\"").count();
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    deaf.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).expect("sent");
    eventually("the decision", || world.process.stderr().matches("result=\"injected\"").count() > log);
    world.process.signal("TERM");
    world.process.wait_for_log("shutting down");
    pause(Duration::from_secs(2));
    assert!(world.process.is_running(), "{}", world.process.stderr());
    let start = Instant::now();
    while world.process.is_running() {
        assert!(start.elapsed() < Limits::default().closing + Duration::from_secs(15), "it does not end");
        pause(Duration::from_millis(50));
    }
    assert_eq!(world.process.wait().code(), Some(0), "{}", world.process.stderr());
}

/// Whatever requests are in flight, and whatever limits they have.
#[test]
fn shutdown_ends_by_its_deadline() {
    let server = ServerBuilder::default().limits(|limits| limits.closing = Duration::from_millis(500)).start();
    let mut busy = server.connect();
    begin(&mut busy, &asking("one"));
    pause(Duration::from_millis(100));
    let start = Instant::now();
    server.advance(Phase::Closing);
    eventually("the end of the server", || server.has_ended());
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
}
