//! Start, log output and shutdown of the real binary.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;
use serde_json::json;

use crate::support::client::client_config;
use crate::support::{Client, Process, eventually, pause, pod, review};

const ANY_PORTS: [&str; 2] = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];

fn dev(directory: &Path, arguments: &[&str]) -> Process {
    let process = Process::start(directory, &[&["serve", "--dev"], &ANY_PORTS[..], arguments].concat());
    process.wait_for_log("ready");
    process
}

/// The address of a listener in the log.
fn address(process: &Process, listener: &str) -> std::net::SocketAddr {
    let log = process.stderr();
    let found = log.split(&format!("{listener}=")).nth(1).and_then(|rest| rest.split_whitespace().next());
    found.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no address of {listener} in {log}"))
}

/// Starts `serve` and expects failure: exit code 1, no standard output, and these lines at the end
/// of standard error.
fn refused(directory: &Path, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = Process::run(directory, &[&["serve"], arguments].concat());
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    stderr
}

#[test]
fn sigterm_and_sigint_shut_down_cleanly() {
    for signal in ["TERM", "INT"] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut process = dev(directory.path(), &[]);
        let start = Instant::now();
        process.signal(signal);
        assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
        assert!(start.elapsed() < Duration::from_secs(3), "--dev ends without delay: {:?}", start.elapsed());
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut process = dev(directory.path(), &["--shutdown-delay=1m"]);
        let admin = address(&process, "admin");
        process.signal("TERM");
        process.wait_for_log("shutting down");
        let status = |path: &str| Client::connect_plain(admin).expect("a connection").get(path).status;
        assert_eq!((status("/livez"), status("/readyz")), (200, 503));
        // Two signals at the same moment count as one.
        pause(Duration::from_millis(100));
        assert!(process.is_running());
        process.signal(signal);
        assert_eq!(process.wait().code(), Some(code), "{}", process.stderr());
    }
}

/// `timeout(1)` signals a process and then its group.
#[test]
fn a_signal_sent_twice_at_once_counts_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut process = dev(directory.path(), &["--shutdown-delay=300ms"]);
    let twice = format!("kill -TERM {0}; kill -TERM {0}", process.id());
    assert!(Command::new("sh").args(["-c", &twice]).status().expect("sh(1) runs").success());
    assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
}

#[test]
fn shutdown_waits_for_the_configured_delay() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut process = dev(directory.path(), &["--shutdown-delay=700ms"]);
    let start = Instant::now();
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert!((700..5_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[test]
fn log_and_readyz_report_what_is_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let process = dev(directory.path(), &[]);
    let log = process.stderr();
    for part in ["log-collector", "proxy", "without a cluster", "Automatic templates do not apply"] {
        assert!(log.contains(part), "{part:?} is missing in {log}");
    }
    let admin = address(&process, "admin");
    let verbose = Client::connect_plain(admin).expect("a connection").get("/readyz?verbose");
    assert_eq!(
        (verbose.status, verbose.text().as_str()),
        (200, "[+]templates ok\n[+]certificate ok\n[+]tls-self-call ok\n[+]shutdown ok\nok\n")
    );
    let metrics = Client::connect_plain(admin).expect("a connection").get("/metrics").text();
    let active = metrics.lines().find_map(|line| line.strip_prefix("outrigger_templates{state=\"active\"} "));
    assert!(active.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count >= 2), "{metrics}");
    assert!(
        metrics.contains("outrigger_admission_request_duration_seconds_count 0\n"),
        "the call to itself does not count: {metrics}"
    );
    let expiry = metrics
        .lines()
        .find_map(|line| line.strip_prefix("outrigger_certificate_expiry_timestamp_seconds{certificate=\"serving\"} "));
    assert!(
        expiry.and_then(|expiry| expiry.parse::<u64>().ok()).is_some_and(|expiry| expiry > 1_700_000_000),
        "{metrics}"
    );
}

