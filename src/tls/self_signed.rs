//! Creates a certificate authority and a certificate for `--dev`, and keeps them in a directory.
//!
//! It is for development, not for a cluster: everyone who can read the directory can sign with the
//! authority.
//! Invariants: only their owner can read the keys, from the first byte on; a file is complete or
//! absent; a certificate that does not match, expires soon or lacks a host is replaced, and the
//! authority only if it is unusable itself.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::files::{self, KEY};
use super::{CertificateError, ServingCertificate};
use crate::pki::{Authority, AuthorityKind, Certificate, covers, is_for};

const DAY: Duration = Duration::from_secs(24 * 3600);
const CA_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
const LEAF_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Names of the files.
pub const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const LEAF_CERTIFICATE: &str = "tls.crt";
const LEAF_KEY: &str = "tls.key";
/// The sample review that `--dev` writes next to them.
pub const SAMPLE: &str = "review.json";
const GIT_IGNORE: &str = ".gitignore";

/// Loads the certificate in the directory if it stays valid for a day and covers all of `hosts`;
/// otherwise creates one.
pub fn load_or_make(
    directory: &Path,
    hosts: &[String],
    now: SystemTime,
) -> Result<ServingCertificate, CertificateError> {
    let store = Directory::open(directory)?;
    match store.stored_leaf(hosts, now) {
        Some(certificate) => Ok(certificate),
        None => store.make_leaf(hosts, now),
    }
}

/// Paths of the certificate and its key in the directory.
pub fn leaf_paths(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.join(LEAF_CERTIFICATE), directory.join(LEAF_KEY))
}

/// The directory and its files, locked against other processes.
struct Directory<'p> {
    path: &'p Path,
    _lock: File,
}

