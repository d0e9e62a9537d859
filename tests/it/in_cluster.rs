//! Cluster mode without a cluster: connection errors, and an unreachable API server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::support::process::Process;
use crate::support::{eventually, pause};

const ARGUMENTS: [&str; 7] = [
    "serve",
    "--cluster=on",
    "--templates=.",
    "--listen=127.0.0.1:0",
    "--admin-listen=127.0.0.1:0",
    "--shutdown-delay=0s",
    "--log-format=text",
];

/// A kubeconfig for an API server that does not respond.
fn unreachable(directory: &Path) -> String {
    let path = directory.join("kubeconfig");
    let text = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {"token": "t"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "somewhere"}}]}"#;
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[test]
fn a_missing_kubeconfig_is_reported_in_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut process = Process::start_with(directory.path(), &ARGUMENTS, &[("KUBECONFIG", "missing")]);
    assert_eq!(process.wait().code(), Some(1));
    let said = process.stderr();
    assert!(said.contains("cannot read the kubeconfig") && said.contains("--cluster off"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// What a command says that exits with an error.
fn failed(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut process = Process::start_with(directory, arguments, environment);
    assert_eq!(process.wait().code(), Some(1), "{arguments:?}");
    process.stderr()
}

#[test]
fn in_a_pod_a_broken_kubeconfig_does_not_mean_the_pods_own_cluster() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path().display().to_string();
    let in_pod = ("KUBERNETES_SERVICE_HOST", "127.0.0.1");
    let said = failed(directory.path(), &["get"], &[in_pod, ("HOME", &home), ("KUBECONFIG", "missing")]);
    assert!(said.contains("cannot read the kubeconfig missing: there is no such file"), "{said}");
    let said = failed(directory.path(), &["get"], &[in_pod, ("HOME", &home), ("KUBECONFIG", "")]);
    assert!(said.contains("cannot read the service account of the pod"), "{said}");
    std::fs::create_dir(directory.path().join(".kube")).expect("a directory");
    std::fs::write(directory.path().join(".kube/config"), "users: [canary\n").expect("a file");
    let said = failed(directory.path(), &["get"], &[in_pod, ("HOME", &home), ("KUBECONFIG", "")]);
    assert!(said.contains(".kube/config: it is not valid kubeconfig YAML at line "), "{said}");
    assert!(said.lines().count() == 1 && !said.contains("canary"), "{said}");
}

#[test]
fn a_silent_api_server_is_told_with_the_time_limit() {
    let directory = tempfile::tempdir().expect("a directory");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("https://{}", listener.local_addr().expect("bound"));
    let kubeconfig = unreachable(directory.path());
    let text = std::fs::read_to_string(&kubeconfig).expect("a file").replace("http://127.0.0.1:1", &address);
    std::fs::write(&kubeconfig, text).expect("a file");
    for command in [&["get"][..], &["upgrade", "x"], &["templates", "--in-cluster"], &["explain", "pod/x"]] {
        let arguments = [command, &["--timeout", "1s"]].concat();
        let said = failed(directory.path(), &arguments, &[("KUBECONFIG", &kubeconfig)]);
        assert!(said.contains("does not respond within 1s; "), "{command:?}: {said}");
    }
}

#[test]
fn without_an_api_server_it_runs_unready_and_shuts_down_on_a_signal() {
    let directory = tempfile::tempdir().expect("a directory");
    let kubeconfig = unreachable(directory.path());
    let mut process = Process::start_with(directory.path(), &ARGUMENTS, &[("KUBECONFIG", &kubeconfig)]);
    process.wait_for_log("waiting for a certificate");
    let admin = process.address("admin");
    let get = |path: &str| {
        let mut stream = TcpStream::connect(admin).expect("a connection");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(get("/livez").starts_with("HTTP/1.1 200"));
    let ready = get("/readyz?verbose");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("certificate"), "{ready}");
    let metrics = get("/metrics");
    assert!(
        metrics.contains("\noutrigger_leader 0") && metrics.contains("\noutrigger_ca_bundle_in_sync 0"),
        "{metrics}"
    );
    eventually("it says why", || process.stderr().contains("cannot take part in the leader election"));
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
}

/// Readiness waits for the namespaces for a limited time only: pods that request a template by
/// annotation do not need them. Template objects have to be read once.
#[test]
fn without_an_api_server_it_serves_files_and_is_not_ready_until_it_has_read_template_objects() {
    let directory = tempfile::tempdir().expect("a directory");
    let kubeconfig = unreachable(directory.path());
    let dev =
        ["serve", "--cluster=on", "--dev", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--log-format=text"];
    let process = Process::start_with(directory.path(), &dev, &[("KUBECONFIG", &kubeconfig)]);
    process.wait_for_log("listening");
    let admin = process.address("admin");
    let ready = || {
        let mut stream = TcpStream::connect(admin).expect("a connection");
        write!(stream, "GET /readyz?verbose HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(ready().contains("[-]namespaces"), "{}", ready());
    pause(Duration::from_secs(28));
    process.wait_for_log("namespaces have not been read yet");
    eventually("namespaces are waited for no longer", || !ready().contains("[-]namespaces"));
    let answer = ready();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("[-]template objects"), "{answer}");
    assert!(answer.contains("objects of the kind ClusterInjectionTemplate cannot be read"), "{answer}");
}
