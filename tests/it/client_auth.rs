//! Client authentication: only clients with a certificate of given authorities, and a given name,
//! can connect.

use std::io;
use std::sync::Arc;

use outrigger::config::TlsVersion;
use outrigger::tls::client_auth::{Authorities, ClientCheck};
use pretty_assertions::assert_eq;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Client, Process, ServerBuilder, TestServer, eventually, pod, review};

/// An authority for clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "front-proxy-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn file(&self) -> (TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("client-ca.crt");
        std::fs::write(&path, &self.pem).expect("a file");
        (directory, path)
    }

    fn authorities(&self) -> Authorities {
        Authorities::load(&self.file().1).expect("an authority")
    }

    fn check(&self, names: &[&str]) -> Arc<ClientCheck> {
        Arc::new(ClientCheck::new(self.authorities(), names.iter().map(ToString::to_string).collect()))
    }

    /// A client's certificate and key.
    fn identity(
        &self,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
        (certificate.der().clone(), key)
    }

    fn common_name(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        self.identity(|params| params.distinguished_name.push(DnType::CommonName, name))
    }
}

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn client_config(
    ca: &[u8],
    identity: Option<Identity>,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca).expect("a certificate")).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots);
    Arc::new(match identity {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).expect("a pair"),
        None => builder.with_no_client_auth(),
    })
}

/// The status of an answer, or why there is none.
fn call(server: &TestServer, config: Arc<ClientConfig>) -> io::Result<u16> {
    let mut client = Client::connect(server.webhook, config)?;
    let body = review(&pod(&json!({}))).to_string();
    let head = "POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ";
    client.send(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes())?;
    client.receive().map(|response| response.status)
}

/// The alert that a client is refused with.
fn refusal(server: &TestServer, config: Arc<ClientConfig>) -> String {
    call(server, config).expect_err("a refusal").to_string()
}

#[test]
fn only_clients_with_a_certificate_of_the_authority_can_connect() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = ServerBuilder::default().oldest_tls(TlsVersion::V1_2).clients(ours.check(&[])).start();
    for version in [&TLS13, &TLS12] {
        let config = |identity| client_config(&server.ca_pem, identity, version);
        assert_eq!(call(&server, config(Some(ours.common_name("anybody")))).expect("an answer"), 200);
        let alert = refusal(&server, config(None));
        assert!(alert.contains("CertificateRequired") || alert.contains("HandshakeFailure"), "{alert}");
        let alert = refusal(&server, config(Some(theirs.common_name("anybody"))));
        assert!(alert.contains("UnknownCA") || alert.contains("DecryptError"), "{alert}");
        let expired = ours.identity(|params| {
            params.distinguished_name.push(DnType::CommonName, "anybody");
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 1, 2));
        });
        assert!(refusal(&server, config(Some(expired))).contains("CertificateExpired"));
        let serving = ours.identity(|params| {
            params.distinguished_name.push(DnType::CommonName, "anybody");
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        assert!(call(&server, config(Some(serving))).is_err(), "a server's certificate is no client's");
    }
    assert_eq!(server.metric("outrigger_admission_request_duration_seconds_count"), 2, "no other client was served");
    server.expect_nothing_left();
}

#[test]
fn only_clients_with_a_listed_name_can_connect() {
    let authority = Authority::new();
    let check = authority.check(&["kube-apiserver", "spiffe://cluster.local/apiserver"]);
    let server = ServerBuilder::default().clients(check).start();
    let alternative = |name: SanType| {
        authority.identity(|params| {
            params.distinguished_name.push(DnType::CommonName, "something else");
            params.subject_alt_names = vec![name];
        })
    };
    let dns = |name: &str| alternative(SanType::DnsName(name.try_into().expect("a name")));
    let uri = |name: &str| alternative(SanType::URI(name.try_into().expect("a name")));
    let good =
        [authority.common_name("kube-apiserver"), dns("kube-apiserver"), uri("spiffe://cluster.local/apiserver")];
    for identity in good {
        assert_eq!(call(&server, client_config(&server.ca_pem, Some(identity), &TLS13)).expect("an answer"), 200);
    }
    let bad = [
        authority.common_name("kube-apiserver "),
        authority.common_name("Kube-APIserver"),
        authority.common_name("evil/kube-apiserver"),
        dns("a.kube-apiserver"),
        uri("spiffe://cluster.local/apiserver/x"),
        alternative(SanType::Rfc822Name("kube-apiserver".try_into().expect("a name"))),
        authority.identity(|params| params.distinguished_name.push(DnType::OrganizationName, "kube-apiserver")),
    ];
    for identity in bad {
        let alert = refusal(&server, client_config(&server.ca_pem, Some(identity), &TLS13));
        assert!(alert.contains("CertificateUnknown"), "{alert}");
    }
}

