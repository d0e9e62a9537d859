//! Reports what could not be read, and whether the rest suffices for a verdict.

use std::collections::BTreeSet;

use super::super::finding::{Code, Finding};
use super::super::observations::{DryRun, DryRunOutcome, Observations};
use crate::cli::cluster::Failure;

pub(super) fn evaluate(observations: &Observations) -> Vec<Finding> {
    let failures: BTreeSet<&Failure> = observations.failures.iter().collect();
    let mut findings: Vec<Finding> = failures.into_iter().map(finding).collect();
    // A good configuration alone does not show that a server responds.
    let is_seen = !observations.configuration.is_unknown() && observations.responding().next().is_some();
    if !is_seen && !tells_something(observations) {
        findings.push(Code::NothingKnown.found(
            "no dry-run pod reached the webhook, and no replica responded: too little was read to call this installation healthy",
            "use an account with the rights that the lines above name",
        ));
    }
    findings
}

/// Whether the outcome of the dry-run pod says anything about this webhook.
fn tells_something(observations: &Observations) -> bool {
    let DryRun::Sent { outcome, .. } = &observations.dry_run else { return false };
    match outcome {
        DryRunOutcome::Admitted { .. } => true,
        DryRunOutcome::Refused { message } => super::dry_run::is_of_ours(message, &observations.target.domain),
        DryRunOutcome::NoResponse(_) => false,
    }
}

fn finding(failure: &Failure) -> Finding {
    match failure {
        Failure::Forbidden { right } => Code::Forbidden.found(
            format!("you may not {right}, so it was not checked"),
            "use another account, or get the permission through a Role or ClusterRole",
        ),
        Failure::Other { what, problem } => Code::NotExamined.found(
            format!("cannot {what}: {problem}"),
            "try again, with a longer --timeout if there was no response in time",
        ),
    }
}
