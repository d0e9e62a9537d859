//! Defines the keys of the two certificate Secrets, and reads and writes them.
//!
//! Reading never fails: unusable content counts as missing, except that a certificate with an
//! unusable key stays trusted.
//! Invariant: private keys are written only to their Secret and never logged; no type here can be
//! printed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Map, Value, json};

use super::plan::{Authorities, Bundle, Ca, Leaf, RetiredCa};
use crate::pki::{Authority, Certificate, CertifiedPair, Fingerprint, PairError, PemPair, is_for, read_bundle};

const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const RETIRED: &str = "retired.crt";
/// JSON object: fingerprint → seconds since 1970.
const RETIRED_UNTIL: &str = "retired.json";
const LEAF_CERTIFICATE: &str = "tls.crt";
const LEAF_KEY: &str = "tls.key";

/// The certificates and keys behind the fingerprints of a plan.
#[derive(Default)]
pub(super) struct CertificateMaterial {
    certificates: BTreeMap<Fingerprint, Certificate>,
    authorities: BTreeMap<Fingerprint, Authority>,
}

impl CertificateMaterial {
    pub(super) fn add(&mut self, certificate: Certificate) -> Ca {
        let ca = Ca { id: certificate.fingerprint, validity: certificate.validity };
        self.certificates.insert(ca.id, certificate);
        ca
    }

    pub(super) fn add_authority(&mut self, authority: Authority) -> Ca {
        let ca = self.add(authority.certificate().clone());
        self.authorities.insert(ca.id, authority);
        ca
    }

    pub(super) fn authority(&self, id: Fingerprint) -> Option<&Authority> {
        self.authorities.get(&id)
    }

    /// The certificates in PEM, in the order of their fingerprints.
    pub(super) fn bundle<'i>(&self, ids: impl IntoIterator<Item = &'i Fingerprint>) -> String {
        ids.into_iter().filter_map(|id| self.certificates.get(id)).map(Certificate::pem).collect()
    }

    /// The authorities of this program that a bundle trusts. Other certificates stay unknown and
    /// make the bundle unclean.
    pub(super) fn read_bundle(&mut self, pem: &[u8]) -> Bundle {
        let (certificates, is_clean) = read_bundle(pem);
        let (ours, others): (Vec<_>, Vec<_>) = certificates.into_iter().partition(|certificate| {
            certificate.is_cluster_authority || self.certificates.contains_key(&certificate.fingerprint)
        });
        let trusts = ours.into_iter().map(|certificate| self.add(certificate).id).collect();
        Bundle { trusts, is_clean: is_clean && others.is_empty() }
    }

    /// The certificates that are valid, in `found`, and not in `listed`.
    pub(super) fn stray(
        &self,
        found: &BTreeSet<Fingerprint>,
        listed: &BTreeSet<Fingerprint>,
        now: SystemTime,
    ) -> Vec<Ca> {
        let holds = |certificate: &&Certificate| certificate.is_cluster_authority && certificate.validity.holds(now);
        let stray = found.difference(listed).filter_map(|id| self.certificates.get(id)).filter(holds);
        stray.map(|certificate| Ca { id: certificate.fingerprint, validity: certificate.validity }).collect()
    }
}

fn field<'s>(secret: &'s Secret, key: &str) -> &'s [u8] {
    secret.data.as_ref().and_then(|data| data.get(key)).map_or(&[], |ByteString(bytes)| bytes)
}

/// Reads the authorities' Secret.
pub(super) fn read_authorities(secret: &Secret, material: &mut CertificateMaterial) -> Authorities {
    let mut authorities = Authorities::default();
    let mut without_key = Vec::new();
    let mut read = |certificate, key, material: &mut CertificateMaterial| {
        let (certificate, key) = (field(secret, certificate), field(secret, key));
        let authority = Authority::from_pem(certificate, key);
        if authority.is_none() {
            without_key.extend(read_bundle(certificate).0.into_iter().filter(|certificate| certificate.is_authority));
        }
        authority.map(|authority| material.add_authority(authority))
    };
    authorities.signing = read(CA_CERTIFICATE, CA_KEY, material);
    authorities.next = read(NEXT_CERTIFICATE, NEXT_KEY, material);
    let until = until(field(secret, RETIRED_UNTIL));
    for certificate in without_key.into_iter().chain(read_bundle(field(secret, RETIRED)).0) {
        if authorities.ids().all(|id| id != certificate.fingerprint) {
            let until = until.get(&hex(certificate.fingerprint)).copied();
            authorities.retired.push(RetiredCa { ca: material.add(certificate), until });
        }
    }
    authorities
}

fn until(json: &[u8]) -> BTreeMap<String, SystemTime> {
    let seconds: BTreeMap<String, u64> = serde_json::from_slice(json).unwrap_or_default();
    let time = |seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    seconds.into_iter().filter_map(|(id, seconds)| Some((id, time(seconds)?))).collect()
}

