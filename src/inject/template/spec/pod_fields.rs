//! The fields of a pod that a template may set.

#[cfg(test)]
use k8s_openapi::api::core::v1;
#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
#[cfg(test)]
use std::collections::BTreeMap;

/// The fields of a pod that a template may set: a closed list.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct PodFieldsSpec {
    #[cfg_attr(test, schemars(with = "Option<Vec<v1::LocalObjectReference>>"))]
    pub image_pull_secrets: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<Vec<v1::HostAlias>>"))]
    pub host_aliases: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<bool>"))]
    pub share_process_namespace: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub service_account_name: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<BTreeMap<String, String>>"))]
    pub node_selector: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<Vec<v1::Toleration>>"))]
    pub tolerations: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<Vec<v1::TopologySpreadConstraint>>"))]
    pub topology_spread_constraints: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<v1::Affinity>"))]
    pub affinity: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub priority_class_name: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub runtime_class_name: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<v1::PodDNSConfig>"))]
    pub dns_config: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub dns_policy: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<i64>"))]
    pub termination_grace_period_seconds: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<v1::PodSecurityContext>"))]
    pub security_context: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<Vec<v1::PodReadinessGate>>"))]
    pub readiness_gates: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub scheduler_name: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<bool>"))]
    pub automount_service_account_token: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<Vec<v1::PodResourceClaim>>"))]
    pub resource_claims: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<bool>"))]
    pub enable_service_links: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<bool>"))]
    pub host_users: Option<IgnoredAny>,
    #[cfg_attr(test, schemars(with = "Option<bool>"))]
    #[serde(rename = "setHostnameAsFQDN")]
    pub set_hostname_as_fqdn: Option<IgnoredAny>,
}
