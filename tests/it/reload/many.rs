//! 1,000 reloads of templates and 200 of the certificate under load: no pod fails, and none sees a
//! mixed state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::world::{ConfigMap, World, asking, generations, templates};
use crate::support::{Client, pause};

const RELOADS: u64 = 1_000;
const SWAPS: u64 = 200;
/// When memory is first measured: all caches have been used by then.
const WARM: u64 = 100;
/// Far longer than the test takes, so that it fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(400);
/// An allocator keeps some freed memory. Leaking one set of templates per reload would exceed this.
const GROWTH_KIB: u64 = 12 * 1024;

/// Clients that post until they are stopped; each counts its responses and panics at the first
/// wrong one.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(world: &World) -> Self {
        let mut load = Self { stop: Arc::default(), answered: Arc::default(), threads: Vec::new() };
        for _ in 0..4 {
            let mut client = world.connect();
            load.spawn(move |body| assert_one_generation(&mut client, body));
        }
        for _ in 0..2 {
            let dial = world.dial();
            load.spawn(move |body| assert_one_generation(&mut dial().expect("a connection"), body));
        }
        load
    }

    fn spawn(&mut self, mut post: impl FnMut(&[u8]) + Send + 'static) {
        let (stop, answered) = (Arc::clone(&self.stop), Arc::clone(&self.answered));
        self.threads.push(std::thread::spawn(move || {
            let body = asking("one,two,three");
            while !stop.load(Ordering::Relaxed) {
                post(&body);
                answered.fetch_add(1, Ordering::Relaxed);
                pause(Duration::from_millis(2));
            }
        }));
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("no answer was wrong"));
        self.answered.load(Ordering::Relaxed)
    }
}

/// Three templates, two of them in one file, write their generation into two fields each.
fn assert_one_generation(client: &mut Client, body: &[u8]) {
    let response = client.post(body);
    assert_eq!(generations(&response).len(), 1, "a mixed snapshot: {}", response.text());
}

fn publish(config: &ConfigMap, generation: u64) {
    let files = [("a.yaml", templates(generation, &["one", "two"])), ("b.yaml", templates(generation, &["three"]))];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    config.publish(&files);
}

#[test]
fn a_thousand_reloads_and_two_hundred_rotations_fail_no_pod() {
    let world = World::start(&["config"]);
    let config = ConfigMap::at(&world.path("config"));
    publish(&config, 0);
    let mut client = world.connect();
    world.eventually_served(&mut client, "one,two,three", 0);
    let (load, start, mut before) = (Load::start(&world), Instant::now(), 0);
    for generation in 1..=RELOADS {
        let certificate = (generation % (RELOADS / SWAPS) == 0).then(|| world.swap_certificate());
        publish(&config, generation);
        world.process.signal("HUP");
        world.eventually_served(&mut client, "one,two,three", generation);
        if let Some(certificate) = certificate {
            world.eventually_has_certificate(&certificate);
        }
        if generation == WARM {
            before = world.process.resident_kib();
        }
        assert!(start.elapsed() < LIMIT, "only {generation} reloads in {LIMIT:?}");
    }
    let (answered, after) = (load.end(), world.process.resident_kib());
    eprintln!(
        "{RELOADS} reloads and {SWAPS} rotations in {:.0?}: {answered} pods answered, 0 failed; resident {before} KiB after {WARM} reloads, {after} KiB at the end",
        start.elapsed()
    );
    assert!(answered >= RELOADS, "{answered} pods are no load");
    assert!(after < before + GROWTH_KIB, "memory grew from {before} KiB to {after} KiB");
    assert!(world.metric("template_reloads_total{result=\"success\"}") >= RELOADS);
    assert_eq!(world.metric("template_reloads_total{result=\"error\"}"), 0);
    assert_eq!(world.metric("certificate_rotations_total{result=\"success\"}"), SWAPS);
    assert_eq!(world.metric("certificate_rotations_total{result=\"error\"}"), 0);
    assert_eq!(world.metric("admission_requests_total{dry_run=\"false\",result=\"error\"}"), 0);
    let lines = world.process.stderr().matches("templates reloaded").count();
    assert!(lines < 200, "{lines} lines of {RELOADS} reloads are a flood");
}
