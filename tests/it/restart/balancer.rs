//! A TCP load balancer in front of several instances, like kube-proxy: it forwards bytes and knows
//! nothing of HTTP.
//!
//! A new connection goes to a ready instance, according to delayed probes; an open one stays with
//! its instance.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::{Client, pause};

/// The delay from a change of readiness until new connections follow it: probe interval and
/// propagation.
const LEARNED_AFTER: Duration = Duration::from_secs(1);
const PROBED_EVERY: Duration = Duration::from_millis(200);

/// Forwards to an instance that was ready a moment ago.
pub struct Balancer {
    pub address: SocketAddr,
    endpoints: Arc<Mutex<Vec<Endpoint>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

struct Endpoint {
    webhook: SocketAddr,
    admin: SocketAddr,
    /// The results of the probes with their times, oldest first.
    probed: VecDeque<(Instant, bool)>,
    is_ready: bool,
}

impl Balancer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (endpoints, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let forward = {
            let (endpoints, stop) = (Arc::clone(&endpoints), Arc::clone(&stop));
            std::thread::spawn(move || forward(&listener, &endpoints, &stop))
        };
        let probe = {
            let (endpoints, stop) = (Arc::clone(&endpoints), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    probe(&endpoints);
                    pause(PROBED_EVERY);
                }
            })
        };
        Self { address, endpoints, stop, threads: vec![forward, probe] }
    }

    pub fn add(&self, webhook: SocketAddr, admin: SocketAddr) {
        let endpoint = Endpoint { webhook, admin, probed: VecDeque::new(), is_ready: false };
        self.endpoints.lock().expect("no panic").push(endpoint);
    }

    pub fn remove(&self, webhook: SocketAddr) {
        self.endpoints.lock().expect("no panic").retain(|endpoint| endpoint.webhook != webhook);
    }

    /// Whether this instance gets new connections.
    pub fn leads_to(&self, webhook: SocketAddr) -> bool {
        ready(&self.endpoints).contains(&webhook)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Unblocks the listener, which waits for one more connection.
        drop(TcpStream::connect(self.address));
        for thread in self.threads.drain(..) {
            _ = thread.join();
        }
    }
}

fn ready(endpoints: &Mutex<Vec<Endpoint>>) -> Vec<SocketAddr> {
    let endpoints = endpoints.lock().expect("no panic");
    endpoints.iter().filter(|endpoint| endpoint.is_ready).map(|endpoint| endpoint.webhook).collect()
}

fn probe(endpoints: &Mutex<Vec<Endpoint>>) {
    let admins: Vec<SocketAddr> = endpoints.lock().expect("no panic").iter().map(|endpoint| endpoint.admin).collect();
    for admin in admins {
        let is_ready = Client::connect_plain(admin).is_ok_and(|mut client| client.get("/readyz").status == 200);
        let now = Instant::now();
        let mut endpoints = endpoints.lock().expect("no panic");
        let Some(endpoint) = endpoints.iter_mut().find(|endpoint| endpoint.admin == admin) else { continue };
        endpoint.probed.push_back((now, is_ready));
        while let Some((at, is_ready)) = endpoint.probed.front().copied()
            && now.duration_since(at) >= LEARNED_AFTER
        {
            endpoint.is_ready = is_ready;
            endpoint.probed.pop_front();
        }
    }
}

fn forward(listener: &TcpListener, endpoints: &Mutex<Vec<Endpoint>>, stop: &AtomicBool) {
    let turn = AtomicUsize::new(0);
    for client in listener.incoming().flatten() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let ready = ready(endpoints);
        // No instance is ready, or the chosen one refuses: the client's connection ends, which
        // fails a pod.
        let Some(chosen) = ready.get(turn.fetch_add(1, Ordering::Relaxed) % ready.len().max(1)) else { continue };
        if let Ok(server) = TcpStream::connect(chosen) {
            splice(&client, &server).expect("two sockets");
        }
    }
}

fn splice(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    for stream in [client, server] {
        stream.set_nodelay(true)?;
    }
    for (from, to) in [(client, server), (server, client)] {
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        std::thread::spawn(move || copy(from, to));
    }
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // When one side closes, the other side is closed as well.
    _ = to.shutdown(Shutdown::Write);
}
