//! Outrigger in a cluster with a real kubelet: kind, or any other cluster created for the tests.
//!
//! The cluster and the images come from the environment (README.md); without them all tests are
//! ignored, which the end of the output reports. The tests share one cluster, so this program runs
//! them one after the other: first installed by kustomize, then by the chart.
//!
//! Invariant: the cluster has no Outrigger before and after the tests, even after a failure.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test or benchmark that cannot go on ends, and nobody imports it"
)]

#[allow(
    dead_code,
    unused_macros,
    reason = "here the tests are run one after the other, between installation and removal"
)]
#[path = "../harness/mod.rs"]
mod harness;

mod catalog;
mod check;
mod cluster;
mod faults;
mod helm_test;
mod installation;
mod inventory;
mod load;
mod node;
mod outage;
mod pods;
mod removal;
mod settings;
mod sidecars;
mod tenants;
mod upgrade;
mod volumes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use cluster::Cluster;
use harness::NotRun;
use installation::{Installation, Method};
use settings::{Absence, Settings};

/// One test of an installation.
struct Test {
    name: &'static str,
    installed_by: &'static [Method],
    run: fn(&Installation<'_>),
}

const TESTS: [Test; 9] = [
    Test { name: "sidecars_run_beside_the_app", installed_by: &Method::ALL, run: sidecars::run_beside_the_app },
    Test {
        name: "volumes_are_read_by_sidecars",
        installed_by: &[Method::Kustomize],
        run: volumes::are_read_by_sidecars,
    },
    Test {
        name: "templates_of_tenants_are_kept_apart",
        installed_by: &[Method::Kustomize],
        run: tenants::are_kept_apart,
    },
    Test {
        name: "upgrade_brings_pods_up_to_date",
        installed_by: &[Method::Kustomize],
        run: upgrade::brings_pods_up_to_date,
    },
    Test { name: "helm_test_passes", installed_by: &[Method::Chart], run: helm_test::passes_and_cleans_up },
    Test {
        name: "without_replicas_only_pods_that_request_injection_are_refused",
        installed_by: &Method::ALL,
        run: outage::only_pods_that_request_injection_are_refused,
    },
    Test { name: "check_reports_each_fault", installed_by: &Method::ALL, run: check::reports_each_fault },
    Test { name: "faults_fail_no_pod", installed_by: &Method::ALL, run: faults::fail_no_pod },
    Test {
        name: "a_stopped_api_server_fails_no_other_pod",
        installed_by: &Method::ALL,
        run: faults::a_stopped_api_server_fails_no_other_pod,
    },
];

/// The results so far.
#[derive(Default)]
struct Results {
    passed: usize,
    failed: Vec<String>,
    not_run: NotRun,
}

impl Results {
    /// Runs one test; returns whether it did not fail. Output and panic messages are printed
    /// directly.
    fn run(&mut self, name: &str, test: impl FnOnce()) -> bool {
        println!("test {name} ...");
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| harness::reason_not_run(test)));
        let seconds = start.elapsed().as_secs_f32();
        match outcome {
            Ok(None) => {
                println!("test {name} ... ok ({seconds:.0} s)");
                self.passed += 1;
                true
            }
            Ok(Some(reason)) => {
                self.ignore(name, reason);
                true
            }
            Err(_) => {
                println!("test {name} ... FAILED ({seconds:.0} s)");
                self.failed.push(name.to_owned());
                false
            }
        }
    }

    /// Counts a case of the catalog, which has run beside others.
    fn record(&mut self, outcome: catalog::Outcome) {
        let (name, seconds) = (outcome.name, outcome.duration.as_secs_f32());
        match outcome.failure {
            None => {
                println!("test {name} ... ok ({seconds:.0} s)");
                self.passed += 1;
            }
            Some(failure) => {
                println!("test {name} ... FAILED ({seconds:.0} s)\n{failure}");
                self.failed.push(name);
            }
        }
    }

    fn ignore(&mut self, name: &str, reason: String) {
        println!("test {name} ... ignored, {reason}");
        *self.not_run.entry(reason).or_default() += 1;
    }

    /// Prints the summary in the format of every test program; returns the exit code.
    fn conclude(&self, filtered_out: usize, start: Instant) -> ExitCode {
        let (passed, failed) = (self.passed, self.failed.len());
        let ignored: usize = self.not_run.values().sum();
        if failed > 0 {
            println!("\nfailures:\n    {}", self.failed.join("\n    "));
        }
        let result = if failed == 0 { "ok" } else { "FAILED" };
        println!(
            "\ntest result: {result}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; \
             {filtered_out} filtered out; finished in {:.2}s\n",
            start.elapsed().as_secs_f32()
        );
        harness::report(&self.not_run);
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn all_names() -> Vec<String> {
    let named = |test: &Test| {
        let name = test.name;
        test.installed_by.iter().map(move |method| format!("{}::{name}", method.name())).collect::<Vec<_>>()
    };
    TESTS.iter().flat_map(named).chain(catalog::names()).collect()
}

/// Tests selected by the words of the command line: each word is a part of a name, and one must
/// match.
fn chosen_names(arguments: &[String]) -> Vec<String> {
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_chosen = |name: &String| filters.is_empty() || filters.iter().any(|filter| name.contains(*filter));
    all_names().into_iter().filter(is_chosen).collect()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chosen = chosen_names(&arguments);
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.iter().for_each(|name| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let (start, mut results) = (Instant::now(), Results::default());
    let filtered_out = all_names().len() - chosen.len();
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(Absence::NotAsked) => {
            let reason = "OUTRIGGER_E2E_KUBECONFIG is not set, so there is no cluster";
            chosen.iter().for_each(|name| results.ignore(name, reason.to_owned()));
            return results.conclude(filtered_out, start);
        }
        Err(Absence::Wrong(problem)) => {
            eprintln!("error: {problem}");
            return ExitCode::FAILURE;
        }
    };
    if chosen.is_empty() {
        eprintln!("error: no test name matches {arguments:?}; --list prints all names");
        return ExitCode::FAILURE;
    }
    let cluster = Cluster::connect(settings);
    if cluster.settings.is_installed {
        test_catalog(&cluster, &chosen, &mut results);
        return results.conclude(filtered_out, start);
    }
    cluster.load_images();
    for method in Method::ALL {
        if chosen.iter().any(|name| belongs_to(method, name)) {
            test_installation(&cluster, method, &chosen, &mut results);
        }
    }
    results.conclude(filtered_out, start)
}

/// Whether a test of this name needs the installation. The catalog is tested once.
fn belongs_to(method: Method, name: &str) -> bool {
    name.starts_with(&format!("{}::", method.name())) || (method == Method::Kustomize && name.starts_with("catalog::"))
}

/// Runs the chosen cases of the catalog; returns whether all passed.
fn test_catalog(cluster: &Cluster, chosen: &[String], results: &mut Results) -> bool {
    let failed = results.failed.len();
    catalog::run(cluster, chosen, |outcome| results.record(outcome));
    results.failed.len() == failed
}

/// Installs, runs the chosen tests, and removes the installation.
fn test_installation(cluster: &Cluster, method: Method, chosen: &[String], results: &mut Results) {
    let installation = Installation::new(cluster, method);
    let before = inventory::take(cluster);
    let ours: Vec<&String> = before.iter().filter(|name| name.contains("outrigger")).collect();
    assert!(ours.is_empty(), "the cluster already has objects of Outrigger: {ours:?}");
    let named = |name: &str| format!("{}::{name}", method.name());

    let run = |name: &str, results: &mut Results, test: &dyn Fn()| {
        let has_passed = results.run(&named(name), test);
        if !has_passed {
            installation.show();
            installation.clean_up_after_test();
        }
        has_passed
    };
    let mut is_well = run("installs", results, &|| installation.install());
    if is_well {
        let is_chosen = |test: &&Test| test.installed_by.contains(&method) && chosen.contains(&named(test.name));
        for test in TESTS.iter().filter(is_chosen) {
            is_well &= run(test.name, results, &|| (test.run)(&installation));
        }
        if method == Method::Kustomize {
            is_well &= test_catalog(cluster, chosen, results);
        }
        is_well &= run("removal_leaves_nothing", results, &|| removal::leaves_nothing(&installation, &before));
    }
    if !is_well {
        installation.clean_up();
    }
}
