//! Which bodies are accepted when memory is short: over TLS, with small budgets.

use std::time::Duration;

use pretty_assertions::assert_eq;
use serde_json::json;

use crate::support::{Client, Response, ServerBuilder, TestServer, eventually, pause, pod, review, template};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A review of about so many bytes.
fn body(bytes: usize) -> Vec<u8> {
    let mut object = pod(&json!({"outrigger.dev/inject": "proxy"}));
    object["spec"]["containers"][0]["args"] = json!(["x".repeat(bytes)]);
    review(&object).to_string().into_bytes()
}

fn head(length: usize) -> String {
    format!(
        "POST /mutate?timeout=10s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// A client that has sent all of a body but the end.
fn half_sent(server: &TestServer, length: usize, sent: usize) -> Client {
    let mut client = server.connect();
    client.send(head(length).as_bytes()).expect("sent");
    client.send(&vec![b' '; sent]).expect("sent");
    client
}

fn bytes_in_flight(server: &TestServer) -> usize {
    let metrics = server.metrics();
    let value = metrics.lines().find_map(|line| line.strip_prefix("outrigger_admission_in_flight_bytes "));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no number of bytes in {metrics}"))
}

fn assert_asked_to_come_again(response: &Response) {
    let headers = ["retry-after", "connection", "content-type"].map(|name| response.header(name));
    assert_eq!(
        (response.status, headers, response.text().as_str()),
        (503, [Some("1"), Some("close"), Some("text/plain; charset=utf-8")], "the server is overloaded, try again\n")
    );
}

#[test]
fn a_large_body_without_room_gets_503_unread() {
    let server =
        ServerBuilder::default().template(template("proxy")).limits(|limits| limits.in_flight_large_bytes = 10 * MIB);
    let server = server.start();
    let _half = half_sent(&server, 9 * MIB, 5 * MIB);
    eventually("the reservation", || bytes_in_flight(&server) == 9 * MIB);
    let mut waiting = server.connect();
    waiting.send(head(2 * MIB).as_bytes()).expect("sent");
    assert_asked_to_come_again(&waiting.receive().expect("an answer"));
    waiting.expect_closed();
    // Small ones have room of their own.
    assert_eq!((server.post(&body(KIB)).status, server.post(&body(900 * KIB)).status), (200, 200));
    assert!(server.metrics().contains("outrigger_admission_shed_total 1\n"), "{}", server.metrics());
}

/// The client writes everything before it reads, and still gets its response.
#[test]
fn a_client_that_sends_a_large_body_at_once_reads_the_refusal() {
    let server = ServerBuilder::default().limits(|limits| limits.in_flight_large_bytes = 10 * MIB).start();
    let _half = half_sent(&server, 9 * MIB, 5 * MIB);
    eventually("the reservation", || bytes_in_flight(&server) == 9 * MIB);
    let mut client = server.connect();
    client.send(head(3 * MIB).as_bytes()).expect("sent");
    client.send(&vec![b' '; 3 * MIB]).expect("sent: the server reads on for a moment");
    assert_asked_to_come_again(&client.receive().expect("an answer"));
    client.expect_closed();
}

#[test]
fn clients_that_send_nothing_cannot_crowd_out_others() {
    let server = TestServer::start([template("proxy")]);
    let idle: Vec<Client> = (0..60).map(|_| half_sent(&server, MIB, 0)).collect();
    eventually("the promises", || server.metrics().contains("outrigger_admission_in_flight 60\n"));
    assert_eq!(bytes_in_flight(&server), 0);
    assert_eq!((server.post(&body(KIB)).status, server.post(&body(900 * KIB)).status), (200, 200));
    drop(idle);
    eventually("the end of all", || server.metrics().contains("outrigger_admission_in_flight 0\n"));
}

/// All room for medium bodies and all for ordinary ones is taken by bodies that lack their last
/// byte.
#[test]
fn half_sent_bodies_are_dropped_for_others() {
    let server = ServerBuilder::default().template(template("proxy")).limits(|limits| limits.in_flight_bytes = 3 * MIB);
    let server = server.start();
    let mut medium: Vec<Client> = (0..4).map(|_| half_sent(&server, 500 * KIB, 500 * KIB - 1)).collect();
    let mut ordinary: Vec<Client> = (0..17).map(|_| half_sent(&server, 60 * KIB, 60 * KIB - 1)).collect();
    eventually("the half-sent bodies", || bytes_in_flight(&server) == 4 * 500 * KIB + 17 * 60 * KIB);
    // Over a second, and half a second more for the bytes that they have sent.
    pause(Duration::from_millis(1_700));
    assert_eq!(server.post(&body(55 * KIB)).status, 200);
    assert_eq!(server.post(&body(400 * KIB)).status, 200);
    // The oldest are dropped, and get a 503.
    assert_asked_to_come_again(&medium.remove(0).receive().expect("an answer"));
    // The youngest are kept: with their last byte they get a response.
    let mut last = ordinary.pop().expect("a client");
    last.send(b" ").expect("sent");
    assert_eq!(last.receive().expect("an answer").status, 400, "it is no review");
    drop((medium, ordinary));
    eventually("all bytes given back", || bytes_in_flight(&server) == 0);
}

#[test]
fn a_body_of_unknown_length_reserves_memory_as_it_arrives() {
    let server = TestServer::start([template("proxy")]);
    let mut client = server.connect();
    client
        .send(b"POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        .expect("sent");
    assert_eq!(bytes_in_flight(&server), 0);
    let whole = body(3 * MIB);
    let (first, second) = whole.split_at(MIB / 2);
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    client.send(&chunk(first)).expect("sent");
    eventually("half a mebibyte", || bytes_in_flight(&server) >= MIB / 2);
    assert!(bytes_in_flight(&server) <= MIB);
    client.send(&[chunk(second), b"0\r\n\r\n".to_vec()].concat()).expect("sent");
    let response = client.receive().expect("an answer");
    assert_eq!(
        (response.status, &response.json()["response"]["auditAnnotations"]["result"]),
        (200, &json!("injected"))
    );
    eventually("all bytes given back", || bytes_in_flight(&server) == 0);
}
