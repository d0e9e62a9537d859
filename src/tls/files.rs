//! A certificate and its key in PEM files. Reads them; watches nothing.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{CertificateError, ServingCertificate, expiry};
use crate::pki::certified_key;

pub(super) const CERTIFICATE: &str = "certificate";
pub(super) const KEY: &str = "key";

/// Loads the pair; each error names the file.
pub fn load(certificate: &Path, key: &Path) -> Result<ServingCertificate, CertificateError> {
    let chain = read_chain(certificate)?;
    let private_key = read_key(key)?;
    let expires = match chain.first().map(expiry) {
        Some(Ok(expires)) => expires,
        Some(Err(problem)) => return Err(content(CERTIFICATE, certificate, problem)),
        None => return Err(content(CERTIFICATE, certificate, "has no certificate in PEM".to_owned())),
    };
    let certified = certified_key(chain, private_key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            CertificateError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        error => content(KEY, key, format!("cannot be used: {error}")),
    })?;
    Ok(ServingCertificate { key: Arc::new(certified), expires, ca_expires: None })
}

/// All certificates of a file, in their order; at least one.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let text = read(CERTIFICATE, path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| content(CERTIFICATE, path, format!("is no PEM: {error}")))?;
    if chain.is_empty() {
        return Err(content(CERTIFICATE, path, "has no certificate in PEM".to_owned()));
    }
    Ok(chain)
}

/// The first private key of a file.
pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let text = read(KEY, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => content(KEY, path, "has no private key in PEM".to_owned()),
        error => content(KEY, path, format!("is no PEM: {error}")),
    })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|error| CertificateError::Io { what, path: path.to_owned(), error })
}

pub(super) fn content(what: &'static str, path: &Path, problem: String) -> CertificateError {
    CertificateError::Content { what, path: path.to_owned(), problem }
}
