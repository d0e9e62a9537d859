//! Golden cases: each folder of `tests/testdata/inject/` shows one rule of the engine by templates,
//! a pod and the result.
//!
//! Adding a case needs no Rust code. Its files:
//! - `case.yaml`: `comment`, the rule in one sentence; `verdict`: `injected`, `skipped`, `refused`
//!   (Blame Pod) or `failed` (Blame Template or Injector); exact lists of `reasons` and error
//!   `codes`; `message`, substrings of the error's text; `warnings`, one substring each, exact
//!   number and order; `explanations`, a substring of each line about a skip. Optional: `settings` (see [`case::Settings`]), `messageMaxLength`,
//!   `brokenTemplates` (the number of documents that do not load; default 0), `apiServer: false` (a
//!   real API server would refuse the pod).
//! - `templates.yaml`, and `pod.yaml` as the API server would send it.
//! - `expected.yaml` (only for the verdict `injected`): the whole pod, without the status
//!   annotation and the revision labels.
//!
//! `GOLDEN=text cargo test golden` runs the cases whose names contain the text.
//!
//! The laws of every injected case are in `laws`, the runners of a case in `runner` and `https`.
//! Invariant: all failing cases are reported, and an unreadable case file fails.

pub mod case;
mod https;
pub mod laws;
pub mod runner;
mod trace;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use outrigger::inject::{Blame, ErrorCode, SkipReason};
use pretty_assertions::StrComparison;
use serde_json::Value;

use case::{Case, Verdict};
use https::Https;
use runner::{CaseResult, Offline, Runner};

/// Fewer cases than this mean that the folder is missing or incomplete.
const AT_LEAST: usize = 60;

#[test]
fn golden_cases_pass_offline() {
    run_all(|case| run_case(case, &Offline, |result| laws::check(case, result, &Offline)));
}

#[test]
fn golden_cases_pass_over_https() {
    run_all(|case| run_case(case, &Https, |result| same_as_offline(case, result)));
}

/// The rows of the merge-key table: the case `merge-` plus the list's name, and how the list merges
/// if that is special.
#[test]
fn every_merged_list_has_a_case() {
    let cases = case::names();
    for (list, _) in outrigger::inject::MERGE_KEYS {
        let case = format!("merge-{}", kebab_case(list));
        let detailed = format!("{case}-by-");
        let name = cases.iter().find(|name| **name == case || name.starts_with(&detailed));
        let name = name.unwrap_or_else(|| panic!("no case {case} or {detailed}… shows how {list} merges"));
        let expected = case::read(name).ok().and_then(|case| case.expected).expect("a pod is expected");
        assert!(has_merged(list, &expected), "{name}: the expected pod has no {list} with two entries");
    }
}

/// A skip reason or an error of a pod that no case shows could be one that nothing raises.
#[test]
fn every_reason_and_every_error_of_a_pod_has_a_case() {
    let cases: Vec<Case> = case::read_all().into_iter().filter_map(|(_, case)| case.ok()).collect();
    let shown: BTreeSet<&str> =
        cases.iter().flat_map(|case| case.reasons.iter().chain(&case.codes)).map(String::as_str).collect();
    let reasons = SkipReason::ALL.iter().map(|reason| reason.code());
    let errors = ErrorCode::ALL.iter().filter(|code| code.blame() == Blame::Pod).map(|code| code.code());
    let missing: Vec<&str> = reasons.chain(errors).filter(|code| !shown.contains(code)).collect();
    assert!(missing.is_empty(), "codes without a golden case: {missing:?}");
}

fn kebab_case(name: &str) -> String {
    name.chars().fold(String::new(), |kebab, letter| match letter.is_ascii_uppercase() {
        true => format!("{kebab}-{}", letter.to_ascii_lowercase()),
        false => format!("{kebab}{letter}"),
    })
}

fn has_merged(list: &str, value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, field)| {
            has_merged(list, field) || (name == list && field.as_array().is_some_and(|items| items.len() > 1))
        }),
        Value::Array(items) => items.iter().any(|item| has_merged(list, item)),
        _ => false,
    }
}

/// 200 KiB in one annotation: too much for a file, so it is generated from a case of 4,000
/// characters.
#[test]
fn a_value_of_200_kib_is_injected_whole() {
    let mut case = case::read("long-parameter-value").expect("the case is there");
    case.pod = grow(&case.pod);
    case.expected = case.expected.as_ref().map(grow);
    run_case(&case, &Offline, |result| laws::check(&case, result, &Offline))
        .unwrap_or_else(|failures| panic!("{}", failures.join("\n")));
}

fn grow(value: &Value) -> Value {
    let text = value.to_string().replace(&"x".repeat(4_000), &"x".repeat(200 * 1024));
    serde_json::from_str(&text).expect("still JSON")
}

/// 300 containers, ten times those of the case.
#[test]
fn three_hundred_containers_keep_their_order() {
    let mut case = case::read("pod-with-30-containers").expect("the case is there");
    let more = |pod: &mut Value, mounts: bool| {
        let containers = pod["spec"]["containers"].as_array_mut().expect("containers");
        for number in 31..=300 {
            let mut container = serde_json::json!({"name": format!("c{number}"), "image": "app:1"});
            if mounts {
                container["volumeMounts"] = serde_json::json!([{"name": "logs", "mountPath": "/logs/c01"}]);
            }
            containers.push(container);
        }
    };
    more(&mut case.pod, false);
    more(case.expected.as_mut().expect("expected"), true);
    run_case(&case, &Offline, |result| laws::check(&case, result, &Offline))
        .unwrap_or_else(|failures| panic!("{}", failures.join("\n")));
}

