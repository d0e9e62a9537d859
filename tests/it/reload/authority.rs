//! A test certificate authority that issues certificates for `localhost`.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// Signs certificates for `localhost`.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    pub fn pair(&self) -> Pair {
        self.pair_until(SystemTime::now() + DAY)
    }

    pub fn expired_pair(&self) -> Pair {
        self.pair_until(SystemTime::now() - DAY)
    }

    pub fn pair_until(&self, not_after: SystemTime) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_before = (not_after - 30 * DAY).into();
        params.not_after = not_after.into();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}
