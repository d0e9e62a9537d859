//! A certificate with its key: as text, and as TLS uses it.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::provider;

/// A certificate and its key in PEM.
pub struct PemPair {
    pub certificate: String,
    pub key: String,
}

/// What can be wrong with a pair; the texts say nothing of the key itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    #[error("there is no certificate in PEM")]
    NoCertificate,
    #[error("there is no private key in PEM")]
    NoKey,
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

/// A certificate that can be served: its key matches.
#[derive(Clone)]
pub struct CertifiedPair {
    pub certificate: Certificate,
    /// The chain, the leaf first, and its key.
    pub key: Arc<CertifiedKey>,
}

impl CertifiedPair {
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

/// Chain and key as TLS uses them; an error when they do not belong together.
pub(crate) fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &provider())
}
