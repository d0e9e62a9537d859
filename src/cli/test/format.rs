//! The format of `*.test.yaml`: templates, a pod and what it must become.
//!
//! Invariant: an unknown key is an error, so that no case passes because of a misspelling.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::inject::{ErrorCode, SkipReason};

/// Cases of templates.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(expecting = "a map with the key tests", deny_unknown_fields)]
pub(super) struct CaseFile {
    /// Template files, relative to this file. Without them it is the file of the same name without
    /// `.test`.
    #[serde(default)]
    pub templates: Vec<String>,
    /// The cases; at least one.
    #[cfg_attr(test, schemars(with = "Vec<Case>", length(min = 1)))]
    pub tests: Vec<Value>,
}

/// A pod and what it must become.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = super::schema::case))]
#[serde(expecting = "a map with name, pod and expect", deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Case {
    /// The rule that the case shows; no other case of the file has this name.
    #[allow(dead_code, reason = "it is read before, since a case that is wrong has a name as well")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub name: String,
    /// More template files, only for this case.
    #[serde(default)]
    pub templates: Vec<String>,
    /// The namespace of the pod; without it, that of the pod's metadata or `default`, without labels.
    pub namespace: Option<CaseNamespace>,
    /// Whether the cluster has native sidecars; without it, by `clusterVersion`.
    pub native_sidecars: Option<When>,
    /// Version of the cluster, such as `1.34`; without it, the newest known.
    pub cluster_version: Option<String>,
    /// The pod, or any workload with a pod template, such as a Deployment.
    #[cfg_attr(test, schemars(with = "Option<serde_json::Map<String, Value>>"))]
    pub pod: Option<Value>,
    /// A file with that object, relative to this file, instead of `pod`.
    pub pod_file: Option<String>,
    /// What must become of it.
    #[cfg_attr(test, schemars(with = "Expect"))]
    pub expect: Value,
}

/// A namespace.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(expecting = "a map with the name of a namespace", deny_unknown_fields)]
pub(super) struct CaseNamespace {
    /// Its name.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// Whether sidecars are native.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum When {
    /// Sidecars are init containers with `restartPolicy: Always`.
    Always,
    /// Sidecars are plain containers.
    Never,
}

/// Exactly one verdict, and the warnings.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = super::schema::expect))]
#[serde(expecting = "a map with one of injected, includes, patch, skipped and refused", deny_unknown_fields)]
pub(super) struct Expect {
    /// The whole object, without the status annotation and the revision labels.
    pub injected: Option<Value>,
    /// An excerpt of the object: maps may have more keys, lists of maps more elements. `[]` stands for
    /// an empty list.
    pub includes: Option<Value>,
    /// The JSON Patch that `outrigger inject -o patch` prints.
    pub patch: Option<Vec<Value>>,
    /// The codes of all reasons to skip the pod.
    pub skipped: Option<Vec<String>>,
    /// A problem because of which the pod is refused, or a list of all of them.
    pub refused: Option<Refusals>,
    /// A part of each warning, in their order; without it, there must be none. A refusal has none.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One problem, or all of them.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(untagged))]
pub(super) enum Refusals {
    /// One of the problems is this.
    Any(Refusal),
    /// The problems are exactly these.
    All(#[cfg_attr(test, schemars(length(min = 1)))] Vec<Refusal>),
}

impl<'de> Deserialize<'de> for Refusals {
    /// The errors of an untagged enum would not name the key that is wrong.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = |error: serde_json::Error| serde::de::Error::custom(format!("refused: {error}"));
        match Value::deserialize(deserializer)? {
            value @ Value::Array(_) => serde_json::from_value(value).map(Self::All).map_err(said),
            value => serde_json::from_value(value).map(Self::Any).map_err(said),
        }
    }
}

/// A problem because of which a pod is refused.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = super::schema::refusal))]
#[serde(expecting = "a map with code and message", deny_unknown_fields)]
pub(super) struct Refusal {
    /// Its code, such as `conflict`.
    pub code: String,
    /// A part of its message.
    #[serde(default)]
    pub message: String,
}

/// What a case says must become of the pod.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    Injected(Value),
    Includes(Value),
    Patch(Vec<Value>),
    Skipped(Vec<String>),
    Refused(Refusals),
}

impl Verdict {
    /// The key under `expect`.
    pub(super) const fn key(&self) -> &'static str {
        match self {
            Self::Injected(_) => "injected",
            Self::Includes(_) => "includes",
            Self::Patch(_) => "patch",
            Self::Skipped(_) => "skipped",
            Self::Refused(_) => "refused",
        }
    }
}

