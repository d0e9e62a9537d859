//! The deadlines and limits of one connection, each shortened, over real sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use outrigger::server::Limits;
use pretty_assertions::assert_eq;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};

use crate::support::client::{tcp, tls};
use crate::support::{Client, ServerBuilder, TestServer, eventually, pause, pod, review, template};

const SHORT: Duration = Duration::from_millis(400);

fn body() -> Vec<u8> {
    review(&pod(&json!({}))).to_string().into_bytes()
}

fn request(body: &[u8]) -> Vec<u8> {
    let head = "POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ";
    [format!("{head}{}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn server(change: impl FnOnce(&mut Limits)) -> TestServer {
    ServerBuilder::default().template(template("proxy")).limits(change).start()
}

/// Whether the other side has ended the connection, in whatever way.
fn has_ended(result: &io::Result<usize>) -> bool {
    match result {
        Ok(count) => *count == 0,
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
    }
}

#[test]
fn a_handshake_that_keeps_sending_reaches_its_deadline() {
    let server = server(|limits| limits.handshake = SHORT);
    let mut silent = tcp(server.webhook).expect("a connection");
    assert!(has_ended(&silent.read(&mut [0])));
    // A record that never ends, a byte at a time.
    let mut slow = tcp(server.webhook).expect("a connection");
    let start = Instant::now();
    slow.write_all(&[0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb]).expect("sent");
    while slow.write_all(&[3]).is_ok() {
        assert!(start.elapsed() < 10 * SHORT, "the handshake is still going on");
        pause(Duration::from_millis(20));
    }
    server.expect_nothing_left();
    assert!(server.metric("outrigger_connections_closed_total{reason=\"took_too_long\"}") >= 2);
}

/// A handshake may arrive byte by byte, within its deadline.
#[test]
fn a_handshake_in_single_bytes_succeeds() {
    struct Single(TcpStream);

    impl Read for Single {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }

    impl Write for Single {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(&bytes[..1])
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    let server = TestServer::start([]);
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(server.client(), name).expect("a client");
    let mut stream = StreamOwned::new(connection, Single(tcp(server.webhook).expect("a connection")));
    stream.write_all(&request(&body())).expect("sent");
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[test]
fn bytes_that_are_no_handshake_get_a_tls_alert() {
    let server = TestServer::start([]);
    // Nearly HTTP; SSL 2; a record of an unknown type; an alert; one that is too long.
    let attempts: [&[u8]; 5] =
        [b"GETAWAY", &[0x80, 0x2e, 1, 0, 2], &[99, 3, 3, 0, 1, 0], &[21, 3, 3, 0, 2, 2, 0], &[22, 3, 1, 0xff, 0xff]];
    for attempt in attempts {
        let mut stream = tcp(server.webhook).expect("a connection");
        stream.write_all(attempt).expect("sent");
        stream.write_all(&[0; 5]).expect("sent");
        stream.shutdown(Shutdown::Write).expect("a socket");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap_or_else(|error| panic!("{attempt:?}: {error}"));
        assert!(answer.is_empty() || answer[0] == 21, "{attempt:?}: an alert or nothing, got {answer:?}");
    }
    server.expect_nothing_left();
}

/// TLS has messages of its own that carry no data; they do not extend the deadline.
#[test]
fn endless_key_updates_do_not_keep_a_connection_open() {
    let server = server(|limits| limits.idle = SHORT);
    let mut stream = tls(server.webhook, server.client()).expect("a connection");
    let start = Instant::now();
    while stream.conn.refresh_traffic_keys().is_ok() && stream.conn.write_tls(&mut stream.sock).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(60), "the server goes on reading");
    }
    server.expect_nothing_left();
    assert_eq!(server.post(&body()).status, 200);
}

#[test]
fn an_idle_connection_is_closed_with_close_notify() {
    let server = server(|limits| limits.idle = SHORT);
    let mut unused = server.connect();
    let mut used = server.connect();
    assert_eq!(used.post(&body()).status, 200);
    unused.end().expect("close_notify before the end");
    used.end().expect("close_notify before the end");
    server.expect_nothing_left();
    assert_eq!(
        server.metric("outrigger_connections_closed_total{reason=\"took_too_long\"}"),
        0,
        "an idle connection is not counted as slow"
    );
}

#[test]
fn a_head_that_keeps_arriving_reaches_its_deadline() {
    let server = server(|limits| limits.head = SHORT);
    let mut slow = server.connect();
    let start = Instant::now();
    slow.send(b"POST /mutate HTTP/1.1\r\n").expect("sent");
    while slow.send(b"X: y\r\n").is_ok() {
        assert!(start.elapsed() < 20 * SHORT, "the head is still going on");
        pause(Duration::from_millis(20));
    }
    assert!(start.elapsed() >= SHORT);
    server.expect_nothing_left();
}

#[test]
fn a_body_that_keeps_arriving_reaches_its_deadline() {
    let server = server(|limits| limits.body = SHORT);
    let mut slow = server.connect();
    slow.send(b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
        .expect("sent");
    for _ in 0..SHORT.as_millis() / 20 {
        slow.send(b" ").expect("sent");
        pause(Duration::from_millis(25));
    }
    let answer = slow.receive().expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    server.expect_nothing_left();
}

/// The client sends many requests and reads no response: the server stops reading, then cuts it
/// off.
#[test]
fn a_peer_that_does_not_read_its_responses_is_cut_off() {
    let server = server(|limits| limits.write = SHORT);
    let mut stream = tls(server.webhook, server.client()).expect("a connection");
    let pod = pod(&json!({"outrigger.dev/inject": "proxy"}));
    let many = request(&review(&pod).to_string().into_bytes()).repeat(50);
    let start = Instant::now();
    while stream.write_all(&many).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(60), "the server goes on reading");
    }
    server.expect_nothing_left();
    assert_eq!(server.post(&body()).status, 200);
}

/// A review whose answer is far larger than what a socket takes at once.
fn large_review() -> Vec<u8> {
    let mut object = pod(&json!({"outrigger.dev/inject": "proxy"}));
    let name = "x".repeat(200_000);
    object["metadata"]["annotations"]["outrigger.dev/inject"] = Value::String(format!("proxy,{name}"));
    review(&object).to_string().into_bytes()
}

#[test]
fn a_half_closed_connection_gets_its_response() {
    let server = server(|_| {});
    for body in [body(), large_review()] {
        for says_so in [true, false] {
            let mut stream = tls(server.webhook, server.client()).expect("a connection");
            stream.write_all(&request(&body)).expect("sent");
            if says_so {
                stream.conn.send_close_notify();
            }
            stream.flush().expect("sent");
            stream.sock.shutdown(Shutdown::Write).expect("a socket");
            pause(Duration::from_millis(100));
            let mut answer = Vec::new();
            // The end of the stream depends on how this side closed it.
            _ = stream.read_to_end(&mut answer);
            let text = String::from_utf8_lossy(&answer);
            assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with('}'), "{says_so}: {text:.300}");
        }
    }
    server.expect_nothing_left();
}

