//! A TCP load balancer in front of several servers, like kube-proxy for a Service: a new connection
//! goes to the next server in turn and stays there until one side closes it.
//!
//! It forwards bytes without reading them.
//!
//! Invariant: when one side closes, the other side is closed at once.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A running balancer; its threads end with the test binary.
pub struct Balancer {
    address: SocketAddr,
    servers: Servers,
    joined: Joined,
}

#[derive(Clone, Default)]
struct Servers(Arc<Mutex<Vec<SocketAddr>>>);

/// One side of each forwarded connection.
#[derive(Clone, Default)]
struct Joined(Arc<Mutex<Vec<TcpStream>>>);

impl Balancer {
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound listener has an address");
        let servers = Servers::default();
        let (known, joined) = (servers.clone(), Joined::default());
        let open = joined.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Without a server the client's connection is closed, as with a Service without
                // endpoints.
                if let Some(server) = known.next().and_then(|server| TcpStream::connect(server).ok()) {
                    open.0.lock().unwrap_or_else(PoisonError::into_inner).extend(server.try_clone());
                    join(stream, server);
                }
            }
        });
        Self { address, servers, joined }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on new connections may go to this server.
    pub fn add(&self, server: SocketAddr) {
        self.servers.lock().push(server);
    }

    /// From now on no new connection goes to this server; open ones stay.
    pub fn remove(&self, server: SocketAddr) {
        self.servers.lock().retain(|known| *known != server);
    }

    /// Closes all connections and accepts none until a server is added, like a broken network.
    pub fn cut(&self) {
        self.servers.lock().clear();
        for stream in self.joined.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may be closed already.
            _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Servers {
    fn next(&self) -> Option<SocketAddr> {
        let mut servers = self.lock();
        if servers.is_empty() {
            return None;
        }
        servers.rotate_left(1);
        servers.last().copied()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn join(client: TcpStream, server: TcpStream) {
    let both = |client: &TcpStream, server: &TcpStream| -> io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (to_server, to_client) = (server.try_clone()?, client.try_clone()?);
        let (from_client, from_server) = (client.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || copy(from_client, to_server));
        std::thread::spawn(move || copy(from_server, to_client));
        Ok(())
    };
    // If one peer is gone, the other one sees its connection dropped here.
    _ = both(&client, &server);
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            // Nobody reads the bytes any more; the sender must notice.
            _ = from.shutdown(Shutdown::Both);
            return;
        }
    }
    // It may be closed already.
    _ = to.shutdown(Shutdown::Write);
}
