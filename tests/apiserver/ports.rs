//! Ports of programs that must be told one.
//!
//! A program that can listen on port 0 and tell its address gets no port from here: that has no race.
//!
//! Invariant: no port is given twice, and none is in the range from which Linux and macOS take the ports of outgoing
//! connections and of listeners on port 0. So no connection of another test takes a port before its program does.

use std::net::{SocketAddr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Linux hands out the ports from 32768 by itself, macOS those from 49152; NodePorts begin at 30000.
const FIRST: u32 = 20_000;
const COUNT: u32 = 10_000;

/// A port on which nobody listens on loopback.
pub fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    // Test programs that run at the same time begin far from each other.
    let next = NEXT.get_or_init(|| AtomicU32::new(std::process::id().wrapping_mul(331) % COUNT));
    let candidates = (0..COUNT).map(|_| FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT);
    let mut ports = candidates.map(|port| u16::try_from(port).expect("below 65,536"));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port on loopback")
}

/// An address at which nobody listens, and no program of the tests ever will.
pub fn closed() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}