impl<'p> Directory<'p> {
    /// Creates the directory if needed, locks it, and excludes it from git.
    fn open(path: &'p Path) -> Result<Self, CertificateError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        // Two servers starting in one directory would mix their files.
        let locked = made.and_then(|()| File::open(path)).and_then(|lock| lock.lock().map(|()| lock));
        let lock = locked.map_err(|error| CertificateError::Io { what: "directory", path: path.to_owned(), error })?;
        let directory = Self { path, _lock: lock };
        if !directory.path(GIT_IGNORE).exists() {
            let names = [CA_CERTIFICATE, CA_KEY, LEAF_CERTIFICATE, LEAF_KEY, SAMPLE, GIT_IGNORE].join("\n/");
            directory.write(GIT_IGNORE, &format!("/{names}\n"), 0o644)?;
        }
        for key in [CA_KEY, LEAF_KEY] {
            directory.keep_from_others(key)?;
        }
        Ok(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Restricts a key to its owner. Others may have read it already: if that matters, the
    /// directory has to be removed.
    fn keep_from_others(&self, name: &str) -> Result<(), CertificateError> {
        let path = self.path(name);
        let Ok(mode) = std::fs::metadata(&path).map(|file| file.permissions().mode()) else { return Ok(()) };
        if mode & 0o077 == 0 {
            return Ok(());
        }
        tracing::warn!(?path, mode = format!("{:o}", mode & 0o777), "others could read this key; its mode is now 600");
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(|error| CertificateError::Io {
            what: KEY,
            path,
            error,
        })
    }

    /// Any problem with the stored files, a missing file included, only means that they are created
    /// again.
    fn stored_leaf(&self, hosts: &[String], now: SystemTime) -> Option<ServingCertificate> {
        let ca = files::read_chain(&self.path(CA_CERTIFICATE)).ok()?.into_iter().next()?;
        let ca = Certificate::from_der(ca)?;
        let certificate = files::load(&self.path(LEAF_CERTIFICATE), &self.path(LEAF_KEY)).ok()?;
        let chain = &certificate.key.cert;
        let is_good =
            [now, now + DAY].into_iter().all(|time| covers([&ca], chain, time)) && is_for(chain.first()?, hosts);
        is_good.then_some(ServingCertificate { ca_validity: Some(ca.validity), ..certificate })
    }

    fn make_leaf(&self, hosts: &[String], now: SystemTime) -> Result<ServingCertificate, CertificateError> {
        let ca = match self.stored_ca(now) {
            Some(ca) => ca,
            None => self.make_ca(now)?,
        };
        let leaf = ca.issue(hosts, now, LEAF_LIFE)?;
        self.write(LEAF_KEY, &leaf.key, 0o600)?;
        self.write(LEAF_CERTIFICATE, &leaf.certificate, 0o644)?;
        // Read back, so that the server serves what the next start will find.
        let certificate = files::load(&self.path(LEAF_CERTIFICATE), &self.path(LEAF_KEY))?;
        Ok(ServingCertificate { ca_validity: Some(ca.certificate().validity), ..certificate })
    }

    /// The stored authority, if it outlives a certificate made now.
    fn stored_ca(&self, now: SystemTime) -> Option<Authority> {
        let read = |name: &str| std::fs::read(self.path(name)).ok();
        let ca = Authority::from_pem(&read(CA_CERTIFICATE)?, &read(CA_KEY)?)?;
        (ca.certificate().validity.not_after >= now + LEAF_LIFE).then_some(ca)
    }

    fn make_ca(&self, now: SystemTime) -> Result<Authority, CertificateError> {
        let ca = Authority::make(AuthorityKind::Development, now, CA_LIFE)?;
        let pem = ca.to_pem();
        self.write(CA_KEY, &pem.key, 0o600)?;
        self.write(CA_CERTIFICATE, &pem.certificate, 0o644)?;
        Ok(ca)
    }

    /// Writes a temporary file and renames it, so that no reader sees half of it. The file has
    /// `mode` before its first byte is written.
    fn write(&self, name: &str, text: &str, mode: u32) -> Result<(), CertificateError> {
        let path = self.path(name);
        let beside = self.path(&format!("{name}.{}.new", std::process::id()));
        let written = write_new(&beside, text, mode).and_then(|()| std::fs::rename(&beside, &path));
        written.map_err(|error| CertificateError::Io { what: "file", path, error })
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    remove_if_present(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Removes what an interrupted start left behind.
fn remove_if_present(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::BACKDATE;

    fn hosts(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn load(directory: &Path, names: &[&str], now: SystemTime) -> (Vec<u8>, Vec<u8>) {
        let certificate = load_or_make(directory, &hosts(names), now).expect("a certificate");
        let ca = std::fs::read(directory.join(CA_CERTIFICATE)).expect("an authority");
        (certificate.key.end_entity_cert().expect("a leaf").to_vec(), ca)
    }

    #[test]
    fn a_good_certificate_is_reused() {
        let directory = tempfile::tempdir().expect("a directory");
        let now = SystemTime::now();
        let first = load(directory.path(), &["localhost", "127.0.0.1", "::1"], now);
        assert_eq!(first, load(directory.path(), &["localhost", "127.0.0.1", "::1"], now + 20 * DAY));
        assert_eq!(first, load(directory.path(), &["127.0.0.1"], now), "fewer hosts need no new certificate");
    }

    #[test]
    fn a_new_certificate_keeps_the_authority() {
        let directory = tempfile::tempdir().expect("a directory");
        let now = SystemTime::now();
        let (leaf, ca) = load(directory.path(), &["localhost"], now);
        let another_host = load(directory.path(), &["localhost", "web.local"], now);
        assert!(another_host.0 != leaf && another_host.1 == ca);
        let nearly_expired = load(directory.path(), &["localhost"], now + LEAF_LIFE - DAY / 2);
        assert!(nearly_expired.0 != another_host.0 && nearly_expired.1 == ca);
        std::fs::copy(directory.path().join(CA_KEY), directory.path().join(LEAF_KEY))
            .expect("a key that does not match");
        let mismatched = load(directory.path(), &["localhost"], now);
        assert!(mismatched.0 != nearly_expired.0 && mismatched.1 == ca);
    }

    #[test]
    fn a_new_authority_when_the_old_one_is_no_good() {
        let directory = tempfile::tempdir().expect("a directory");
        let now = SystemTime::now();
        let first = load(directory.path(), &["localhost"], now);
        let later = load(directory.path(), &["localhost"], now + CA_LIFE - DAY);
        assert!(later.0 != first.0 && later.1 != first.1);
        std::fs::write(directory.path().join(CA_CERTIFICATE), "no PEM").expect("a file");
        let mended = load(directory.path(), &["localhost"], now);
        assert!(mended.0 != later.0 && mended.1 != later.1);
    }

    #[test]
    fn validity_is_bounded_and_a_client_accepts_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let now = SystemTime::now();
        let certificate = load_or_make(directory.path(), &hosts(&["localhost", "::1"]), now).expect("a certificate");
        let seconds = |time: SystemTime| time.duration_since(now).expect("in the future").as_secs();
        assert!(seconds(certificate.validity.not_after).abs_diff(LEAF_LIFE.as_secs()) < 2);
        assert!(seconds(certificate.ca_validity.expect("ours").not_after).abs_diff(CA_LIFE.as_secs()) < 2);
        let ca = files::read_chain(&directory.path().join(CA_CERTIFICATE)).expect("an authority").remove(0);
        let ca = Certificate::from_der(ca).expect("an authority");
        let chain = &certificate.key.cert;
        let good = |host: &str, time| covers([&ca], chain, time) && is_for(&chain[0], &hosts(&[host]));
        assert!(good("localhost", now) && good("::1", now) && good("localhost", now - BACKDATE / 2));
        assert!(
            !good("example.com", now)
                && !good("localhost", now - 2 * BACKDATE)
                && !good("localhost", now + LEAF_LIFE + DAY)
        );
    }

    #[test]
    fn keys_that_others_can_read_are_taken_from_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let now = SystemTime::now();
        let first = load(directory.path(), &["localhost"], now);
        for name in [CA_KEY, LEAF_KEY] {
            std::fs::set_permissions(directory.path().join(name), Permissions::from_mode(0o644)).expect("a mode");
        }
        assert_eq!(first, load(directory.path(), &["localhost"], now));
        for name in [CA_KEY, LEAF_KEY] {
            let mode = std::fs::metadata(directory.path().join(name)).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn servers_that_start_together_share_one_certificate() {
        let directory = tempfile::tempdir().expect("a directory");
        let now = SystemTime::now();
        let found: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| load(directory.path(), &["localhost"], now))).collect();
            starts.into_iter().map(|start| start.join().expect("no panic")).collect()
        });
        assert!(found.iter().all(|one| *one == found[0]));
    }

    #[test]
    fn the_error_for_a_file_in_place_of_the_directory_gives_its_cause_once() {
        let parent = tempfile::tempdir().expect("a directory");
        let file = parent.path().join("file");
        std::fs::write(&file, "").expect("a file");
        let error = load_or_make(&file, &hosts(&["localhost"]), SystemTime::now()).expect_err("no directory");
        assert!(std::error::Error::source(&error).is_none() && error.to_string().contains("file\": "), "{error}");
    }

    #[test]
    fn keys_are_readable_by_their_owner_only_and_ignored_by_git() {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = parent.path().join("nested/.outrigger");
        load(&directory, &["localhost"], SystemTime::now());
        let mode = |name: &str| std::fs::metadata(directory.join(name)).expect("a file").permissions().mode() & 0o777;
        assert_eq!((mode(CA_KEY), mode(LEAF_KEY), mode("")), (0o600, 0o600, 0o700));
        let ignored = std::fs::read_to_string(directory.join(GIT_IGNORE)).expect("a file");
        assert_eq!(ignored, "/ca.crt\n/ca.key\n/tls.crt\n/tls.key\n/review.json\n/.gitignore\n");
        let mut names: Vec<String> = std::fs::read_dir(&directory)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, [".gitignore", "ca.crt", "ca.key", "tls.crt", "tls.key"]);
    }
}
