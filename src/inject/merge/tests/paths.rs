//! Tests of the paths in the statuses of the golden cases.

use super::*;
use crate::inject::annotations::{AnnotationKeys, DEFAULT_DOMAIN};
use crate::inject::status::Status;
use crate::inject::{Injector, Request, Settings, SourceText, TemplateSet};
use std::fs;
use std::path::Path;

/// The pod of a case and, if the case injects templates, the pod afterwards.
fn pods_of(case: &Path) -> Vec<Value> {
    let read = |name: &str| fs::read_to_string(case.join(name)).unwrap_or_default();
    let Ok(pod) = serde_saphyr::from_str::<Value>(&read("pod.yaml")) else { return Vec::new() };
    let sources = [SourceText { origin: "templates.yaml".to_owned(), text: read("templates.yaml") }];
    let injector = Injector::new(TemplateSet::load(&sources).templates, Settings::default());
    match injector.inject(&Request::create_pod("demo", &pod.to_string())) {
        Ok(Outcome::Injected(injection)) => vec![patched(&pod, &injection), pod],
        _ => vec![pod],
    }
}

#[test]
fn every_path_of_a_golden_status_resolves_in_the_pod() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/inject");
    let cases = fs::read_dir(cases).expect("the golden cases").map(|case| case.expect("a case").path());
    let keys = AnnotationKeys::new(DEFAULT_DOMAIN);
    let mut seen = std::collections::BTreeSet::new();
    for pod in cases.flat_map(|case| pods_of(&case)) {
        let status = pod["metadata"]["annotations"][&keys.status].as_str().and_then(Status::parse);
        for entry in status.into_iter().flat_map(|status| status.templates) {
            for path in entry.added.iter().chain(entry.replaced.keys()) {
                assert_eq!(MergePath::of(path.segments()), *path);
                let key = json!(path.to_status_key());
                assert_eq!(serde_json::from_value::<MergePath>(key).expect("a path"), *path);
                assert!(path.to_pointer(&pod).is_some(), "{path}");
                seen.insert(path.clone());
            }
        }
    }
    assert!(seen.len() > 50, "only {} paths were seen", seen.len());
}
