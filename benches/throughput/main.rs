//! Throughput, latency, memory and start time of the real server on one core, loaded over TLS
//! keep-alive from another core.
//!
//!     cargo bench --bench throughput [-- --rounds N --seconds N --connections N --only load|idle]
//!
//! Three cases alternate, so that other load on the machine affects all of them: a constant
//! response by the same listener, pods that request nothing, and injected pods. Ratios are computed
//! for each turn; the median is reported. Needs Linux and `taskset`.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test or benchmark that cannot go on ends, and nobody imports it"
)]

#[path = "../reviews/mod.rs"]
mod reviews;

mod client;
mod constant;
mod process;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Connections, Pace, Round};
use outrigger::tls::self_signed::CA_CERTIFICATE;
use process::{Cores, Process};
use tempfile::TempDir;

/// The allocator of the program, also for the constant response.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Templates: name and text.
type Texts = &'static [(&'static str, &'static str)];

/// Larger than most templates.
const BUILT_IN: Texts = &[
    ("log-collector", include_str!("../../config/templates/log-collector.yaml")),
    ("proxy", include_str!("../../config/templates/proxy.yaml")),
];

/// Typical of an installation with thousands of templates.
const OF_TEAMS: Texts = &[("shipper", include_str!("template.yaml"))];

/// The first argument of the process that returns a constant.
const CONSTANT: &str = "--constant";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [CONSTANT, directory] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        constant::serve(Path::new(directory));
        return ExitCode::SUCCESS;
    }
    match Plan::of(&arguments).and_then(|plan| plan.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is measured, and for how long.
struct Plan {
    rounds: usize,
    round: Duration,
    connections: usize,
    load: bool,
    idle: bool,
}

impl Plan {
    fn of(arguments: &[String]) -> io::Result<Self> {
        let mut plan = Self { rounds: 9, round: Duration::from_secs(1), connections: 64, load: true, idle: true };
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(argument) = arguments.next() {
            let wrong = || io::Error::other(format!("{argument}: expected a number, or load or idle after --only"));
            let mut number = || arguments.next().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
            match argument {
                // cargo passes this flag.
                "--bench" => {}
                "--rounds" => plan.rounds = number().ok_or_else(wrong)?,
                "--seconds" => plan.round = Duration::from_secs(number().ok_or_else(wrong)? as u64),
                "--connections" => plan.connections = number().ok_or_else(wrong)?,
                "--only" => match arguments.next() {
                    Some("load") => plan.idle = false,
                    Some("idle") => plan.load = false,
                    _ => return Err(wrong()),
                },
                _ => return Err(io::Error::other(format!("unknown argument {argument:?}"))),
            }
        }
        Ok(plan)
    }

    fn run(&self) -> io::Result<()> {
        let cores = Cores::find().ok_or_else(|| io::Error::other("two cores are needed"))?;
        process::stay_on(&cores.load)?;
        println!("server on core {}, load on core {}, {} connections", cores.server, cores.load, self.connections);
        let bench = Bench { cores, directory: tempfile::tempdir()? };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        if self.load {
            runtime.block_on(self.measure_load(&bench))?;
        }
        if self.idle {
            let of_few = Bars { start: Duration::from_millis(100), mebibytes: 20.0 };
            runtime.block_on(bench.measure_idle(BUILT_IN, 100, 5, of_few))?;
            let of_many = || Bars { start: Duration::from_secs(2), mebibytes: 64.0 };
            runtime.block_on(bench.measure_idle(OF_TEAMS, 5_000, 3, of_many()))?;
            runtime.block_on(bench.measure_idle(BUILT_IN, 5_000, 3, of_many()))?;
            runtime.block_on(bench.measure_first_pod(20))?;
        }
        Ok(())
    }

    async fn measure_load(&self, bench: &Bench) -> io::Result<()> {
        let templates = bench.templates(BUILT_IN, BUILT_IN.len())?;
        let program = bench.program(&templates)?;
        let constant = bench.constant()?;
        let authority = bench.authority()?;
        let open = |process: &Process| {
            let address = process.address;
            let (authority, connections) = (authority.clone(), self.connections);
            async move { Connections::open(address, &authority, connections).await }
        };
        let asking = client::request(&reviews::review(&reviews::ordinary(true)));
        let plain = client::request(&reviews::review(&reviews::ordinary(false)));
        println!("{} bytes per request with injection, {} without", asking.len(), plain.len());
        let cases = [
            Case { name: "constant answer", process: &constant, request: &plain, is_patched: false, bar: None },
            Case {
                name: "pod that does not ask",
                process: &program,
                request: &plain,
                is_patched: false,
                bar: Some(0.60),
            },
            Case { name: "injected pod", process: &program, request: &asking, is_patched: true, bar: Some(0.30) },
        ];
        let mut of_constant = open(&constant).await?;
        let mut of_program = open(&program).await?;
        let mut results: Vec<Vec<Measured>> = cases.iter().map(|_| Vec::new()).collect();
        // The first turn warms up.
        for turn in 0..=self.rounds {
            for (index, case) in cases.iter().enumerate() {
                let connections = if index == 0 { &mut of_constant } else { &mut of_program };
                case.check(connections).await?;
                let measured = case.measure(connections, Pace::Saturating, self.round).await?;
                if turn > 0 {
                    results[index].push(measured);
                }
            }
        }
        report(&cases, &results);
        for case in &cases[1..] {
            let pace = Pace::PerSecond(1_000);
            let measured = case.measure(&mut of_program, pace, self.round * 5).await?;
            let (p50, p99) = (measured.round.percentile(0.5), measured.round.percentile(0.99));
            println!(
                "{:<22} at {:.0}/s: p50 {p50:.0?}, p99 {p99:.0?} (bar 5 ms: {}), CPU {:.0?} a request",
                case.name,
                measured.round.per_second(),
                verdict(p99 <= Duration::from_millis(5)),
                measured.cpu_per_request()
            );
        }
        let (now, most) = program.memory()?;
        println!("memory under load: {:.1} MiB, at most {:.1} MiB", mebibytes(now), mebibytes(most));
        Ok(())
    }
}

/// One kind of request to one server.
struct Case<'a> {
    name: &'static str,
    process: &'a Process,
    request: &'a Arc<[u8]>,
    is_patched: bool,
    /// Throughput relative to the constant response.
    bar: Option<f64>,
}

