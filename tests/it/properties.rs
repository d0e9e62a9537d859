//! Property tests: the laws of the engine hold for generated pods and templates.
//!
//! `PROPTEST_CASES=100000 cargo test --test it properties` runs more cases. A failing case is
//! shrunk and printed as YAML; after the fix it becomes a golden case.
//!
//! Invariant: the laws use only the pods before and after and the patch, never what the engine
//! reports about itself.

mod case;
mod laws;
mod model;
mod passes;
mod paths;
mod pieces;
mod pods;
mod resolve;
mod templates;

use crate::support::injected_pod;
use case::{Case, INJECT, STATUS, annotate, cases, yaml};
use laws::{Injected, LAWS};
use outrigger::inject::{Blame, Outcome, SkipReason};
use pieces::{any_text, unknown};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Shrunk cases become golden cases, not seeds.
fn config() -> Config {
    Config { failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Every injection obeys every law.
    #[test]
    fn every_law_holds_for_every_injection(case in cases()) {
        let injector = case.injector();
        if let Ok(Outcome::Injected(injection)) = case.inject(&injector, &case.pod) {
            laws_hold(&Injected::new(&case, &injector, injection), |_| true)?;
        }
    }

    /// A skip has reasons, and a refusal has one line that is safe to print in a terminal.
    #[test]
    fn every_refusal_and_skip_has_a_reason(case in cases()) {
        match case.inject(&case.injector(), &case.pod) {
            Ok(Outcome::Injected(injection)) => prop_assert!(injection.warnings.iter().all(|text| is_one_line(text))),
            Ok(Outcome::Skipped(skip)) => {
                prop_assert!(!skip.reasons.is_empty() || !skip.errors.is_empty(), "skipped without a reason");
                prop_assert!(skip.errors.len() <= skip.warnings.len(), "an error became no warning: {skip:?}");
                prop_assert!(skip.warnings.iter().all(|text| is_one_line(text)), "{skip:?}");
            }
            Err(error) => {
                prop_assert!(is_one_line(&error.to_string()), "{error:?}");
                prop_assert!(error.blame() != Blame::Injector, "a fault of ours: {error}");
                prop_assert!(error.problems().iter().all(|problem| !problem.message.to_string().is_empty()), "{error:?}");
            }
        }
    }

    /// A pod that requests more templates later: the laws hold for the added ones, and all can be
    /// removed again.
    #[test]
    fn every_law_holds_for_templates_added_in_a_second_pass(case in cases(), asked_first in select(&["alpha", "beta", "gamma"][..])) {
        let injector = case.injector();
        let mut first = case.clone();
        annotate(&mut first.pod, INJECT, asked_first.to_owned());
        first.pod["metadata"]["annotations"].as_object_mut().expect("annotations").remove(STATUS);
        let Ok(Outcome::Injected(injection)) = case.inject(&injector, &first.pod) else { return Ok(()) };
        let mut second = Case { pod: injected_pod(&first.pod, &injection), ..case.clone() };
        let asked = case.templates.iter().filter_map(|template| template["metadata"]["name"].as_str());
        annotate(&mut second.pod, INJECT, asked.collect::<Vec<_>>().join(","));
        if let Ok(Outcome::Injected(injection)) = second.inject(&injector, &second.pod) {
            let injected = Injected::new(&second, &injector, injection);
            laws_hold(&injected, |name| name != laws::UNINJECT)?;
            let mut original = laws::without_managed_fields(&first.pod);
            original["metadata"]["annotations"][INJECT] = second.pod["metadata"]["annotations"][INJECT].clone();
            passes::uninject_gives(&original, &injected.after).map_err(|why| failure(laws::UNINJECT, &why, &injected))?;
        }
    }

    /// Any JSON as a pod gets a verdict without a panic; a patch is never empty and always applies.
    #[test]
    fn any_json_gets_a_verdict(case in cases(), place in any::<prop::sample::Index>(), value in unknown()) {
        let injector = case.injector();
        let mut pod = case.pod.clone();
        let mut places = paths_to(&pod, String::new());
        let place = places.swap_remove(place.index(places.len()));
        *pod.pointer_mut(&place).expect("one of its places") = value;
        let case = Case { pod, ..case };
        if let Ok(Outcome::Injected(injection)) = case.inject(&injector, &case.pod) {
            laws_hold(&Injected::new(&case, &injector, injection), |name| laws::HOLD_FOR_ANY_JSON.contains(&name))?;
        }
    }

    /// Text from an annotation is inserted unchanged into the strings that mention it, and nowhere
    /// else.
    #[test]
    fn a_parameter_changes_only_the_leaves_that_mention_it(pod in pods::pod(), text in prop_oneof![any_text(), any::<String>()]) {
        const MARK: &str = "mark-0f9c";
        let case = Case::with_parameter_everywhere(pod);
        let injector = case.injector();
        let with = |text: &str| {
            let mut pod = laws::without_managed_fields(&case.pod);
            annotate(&mut pod, Case::PARAMETER, text.to_owned());
            match case.inject(&injector, &pod) {
                Ok(Outcome::Injected(injection)) => Ok(Some(injected_pod(&pod, &injection))),
                Ok(Outcome::Skipped(skip)) if skip.reasons == [SkipReason::WindowsPod] => Ok(None),
                other => Err(TestCaseError::fail(format!("with {text:?}: {other:?}\n{case:?}"))),
            }
        };
        let expected = with(MARK)?.map(|pod| substitute(pod, MARK, &text));
        prop_assert_eq!(expected, with(&text)?);
    }
}

fn is_one_line(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(char::is_control)
}

fn laws_hold(injected: &Injected<'_>, which: impl Fn(&str) -> bool) -> Result<(), TestCaseError> {
    let mut laws = LAWS.into_iter().filter(|(name, _)| which(name));
    laws.try_for_each(|(name, law)| law(injected).map_err(|why| failure(name, &why, injected)))
}

fn failure(law: &str, why: &str, injected: &Injected<'_>) -> TestCaseError {
    TestCaseError::fail(format!(
        "{law}: {why}\n# --- pod.yaml\n{}# --- patch\n{}",
        yaml(&injected.case.pod),
        injected.shown_patch()
    ))
}

/// Pointers to every value within.
fn paths_to(value: &Value, here: String) -> Vec<String> {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    let below = below.into_iter().flat_map(|(key, value)| paths_to(value, format!("{here}/{key}")));
    std::iter::once(here.clone()).chain(below).collect()
}

/// Replaces one text by another in every string.
fn substitute(value: Value, from: &str, to: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(from, to)),
        Value::Array(items) => items.into_iter().map(|item| substitute(item, from, to)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, substitute(value, from, to))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// The generator produces every verdict often enough for the laws to mean something. The seed is
/// fixed.
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
