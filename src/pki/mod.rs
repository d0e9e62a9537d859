//! Certificates as values: reading, checking and making them, all in memory.
//!
//! Where they are kept is for others: a directory (`tls`), Secrets of a cluster (`cluster`). Times are arguments; there is no clock here.
//! Invariant: nothing that has a private key can be printed.

mod authority;
mod certificate;
mod pair;
mod presented;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

pub use authority::Authority;
pub use certificate::{AuthorityKind, BACKDATE, Certificate, Fingerprint, Validity, covers, is_for, read_bundle};
pub(crate) use pair::certified_key;
pub use pair::{CertifiedPair, PairError, PemPair};
pub use presented::PresentedChain;

/// Named at every use: a process-wide default could be set by anybody.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
