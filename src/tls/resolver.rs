//! The certificate that the next handshake gets.
//!
//! Invariant: one atomic pointer. A handshake never waits, and sees the old certificate or the new one, whole.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Holds the current certificate, whatever name the client asks for: API servers ask for a Service's or for an address.
/// Before there is one, handshakes fail.
#[derive(Debug, Default)]
pub struct Resolver(ArcSwapOption<CertifiedKey>);

impl Resolver {
    pub fn new(key: Arc<CertifiedKey>) -> Self {
        Self(ArcSwapOption::new(Some(key)))
    }

    /// From now on handshakes get `key`; connections keep what they have.
    pub fn replace(&self, key: Arc<CertifiedKey>) {
        self.0.store(Some(key));
    }

    /// The certificate itself, without the chain above it.
    pub fn leaf(&self) -> Option<CertificateDer<'static>> {
        self.0.load().as_ref()?.end_entity_cert().ok().map(|leaf| leaf.clone().into_owned())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}
