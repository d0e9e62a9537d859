//! Many connections at a time: the limit, which one is closed at the limit, and that none leaks.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use pretty_assertions::assert_eq;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::support::client::{client_config, tcp};
use crate::support::{Client, Process, ServerBuilder, TestServer, eventually, pause, pod, review};

fn body() -> Vec<u8> {
    review(&pod(&json!({}))).to_string().into_bytes()
}

fn open(server: &TestServer) -> u64 {
    server.metric("outrigger_connections")
}

fn made_room(server: &TestServer) -> u64 {
    server.metric("outrigger_connections_closed_total{reason=\"made_room\"}")
}

/// Whether the server has closed this connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn at_the_limit_the_connection_that_was_idle_longest_is_closed() {
    let server = ServerBuilder::default().limits(|limits| limits.connections = 8).start();
    let body = body();
    let mut used = server.connect();
    let mut silent: Vec<TcpStream> = Vec::new();
    for _ in 0..7 {
        silent.push(tcp(server.webhook).expect("a connection"));
        pause(Duration::from_millis(20));
    }
    eventually("8 connections", || open(&server) == 8);
    // This one is no longer idle, so the first of the silent ones has been idle longest.
    assert_eq!(used.post(&body).status, 200);

    assert_eq!(server.connect().post(&body).status, 200, "a ninth is taken");
    eventually("the first makes room", || is_closed(&mut silent[0]));
    for _ in 0..2 {
        assert_eq!(server.connect().post(&body).status, 200);
    }
    assert_eq!(used.post(&body).status, 200);
    assert!(made_room(&server) >= 1);
    assert!(silent.iter_mut().skip(3).all(|stream| !is_closed(stream)), "no more were closed than had to be");
}

