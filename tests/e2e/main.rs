//! Outrigger in a cluster whose pods run: kind, a node of one's own, any other made for the purpose.
//!
//! The cluster and the images come from the environment (README.md); without them the tests say on standard error that they are skipped.
//! All share the one cluster, so this runs them itself, one after the other: installed by kustomize, then by the chart.
//! Invariant: the cluster is found without Outrigger and left so, whatever fails.

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

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use cluster::Cluster;
use installation::{Installation, Method};
use settings::{Absence, Settings};

/// One thing that is shown of an installation.
struct Test {
    name: &'static str,
    installed_by: &'static [Method],
    run: fn(&Installation<'_>),
}

const TESTS: [Test; 5] = [
    Test { name: "sidecars_run_beside_the_app", installed_by: &Method::ALL, run: sidecars::run_beside_the_app },
    Test { name: "helm_test_passes", installed_by: &[Method::Chart], run: helm_test::passes_and_cleans_up },
    Test {
        name: "without_replicas_only_pods_that_ask_wait",
        installed_by: &Method::ALL,
        run: outage::only_pods_that_ask_wait_for_us,
    },
    Test { name: "check_says_what_is_wrong", installed_by: &Method::ALL, run: check::says_what_is_wrong },
    Test { name: "faults_fail_no_pod", installed_by: &Method::ALL, run: faults::fail_no_pod },
];

/// What has been shown so far.
#[derive(Default)]
struct Results {
    passed: usize,
    failed: Vec<String>,
}

impl Results {
    /// Runs one test; whether it passed. Its own words and those of a panic are printed as they come.
    fn run(&mut self, name: &str, test: impl FnOnce()) -> bool {
        println!("test {name} ...");
        let start = Instant::now();
        let has_passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        let result = if has_passed { "ok" } else { "FAILED" };
        println!("test {name} ... {result} ({:.0} s)", start.elapsed().as_secs_f32());
        if has_passed {
            self.passed += 1;
        } else {
            self.failed.push(name.to_owned());
        }
        has_passed
    }
}

/// Words of the command line, as those of every test binary: parts of names, one of which has to match.
fn chosen_names(arguments: &[String]) -> Vec<String> {
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let named = |test: &Test| {
        let name = test.name;
        test.installed_by.iter().map(move |method| format!("{}::{name}", method.name())).collect::<Vec<_>>()
    };
    let is_chosen = |name: &String| filters.is_empty() || filters.iter().any(|filter| name.contains(*filter));
    TESTS.iter().flat_map(named).filter(is_chosen).collect()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chosen = chosen_names(&arguments);
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.iter().for_each(|name| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(Absence::NotAsked) => {
            eprintln!("SKIPPED e2e: all {} tests: OUTRIGGER_E2E_KUBECONFIG is not set: no cluster", chosen.len());
            return ExitCode::SUCCESS;
        }
        Err(Absence::Wrong(problem)) => {
            eprintln!("error: {problem}");
            return ExitCode::FAILURE;
        }
    };
    if chosen.is_empty() {
        eprintln!("error: no test is called like one of {arguments:?}; --list names them all");
        return ExitCode::FAILURE;
    }
    let cluster = Cluster::connect(settings);
    cluster.load_images();
    let mut results = Results::default();
    for method in Method::ALL {
        let prefix = format!("{}::", method.name());
        if chosen.iter().any(|name| name.starts_with(&prefix)) {
            test_installation(&cluster, method, &chosen, &mut results);
        }
    }
    let failed = results.failed.len();
    println!("\ntest result: {} passed; {failed} failed", results.passed);
    results.failed.iter().for_each(|name| println!("    {name}"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Installs, runs what was chosen, and removes.
fn test_installation(cluster: &Cluster, method: Method, chosen: &[String], results: &mut Results) {
    let installation = Installation::new(cluster, method);
    let before = inventory::take(cluster);
    let ours: Vec<&String> = before.iter().filter(|name| name.contains("outrigger")).collect();
    assert!(ours.is_empty(), "the cluster has an Outrigger already, or what is left of one: {ours:?}");
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
        is_well &= run("removal_leaves_nothing", results, &|| removal::leaves_nothing(&installation, &before));
    }
    if !is_well {
        installation.clean_up();
    }
}
