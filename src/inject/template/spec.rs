//! The template format `outrigger.dev/v1alpha1`: types and defaults of the document as written.
//!
//! The JSON schema derived here, and recorded by a test in `inject/schema`, is what documents are
//! checked against, so field and documentation cannot drift. Parts that are rendered
//! ([`OverlayPart`](crate::inject::overlay::OverlayPart)) are declared here for their schema only:
//! they are compiled from the document's JSON, so that core/v1 fields that are newer than this
//! build pass through.

#[cfg(test)]
mod items;
mod pod_fields;

use crate::inject::pod::OperatingSystem;
#[cfg(test)]
use items::{EnvItem, FilesItem, ListItem, VolumeItem};
#[cfg(test)]
use k8s_openapi::{api::core::v1, apimachinery::pkg::apis::meta::v1::LabelSelector};
#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(crate) use pod_fields::PodFieldsSpec;

/// `apiVersion` of every template document.
pub(crate) const API_VERSION: &str = "outrigger.dev/v1alpha1";
/// `kind` of a cluster-wide template, written by admins.
pub(crate) const CLUSTER_KIND: &str = "ClusterInjectionTemplate";
/// `kind` of a template of one namespace.
pub(crate) const NAMESPACED_KIND: &str = "InjectionTemplate";

/// A template document.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "the structure is checked by reading it; the values are read as JSON")]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TemplateDocument {
    /// Always `outrigger.dev/v1alpha1`.
    pub api_version: String,
    /// `ClusterInjectionTemplate`.
    pub kind: String,
    /// Name of the template; other metadata is for its readers.
    pub metadata: TemplateMetadata,
    /// What the template gives, to whom, and how.
    pub spec: TemplateSpec,
}

/// Metadata of a template. What the API server and tools add beyond these is taken and ignored.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "the structure is checked by reading it; the values are read as JSON")]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct TemplateMetadata {
    /// DNS label of at most 63 characters: annotations and labels carry it.
    #[cfg_attr(test, schemars(regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"), length(max = 63)))]
    pub name: String,
    /// Only for the namespaced kind.
    #[serde(default)]
    pub namespace: Option<String>,
    /// For readers of the template; the pod's labels are in `spec.metadata`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// For readers of the template; the pod's annotations are in `spec.metadata`.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// What a template gives, to whom, and how.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct TemplateSpec {
    /// One sentence for people who choose a template.
    pub description: String,
    /// `OptIn` (default): pods that name it. `Automatic`: every pod that `match` selects, unless it
    /// opts out.
    pub injection: InjectionMode,
    /// Which pods may have it; all parts must hold.
    pub r#match: MatchSpec,
    /// What a pod may set by annotation.
    pub parameters: Vec<ParameterSpec>,
    /// Long-running helpers.
    #[cfg_attr(test, schemars(with = "Vec<ListItem<v1::Container>>"))]
    pub sidecars: Vec<IgnoredAny>,
    /// Run-once helpers.
    #[cfg_attr(test, schemars(with = "Vec<ListItem<v1::Container>>"))]
    pub init_containers: Vec<IgnoredAny>,
    /// Volumes of the pod.
    #[cfg_attr(test, schemars(with = "Vec<VolumeItem>"))]
    pub volumes: Vec<IgnoredAny>,
    /// Volumes of files whose text stands in the template.
    #[cfg_attr(test, schemars(with = "Vec<FilesItem>"))]
    pub files: Vec<IgnoredAny>,
    /// What the app's own containers get.
    pub app: AppSpec,
    /// What the sidecars take from the app's first selected container.
    pub from_app: FromAppSpec,
    /// Where containers go.
    pub placement: PlacementSpec,
    /// Labels and annotations of the pod; existing keys are never changed.
    pub metadata: MetadataSpec,
    /// Other fields of the pod.
    pub pod: PodFieldsSpec,
    /// Other templates that a pod with this one must have too.
    pub requires: Vec<String>,
    /// Other templates that a pod with this one must not have.
    pub excludes: Vec<String>,
    /// What becomes of the resources of the pod as a whole. Default `Grow`.
    pub pod_resources: PodResources,
    /// What is done for a pod of the QoS class Guaranteed. Default `Warn`.
    pub qos: Qos,
    /// What to do when pod and template say different things. Default `Reject`.
    pub on_conflict: OnConflict,
    /// What a pod gets that asked for the template and cannot have it. Default `Reject`.
    pub on_error: OnError,
    /// Names of core/v1 fields in this template that are newer than this build and look like a
    /// misspelling of an older one.
    pub new_fields: Vec<String>,
    /// Whether an `InjectionTemplate` of the same name takes its place in that namespace. Only for
    /// the kind `ClusterInjectionTemplate`. Default false.
    pub shadowable: bool,
    /// Which pods get a new revision of the template. Absent: all.
    pub rollout: Option<RolloutSpec>,
    /// Fill the four security context fields of Pod Security "restricted" where a container leaves
    /// them out. Default true.
    #[serde(default = "yes")]
    pub hardened: Hardened,
}

