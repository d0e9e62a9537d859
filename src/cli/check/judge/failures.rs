//! What could not be looked at, and whether enough is left.

use std::collections::BTreeSet;

use super::super::facts::{Answer, Facts, Failure, Trial};
use super::super::finding::{Code, Finding};

pub fn judge(facts: &Facts) -> Vec<Finding> {
    let failures: BTreeSet<&Failure> = facts.failures.iter().collect();
    let mut findings: Vec<Finding> = failures.into_iter().map(finding).collect();
    let is_called =
        matches!(&facts.trial, Trial::Made { answer: Answer::Pod { templates }, .. } if !templates.is_empty());
    if facts.configuration.is_unknown() && !is_called {
        findings.push(Code::NothingKnown.found(
            "neither the webhook configuration nor an injected dry-run pod was seen, so nothing is known of this installation",
            "use an account with the rights that the lines above name",
        ));
    }
    findings
}

fn finding(failure: &Failure) -> Finding {
    match failure {
        Failure::Forbidden { right } => Code::Forbidden.found(
            format!("you may not {right}, so nothing is said of it"),
            "use another account, or have the right given to you by a Role or ClusterRole",
        ),
        Failure::Other { what, problem } => Code::NotExamined.found(
            format!("cannot {what}: {problem}"),
            "try again, with a longer --timeout where there was no answer in time",
        ),
    }
}
