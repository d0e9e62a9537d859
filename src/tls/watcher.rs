//! Detects changes of the serving certificate and of the client CA by content.
//!
//! The caller decides when to call [`CertificateWatcher::scan`] and [`AuthoritiesWatcher::scan`].
//! Invariants: a pair that does not match or has expired never replaces a good one; a change is
//! taken only when two scans in a row have found the same content, so that no incomplete file is
//! taken.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::client_auth::Authorities;
use super::files::{self, CERTIFICATE, PairFiles};
use super::{CertificateError, CertificateSource, ServingCertificate, self_signed};
use crate::reload::settled::{Reloaded, Settled};
use crate::reload::watch::Scan;

/// Interval at which a self-signed certificate is checked for expiry, which does not change its
/// file.
const RENEWAL: Duration = Duration::from_secs(60);

/// Watches the source of the serving certificate.
pub(crate) struct CertificateWatcher {
    source: CertificateSource,
    served: ServingCertificate,
    /// Digest of the files that `served` was read from; `None` if unknown.
    digest: Option<[u8; 32]>,
    settled: Settled<[u8; 32]>,
    checked: Instant,
}

impl CertificateWatcher {
    /// Loads the current certificate; creates it if this program has to.
    pub(crate) fn open(source: CertificateSource, now: SystemTime) -> Result<Self, CertificateError> {
        // Digest taken before loading, so that the next scan finds a change in between.
        let before = digest(&source).ok();
        let served = source.load(now)?;
        let digest = digest(&source).ok().filter(|after| before.is_none_or(|before| before == *after));
        Ok(Self { source, served, digest, settled: Settled::default(), checked: Instant::now() })
    }

    /// The certificate to serve now.
    pub(crate) fn served(&self) -> &ServingCertificate {
        &self.served
    }

    pub(crate) fn scan(
        &mut self,
        scan: Scan,
        now: SystemTime,
    ) -> Result<Reloaded<ServingCertificate>, CertificateError> {
        let read = digest(&self.source);
        let is_same = read.as_ref().ok().is_some_and(|found| self.digest == Some(*found));
        let is_renewal_due = self.is_ours() && self.checked.elapsed() >= RENEWAL;
        if is_same && !is_renewal_due {
            self.settled.reset();
            return Ok(Reloaded::Unchanged);
        }
        match read {
            Err(error) if !self.is_ours() => {
                self.settled.reset();
                Err(error)
            }
            Ok(found) if !is_same && scan == Scan::Quick && !self.settled.has_settled(&found) => {
                Ok(Reloaded::Unsettled)
            }
            _ => self.load(now),
        }
    }

    fn is_ours(&self) -> bool {
        matches!(self.source, CertificateSource::SelfSigned { .. })
    }

    fn load(&mut self, now: SystemTime) -> Result<Reloaded<ServingCertificate>, CertificateError> {
        let (certificate, digest) = self.load_checked(now)?;
        self.checked = Instant::now();
        Ok(self.take(certificate, digest))
    }

    fn load_checked(&self, now: SystemTime) -> Result<(ServingCertificate, Option<[u8; 32]>), CertificateError> {
        let (certificate, digest) = match &self.source {
            CertificateSource::Files { certificate, key } => {
                let pair = PairFiles::read(certificate, key)?;
                (pair.parse()?, Some(pair.digest()))
            }
            source @ CertificateSource::SelfSigned { .. } => (source.load(now)?, digest(source).ok()),
        };
        if certificate.validity.not_after <= now && self.served.validity.not_after > now {
            let (path, _) = paths(&self.source);
            return Err(files::content(CERTIFICATE, &path, "has expired already".to_owned()));
        }
        Ok((certificate, digest))
    }

    fn take(&mut self, certificate: ServingCertificate, digest: Option<[u8; 32]>) -> Reloaded<ServingCertificate> {
        let is_same_leaf = certificate.key.cert == self.served.key.cert;
        self.digest = digest;
        self.settled.reset();
        // A self-signed certificate is reloaded regularly; for others, a replaced file counts as a
        // rotation even with the same certificate.
        if self.is_ours() && is_same_leaf {
            return Reloaded::Unchanged;
        }
        self.served = certificate.clone();
        Reloaded::Replaced(certificate)
    }
}

