//! Pairs a certificate with its private key, as PEM and as TLS uses it.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::provider;

/// A certificate and its private key in PEM.
pub struct PemPair {
    /// The chain, the leaf first.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// Errors of a pair; their texts never quote the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The text has no certificate.
    #[error("there is no certificate in PEM")]
    NoCertificate,
    /// The text has no private key.
    #[error("there is no private key in PEM")]
    NoKey,
    /// The key belongs to another certificate.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

/// A certificate that can be served: its private key matches.
#[derive(Clone)]
pub struct CertifiedPair {
    /// The leaf.
    pub certificate: Certificate,
    /// The chain (leaf first) and its private key.
    pub key: Arc<CertifiedKey>,
}

impl CertifiedPair {
    /// Reads a chain and its key in PEM, and checks that they belong together.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|_| PairError::NoCertificate)?;
        let leaf = chain.first().cloned().and_then(Certificate::from_der).ok_or(PairError::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| PairError::NoKey)?;
        let key = certified_key(chain, key).map_err(|_| PairError::Mismatch)?;
        Ok(Self { certificate: leaf, key: Arc::new(key) })
    }
}

impl fmt::Debug for CertifiedPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertifiedPair({})", self.certificate.fingerprint)
    }
}

/// Combines chain and key for TLS; an error if the key does not match.
pub(crate) fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &provider())
}
