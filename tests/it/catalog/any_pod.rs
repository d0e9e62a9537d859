//! Every template and every named set of the catalog with every pod of `tests/testdata/catalog/pods`.
//!
//! Invariant: a pod is injected within the laws, or refused with a reason that its author can act
//! on; nothing panics, and no template is to blame.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use outrigger::inject::NativeSidecars;

use super::files::{Catalog, pods, requests};
use crate::golden::case::Verdict;
use crate::golden::runner::CaseResult;

/// Fewer pods than this mean that the folder is incomplete.
const AT_LEAST: usize = 60;
const SHORTEST_SENTENCE: usize = 20;
/// One pod of so many, at least, gets each template: one that refuses all of them would prove nothing.
const LEAST_SHARE: usize = 3;

/// Without native sidecars, each template gets one pod of so many, each time others.
const FEWER: usize = 4;

/// How often each group of templates had each result: `injected`, `skipped`, or a code.
type Counts = Mutex<BTreeMap<String, BTreeMap<String, usize>>>;

/// A problem if the templates neither fit into a pod nor refuse it with a reason.
fn problem(counts: &Counts, templates: &str, result: Result<CaseResult, String>) -> Option<String> {
    let result = match result {
        Ok(result) => result,
        Err(why) => return Some(why),
    };
    let kind = match result.verdict {
        Verdict::Injected => "injected".to_owned(),
        Verdict::Skipped => "skipped".to_owned(),
        Verdict::Refused | Verdict::Failed => result.codes.first().cloned().unwrap_or_default(),
    };
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    *counts.entry(templates.to_owned()).or_default().entry(kind).or_default() += 1;
    match result.verdict {
        Verdict::Failed => Some(format!("{:?}: {}", result.codes, result.message.unwrap_or_default())),
        Verdict::Refused if result.message.as_ref().is_none_or(|message| message.len() < SHORTEST_SENTENCE) => {
            Some(format!("refused without a sentence: {:?}", result.message))
        }
        Verdict::Skipped if result.reasons.is_empty() && result.codes.is_empty() => {
            Some("skipped without a reason".to_owned())
        }
        _ => None,
    }
}

fn every_group_fits_or_refuses(native_sidecars: NativeSidecars) {
    let catalog = Catalog::read();
    let injector = catalog.injector_for(native_sidecars);
    let (pods, mut groups) = (pods(), catalog.groups());
    // Those that do not load are the problem of `combinations`.
    groups.retain(|group| group.iter().all(|name| injector.templates().contains(name)));
    groups.retain(|group| native_sidecars == NativeSidecars::Supported || group.len() == 1);
    let step = if native_sidecars == NativeSidecars::Supported { 1 } else { FEWER };
    let of_group =
        |(number, group)| pods.iter().skip(number % step).step_by(step).map(move |(file, pod)| (group, file, pod));
    let cases: Vec<_> = groups.iter().enumerate().flat_map(of_group).collect();
    let counts = Counts::default();
    let mut problems = super::problems(&cases, |(group, file, pod)| {
        let pod = catalog.ask(pod, group);
        let result = super::run(&injector, &super::outlines(&catalog, &pod), &pod);
        let group = group.join(" + ");
        Some(format!("{group}, {file}: {}", problem(&counts, &group, result)?))
    });
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (group, results) in &counts {
        println!("{group}: {results:?}");
        let injected = results.get("injected").copied().unwrap_or_default();
        if injected * step * LEAST_SHARE < pods.len() && !group.contains('+') {
            problems.push(format!("{group}: only {injected} pods are injected"));
        }
    }
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), cases.len(), problems.join("\n"));
}

#[test]
fn every_template_and_named_set_is_injected_into_any_pod_or_refuses_it_with_a_reason() {
    every_group_fits_or_refuses(NativeSidecars::Supported);
}

#[test]
fn without_native_sidecars_too_any_pod_is_injected_or_refused_with_a_reason() {
    every_group_fits_or_refuses(NativeSidecars::Unsupported);
}

#[test]
fn the_corpus_has_sixty_named_pods_that_ask_for_nothing() {
    let pods = pods();
    assert!(pods.len() >= AT_LEAST, "{} pods", pods.len());
    let mut names = BTreeSet::new();
    for (file, pod) in &pods {
        assert_eq!(requests(pod), [""; 0], "{file} asks for templates");
        assert_eq!(pod["kind"], "Pod", "{file}");
        let text = super::files::text_of(&format!("tests/testdata/catalog/pods/{file}.yaml")).unwrap_or_default();
        assert!(text.starts_with("# "), "{file}: the first line says what the pod is");
        let name = pod["metadata"]["name"].as_str().or_else(|| pod["metadata"]["generateName"].as_str());
        assert!(names.insert(name.map(str::to_owned).unwrap_or_default()), "{file}: another pod is named {name:?}");
    }
}
