//! `outrigger serve --dev` together with curl and a terminal.
//!
//! Other tests of start and shutdown are in `tests/it/shutdown.rs`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use pretty_assertions::assert_eq;

use crate::harness;
use crate::support::client::tcp;
use crate::support::{Process, eventually};

tests! { the_printed_export_line_works_in_a_shell, closing_the_terminal_ends_the_server }

const SERVE: [&str; 4] = ["serve", "--dev", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];

/// Ignores the test if this program is missing.
fn needs(program: &str) {
    if Command::new(program).arg("--version").output().is_err() {
        harness::ignore(format!("{program} was not found"));
    }
}

/// The printed lines must work in a shell unchanged.
fn the_printed_export_line_works_in_a_shell() {
    needs("curl");
    let directory = tempfile::tempdir().expect("a directory");
    let process = Process::start(directory.path(), &[&SERVE[..], &["--dev-dir", "it's a directory"]].concat());
    process.wait_for_log("ready");
    eventually("the line", || process.stdout().contains("/mutate'\n"));
    let output =
        Command::new("sh").args(["-c", &process.stdout()]).current_dir(directory.path()).output().expect("sh(1) runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"]["auditAnnotations"]["templates"], "log-collector");
    assert!(answer["response"]["patch"].is_string());
    process.wait_for_log("injected");
    let line = process.stderr().lines().find(|line| line.contains("injected")).expect("a line").to_owned();
    for part in ["namespace=\"demo\"", "web-6f7d8c9b5d-*", "log-collector", "dry_run=false", "duration_us="] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
}

/// `script` runs the server in its own terminal, which closes with `script`.
fn closing_the_terminal_ends_the_server() {
    needs("script");
    let directory = tempfile::tempdir().expect("a directory");
    let server = env!("CARGO_BIN_EXE_outrigger");
    let server = format!("'{server}' {}", SERVE.join(" "));
    let mut terminal = Command::new("script")
        .args(["--quiet", "--command", &server, "/dev/null"])
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1) runs");
    let mut shown = BufReader::new(terminal.stdout.take().expect("a pipe")).lines().map(|line| line.expect("a line"));
    let line = shown.find(|line| line.contains("https://")).expect("what --dev prints");
    let address = line.split("https://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    let address = address.parse().expect("an address");
    assert!(tcp(address).is_ok());
    terminal.kill().expect("it runs");
    terminal.wait().expect("a child");
    eventually("the end of the server", || tcp(address).is_err());
}
