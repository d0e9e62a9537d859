//! Builds the MutatingWebhookConfiguration that is printed, applied and compared.
//!
//! It neither prints nor sends it.
//! Invariant: an unavailable webhook only affects pods that request injection by their own
//! annotation.

use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
    WebhookClientConfig,
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
    /// Name of the configuration object.
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
}

/// The endpoint that the API server calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A server outside the cluster, such as `https://127.0.0.1:9443/mutate`.
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
        }
    }

    /// The object to apply.
    pub fn to_object(&self) -> MutatingWebhookConfiguration {
        MutatingWebhookConfiguration {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some([(APP_LABEL.to_owned(), APP_NAME.to_owned())].into()),
                ..ObjectMeta::default()
            },
            webhooks: Some(vec![self.pods(), self.namespaces()]),
        }
    }

    /// The object as JSON.
    pub fn to_value(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(self.to_object())
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
        let mut namespace_expressions = vec![requirement(NAMESPACE_NAME_LABEL, "NotIn", self.excluded_namespaces())];
        namespace_expressions.extend(namespaces);
        MutatingWebhook {
            name: format!("{what}.inject.{}", self.domain),
            client_config: self.client_config(),
            rules: Some(vec![created_pods()]),
            match_conditions: Some(vec![condition]),
            namespace_selector: Some(selector(namespace_expressions)),
            // Outrigger's own pods must start while no webhook responds.
            object_selector: Some(selector(vec![requirement(APP_LABEL, "NotIn", [APP_NAME])])),
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

    fn client_config(&self) -> WebhookClientConfig {
        let (url, service) = match &self.endpoint {
            Endpoint::Url(url) => (Some(url.0.clone()), None),
            Endpoint::Service { namespace, name, port } => (
                None,
                Some(ServiceReference {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    path: Some(MUTATE_PATH.to_owned()),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn by_url() -> WebhookConfiguration {
        WebhookConfiguration::new(Endpoint::Url("https://127.0.0.1:9443/mutate".parse().expect("a good URL")))
    }

    fn by_service() -> WebhookConfiguration {
        let (namespace, name) = ("outrigger-system".to_owned(), "outrigger".to_owned());
        WebhookConfiguration::new(Endpoint::Service { namespace, name, port: 443 })
    }

    fn value(configuration: &WebhookConfiguration) -> Value {
        configuration.to_value().expect("it is plain data")
    }

    #[test]
    fn the_configuration_for_a_url_is_complete() {
        let system = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "kube-node-lease", "kube-public"]});
        let is_enabled = json!({"key": "outrigger.dev/injection", "operator": "In", "values": ["enabled"]});
        let selector = json!({"matchExpressions": [system]});
        let of_namespaces = json!({"matchExpressions": [system, is_enabled]});
        let webhook = |name: &str, policy: &str, selector: &Value, condition: &str, expression: &str| {
            json!({
                "name": name,
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": "https://127.0.0.1:9443/mutate"},
                "failurePolicy": policy,
                "matchConditions": [{"name": condition, "expression": expression}],
                "matchPolicy": "Equivalent",
                "namespaceSelector": selector,
                "objectSelector": {"matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "NotIn", "values": ["outrigger"]}]},
                "reinvocationPolicy": "IfNeeded",
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced"}],
                "sideEffects": "None",
                "timeoutSeconds": 5,
            })
        };
        let asks = "has(object.metadata.annotations) && 'outrigger.dev/inject' in object.metadata.annotations";
        let expected = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "outrigger", "labels": {"app.kubernetes.io/name": "outrigger"}},
            "webhooks": [
                webhook("pods.inject.outrigger.dev", "Fail", &selector, "asks-for-injection", asks),
                webhook("namespaces.inject.outrigger.dev", "Ignore", &of_namespaces, "does-not-ask-for-injection", &format!("!({asks})")),
            ],
        });
        assert_eq!(value(&by_url()), expected);
    }

    #[test]
    fn a_service_excludes_its_own_namespace() {
        for webhook in value(&by_service())["webhooks"].as_array().expect("a list") {
            assert_eq!(
                webhook["clientConfig"],
                json!({"service": {"namespace": "outrigger-system", "name": "outrigger", "path": "/mutate", "port": 443}})
            );
            let excluded = &webhook["namespaceSelector"]["matchExpressions"][0];
            assert_eq!(
                excluded["values"],
                json!(["kube-system", "kube-node-lease", "kube-public", "outrigger-system"])
            );
        }
    }

    #[test]
    fn the_ca_bundle_is_the_pem_in_base64() {
        let configuration = WebhookConfiguration { ca_bundle: Some(b"PEM".to_vec()), ..by_url() };
        assert_eq!(value(&configuration)["webhooks"][0]["clientConfig"]["caBundle"], json!("UEVN"));
        assert_eq!(value(&configuration)["webhooks"][1]["clientConfig"]["caBundle"], json!("UEVN"));
    }

    #[test]
    fn each_webhook_has_its_own_failure_policy() {
        let configuration = WebhookConfiguration { pods_failure_policy: FailurePolicy::Ignore, ..by_url() };
        assert_eq!(value(&configuration)["webhooks"][0]["failurePolicy"], json!("Ignore"));
        let configuration = WebhookConfiguration { namespaces_failure_policy: FailurePolicy::Fail, ..by_url() };
        assert_eq!(value(&configuration)["webhooks"][1]["failurePolicy"], json!("Fail"));
    }

    #[test]
    fn every_name_uses_the_configured_domain() {
        let text = value(&WebhookConfiguration { domain: "sidecars.example.com".to_owned(), ..by_url() }).to_string();
        assert!(!text.contains("outrigger.dev"), "{text}");
        for part in
            ["pods.inject.sidecars.example.com", "'sidecars.example.com/inject'", "sidecars.example.com/injection"]
        {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    /// Evaluates the two conditions as the API server does: each pod matches exactly one webhook.
    #[test]
    fn each_pod_matches_exactly_one_webhook() {
        let object = by_url().to_object();
        let conditions: Vec<String> = object
            .webhooks
            .iter()
            .flatten()
            .flat_map(|webhook| webhook.match_conditions.iter().flatten().map(|condition| condition.expression.clone()))
            .collect();
        assert_eq!(conditions.len(), 2);
        let pods = [
            (json!({"metadata": {}}), [false, true]),
            (json!({"metadata": {"annotations": {"other": "x"}}}), [false, true]),
            (json!({"metadata": {"annotations": {"outrigger.dev/inject": "proxy"}}}), [true, false]),
            (json!({"metadata": {"annotations": {"outrigger.dev/inject": ""}}}), [true, false]),
        ];
        for (pod, expected) in pods {
            let verdicts: Vec<bool> = conditions.iter().map(|expression| holds(expression, &pod)).collect();
            assert_eq!(verdicts, expected, "{pod}");
        }
    }

    fn holds(expression: &str, object: &Value) -> bool {
        let program = cel::Program::compile(expression).expect("the expression compiles");
        let mut context = cel::Context::default();
        let object: BTreeMap<String, Value> = serde_json::from_value(object.clone()).expect("an object");
        context.add_variable("object", object).expect("an object becomes a CEL map");
        program.execute(&context).expect("the expression has a value") == cel::Value::Bool(true)
    }

    #[test]
    fn urls_that_the_api_server_refuses_are_rejected() {
        for good in
            ["https://127.0.0.1:9443/mutate", "https://outrigger.example.com/mutate", "https://[::1]:9443/mutate"]
        {
            assert!(good.parse::<WebhookUrl>().is_ok(), "{good}");
        }
        let bad = [
            "",
            "http://a/mutate",
            "https://",
            "https:///mutate",
            "https://a",
            "https://a/",
            "https://u@a/mutate",
            "https://a/mutate?x=1",
            "https://a/mutate#x",
            "https://a/mu tate",
            "https://:9443/mutate",
            "https://a:x/mutate",
            "https://a:0/mutate",
            "https://a:99999/mutate",
            "https://[::1/mutate",
            "https://[a]/mutate",
            "https://a%zz/mutate",
        ];
        for bad in bad {
            let error = bad.parse::<WebhookUrl>().expect_err(bad);
            assert!(error.contains(&format!("{bad:?}")) && error.contains("expected https://"), "{error}");
        }
    }

    #[test]
    fn a_failure_policy_may_have_any_case() {
        assert_eq!("ignore".parse(), Ok(FailurePolicy::Ignore));
        assert_eq!("Fail".parse(), Ok(FailurePolicy::Fail));
        assert!("maybe".parse::<FailurePolicy>().is_err_and(|error| error.contains("\"maybe\"")));
    }
}
