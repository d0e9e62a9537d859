//! A small HTTPS client that sends requests as raw bytes, so that tests can send what no library
//! would.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use super::PATIENCE;

/// The headers that the API server sends.
const POST: &str = "POST /mutate?timeout=5s HTTP/1.1\r\nContent-Type: application/json";

/// One connection, kept alive as long as the server allows.
pub struct Client {
    stream: Box<dyn Stream>,
    tcp: TcpStream,
    /// Bytes read beyond the last response.
    rest: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Trusts the authority in this PEM, with all TLS versions.
pub fn client_config(ca_pem: &[u8]) -> ClientConfig {
    client_config_with(ca_pem, rustls::ALL_VERSIONS)
}

/// Trusts the authority in this PEM, with these TLS versions.
pub fn client_config_with(ca_pem: &[u8], versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem).expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the provider has these versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A TCP connection with timeouts.
pub fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A TLS connection by the name in the server's certificate; the handshake is complete when this
/// returns.
pub fn tls(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, tcp(address)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

impl Client {
    /// Connects with TLS; the handshake is complete when this returns.
    pub fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        let stream = tls(address, config)?;
        Ok(Self { tcp: stream.sock.try_clone()?, stream: Box::new(stream), rest: Vec::new() })
    }

    /// Connects without TLS.
    pub fn connect_plain(address: SocketAddr) -> io::Result<Self> {
        let stream = tcp(address)?;
        Ok(Self { tcp: stream.try_clone()?, stream: Box::new(stream), rest: Vec::new() })
    }

    /// Whether the server has closed the connection, or sent unexpected bytes, which counts as
    /// closed.
    pub fn has_ended(&self) -> bool {
        self.tcp.set_nonblocking(true).expect("a socket");
        let peeked = self.tcp.peek(&mut [0]);
        self.tcp.set_nonblocking(false).expect("a socket");
        !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends a request and reads its response.
    pub fn request(&mut self, head: &str, body: &[u8]) -> Response {
        self.try_request(head, body).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_request(&mut self, head: &str, body: &[u8]) -> io::Result<Response> {
        let head = format!("{head}\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        let sent = self.send(&[head.as_bytes(), body].concat());
        self.receive().map_err(|error| io::Error::new(error.kind(), format!("no answer: {error}; sending: {sent:?}")))
    }

    /// Like [`Self::post`], for tests in which the connection may fail.
    pub fn try_post(&mut self, body: &[u8]) -> io::Result<Response> {
        self.try_request(POST, body)
    }

    /// Posts a review like the API server.
    pub fn post(&mut self, body: &[u8]) -> Response {
        self.request(POST, body)
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.request(&format!("GET {path} HTTP/1.1"), b"")
    }

    /// Reads one response and skips interim ones (`100 Continue`).
    pub fn receive(&mut self) -> io::Result<Response> {
        loop {
            let response = self.receive_any()?;
            if response.status != 100 {
                return Ok(response);
            }
        }
    }

    /// Reads a response to HEAD; the connection cannot be used afterwards.
    pub fn receive_head(&mut self) -> io::Result<Response> {
        let (status, headers) = self.head()?;
        Ok(Response { status, headers, body: Vec::new() })
    }

    /// Reads one response, which may be an interim one.
    pub fn receive_any(&mut self) -> io::Result<Response> {
        let (status, headers) = self.head()?;
        let length =
            headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
        let length: usize = length.unwrap_or(0);
        while self.rest.len() < length {
            self.read_more()?;
        }
        let body = self.rest.drain(..length).collect();
        Ok(Response { status, headers, body })
    }

    fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let end = loop {
            if let Some(end) = find(&self.rest, b"\r\n\r\n") {
                break end;
            }
            self.read_more()?;
        };
        let head = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        self.rest.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status line: {head:?}")))?;
        let header =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        Ok((status, lines.filter_map(header).collect()))
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.rest.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }

    /// Waits until the connection is closed; an unclean close or more bytes are an error.
    pub fn end(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match (self.rest.len(), self.stream.read(&mut buffer)?) {
            (0, 0) => Ok(()),
            _ => Err(io::Error::other(format!("expected the end, got {:?}", String::from_utf8_lossy(&self.rest)))),
        }
    }

    /// Waits until the server closes the connection; fails if it does not, or sends more bytes.
    pub fn expect_closed(&mut self) {
        match self.read_more() {
            Ok(()) => panic!("expected the end of the connection, got {:?}", String::from_utf8_lossy(&self.rest)),
            Err(error) => assert!(
                !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
                "the connection is still open: {error}"
            ),
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
