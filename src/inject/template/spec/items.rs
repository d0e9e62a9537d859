//! Items of the lists of a template: types of core/v1 with keys of our own, which no pod gets.
//!
//! They stand for their schema only: the items are compiled from the document's JSON.

use k8s_openapi::api::core::v1;
use schemars::JsonSchema;
use std::collections::BTreeMap;

/// An item that may be left out or repeated.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for its schema only")]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "item.{T}")]
pub(in crate::inject::template) struct ListItem<T> {
    #[serde(flatten)]
    item: T,
    /// CEL expression: the item is there only where it is true.
    when: Option<String>,
    /// CEL expression that gives a list of at most 32 elements: the item is there once for each,
    /// which expressions read as `each`.
    for_each: Option<String>,
}

/// A volume that the app may already have.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for its schema only")]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "item.Volume")]
pub(in crate::inject::template) struct VolumeItem {
    #[serde(flatten)]
    item: v1::Volume,
    /// Uses the volume that the app mounts at a path instead of this one.
    share: Option<ShareSpec>,
    /// CEL expression: the item is there only where it is true.
    when: Option<String>,
    /// CEL expression that gives a list of at most 32 elements: the item is there once for each,
    /// which expressions read as `each`.
    for_each: Option<String>,
}

/// Which volume of the app a template shares.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for its schema only")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::inject::template) struct ShareSpec {
    /// The volume that the app mounts at this path, or at the nearest path above it.
    mounted_at: String,
    /// Kinds of volumes that are refused otherwise: `Secret`, `Projected`.
    #[serde(default)]
    allow: Vec<String>,
}

/// A variable that the container may already have.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for its schema only")]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "item.EnvVar")]
pub(in crate::inject::template) struct EnvItem {
    #[serde(flatten)]
    item: v1::EnvVar,
    /// What becomes of a variable that the container has. Default `Conflict`.
    on_existing: Option<OnExisting>,
    /// Stands between the container's value and that of the template. Default one space.
    separator: Option<String>,
    /// CEL expression: the item is there only where it is true.
    when: Option<String>,
    /// CEL expression that gives a list of at most 32 elements: the item is there once for each,
    /// which expressions read as `each`.
    for_each: Option<String>,
}

/// What becomes of a variable that a container of the app has with another value.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for its schema only")]
pub(in crate::inject::template) enum OnExisting {
    /// The pod and the template are in conflict.
    Conflict,
    /// The container keeps its value, without a warning.
    Keep,
    /// The template's value comes after the container's.
    Append,
    /// The template's value comes before the container's.
    Prepend,
}

/// A volume of files, which the pod carries in annotations.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for its schema only")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::inject::template) struct FilesItem {
    /// Name of the volume.
    name: String,
    /// The text of each file, by name.
    items: BTreeMap<String, String>,
    /// CEL expression: the item is there only where it is true.
    when: Option<String>,
    /// CEL expression that gives a list of at most 32 elements: the item is there once for each,
    /// which expressions read as `each`.
    for_each: Option<String>,
}
