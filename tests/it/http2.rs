//! HTTP/2, where it is allowed: requests side by side, limits of its own, and what hostile peers can do with it.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Response, StatusCode};
use outrigger::process::shutdown::Phase;
use outrigger::server::Limits;
use pretty_assertions::assert_eq;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::support::client::{client_config, tls};
use crate::support::{Client, ServerBuilder, TestServer, eventually, pause, pod, review, template};

const SHORT: Duration = Duration::from_millis(400);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn server(change: impl FnOnce(&mut Limits)) -> TestServer {
    ServerBuilder::default().template(template("proxy")).http2().limits(change).start()
}

fn offering(server: &TestServer, protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let mut config = client_config(&server.ca_pem);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

fn body() -> Bytes {
    review(&pod(&json!({}))).to_string().into()
}

/// A client that behaves, and the task that drives its connection to the end.
async fn connect(server: &TestServer) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = tokio::net::TcpStream::connect(server.webhook).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(offering(server, &[b"h2"])).connect(name, stream).await.expect("TLS");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    (client, tokio::spawn(connection))
}

fn head(media_type: &str) -> Request<()> {
    let request = Request::post("https://localhost/mutate?timeout=5s").header("content-type", media_type);
    request.body(()).expect("a request")
}

/// Sends a request as fast as the server takes it, and reads the answer.
async fn send(client: &SendRequest<Bytes>, head: Request<()>, body: Bytes) -> Result<Response<Bytes>, h2::Error> {
    let mut client = client.clone().ready().await?;
    let (response, mut stream) = client.send_request(head, false)?;
    // A refusal may come while the body is on its way.
    let sending = async move {
        let mut rest = body;
        stream.reserve_capacity(rest.len());
        while !rest.is_empty() {
            match poll_fn(|context| stream.poll_capacity(context)).await {
                Some(Ok(capacity)) => {
                    let piece = rest.split_to(capacity.min(rest.len()));
                    if stream.send_data(piece, rest.is_empty()).is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    };
    let (response, ()) = tokio::join!(response, sending);
    let (parts, mut body) = response?.into_parts();
    let mut whole = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        whole.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok(Response::from_parts(parts, whole.into()))
}

async fn post(client: &SendRequest<Bytes>, body: Bytes) -> Result<Response<Bytes>, h2::Error> {
    send(client, head("application/json"), body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_side_by_side() {
    let server = server(|_| {});
    let (client, connection) = connect(&server).await;
    let asks: Bytes = review(&pod(&json!({"outrigger.dev/inject": "proxy"}))).to_string().into();
    // Together they fit into the window of a connection: where that is used up, this client sends empty frames, of which h2 takes
    // no more than a hundred from any peer.
    for _ in 0..5 {
        let all = (0..60).map(|_| post(&client, asks.clone()));
        for response in futures::future::join_all(all).await {
            let response = response.expect("an answer");
            assert_eq!((response.status(), response.headers().get("connection")), (StatusCode::OK, None));
            let answer: Value = serde_json::from_slice(response.body()).expect("JSON");
            assert_eq!(answer["response"]["auditAnnotations"]["result"], "injected");
        }
    }
    drop(client);
    connection.await.expect("no panic").expect("a good end");
    server.expect_nothing_left();
    // Whoever does not offer it is served as ever.
    let http1: &[&[u8]] = &[b"http/1.1"];
    for protocols in [&[], http1] {
        let mut client = Client::connect(server.webhook, offering(&server, protocols)).expect("a connection");
        assert_eq!(client.post(&body()).status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_arrive_and_cost_nobody_else() {
    let server = server(|_| {});
    let (client, _) = connect(&server).await;
    let large = Bytes::from([body().as_ref(), &vec![b' '; 9 * 1024 * 1024]].concat());
    let too_large = Bytes::from(vec![b' '; 10 * 1024 * 1024 + 1]);
    let declared = {
        let mut head = head("application/json");
        head.headers_mut().insert("content-length", (10 * 1024 * 1024 + 1).into());
        head
    };
    let get = Request::get("https://localhost/mutate").body(()).expect("a request");
    let mut long = head("application/json");
    long.headers_mut().insert("x", "x".repeat(70_000).parse().expect("a value"));
    let cases = [
        (head("application/json"), large.clone(), 200),
        (head("application/json"), too_large.clone(), 413),
        (declared, too_large, 413),
        (head("text/plain"), large, 415),
        (head("application/json"), Bytes::from_static(b"{"), 400),
        (get, Bytes::new(), 405),
        (long, Bytes::from_static(b"{"), 431),
    ];
    for (head, body, status) in cases {
        let name = format!("{head:.200?}");
        let response = send(&client, head, body).await.unwrap_or_else(|error| panic!("{error}: {name}"));
        assert_eq!((response.status().as_u16(), response.headers().get("connection")), (status, None), "{name}");
    }
    assert_eq!(post(&client, body()).await.expect("an answer").status(), 200);
}

/// A connection that is to end says so in time: nothing in flight is lost, and nothing new is begun in vain.
#[tokio::test(flavor = "multi_thread")]
async fn draining_is_goaway() {
    let server = server(|_| {});
    let (used, used_connection) = connect(&server).await;
    let (mut busy, busy_connection) = connect(&server).await;
    assert_eq!(post(&used, body()).await.expect("an answer").status(), 200);
    let (response, mut stream) = busy.send_request(head("application/json"), false).expect("sent");
    stream.send_data(Bytes::from_static(b"  "), false).expect("sent");
    eventually("a request in flight", || server.metric("outrigger_admission_in_flight") == 1);

    server.advance(Phase::Draining);
    assert_eq!(post(&used, body()).await.expect("an answer").status(), 200, "idle connections are not closed");
    used_connection.await.expect("no panic").expect("GOAWAY without an error");
    let (new, _) = connect(&server).await;
    assert_eq!(post(&new, body()).await.expect("an answer").status(), 200, "new connections are still taken");

    let (idle, idle_connection) = connect(&server).await;
    server.advance(Phase::Closing);
    idle_connection.await.expect("no panic").expect("GOAWAY without an error");
    drop(idle);
    assert!(!server.has_ended());
    stream.send_data(body(), true).expect("the connection is open");
    assert_eq!(response.await.expect("an answer").status(), 200, "what was in flight is answered");
    busy_connection.await.expect("no panic").expect("GOAWAY without an error");
    eventually("the end of the server", || server.has_ended());
}

/// A frame by its type, flags, stream and payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The head of `POST https://localhost/mutate`, as HPACK has it without tables of its own.
fn fields() -> Vec<u8> {
    // :method POST, :scheme https, both of the static table.
    let mut fields = vec![0x83, 0x87];
    for (index, value) in [(1, "localhost"), (4, "/mutate"), (31 - 15, "application/json")] {
        // Names of the static table: :authority, :path; content-type is the 31st, beyond what four bits hold.
        if index == 16 {
            fields.extend([0x0f, 16])
        } else {
            fields.push(index)
        }
        fields.push(u8::try_from(value.len()).expect("a short value"));
        fields.extend_from_slice(value.as_bytes());
    }
    fields
}

/// A connection on which anything can be sent.
fn raw(server: &TestServer) -> StreamOwned<ClientConnection, TcpStream> {
    tls(server.webhook, offering(server, &[b"h2"])).expect("a connection")
}

/// One that has begun as it should.
fn begun(server: &TestServer, settings: &[u8]) -> StreamOwned<ClientConnection, TcpStream> {
    let mut stream = raw(server);
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).expect("sent");
    stream
}

/// Whether the server closes the connection while it is read to its end.
fn is_closed(stream: &mut impl Read) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }
}

#[test]
fn a_preface_has_its_limit() {
    let server = server(|limits| limits.head = SHORT);
    for sent in [&b""[..], &PREFACE[..10], &PREFACE[..23]] {
        let mut stream = raw(&server);
        stream.write_all(sent).expect("sent");
        assert!(is_closed(&mut stream), "{sent:?}");
    }
    let mut wrong = raw(&server);
    wrong.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    assert!(is_closed(&mut wrong));
    server.expect_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_by_goaway_even_if_it_answers_pings() {
    let server = server(|limits| (limits.idle, limits.write) = (SHORT, SHORT));
    let (client, connection) = connect(&server).await;
    assert_eq!(post(&client, body()).await.expect("an answer").status(), 200);
    connection.await.expect("no panic").expect("GOAWAY without an error");
    drop(client);
    let mut pinging = begun(&server, &[]);
    let start = Instant::now();
    while pinging.write_all(&frame(PING, 0, 0, &[0; 8])).is_ok() {
        assert!(start.elapsed() < 20 * SHORT, "pings keep the connection open");
        pause(Duration::from_millis(20));
    }
    server.expect_nothing_left();
}

/// A head that never ends keeps nobody for longer than idleness, and holds no more than a head may have.
#[test]
fn a_head_that_never_ends() {
    let server = server(|limits| (limits.idle, limits.write) = (SHORT, SHORT));
    let mut slow = begun(&server, &[]);
    slow.write_all(&frame(HEADERS, 0, 1, &fields())).expect("sent");
    assert!(is_closed(&mut slow));
    server.expect_nothing_left();
}

/// Requests whose answers are never taken: their window is empty.
#[test]
fn answers_that_are_not_taken_are_given_up() {
    let server = server(|limits| (limits.stream, limits.idle, limits.write) = (SHORT, 3 * SHORT, SHORT));
    let mut stream = begun(&server, &[0, 4, 0, 0, 0, 0]);
    for id in 0..50 {
        stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * id + 1, &fields())).expect("sent");
    }
    assert!(is_closed(&mut stream), "idle once the requests are given up");
    server.expect_nothing_left();
}

/// A body that never comes.
#[test]
fn a_body_has_its_limit() {
    let server = server(|limits| (limits.body, limits.idle, limits.write) = (SHORT, 2 * SHORT, SHORT));
    let mut stream = begun(&server, &[]);
    stream.write_all(&frame(HEADERS, END_HEADERS, 1, &fields())).expect("sent");
    assert!(is_closed(&mut stream));
    server.expect_nothing_left();
    assert_eq!(server.metric("outrigger_admission_errors_total{code=\"body_too_slow\"}"), 1);
}

/// Each flood ends its own connection or is taken as it comes; nobody else notices, and nothing is left.
#[test]
fn floods_harm_nobody() {
    let server = server(|limits| limits.write = SHORT);
    let request = |id: u32| frame(HEADERS, END_HEADERS, 2 * id + 1, &fields());
    type Flood<'f> = (&'f str, &'f dyn Fn(u32) -> Vec<u8>);
    let floods: [Flood; 6] = [
        ("rapid reset", &|id| [request(id), frame(RESET, 0, 2 * id + 1, &[0, 0, 0, 8])].concat()),
        ("settings", &|_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
        ("pings", &|_| frame(PING, 0, 0, &[0; 8])),
        ("continuation", &|id| match id {
            0 => frame(HEADERS, 0, 1, &fields()),
            _ => frame(CONTINUATION, 0, 1, &[&[0, 1, b'x', 100][..], &[b'y'; 100]].concat()),
        }),
        ("empty continuation", &|id| frame(if id == 0 { HEADERS } else { CONTINUATION }, 0, 1, &[])),
        ("more requests than are allowed", &|id| request(id)),
    ];
    for (name, flood) in floods {
        let mut stream = begun(&server, &[]);
        let start = Instant::now();
        // Nothing is read of what the server says to it, so a server that waited for that would take no more.
        let ended = (0..50_000).find(|id| stream.write_all(&flood(*id)).is_err());
        println!("{name}: ended after {ended:?} in {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(60), "{name}");
        let mut good = server.connect();
        assert_eq!(good.post(&body()).status, 200, "{name}");
        // Settings and pings that are read one by one cost no more than their bytes.
        let is_harmless = name == "pings" || name == "settings";
        assert!(is_harmless || ended.is_some() || is_closed(&mut stream), "{name} goes on");
    }
    server.expect_nothing_left();
}
