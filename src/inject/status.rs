//! The status annotation: what was put into a pod, so that a second pass knows it and `uninject` can take it out.

use super::pod::{ContainerList, PodDocument};
use super::text::pointer::escape;
use crate::inject::text::json::text;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The only version there is.
const VERSION: u32 = 1;

/// The annotation's value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Status {
    version: u32,
    pub templates: Vec<TemplateStatus>,
}

/// What one template put in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateStatus {
    pub name: String,
    pub revision: String,
    pub containers: Vec<String>,
    pub init_containers: Vec<String>,
    pub volumes: Vec<String>,
    /// Everything else, by key: `containers/web/volumeMounts/~1logs`, `labels/x`, `spec/priorityClassName`.
    pub added: Vec<String>,
    /// What had to give way, by key: values that the API server had filled in, and lists and maps that were empty.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub replaced: Map<String, Value>,
}

impl Status {
    /// Reads the annotation. What is no status of ours says nothing.
    pub fn parse(value: &str) -> Option<Self> {
        serde_json::from_str::<Self>(value).ok().filter(|status| status.version == VERSION)
    }

    /// What of the pod's status is true: an entry that lists what is not there is ignored.
    pub fn of(pod: &PodDocument, annotation: &str) -> Vec<TemplateStatus> {
        let status = pod.annotation(annotation).and_then(Self::parse);
        let entries = status.map(|status| status.templates).unwrap_or_default();
        entries.into_iter().filter(|entry| !entry.name.is_empty() && entry.is_present(pod)).collect()
    }

    /// The annotation's value for these entries. Same entries, same bytes.
    pub fn to_annotation<'a>(entries: impl Iterator<Item = &'a TemplateStatus>) -> String {
        let status = Written { version: VERSION, templates: entries.collect() };
        serde_json::to_string(&status).unwrap_or_default()
    }
}

/// The annotation's value, borrowed.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    templates: Vec<&'a TemplateStatus>,
}

impl TemplateStatus {
    /// Whether all that is listed is in the pod.
    fn is_present(&self, pod: &PodDocument) -> bool {
        let has = |items: &[Value], names: &[String]| {
            let present: HashSet<&str> = items.iter().map(|item| text(item, "name")).collect();
            names.iter().all(|name| present.contains(name.as_str()))
        };
        has(pod.containers(ContainerList::Containers), &self.containers)
            && has(pod.containers(ContainerList::InitContainers), &self.init_containers)
            && has(pod.spec_items("volumes"), &self.volumes)
    }

    /// Whether a container of the pod was filled, and not put in.
    pub fn has_filled(&self, list: &str, name: &str) -> bool {
        self.replaced.contains_key(&format!("{list}/{}/image", escape(name)))
    }

    /// Whether nothing was put in: the pod had it all.
    pub fn is_nothing(&self) -> bool {
        self.container_names().next().is_none()
            && self.volumes.is_empty()
            && self.added.is_empty()
            && self.replaced.is_empty()
    }

    /// Names of all containers that the template put in.
    pub fn container_names(&self) -> impl Iterator<Item = &str> {
        self.containers.iter().chain(&self.init_containers).map(String::as_str)
    }
}
