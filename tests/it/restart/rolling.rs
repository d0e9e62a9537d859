//! Replaces two instances behind one address one after the other while pods are created.
//!
//! `OUTRIGGER_RESTARTS` sets the number of restarts; the default is small, since each takes as long
//! as a drain.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;
use rustls::ClientConfig;

use super::balancer::Balancer;
use super::pool::Pool;
use crate::reload::authority::Authority;
use crate::reload::world::{Plain, asking, generations, templates};
use crate::support::client::client_config;
use crate::support::{Process, eventually, pause};

const FEW: usize = 6;
const ALL: usize = 20;
/// Longer than it takes until new connections go to the other instance.
const DELAY: &str = "--shutdown-delay=3s";

fn restarts() -> usize {
    std::env::var("OUTRIGGER_RESTARTS").ok().and_then(|count| count.parse().ok()).unwrap_or(FEW)
}

fn instance(directory: &Path) -> Process {
    let arguments = ["serve", "--tls-cert=tls.crt", "--tls-key=tls.key", "--templates=t", DELAY];
    let process =
        Process::start(directory, &[&arguments[..], &["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]].concat());
    process.wait_for_log(" ready");
    process
}

/// Different clients: some post continuously, some leave connections idle for longer than a drain.
struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Clients {
    fn start(balancer: &Balancer, config: &Arc<ClientConfig>) -> Self {
        let mut clients = Self { stop: Arc::default(), answered: Arc::default(), threads: Vec::new() };
        for pause_ms in [5, 5, 20, 20, 100, 100, 700, 1_300, 4_100, 6_700] {
            let pool = Pool::new(balancer.address, Arc::clone(config));
            clients.spawn(pool, Duration::from_millis(pause_ms));
        }
        clients
    }

    fn spawn(&mut self, mut pool: Pool, wait: Duration) {
        let (stop, answered) = (Arc::clone(&self.stop), Arc::clone(&self.answered));
        self.threads.push(std::thread::spawn(move || {
            let (body, mut failed) = (asking("one"), Vec::new());
            while !stop.load(Ordering::Relaxed) {
                match pool.post(&body) {
                    Ok(response) if response.status == 200 && generations(&response) == [1] => {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(response) => failed.push(format!("{}: {}", response.status, response.text())),
                    Err(error) => failed.push(error),
                }
                // Ends the process at once instead of draining.
                let next = Instant::now() + wait;
                while Instant::now() < next && !stop.load(Ordering::Relaxed) {
                    pause(wait.min(Duration::from_millis(50)));
                }
            }
            failed
        }));
    }

    fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect();
        (self.answered.load(Ordering::Relaxed), failed)
    }
}

#[test]
fn rolling_restarts_fail_no_pod() {
    let directory = tempfile::tempdir().expect("a directory");
    let (authority, path) = (Authority::new(), directory.path());
    let pair = authority.pair();
    std::fs::write(path.join("tls.crt"), &pair.certificate).expect("a file");
    std::fs::write(path.join("tls.key"), &pair.key).expect("a file");
    std::fs::create_dir(path.join("t")).expect("a directory");
    Plain::at(&path.join("t")).write("a.yaml", &templates(1, &["one"]));

    let balancer = Balancer::start();
    let join = |process: &Process| {
        let webhook = process.address("webhook");
        balancer.add(webhook, process.address("admin"));
        eventually("connections to the new instance", || balancer.leads_to(webhook));
    };
    let mut instances = [instance(path), instance(path)];
    instances.iter().for_each(join);
    let clients = Clients::start(&balancer, &Arc::new(client_config(authority.pem.as_bytes())));
    let (restarts, start) = (restarts(), Instant::now());
    for restart in 0..restarts {
        let old = &mut instances[restart % 2];
        old.signal("TERM");
        assert_eq!(old.wait().code(), Some(0), "{}", old.stderr());
        balancer.remove(old.address("webhook"));
        *old = instance(path);
        join(old);
    }
    let (answered, failed) = clients.end();
    eprintln!(
        "{restarts} rolling restarts in {:.0?}: {answered} pods answered, {} failed",
        start.elapsed(),
        failed.len()
    );
    if restarts < ALL {
        eprintln!("*** only {restarts} of {ALL} restarts: OUTRIGGER_RESTARTS={ALL} for all of them ***");
    }
    assert_eq!(failed, Vec::<String>::new());
    assert!(answered > 100 * restarts as u64, "{answered} pods are no load");
}
