//! The webhook's certificate: where it comes from, and how TLS asks for it.
//!
//! Invariant: a certificate in use is complete: its key matches, and its expiry is known. A bad pair never gets this far.

pub mod client_auth;
pub mod files;
pub mod resolver;
pub mod self_signed;
pub(crate) mod watcher;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use crate::config::TlsVersion;
use crate::pki::provider;
use client_auth::ClientCheck;
use resolver::Resolver;

/// What can be wrong with a certificate, naming the file.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The cause stands in the text and is no source besides, or whoever prints the chain says it twice.
    #[error("{what} {path:?}: {error}")]
    Io { what: &'static str, path: PathBuf, error: std::io::Error },
    #[error("{what} {path:?}: {problem}")]
    Content { what: &'static str, path: PathBuf, problem: String },
    #[error("certificate {certificate:?} and key {key:?} do not match")]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// Where the certificate comes from. Loading it again and comparing is all that a reload needs.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// Made by somebody else.
    Files { certificate: PathBuf, key: PathBuf },
    /// Made by us for these hosts, and kept in a directory.
    SelfSigned { directory: PathBuf, hosts: Vec<String> },
}

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub struct ServingCertificate {
    pub key: Arc<CertifiedKey>,
    pub expires: SystemTime,
    /// When the authority expires, where we are the authority.
    pub ca_expires: Option<SystemTime>,
}

impl CertificateSource {
    /// The certificate as it is now; makes it where that is ours to do.
    pub fn load(&self, now: SystemTime) -> Result<ServingCertificate, CertificateError> {
        match self {
            Self::Files { certificate, key } => files::load(certificate, key),
            Self::SelfSigned { directory, hosts } => self_signed::load_or_make(directory, hosts, now),
        }
    }
}

/// What a handshake may agree on, and with whom.
#[derive(Clone, Debug)]
pub struct HandshakePolicy {
    pub oldest: TlsVersion,
    /// `None` lets in whoever comes.
    pub clients: Option<Arc<ClientCheck>>,
}

/// TLS for the webhook.
pub fn server_config(resolver: Arc<Resolver>, policy: &HandshakePolicy) -> Result<ServerConfig, rustls::Error> {
    let versions: &[&SupportedProtocolVersion] = match policy.oldest {
        TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
        TlsVersion::V1_3 => &[&version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    let mut config = match &policy.clients {
        None => builder.with_no_client_auth().with_cert_resolver(resolver),
        Some(check) => {
            let check: Arc<dyn ClientCertVerifier> = Arc::clone(check) as _;
            let mut config = builder.with_client_cert_verifier(check).with_cert_resolver(resolver);
            // A session that is resumed brings its client's certificate along, unchecked.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config
        }
    };
    // API servers call Services by HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// When a certificate expires.
fn expiry(certificate: &CertificateDer<'_>) -> Result<SystemTime, String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
    Ok(UNIX_EPOCH + Duration::from_secs(seconds))
}
