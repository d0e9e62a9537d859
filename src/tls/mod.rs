//! Loads the webhook's certificate and configures TLS.
//!
//! Invariant: a certificate in use is complete: its key matches and its expiry is known. No other
//! certificate gets this far.

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
use crate::pki::{Validity, provider};
use client_auth::ClientCheck;
use resolver::Resolver;

/// Errors of a certificate; each names the file.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The text includes the cause, which therefore is no `source`: a printed error chain would
    /// repeat it.
    #[error("{what} {path:?}: {error}")]
    Io {
        /// Kind of the file, such as `certificate`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it cannot be read or written.
        error: std::io::Error,
    },
    /// The content of a file cannot be used.
    #[error("{what} {path:?}: {problem}")]
    Content {
        /// Kind of the file, such as `certificate`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        problem: String,
    },
    /// The key belongs to another certificate.
    #[error("certificate {certificate:?} and key {key:?} do not match")]
    Mismatch {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
    /// A certificate could not be made.
    #[error("cannot create a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// The source of the certificate. A reload loads it again and compares.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// Files that another program writes.
    Files {
        /// The chain in PEM, the leaf first.
        certificate: PathBuf,
        /// Its private key in PEM.
        key: PathBuf,
    },
    /// A certificate that this program creates for these hosts and keeps in a directory.
    SelfSigned {
        /// The directory.
        directory: PathBuf,
        /// Host names and addresses besides those of this machine.
        hosts: Vec<String>,
    },
}

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub struct ServingCertificate {
    /// The chain with its key.
    pub key: Arc<CertifiedKey>,
    /// The leaf's validity.
    pub validity: Validity,
    /// That of the authority, if this program is the authority.
    pub ca_validity: Option<Validity>,
}

impl CertificateSource {
    /// Loads the current certificate; creates it if this program has to.
    pub fn load(&self, now: SystemTime) -> Result<ServingCertificate, CertificateError> {
        match self {
            Self::Files { certificate, key } => files::load(certificate, key),
            Self::SelfSigned { directory, hosts } => self_signed::load_or_make(directory, hosts, now),
        }
    }
}

/// TLS versions and clients that a handshake accepts.
#[derive(Clone, Debug)]
pub struct HandshakePolicy {
    /// Oldest TLS version that clients may use.
    pub oldest: TlsVersion,
    /// `None` accepts every client.
    pub clients: Option<Arc<ClientCheck>>,
}

/// The TLS configuration of the webhook.
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
            // A resumed session would reuse its client certificate without checking it.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config
        }
    };
    // API servers call Services by HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// From when until when a certificate is valid.
fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let found = parsed.validity();
    Ok(Validity { not_before: time(found.not_before.timestamp()), not_after: time(found.not_after.timestamp()) })
}
