//! Starts the programs of the tests and guarantees that they end.
//!
//! A [`Janitor`] is a small shell that outlives the test binary by a moment: it receives process
//! ids over a pipe. When the pipe closes, because the binary ended, panicked or was killed, it
//! kills the programs and removes their working directory.
//!
//! Invariant: only [`Janitor::spawn`] starts programs.

#![allow(clippy::disallowed_methods, reason = "the tests are synchronous and wait for other programs")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The script of the janitor; `$1` is the working directory. It reads ids of started processes, and
/// with a minus sign those of ended ones. It ignores a terminal's interrupt, which also reaches it,
/// until its work is done.
const SCRIPT: &str = r#"trap '' INT HUP; pids=' '; while read -r pid; do case $pid in
    -*) pids="${pids%% ${pid#-} *} ${pids#* ${pid#-} }" ;;
    *) pids="$pids$pid " ;;
esac; done; kill -9 $pids 2>/dev/null; sleep 0.3; rm -rf -- "$1""#;

/// Ends all programs when the test binary ends, for whatever reason.
pub struct Janitor {
    pipe: Mutex<ChildStdin>,
    directory: PathBuf,
}

/// A running program. It ends when it is dropped.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
}

impl Janitor {
    /// Creates the working directory and starts the janitor.
    pub fn start() -> Self {
        let directory =
            tempfile::Builder::new().prefix("outrigger-apiserver-").tempdir().expect("a temporary directory").keep();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SCRIPT, "janitor"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let pipe = shell.spawn().expect("sh starts").stdin.take().expect("its standard input is a pipe");
        Self { pipe: Mutex::new(pipe), directory }
    }

    /// The directory for the files of the programs; removed at the end.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Starts a program whose output goes to `NAME.log` in the working directory.
    pub fn spawn(&self, name: &str, command: &mut Command) -> Process {
        let log = self.directory.join(format!("{name}.log"));
        let output = File::create(&log).expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle of the log file"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipe, "{}", child.id()).expect("the janitor listens");
        Process { name: name.to_owned(), log, child: Mutex::new(child) }
    }

    /// Makes the janitor forget a process that has ended, because its id may be reused.
    pub fn forget(&self, process: &Process) {
        let id = process.child.lock().unwrap_or_else(PoisonError::into_inner).id();
        writeln!(self.pipe.lock().unwrap_or_else(PoisonError::into_inner), "-{id}").expect("the janitor listens");
    }
}

impl Process {
    /// The log of the program so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `ready` is true; fails the test with the end of the log if the program ends or
    /// the time is over.
    pub fn wait_until(&self, limit: Duration, ready: impl Fn() -> bool) {
        let start = Instant::now();
        while !ready() {
            let ended = self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().ok().flatten();
            assert!(ended.is_none(), "{} ended: {}\n{}", self.name, ended.unwrap_or_default(), self.tail());
            assert!(start.elapsed() < limit, "{} is not ready after {limit:?}\n{}", self.name, self.tail());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends SIGTERM to the program.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal, by its name for kill(1).
    pub fn signal(&self, name: &str) {
        let id = self.child.lock().unwrap_or_else(PoisonError::into_inner).id();
        let status = Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().expect("kill(1) runs");
        assert!(status.success(), "{}: kill(1) failed", self.name);
    }

    /// Waits until the program has ended. [`Janitor::forget`] it afterwards.
    pub fn wait_for_end(&self, limit: Duration) -> ExitStatus {
        eventually(&format!("the end of {}", self.name), limit, || {
            self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().expect("a child")
        })
    }

    /// Kills the program without waiting for it, so that its id is not reused while the janitor
    /// still knows it.
    pub fn kill(&self) {
        // An error means that it has ended already.
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sleeps.
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Calls `probe` until it returns a value; fails the test with `what` after `limit`.
pub fn eventually<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
