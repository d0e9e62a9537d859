//! Builds the webhook that checks templates before the API server stores them.
//!
//! Invariant: an unavailable server keeps nobody from writing templates. A bad one that gets in is not
//! served, and harms no other.

use k8s_openapi::api::admissionregistration::v1::{RuleWithOperations, ValidatingWebhook};

use super::{FailurePolicy, WebhookConfiguration, match_condition};
use crate::admission::VALIDATE_PATH;
use crate::api::template_object::{GROUP, TemplateKind, VERSION};

impl WebhookConfiguration {
    pub(super) fn templates(&self) -> ValidatingWebhook {
        ValidatingWebhook {
            name: format!("templates.{}", self.domain),
            client_config: self.client_config(VALIDATE_PATH),
            rules: Some(vec![templates()]),
            match_conditions: Some(vec![match_condition("template-changed", template_changed())]),
            // Templates may be in any namespace, and no pod of ours depends on them.
            namespace_selector: None,
            object_selector: None,
            failure_policy: Some(FailurePolicy::Ignore.as_str().to_owned()),
            timeout_seconds: Some(5),
            // There are none, so dry runs are checked too.
            side_effects: "None".to_owned(),
            admission_review_versions: vec!["v1".to_owned()],
            match_policy: Some("Equivalent".to_owned()),
        }
    }
}

/// Both kinds, but not their subresource `status`. A deletion is sent for the warning about pods that
/// still ask for the template.
fn templates() -> RuleWithOperations {
    let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
    RuleWithOperations {
        api_groups: texts(&[GROUP]),
        api_versions: texts(&[VERSION]),
        operations: texts(&["CREATE", "UPDATE", "DELETE"]),
        resources: texts(&TemplateKind::ALL.map(TemplateKind::plural)),
        scope: Some("*".to_owned()),
    }
}

/// CEL: the template is new or deleted, or something of it has changed that is checked. An object that
/// is being deleted only loses finalizers.
fn template_changed() -> String {
    let differs = |field: &str| {
        let (new, old) = (format!("object.metadata.{field}"), format!("oldObject.metadata.{field}"));
        format!("has({new}) != has({old}) || has({new}) && {new} != {old}")
    };
    format!(
        "request.operation == 'CREATE' || request.operation == 'DELETE' || !has(object.metadata.deletionTimestamp) && \
         (object.spec != oldObject.spec || {} || {})",
        differs("labels"),
        differs("annotations")
    )
}
