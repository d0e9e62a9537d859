//! The real binary as a child process, which never outlives its test.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{eventually, pause};

/// A running `outrigger`, and its output so far.
pub struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

struct Output {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts the program in `directory`, without variables for Outrigger or OpenTelemetry.
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        Self::start_with(directory, arguments, &[])
    }

    /// Like [`Self::start`], with these variables.
    pub fn start_with(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::spawn(command(directory, arguments).envs(environment.iter().copied()))
    }

    /// Starts a shell line that ends in the program, without variables for Outrigger.
    pub fn start_shell(directory: &Path, script: &str) -> Self {
        Self::spawn(
            without_settings(Command::new("sh")).args(["-c", script]).current_dir(directory).stdin(Stdio::null()),
        )
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let (stdout, stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        Self { child, stdout: Output::of(stdout), stderr: Output::of(stderr) }
    }

    /// Starts the program with a pipe as standard error, which the test may read or ignore.
    pub fn start_with_pipe(directory: &Path, arguments: &[&str]) -> (Self, std::io::PipeReader) {
        let (reader, log) = std::io::pipe().expect("a pipe");
        let mut child =
            command(directory, arguments).stdout(Stdio::piped()).stderr(log).spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("a pipe");
        (Self { child, stdout: Output::of(stdout), stderr: Output::of(std::io::empty()) }, reader)
    }

    /// Starts the program with a broken standard error, as if the log reader had gone.
    pub fn start_without_log(directory: &Path, arguments: &[&str]) -> Self {
        Self::start_with_pipe(directory, arguments).0
    }

    /// Runs the program until it ends: exit code, standard output, standard error.
    pub fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut process = Self::start(directory, arguments);
        let status = process.wait();
        (status.code(), process.stdout(), process.stderr())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A size of `/proc/PID/status`, such as `VmHWM`, in bytes.
    pub fn memory(&self, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
        kibibytes.unwrap_or_else(|| panic!("no {field} in {status}")) * 1024
    }

    /// The number of open files and sockets.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).expect("the process runs").count()
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill(1) runs").success());
    }

    /// The address of a listener in the log, `webhook` or `admin`.
    pub fn address(&self, listener: &str) -> SocketAddr {
        let log = self.stderr();
        let found = log.split(&format!("{listener}=")).nth(1).and_then(|rest| rest.split_whitespace().next());
        found.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no address of {listener} in {log}"))
    }

    /// Memory in use, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("Linux tells of processes");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a size")
    }

    /// Waits for the end, for a limited time.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the end of the process", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        self.stdout.finish();
        self.stderr.finish();
        status.expect("it ended")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// The standard output so far; complete after [`Self::wait`].
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// The standard error so far; complete after [`Self::wait`].
    pub fn stderr(&self) -> String {
        if self.stderr.reader.is_some() {
            // The log is written a few milliseconds after the event.
            pause(Duration::from_millis(50));
        }
        self.stderr.text()
    }

    /// Waits until standard error contains this text.
    pub fn wait_for_log(&self, text: &str) {
        eventually(&format!("the log line {text:?}"), || self.stderr.text().contains(text));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    // Another build can be tested instead, to measure it.
    let binary = std::env::var_os("OUTRIGGER_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_outrigger").into());
    let mut command = without_settings(Command::new(binary));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command
}

fn without_settings(mut command: Command) -> Command {
    command.env_remove("KUBERNETES_SERVICE_HOST");
    for (name, _) in std::env::vars_os() {
        if ["OUTRIGGER_", "OTEL_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

impl Output {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                written.lock().expect("no panic while writing").push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        self.text.lock().expect("no panic while writing").clone()
    }

    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends with the process");
        }
    }
}