/// A resumed session does not outlive its authority; open connections stay open.
#[test]
fn replaced_authorities_hold_for_new_connections_and_resumed_sessions() {
    let (old, new) = (Authority::new(), Authority::new());
    let check = old.check(&[]);
    let server = ServerBuilder::default().clients(Arc::clone(&check)).start();
    let config = client_config(&server.ca_pem, Some(old.common_name("anybody")), &TLS13);
    let mut kept = Client::connect(server.webhook, Arc::clone(&config)).expect("a connection");
    let body = review(&pod(&json!({}))).to_string();
    assert_eq!(kept.post(body.as_bytes()).status, 200);
    // The same configuration remembers sessions, if there are any to remember.
    assert_eq!(call(&server, Arc::clone(&config)).expect("an answer"), 200);
    check.replace(new.authorities());
    assert!(call(&server, config).is_err());
    assert_eq!(
        call(&server, client_config(&server.ca_pem, Some(new.common_name("x")), &TLS13)).expect("an answer"),
        200
    );
    assert_eq!(kept.post(body.as_bytes()).status, 200, "connections stay as they are");
}

#[test]
fn refused_clients_are_logged_once_with_the_reason() {
    let authority = Authority::new();
    let (directory, _) = authority.file();
    for version in ["1.3", "1.2"] {
        let oldest = format!("--tls-min-version={version}");
        let arguments =
            ["serve", "--dev", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--log-level=debug", &oldest];
        let clients = ["--client-ca=client-ca.crt", "--client-name=kube-apiserver"];
        let process = Process::start(directory.path(), &[&arguments[..], &clients].concat());
        process.wait_for_log(" ready");
        assert!(!process.stderr().contains("does not respond to its own test request"), "{}", process.stderr());
        let ca = std::fs::read(directory.path().join(".outrigger/ca.crt")).expect("an authority");
        let connect = |identity| {
            let mut client =
                Client::connect(process.address("webhook"), client_config(&ca, Some(identity), &TLS13)).expect("TLS");
            client.send(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| client.receive()).map(|response| response.status)
        };
        assert_eq!(connect(authority.common_name("kube-apiserver")).expect("an answer"), 404);
        for _ in 0..3 {
            assert!(connect(authority.common_name("somebody")).is_err());
        }
        process.wait_for_log("refused a client's certificate");
        let log = process.stderr();
        let reason = "the certificate is for \\\"somebody\\\", expected \\\"kube-apiserver\\\"";
        assert!(log.contains(reason), "{log}");
        assert_eq!(log.matches("WARN refused a client's certificate").count(), 1, "{log}");
    }
}

#[test]
fn client_authorities_are_reloaded_and_the_last_good_ones_are_kept() {
    let (old, new) = (Authority::new(), Authority::new());
    let (directory, path) = old.file();
    let arguments = ["serve", "--dev", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
    let process = Process::start(directory.path(), &[&arguments[..], &["--client-ca=client-ca.crt"]].concat());
    process.wait_for_log(" ready");
    let ca = std::fs::read(directory.path().join(".outrigger/ca.crt")).expect("an authority");
    let gets_in = |authority: &Authority| {
        let config = client_config(&ca, Some(authority.common_name("anybody")), &TLS13);
        let answer = Client::connect(process.address("webhook"), config)
            .and_then(|mut client| client.send(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| client.receive()));
        answer.is_ok_and(|response| response.status == 404)
    };
    assert!(gets_in(&old) && !gets_in(&new));
    std::fs::write(&path, &new.pem).expect("a file");
    eventually("the new authority", || gets_in(&new));
    assert!(!gets_in(&old));
    std::fs::write(&path, "no PEM").expect("a file");
    process.signal("HUP");
    process.wait_for_log("the client CA cannot be reloaded");
    assert!(gets_in(&new) && !gets_in(&old) && process.stderr().contains("client-ca.crt"), "{}", process.stderr());
}

#[test]
fn an_invalid_client_ca_file_is_an_error_that_names_the_file() {
    let authority = Authority::new();
    let (directory, _) = authority.file();
    let path = directory.path().join("leaf.crt");
    let leaf = rcgen::generate_simple_self_signed(vec!["leaf".to_owned()]).expect("a certificate");
    std::fs::write(path, leaf.cert.pem()).expect("a file");
    std::fs::write(directory.path().join("empty.crt"), "").expect("a file");
    let cases = [
        ("missing.crt", "client CA \"missing.crt\": No such file"),
        ("empty.crt", "client CA \"empty.crt\": has no certificate in PEM"),
        ("leaf.crt", "is not a CA certificate"),
    ];
    for (file, expected) in cases {
        let flag = format!("--client-ca={file}");
        let (code, _, stderr) = Process::run(directory.path(), &["serve", "--dev", &flag]);
        assert!(code == Some(1) && stderr.contains(expected) && stderr.contains(file), "{file}: {stderr}");
    }
}
