//! One address in front of several servers, as kube-proxy makes of a Service: a new connection goes to one of the servers that
//! are known then, in turn, and stays with it until one side closes it, whatever becomes of the list meanwhile.
//!
//! It passes bytes on and looks at none. Invariant: an end of one side reaches the other at once.

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

/// One side of each connection that was ever joined.
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
                // Without a server the client finds its connection closed, as behind a Service without endpoints.
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

    /// Closes all connections, and takes none until a server is added, as a network that breaks.
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
    // A peer that is gone already is seen by the other one, whose connection is dropped here.
    _ = both(&client, &server);
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            // Nobody takes what comes; the sender has to know.
            _ = from.shutdown(Shutdown::Both);
            return;
        }
    }
    // It may be closed already.
    _ = to.shutdown(Shutdown::Write);
}