impl Expect {
    /// The one verdict and the warnings, or what is wrong with them.
    pub(super) fn verdict(self) -> Result<(Verdict, Vec<String>), String> {
        let verdicts = [
            self.injected.map(Verdict::Injected),
            self.includes.map(Verdict::Includes),
            self.patch.map(Verdict::Patch),
            self.skipped.map(Verdict::Skipped),
            self.refused.map(Verdict::Refused),
        ];
        let verdicts: Vec<Verdict> = verdicts.into_iter().flatten().collect();
        let found: Vec<&str> = verdicts.iter().map(Verdict::key).collect();
        match <[Verdict; 1]>::try_from(verdicts.clone()) {
            Ok([verdict]) => {
                check_codes(&verdict)?;
                check_content(&verdict, &self.warnings)?;
                Ok((verdict, self.warnings))
            }
            Err(_) => {
                let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
                Err(format!("expect: has {found}; expected exactly one of injected, includes, patch, skipped, refused"))
            }
        }
    }
}

/// An expectation that every result meets, or none.
fn check_content(verdict: &Verdict, warnings: &[String]) -> Result<(), String> {
    let problem = match verdict {
        Verdict::Includes(excerpt) if excerpt.as_object().is_some_and(serde_json::Map::is_empty) => {
            "expect.includes is empty, which every result has; name at least one field"
        }
        Verdict::Refused(Refusals::All(all)) if all.is_empty() => {
            "expect.refused is an empty list; name at least one problem"
        }
        Verdict::Refused(_) if !warnings.is_empty() => {
            "expect.warnings stands beside refused, but a refusal has no warnings; remove one of them"
        }
        _ => return Ok(()),
    };
    Err(problem.to_owned())
}

/// A code that does not exist would make no case fail, but never pass one either.
fn check_codes(verdict: &Verdict) -> Result<(), String> {
    let reasons = SkipReason::ALL.map(SkipReason::code);
    let errors = ErrorCode::ALL.map(ErrorCode::code);
    let (codes, known): (Vec<&str>, &[&str]) = match verdict {
        Verdict::Skipped(codes) => (codes.iter().map(String::as_str).collect(), &reasons),
        Verdict::Refused(Refusals::Any(refusal)) => (vec![&refusal.code], &errors),
        Verdict::Refused(Refusals::All(refusals)) => (refusals.iter().map(|one| one.code.as_str()).collect(), &errors),
        Verdict::Injected(_) | Verdict::Includes(_) | Verdict::Patch(_) => return Ok(()),
    };
    let unknown = codes.into_iter().find(|code| !known.contains(code));
    unknown.map_or(Ok(()), |code| {
        let hint = crate::inject::text::suggest::did_you_mean(code, known.iter().copied());
        let hint = hint.map_or_else(|| format!("there are: {}", known.join(", ")), |hint| hint.to_string());
        Err(format!("expect.{}: {code:?} is no code; {hint}", verdict.key()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::schemas::tests::assert_published_input;
    use super::*;

    fn problem(expect: Value) -> String {
        let expect: Expect = serde_json::from_value(expect).expect("the shape is right");
        expect.verdict().expect_err("it is wrong")
    }

    #[test]
    fn published_schema_is_that_of_the_format() {
        assert_published_input::<CaseFile>("test-file");
    }

    #[test]
    fn a_case_has_exactly_one_verdict_of_known_codes() {
        assert!(problem(json!({})).starts_with("expect: has none"));
        assert!(problem(json!({"injected": {}, "skipped": []})).starts_with("expect: has injected, skipped"));
        assert!(problem(json!({"skipped": ["not_requestd"]})).contains("did you mean \"not_requested\""));
        assert!(problem(json!({"refused": {"code": "conflct"}})).contains("did you mean \"conflict\""));
        assert!(problem(json!({"refused": [{"code": "conflict"}, {"code": "x"}]})).contains("\"x\" is no code"));
    }

    #[test]
    fn what_every_result_meets_or_none_is_an_error() {
        assert!(problem(json!({"includes": {}})).starts_with("expect.includes is empty"));
        assert!(problem(json!({"refused": []})).starts_with("expect.refused is an empty list"));
        let beside = problem(json!({"refused": {"code": "conflict"}, "warnings": ["x"]}));
        assert!(beside.contains("a refusal has no warnings"), "{beside}");
    }
}