/// Watches the file of the client authorities.
pub(crate) struct AuthoritiesWatcher {
    path: PathBuf,
    text: Vec<u8>,
    settled: Settled<Vec<u8>>,
}

impl AuthoritiesWatcher {
    pub(crate) fn open(path: PathBuf) -> Result<(Self, Authorities), CertificateError> {
        let text = Authorities::read(&path)?;
        let authorities = Authorities::parse(&path, &text)?;
        Ok((Self { path, text, settled: Settled::default() }, authorities))
    }

    pub(crate) fn scan(&mut self, scan: Scan) -> Result<Reloaded<Authorities>, CertificateError> {
        let text = Authorities::read(&self.path)?;
        if text == self.text {
            self.settled.reset();
            return Ok(Reloaded::Unchanged);
        }
        if scan == Scan::Quick && !self.settled.has_settled(&text) {
            return Ok(Reloaded::Unsettled);
        }
        let authorities = Authorities::parse(&self.path, &text)?;
        self.text = text;
        self.settled.reset();
        Ok(Reloaded::Replaced(authorities))
    }
}

fn paths(source: &CertificateSource) -> (PathBuf, PathBuf) {
    match source {
        CertificateSource::Files { certificate, key } => (certificate.clone(), key.clone()),
        CertificateSource::SelfSigned { directory, .. } => self_signed::leaf_paths(directory),
    }
}