/// How a new revision of a template reaches pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RolloutSpec {
    /// The part of the pods that get the new revision, from 0 to 100; the others get the stable one,
    /// the last that all pods could have. A pod's owner and name decide, so that a pod that is created
    /// anew gets the same again.
    #[cfg_attr(test, schemars(range(max = 100)))]
    pub percent: u8,
}

fn yes() -> Hardened {
    Hardened(true)
}

/// `hardened`; true unless said otherwise.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Hardened(pub bool);

impl Default for Hardened {
    fn default() -> Self {
        yes()
    }
}

/// Who gets a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) enum InjectionMode {
    /// Pods that name it.
    #[default]
    OptIn,
    /// Every pod that `match` selects in a namespace that takes part, unless it opts out.
    Automatic,
}

/// Which pods may have a template.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct MatchSpec {
    /// Operating systems; default `[linux]`.
    pub os: Vec<OperatingSystem>,
    /// Labels of the namespace.
    #[cfg_attr(test, schemars(with = "LabelSelector"))]
    pub namespace_selector: Value,
    /// Labels of the pod.
    #[cfg_attr(test, schemars(with = "LabelSelector"))]
    pub pod_selector: Value,
    /// CEL expressions, each of which must be true.
    pub conditions: Vec<ConditionSpec>,
}

impl Default for MatchSpec {
    fn default() -> Self {
        let all = || Value::Object(Map::new());
        Self {
            os: vec![OperatingSystem::Linux],
            namespace_selector: all(),
            pod_selector: all(),
            conditions: Vec::new(),
        }
    }
}

/// One condition of `match`.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "the structure is checked by reading it; the values are read as JSON")]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ConditionSpec {
    /// CEL expression that gives a boolean.
    pub expression: String,
    /// Why a pod for which it is false cannot have the template.
    #[serde(default)]
    pub message: String,
}

/// A parameter that a pod may set by the annotation `<template>.outrigger.dev/<name>`.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "the structure is checked by reading it; the values are read as JSON")]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ParameterSpec {
    /// Letters, digits and `_`, not a digit first: expressions read `params.<name>`.
    #[cfg_attr(test, schemars(regex(pattern = "^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?$"), length(max = 63)))]
    pub name: String,
    /// What the text of the annotation must be.
    pub r#type: ParameterType,
    /// Value of pods that say nothing. Without one the parameter is required. A string with
    /// `${…}` is computed for each pod.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<DefaultValue>"))]
    pub default: Option<Value>,
    /// Regular expression (RE2 syntax) that the text must match somewhere; anchor it with `^` and
    /// `$`. Each item of a list and each value of a map must match it.
    #[serde(default)]
    pub pattern: Option<String>,
    /// The same for each key of a map.
    #[serde(default)]
    pub key_pattern: Option<String>,
    /// Most items of a list or map, 1 to 1024. Default 64.
    #[serde(default)]
    pub max_items: Option<i64>,
    /// The values of an `enum`.
    #[serde(default)]
    pub values: Vec<String>,
    /// Least value, for integer, number, port, quantity and duration.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Scalar>"))]
    pub minimum: Option<Value>,
    /// Greatest value, likewise.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Scalar>"))]
    pub maximum: Option<Value>,
    /// One sentence for people who set it.
    #[serde(default)]
    pub description: String,
}

/// A string, number or boolean, or for the types list and map a list or map of them.
#[cfg(test)]
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(crate) struct DefaultValue(#[expect(dead_code, reason = "stands for its schema only")] Value);

/// A string, number or boolean.
#[cfg(test)]
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(crate) struct Scalar(#[expect(dead_code, reason = "stands for its schema only")] Value);

/// Type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum ParameterType {
    String,
    Integer,
    Boolean,
    Number,
    /// Kubernetes quantity, such as `100m` or `64Mi`.
    Quantity,
    /// Go duration, such as `1m30s`.
    Duration,
    /// 1 to 65535.
    Port,
    Enum,
    /// Strings: `a, b`, or a JSON list.
    List,
    /// Strings by key: `k=v, k=v`, or a JSON object.
    Map,
}

/// What the app's own containers get.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct AppSpec {
    /// `All` (default), `First`, or names; the pod may narrow it by annotation.
    pub containers: ContainerSelection,
    /// Whether the app's init containers get it too. Default false.
    pub init_containers: bool,
    /// Environment variables.
    #[cfg_attr(test, schemars(with = "Vec<EnvItem>"))]
    pub env: Vec<IgnoredAny>,
    /// Where the variables stand among those of the container. Default `Last`.
    pub env_position: EnvPosition,
    /// ConfigMaps and Secrets whose entries become environment variables.
    #[cfg_attr(test, schemars(with = "Vec<ListItem<v1::EnvFromSource>>"))]
    pub env_from: Vec<IgnoredAny>,
    /// Mounts of volumes of the template or the pod.
    #[cfg_attr(test, schemars(with = "Vec<ListItem<v1::VolumeMount>>"))]
    pub volume_mounts: Vec<IgnoredAny>,
    /// Fields that a container gets where it has none.
    pub defaults: AppDefaultsSpec,
    /// Put before the container's own `command`.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub prepend_command: Vec<IgnoredAny>,
}

