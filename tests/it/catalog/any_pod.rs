//! Every template and every named set of the catalog with every pod of `tests/testdata/catalog/pods`.
//!
//! Invariant: a pod is injected within the laws, or refused with a reason that its author can act
//! on; nothing panics, and no template is to blame.

use std::collections::BTreeSet;

use outrigger::inject::{Injector, NativeSidecars};
use serde_json::Value;

use super::files::{Catalog, pods, requests};
use crate::golden::case::Verdict;

/// Fewer pods than this mean that the folder is incomplete.
const AT_LEAST: usize = 60;
const SHORTEST_SENTENCE: usize = 20;

/// Injects these templates into the pod; a problem if they neither fit nor refuse it with a reason.
fn problem(catalog: &Catalog, injector: &Injector, templates: &[&str], file: &str, pod: &Value) -> Option<String> {
    let pod = catalog.ask(pod, templates);
    let problem = match super::run(injector, &super::outlines(catalog, &pod), &pod) {
        Err(why) => why,
        Ok(result) => match result.verdict {
            Verdict::Failed => format!("{:?}: {}", result.codes, result.message.unwrap_or_default()),
            Verdict::Refused if result.message.as_ref().is_none_or(|message| message.len() < SHORTEST_SENTENCE) => {
                format!("refused without a sentence: {:?}", result.message)
            }
            Verdict::Skipped if result.reasons.is_empty() && result.codes.is_empty() => {
                "skipped without a reason".to_owned()
            }
            _ => return None,
        },
    };
    Some(format!("{}, {file}: {problem}", templates.join(" + ")))
}

fn every_group_fits_or_refuses(native_sidecars: NativeSidecars) {
    let catalog = Catalog::read();
    let injector = catalog.injector_for(native_sidecars);
    let (pods, mut groups) = (pods(), catalog.groups());
    // Those that do not load are the problem of `combinations`.
    groups.retain(|group| group.iter().all(|name| injector.templates().contains(name)));
    let cases: Vec<_> =
        groups.iter().flat_map(|group| pods.iter().map(move |(file, pod)| (group, file, pod))).collect();
    let problems = super::problems(&cases, |(group, file, pod)| problem(&catalog, &injector, group, file, pod));
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
