//! Time of one review from request body to response body: parse, decide, merge, patch, respond.
//!
//! There is no connection, TLS or log. Run it with `cargo bench --bench engine`; the figures are in
//! `docs/performance.md`.
//!
//! Invariant: each input is checked once for the verdict that its name promises, so that no figure
//! measures an error.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test or benchmark that cannot go on ends, and nobody imports it"
)]

mod reviews;

use divan::Bencher;
use divan::counter::BytesCount;
use outrigger::admission;
use outrigger::inject::{Injector, Settings, SourceText, TemplateSet};
use reviews::{asking, container, ordinary, pod, review, with_managed_fields};
use serde_json::{Value, json};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LOG_COLLECTOR: &str = include_str!("../config/templates/log-collector.yaml");

/// More than the second-level cache of a core.
const OTHER_MEMORY: usize = 4 << 20;

fn main() {
    divan::main();
}

/// The limit is 30 µs.
#[divan::bench]
fn ordinary_pod(bencher: Bencher<'_, '_>) {
    measure(bencher, &injector(1), &review(&ordinary(true)), Verdict::Injected);
}

/// The limit is 8 µs.
#[divan::bench]
fn pod_that_does_not_ask(bencher: Bencher<'_, '_>) {
    measure(bencher, &injector(1), &review(&ordinary(false)), Verdict::Untouched);
}

/// The limit is 2.5 times that of [`ordinary_pod`]: in a server that does other things too, nothing
/// of a review is in the processor's caches.
#[divan::bench(sample_size = 1)]
fn ordinary_pod_cold(bencher: Bencher<'_, '_>) {
    measure_cold(bencher, &review(&ordinary(true)), Verdict::Injected);
}

#[divan::bench(sample_size = 1)]
fn pod_that_does_not_ask_cold(bencher: Bencher<'_, '_>) {
    measure_cold(bencher, &review(&ordinary(false)), Verdict::Untouched);
}

/// The time must grow linearly with the size of the pod.
#[divan::bench(args = [25, 50, 100])]
fn pod_of_kib(bencher: Bencher<'_, '_>, kib: usize) {
    measure(bencher, &injector(1), &review(&of_size(kib * 1024)), Verdict::Injected);
}

/// The limit for 2,000 is 2 ms.
#[divan::bench(args = [1000, 2000])]
fn pod_with_env_vars(bencher: Bencher<'_, '_>, count: usize) {
    let pod = asking(pod(vec![container("web", count)]));
    measure(bencher, &injector(1), &review(&with_managed_fields(pod)), Verdict::Injected);
}

/// Templates that no pod requests must cost nothing.
#[divan::bench(args = [1, 1000])]
fn ordinary_pod_with_templates(bencher: Bencher<'_, '_>, count: usize) {
    measure(bencher, &injector(count), &review(&ordinary(true)), Verdict::Injected);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Injected,
    Untouched,
}

fn measure(bencher: Bencher<'_, '_>, injector: &Injector, review: &[u8], verdict: Verdict) {
    check(injector, review, verdict);
    bencher
        .counter(BytesCount::of_slice(review))
        .bench(|| admission::review(injector, |_| None, divan::black_box(review)));
}

/// Between two reviews, other memory takes the place of ours in the caches.
fn measure_cold(bencher: Bencher<'_, '_>, review: &[u8], verdict: Verdict) {
    let injector = &injector(1);
    check(injector, review, verdict);
    let mut other = vec![1_u64; OTHER_MEMORY / size_of::<u64>()];
    bencher
        .counter(BytesCount::of_slice(review))
        .with_inputs(|| other.iter_mut().for_each(|word| *word = divan::black_box(*word).wrapping_add(1)))
        .bench_local_values(|()| admission::review(injector, |_| None, divan::black_box(review)));
}

fn check(injector: &Injector, review: &[u8], verdict: Verdict) {
    let answer = admission::review(injector, |_| None, review);
    let body: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
    let found = if body["response"]["patch"].is_string() { Verdict::Injected } else { Verdict::Untouched };
    assert_eq!((answer.status, &body["response"]["allowed"], found), (200, &json!(true), verdict), "{body}");
}

/// `count` templates, the built-in log collector among them.
fn injector(count: usize) -> Injector {
    let copy = |index: usize| {
        let name = if index == 0 { "log-collector".to_owned() } else { format!("log-collector-{index}") };
        let text = LOG_COLLECTOR.replacen("name: log-collector\n", &format!("name: {name}\n"), 1);
        SourceText { origin: format!("{name}.yaml"), text }
    };
    let loaded = TemplateSet::load(&(0..count).map(copy).collect::<Vec<_>>());
    assert_eq!((loaded.templates.len(), loaded.problems), (count, vec![]));
    Injector::new(loaded.templates, Settings::default())
}

/// A pod that requests injection, with containers added until it has at least this size without its
/// managed fields.
fn of_size(bytes: usize) -> Value {
    let mut containers = vec![container("web", 20)];
    while containers.iter().map(|container| container.to_string().len()).sum::<usize>() < bytes {
        containers.push(container(&format!("worker-{}", containers.len()), 20));
    }
    with_managed_fields(asking(pod(containers)))
}
