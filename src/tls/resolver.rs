//! Supplies the certificate for each handshake.
//!
//! Invariant: one atomic pointer. A handshake never waits, and gets either the old certificate or
//! the new one, complete.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The current certificate, used for every name that clients ask for: API servers use a Service's
/// name or an address. Handshakes fail until there is one.
#[derive(Debug, Default)]
pub struct Resolver(ArcSwapOption<CertifiedKey>);

impl Resolver {
    /// A resolver that serves this certificate until it is replaced.
    pub fn new(key: Arc<CertifiedKey>) -> Self {
        Self(ArcSwapOption::new(Some(key)))
    }

    /// Later handshakes use `key`; open connections keep their certificate.
    pub fn replace(&self, key: Arc<CertifiedKey>) {
        self.0.store(Some(key));
    }

    /// The certificate without its chain.
    pub fn leaf(&self) -> Option<CertificateDer<'static>> {
        self.0.load().as_ref()?.end_entity_cert().ok().map(|leaf| leaf.clone().into_owned())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}
