//! A certificate, and the authorities of clients, over time: whether their files hold others now, told by content.
//!
//! It watches nothing by itself: somebody calls [`WatchedCertificate::look`] and [`WatchedAuthorities::look`].
//! Invariants: what is not a pair, or has expired, never takes the place of a good one; a change is taken only when two looks
//! in a row have found the same, so that a file that is being written is not taken for a whole one.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::client_auth::Authorities;
use super::files::{self, CERTIFICATE, Pair};
use super::{CertificateError, CertificateSource, ServingCertificate, self_signed};
use crate::reload::watch::Look;

/// A certificate of our own is looked at so often whether it is about to expire, which does not show in its file.
const RENEWAL: Duration = Duration::from_secs(60);

/// The source of the certificate that is served, and what is known of it.
pub struct WatchedCertificate {
    source: CertificateSource,
    served: ServingCertificate,
    /// Of the files that `served` was read from; `None` when that is not known.
    digest: Option<[u8; 32]>,
    /// What the last look has found, if it was another pair.
    found: Option<[u8; 32]>,
    checked: Instant,
}

/// What a look has shown.
#[derive(Debug)]
pub enum Seen<T> {
    Unchanged,
    /// Something is changing: look again soon.
    Unsettled,
    Replaced(T),
    /// What the files hold now cannot be used; what was used before goes on.
    Refused(CertificateError),
}

impl WatchedCertificate {
    /// The certificate as it is now; makes it where that is ours to do.
    pub fn open(source: CertificateSource, now: SystemTime) -> Result<Self, CertificateError> {
        // Read before the certificate is: what changes in between is found at the next look.
        let before = digest(&source).ok();
        let served = source.load(now)?;
        let digest = digest(&source).ok().filter(|after| before.is_none_or(|before| before == *after));
        Ok(Self { source, served, digest, found: None, checked: Instant::now() })
    }

    /// What is to be served now.
    pub fn served(&self) -> &ServingCertificate {
        &self.served
    }

    pub fn look(&mut self, look: Look, now: SystemTime) -> Seen<ServingCertificate> {
        let read = digest(&self.source);
        let is_same = read.as_ref().ok().is_some_and(|found| self.digest == Some(*found));
        let is_renewal_due = self.is_ours() && self.checked.elapsed() >= RENEWAL;
        if is_same && !is_renewal_due {
            self.found = None;
            return Seen::Unchanged;
        }
        match read {
            Err(error) if !self.is_ours() => {
                self.found = None;
                Seen::Refused(error)
            }
            Ok(found) if !is_same && look == Look::Glance && self.found != Some(found) => {
                self.found = Some(found);
                Seen::Unsettled
            }
            _ => self.load(now),
        }
    }

    fn is_ours(&self) -> bool {
        matches!(self.source, CertificateSource::SelfSigned { .. })
    }

    fn load(&mut self, now: SystemTime) -> Seen<ServingCertificate> {
        match self.load_checked(now) {
            Ok((certificate, digest)) => {
                self.checked = Instant::now();
                self.take(certificate, digest)
            }
            Err(error) => Seen::Refused(error),
        }
    }

    fn load_checked(&self, now: SystemTime) -> Result<(ServingCertificate, Option<[u8; 32]>), CertificateError> {
        let (certificate, digest) = match &self.source {
            CertificateSource::Files { certificate, key } => {
                let pair = Pair::read(certificate, key)?;
                (pair.parse()?, Some(pair.digest()))
            }
            source @ CertificateSource::SelfSigned { .. } => (source.load(now)?, digest(source).ok()),
        };
        if certificate.expires <= now && self.served.expires > now {
            let (path, _) = paths(&self.source);
            return Err(files::content(CERTIFICATE, &path, "has expired already".to_owned()));
        }
        Ok((certificate, digest))
    }

    fn take(&mut self, certificate: ServingCertificate, digest: Option<[u8; 32]>) -> Seen<ServingCertificate> {
        let is_same_leaf = certificate.key.cert == self.served.key.cert;
        (self.digest, self.found) = (digest, None);
        // Our own is read again now and then; of somebody else's, a replaced file is a rotation whatever it holds.
        if self.is_ours() && is_same_leaf {
            return Seen::Unchanged;
        }
        self.served = certificate.clone();
        Seen::Replaced(certificate)
    }
}

/// The file of the authorities that decide, and what is known of it.
pub struct WatchedAuthorities {
    path: PathBuf,
    text: Vec<u8>,
    /// What the last look has found, if it was another text.
    found: Option<Vec<u8>>,
}

impl WatchedAuthorities {
    pub fn open(path: PathBuf) -> Result<(Self, Authorities), CertificateError> {
        let text = Authorities::read(&path)?;
        let authorities = Authorities::parse(&path, &text)?;
        Ok((Self { path, text, found: None }, authorities))
    }

