//! Derives findings from observations: pure, one file for each subject.
//!
//! Invariant: each subject reports that it is healthy or what is wrong, and is silent only if
//! nothing could be read, which the failures report.

mod advice;
mod certificates;
mod configuration;
mod drift;
mod dry_run;
mod endpoints;
mod failures;
mod leader;
mod namespaces;
mod replicas;
mod sidecars;
mod templates;
mod workloads;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::finding::{Finding, Severity};
use super::observations::Observations;

pub(super) use certificates::host_of;
pub(super) use dry_run::{choose_namespace, choose_templates, is_of_ours};

/// Maximum number of names in one line.
const MAX_NAMES: usize = 10;
/// The hint that restores all objects of an installation.
const APPLY_AGAIN: &str = "apply the manifests again as it was done before: `kubectl apply -k` with your kustomization, or `helm upgrade` with your values";

/// Maximum number of findings of one code: mistakes of tenants must not hide everything else.
const MAX_ALIKE: usize = 20;

/// All findings, from the configuration to the pods.
pub(super) fn evaluate(observations: &Observations) -> Vec<Finding> {
    let subjects = [
        configuration::evaluate,
        endpoints::evaluate,
        replicas::evaluate,
        leader::evaluate,
        certificates::evaluate,
        templates::evaluate,
        namespaces::evaluate,
        dry_run::evaluate,
        workloads::evaluate,
        sidecars::evaluate,
        failures::evaluate,
    ];
    subjects.iter().flat_map(|evaluate| first_of_each(evaluate(observations))).collect()
}

/// The first findings of each code, and one with the number of the others.
fn first_of_each(findings: Vec<Finding>) -> Vec<Finding> {
    let mut counts: BTreeMap<&str, (Severity, usize)> = BTreeMap::new();
    let mut first = Vec::new();
    for finding in findings {
        let (_, count) = counts.entry(finding.code).or_insert((finding.severity, 0));
        *count += 1;
        if *count <= MAX_ALIKE {
            first.push(finding);
        }
    }
    for (code, (severity, count)) in counts.into_iter().filter(|(_, (_, count))| *count > MAX_ALIKE) {
        let message = format!("and {} more such findings", count - MAX_ALIKE);
        let hint = Some("fix those above, and check again".to_owned());
        first.push(Finding { code, severity, message, hint });
    }
    first
}

/// The first names, and how many more there are.
fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown = names[..names.len().min(MAX_NAMES)].join(", ");
    let more = names.len().saturating_sub(MAX_NAMES);
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// `1 replica`, `2 replicas`.
fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
