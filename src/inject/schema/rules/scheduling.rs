//! Rules for affinity, tolerations, topology spread and DNS.

use std::collections::BTreeSet;

use super::object::Object;
use crate::inject::text::{FieldError, message, names, quote, value};

const MOST_NAMESERVERS: usize = 3;
const MOST_SEARCHES: usize = 32;
const SEARCH_CHARACTERS: usize = 2048;

/// `ValidateTolerations`
pub(super) fn toleration(toleration: &Object<'_>, errors: &mut Vec<FieldError>) {
    let knows = |field| !toleration.is_sample(field);
    let operator = toleration.text("operator").unwrap_or_default();
    let has_no_key = toleration.lacks("key") || toleration.text("key") == Some("");
    if has_no_key && operator != "Exists" && knows("operator") {
        errors.push(toleration.error("operator", "must be Exists where there is no key: it then matches every taint"));
    }
    let text = toleration.text("value").unwrap_or_default();
    if operator == "Exists" && !text.is_empty() {
        errors.push(toleration.error("value", "must be absent beside operator Exists"));
    } else if matches!(operator, "" | "Equal")
        && knows("operator")
        && let Err(expected) = names::check_label_value(text)
    {
        errors.push(toleration.error("value", message![value(quote(text)), " is not valid: ", expected]));
    }
    let effect = toleration.text("effect");
    if toleration.get("tolerationSeconds").is_some() && effect != Some("NoExecute") && knows("effect") {
        errors.push(toleration.error("effect", "must be NoExecute beside tolerationSeconds"));
    }
}

/// `validateTopologySpreadConstraints`
pub(super) fn spread(constraint: &Object<'_>, errors: &mut Vec<FieldError>) {
    if constraint.get("minDomains").is_some() && constraint.text("whenUnsatisfiable") == Some("ScheduleAnyway") {
        errors.push(constraint.error("minDomains", "must be absent beside whenUnsatisfiable ScheduleAnyway"));
    }
    needs_selector(constraint, "matchLabelKeys", errors);
}

fn needs_selector(object: &Object<'_>, field: &str, errors: &mut Vec<FieldError>) {
    if !object.items(field).is_empty() && object.lacks("labelSelector") {
        errors.push(object.error(field, "must be absent without labelSelector"));
    }
}

/// `validateMatchLabelKeysAndMismatchLabelKeys`
pub(super) fn affinity_keys(term: &Object<'_>, errors: &mut Vec<FieldError>) {
    needs_selector(term, "matchLabelKeys", errors);
    needs_selector(term, "mismatchLabelKeys", errors);
    let others: BTreeSet<&str> = term.items("mismatchLabelKeys").iter().filter_map(|key| key.as_str()).collect();
    for (index, key) in term.items("matchLabelKeys").iter().enumerate() {
        if key.as_str().is_some_and(|key| others.contains(key)) {
            let path = term.path("matchLabelKeys").index(index);
            errors.push(FieldError::new(path, "stands in mismatchLabelKeys too"));
        }
    }
}

/// `ValidateLabelSelectorRequirement`
pub(super) fn values_of_operator(requirement: &Object<'_>, errors: &mut Vec<FieldError>) {
    let count = requirement.items("values").len();
    let knows = !requirement.is_sample("values");
    match requirement.text("operator") {
        Some("In" | "NotIn") if count == 0 && knows => {
            errors.push(requirement.error("values", "at least one value is required beside operator In or NotIn"));
        }
        Some("Exists" | "DoesNotExist") if count > 0 => {
            errors.push(requirement.error("values", "must be absent beside operator Exists or DoesNotExist"));
        }
        _ => {}
    }
}

/// `ValidateNodeSelectorTerm`: expressions select labels, fields only the name of a node.
pub(super) fn node_selector_term(term: &Object<'_>, errors: &mut Vec<FieldError>) {
    term.each("matchExpressions", |requirement| {
        let known = &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];
        requirement_operator(requirement, known, errors);
        if let Some(key) = requirement.text("key")
            && let Err(expected) = names::check_qualified_name(key)
        {
            errors.push(requirement.error("key", message![value(quote(key)), " is not valid: ", expected]));
        }
        let is_comparison = matches!(requirement.text("operator"), Some("Gt" | "Lt"));
        if is_comparison && requirement.items("values").len() != 1 && !requirement.is_sample("values") {
            errors.push(requirement.error("values", "one value is required beside operator Gt or Lt"));
        }
        values_of_operator(requirement, errors);
        each_value(requirement, names::check_label_value, errors);
    });
    term.each("matchFields", |requirement| {
        requirement_operator(requirement, &["In", "NotIn"], errors);
        if let Some(key) = requirement.text("key").filter(|key| *key != "metadata.name") {
            let sentence = message![value(quote(key)), " is not valid: expected metadata.name"];
            errors.push(requirement.error("key", sentence));
        }
        if requirement.items("values").len() != 1 && !requirement.is_sample("values") {
            errors.push(requirement.error("values", "one value is required"));
        }
        each_value(requirement, names::check_dns_subdomain, errors);
    });
}

fn requirement_operator(requirement: &Object<'_>, known: &'static [&'static str], errors: &mut Vec<FieldError>) {
    let operator = requirement.text("operator");
    errors.extend(operator.and_then(|operator| super::one_of(requirement, "operator", operator, known)));
}

fn each_value(requirement: &Object<'_>, rule: super::TextRule, errors: &mut Vec<FieldError>) {
    super::texts(requirement, "values", rule, errors);
}

/// `validatePodDNSConfig`: the limits of `resolv.conf`.
pub(super) fn dns_limits(config: &Object<'_>, errors: &mut Vec<FieldError>) {
    if config.items("nameservers").len() > MOST_NAMESERVERS {
        errors.push(config.error("nameservers", message!["at most ", MOST_NAMESERVERS, " name servers"]));
    }
    let searches = config.items("searches");
    if searches.len() > MOST_SEARCHES {
        errors.push(config.error("searches", message!["at most ", MOST_SEARCHES, " search domains"]));
    }
    let characters: usize = searches.iter().filter_map(|search| search.as_str()).map(|search| search.len() + 1).sum();
    if characters > SEARCH_CHARACTERS + 1 {
        errors.push(config.error("searches", message!["at most ", SEARCH_CHARACTERS, " characters together"]));
    }
}