/// The response is sent while the body is still arriving; the server reads on for a bounded time.
#[test]
fn a_refusal_is_sent_at_once_and_reading_on_is_bounded() {
    let server = server(|limits| (limits.linger, limits.linger_bytes) = (Duration::from_secs(2), 4 * 1024 * 1024));
    let mut client = server.connect();
    client
        .send(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n",
        )
        .expect("sent");
    let answer = client.receive().expect("an answer before the body");
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    let start = Instant::now();
    let piece = vec![0; 1024 * 1024];
    while client.send(&piece).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20), "the server reads for ever");
    }
    server.expect_nothing_left();
}

#[test]
fn requests_that_break_off_leave_nothing_open() {
    let server = server(|_| {});
    let request = request(&body());
    for end in 0..request.len() {
        let mut client = server.connect();
        client.send(&request[..end]).expect("sent");
    }
    server.expect_nothing_left();
}

/// Shutdown waits for clients that still read a response, but not for those that never do.
#[test]
fn shutdown_waits_for_the_last_response_to_arrive() {
    let server = server(|_| {});
    let mut client = server.connect();
    client.send(b"POST /mutate HTTP/1.1\r\nHost: x\r\n").expect("sent");
    pause(Duration::from_millis(100));
    server.advance(outrigger::process::shutdown::Phase::Closing);
    eventually("the end of listening", || tcp(server.webhook).is_err());
    let rest =
        [b"Content-Type: application/json\r\nContent-Length: 3000000\r\n\r\n".as_slice(), &[b' '; 3_000_000]].concat();
    client.send(&rest).expect("what is refused is read all the same");
    assert_eq!(client.receive().expect("an answer").status, 503);
    eventually("the end of the server", || server.has_ended());
}

/// curl and browsers would report an empty reply, or an unsupported protocol.
#[test]
fn plain_http_on_the_tls_port_gets_an_answer_that_says_so() {
    let server = server(|_| {});
    let long = [b"POST /mutate HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n".as_slice(), &[b' '; 3_000_000]].concat();
    for request in [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice(), b"OPTIONS * HTTP/1.1\r\n\r\n", &long] {
        let mut client = Client::connect_plain(server.webhook).expect("a connection");
        client.send(request).expect("sent");
        let answer = client.receive().expect("an answer");
        let text = "Client sent an HTTP request to an HTTPS server.\n";
        assert_eq!((answer.status, answer.text().as_str(), answer.header("connection")), (400, text, Some("close")));
        client.end().expect("an end in order");
    }
    let closed = |reason: &str| server.metric(&format!("outrigger_connections_closed_total{{reason=\"{reason}\"}}"));
    assert_eq!((closed("plain_http"), closed("handshake_failed")), (3, 0));
    // What is neither TLS nor HTTP gets no text of ours.
    let mut other = Client::connect_plain(server.webhook).expect("a connection");
    other.send(b"GETAWAY").expect("sent");
    assert!(other.receive().is_err());
    assert_eq!((closed("plain_http"), server.connect().get("/").status), (3, 404));
}

#[test]
fn the_admin_listener_closes_idle_connections_too() {
    let server = server(|limits| limits.idle = SHORT);
    let mut admin = Client::connect_plain(server.admin).expect("a connection");
    assert_eq!(admin.get("/livez").status, 200);
    admin.end().expect("an end in order");
}
