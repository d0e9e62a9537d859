//! Runs `*.test.yaml`: templates, a pod and the expected result.
//!
//! Invariant: a case states exactly one verdict, and an unknown key is an error, so that no case
//! passes because of a misspelling.

use std::collections::BTreeMap;

use outrigger::inject::{Injector, Namespace, NativeSidecars, Outcome, Settings, SourceText};
use serde::Deserialize;
use serde_json::Value;

use super::includes::differences;
use crate::support::injected_pod;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    /// Files in the same directory.
    templates: Vec<String>,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    name: String,
    /// Further templates, only for this case.
    #[serde(default)]
    templates: Vec<String>,
    namespace: Option<NamespaceObject>,
    native_sidecars: Option<When>,
    pod: Value,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamespaceObject {
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum When {
    Always,
    Never,
}

#[derive(Deserialize)]
#[serde(try_from = "ExpectFields")]
struct Expect {
    verdict: Verdict,
    /// Substrings of the warnings, one for each; if omitted, there must be no warning.
    warnings: Vec<String>,
}

enum Verdict {
    /// The whole pod, without the status annotation and the revision labels.
    Injected(Value),
    /// An excerpt of the pod.
    Includes(Value),
    /// The codes of all reasons.
    Skipped(Vec<String>),
    Refused(Refusal),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectFields {
    injected: Option<Value>,
    includes: Option<Value>,
    skipped: Option<Vec<String>>,
    refused: Option<Refusal>,
    #[serde(default)]
    warnings: Vec<String>,
}

impl TryFrom<ExpectFields> for Expect {
    type Error = &'static str;

    fn try_from(fields: ExpectFields) -> Result<Self, Self::Error> {
        let verdict = match (fields.injected, fields.includes, fields.skipped, fields.refused) {
            (Some(pod), None, None, None) => Verdict::Injected(pod),
            (None, Some(excerpt), None, None) => Verdict::Includes(excerpt),
            (None, None, Some(codes), None) => Verdict::Skipped(codes),
            (None, None, None, Some(refusal)) => Verdict::Refused(refusal),
            _ => return Err("expect has exactly one of injected, includes, skipped and refused"),
        };
        Ok(Self { verdict, warnings: fields.warnings })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    code: String,
    message: String,
}

/// The failures of a file's cases, with their names.
fn failures(path: &str) -> Vec<String> {
    let file: CaseFile = serde_saphyr::from_str(&super::read(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(!file.tests.is_empty(), "{path}: no test");
    let fails = |case: &Case| {
        let faults = run(path, &file.templates, case);
        (!faults.is_empty()).then(|| format!("{path}: {}:\n  {}", case.name, faults.join("\n  ")))
    };
    file.tests.iter().filter_map(fails).collect()
}

fn run(path: &str, templates: &[String], case: &Case) -> Vec<String> {
    let (directory, _) = path.rsplit_once('/').unwrap_or((".", path));
    let origins = templates.iter().chain(&case.templates).map(|name| format!("{directory}/{name}"));
    let sources: Vec<SourceText> = origins.map(|origin| SourceText { text: super::read(&origin), origin }).collect();
    let mut settings = Settings::default();
    if matches!(case.native_sidecars, Some(When::Never)) {
        settings.native_sidecars = NativeSidecars::Unsupported;
    }
    let namespace = case.namespace.as_ref().map(|namespace| Namespace {
        name: namespace.name.clone(),
        labels: namespace.labels.clone(),
        annotations: namespace.annotations.clone(),
    });
    let outcome = super::inject(&Injector::new(super::load(&sources), settings), namespace.as_ref(), &case.pod);
    match outcome {
        Ok(Outcome::Injected(injection)) => {
            let mut faults = warnings(&injection.warnings, &case.expect.warnings);
            faults
                .extend(injected(super::without_revisions(injected_pod(&case.pod, &injection)), &case.expect.verdict));
            faults
        }
        Ok(Outcome::Skipped(skip)) => {
            let mut faults = warnings(&skip.warnings, &case.expect.warnings);
            let codes: Vec<&str> = skip.reasons.iter().map(|reason| reason.code()).collect();
            faults.extend(skipped(&codes, &case.expect.verdict));
            faults
        }
        Err(error) => refused(&error, &case.expect.verdict),
    }
}

fn warnings(actual: &[String], parts: &[String]) -> Vec<String> {
    if actual.len() == parts.len() && actual.iter().zip(parts).all(|(warning, part)| warning.contains(part)) {
        return Vec::new();
    }
    vec![format!("warnings {actual:?}, expected {parts:?}")]
}

fn injected(pod: Value, verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Injected(expected) if pod == *expected => Vec::new(),
        Verdict::Injected(expected) => {
            let mut faults = differences(&pod, expected);
            faults.extend(differences(expected, &pod).into_iter().map(|fault| format!("compared in reverse: {fault}")));
            faults
        }
        Verdict::Includes(excerpt) => differences(&pod, excerpt),
        Verdict::Skipped(codes) => vec![format!("injected, expected to be skipped: {codes:?}")],
        Verdict::Refused(refusal) => vec![format!("injected, expected to be refused: {}", refusal.code)],
    }
}

fn skipped(codes: &[&str], verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Skipped(expected) if codes == expected => Vec::new(),
        Verdict::Skipped(expected) => vec![format!("skipped: {codes:?}, expected {expected:?}")],
        _ => vec![format!("skipped: {codes:?}")],
    }
}

fn refused(error: &outrigger::inject::InjectError, verdict: &Verdict) -> Vec<String> {
    let matches = |refusal: &Refusal| {
        error.problems().iter().any(|problem| {
            problem.code.code() == refusal.code && problem.message.to_string().contains(&refusal.message)
        })
    };
    match verdict {
        Verdict::Refused(refusal) if matches(refusal) => Vec::new(),
        Verdict::Refused(refusal) => vec![format!("refused: {error}, expected {}: {}", refusal.code, refusal.message)],
        _ => vec![format!("refused: {error}")],
    }
}

#[test]
fn the_cases_of_the_built_in_templates_pass() {
    let files = super::files_in("config/templates", ".test.yaml");
    let failures: Vec<String> = files.iter().flat_map(|path| failures(path)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_built_in_template_has_cases() {
    let (cases, templates): (Vec<String>, Vec<String>) =
        super::files_in("config/templates", ".yaml").into_iter().partition(|path| path.ends_with(".test.yaml"));
    assert!(!templates.is_empty());
    for template in templates {
        assert!(cases.contains(&template.replace(".yaml", ".test.yaml")), "{template} has no cases");
    }
}

#[test]
fn a_case_with_another_verdict_fails() {
    let pod = serde_json::json!({"spec": {"containers": [{"name": "web"}]}});
    let refusal = || Verdict::Refused(Refusal { code: "conflict".into(), message: String::new() });
    assert_eq!(injected(pod.clone(), &Verdict::Includes(pod.clone())), [""; 0]);
    assert_eq!(injected(pod.clone(), &Verdict::Injected(serde_json::json!({"spec": {}}))).len(), 1);
    assert_eq!(injected(pod.clone(), &refusal()).len(), 1);
    assert_eq!(skipped(&["not_requested"], &Verdict::Skipped(vec!["opted_out".into()])).len(), 1);
    assert_eq!(skipped(&["not_requested"], &refusal()).len(), 1);
    assert_eq!(warnings(&["a job never completes".into()], &["Job".into()]).len(), 1);
}