fn digest(source: &CertificateSource) -> Result<[u8; 32], CertificateError> {
    let (certificate, key) = paths(source);
    Ok(PairFiles::read(&certificate, &key)?.digest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Copies a pair that was created at `made` into the directory.
    fn put_pair(directory: &Path, made: SystemTime) {
        let other = tempfile::tempdir().expect("a directory");
        self_signed::load_or_make(other.path(), &["localhost".to_owned()], made).expect("a certificate");
        for name in ["tls.crt", "tls.key"] {
            std::fs::copy(other.path().join(name), directory.join(name)).expect("a copy");
        }
    }

    fn files(directory: &Path) -> CertificateSource {
        let (certificate, key) = self_signed::leaf_paths(directory);
        CertificateSource::Files { certificate, key }
    }

    fn refused<T: std::fmt::Debug>(result: Result<Reloaded<T>, CertificateError>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn a_replaced_pair_is_taken_when_it_is_complete() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let now = SystemTime::now();
        put_pair(directory.path(), now);
        let mut watched = CertificateWatcher::open(files(directory.path()), now).expect("a pair");
        let first = watched.served().key.cert.clone();
        assert!(matches!(watched.scan(Scan::Quick, now), Ok(Reloaded::Unchanged)));
        let old_key = std::fs::read(path("tls.key")).expect("a key");
        put_pair(directory.path(), now);
        let new_key = std::fs::read(path("tls.key")).expect("a key");

        std::fs::write(path("tls.key"), old_key).expect("written later than its certificate");
        assert!(matches!(watched.scan(Scan::Quick, now), Ok(Reloaded::Unsettled)));
        for _ in 0..2 {
            assert!(refused(watched.scan(Scan::Quick, now)).contains("do not match"));
        }
        std::fs::remove_file(path("tls.key")).expect("removed");
        assert!(refused(watched.scan(Scan::Quick, now)).contains("tls.key\": No such file"));
        assert_eq!(watched.served().key.cert, first);

        std::fs::write(path("tls.key"), new_key).expect("a file");
        assert!(matches!(watched.scan(Scan::Quick, now), Ok(Reloaded::Unsettled)));
        assert!(matches!(watched.scan(Scan::Quick, now), Ok(Reloaded::Replaced(_))));
        assert_ne!(watched.served().key.cert, first);
        assert!(matches!(watched.scan(Scan::Full, now), Ok(Reloaded::Unchanged)));
        put_pair(directory.path(), now);
        assert!(matches!(watched.scan(Scan::Full, now), Ok(Reloaded::Replaced(_))), "no waiting when it is asked for");
    }

    #[test]
    fn an_expired_pair_never_replaces_a_good_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let now = SystemTime::now();
        put_pair(directory.path(), now);
        let mut watched = CertificateWatcher::open(files(directory.path()), now).expect("a pair");
        put_pair(directory.path(), now - 60 * DAY);
        assert!(refused(watched.scan(Scan::Full, now)).contains("tls.crt\": has expired already"));
        assert!(
            matches!(watched.scan(Scan::Full, now + 40 * DAY), Ok(Reloaded::Replaced(_))),
            "the old one has as well"
        );
    }

    #[test]
    fn replaced_authorities_are_taken_when_they_are_complete() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ca.crt");
        let ca = |name: &str| {
            let directory = directory.path().join(name);
            self_signed::load_or_make(&directory, &["localhost".to_owned()], SystemTime::now()).expect("an authority");
            std::fs::read(directory.join(self_signed::CA_CERTIFICATE)).expect("a file")
        };
        let (first, second) = (ca("first"), ca("second"));
        std::fs::write(&path, &first).expect("a file");
        let (mut watched, _) = AuthoritiesWatcher::open(path.clone()).expect("authorities");
        assert!(matches!(watched.scan(Scan::Quick), Ok(Reloaded::Unchanged)));
        std::fs::write(&path, [&first[..], &second].concat()).expect("a file");
        assert!(matches!(watched.scan(Scan::Quick), Ok(Reloaded::Unsettled)));
        assert!(matches!(watched.scan(Scan::Quick), Ok(Reloaded::Replaced(_))));
        std::fs::write(&path, &first[..first.len() / 2]).expect("half a file");
        assert!(matches!(watched.scan(Scan::Quick), Ok(Reloaded::Unsettled)));
        for _ in 0..2 {
            assert!(refused(watched.scan(Scan::Quick)).contains("ca.crt"));
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(refused(watched.scan(Scan::Full)).contains("No such file"));
        std::fs::write(&path, second).expect("a file");
        assert!(matches!(watched.scan(Scan::Full), Ok(Reloaded::Replaced(_))));
    }

    #[test]
    fn a_self_signed_certificate_is_replaced_when_it_is_missing_or_expires_soon() {
        let directory = tempfile::tempdir().expect("a directory");
        let source = CertificateSource::SelfSigned {
            directory: directory.path().join("d"),
            hosts: vec!["localhost".to_owned()],
        };
        let now = SystemTime::now();
        let mut watched = CertificateWatcher::open(source, now).expect("a certificate");
        assert!(matches!(watched.scan(Scan::Quick, now), Ok(Reloaded::Unchanged)));
        watched.checked -= RENEWAL;
        assert!(matches!(watched.scan(Scan::Quick, now), Ok(Reloaded::Unchanged)), "still good");
        watched.checked -= RENEWAL;
        std::fs::rename(directory.path().join("d"), directory.path().join("away")).expect("moved");
        std::fs::write(directory.path().join("d"), "in the way").expect("a file");
        for _ in 0..2 {
            assert!(refused(watched.scan(Scan::Quick, now)).contains("d\": "), "for as long as it lasts");
        }
        std::fs::remove_file(directory.path().join("d")).expect("removed");
        std::fs::rename(directory.path().join("away"), directory.path().join("d")).expect("moved back");
        assert!(matches!(watched.scan(Scan::Quick, now + 30 * DAY), Ok(Reloaded::Replaced(_))), "about to expire");
        std::fs::remove_dir_all(directory.path().join("d")).expect("removed");
        assert!(matches!(watched.scan(Scan::Quick, now), Ok(Reloaded::Replaced(_))));
        assert!(matches!(watched.scan(Scan::Quick, now), Ok(Reloaded::Unchanged)));
    }
}
