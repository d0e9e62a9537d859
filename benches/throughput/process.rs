//! The server under load as a separate process on one core: the program itself, or this bench
//! returning a constant.
//!
//! A thread reads and discards its log through a pipe, as a container runtime would.
//!
//! Invariant: the process ends when the value is dropped.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Longer than any start on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// From the start of the process to the log line that reports readiness.
    pub start: Duration,
    /// CPU time until then, including that of ended threads, in hundredths of a second.
    pub start_cpu: Duration,
}

/// The cores that this process may use: the server gets the first, the load generator the second.
#[derive(Clone, Debug)]
pub struct Cores {
    pub server: String,
    pub load: String,
}

impl Cores {
    /// Two of the allowed cores; `None` if there are fewer.
    pub fn find() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let mut cores = list.trim().split(',').flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse::<usize>().unwrap_or(0)..=last.parse::<usize>().unwrap_or(0)
        });
        Some(Self { server: cores.next()?.to_string(), load: cores.next()?.to_string() })
    }
}

/// Pins this process, and threads that it starts from now on, to one core.
pub fn stay_on(core: &str) -> io::Result<()> {
    let id = std::process::id().to_string();
    let output = Command::new("taskset").args(["-c", "-p", core, &id]).output()?;
    if output.status.success() { Ok(()) } else { Err(io::Error::other("taskset cannot pin this process")) }
}

impl Process {
    /// Starts a program on a core and waits until it reports readiness.
    pub fn start(core: &str, program: &Path, arguments: &[&str]) -> io::Result<Self> {
        let begin = Instant::now();
        let mut command = Command::new("taskset");
        command.args(["-c", core]).arg(program).args(arguments);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OUTRIGGER_")) {
            command.env_remove(name);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let lines = drain(child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut address = None;
        let mut said = String::new();
        while let Ok((line, at)) = lines.recv_timeout(PATIENCE) {
            address = address.or_else(|| address_in(&line));
            match address {
                Some(address) if line.contains(r#""message":"ready""#) => {
                    let start_cpu = cpu_since_start(child.id())?;
                    return Ok(Self { child, address, start: at - begin, start_cpu });
                }
                _ => said = said + &line + "\n",
            }
        }
        _ = child.kill();
        _ = child.wait();
        Err(io::Error::other(format!("the server does not start: {said}")))
    }

    /// CPU time so far, of all threads.
    pub fn cpu(&self) -> io::Result<Duration> {
        cpu_of(&format!("/proc/{}/task", self.child.id()))
    }

    /// Resident memory now and at most, in KiB.
    pub fn memory(&self) -> io::Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            value.ok_or_else(|| io::Error::other(format!("/proc has no {name}")))
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// CPU time so far, of all threads of this process.
pub fn own_cpu() -> io::Result<Duration> {
    cpu_of("/proc/self/task")
}

/// `utime` and `stime` of proc(5), in the ticks that every Linux reports.
fn cpu_since_start(id: u32) -> io::Result<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    let ticks: u32 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

fn cpu_of(tasks: &str) -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(tasks)? {
        // A thread that has just ended has no file any more.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanoseconds += text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Passes on the lines up to readiness, and discards the rest.
fn drain(pipe: impl Read + Send + 'static) -> Receiver<(String, Instant)> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = String::new();
        while matches!(reader.read_line(&mut line), Ok(1..)) {
            if sender.send((std::mem::take(&mut line), Instant::now())).is_err() {
                break;
            }
        }
        let mut block = vec![0; 64 * 1024];
        while matches!(reader.read(&mut block), Ok(1..)) {}
    });
    receiver
}

/// The address in the log line that contains `"webhook":"127.0.0.1:40001"`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(r#""webhook":""#)?;
    rest.split_once('"')?.0.parse().ok()
}
