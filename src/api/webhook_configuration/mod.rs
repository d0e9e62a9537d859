//! Builds the webhook configurations that are printed, applied and compared: the mutating one for
//! pods here, the validating one for workloads in `advice` and for templates in `templates`.
//!
//! It neither prints nor sends them.
//! Invariant: an unavailable webhook only affects pods that request injection by their own
//! annotation.

mod advice;
mod templates;
#[cfg(test)]
mod tests;

use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
    ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};

use crate::admission::MUTATE_PATH;

/// Namespaces that a cluster needs to start: a webhook that blocks them can prevent the cluster's
/// own repair.
const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-node-lease", "kube-public"];

const APP_LABEL: &str = "app.kubernetes.io/name";
const APP_NAME: &str = "outrigger";
/// Every namespace has its name in this label.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The settings of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfiguration {
    /// Name of the installation, and so of both configuration objects.
    pub name: String,
    /// Where API servers reach the webhook.
    pub endpoint: Endpoint,
    /// PEM certificates that the API server trusts for the endpoint; `None` leaves the field to its
    /// owner.
    pub ca_bundle: Option<Vec<u8>>,
    /// Domain of the annotations and labels.
    pub domain: String,
    /// For pods that request injection by annotation.
    pub pods_failure_policy: FailurePolicy,
    /// For all other pods of namespaces with injection enabled.
    pub namespaces_failure_policy: FailurePolicy,
    /// Whether the API server asks for advice about workloads.
    pub advice: AdviceWebhook,
}

/// Whether the validating configuration has the webhook for advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdviceWebhook {
    /// The API server asks for advice about workloads.
    Included,
    /// It asks about templates alone.
    LeftOut,
}

/// The endpoint that the API server calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A server outside the cluster, such as `https://127.0.0.1:9443/mutate`. Advice is asked of
    /// the same URL with `/advise` as its last part, and templates are sent to `/validate`.
    Url(WebhookUrl),
    /// A Service of the cluster; the webhook excludes its namespace.
    Service {
        /// Namespace of the Service.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
}

/// What the API server does with a pod when the webhook does not respond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// The pod is refused.
    Fail,
    /// The pod is admitted as it is.
    Ignore,
}

impl FailurePolicy {
    /// The word of the API: `Fail` or `Ignore`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "Fail",
            Self::Ignore => "Ignore",
        }
    }
}

impl fmt::Display for FailurePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for FailurePolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Fail, Self::Ignore]
            .into_iter()
            .find(|policy| policy.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("failure policy {text:?}: expected Fail or Ignore"))
    }
}

/// A URL that the API server accepts for a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl(String);

impl WebhookUrl {
    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL with another last part.
    fn sibling(&self, path: &str) -> String {
        let base = self.0.rsplit_once('/').map_or(self.as_str(), |(base, _)| base);
        format!("{base}{path}")
    }
}

impl std::str::FromStr for WebhookUrl {
    type Err = String;

