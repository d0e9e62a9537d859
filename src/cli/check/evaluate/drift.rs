//! Compares an entry of the webhook configuration with the one that this program generates.
//!
//! Settings of the operator are no drift: failure policies, timeout, more exclusions, more
//! conditions.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, RuleWithOperations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use serde::Serialize;

use super::super::finding::{Code, Finding};
use super::super::observations::Target;
use super::APPLY_AGAIN;
use crate::api::webhook_configuration::{Endpoint, WebhookConfiguration};

pub(super) fn evaluate(entry: &MutatingWebhook, target: &Target) -> Vec<Finding> {
    let Some(expected) = expected(entry, target) else { return Vec::new() };
    let differences = differences(entry, &expected);
    let finding = |(field, found, expected): (&str, String, String)| {
        Code::Drift.found(
            format!("entry {:?} has {field} {found}, expected {expected}", entry.name),
            format!("{APPLY_AGAIN}; `outrigger generate webhook` prints what is expected"),
        )
    };
    differences.into_iter().map(finding).collect()
}

/// The entry that this program would generate for the same target.
fn expected(entry: &MutatingWebhook, target: &Target) -> Option<MutatingWebhook> {
    let endpoint = match (&entry.client_config.service, &entry.client_config.url) {
        (Some(service), _) => Endpoint::Service {
            namespace: target.namespace.clone(),
            name: service.name.clone(),
            port: u16::try_from(service.port.unwrap_or(443)).ok()?,
        },
        (None, Some(url)) => Endpoint::Url(url.parse().ok()?),
        (None, None) => return None,
    };
    let configuration = WebhookConfiguration { domain: target.domain.clone(), ..WebhookConfiguration::new(endpoint) };
    let entries = configuration.to_object().webhooks.unwrap_or_default();
    entries.into_iter().find(|expected| expected.name == entry.name)
}

/// Field, what was found, what is expected.
type Difference = (&'static str, String, String);

fn differences(found: &MutatingWebhook, expected: &MutatingWebhook) -> Vec<Difference> {
    let mut differences = Vec::new();
    if !same_rules(found.rules.as_deref(), expected.rules.as_deref()) {
        differences.push(("rules", json(&found.rules), json(&expected.rules)));
    }
    for (field, found, expected) in [
        ("namespaceSelector", &found.namespace_selector, &expected.namespace_selector),
        ("objectSelector", &found.object_selector, &expected.object_selector),
    ] {
        for requirement in unmet(found.as_ref(), expected.as_ref()) {
            differences.push((field, json(found), format!("in it {}", json(requirement))));
        }
    }
    for condition in expected.match_conditions.iter().flatten() {
        let conditions = found.match_conditions.as_deref().unwrap_or_default();
        if conditions.iter().all(|found| found.expression != condition.expression) {
            differences.push(("matchConditions", json(&conditions), format!("in it {}", json(condition))));
        }
    }
    for (field, found, expected) in [
        ("reinvocationPolicy", &found.reinvocation_policy, &expected.reinvocation_policy),
        ("matchPolicy", &found.match_policy, &expected.match_policy),
        ("sideEffects", &Some(found.side_effects.clone()), &Some(expected.side_effects.clone())),
    ] {
        if found != expected {
            differences.push((field, json(found), json(expected)));
        }
    }
    if !expected.admission_review_versions.iter().all(|version| found.admission_review_versions.contains(version)) {
        let (found, expected) = (json(&found.admission_review_versions), json(&expected.admission_review_versions));
        differences.push(("admissionReviewVersions", found, expected));
    }
    differences
}

/// Compares rules without regard to the order of their lists.
fn same_rules(found: Option<&[RuleWithOperations]>, expected: Option<&[RuleWithOperations]>) -> bool {
    let set = |list: &Option<Vec<String>>| list.iter().flatten().cloned().collect::<BTreeSet<String>>();
    let key = |rule: &RuleWithOperations| {
        let lists = [&rule.api_groups, &rule.api_versions, &rule.operations, &rule.resources].map(set);
        (lists, rule.scope.clone())
    };
    let keys = |rules: Option<&[RuleWithOperations]>| rules.unwrap_or_default().iter().map(key).collect::<Vec<_>>();
    keys(found) == keys(expected)
}

/// The expected requirements that a selector does not make.
fn unmet<'e>(found: Option<&LabelSelector>, expected: Option<&'e LabelSelector>) -> Vec<&'e LabelSelectorRequirement> {
    let found = found.and_then(|selector| selector.match_expressions.as_deref()).unwrap_or_default();
    let expected = expected.and_then(|selector| selector.match_expressions.as_deref()).unwrap_or_default();
    expected.iter().filter(|expected| !found.iter().any(|found| implies(found, expected))).collect()
}

/// Whether `found` implies `expected`: additional exclusions are no drift.
fn implies(found: &LabelSelectorRequirement, expected: &LabelSelectorRequirement) -> bool {
    let values = |requirement: &LabelSelectorRequirement| {
        requirement.values.iter().flatten().cloned().collect::<BTreeSet<String>>()
    };
    found.key == expected.key
        && found.operator == expected.operator
        && match expected.operator.as_str() {
            "NotIn" => values(found).is_superset(&values(expected)),
            _ => values(found) == values(expected),
        }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
