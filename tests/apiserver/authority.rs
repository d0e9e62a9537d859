//! A certificate authority for loopback, for the API server and for the webhooks that tests
//! simulate.
//!
//! Outrigger issues its own certificates.
//!
//! Invariant: every certificate is valid for `127.0.0.1` and for a day, unless the method's name
//! says otherwise.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;

/// A self-signed authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A serving certificate and its key, both as PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = parameters("outrigger-tests-ca", Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = new_key();
        let pem = params.self_signed(&key).expect("a self-signed certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The authority's certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server on loopback.
    pub fn issue(&self) -> Identity {
        self.sign(&parameters("loopback", vec!["127.0.0.1".to_owned(), "localhost".to_owned()]))
    }

    /// A certificate for a server of another name.
    pub fn issue_for(&self, name: &str) -> Identity {
        self.sign(&parameters("elsewhere", vec![name.to_owned()]))
    }

    /// A certificate for a server on loopback that has expired.
    pub fn issue_expired(&self) -> Identity {
        let mut params = parameters("loopback", vec!["127.0.0.1".to_owned(), "localhost".to_owned()]);
        params.not_before -= Duration::days(3);
        params.not_after -= Duration::days(2);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = new_key();
        let certificate = params.signed_by(&key, &self.issuer).expect("a signed certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

impl Identity {
    /// Accepts TLS connections with this certificate.
    pub fn acceptor(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the default protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a matching pair");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A new ECDSA key pair as PEM, private and public, to sign and verify service account tokens.
pub fn key_pair() -> (String, String) {
    let key = new_key();
    (key.serialize_pem(), key.public_key_pem())
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn parameters(name: &str, subjects: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(subjects).expect("valid subject names");
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(1);
    params
}