    /// The API server requires `https`, a host and a path, and allows no user, query or fragment.
    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("https://").unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#'));
        if !is_host(host) || path.is_empty() || !plain {
            return Err(format!(
                "url {text:?}: expected https://HOST:PORT{MUTATE_PATH}, without user, query and fragment"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// `HOST` or `HOST:PORT`; an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, port))) if address.parse::<std::net::Ipv6Addr>().is_ok() => (address, port),
        Some(_) => return false,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let has_port = port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    !host.is_empty() && !host.contains('%') && (port.is_empty() || has_port)
}

impl WebhookConfiguration {
    /// The configuration with all defaults, for this endpoint.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            name: APP_NAME.to_owned(),
            endpoint,
            ca_bundle: None,
            domain: "outrigger.dev".to_owned(),
            // Such a pod relies on its sidecar; a start without it would go unnoticed.
            pods_failure_policy: FailurePolicy::Fail,
            // These pods do not mention Outrigger and must not depend on its health.
            namespaces_failure_policy: FailurePolicy::Ignore,
            advice: AdviceWebhook::Included,
        }
    }

    /// The object to apply.
    pub fn to_object(&self) -> MutatingWebhookConfiguration {
        MutatingWebhookConfiguration { metadata: self.metadata(), webhooks: Some(vec![self.pods(), self.namespaces()]) }
    }

    /// The object as JSON.
    pub fn to_value(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(self.to_object())
    }

    /// The validating configuration to apply.
    pub fn to_validating_object(&self) -> ValidatingWebhookConfiguration {
        let webhooks = match self.advice {
            AdviceWebhook::Included => vec![self.advice(), self.templates()],
            AdviceWebhook::LeftOut => vec![self.templates()],
        };
        ValidatingWebhookConfiguration { metadata: self.metadata(), webhooks: Some(webhooks) }
    }

    /// The validating configuration as JSON.
    pub fn to_validating_value(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(self.to_validating_object())
    }

    fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name.clone()),
            labels: Some([(APP_LABEL.to_owned(), self.name.clone())].into()),
            ..ObjectMeta::default()
        }
    }

    /// The webhook for pods that request injection by their own annotation, in any namespace.
    fn pods(&self) -> MutatingWebhook {
        let condition = match_condition("asks-for-injection", self.requests_injection());
        self.webhook("pods", self.pods_failure_policy, Vec::new(), condition)
    }

    /// The webhook for all other pods of namespaces with injection enabled: for default lists and
    /// Automatic templates.
    fn namespaces(&self) -> MutatingWebhook {
        let is_enabled = requirement(format!("{}/injection", self.domain), "In", ["enabled"]);
        // Without this condition, a pod with the annotation would be sent twice.
        let condition = match_condition("does-not-ask-for-injection", format!("!({})", self.requests_injection()));
        self.webhook("namespaces", self.namespaces_failure_policy, vec![is_enabled], condition)
    }

    /// CEL: the pod has the annotation, with any value, `false` and the empty list included: only
    /// the engine interprets values.
    fn requests_injection(&self) -> String {
        format!("has(object.metadata.annotations) && '{}/inject' in object.metadata.annotations", self.domain)
    }

    fn webhook(
        &self,
        what: &str,
        failure_policy: FailurePolicy,
        namespaces: Vec<LabelSelectorRequirement>,
        condition: MatchCondition,
    ) -> MutatingWebhook {
        let mut namespace_expressions = vec![self.not_in_excluded_namespaces()];
        namespace_expressions.extend(namespaces);
        MutatingWebhook {
            name: format!("{what}.inject.{}", self.domain),
            client_config: self.client_config(MUTATE_PATH),
            rules: Some(vec![created_pods()]),
            match_conditions: Some(vec![condition]),
            namespace_selector: Some(selector(namespace_expressions)),
            // Outrigger's own pods must start while no webhook responds.
            object_selector: Some(selector(vec![self.not_ours()])),
            failure_policy: Some(failure_policy.as_str().to_owned()),
            // A response takes well under a millisecond; a longer wait would only delay the
            // creation of pods.
            timeout_seconds: Some(5),
            // A later webhook may add containers that a template has to see; injection is
            // idempotent.
            reinvocation_policy: Some("IfNeeded".to_owned()),
            // There are none, so dry runs may be sent to the webhook.
            side_effects: "None".to_owned(),
            // The server supports no other version.
            admission_review_versions: vec!["v1".to_owned()],
            // Pods are reviewed whichever API version they were sent in.
            match_policy: Some("Equivalent".to_owned()),
        }
    }

    fn not_in_excluded_namespaces(&self) -> LabelSelectorRequirement {
        requirement(NAMESPACE_NAME_LABEL, "NotIn", self.excluded_namespaces())
    }

    /// Excludes the pods of all installations: one with another name labels its pods so.
    fn not_ours(&self) -> LabelSelectorRequirement {
        let other = Some(self.name.as_str()).filter(|name| *name != APP_NAME);
        requirement(APP_LABEL, "NotIn", std::iter::once(APP_NAME).chain(other))
    }

    /// The system's namespaces, and Outrigger's own, whose pods must not wait for it.
    fn excluded_namespaces(&self) -> Vec<&str> {
        let own = match &self.endpoint {
            Endpoint::Url(_) => None,
            Endpoint::Service { namespace, .. } => Some(namespace.as_str()),
        };
        let mut namespaces = SYSTEM_NAMESPACES.to_vec();
        namespaces.extend(own.filter(|own| !SYSTEM_NAMESPACES.contains(own)));
        namespaces
    }

    /// The client of one of our paths. [`MUTATE_PATH`] keeps a URL as it was given.
    fn client_config(&self, path: &str) -> WebhookClientConfig {
        let (url, service) = match &self.endpoint {
            Endpoint::Url(url) if path == MUTATE_PATH => (Some(url.0.clone()), None),
            Endpoint::Url(url) => (Some(url.sibling(path)), None),
            Endpoint::Service { namespace, name, port } => (
                None,
                Some(ServiceReference {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    path: Some(path.to_owned()),
                    port: Some((*port).into()),
                }),
            ),
        };
        WebhookClientConfig { ca_bundle: self.ca_bundle.clone().map(ByteString), service, url }
    }
}

/// Only CREATE of pods: a pod's containers cannot change later, and subresources are not pods.
fn created_pods() -> RuleWithOperations {
    RuleWithOperations {
        api_groups: Some(vec![String::new()]),
        api_versions: Some(vec!["v1".to_owned()]),
        operations: Some(vec!["CREATE".to_owned()]),
        resources: Some(vec!["pods".to_owned()]),
        scope: Some("Namespaced".to_owned()),
    }
}

fn match_condition(name: &str, expression: String) -> MatchCondition {
    MatchCondition { name: name.to_owned(), expression }
}

fn selector(expressions: Vec<LabelSelectorRequirement>) -> LabelSelector {
    LabelSelector { match_expressions: Some(expressions), match_labels: None }
}

fn requirement<'a>(
    key: impl Into<String>,
    operator: &str,
    values: impl IntoIterator<Item = &'a str>,
) -> LabelSelectorRequirement {
    LabelSelectorRequirement {
        key: key.into(),
        operator: operator.to_owned(),
        values: Some(values.into_iter().map(str::to_owned).collect()),
    }
}
