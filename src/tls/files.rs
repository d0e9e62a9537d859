//! Reads a certificate and its private key from PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use super::{CertificateError, ServingCertificate, validity};
use crate::pki::certified_key;
use crate::reload::regular_file;

pub(super) const CERTIFICATE: &str = "certificate";
pub(super) const KEY: &str = "key";
/// Far larger than any chain or key.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The contents of a certificate file and its key file.
pub struct PairFiles<'p> {
    certificate: (&'p Path, Vec<u8>),
    key: (&'p Path, Vec<u8>),
}

impl<'p> PairFiles<'p> {
    /// Reads both files without parsing them.
    pub fn read(certificate: &'p Path, key: &'p Path) -> Result<Self, CertificateError> {
        let (of_certificate, of_key) = (read(CERTIFICATE, certificate)?, read(KEY, key)?);
        Ok(Self { certificate: (certificate, of_certificate), key: (key, of_key) })
    }

    /// A digest that distinguishes pairs without keeping a key.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for (_, text) in [&self.certificate, &self.key] {
            digest.update(text.len().to_le_bytes());
            digest.update(text);
        }
        digest.finalize().into()
    }

    /// Parses the pair; each error names the file.
    pub fn parse(&self) -> Result<ServingCertificate, CertificateError> {
        let (certificate, key) = (self.certificate.0, self.key.0);
        let chain = parse_chain(certificate, &self.certificate.1)?;
        let private_key = parse_key(key, &self.key.1)?;
        let validity = match chain.first().map(validity) {
            Some(Ok(validity)) => validity,
            Some(Err(problem)) => return Err(content(CERTIFICATE, certificate, problem)),
            None => return Err(content(CERTIFICATE, certificate, "has no certificate in PEM".to_owned())),
        };
        let certified = certified_key(chain, private_key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                CertificateError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
            }
            error => content(KEY, key, format!("cannot be used: {error}")),
        })?;
        Ok(ServingCertificate { key: Arc::new(certified), validity, ca_validity: None })
    }
}

/// Reads and parses the pair; each error names the file.
pub fn load(certificate: &Path, key: &Path) -> Result<ServingCertificate, CertificateError> {
    PairFiles::read(certificate, key)?.parse()
}

/// All certificates of a file, in order; at least one.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    parse_chain(path, &read(CERTIFICATE, path)?)
}

fn parse_chain(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|error| content(CERTIFICATE, path, format!("is not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(content(CERTIFICATE, path, "has no certificate in PEM".to_owned()));
    }
    Ok(chain)
}

/// The first private key in the text.
fn parse_key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => content(KEY, path, "has no private key in PEM".to_owned()),
        error => content(KEY, path, format!("is not PEM: {error}")),
    })
}

pub(super) fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, CertificateError> {
    let read = regular_file::read(path, MAX_FILE_BYTES);
    read.map_err(|error| CertificateError::Io { what, path: path.to_owned(), error })
}

pub(super) fn content(what: &'static str, path: &Path, problem: String) -> CertificateError {
    CertificateError::Content { what, path: path.to_owned(), problem }
}
