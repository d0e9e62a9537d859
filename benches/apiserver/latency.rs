//! How much each method of injection adds to the creation of a pod, measured in paired rounds of
//! one run.
//!
//! Each round creates the same pod by server-side dry run in one namespace after the other. Only
//! differences within a round are compared, so that a slow minute of the machine affects all
//! methods alike.
//!
//! Invariant: a pod without the expected sidecar ends the run.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, names, request};
use crate::constant::Constant;
use crate::outrigger::{Outrigger, register_as};
use crate::process::eventually;
use crate::{TEMPLATE, asking_pod, policy, registration};

const WARM_UP: usize = 50;

/// One method of injection.
struct Variant {
    what: &'static str,
    namespace: Namespace,
    injects: bool,
    rounds: Vec<Vec<Duration>>,
}

/// Measures all methods and prints a table.
pub fn run(cluster: &'static Cluster, outrigger: &Outrigger, rounds: usize, per_round: usize) {
    let mut variants = variants(cluster, outrigger);
    check_equal(&variants);
    for variant in &mut variants {
        measure(variant, WARM_UP);
        variant.rounds.clear();
    }
    for round in 0..rounds {
        for index in 0..variants.len() {
            // The order rotates, so that no method is always first.
            let index = (index + round) % variants.len();
            measure(&mut variants[index], per_round);
        }
    }
    println!(
        "The API server calls the constant patch twice: its own plugins mount the token into the sidecar, and it calls the webhook again. Outrigger mounts the token at once."
    );
    println!("## Creation of a pod by server-side dry run, {rounds} rounds of {per_round} for each method");
    println!("{:<44} {:>9} {:>9} {:>9} {:>9}", "", "p50", "added", "p99", "added");
    let nothing = medians(&variants[0]);
    let mut figures = Vec::new();
    for variant in &variants {
        let all = all(variant);
        let ms = |share: f64| percentile(&all, share).as_secs_f64() * 1e3;
        let (p50, p99) = (added(variant, &nothing), ms(0.99) - p99_of(&variants[0]));
        println!("{:<44} {:>6.3} ms {p50:>+6.3} ms {:>6.3} ms {p99:>+6.3} ms", variant.what, ms(0.5), ms(0.99));
        figures.push((variant.what, p50));
    }
    compare(&figures);
}

/// The median of each round, in milliseconds.
fn medians(variant: &Variant) -> Vec<f64> {
    let median = |round: &Vec<Duration>| {
        let mut round = round.clone();
        round.sort();
        percentile(&round, 0.5).as_secs_f64() * 1e3
    };
    variant.rounds.iter().map(median).collect()
}

/// The median over the rounds of the time that `variant` takes in addition to `nothing`.
fn added(variant: &Variant, nothing: &[f64]) -> f64 {
    let mut differences: Vec<f64> = medians(variant).iter().zip(nothing).map(|(own, none)| own - none).collect();
    differences.sort_by(f64::total_cmp);
    differences[differences.len() / 2]
}

fn all(variant: &Variant) -> Vec<Duration> {
    let mut all: Vec<Duration> = variant.rounds.concat();
    all.sort();
    all
}

fn p99_of(variant: &Variant) -> f64 {
    percentile(&all(variant), 0.99).as_secs_f64() * 1e3
}

/// The value that this share of a sorted list does not exceed.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

fn compare(added: &[(&str, f64)]) {
    let Some((ours, rest)) = added.split_last() else { return };
    for (what, p50) in &rest[1..] {
        println!("{} adds {:.2} × what \"{what}\" adds (p50)", ours.0, ours.1 / p50);
    }
    println!();
}

/// No webhook first, Outrigger last.
fn variants(cluster: &'static Cluster, outrigger: &Outrigger) -> Vec<Variant> {
    let variant = |what, name: &str, injects| Variant {
        what,
        namespace: cluster.namespace(name, name),
        injects,
        rounds: Vec::new(),
    };
    let none = variant("no webhook", "none", false);

    let plain = variant("a webhook that answers \"allowed\"", "constant-allowed", false);
    let allowed = Constant::start(cluster, &json!({}));
    register_constant(&allowed, outrigger, &plain.namespace);
    registration::wait_until_called(&plain.namespace, || {
        plain.namespace.would_accept(&asking_pod());
        !allowed.last_review().is_empty()
    });

    let patching = variant("a webhook that answers a constant patch", "constant-patch", true);
    let answer = outrigger.answer(cluster, without_token(&allowed.last_review()));
    let same = Constant::start(cluster, &answer["response"]);
    register_constant(&same, outrigger, &patching.namespace);

    let policy = variant("an equal MutatingAdmissionPolicy", "policy", true);
    policy::register(cluster, &policy.namespace.name);

    let ours = variant("Outrigger", "outrigger", true);
    outrigger.register(&ours.namespace, "outrigger", TEMPLATE, |_| {});
    vec![none, plain, patching, policy, ours]
}

/// The review of a pod without a service account token. The token volume has a different name in
/// each pod, which a constant patch cannot know. The API server mounts the token itself and
/// therefore calls the constant webhook a second time.
fn without_token(review: &[u8]) -> Vec<u8> {
    let mut review: Value = serde_json::from_slice(review).expect("a review");
    review["request"]["object"]["spec"]["automountServiceAccountToken"] = json!(false);
    review.to_string().into_bytes()
}

/// Registers the constant webhook exactly like Outrigger, at its own address.
fn register_constant(constant: &Constant, outrigger: &Outrigger, namespace: &Namespace) {
    register_as(&outrigger.configuration(), namespace, &namespace.name, |webhook| {
        webhook["clientConfig"] = json!({"url": constant.url, "caBundle": constant.ca_bundle});
    });
}

/// All methods that inject create the same pod, apart from annotations.
fn check_equal(variants: &[Variant]) {
    let spec = |variant: &Variant| {
        let has_sidecar = |pod: &Value| names(pod, "/spec/initContainers") == ["tail"];
        let pod = eventually(variant.what, Duration::from_secs(30), || {
            Some(variant.namespace.would_accept(&asking_pod())).filter(|pod| has_sidecar(pod) == variant.injects)
        });
        // The name of the token volume is random for each pod.
        let text = pod["spec"].to_string();
        let token = text.split("kube-api-access-").nth(1).map(|rest| rest[..5].to_owned()).unwrap_or_default();
        serde_json::from_str::<Value>(&text.replace(&format!("kube-api-access-{token}"), "token")).expect("JSON")
    };
    let specs: Vec<(&str, Value)> =
        variants.iter().filter(|variant| variant.injects).map(|variant| (variant.what, spec(variant))).collect();
    for pair in specs.windows(2) {
        assert_eq!(pair[0].1, pair[1].1, "{} and {} make different pods", pair[0].0, pair[1].0);
    }
}

fn measure(variant: &mut Variant, count: usize) {
    let cluster = variant.namespace.cluster;
    let (client, path) = (cluster.client(), variant.namespace.path("pods?dryRun=All"));
    let body = asking_pod().to_string().into_bytes();
    let injects = variant.injects;
    let round = cluster.runtime.block_on(async {
        let mut round = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            let answer = request(&client, "POST", &path, "application/json", body.clone()).await;
            round.push(start.elapsed());
            let pod = answer.expect("an answer").expect_success();
            assert_eq!(names(&pod, "/spec/initContainers") == ["tail"], injects, "{path}: {pod}");
        }
        round
    });
    variant.rounds.push(round);
}