    pub fn look(&mut self, look: Look) -> Seen<Authorities> {
        let text = match Authorities::read(&self.path) {
            Ok(text) => text,
            Err(error) => return Seen::Refused(error),
        };
        if text == self.text {
            self.found = None;
            return Seen::Unchanged;
        }
        if look == Look::Glance && self.found.as_ref() != Some(&text) {
            self.found = Some(text);
            return Seen::Unsettled;
        }
        match Authorities::parse(&self.path, &text) {
            Ok(authorities) => {
                (self.text, self.found) = (text, None);
                Seen::Replaced(authorities)
            }
            Err(error) => Seen::Refused(error),
        }
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
    Ok(Pair::read(&certificate, &key)?.digest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// A pair that was made at `made`, copied to where another one may stand.
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

    fn refused<T: std::fmt::Debug>(seen: Seen<T>) -> String {
        match seen {
            Seen::Refused(error) => error.to_string(),
            seen => panic!("expected a refusal, got {seen:?}"),
        }
    }

    #[test]
    fn a_replaced_pair_is_taken_when_it_is_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let now = SystemTime::now();
        put_pair(directory.path(), now);
        let mut watched = WatchedCertificate::open(files(directory.path()), now).expect("a pair");
        let first = watched.served().key.cert.clone();
        assert!(matches!(watched.look(Look::Glance, now), Seen::Unchanged));
        let old_key = std::fs::read(path("tls.key")).expect("a key");
        put_pair(directory.path(), now);
        let new_key = std::fs::read(path("tls.key")).expect("a key");

        std::fs::write(path("tls.key"), old_key).expect("written later than its certificate");
        assert!(matches!(watched.look(Look::Glance, now), Seen::Unsettled));
        for _ in 0..2 {
            assert!(refused(watched.look(Look::Glance, now)).contains("do not belong together"));
        }
        std::fs::remove_file(path("tls.key")).expect("removed");
        assert!(refused(watched.look(Look::Glance, now)).contains("tls.key\": No such file"));
        assert_eq!(watched.served().key.cert, first);

        std::fs::write(path("tls.key"), new_key).expect("a file");
        assert!(matches!(watched.look(Look::Glance, now), Seen::Unsettled));
        assert!(matches!(watched.look(Look::Glance, now), Seen::Replaced(_)));
        assert_ne!(watched.served().key.cert, first);
        assert!(matches!(watched.look(Look::Thorough, now), Seen::Unchanged));
        put_pair(directory.path(), now);
        assert!(matches!(watched.look(Look::Thorough, now), Seen::Replaced(_)), "no waiting when it is asked for");
    }

    #[test]
    fn an_expired_pair_never_replaces_a_good_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let now = SystemTime::now();
        put_pair(directory.path(), now);
        let mut watched = WatchedCertificate::open(files(directory.path()), now).expect("a pair");
        put_pair(directory.path(), now - 60 * DAY);
        assert!(refused(watched.look(Look::Thorough, now)).contains("tls.crt\": has expired already"));
        assert!(matches!(watched.look(Look::Thorough, now + 40 * DAY), Seen::Replaced(_)), "the old one has as well");
    }

    #[test]
    fn authorities_are_taken_when_they_are_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ca.crt");
        let ca = |name: &str| {
            let directory = directory.path().join(name);
            self_signed::load_or_make(&directory, &["localhost".to_owned()], SystemTime::now()).expect("an authority");
            std::fs::read(directory.join(self_signed::CA_CERTIFICATE)).expect("a file")
        };
        let (first, second) = (ca("first"), ca("second"));
        std::fs::write(&path, &first).expect("a file");
        let (mut watched, _) = WatchedAuthorities::open(path.clone()).expect("authorities");
        assert!(matches!(watched.look(Look::Glance), Seen::Unchanged));
        std::fs::write(&path, [&first[..], &second].concat()).expect("a file");
        assert!(matches!(watched.look(Look::Glance), Seen::Unsettled));
        assert!(matches!(watched.look(Look::Glance), Seen::Replaced(_)));
        std::fs::write(&path, &first[..first.len() / 2]).expect("half a file");
        assert!(matches!(watched.look(Look::Glance), Seen::Unsettled));
        for _ in 0..2 {
            assert!(refused(watched.look(Look::Glance)).contains("ca.crt"));
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(refused(watched.look(Look::Thorough)).contains("No such file"));
        std::fs::write(&path, second).expect("a file");
        assert!(matches!(watched.look(Look::Thorough), Seen::Replaced(_)));
    }

    #[test]
    fn our_own_is_made_anew_when_it_is_gone_or_about_to_expire() {
        let directory = tempfile::tempdir().expect("a directory");
        let source = CertificateSource::SelfSigned {
            directory: directory.path().join("d"),
            hosts: vec!["localhost".to_owned()],
        };
        let now = SystemTime::now();
        let mut watched = WatchedCertificate::open(source, now).expect("a certificate");
        assert!(matches!(watched.look(Look::Glance, now), Seen::Unchanged));
        watched.checked -= RENEWAL;
        assert!(matches!(watched.look(Look::Glance, now), Seen::Unchanged), "still good");
        watched.checked -= RENEWAL;
        std::fs::rename(directory.path().join("d"), directory.path().join("away")).expect("moved");
        std::fs::write(directory.path().join("d"), "in the way").expect("a file");
        for _ in 0..2 {
            assert!(refused(watched.look(Look::Glance, now)).contains("d\": "), "for as long as it lasts");
        }
        std::fs::remove_file(directory.path().join("d")).expect("removed");
        std::fs::rename(directory.path().join("away"), directory.path().join("d")).expect("moved back");
        assert!(matches!(watched.look(Look::Glance, now + 30 * DAY), Seen::Replaced(_)), "about to expire");
        std::fs::remove_dir_all(directory.path().join("d")).expect("removed");
        assert!(matches!(watched.look(Look::Glance, now), Seen::Replaced(_)));
        assert!(matches!(watched.look(Look::Glance, now), Seen::Unchanged));
    }
}