/// A full disk or a dead log collector loses the log and nothing else.
#[test]
fn the_server_runs_although_its_log_cannot_be_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut process = Process::start_without_log(directory.path(), &[&["serve", "--dev"], &ANY_PORTS[..]].concat());
    eventually("the line", || process.stdout().contains("/mutate'\n"));
    let printed = process.stdout();
    let address = printed.split("https://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    let ca = std::fs::read(directory.path().join(".outrigger/ca.crt")).expect("an authority");
    let address = address.parse().expect("an address");
    let mut client = Client::connect(address, Arc::new(client_config(&ca))).expect("a connection");
    for asked in ["log-collector", "nothing-known"] {
        let body = review(&pod(&json!({"outrigger.dev/inject": asked}))).to_string();
        assert_eq!(client.post(body.as_bytes()).status, 200);
    }
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

/// A response larger than the socket buffers is in flight until the client has read it.
#[test]
fn a_response_in_flight_is_finished_before_shutdown() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("t")).expect("a directory");
    let value = "x".repeat(200_000);
    let template = format!(
        "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: large}}\nspec:\n  app: {{env: [{{name: X, value: {value}}}]}}\n"
    );
    std::fs::write(directory.path().join("t/large.yaml"), template).expect("a file");
    let mut process = dev(directory.path(), &["--templates=t"]);
    let ca = std::fs::read(directory.path().join(".outrigger/ca.crt")).expect("an authority");
    let mut client = Client::connect(address(&process, "webhook"), Arc::new(client_config(&ca))).expect("a connection");
    let mut object = pod(&json!({"outrigger.dev/inject": "large"}));
    object["spec"]["containers"] =
        (0..32).map(|n| json!({"name": format!("c{n}"), "image": "registry.example/web"})).collect();
    let body = review(&object).to_string();
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    client.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).expect("sent");
    process.wait_for_log("result=\"injected\"");
    process.signal("TERM");
    process.wait_for_log("shutting down");
    pause(Duration::from_millis(300));
    assert!(process.is_running(), "{}", process.stderr());
    let response = client.receive().expect("the whole answer");
    assert_eq!(response.json()["response"]["auditAnnotations"]["result"], "injected");
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn a_port_in_use_is_reported_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    for (flag, other, name) in [("listen", "admin-listen", "webhook"), ("admin-listen", "listen", "admin")] {
        let stderr =
            refused(directory.path(), &["--dev", &format!("--{flag}={address}"), &format!("--{other}=127.0.0.1:0")]);
        let lines: Vec<&str> = stderr.lines().collect();
        let [line] = lines.as_slice() else { panic!("{stderr}") };
        for part in [format!("cannot listen on {address} ({name})"), "in use".to_owned(), format!("--{flag}")] {
            assert!(line.contains(&part), "{part:?} is missing in {line:?}");
        }
    }
}

#[test]
fn an_unreadable_certificate_or_key_is_reported_in_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("templates")).expect("a directory");
    let arguments = ["--tls-cert=no.crt", "--tls-key=no.key", "--templates=templates"];
    let stderr = refused(directory.path(), &arguments);
    assert!(
        stderr.lines().last().is_some_and(|line| line.contains("certificate \"no.crt\": No such file")),
        "{stderr}"
    );
}

#[test]
fn an_unreadable_template_directory_is_reported_in_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let stderr = refused(directory.path(), &["--dev", "--templates=no/such"]);
    assert!(stderr.lines().last().is_some_and(|line| line.contains("\"no/such\": No such file")), "{stderr}");
}

const GOOD: &str = "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {name: good}\nspec:\n  sidecars: [{name: good, image: \"registry.example/good:1\"}]\n";

#[test]
fn strict_mode_lists_every_broken_template() {
    let directory = tempfile::tempdir().expect("a directory");
    let templates = directory.path().join("t");
    std::fs::create_dir(&templates).expect("a directory");
    std::fs::write(templates.join("good.yaml"), GOOD).expect("a file");
    std::fs::write(templates.join("a.yaml"), GOOD.replace("good", "a").replace("sidecars", "sidecar")).expect("a file");
    std::fs::write(templates.join("b.yaml"), "metadata: [\n").expect("a file");
    std::fs::write(templates.join("c.yaml"), [0xff]).expect("a file");
    let stderr = refused(directory.path(), &["--dev", "--templates=t"]);
    for file in ["t/a.yaml:5:", "t/b.yaml:", "t/c.yaml: cannot read the file"] {
        assert!(stderr.lines().any(|line| line.contains(file)), "{file} is missing in {stderr}");
    }
    assert!(!directory.path().join(".outrigger").exists(), "nothing is made before the templates are good");
}

