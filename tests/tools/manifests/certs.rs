//! The development script in `certs/` creates a certificate that the program serves, and keys that
//! nobody else can read.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::SystemTime;

use outrigger::tls::CertificateSource;

use super::{read, render, repository};

tests! {
    the_script_creates_a_certificate_that_the_server_accepts,
    without_a_name_the_script_prints_its_usage,
    the_script_refuses_an_invalid_name,
    no_key_is_committed,
}

fn the_script_creates_a_certificate_that_the_server_accepts() {
    // The script calls openssl.
    render::program("openssl");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let folder = folder.path().join("certs");
    // An existing key with mode 0644 must not pass its mode on.
    std::fs::create_dir(&folder).expect("a directory");
    std::fs::write(folder.join("tls.key"), "").expect("a file");
    std::fs::set_permissions(folder.join("tls.key"), Permissions::from_mode(0o644)).expect("a file's mode");
    let mut script = Command::new("sh");
    script.arg(repository("certs/dev.sh")).arg(&folder).args(["outrigger.outrigger-system.svc", "127.0.0.1", "::1"]);
    let output = script.output().expect("sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let source = CertificateSource::Files { certificate: folder.join("tls.pem"), key: folder.join("tls.key") };
    source.load(SystemTime::now()).expect("the program serves the pair");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the directory") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{} is readable by others", entry.path().display());
        files.push(entry.file_name().to_string_lossy().into_owned());
    }
    files.sort();
    assert_eq!(files, ["ca.key", "ca.pem", "tls.key", "tls.pem"], "nothing else is left");
    let pem = std::fs::read(folder.join("tls.pem")).expect("the certificate");
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).expect("PEM");
    let certificate = pem.parse_x509().expect("a certificate");
    let names = certificate.subject_alternative_name().expect("an extension").expect("names");
    let names: Vec<String> = names.value.general_names.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names[0].contains("outrigger.outrigger-system.svc"), "{names:?}");
}

fn without_a_name_the_script_prints_its_usage() {
    let output = Command::new("sh").arg(repository("certs/dev.sh")).arg("x").output().expect("sh runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: certs/dev.sh DIRECTORY NAME"));
}

/// A name becomes part of openssl's configuration syntax, in which a comma begins another name.
fn the_script_refuses_an_invalid_name() {
    for name in ["a b", "a,IP:192.0.2.1", ""] {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut script = Command::new("sh");
        let output = script.arg(repository("certs/dev.sh")).arg(folder.path()).arg(name).output().expect("sh runs");
        assert_eq!(output.status.code(), Some(2), "{name:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said, format!("error: '{name}': expected a DNS name or an IP address\n"));
    }
}

/// Files of the script and of `serve --dev` cannot be committed by accident.
fn no_key_is_committed() {
    let ignored = read(".gitignore");
    for pattern in ["*.key", "*.pem", ".outrigger/"] {
        assert!(ignored.lines().any(|line| line == pattern), "{pattern}");
    }
}