/// Clients that announce a body and do not send it delay others by at most a second.
#[test]
fn connections_with_slow_bodies_are_closed_at_the_limit() {
    let server = ServerBuilder::default().limits(|limits| limits.connections = 4).start();
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{";
    let mut slow = [(); 4].map(|()| server.connect());
    for client in &mut slow {
        client.send(head.as_bytes()).expect("sent");
    }
    eventually("four requests in flight", || server.metric("outrigger_admission_in_flight") == 4);
    eventually("a slow one makes room", || {
        Client::connect(server.webhook, client_config(&server.ca_pem).into())
            .is_ok_and(|mut client| client.post(&body()).status == 200)
    });
    assert!(made_room(&server) >= 1);
    drop(slow);
    server.expect_nothing_left();
}

/// So does an API server whose `caBundle` is wrong.
#[test]
fn a_handshake_that_the_client_rejects_is_counted() {
    let server = TestServer::start([]);
    let other = TestServer::start([]);
    let failed = "outrigger_connections_closed_total{reason=\"handshake_failed\"}";
    assert!(Client::connect(server.webhook, client_config(&other.ca_pem).into()).is_err());
    eventually("the handshake is counted", || server.metric(failed) == 1);
    drop(tcp(server.webhook).expect("a connection"));
    assert_eq!(server.post(&body()).status, 200);
    assert_eq!(server.metric(failed), 1, "a client that sends nothing is no failed handshake");
}

#[test]
fn a_new_connection_is_closed_when_all_others_are_busy() {
    let server = ServerBuilder::default().limits(|limits| limits.connections = 2).start();
    let body = body();
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ";
    let mut busy = [(); 2].map(|()| server.connect());
    for client in &mut busy {
        client.send(format!("{head}{}\r\n\r\n", body.len()).as_bytes()).expect("sent");
    }
    // Until their heads have arrived, both count as idle.
    eventually("two requests in flight", || server.metric("outrigger_admission_in_flight") == 2);
    let mut third = tcp(server.webhook).expect("the system takes it");
    eventually("the third is closed", || is_closed(&mut third));
    assert_eq!(server.metric("outrigger_connections_closed_total{reason=\"refused\"}"), 1);
    assert_eq!(made_room(&server), 0);
    for client in &mut busy {
        client.send(&body).expect("the connection is open");
        assert_eq!(client.receive().expect("an answer").status, 200);
    }
    assert_eq!(server.connect().post(&body).status, 200, "now there is room again");
}

/// Clients that connect and leave in every way; then nothing is open.
#[test]
fn a_thousand_connections_leave_nothing_open() {
    let server = ServerBuilder::default().limits(|limits| limits.connections = 100).start();
    let body = body();
    let mut held = Vec::new();
    for index in 0..1_000 {
        match index % 10 {
            0 => assert_eq!(server.post(&body).status, 200),
            1 => server.connect().send(b"POST /mutate HTTP/1.1\r\n").expect("sent"),
            2 => drop(server.connect()),
            3 => held.push(tcp(server.webhook).expect("a connection")),
            _ => drop(tcp(server.webhook).expect("a connection")),
        }
    }
    assert!(open(&server) <= 100);
    drop(held);
    server.expect_nothing_left();
}

#[test]
fn the_admin_listener_has_a_limit_of_its_own() {
    let server = ServerBuilder::default().limits(|limits| limits.admin_connections = 4).start();
    let mut silent: Vec<TcpStream> = (0..20).map(|_| tcp(server.admin).expect("a connection")).collect();
    assert_eq!(server.connect_admin().get("/livez").status, 200);
    eventually("the longest silent are closed", || silent.iter_mut().take(16).all(is_closed));
    assert_eq!(server.post(&body()).status, 200);
    assert_eq!(made_room(&server), 0, "the webhook's are counted");
}

/// The real program runs out of file descriptors while it serves.
#[test]
fn the_server_survives_running_out_of_file_descriptors_and_logs_it_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["serve", "--dev", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
    let mut process = Process::start(directory.path(), &arguments);
    process.wait_for_log("ready");
    let webhook = process.address("webhook");
    let ca = std::fs::read(directory.path().join(".outrigger/ca.crt")).expect("an authority");
    let config = std::sync::Arc::new(client_config(&ca));
    let connect = || Client::connect(webhook, std::sync::Arc::clone(&config));
    let mut early = connect().expect("a connection");
    let body = body();
    assert_eq!(early.post(&body).status, 200);

    let files = open_files(&process) + 5;
    limit_files(&process, files);
    let silent: Vec<TcpStream> = (0..50).filter_map(|_| tcp(webhook).ok()).collect();
    process.wait_for_log("cannot accept a connection");
    // Clients that send a request are served meanwhile.
    for _ in 0..5 {
        let answer = connect().map(|mut client| client.post(&body).status);
        assert_eq!(answer.expect("a connection"), 200);
    }
    assert!(process.is_running());
    assert_eq!(process.stderr().matches("cannot accept a connection").count(), 1, "{}", process.stderr());
    drop(silent);
    limit_files(&process, 1024);
    assert_eq!(connect().expect("a connection").post(&body).status, 200, "the server has recovered");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
}

fn open_files(process: &Process) -> u64 {
    let files = std::fs::read_dir(format!("/proc/{}/fd", process.id())).expect("/proc");
    files.count() as u64
}

fn limit_files(process: &Process, files: u64) {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).expect("an id");
    let old = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(files), maximum: Some(1_000_000) });
    old.or_else(|_| {
        prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(files), maximum: Some(files.max(1024)) })
    })
    .expect("the limit of a child can be lowered");
}

/// A low limit at the start lowers the connection limit, and the log says so.
#[test]
fn a_low_limit_of_open_files_lowers_the_connection_limit() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!(
        "ulimit -n 200; exec {} serve --dev --listen=127.0.0.1:0 --admin-listen=127.0.0.1:0",
        env!("CARGO_BIN_EXE_outrigger")
    );
    let process = Process::start_shell(directory.path(), &script);
    process.wait_for_log("ready");
    let log = process.stderr();
    assert!(
        log.contains("the limit of open files allows fewer connections") && log.contains("connections=100"),
        "{log}"
    );
    let webhook: SocketAddr = process.address("webhook");
    let silent: Vec<TcpStream> = (0..300).map(|_| tcp(webhook).expect("a connection")).collect();
    let ca = std::fs::read(directory.path().join(".outrigger/ca.crt")).expect("an authority");
    let mut client = Client::connect(webhook, std::sync::Arc::new(client_config(&ca))).expect("a connection");
    assert_eq!(client.post(&body()).status, 200);
    assert!(!process.stderr().contains("cannot accept a connection"), "{}", process.stderr());
    drop(silent);
}
