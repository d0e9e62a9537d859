//! Parses certificates and checks their validity, hosts and authority.
//!
//! Invariant: a [`Certificate`] could be parsed, so later errors never concern its format.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use sha2::{Digest, Sha256};

use super::provider;

/// Certificates start this long in the past, for clients whose clock is behind ours.
pub const BACKDATE: Duration = Duration::from_secs(3600);

/// The kinds of authority that this program creates, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityKind {
    /// Of an installation in a cluster.
    Cluster,
    /// Of `serve --dev`.
    Development,
}

impl AuthorityKind {
    /// The common name of the authority's certificate.
    pub const fn common_name(self) -> &'static str {
        match self {
            Self::Cluster => "outrigger cluster CA",
            Self::Development => "outrigger development CA",
        }
    }
}

/// SHA-256 of a certificate, as its identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    /// The first 16 of 64 digits: enough to tell certificates apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The time during which a certificate is valid, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Begin of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
}

impl Validity {
    /// The validity of a certificate made at `now`; it starts earlier for clients whose clock is
    /// behind ours.
    pub fn starting(now: SystemTime, life: Duration) -> Self {
        Self { not_before: now.checked_sub(BACKDATE).unwrap_or(UNIX_EPOCH), not_after: now + life }
    }

    /// Whether the certificate is valid at this time.
    pub fn holds(&self, at: SystemTime) -> bool {
        self.not_before <= at && at <= self.not_after
    }

    /// When to replace the certificate: after two thirds of the lifetime given by
    /// [`Validity::starting`], or after `renew_after` if that is earlier.
    pub fn renewal(&self, renew_after: Option<Duration>) -> SystemTime {
        let made = self.not_before + BACKDATE;
        let two_thirds = self.not_after.duration_since(made).unwrap_or_default() * 2 / 3;
        made + renew_after.map_or(two_thirds, |renew_after| renew_after.min(two_thirds))
    }

    /// Whether to replace the certificate now; also after the clock was set back.
    pub fn is_due(&self, now: SystemTime, renew_after: Option<Duration>) -> bool {
        now >= self.renewal(renew_after) || now < self.not_before
    }
}

/// A parsed certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate in DER.
    pub der: CertificateDer<'static>,
    /// SHA-256 of the DER.
    pub fingerprint: Fingerprint,
    /// When it is valid.
    pub validity: Validity,
    /// Whether it may sign other certificates.
    pub is_authority: bool,
    /// Whether its name is that of an authority this program created for a cluster. A name proves
    /// nothing: it only separates what the program may tidy up from the certificates of others.
    pub is_cluster_authority: bool,
}

impl Certificate {
    /// `None` if it cannot be parsed.
    pub fn from_der(der: CertificateDer<'static>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
        let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let validity = Validity {
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
        };
        let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let is_authority = parsed.is_ca();
        let is_cluster_authority = is_authority && name == Some(AuthorityKind::Cluster.common_name());
        let fingerprint = Fingerprint(Sha256::digest(&der).into());
        Some(Self { fingerprint, validity, is_authority, is_cluster_authority, der })
    }

    /// Whether `self` signed the certificate, even if either has expired.
    pub fn issued(&self, leaf: &Self) -> bool {
        let at = self.validity.not_before.max(leaf.validity.not_before);
        covers([self], std::slice::from_ref(&leaf.der), at)
    }

    /// The certificate in PEM.
    pub fn pem(&self) -> String {
        let text = BASE64.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint)
    }
}

/// Whether a client that trusts `authorities` accepts the chain (leaf first) at `at`; the host is
/// not checked.
pub fn covers<'c>(
    authorities: impl IntoIterator<Item = &'c Certificate>,
    chain: &[CertificateDer<'_>],
    at: SystemTime,
) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.into_iter().map(|authority| authority.der.clone()));
    let Some((leaf, intermediates)) = chain.split_first() else { return false };
    let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
    let Ok(since) = at.duration_since(UNIX_EPOCH) else { return false };
    let algorithms = provider().signature_verification_algorithms.all;
    let time = UnixTime::since_unix_epoch(since);
    verify_server_cert_signed_by_trust_anchor(&leaf, &roots, intermediates, time, algorithms).is_ok()
}

/// Whether the certificate is valid for every one of the hosts.
pub fn is_for(leaf: &CertificateDer<'_>, hosts: &[String]) -> bool {
    let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
    hosts
        .iter()
        .all(|host| ServerName::try_from(host.as_str()).is_ok_and(|name| verify_server_name(&leaf, &name).is_ok()))
}

/// The certificates of a PEM bundle, and whether it contains nothing else: no duplicate and no
/// unreadable certificate.
pub fn read_bundle(pem: &[u8]) -> (Vec<Certificate>, bool) {
    let (mut certificates, mut seen, mut is_clean) = (Vec::new(), BTreeSet::new(), true);
    for der in CertificateDer::pem_slice_iter(pem) {
        match der.ok().and_then(Certificate::from_der) {
            Some(certificate) if seen.insert(certificate.fingerprint) => certificates.push(certificate),
            _ => is_clean = false,
        }
    }
    (certificates, is_clean)
}
