//! The status annotation, which lists what each template added to a pod.
//!
//! A second pass skips the templates that it lists; `uninject` removes what it lists.

use super::pod::{ContainerList, PodDocument};
use super::schema::merge_path::MergePath;
use super::template::Revision;
use super::text::json::text;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The only version of the format so far.
const VERSION: u32 = 1;

/// The annotation's value. To write it, the entries are borrowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status<E = StatusEntry> {
    version: u32,
    pub(crate) templates: Vec<E>,
}

/// What one template added and replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StatusEntry {
    pub(crate) name: String,
    /// In a forged status this can be any text.
    pub(crate) revision: Revision,
    pub(crate) containers: Vec<String>,
    pub(crate) init_containers: Vec<String>,
    pub(crate) volumes: Vec<String>,
    /// Everything else: `containers/web/volumeMounts/~1logs`, `labels/x`, `spec/priorityClassName`.
    pub(crate) added: Vec<MergePath>,
    /// Values that were replaced: those that the API server had filled in, and lists and maps that
    /// were empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) replaced: BTreeMap<MergePath, Value>,
    /// Resources of the pod as a whole that were raised by what the template's containers need.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) raised: BTreeMap<MergePath, Raised>,
    /// What was put behind the value of a variable, with its separator.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) appended: BTreeMap<MergePath, Value>,
    /// What was put before the value of a variable, with its separator, or before a command.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) prepended: BTreeMap<MergePath, Value>,
}

/// An amount before and after it was raised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Raised {
    pub(crate) from: Value,
    pub(crate) to: Value,
}

impl Status {
    /// Reads the annotation. `None` for a value that Outrigger did not write.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        serde_json::from_str::<Self>(value).ok().filter(|status| status.version == VERSION)
    }

    /// The entries of the pod's status. An entry is ignored if it lists a container or volume that
    /// the pod does not have.
    pub(crate) fn of(pod: &PodDocument, annotation: &str) -> Vec<StatusEntry> {
        let status = pod.annotation(annotation).and_then(Self::parse);
        let entries = status.map(|status| status.templates).unwrap_or_default();
        entries.into_iter().filter(|entry| !entry.name.is_empty() && entry.is_present(pod)).collect()
    }

    /// The annotation's value for these entries. The same entries give the same bytes.
    pub(crate) fn to_annotation<'a>(entries: impl Iterator<Item = &'a StatusEntry>) -> String {
        let status = Status { version: VERSION, templates: entries.collect() };
        serde_json::to_string(&status).unwrap_or_default()
    }
}

impl StatusEntry {
    /// Whether all listed containers and volumes are in the pod.
    fn is_present(&self, pod: &PodDocument) -> bool {
        let has = |items: &[Value], names: &[String]| {
            let present: BTreeSet<&str> = items.iter().map(|item| text(item, "name")).collect();
            names.iter().all(|name| present.contains(name.as_str()))
        };
        has(pod.containers(ContainerList::Containers), &self.containers)
            && has(pod.containers(ContainerList::InitContainers), &self.init_containers)
            && has(pod.spec_items("volumes"), &self.volumes)
    }

    /// Whether the container was in the pod with `image: auto`, and the template filled it.
    pub(crate) fn has_filled(&self, list: &str, name: &str) -> bool {
        self.replaced.contains_key(&MergePath::of([list, name, "image"]))
    }

    /// Whether the template added nothing, because the pod had everything already.
    pub(crate) fn is_empty(&self) -> bool {
        self.container_names().next().is_none()
            && self.volumes.is_empty()
            && self.added.is_empty()
            && self.replaced.is_empty()
            && self.raised.is_empty()
            && self.appended.is_empty()
            && self.prepended.is_empty()
    }

    /// Names of all containers that the template added or filled.
    pub(crate) fn container_names(&self) -> impl Iterator<Item = &str> {
        self.containers.iter().chain(&self.init_containers).map(String::as_str)
    }
}
