//! Checks client certificates: they need one of the given authorities and, if set, one of the given
//! names.
//!
//! The check is part of the handshake, so nothing of a refused client is read. This module reads
//! the file on request and watches nothing.
//! Invariant: the current authorities decide. Sessions are never resumed, so an earlier decision
//! admits no client.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::X509Version;

use super::{CertificateError, files, provider};

const AUTHORITIES: &str = "client CA";

/// The authorities that may sign client certificates.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<dyn ClientCertVerifier>);

impl Authorities {
    /// Reads a file of one or more PEM certificates.
    pub fn load(path: &Path) -> Result<Self, CertificateError> {
        Self::parse(path, &Self::read(path)?)
    }

    /// Reads such a file without parsing it.
    pub(super) fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
        files::read(AUTHORITIES, path)
    }

    /// Parses the text that was read from `path`.
    pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Self, CertificateError> {
        Self::from_pem(text).map_err(|problem| files::content(AUTHORITIES, path, problem))
    }

    fn from_pem(text: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(text).enumerate() {
            let certificate = certificate.map_err(|error| format!("is not PEM: {error}"))?;
            let number = index + 1;
            check_authority(&certificate).map_err(|problem| format!("certificate {number} {problem}"))?;
            roots.add(certificate).map_err(|error| format!("certificate {number} cannot be used: {error}"))?;
        }
        if roots.is_empty() {
            return Err("has no certificate in PEM".to_owned());
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        Ok(Self(verifier.map_err(|error| format!("cannot be used: {error}"))?))
    }
}

/// A client's own certificate in place of its authority's would refuse every client, each with a
/// reason that is hard to see.
fn check_authority(certificate: &CertificateDer<'_>) -> Result<(), String> {
    let (_, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|error| format!("cannot be read: {error}"))?;
    if parsed.version() == X509Version::V3 && !parsed.is_ca() {
        return Err(format!("({}) is not a CA certificate", parsed.subject()));
    }
    Ok(())
}

/// Checks clients. The authorities can be replaced at any time; the next handshake uses the new
/// ones.
#[derive(Debug)]
pub struct ClientCheck {
    authorities: ArcSwap<Authorities>,
    names: Vec<String>,
}

impl ClientCheck {
    /// A check that trusts these authorities; without names it accepts all their clients.
    pub fn new(authorities: Authorities, names: Vec<String>) -> Self {
        Self { authorities: ArcSwap::from_pointee(authorities), names }
    }

    /// Later handshakes need a certificate of `authorities`; open connections are not affected.
    pub fn replace(&self, authorities: Authorities) {
        self.authorities.store(Arc::new(authorities));
    }

    fn check_name(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if self.names.is_empty() {
            return Ok(());
        }
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
            return Err(Error::InvalidCertificate(rustls::CertificateError::BadEncoding));
        };
        let found = names(&parsed);
        if found.iter().any(|name| self.names.contains(name)) {
            return Ok(());
        }
        let refusal = NameRefused { found: shortened(&found.join(", ")), expected: self.names.join(", ") };
        Err(Error::InvalidCertificate(rustls::CertificateError::Other(OtherError(Arc::new(refusal)))))
    }
}

/// A certificate may have very many names.
fn shortened(names: &str) -> String {
    names.chars().take(200).collect()
}

/// The client's certificate has none of the expected names.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is for {found:?}, expected {expected:?}")]
struct NameRefused {
    found: String,
    expected: String,
}

/// The common names, DNS names and URIs of a certificate.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let others = alternatives.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some(*name),
        _ => None,
    });
    common.chain(others).map(str::to_owned).collect()
}

impl ClientCertVerifier for ClientCheck {
    /// No hints: clients have one certificate and need not choose.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.authorities.load().0.verify_client_cert(leaf, chain, now)?;
        self.check_name(leaf)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.load().0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.load().0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.load().0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    use super::*;

    fn pem(is_ca: IsCa, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.is_ca = is_ca;
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").pem()
    }

    fn problem(text: &str) -> String {
        Authorities::from_pem(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn only_a_file_of_ca_certificates_is_accepted() {
        let authority = || pem(IsCa::Ca(BasicConstraints::Unconstrained), &[]);
        assert!(Authorities::from_pem(format!("# two\n{}{}", authority(), authority()).as_bytes()).is_ok());
        assert_eq!(problem(""), "has no certificate in PEM");
        assert!(problem("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").starts_with("is not PEM: "));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(problem(&format!("{}{garbage}", authority())).starts_with("certificate 2 cannot be read: "));
        let leaf = pem(IsCa::NoCa, &[]);
        assert!(problem(&leaf).ends_with("CN=kube-apiserver) is not a CA certificate"), "{}", problem(&leaf));
    }

    #[test]
    fn names_are_compared_whole() {
        let authorities = pem(IsCa::Ca(BasicConstraints::Unconstrained), &[]);
        let leaf = pem(IsCa::NoCa, &["api.example"]);
        let leaf = CertificateDer::from_pem_slice(leaf.as_bytes()).expect("PEM");
        let check = |names: &[&str]| {
            let names = names.iter().map(ToString::to_string).collect();
            let authorities = Authorities::from_pem(authorities.as_bytes()).expect("an authority");
            ClientCheck::new(authorities, names).check_name(&leaf).map_err(|error| error.to_string())
        };
        for good in [&[][..], &["kube-apiserver"], &["api.example"], &["other", "kube-apiserver"]] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for bad in ["kube", "kube-apiserver2", "Kube-apiserver", "example", "*.example", "kube-apiserver, api.example"]
        {
            let refusal = check(&[bad]).expect_err(bad);
            assert!(refusal.contains("found: \"kube-apiserver, api.example\""), "{refusal}");
        }
    }
}
