//! Certificates: `--dev` creates and reuses a certificate, and invalid pairs are refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use outrigger::tls::CertificateSource;
use pretty_assertions::assert_eq;

use crate::support::Process;

/// Creates a pair like `--dev`; returns its directory.
fn made() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let source =
        CertificateSource::SelfSigned { directory: directory.path().to_owned(), hosts: vec!["localhost".to_owned()] };
    source.load(SystemTime::now()).expect("a certificate");
    directory
}

fn load(certificate: &Path, key: &Path) -> Result<(), String> {
    let source = CertificateSource::Files { certificate: certificate.to_owned(), key: key.to_owned() };
    source.load(SystemTime::now()).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_matching_certificate_and_key_are_served() {
    let made = made();
    assert_eq!(load(&made.path().join("tls.crt"), &made.path().join("tls.key")), Ok(()));
}

#[test]
fn a_bad_certificate_or_key_is_refused_with_the_name_of_its_file() {
    let (made, other) = (made(), made());
    let path = |name: &str| made.path().join(name);
    let (certificate, key) = (path("tls.crt"), path("tls.key"));
    std::fs::write(path("empty"), "").expect("a file");
    std::fs::write(path("broken"), "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").expect("a file");
    std::fs::write(path("garbage"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("a file");
    let cases = [
        (path("missing"), key.clone(), "missing", "No such file"),
        (certificate.clone(), path("missing"), "missing", "No such file"),
        (path("empty"), key.clone(), "empty", "has no certificate in PEM"),
        (key.clone(), key.clone(), "tls.key", "has no certificate in PEM"),
        (certificate.clone(), path("empty"), "empty", "has no private key in PEM"),
        (certificate.clone(), certificate.clone(), "tls.crt", "has no private key in PEM"),
        (path("broken"), key.clone(), "broken", "is not PEM"),
        (path("garbage"), key, "garbage", "the certificate cannot be read"),
        (certificate, other.path().join("tls.key"), "tls.key", "do not match"),
    ];
    for (certificate, key, name, expected) in cases {
        let error = load(&certificate, &key).expect_err(expected);
        assert!(error.contains(name) && error.contains(expected) && error.lines().count() == 1, "{expected}: {error}");
    }
}

#[test]
fn errors_never_contain_a_key() {
    let made = made();
    let path = made.path().join("secret.key");
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LXZhbHVl\n-----END PRIVATE KEY-----\n")
        .expect("a file");
    let error = load(&made.path().join("tls.crt"), &path).expect_err("no key");
    assert!(error.contains("secret.key") && !error.contains("c2VjcmV0") && !error.contains("secret-value"), "{error}");
}

#[test]
fn dev_mode_reuses_its_authority_and_certificate() {
    let directory = tempfile::tempdir().expect("a directory");
    let start = |arguments: &[&str]| {
        let common = ["serve", "--dev", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
        let mut process = Process::start(directory.path(), &[&common, arguments].concat());
        process.wait_for_log("ready");
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
        ["ca.crt", "ca.key", "tls.crt", "tls.key"]
            .map(|name| std::fs::read(directory.path().join(".outrigger").join(name)).expect(name))
    };
    let first = start(&[]);
    assert_eq!(first, start(&[]), "still good, so used again");
    let [ca, ca_key, certificate, key] = start(&["--dev-host=outrigger.example"]);
    assert!(
        ca == first[0] && ca_key == first[1] && certificate != first[2] && key != first[3],
        "a new host needs a new certificate"
    );
    let mode = |name: &str| {
        let metadata = std::fs::metadata(directory.path().join(".outrigger").join(name)).expect(name);
        format!("{:o}", metadata.permissions().mode() & 0o777)
    };
    assert_eq!((mode(""), mode("ca.key"), mode("tls.key")), ("700".into(), "600".into(), "600".into()));
    let ignored = std::fs::read_to_string(directory.path().join(".outrigger/.gitignore")).expect("a file");
    assert_eq!(ignored, "/ca.crt\n/ca.key\n/tls.crt\n/tls.key\n/review.json\n/.gitignore\n");
}
