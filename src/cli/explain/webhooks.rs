//! Whether the API server would ask Outrigger about a pod, by the webhook configuration.
//!
//! It is pure. Invariant: what cannot be known is told as such, and never counts as yes or no.

use serde::Serialize;
use serde_json::Value;

use super::selectors::{KnownLabels, condition_checks, rule_check, selector_checks};
use crate::inject::Namespace;
use crate::inject::annotations::NAMESPACE_NAME;
use crate::inject::decision_trace::Check;

/// One webhook of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct WebhookTrace {
    /// The configuration, and where it comes from.
    pub configuration: String,
    /// Name of the webhook.
    pub name: String,
    /// Whether the API server calls it for this pod; absent if that cannot be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub called: Option<bool>,
    /// What becomes of the pod if it does not respond: Fail or Ignore.
    pub failure_policy: String,
    /// Its rule, selectors and conditions.
    pub checks: Vec<Check>,
}

/// Whether the API server asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Asked {
    /// Each webhook that could be called.
    pub webhooks: Vec<WebhookTrace>,
    /// What else is to be said of the configurations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Whether the configurations could not be read.
    #[serde(skip)]
    pub is_unknown: bool,
}

impl Asked {
    /// Whether a webhook is called; `None` if that cannot be known.
    pub(super) fn is_called(&self) -> Option<bool> {
        if self.webhooks.iter().any(|webhook| webhook.called == Some(true)) {
            return Some(true);
        }
        let is_unknown = self.is_unknown || self.webhooks.iter().any(|webhook| webhook.called.is_none());
        if is_unknown { None } else { Some(false) }
    }
}

/// The webhooks of one configuration held against a pod.
pub(super) fn of_configuration(
    configuration: &Value,
    origin: &str,
    namespace: &str,
    namespace_object: Option<&Namespace>,
    pod: &Value,
) -> Asked {
    let name = configuration.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let configuration_name = format!("{name}, {origin}");
    let webhooks = configuration.get("webhooks").and_then(Value::as_array).into_iter().flatten();
    let traced = webhooks.map(|webhook| one(&configuration_name, webhook, namespace, namespace_object, pod));
    let mut asked = Asked { webhooks: traced.collect(), ..Asked::default() };
    if asked.webhooks.is_empty() {
        asked.notes.push(format!("configuration {name} has no webhook: the API server asks nobody"));
    }
    asked
}

fn one(
    configuration: &str,
    webhook: &Value,
    namespace: &str,
    namespace_object: Option<&Namespace>,
    pod: &Value,
) -> WebhookTrace {
    let text = |field: &str| webhook.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of_namespace = |key: &str| {
        let known = namespace_object.and_then(|known| known.labels.get(key)).map(String::as_str);
        known.or((key == NAMESPACE_NAME).then_some(namespace))
    };
    let of_pod = |key: &str| pod.pointer("/metadata/labels").and_then(|labels| labels.get(key)).and_then(Value::as_str);
    let mut checks = vec![rule_check(webhook)];
    let labels =
        KnownLabels { of: &of_namespace, is_complete: namespace_object.is_some(), always: Some(NAMESPACE_NAME) };
    checks.extend(selector_checks(webhook, "namespaceSelector", labels));
    checks.extend(selector_checks(
        webhook,
        "objectSelector",
        KnownLabels { of: &of_pod, is_complete: true, always: None },
    ));
    checks.extend(condition_checks(webhook, namespace, pod));
    let called = match () {
        () if checks.iter().any(Check::fails) => Some(false),
        () if checks.iter().all(|check| check.holds == Some(true)) => Some(true),
        () => None,
    };
    WebhookTrace {
        configuration: configuration.to_owned(),
        name: text("name"),
        called,
        failure_policy: text("failurePolicy"),
        checks,
    }
}