/// One round of one case.
struct Measured {
    round: Round,
    /// CPU time of the server and of this process.
    server: Duration,
    load: Duration,
}

impl Measured {
    fn cpu_per_request(&self) -> Duration {
        self.server / u32::try_from(self.round.latencies.len()).unwrap_or(u32::MAX)
    }
}

impl Case<'_> {
    /// Checks that the verdict is the one that the name promises.
    async fn check(&self, connections: &mut Connections) -> io::Result<()> {
        let body = connections.post(self.request).await?;
        let review: serde_json::Value = serde_json::from_slice(&body)?;
        let response = &review["response"];
        if response["allowed"] == true && response["patch"].is_string() == self.is_patched {
            return Ok(());
        }
        Err(io::Error::other(format!("{}: another answer than expected: {review}", self.name)))
    }

    async fn measure(&self, connections: &mut Connections, pace: Pace, duration: Duration) -> io::Result<Measured> {
        let (server, load) = (self.process.cpu()?, process::own_cpu()?);
        let round = connections.load(self.request, pace, duration).await?;
        Ok(Measured { round, server: self.process.cpu()? - server, load: process::own_cpu()? - load })
    }
}

fn report(cases: &[Case<'_>], results: &[Vec<Measured>]) {
    println!(
        "{:<22} {:>9} {:>7} {:>9} {:>9} {:>9} {:>12} {:>11}",
        "median of the rounds", "a second", "ratio", "p50", "p99", "CPU each", "server busy", "load busy"
    );
    for (case, rounds) in cases.iter().zip(results) {
        let of = |value: &dyn Fn(&Measured) -> f64| median(rounds.iter().map(value).collect());
        let ratios =
            rounds.iter().zip(&results[0]).map(|(own, constant)| own.round.per_second() / constant.round.per_second());
        let ratio = median(ratios.collect());
        let microseconds = |value: f64| format!("{:.1} µs", value * 1e6);
        println!(
            "{:<22} {:>9.0} {:>6.1}% {:>9} {:>9} {:>9} {:>11.0}% {:>10.0}% {}",
            case.name,
            of(&|one| one.round.per_second()),
            ratio * 100.0,
            microseconds(of(&|one| one.round.percentile(0.5).as_secs_f64())),
            microseconds(of(&|one| one.round.percentile(0.99).as_secs_f64())),
            microseconds(of(&|one| one.cpu_per_request().as_secs_f64())),
            of(&|one| one.server.as_secs_f64() / one.round.elapsed.as_secs_f64()) * 100.0,
            of(&|one| one.load.as_secs_f64() / one.round.elapsed.as_secs_f64()) * 100.0,
            case.bar.map(|bar| format!("(bar {:.0}%: {})", bar * 100.0, verdict(ratio >= bar))).unwrap_or_default(),
        );
    }
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

/// Limits for an idle server.
struct Bars {
    start: Duration,
    mebibytes: f64,
}

/// The working directory of the servers.
struct Bench {
    cores: Cores,
    directory: TempDir,
}

impl Bench {
    /// A directory with this many templates, copies of these.
    fn templates(&self, texts: Texts, count: usize) -> io::Result<PathBuf> {
        let directory = self.directory.path().join(format!("templates-{}-{count}", texts[0].0));
        std::fs::create_dir_all(&directory)?;
        for index in 0..count {
            let (name, text) = texts[index % texts.len()];
            let own = if index < texts.len() { name.to_owned() } else { format!("{name}-{index}") };
            let text = text.replacen(&format!("name: {name}\n"), &format!("name: {own}\n"), 1);
            std::fs::write(directory.join(format!("{own}.yaml")), text)?;
        }
        Ok(directory)
    }

    fn program(&self, templates: &Path) -> io::Result<Process> {
        let (certificates, templates) = (self.certificates(), templates.to_string_lossy().into_owned());
        let arguments = [
            "serve",
            "--dev",
            "--dev-dir",
            &certificates,
            "--templates",
            &templates,
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ];
        Process::start(&self.cores.server, Path::new(env!("CARGO_BIN_EXE_outrigger")), &arguments)
    }

    fn constant(&self) -> io::Result<Process> {
        Process::start(&self.cores.server, &std::env::current_exe()?, &[CONSTANT, &self.certificates()])
    }

    fn certificates(&self) -> String {
        self.directory.path().join("certificates").to_string_lossy().into_owned()
    }

    fn authority(&self) -> io::Result<Vec<u8>> {
        std::fs::read(Path::new(&self.certificates()).join(CA_CERTIFICATE))
    }

    /// Time from start to ready, and the memory of a server that has had no request.
    async fn measure_idle(&self, texts: Texts, count: usize, starts: usize, bars: Bars) -> io::Result<()> {
        let templates = self.templates(texts, count)?;
        let kibibytes = texts.iter().map(|(_, text)| text.len()).sum::<usize>() as f64 / texts.len() as f64 / 1024.0;
        // Creates the certificate if there is none, and warms the file cache.
        drop(self.program(&templates)?);
        let mut times = Vec::new();
        let mut cpu = Vec::new();
        let mut memory = Vec::new();
        for _ in 0..starts {
            let process = self.program(&templates)?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            times.push(process.start.as_secs_f64());
            cpu.push(process.start_cpu.as_secs_f64());
            memory.push(mebibytes(process.memory()?.0));
        }
        let (start, memory) = (Duration::from_secs_f64(median(times)), median(memory));
        let cpu = Duration::from_secs_f64(median(cpu));
        println!(
            "{count} templates of {kibibytes:.1} KiB: ready after {start:.0?} and {cpu:.0?} of CPU (bar {:.0?}: {}), idle {memory:.1} MiB (bar {} MiB: {})",
            bars.start,
            verdict(start <= bars.start),
            bars.mebibytes,
            verdict(memory <= bars.mebibytes)
        );
        Ok(())
    }

    /// What the first pod that requests a template pays for its compilation.
    async fn measure_first_pod(&self, starts: usize) -> io::Result<()> {
        let templates = self.templates(BUILT_IN, BUILT_IN.len())?;
        let asking = client::request(&reviews::review(&reviews::ordinary(true)));
        let plain = client::request(&reviews::review(&reviews::ordinary(false)));
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for _ in 0..starts {
            let process = self.program(&templates)?;
            let mut connections = Connections::open(process.address, &self.authority()?, 1).await?;
            for _ in 0..20 {
                connections.post(&plain).await?;
            }
            for times in [&mut first, &mut second] {
                let begin = Instant::now();
                connections.post(&asking).await?;
                times.push(begin.elapsed().as_secs_f64());
            }
        }
        let (first, second) = (Duration::from_secs_f64(median(first)), Duration::from_secs_f64(median(second)));
        println!("first pod of a template: {first:.0?}, the second: {second:.0?}");
        Ok(())
    }
}
