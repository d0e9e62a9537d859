//! Parses, checks and creates certificates, in memory.
//!
//! Other modules store them: `tls` in a directory, `cluster` in Secrets. The current time is an
//! argument.
//! Invariant: no type with a private key can be printed.

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

/// Passed explicitly at every use: any code could change a process-wide default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
