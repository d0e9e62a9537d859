//! The laws of the engine, held to generated pods and templates.
//!
//! `PROPTEST_CASES=100000 cargo test --test it properties` looks longer. A failing case is shrunk and printed as YAML: with the
//! fault mended it becomes a golden case.
//!
//! Invariant: nothing is compared with what the engine says of itself, but the pods before and after, and the patch.

mod case;
mod laws;
mod paths;
mod pieces;
mod pods;
mod templates;

use case::{Case, cases};
use laws::{Injected, LAWS};
use outrigger::inject::{Blame, Outcome};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;

/// Shrunk cases are kept as golden cases, not as seeds.
fn config() -> Config {
    Config { failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Whatever is injected is injected by all laws.
    #[test]
    fn every_law_holds_for_every_injection(case in cases()) {
        let injector = case.injector();
        if let Ok(Outcome::Injected(injection)) = case.inject(&injector, &case.pod) {
            let injected = Injected::new(&case, &injector, injection);
            for (name, law) in LAWS {
                if let Err(why) = law(&injected) {
                    return Err(TestCaseError::fail(format!("{name}: {why}\n# --- patch\n{}", injected.shown_patch())));
                }
            }
        }
    }
}

/// The generator reaches every verdict often enough for the laws to mean something. The seed is fixed.
#[test]
fn the_generator_is_not_degenerate() {
    const CASES: u32 = 500;
    let mut verdicts: BTreeMap<String, u32> = BTreeMap::new();
    let mut runner = TestRunner::new_with_rng(config(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    for _ in 0..CASES {
        let case = cases().new_tree(&mut runner).expect("a case").current();
        for verdict in verdicts_of(&case) {
            *verdicts.entry(verdict).or_default() += 1;
        }
    }
    println!("{verdicts:#?}");
    let percent = |verdict: &str| verdicts.get(verdict).copied().unwrap_or_default() * 100 / CASES;
    for (verdict, least) in [("injected", 40), ("skipped", 5), ("refused", 10), ("conflict", 5)] {
        assert!(percent(verdict) >= least, "{verdict}: less than {least} % of {verdicts:#?}");
    }
    assert!(percent("failed") <= 5, "the generator blames templates: {verdicts:#?}");
}

/// The verdict, and every reason or error code.
fn verdicts_of(case: &Case) -> Vec<String> {
    let injector = case.injector();
    match case.inject(&injector, &case.pod) {
        Ok(Outcome::Injected(_)) => vec!["injected".to_owned()],
        Ok(Outcome::Skipped(skip)) => std::iter::once("skipped")
            .chain(skip.reasons.iter().map(|reason| reason.code()))
            .map(str::to_owned)
            .collect(),
        Err(error) => {
            let verdict = if error.blame() == Blame::Pod { "refused" } else { "failed" };
            std::iter::once(verdict).chain(error.codes().iter().map(|code| code.code())).map(str::to_owned).collect()
        }
    }
}
