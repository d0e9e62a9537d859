//! Creates certificate authorities, and issues certificates with them.
//!
//! Invariant: no certificate outlives its authority.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::{AuthorityKind, Certificate, Validity};
use super::pair::{PemPair, certified_key};

/// A certificate authority with its private key.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Creates an authority with a new ECDSA P-256 key.
    pub fn make(kind: AuthorityKind, now: SystemTime, life: Duration) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, kind.common_name());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, Validity::starting(now, life));
        let der = params.self_signed(&key)?.der().clone();
        let certificate = Certificate::from_der(der).ok_or(rcgen::Error::CouldNotParseCertificate)?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Parses PEM. `None` unless both can be read, the key matches, and API servers accept the
    /// certificate as an authority. The first of several certificates is used.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(certificate).ok()?;
        certified_key(vec![der.clone()], PrivateKeyDer::from_pem_slice(key).ok()?).ok()?;
        let key = KeyPair::from_pem(std::str::from_utf8(key).ok()?).ok()?;
        let issuer = Issuer::from_ca_cert_der(&der, key).ok()?;
        let certificate = Certificate::from_der(der).filter(|certificate| certificate.is_authority)?;
        Some(Self { certificate, issuer })
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Certificate and key in PEM.
    pub fn to_pem(&self) -> PemPair {
        PemPair { certificate: self.certificate.pem(), key: self.issuer.key().serialize_pem() }
    }

    /// Issues a certificate with a new key for a server with these hosts.
    pub fn issue(&self, hosts: &[String], now: SystemTime, life: Duration) -> Result<PemPair, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, "outrigger");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let mut validity = Validity::starting(now, life);
        validity.not_after = validity.not_after.min(self.certificate.validity.not_after);
        set_validity(&mut params, validity);
        Ok(PemPair { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}

fn set_validity(params: &mut CertificateParams, validity: Validity) {
    params.not_before = validity.not_before.into();
    params.not_after = validity.not_after.into();
}

#[cfg(test)]
mod tests {
    use super::super::{BACKDATE, covers, is_for, read_bundle};
    use super::*;
    use crate::pki::CertifiedPair;

    const HOUR: Duration = Duration::from_secs(3600);

    fn hosts(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn authority(now: SystemTime) -> Authority {
        Authority::make(AuthorityKind::Cluster, now, 24 * HOUR).expect("an authority")
    }

    fn leaf(authority: &Authority, now: SystemTime) -> CertifiedPair {
        let pem = authority.issue(&hosts(&["a.b.svc", "127.0.0.1"]), now, HOUR).expect("a certificate");
        CertifiedPair::from_pem(pem.certificate.as_bytes(), pem.key.as_bytes()).expect("a pair")
    }

    #[test]
    fn a_client_that_trusts_the_authority_accepts_its_certificates() {
        let now = SystemTime::now();
        let (ours, other) = (authority(now), authority(now));
        let pair = leaf(&ours, now);
        assert!(ours.certificate().issued(&pair.certificate) && !other.certificate().issued(&pair.certificate));
        let accepts = |trusted: &[&Certificate], at| covers(trusted.iter().copied(), &pair.key.cert, at);
        assert!(accepts(&[ours.certificate()], now) && accepts(&[other.certificate(), ours.certificate()], now));
        assert!(accepts(&[ours.certificate()], now - BACKDATE / 2), "for a clock that is behind");
        assert!(!accepts(&[other.certificate()], now) && !accepts(&[], now));
        assert!(!accepts(&[ours.certificate()], now + 2 * HOUR) && !accepts(&[ours.certificate()], now - 2 * HOUR));
        assert!(is_for(&pair.certificate.der, &hosts(&["127.0.0.1"])));
        assert!(!is_for(&pair.certificate.der, &hosts(&["a.b.svc", "c.b.svc"])));
    }

    #[test]
    fn no_certificate_outlives_its_authority_and_renewal_is_at_two_thirds() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let authority = Authority::make(AuthorityKind::Cluster, now, 3 * HOUR).expect("an authority");
        assert_eq!(authority.certificate().validity.renewal(None), now + 2 * HOUR);
        let pem = authority.issue(&hosts(&["a"]), now + 2 * HOUR, 5 * HOUR).expect("a certificate");
        let pair = CertifiedPair::from_pem(pem.certificate.as_bytes(), pem.key.as_bytes()).expect("a pair");
        assert_eq!(pair.certificate.validity.not_after, authority.certificate().validity.not_after);
        let validity = authority.certificate().validity;
        assert!(
            !validity.is_due(now, None)
                && validity.is_due(now + 2 * HOUR, None)
                && validity.is_due(now - 2 * HOUR, None)
        );
        assert!(validity.is_due(now + HOUR, Some(HOUR)) && validity.is_due(now + 2 * HOUR, Some(5 * HOUR)));
    }

    #[test]
    fn an_authority_survives_a_round_trip_through_pem() {
        let now = SystemTime::now();
        let (ours, other) = (authority(now), authority(now));
        let pem = ours.to_pem();
        let read = Authority::from_pem(pem.certificate.as_bytes(), pem.key.as_bytes()).expect("an authority");
        assert_eq!(read.certificate(), ours.certificate());
        assert!(read.certificate().is_cluster_authority);
        assert!(ours.certificate().issued(&leaf(&read, now).certificate));
        let mismatched = other.to_pem().key;
        for (certificate, key) in
            [(pem.certificate.as_str(), mismatched.as_str()), ("", &pem.key), (&pem.certificate, "")]
        {
            assert!(Authority::from_pem(certificate.as_bytes(), key.as_bytes()).is_none());
        }
        let leaf = ours.issue(&hosts(&["a.b.svc"]), now, HOUR).expect("a certificate");
        assert!(Authority::from_pem(leaf.certificate.as_bytes(), leaf.key.as_bytes()).is_none(), "it may not sign");
    }

    #[test]
    fn reading_a_bundle_reports_duplicates_and_unreadable_parts() {
        let now = SystemTime::now();
        let (a, b) = (authority(now).certificate().clone(), authority(now).certificate().clone());
        let both = format!("{}{}", a.pem(), b.pem());
        assert_eq!(read_bundle(both.as_bytes()), (vec![a.clone(), b], true));
        assert_eq!(read_bundle(format!("{}{}", a.pem(), a.pem()).as_bytes()), (vec![a.clone()], false));
        let garbage = format!("{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", a.pem());
        assert_eq!(read_bundle(garbage.as_bytes()), (vec![a], false));
        assert_eq!(read_bundle(b""), (Vec::new(), true));
        let own = Authority::make(AuthorityKind::Development, now, HOUR).expect("an authority");
        assert!(!own.certificate().is_cluster_authority);
    }
}
