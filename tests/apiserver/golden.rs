//! Sends every golden result to a real API server with strict field validation.
//!
//! The golden cases are those of `tests/it`, run in process; their results are sent as a dry run.
//! `tests/it` checks whether a result is right.
//!
//! Invariant: all failing cases are listed, not only the first.

use std::path::Path;

use serde_json::{Value, json};

use crate::cluster::{Answer, Namespace, in_namespace, pod};
use crate::outrigger::with_built_in;
use case::{Case, Verdict};
use runner::{Offline, Runner};

#[allow(dead_code, reason = "shared with tests/it, which uses all of it")]
#[path = "../it/golden/case.rs"]
pub mod case;
#[allow(dead_code, reason = "shared with tests/it, which uses all of it")]
#[path = "../it/golden/runner.rs"]
pub mod runner;

tests! {
    every_golden_result_is_accepted,
    the_first_templates_are_accepted_with_any_grace_period,
}

/// Cases whose pod no API server accepts strictly, because of unknown fields or null labels:
/// `apiServer: false`. They are sent without field validation, and their number is fixed so that no
/// case is added by accident.
const WITHOUT_VALIDATION: usize = 3;

fn every_golden_result_is_accepted() {
    in_namespace("golden", "none", |namespace| {
        let (mut sent, mut lenient, mut failures) = (0, 0, Vec::new());
        for (name, case) in case::read_all() {
            let case = case.unwrap_or_else(|problems| panic!("{name}: {}", problems.join("; ")));
            let Some(pod) = injected(&name, &case) else { continue };
            let validation = if has_unknown_fields(&name) { "Ignore" } else { "Strict" };
            let answer = dry_run(namespace, &pod, validation);
            sent += 1;
            lenient += usize::from(validation == "Ignore");
            if !answer.is_success() {
                failures.push(format!("{name}: {}", answer.body["message"]));
            }
        }
        assert!(failures.is_empty(), "{} of {sent} are refused:\n{}", failures.len(), failures.join("\n"));
        assert!(sent >= 60 || std::env::var_os("GOLDEN").is_some(), "only {sent} golden cases are injected");
        assert!(lenient <= WITHOUT_VALIDATION, "{lenient} cases are sent without field validation");
    });
}

/// `catalog` sends the other built-in templates.
fn the_first_templates_are_accepted_with_any_grace_period() {
    with_built_in("built-in-templates", |namespace, _| {
        for name in ["log-collector", "proxy"] {
            for period in [json!(null), json!(0), json!(1), json!(2), json!(30)] {
                let mut pod = pod("web", &json!({"outrigger.dev/inject": name}));
                pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8080}]);
                pod["spec"]["terminationGracePeriodSeconds"] = period;
                let injected = namespace.would_accept(&pod);
                let status = injected["metadata"]["annotations"]["outrigger.dev/status"].as_str().unwrap_or_default();
                assert!(status.contains(&format!("\"{name}\"")), "{name}: {status}");
            }
        }
    });
}

/// The resulting pod of a case, if there is one.
fn injected(name: &str, case: &Case) -> Option<Value> {
    let result = Offline.run(case, &case.pod).unwrap_or_else(|problems| panic!("{name}: {}", problems.join("; ")));
    assert_eq!(result.verdict, case.verdict, "{name}: {:?}", result.message);
    if case.verdict == Verdict::Injected { result.pod } else { None }
}

/// The pod in this namespace, with a name; what it refers to exists.
pub fn prepared(namespace: &Namespace, pod: &Value) -> Value {
    let mut pod = pod.clone();
    pod["metadata"]["namespace"] = json!(namespace.name);
    if pod["metadata"].get("name").is_none() && pod["metadata"].get("generateName").is_none() {
        pod["metadata"]["name"] = json!("web");
    }
    for account in ["serviceAccountName", "serviceAccount"].into_iter().filter_map(|key| pod["spec"][key].as_str()) {
        namespace.ensure_service_account(account);
    }
    if let Some(class) = pod["spec"]["priorityClassName"].as_str().filter(|class| !class.starts_with("system-")) {
        namespace.ensure_priority_class(class, pod["spec"]["priority"].as_i64().unwrap_or(1000));
    }
    if let Some(class) = pod["spec"]["runtimeClassName"].as_str() {
        let class = json!({"metadata": {"name": class}, "handler": "tests"});
        namespace.cluster.ensure("/apis/node.k8s.io/v1/runtimeclasses", &class);
    }
    pod
}

/// Sends the pod as a new one of this namespace.
fn dry_run(namespace: &Namespace, pod: &Value, validation: &str) -> Answer {
    let path = namespace.path(&format!("pods?dryRun=All&fieldValidation={validation}"));
    namespace.cluster.send_object("POST", &path, &prepared(namespace, pod))
}

fn has_unknown_fields(name: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/inject").join(name).join("case.yaml");
    let case: Value = case::parse(&path).unwrap_or_else(|problems| panic!("{name}: {}", problems.join("; ")));
    case["apiServer"] == false
}
