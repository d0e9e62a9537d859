//! A kubelet for `kubectl port-forward`: it forwards ports of pods to addresses of this machine.
//!
//! It runs no pods. Invariant: an unopened port is refused on the error channel, as by a kubelet.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::cluster::Cluster;

const PROTOCOL: &str = "v4.channel.k8s.io";

/// The address for each pod and port.
type Ports = Arc<Mutex<HashMap<(String, u16), SocketAddr>>>;

pub struct Kubelet {
    pub port: u16,
    ports: Ports,
}

impl Kubelet {
    /// It ends with the cluster's runtime.
    pub fn start(cluster: &Cluster) -> Self {
        let acceptor = cluster.control_plane.authority.issue().acceptor();
        let listener = cluster.runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let ports = Ports::default();
        cluster.runtime.spawn(accept(listener, acceptor, Arc::clone(&ports)));
        Self { port, ports }
    }

    pub fn open(&self, pod: &str, port: u16, address: SocketAddr) {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).insert((pod.to_owned(), port), address);
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, ports: Ports) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, ports) = (acceptor.clone(), Arc::clone(&ports));
        tokio::spawn(async move {
            // Clients may close the connection early.
            if let Ok(stream) = acceptor.accept(stream).await {
                forward(stream, &ports).await;
            }
        });
    }
}

/// `/portForward/NAMESPACE/POD?port=9443,8080`
fn wanted(uri: &str) -> (String, Vec<u16>) {
    let (path, query) = uri.split_once('?').expect("ports");
    let pod = path.split('/').nth(3).expect("a pod").to_owned();
    let ports = query.split('&').find_map(|pair| pair.strip_prefix("port=")).expect("ports");
    (pod, ports.replace("%2C", ",").split(',').map(|port| port.parse().expect("a port")).collect())
}

#[allow(clippy::result_large_err, reason = "the library wants a callback of this type")]
async fn forward(stream: TlsStream<TcpStream>, ports: &Ports) {
    let mut uri = String::new();
    let answer = |request: &Request, mut response: Response| {
        uri = request.uri().to_string();
        response.headers_mut().insert("sec-websocket-protocol", PROTOCOL.parse().expect("a value"));
        Ok(response)
    };
    let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, answer).await else {
        return;
    };
    let (mut sink, mut incoming) = socket.split();
    let (outgoing, mut frames) = mpsc::channel::<Vec<u8>>(64);
    let (pod, wanted) = wanted(&uri);
    let mut writers = HashMap::new();
    for (index, port) in wanted.into_iter().enumerate() {
        let channel = u8::try_from(2 * index).expect("few ports");
        for channel in [channel, channel + 1] {
            let [low, high] = port.to_le_bytes();
            outgoing.send(vec![channel, low, high]).await.expect("nobody has closed it");
        }
        let address = ports.lock().unwrap_or_else(PoisonError::into_inner).get(&(pod.clone(), port)).copied();
        match address {
            Some(address) => drop(writers.insert(channel, join(address, channel, outgoing.clone()).await)),
            None => outgoing.send([&[channel + 1], "connection refused".as_bytes()].concat()).await.expect("open"),
        }
    }
    let sending = tokio::spawn(async move {
        while let Some(frame) = frames.recv().await {
            if sink.send(Message::binary(frame)).await.is_err() {
                return;
            }
        }
    });
    while let Some(Ok(message)) = incoming.next().await {
        let bytes = message.into_data();
        if let Some((channel, bytes)) = bytes.split_first()
            && let Some(writer) = writers.get_mut(channel)
        {
            let _ = writer.write_all(bytes).await;
        }
    }
    sending.abort();
}

/// Sends all bytes from the address on the channel.
async fn join(address: SocketAddr, channel: u8, outgoing: mpsc::Sender<Vec<u8>>) -> tokio::net::tcp::OwnedWriteHalf {
    let (mut reader, writer) = TcpStream::connect(address).await.expect("somebody listens").into_split();
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            if outgoing.send([&[channel], &buffer[..count]].concat()).await.is_err() {
                return;
            }
        }
    });
    writer
}
