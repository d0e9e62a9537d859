//! Runs one case and compares the result with what it expects.
//!
//! Nothing is read or written here.

use serde_json::Value;

use super::format::{CaseNamespace, Refusal, Refusals, Verdict};
use crate::inject::annotations::{AnnotationKeys, NAMESPACE_NAME};
use crate::inject::text::quote;
use crate::inject::{InjectError, Injector, Namespace, Outcome};
use crate::workload::{self, Reviewer, difference, excerpt, without_marks};

/// A case that is ready to run.
pub(super) struct Subject<'s> {
    pub injector: &'s Injector,
    /// The namespace of the case, if it has one.
    pub namespace: Option<&'s CaseNamespace>,
    /// The pod or workload.
    pub object: &'s Value,
}

/// What became of the object.
#[derive(Clone, Debug)]
pub(super) struct Actual {
    /// The object afterwards, without the status annotation and the revision labels.
    pub object: Value,
    /// The JSON Patch from the object to the result.
    pub patch: Vec<Value>,
    pub end: End,
    pub warnings: Vec<String>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Injected,
    /// With the codes of all reasons.
    Skipped(Vec<&'static str>),
    /// With code and message of each problem.
    Refused(Vec<(&'static str, String)>),
}

/// Why a case fails.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    /// A line.
    Said(String),
    /// Two objects that should be the same: the expected and the actual one.
    Differs(Box<(Value, Value)>),
}

impl Subject<'_> {
    /// Injects as the webhook would.
    pub(super) fn run(&self) -> Result<Actual, String> {
        let domain = &self.injector.settings().domain;
        let found = workload::find(self.object, domain);
        let [location] = found.pods.as_slice() else {
            let found = found.pods.len();
            return Err(format!(
                "the object has {found} pods or pod templates; expected one pod, or a workload with one"
            ));
        };
        let namespace = namespace(self.namespace, location.object.namespace.as_deref())?;
        let reviewer =
            Reviewer { injector: self.injector, namespace: &namespace.name, namespace_object: Some(&namespace) };
        let review = reviewer.review(self.object, location);
        let findings = review.findings.iter().filter(|finding| finding.is_warning).map(ToString::to_string);
        let mut after = self.object.clone();
        if let Some(pod) = review.after {
            location.put(&mut after, pod);
        }
        let patch = difference::patch(&difference::steps(self.object, &after));
        let patch = patch.iter().filter_map(|operation| serde_json::to_value(operation).ok()).collect();
        let (end, warnings) = match review.outcome {
            Ok(Outcome::Injected(injection)) => (End::Injected, injection.warnings),
            Ok(Outcome::Skipped(skip)) => {
                (End::Skipped(skip.reasons.iter().map(|reason| reason.code()).collect()), skip.warnings)
            }
            Err(error) => (End::Refused(problems(&error)), Vec::new()),
        };
        let keys = AnnotationKeys::new(domain);
        if let Some(without) = location.template(&after).map(|template| without_marks(template, &keys)) {
            location.put(&mut after, without);
        }
        Ok(Actual { object: after, patch, end, warnings: findings.chain(warnings).collect() })
    }
}

/// The namespace of a case, whose object may name it as well.
fn namespace(given: Option<&CaseNamespace>, own: Option<&str>) -> Result<Namespace, String> {
    let name = match (given.map(|given| given.name.as_str()), own) {
        (Some(given), Some(own)) if given != own => {
            return Err(format!(
                "the object is in namespace {}, but the namespace of the case is {}; name one of them",
                quote(own),
                quote(given)
            ));
        }
        (given, own) => given.or(own).unwrap_or("default").to_owned(),
    };
    let mut labels = given.map(|namespace| namespace.labels.clone()).unwrap_or_default();
    // The API server sets this label on every namespace.
    labels.insert(NAMESPACE_NAME.to_owned(), name.clone());
    Ok(Namespace {
        name,
        labels,
        annotations: given.map(|namespace| namespace.annotations.clone()).unwrap_or_default(),
    })
}

fn problems(error: &InjectError) -> Vec<(&'static str, String)> {
    error.problems().iter().map(|problem| (problem.code.code(), problem.message.to_string())).collect()
}

/// The faults of a case; none if it passes.
pub(super) fn faults(actual: &Actual, verdict: &Verdict, warnings: &[String]) -> Vec<Fault> {
    let mut faults = match (&actual.end, verdict) {
        (End::Injected, Verdict::Injected(expected)) => differs(expected, &actual.object),
        (End::Injected, Verdict::Includes(expected)) => {
            excerpt::differences(&actual.object, expected).into_iter().map(Fault::Said).collect()
        }
        (End::Injected, Verdict::Patch(expected)) => {
            differs(&Value::from(expected.clone()), &Value::from(actual.patch.clone()))
        }
        (End::Skipped(codes), Verdict::Skipped(expected)) if codes == expected => Vec::new(),
        (End::Refused(problems), Verdict::Refused(expected)) if is_refused(problems, expected) => Vec::new(),
        (end, verdict) => vec![Fault::Said(format!("{}, expected {}", told(end), expected(verdict)))],
    };
    let as_expected = actual.warnings.len() == warnings.len()
        && actual.warnings.iter().zip(warnings).all(|(warning, part)| warning.contains(part.as_str()));
    // A refusal has no warnings.
    if !as_expected && !matches!(actual.end, End::Refused(_)) {
        faults.push(Fault::Said(format!("warnings {:?}, expected {warnings:?}", actual.warnings)));
    }
    faults
}

fn differs(expected: &Value, actual: &Value) -> Vec<Fault> {
    if expected == actual { Vec::new() } else { vec![Fault::Differs(Box::new((expected.clone(), actual.clone())))] }
}

fn is_refused(problems: &[(&str, String)], expected: &Refusals) -> bool {
    let matches =
        |problem: &(&str, String), refusal: &Refusal| problem.0 == refusal.code && problem.1.contains(&refusal.message);
    match expected {
        Refusals::Any(refusal) => problems.iter().any(|problem| matches(problem, refusal)),
        Refusals::All(refusals) => {
            problems.len() == refusals.len() && problems.iter().zip(refusals).all(|(one, other)| matches(one, other))
        }
    }
}

fn told(end: &End) -> String {
    match end {
        End::Injected => "injected".to_owned(),
        End::Skipped(codes) => format!("skipped ({})", codes.join(", ")),
        End::Refused(problems) => {
            let problems: Vec<String> = problems.iter().map(|(code, message)| format!("{code}: {message}")).collect();
            format!("refused ({})", problems.join("; "))
        }
    }
}

fn expected(verdict: &Verdict) -> String {
    let refusal = |one: &Refusal| format!("{}: …{}…", one.code, one.message);
    match verdict {
        Verdict::Injected(_) | Verdict::Includes(_) | Verdict::Patch(_) => "injected".to_owned(),
        Verdict::Skipped(codes) => format!("skipped ({})", codes.join(", ")),
        Verdict::Refused(Refusals::Any(one)) => format!("refused ({})", refusal(one)),
        Verdict::Refused(Refusals::All(all)) => {
            format!("refused (exactly {})", all.iter().map(refusal).collect::<Vec<_>>().join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn actual(end: End) -> Actual {
        Actual { object: json!({"a": 1, "b": 2}), patch: vec![json!({"op": "add"})], end, warnings: Vec::new() }
    }

    fn refused() -> End {
        End::Refused(vec![("conflict", "two of a kind".to_owned()), ("parameter_missing", "x".to_owned())])
    }

    fn refusal(code: &str, message: &str) -> Refusal {
        Refusal { code: code.to_owned(), message: message.to_owned() }
    }

    #[test]
    fn a_case_passes_with_its_own_verdict_alone() {
        let skipped = || End::Skipped(vec!["opted_out"]);
        let all = vec![refusal("conflict", "kind"), refusal("parameter_missing", "")];
        let verdicts = [
            (End::Injected, Verdict::Injected(json!({"a": 1, "b": 2}))),
            (End::Injected, Verdict::Includes(json!({"a": 1}))),
            (End::Injected, Verdict::Patch(vec![json!({"op": "add"})])),
            (skipped(), Verdict::Skipped(vec!["opted_out".to_owned()])),
            (refused(), Verdict::Refused(Refusals::Any(refusal("conflict", "two")))),
            (refused(), Verdict::Refused(Refusals::All(all))),
        ];
        for (end, verdict) in &verdicts {
            assert_eq!(faults(&actual(end.clone()), verdict, &[]), [], "{verdict:?}");
            for other in [End::Injected, skipped(), refused()].iter().filter(|other| *other != end) {
                assert_eq!(faults(&actual(other.clone()), verdict, &[]).len(), 1, "{other:?} {verdict:?}");
            }
        }
    }

    #[test]
    fn the_namespace_is_that_of_the_case_and_of_the_object() {
        let given = CaseNamespace { name: "shop".to_owned(), labels: BTreeMap::new(), annotations: BTreeMap::new() };
        let name = |given, own| namespace(given, own).map(|found| found.name);
        assert_eq!(name(None, None).as_deref(), Ok("default"));
        assert_eq!(name(None, Some("prod")).as_deref(), Ok("prod"));
        assert_eq!(name(Some(&given), Some("shop")).as_deref(), Ok("shop"));
        let problem = name(Some(&given), Some("prod")).expect_err("two names");
        assert!(problem.contains("\"prod\"") && problem.contains("\"shop\""), "{problem}");
        assert_eq!(
            namespace(None, Some("prod")).map(|found| found.labels[NAMESPACE_NAME].clone()).as_deref(),
            Ok("prod")
        );
    }

    #[test]
    fn a_case_with_another_result_fails() {
        let injected = actual(End::Injected);
        for verdict in [
            Verdict::Injected(json!({"a": 1})),
            Verdict::Includes(json!({"a": 2})),
            Verdict::Patch(vec![]),
            Verdict::Skipped(vec![]),
        ] {
            assert_eq!(faults(&injected, &verdict, &[]).len(), 1, "{verdict:?}");
        }
        let fewer = Verdict::Refused(Refusals::All(vec![refusal("conflict", "")]));
        assert_eq!(faults(&actual(refused()), &fewer, &[]).len(), 1);
        let warned = Actual { warnings: vec!["a Job never ends".to_owned()], ..actual(End::Injected) };
        let verdict = Verdict::Includes(json!({}));
        assert_eq!(faults(&warned, &verdict, &[]).len(), 1);
        assert_eq!(faults(&warned, &verdict, &["Job".to_owned()]), []);
        assert_eq!(faults(&injected, &verdict, &["Job".to_owned()]).len(), 1);
    }
}
