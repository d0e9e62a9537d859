//! Builds the webhook that asks for advice about workloads.
//!
//! Invariant: the API server sends a workload only where our domain stands in its annotations or
//! labels, and an update only if the pod template changed. An unavailable server refuses nothing.

use k8s_openapi::api::admissionregistration::v1::{MatchCondition, RuleWithOperations, ValidatingWebhook};

use super::{FailurePolicy, WebhookConfiguration, match_condition, selector};
use crate::admission::ADVISE_PATH;

/// Where a workload has its pod template.
const TEMPLATE: &str = "spec.template";
/// Where a CronJob has the template of its Jobs.
const JOB_TEMPLATE: &str = "spec.jobTemplate";
/// Where a CronJob has its pod template.
const CRON_JOB_TEMPLATE: &str = "spec.jobTemplate.spec.template";

impl WebhookConfiguration {
    pub(super) fn advice(&self) -> ValidatingWebhook {
        ValidatingWebhook {
            name: format!("advice.{}", self.domain),
            client_config: self.client_config(ADVISE_PATH),
            rules: Some(vec![
                workloads("apps", &["deployments", "statefulsets", "daemonsets"]),
                workloads("batch", &["jobs", "cronjobs"]),
            ]),
            match_conditions: Some(self.advice_conditions()),
            namespace_selector: Some(selector(vec![self.not_in_excluded_namespaces()])),
            object_selector: Some(selector(vec![self.not_ours()])),
            // Advice must never keep anybody from deploying.
            failure_policy: Some(FailurePolicy::Ignore.as_str().to_owned()),
            // `kubectl apply` waits at most this long for a server that does not respond.
            timeout_seconds: Some(2),
            // There are none, so dry runs get advice too.
            side_effects: "None".to_owned(),
            admission_review_versions: vec!["v1".to_owned()],
            match_policy: Some("Equivalent".to_owned()),
        }
    }

    fn advice_conditions(&self) -> Vec<MatchCondition> {
        vec![
            match_condition("mentions-the-domain", self.mentions_the_domain()),
            match_condition("template-changed", template_changed()),
            match_condition("has-no-controller", has_no_controller()),
        ]
    }

    /// CEL: an annotation or a label of the object, or of a template in it, has our domain. Any
    /// level counts, because a key at the wrong level is what its author should learn of.
    fn mentions_the_domain(&self) -> String {
        let metadata = [TEMPLATE, JOB_TEMPLATE, CRON_JOB_TEMPLATE].map(metadata_at);
        let keys = |field: &str| format!("has(m.{field}) && m.{field}.exists(key, key.contains('{}/'))", self.domain);
        format!(
            "([object.metadata] + {}).exists(m, ({}) || ({}))",
            metadata.join(" + "),
            keys("annotations"),
            keys("labels")
        )
    }
}

/// CEL: a list of the metadata at a path of the object, empty if there is none.
fn metadata_at(path: &str) -> String {
    format!("({} ? [object.{path}.metadata] : [])", has(&format!("{path}.metadata")))
}

/// CEL: the object has every part of the path.
fn has(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    let prefixes = (1..=parts.len()).map(|end| format!("has(object.{})", parts[..end].join(".")));
    prefixes.collect::<Vec<_>>().join(" && ")
}

/// CEL: the object is new, or its pod template is another one. Scaling, and the status that
/// controllers write, change no template.
fn template_changed() -> String {
    let changed = |path: &str| format!("object.{path} != oldObject.{path}");
    format!(
        "request.operation == 'CREATE' || ({} ? {} : {} && {})",
        has(CRON_JOB_TEMPLATE),
        changed(CRON_JOB_TEMPLATE),
        has(TEMPLATE),
        changed(TEMPLATE)
    )
}

/// CEL: no controller made the object. The Jobs of a CronJob were reviewed with it, and nobody
/// reads a warning about them.
fn has_no_controller() -> String {
    let owners = "object.metadata.ownerReferences";
    format!("!has({owners}) || !{owners}.exists(owner, has(owner.controller) && owner.controller)")
}

/// New and changed objects of these resources, but not their subresources `scale` and `status`.
fn workloads(group: &str, resources: &[&str]) -> RuleWithOperations {
    RuleWithOperations {
        api_groups: Some(vec![group.to_owned()]),
        api_versions: Some(vec!["v1".to_owned()]),
        operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
        resources: Some(resources.iter().map(|resource| (*resource).to_owned()).collect()),
        scope: Some("Namespaced".to_owned()),
    }
}
