//! Holds label selectors and rules of a webhook configuration against an object, part by part.

use serde_json::Value;

use crate::inject::decision_trace::Check;
use crate::inject::expression::condition::holds_for_new_pod;
use crate::inject::template::selector::LabelSelector;
use crate::inject::text::{FieldPath, quote};

/// The rules: whether one of them is for new pods.
pub(super) fn rule_check(webhook: &Value) -> Check {
    let rules = webhook.get("rules").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let has = |rule: &Value, field: &str, wanted: &[&str]| {
        let listed = rule.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        listed.iter().filter_map(Value::as_str).any(|one| wanted.contains(&one))
    };
    let is_one = |rule: &Value| {
        has(rule, "apiGroups", &["", "*"])
            && has(rule, "apiVersions", &["v1", "*"])
            && has(rule, "operations", &["CREATE", "*"])
            && has(rule, "resources", &["pods", "*", "*/*", "pods/*"])
            && rule.get("scope").and_then(Value::as_str) != Some("Cluster")
    };
    let shown: Vec<String> = rules.iter().map(shown_rule).collect();
    let found = if shown.is_empty() { "no rule".to_owned() } else { shown.join("; ") };
    Check::of("rule CREATE pods", found, rules.iter().any(is_one))
}

fn shown_rule(rule: &Value) -> String {
    let list = |field: &str| {
        let listed = rule.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        listed.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    format!("{} {}", list("operations"), list("resources"))
}

/// The labels of an object, as far as they are known.
#[derive(Clone, Copy)]
pub(super) struct KnownLabels<'l> {
    pub of: &'l dyn Fn(&str) -> Option<&'l str>,
    /// Whether an absent label is known to be absent.
    pub is_complete: bool,
    /// A label that is known in any case.
    pub always: Option<&'static str>,
}

/// Each requirement of a selector of the webhook.
pub(super) fn selector_checks(webhook: &Value, field: &str, labels: KnownLabels<'_>) -> Vec<Check> {
    let selector = webhook.get(field).unwrap_or(&Value::Null);
    let parsed = match LabelSelector::parse(selector, &FieldPath::root().child("selector")) {
        Ok(parsed) => parsed,
        Err(_) => return vec![Check::told(field, "not evaluated: it cannot be read")],
    };
    let keys = requirement_keys(selector);
    let requirements = parsed.requirements(labels.of).into_iter().zip(keys);
    requirements
        .map(|((requirement, found, holds), key)| {
            let what = format!("{field} {requirement}");
            let is_known = labels.is_complete || labels.always == Some(key.as_str());
            match found {
                _ if !is_known => Check::told(what, "not known: give --namespace-file"),
                Some(found) => Check::of(what, quote(found), holds),
                None => Check::of(what, "absent", holds),
            }
        })
        .collect()
}

/// The keys of the requirements, in the order in which a selector is parsed.
fn requirement_keys(selector: &Value) -> Vec<String> {
    let labels =
        selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key.clone());
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    let keys = expressions.map(|one| one.get("key").and_then(Value::as_str).unwrap_or_default().to_owned());
    labels.chain(keys).collect()
}

/// Each condition. Those that `outrigger generate webhook` writes are told in words, others by their text.
pub(super) fn condition_checks(webhook: &Value, namespace: &str, pod: &Value) -> Vec<Check> {
    let conditions = webhook.get("matchConditions").and_then(Value::as_array).into_iter().flatten();
    conditions
        .map(|condition| {
            let text = |field: &str| condition.get(field).and_then(Value::as_str).unwrap_or_default();
            let what = format!("matchCondition {}", text("name"));
            match asks(text("expression"), pod) {
                Some((key, wanted, found)) => {
                    let shown = found.as_deref().map_or_else(
                        || format!("annotation {key} is absent"),
                        |value| format!("annotation {key} is {}", quote(value)),
                    );
                    Check::of(what, shown, found.is_some() == wanted)
                }
                None => match holds_for_new_pod(text("expression"), pod, namespace) {
                    Some(holds) => Check::of(what, format!("{holds}: {}", text("expression")), holds),
                    None => Check::told(what, format!("not known here: {}", text("expression"))),
                },
            }
        })
        .collect()
}

/// The annotation that one of our conditions asks for, whether it has to be there, and its value.
fn asks(expression: &str, pod: &Value) -> Option<(String, bool, Option<String>)> {
    let (inner, wanted) = match expression.strip_prefix("!(").and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => (inner, false),
        None => (expression, true),
    };
    let rest = inner.strip_prefix("has(object.metadata.annotations) && '")?;
    let key = rest.strip_suffix("' in object.metadata.annotations")?;
    if key.contains('\'') {
        return None;
    }
    let found = pod.pointer("/metadata/annotations").and_then(|all| all.get(key));
    Some((key.to_owned(), wanted, found.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_of_somebody_else_is_evaluated_or_not_known() {
        let pod = json!({"metadata": {"namespace": "shop"}});
        let holds = |expression: &str| {
            let webhook = json!({"matchConditions": [{"name": "mine", "expression": expression}]});
            condition_checks(&webhook, "shop", &pod).remove(0)
        };
        let failed = holds("object.metadata.namespace == 'other'");
        let expected = "false: object.metadata.namespace == 'other'";
        assert_eq!((failed.holds, &*failed.found), (Some(false), expected));
        assert_eq!(holds("request.namespace == 'shop'").holds, Some(true));
        let unknown = holds("request.userInfo.username == 'admin'");
        assert_eq!((unknown.holds, &*unknown.found), (None, "not known here: request.userInfo.username == 'admin'"));
    }
}
