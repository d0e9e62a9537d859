//! Tests of the merge, one for each rule.

use super::*;
use crate::inject::tests::{Injected, agent, inject, injected, injector, patched, pod, refused, template};
use crate::inject::{Blame, ErrorCode, Outcome};
use serde_json::json;

mod equality;
mod merge_keys;
mod overrides;
mod paths;
mod placement;
mod port_conflicts;
mod token;
mod union;

/// Names of the items of a list of the spec.
fn names(pod: &Value, list: &str) -> Vec<String> {
    let items = pod["spec"][list].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// A pod after injection of one template with this spec.
fn merged(spec: Value, change: impl FnOnce(&mut Value)) -> Injected {
    let mut pod = pod("agent", json!({}));
    change(&mut pod);
    injected(&injector(&[template("agent", spec)]), &pod)
}

/// The conflicts of one template with a pod that requests it.
fn conflicts(spec: Value, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut pod = pod("agent", json!({}));
    change(&mut pod);
    let error = refused(&injector(&[template("agent", spec)]), &pod);
    assert_eq!((error.codes().as_slice(), error.blame()), ([ErrorCode::Conflict].as_slice(), Blame::Pod));
    error.problems().iter().map(|problem| problem.message.to_string()).collect()
}