/// Where injected variables stand among those of a container: `$(NAME)` is replaced only in
/// variables after `NAME`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) enum EnvPosition {
    /// Before the container's own variables, which can refer to them.
    First,
    /// After them.
    #[default]
    Last,
}

/// Fields of a container of the app that it gets only where it has none.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct AppDefaultsSpec {
    /// Filled in field by field; `capabilities` is one field.
    #[cfg_attr(test, schemars(with = "Option<v1::SecurityContext>"))]
    pub security_context: Option<IgnoredAny>,
    /// Filled in resource by resource.
    #[cfg_attr(test, schemars(with = "Option<v1::ResourceRequirements>"))]
    pub resources: Option<IgnoredAny>,
    /// Filled in hook by hook; not for init containers that run once.
    #[cfg_attr(test, schemars(with = "Option<v1::Lifecycle>"))]
    pub lifecycle: Option<IgnoredAny>,
    /// Not for init containers that run once.
    #[cfg_attr(test, schemars(with = "Option<v1::Probe>"))]
    pub liveness_probe: Option<IgnoredAny>,
    /// Not for init containers that run once.
    #[cfg_attr(test, schemars(with = "Option<v1::Probe>"))]
    pub readiness_probe: Option<IgnoredAny>,
    /// Not for init containers that run once.
    #[cfg_attr(test, schemars(with = "Option<v1::Probe>"))]
    pub startup_probe: Option<IgnoredAny>,
    /// `File` or `FallbackToLogsOnError`.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub termination_message_policy: Option<IgnoredAny>,
}

/// Which of the app's containers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(untagged)]
pub(crate) enum ContainerSelection {
    Keyword(SelectionKeyword),
    Names(Vec<String>),
}

impl Default for ContainerSelection {
    fn default() -> Self {
        Self::Keyword(SelectionKeyword::All)
    }
}

/// `All` or `First`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) enum SelectionKeyword {
    All,
    First,
}

/// What the sidecars take from the app's first selected container.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct FromAppSpec {
    /// All of its volume mounts, but for the service account's token. Default false.
    pub volume_mounts: bool,
    /// Environment variables by name.
    pub env: Vec<String>,
}

/// Where containers go.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct PlacementSpec {
    /// `Native` (default): init containers with `restartPolicy: Always` (KEP-753) where the cluster
    /// has them. `Plain`: containers.
    pub sidecars: SidecarKind,
    /// Place of the sidecars; absent: native ones first, plain ones last.
    pub order: Option<Order>,
    /// Place of the run-once init containers; absent: first.
    pub init_container_order: Option<Order>,
}

/// What a sidecar becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) enum SidecarKind {
    #[default]
    Native,
    Plain,
}

/// A place in a list of containers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) enum Order {
    First,
    Last,
    /// Right before the container of this name.
    #[serde(rename = "before")]
    Before(String),
    /// Right after the container of this name.
    #[serde(rename = "after")]
    After(String),
}

/// Labels and annotations for the pod.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct MetadataSpec {
    /// Labels of the pod.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, String>"))]
    pub labels: BTreeMap<String, IgnoredAny>,
    /// Annotations of the pod.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, String>"))]
    pub annotations: BTreeMap<String, IgnoredAny>,
}

/// What becomes of the resources of the pod as a whole (`spec.resources`, KEP-2837).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) enum PodResources {
    /// They grow by what the sidecars ask for and may use.
    #[default]
    Grow,
    /// They stay; a pod that would be invalid is refused.
    Keep,
}

/// What is done for a pod of the QoS class Guaranteed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) enum Qos {
    /// A warning says that the pod becomes Burstable.
    #[default]
    Warn,
    /// The sidecars' requests are set to their limits.
    Keep,
}

/// What to do when pod and template say different things under one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) enum OnConflict {
    /// The pod is refused, with every conflict listed.
    #[default]
    Reject,
    /// The pod's value stays, with a warning.
    KeepPod,
}

/// What a pod gets that asked for a template and cannot have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) enum OnError {
    /// It is refused.
    #[default]
    Reject,
    /// It is admitted without the template, with a warning.
    Skip,
}

#[cfg(test)]
mod tests {
    use super::TemplateDocument;
    use crate::inject::schema::recorded;

    #[test]
    fn the_recorded_template_schema_equals_that_of_its_type() {
        recorded::assert_recorded::<TemplateDocument>("template.json", recorded::TEMPLATE);
    }
}
