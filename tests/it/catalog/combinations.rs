//! Templates of the catalog together in one pod.
//!
//! The parameters are those of the examples, the pod is a plain one.
//!
//! Invariant: every two templates can be had together, unless one of them says that it excludes the
//! other.

use std::collections::BTreeSet;

use outrigger::inject::Injector;

use super::files::{Catalog, Entry, NamedSet, named_sets, plain_pod};
use crate::golden::case::Verdict;

/// Fewer named sets than this mean that the file is incomplete.
const AT_LEAST: usize = 5;

/// Injects these templates; a problem if one of them is missing, in conflict or breaks a law.
fn problem(catalog: &Catalog, injector: &Injector, templates: &[&str]) -> Option<String> {
    let pod = catalog.ask(&plain_pod(), templates);
    let problem = |problem: String| Some(format!("{}: {problem}", templates.join(", ")));
    let result = match super::run(injector, &super::outlines(catalog, &pod), &pod) {
        Ok(result) => result,
        Err(why) => return problem(why),
    };
    match result.verdict {
        Verdict::Injected if templates.iter().all(|name| result.templates.iter().any(|injected| injected == name)) => {
            None
        }
        Verdict::Injected => problem(format!("only {:?} are injected", result.templates)),
        Verdict::Skipped => problem(format!("skipped: {:?}, {:?}", result.reasons, result.warnings)),
        Verdict::Refused | Verdict::Failed => problem(result.message.unwrap_or_default()),
    }
}

#[test]
fn every_template_is_injected_into_a_plain_pod() {
    let catalog = Catalog::read();
    let injector = catalog.injector();
    let problems = super::problems(&catalog.entries, |entry| problem(&catalog, &injector, &[&entry.name]));
    assert!(problems.is_empty(), "{} templates:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn every_two_templates_are_injected_together_in_both_orders() {
    let catalog = Catalog::read();
    let injector = catalog.injector();
    // Those that cannot be had alone are the problem of the test above.
    let alone = |entry: &&Entry| problem(&catalog, &injector, &[&entry.name]).is_none();
    let alone: BTreeSet<&str> = catalog.entries.iter().filter(alone).map(|entry| entry.name.as_str()).collect();
    let pairs: Vec<[&str; 2]> = catalog
        .pairs()
        .iter()
        .filter(|pair| pair.iter().all(|entry| alone.contains(entry.name.as_str())))
        .flat_map(|[first, second]| [[&*first.name, &*second.name], [&*second.name, &*first.name]])
        .collect();
    let problems = super::problems(&pairs, |pair| problem(&catalog, &injector, pair));
    assert!(problems.is_empty(), "{} of {} pairs:\n{}", problems.len(), pairs.len(), problems.join("\n"));
}

#[test]
fn templates_that_exclude_each_other_are_refused_together() {
    let catalog = Catalog::read();
    let injector = catalog.injector();
    for (index, first) in catalog.entries.iter().enumerate() {
        for second in catalog.entries[index + 1..].iter().filter(|second| first.excludes(second)) {
            let pod = catalog.ask(&plain_pod(), &[&first.name, &second.name]);
            let result = super::run(&injector, "", &pod).expect("a verdict");
            let named = format!("{}, {}: {:?}", first.name, second.name, result.message);
            assert_eq!(result.verdict, Verdict::Refused, "{named}");
            assert!(result.codes.contains(&"template_excluded".to_owned()), "{named}");
        }
    }
}

#[test]
fn every_named_set_is_injected_together() {
    let catalog = Catalog::read();
    let injector = catalog.injector();
    let sets = named_sets();
    assert!(sets.len() >= AT_LEAST, "{} sets", sets.len());
    let of_set = |set: &NamedSet| {
        let names: Vec<&str> = set.templates.iter().map(String::as_str).collect();
        let missing: Vec<&&str> = names.iter().filter(|name| catalog.entry(name).is_none()).collect();
        let faults = [
            (names.len() < 3).then(|| "has fewer than three templates".to_owned()),
            set.why.is_empty().then(|| "says no why".to_owned()),
            (!missing.is_empty()).then(|| format!("the catalog has no {missing:?}")),
        ];
        let fault = faults.into_iter().flatten().next().or_else(|| problem(&catalog, &injector, &names));
        fault.map(|fault| format!("set {}: {fault}", set.name))
    };
    let problems = super::problems(&sets, of_set);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn all_templates_that_do_not_exclude_each_other_are_injected_into_one_pod() {
    let catalog = Catalog::read();
    let names: Vec<&str> = catalog.all_together().iter().map(|entry| entry.name.as_str()).collect();
    assert!(names.len() * 2 > catalog.entries.len(), "only {names:?} can be had together");
    assert_eq!(problem(&catalog, &catalog.injector(), &names), None);
}