#[test]
fn a_broken_template_does_not_affect_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    std::fs::create_dir(path("t")).expect("a directory");
    std::fs::write(path("t/good.yaml"), GOOD).expect("a file");
    std::fs::write(path("t/bad.yaml"), GOOD.replace("good", "bad").replace("sidecars", "sidecar")).expect("a file");
    let mut made = dev(directory.path(), &[]);
    made.signal("TERM");
    made.wait();
    let arguments = [
        "serve",
        "--tls-cert=.outrigger/tls.crt",
        "--tls-key=.outrigger/tls.key",
        "--templates=t",
        "--log-format=json",
    ];
    let mut process =
        Process::start(directory.path(), &[&arguments, &ANY_PORTS[..], &["--shutdown-delay=0s"]].concat());
    process.wait_for_log("\"message\":\"ready\"");
    let log = process.stderr();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    let loaded = lines.iter().find(|line| line["message"] == "templates loaded").expect("a line");
    assert_eq!((&loaded["names"], &loaded["broken"]), (&"good".into(), &1.into()), "{log}");
    assert!(
        lines.iter().any(|line| line["problem"].as_str().is_some_and(|problem| problem.starts_with("t/bad.yaml:5:"))),
        "{log}"
    );
    let listening = lines.iter().find(|line| line["message"] == "listening").expect("a line");
    let admin = listening["admin"].as_str().and_then(|address| address.parse().ok()).expect("an address");
    let verbose = Client::connect_plain(admin).expect("a connection").get("/readyz?verbose");
    assert_eq!(verbose.status, 200);
    assert!(verbose.text().contains("[!]template t/bad.yaml:5:"), "{}", verbose.text());
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, stdout, stderr) = Process::run(directory.path(), &["serve", "--dev", "--lissten=127.0.0.1:1"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("'--lissten'") && stderr.contains("--listen"), "{stderr}");
}

#[test]
fn every_invalid_setting_is_listed() {
    let directory = tempfile::tempdir().expect("a directory");
    let stderr = refused(directory.path(), &["--dev", "--listen=x", "--log-level=loud"]);
    assert!(
        stderr.contains("--listen: \"x\": expected ADDRESS:PORT") && stderr.contains("--log-level: \"loud\": expected"),
        "{stderr}"
    );
}

#[test]
fn a_variable_that_is_not_unicode_is_an_error() {
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["serve", "--dev"])
        .current_dir(directory.path())
        .env("OUTRIGGER_LISTEN", std::ffi::OsStr::from_bytes(b"127.0.0.1:9443\xff"))
        .output()
        .expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("OUTRIGGER_LISTEN: \"127.0.0.1:9443\u{fffd}\": expected ADDRESS:PORT"), "{stderr}");
}

/// The printed file has the settings of the command line and the environment, and no server starts.
#[test]
fn the_printed_configuration_can_be_used_as_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let print = ["serve", "--dev", "--log-level=debug", "--print-config"];
    let (code, stdout, stderr) = Process::run(directory.path(), &print);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("\nlogLevel: debug  # --log-level\n"), "{stdout}");
    assert!(!directory.path().join(".outrigger").exists());
    std::fs::write(directory.path().join("c.yaml"), &stdout).expect("a file");
    let (code, again, _) = Process::run(directory.path(), &["serve", "--config=c.yaml", "--print-config"]);
    assert_eq!(code, Some(0));
    let values =
        |text: &str| text.lines().filter_map(|line| Some(line.split_once("  # ")?.0.to_owned())).collect::<Vec<_>>();
    assert_eq!(values(&again), values(&stdout));
    assert!(again.contains("\nlogLevel: debug  # c.yaml:"), "{again}");
    let (code, stdout, stderr) = Process::run(directory.path(), &["serve", "--listen=x", "--print-config"]);
    assert_eq!(code, Some(1));
    assert!(stdout.contains("\nlisten: x  # --listen\n"), "{stdout}");
    assert!(stderr.contains("--listen: \"x\": expected") && stderr.contains("certificate"), "{stderr}");
}