/// Runs all cases and fails with the names of all failing ones.
fn run_all(run: impl Fn(&Case) -> Result<(), Vec<String>>) {
    let cases = case::read_all();
    let found = cases.len();
    report(found, cases.into_iter().map(|(name, case)| (name, case.and_then(|case| run(&case)))));
    assert!(found >= AT_LEAST || std::env::var_os("GOLDEN").is_some(), "only {found} golden cases found");
}

/// Runs one case with one runner, and compares the result with the case, and an injected pod with
/// `more`.
fn run_case(case: &Case, runner: &dyn Runner, more: impl Fn(&CaseResult) -> Vec<String>) -> Result<(), Vec<String>> {
    let run = catch_unwind(AssertUnwindSafe(|| {
        let result = runner.run(case, &case.pod)?;
        let mut failures = compare(case, &result);
        if failures.is_empty() && case.verdict == Verdict::Injected {
            failures.extend(more(&result));
        }
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }));
    run.unwrap_or_else(|panic| Err(vec![format!("panicked: {}", panic_text(panic.as_ref()))]))
}

/// The HTTPS run gives the same pod, with byte-equal patch and status.
fn same_as_offline(case: &Case, result: &CaseResult) -> Vec<String> {
    let offline = match Offline.run(case, &case.pod) {
        Ok(offline) => offline,
        Err(failures) => return failures,
    };
    let text = |result: &CaseResult| result.patch.as_ref().map(Value::to_string);
    let mut failures = Vec::new();
    if text(&offline) != text(result) {
        failures.push(format!("the patch is not that of the offline run:\n{:?}\n{:?}", text(&offline), text(result)));
    }
    if let (Some(offline), Some(pod)) = (&offline.pod, &result.pod) {
        failures.extend(compare_pods("the pod is not that of the offline run", offline, pod));
    }
    failures
}

/// Compares the result with the expectations of the case.
fn compare(case: &Case, result: &CaseResult) -> Vec<String> {
    let mut failures = Vec::new();
    if case.verdict != result.verdict {
        let message = result.message.as_deref().unwrap_or("no message");
        failures.push(format!(
            "verdict: expected {:?}, got {:?} ({:?}, {message})",
            case.verdict, result.verdict, result.reasons
        ));
    }
    failures.extend(differ("reasons", &sorted(&case.reasons), &sorted(&result.reasons)));
    failures.extend(differ("codes", &sorted(&case.codes), &sorted(&result.codes)));
    failures.extend(compare_message(case, result));
    failures.extend(compare_warnings(case, result));
    failures.extend(compare_explanations(case, result));
    if let (Some(expected), Some(pod)) = (&case.expected, &result.pod) {
        failures.extend(compare_pods("pod", expected, &laws::without_our_marks(pod)));
    }
    failures
}

fn compare_message(case: &Case, result: &CaseResult) -> Vec<String> {
    let message = result.message.as_deref().unwrap_or_default();
    let mut failures: Vec<String> = case
        .message
        .iter()
        .filter(|part| !message.contains(part.as_str()))
        .map(|part| format!("message lacks `{part}`: {message}"))
        .collect();
    if message.chars().any(char::is_control) {
        failures.push(format!("message has control characters: {message:?}"));
    }
    if case.message_max_length.is_some_and(|most| message.chars().count() > most) {
        failures.push(format!("message has {} characters: {message}", message.chars().count()));
    }
    failures
}

fn compare_warnings(case: &Case, result: &CaseResult) -> Option<String> {
    let fits = case.warnings.len() == result.warnings.len()
        && case.warnings.iter().zip(&result.warnings).all(|(part, warning)| warning.contains(part.as_str()))
        && !result.warnings.iter().any(|warning| warning.chars().any(char::is_control));
    (!fits).then(|| format!("warnings: expected {:?}, got {:?}", case.warnings, result.warnings))
}

/// A case without explanations expects nothing of them.
fn compare_explanations(case: &Case, result: &CaseResult) -> Option<String> {
    let found = result.explanations.as_ref().filter(|_| !case.explanations.is_empty())?;
    let fits = case.explanations.len() == found.len()
        && case.explanations.iter().zip(found).all(|(part, line)| line.contains(part.as_str()));
    (!fits).then(|| format!("explanations: expected {:?}, got {found:?}", case.explanations))
}

fn differ(what: &str, expected: &[String], got: &[String]) -> Option<String> {
    (expected != got).then(|| format!("{what}: expected {expected:?}, got {got:?}"))
}

/// A readable difference of two pods, if any; it ignores managedFields, which the engine does not
/// read.
fn compare_pods(what: &str, expected: &Value, got: &Value) -> Option<String> {
    let (expected, got) = (without_managed_fields(expected), without_managed_fields(got));
    (expected != got).then(|| {
        let text = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
        format!("{what} (left expected, right got):\n{}", StrComparison::new(&text(&expected), &text(&got)))
    })
}

fn without_managed_fields(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    pod
}

fn sorted(list: &[String]) -> Vec<String> {
    let mut list = list.to_vec();
    list.sort();
    list
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".to_owned())
}

/// Fails with the names of all failing cases.
fn report(found: usize, results: impl Iterator<Item = (String, Result<(), Vec<String>>)>) {
    let failing: Vec<(String, Vec<String>)> =
        results.filter_map(|(name, result)| result.err().map(|failures| (name, failures))).collect();
    if failing.is_empty() {
        return;
    }
    let details: String =
        failing.iter().map(|(name, failures)| format!("\n== {name}\n{}\n", failures.join("\n"))).collect();
    let names: String = failing.iter().map(|(name, _)| format!("  {name}\n")).collect();
    panic!("{details}\n{} of {found} golden cases fail:\n{names}", failing.len());
}