/// All 64 digits, since the key must distinguish certificates made by others too.
fn hex(id: Fingerprint) -> String {
    id.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The Secret's fields for these authorities; `null` removes a field.
pub(super) fn write_authorities(authorities: &Authorities, material: &CertificateMaterial) -> Map<String, Value> {
    let active = |ca: Option<Ca>| ca.and_then(|ca| material.authority(ca.id)).map(Authority::to_pem);
    let (signing, next) = (active(authorities.signing), active(authorities.next));
    let retired: Vec<Fingerprint> = authorities.retired.iter().map(|retired| retired.ca.id).collect();
    let limits = authorities.retired.iter().filter_map(|retired| {
        let since = retired.until?.duration_since(UNIX_EPOCH).ok()?;
        Some((hex(retired.ca.id), json!(since.as_secs())))
    });
    let limits: Map<String, Value> = limits.collect();
    let texts = |pair: Option<PemPair>| pair.map_or((None, None), |pair| (Some(pair.certificate), Some(pair.key)));
    let ((ca, ca_key), (next, next_key)) = (texts(signing), texts(next));
    let fields = [
        (CA_CERTIFICATE, ca),
        (CA_KEY, ca_key),
        (NEXT_CERTIFICATE, next),
        (NEXT_KEY, next_key),
        (RETIRED, Some(material.bundle(&retired)).filter(|bundle| !bundle.is_empty())),
        (RETIRED_UNTIL, (!limits.is_empty()).then(|| Value::Object(limits).to_string())),
    ];
    fields.into_iter().map(|(key, text)| (key.to_owned(), encoded(text))).collect()
}

/// The Secret's fields for a leaf and the authority that signed it.
pub(super) fn write_leaf(leaf: PemPair, issuer: &Certificate) -> Map<String, Value> {
    let fields = [(LEAF_CERTIFICATE, leaf.certificate), (LEAF_KEY, leaf.key), (CA_CERTIFICATE, issuer.pem())];
    fields.into_iter().map(|(key, text)| (key.to_owned(), encoded(Some(text)))).collect()
}

fn encoded(text: Option<String>) -> Value {
    text.map_or(Value::Null, |text| json!(ByteString(text.into_bytes())))
}

/// The certificate and key in the serving Secret.
pub(super) fn read_pair(secret: &Secret) -> Result<CertifiedPair, PairError> {
    CertifiedPair::from_pem(field(secret, LEAF_CERTIFICATE), field(secret, LEAF_KEY))
}

/// The authority in the same Secret that signed the leaf.
pub(super) fn read_issuer(secret: &Secret, pair: &CertifiedPair) -> Option<Certificate> {
    let (beside, _) = read_bundle(field(secret, CA_CERTIFICATE));
    beside.into_iter().find(|issuer| issuer.is_cluster_authority && issuer.issued(&pair.certificate))
}

/// The leaf as the plan needs it, if a known authority signed it.
pub(super) fn read_leaf(secret: &Secret, hosts: &[String], material: &mut CertificateMaterial) -> Option<Leaf> {
    let pair = read_pair(secret).ok()?;
    if let Some(issuer) = read_issuer(secret, &pair) {
        material.add(issuer);
    }
    let issuer = material.certificates.values().find(|issuer| issuer.issued(&pair.certificate))?.fingerprint;
    let covers_hosts = is_for(&pair.certificate.der, hosts);
    Some(Leaf { issuer, validity: pair.certificate.validity, covers_hosts })
}

#[cfg(test)]
mod tests {
    use super::super::plan::Change;
    use super::*;
    use crate::pki::AuthorityKind;

    const LIFE: Duration = Duration::from_secs(3600);

    fn authority() -> Authority {
        Authority::make(AuthorityKind::Cluster, SystemTime::now(), LIFE).expect("an authority")
    }

    /// The Secret after these fields were written to it.
    fn written(mut secret: Secret, fields: Map<String, Value>) -> Secret {
        let data = secret.data.get_or_insert_default();
        for (key, value) in fields {
            match value {
                Value::Null => drop(data.remove(&key)),
                value => drop(data.insert(key, serde_json::from_value(value).expect("bytes"))),
            }
        }
        secret
    }

    fn with(secret: &Secret, key: &str, bytes: &[u8]) -> Secret {
        let mut secret = secret.clone();
        secret.data.get_or_insert_default().insert(key.to_owned(), ByteString(bytes.to_vec()));
        secret
    }

    fn read(secret: &Secret) -> Authorities {
        read_authorities(secret, &mut CertificateMaterial::default())
    }

    /// A signing, a next, and a retired authority with an expiry.
    fn full() -> (Secret, Authorities) {
        let mut material = CertificateMaterial::default();
        let [old, signing, next] = [0; 3].map(|_| material.add_authority(authority()));
        let limit = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let authorities = Authorities::default()
            .changed(&Change::CreateFirst, Some(old))
            .changed(&Change::CreateNext, Some(signing))
            .changed(&Change::Promote, None)
            .changed(&Change::SetExpiry(limit), None)
            .changed(&Change::CreateNext, Some(next));
        (written(Secret::default(), write_authorities(&authorities, &material)), authorities)
    }

    #[test]
    fn authorities_are_read_back_as_written() {
        let (secret, authorities) = full();
        assert_eq!(read(&secret), authorities);
        assert_eq!(read(&Secret::default()), Authorities::default());
    }

    #[test]
    fn the_key_of_a_retired_authority_is_deleted() {
        let (secret, _) = full();
        let mut material = CertificateMaterial::default();
        let promoted = read_authorities(&secret, &mut material).changed(&Change::Promote, None);
        let after = written(secret.clone(), write_authorities(&promoted, &material));
        assert_eq!(read(&after), promoted);
        let keys = |secret: &Secret| secret.data.iter().flatten().filter(|(key, _)| key.ends_with(".key")).count();
        assert_eq!((keys(&secret), keys(&after)), (2, 1));
        let old_key = String::from_utf8_lossy(field(&secret, CA_KEY)).into_owned();
        let remains =
            after.data.iter().flatten().any(|(_, bytes)| String::from_utf8_lossy(&bytes.0).contains(&old_key));
        assert!(!remains);
    }

    #[test]
    fn an_authority_without_its_key_stays_trusted_and_does_not_sign() {
        let (secret, authorities) = full();
        let other_key = authority().to_pem().key;
        for bad in [b"".as_slice(), b"garbage", other_key.as_bytes()] {
            let found = read(&with(&secret, CA_KEY, bad));
            assert_eq!((found.signing, found.next), (None, authorities.next));
            let signing = authorities.signing.expect("an authority");
            assert!(found.retired.contains(&RetiredCa { ca: signing, until: None }), "{found:?}");
        }
        let found = read(&with(&secret, CA_CERTIFICATE, b"garbage"));
        assert_eq!((found.signing, found.retired), (None, authorities.retired));
    }

    #[test]
    fn an_unreadable_expiry_counts_as_unset() {
        let (secret, authorities) = full();
        for bad in [b"".as_slice(), b"[]", b"{\"x\": -1}", br#"{"a": 18446744073709551615}"#] {
            let found = read(&with(&secret, RETIRED_UNTIL, bad));
            assert_eq!(found.retired.len(), 1);
            assert_eq!((found.retired[0].ca, found.retired[0].until), (authorities.retired[0].ca, None));
        }
    }

    #[test]
    fn a_leaf_is_read_with_its_issuer_and_its_hosts() {
        let (ours, other) = (authority(), authority());
        let hosts = |name: &str| vec![name.to_owned()];
        let leaf = || ours.issue(&hosts("a.b.svc"), SystemTime::now(), LIFE).expect("a leaf");
        let secret = written(Secret::default(), write_leaf(leaf(), ours.certificate()));
        let leaf_of =
            |secret: &Secret, host: &str| read_leaf(secret, &hosts(host), &mut CertificateMaterial::default());
        let found = leaf_of(&secret, "a.b.svc").expect("a leaf");
        assert!(found.issuer == ours.certificate().fingerprint && found.covers_hosts);
        assert!(!leaf_of(&secret, "c.b.svc").expect("a leaf").covers_hosts);
        let wrong_issuer = with(&secret, CA_CERTIFICATE, other.certificate().pem().as_bytes());
        assert_eq!(leaf_of(&wrong_issuer, "a.b.svc"), None, "nobody knows who signed it");
        let mut material = CertificateMaterial::default();
        material.add_authority(ours);
        assert!(read_leaf(&wrong_issuer, &hosts("a.b.svc"), &mut material).is_some());
        assert_eq!(leaf_of(&with(&secret, LEAF_KEY, b"garbage"), "a.b.svc"), None);
        assert_eq!(leaf_of(&with(&secret, LEAF_KEY, other.to_pem().key.as_bytes()), "a.b.svc"), None);
    }

    #[test]
    fn bundles_are_clean_when_they_contain_only_our_authorities() {
        let (ours, other) = (authority(), authority());
        let foreign = Authority::make(AuthorityKind::Development, SystemTime::now(), LIFE).expect("an authority");
        let ids = |authorities: &[&Authority]| authorities.iter().map(|one| one.certificate().fingerprint).collect();
        let pem =
            |authorities: &[&Authority]| -> String { authorities.iter().map(|one| one.certificate().pem()).collect() };
        let mut material = CertificateMaterial::default();
        let both = material.read_bundle(pem(&[&ours, &other]).as_bytes());
        assert_eq!(both, Bundle { trusts: ids(&[&ours, &other]), is_clean: true });
        let with_foreign = material.read_bundle(pem(&[&ours, &foreign]).as_bytes());
        assert_eq!(with_foreign, Bundle { trusts: ids(&[&ours]), is_clean: false });
        assert_eq!(material.bundle(&both.trusts).matches("BEGIN CERTIFICATE").count(), 2);
        let listed = ids(&[&other]);
        let stray = material.stray(&both.trusts, &listed, SystemTime::now());
        assert_eq!(stray.iter().map(|ca| ca.id).collect::<BTreeSet<_>>(), ids(&[&ours]));
        assert!(material.stray(&both.trusts, &listed, SystemTime::now() + 2 * LIFE).is_empty(), "it has expired");
    }
}
