//! The built-in templates in pods with short grace periods: their pauses before the end adapt.

use super::{injected, pod};
use crate::inject::{Injector, Settings, SourceText, TemplateSet};
use serde_json::{Value, json};

const LOG_COLLECTOR: &str = include_str!("../../../config/templates/log-collector.yaml");
const PROXY: &str = include_str!("../../../config/templates/proxy.yaml");

fn built_in() -> Injector {
    let source = |text: &str| SourceText { origin: "built-in.yaml".to_owned(), text: text.to_owned() };
    let loaded = TemplateSet::load(&[LOG_COLLECTOR, PROXY].map(source));
    assert_eq!(loaded.problems, vec![]);
    Injector::new(loaded.templates, Settings::default())
}

#[test]
fn the_pause_before_the_end_fits_into_the_grace_period() {
    let injector = built_in();
    for (template, period, seconds) in [
        ("log-collector", json!(null), json!(2)),
        ("log-collector", json!(30), json!(2)),
        ("log-collector", json!(4), json!(2)),
        ("log-collector", json!(2), json!(1)),
        ("log-collector", json!(1), json!(null)),
        ("log-collector", json!(0), json!(null)),
        ("proxy", json!(null), json!(5)),
        ("proxy", json!(30), json!(5)),
        ("proxy", json!(5), json!(4)),
        ("proxy", json!(2), json!(1)),
        ("proxy", json!(1), json!(null)),
        ("proxy", json!(0), json!(null)),
        ("proxy", json!(-1), json!(null)),
    ] {
        let mut pod = pod(template, json!({}));
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8080}]);
        pod["spec"]["terminationGracePeriodSeconds"] = period.clone();
        let sidecar = injected(&injector, &pod).pod["spec"]["initContainers"][0].clone();
        let found = sidecar.pointer("/lifecycle/preStop/sleep/seconds").cloned().unwrap_or_default();
        assert_eq!(found, seconds, "{template}, {period}");
        assert!(seconds != Value::Null || sidecar.get("lifecycle").is_none(), "{sidecar}");
    }
}
