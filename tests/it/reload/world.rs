//! The test environment of the reload tests: the real binary, template directories, and a
//! certificate in files.

use std::cell::Cell;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::authority::Authority;
use crate::support::client::{client_config, tcp};
use crate::support::{Client, Process, Response, eventually, pod, review};

/// A server and all its files.
pub struct World {
    pub process: Process,
    pub authority: Authority,
    pub webhook: SocketAddr,
    pub admin: SocketAddr,
    client: Arc<ClientConfig>,
    secret: ConfigMap,
    issued: Cell<u32>,
    directory: TempDir,
}

impl World {
    /// Starts with these empty directories, and waits until it is ready.
    pub fn start(directories: &[&str]) -> Self {
        Self::start_with(directories, &["--shutdown-delay=0s"])
    }

    /// Like [`Self::start`], with more arguments.
    pub fn start_with(directories: &[&str], more: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for name in directories {
            std::fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let authority = Authority::new();
        std::fs::create_dir(directory.path().join("tls")).expect("a directory");
        let secret = ConfigMap::at(&directory.path().join("tls"));
        let pair = authority.pair();
        secret.publish(&[("tls.crt", &pair.certificate), ("tls.key", &pair.key)]);
        let templates: Vec<String> = directories.iter().map(|name| format!("--templates={name}")).collect();
        let mut arguments = vec!["serve", "--tls-cert=tls/tls.crt", "--tls-key=tls/tls.key", "--log-format=text"];
        arguments.extend(["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]);
        arguments.extend(more);
        arguments.extend(templates.iter().map(String::as_str));
        let process = Process::start(directory.path(), &arguments);
        process.wait_for_log(" ready");
        let mut client = client_config(authority.pem.as_bytes());
        // A resumed session would keep its first certificate.
        client.resumption = Resumption::disabled();
        let client = Arc::new(client);
        let (webhook, admin) = (process.address("webhook"), process.address("admin"));
        Self { process, authority, webhook, admin, client, secret, issued: Cell::new(1), directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.webhook, Arc::clone(&self.client)).expect("a TLS connection")
    }

    /// The data that a thread needs for its own connection.
    pub fn dial(&self) -> impl Fn() -> std::io::Result<Client> + Send + 'static {
        let (webhook, client) = (self.webhook, Arc::clone(&self.client));
        move || Client::connect(webhook, Arc::clone(&client))
    }

    /// The distinct generations in a response to a pod with these templates.
    pub fn served(&self, client: &mut Client, asked: &str) -> Vec<u64> {
        generations(&client.post(&asking(asked)))
    }

    pub fn eventually_served(&self, client: &mut Client, asked: &str, generation: u64) {
        eventually(&format!("generation {generation} of {asked}"), || self.served(client, asked) == [generation]);
    }

    pub fn eventually_refused(&self, client: &mut Client, asked: &str) {
        eventually("the refusal", || client.post(&asking(asked)).json()["response"]["allowed"] == false);
    }

    /// Replaces the pair like a kubelet, and returns the new certificate.
    pub fn swap_certificate(&self) -> CertificateDer<'static> {
        self.issued.set(self.issued.get() + 1);
        let life = Duration::from_secs(24 * 3600 + 60 * u64::from(self.issued.get()));
        let pair = self.authority.pair_until(SystemTime::now() + life);
        self.secret.publish(&[("tls.crt", &pair.certificate), ("tls.key", &pair.key)]);
        CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("a certificate")
    }

    /// Overwrites the files in place, as tools without symbolic links do.
    pub fn write_certificate(&self, certificate: Option<&str>, key: Option<&str>) {
        for (name, text) in [("tls/tls.crt", certificate), ("tls/tls.key", key)] {
            text.into_iter().for_each(|text| std::fs::write(self.path(name), text).expect("a file"));
        }
    }

    /// The certificate that a new connection gets.
    pub fn certificate(&self) -> CertificateDer<'static> {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut connection = ClientConnection::new(Arc::clone(&self.client), name).expect("a client");
        let mut stream = tcp(self.webhook).expect("a connection");
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).expect("a handshake");
        }
        connection.peer_certificates().expect("certificates")[0].clone().into_owned()
    }

    pub fn eventually_has_certificate(&self, expected: &CertificateDer<'static>) {
        eventually("the new certificate", || self.certificate() == *expected);
    }

    pub fn readyz(&self) -> Response {
        Client::connect_plain(self.admin).expect("a connection").get("/readyz")
    }

    pub fn readyz_verbose(&self) -> String {
        Client::connect_plain(self.admin).expect("a connection").get("/readyz?verbose").text()
    }

    /// A metric by its name, without the prefix and with its labels.
    pub fn metric(&self, name: &str) -> u64 {
        let text = Client::connect_plain(self.admin).expect("a connection").get("/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("outrigger_{name} ")));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }
}

/// A review of a pod that requests these templates.
pub fn asking(names: &str) -> Vec<u8> {
    review(&pod(&json!({"outrigger.dev/inject": names}))).to_string().into_bytes()
}

/// Templates of one generation in one file. Each writes it into two fields of the pod.
pub fn templates(generation: u64, names: &[&str]) -> String {
    let one = |name: &&str| {
        format!(
            "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata:\n  name: {name}\nspec:\n  sidecars:\n  - name: {name}\n    image: registry.example/{name}:generation-{generation}\n  metadata:\n    labels: {{{name}: generation-{generation}}}\n"
        )
    };
    names.iter().map(one).collect::<Vec<_>>().join("---\n")
}

/// The distinct generations in the patch of a response; none without a patch.
pub fn generations(response: &Response) -> Vec<u64> {
    assert_eq!(response.status, 200, "{}", response.text());
    let answer: Value = response.json();
    let patch = answer["response"]["patch"].as_str().unwrap_or_default();
    let patch = String::from_utf8(STANDARD.decode(patch).expect("base64")).expect("UTF-8");
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    let mut found: Vec<u64> = patch.split("generation-").skip(1).filter_map(digits).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// A directory as a kubelet mounts a ConfigMap or a Secret.
pub struct ConfigMap {
    path: PathBuf,
    generation: Cell<u32>,
}

impl ConfigMap {
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), generation: Cell::new(0) }
    }

    /// The steps of the kubelet's atomic writer, in order.
    pub fn publish(&self, files: &[(&str, &str)]) {
        let before = std::fs::read_link(self.path.join("..data")).ok();
        self.generation.set(self.generation.get() + 1);
        let generation = format!("..generation_{}", self.generation.get());
        std::fs::create_dir(self.path.join(&generation)).expect("a directory");
        for (name, text) in files {
            std::fs::write(self.path.join(&generation).join(name), text).expect("a file");
        }
        symlink(&generation, self.path.join("..data_tmp")).expect("a link");
        std::fs::rename(self.path.join("..data_tmp"), self.path.join("..data")).expect("the swap");
        for (name, _) in files {
            if !self.path.join(name).is_symlink() {
                symlink(Path::new("..data").join(name), self.path.join(name)).expect("a link");
            }
        }
        for entry in std::fs::read_dir(&self.path).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_symlink() && !path.exists() {
                std::fs::remove_file(path).expect("removed");
            }
        }
        if let Some(before) = before {
            std::fs::remove_dir_all(self.path.join(before)).expect("removed");
        }
    }
}

/// A directory that somebody edits.
pub struct Plain(PathBuf);

impl Plain {
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("a file");
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.join(name)).expect("removed");
    }
}
