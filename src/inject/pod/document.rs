//! The pod as a raw JSON tree: the whole pod, or the part that some templates can read.
//!
//! Invariant: the tree is what was sent without `metadata.managedFields`, which is most of a large
//! pod and never needed. It is never a typed struct of Kubernetes, so fields newer than this build
//! survive.

use super::read_set::ReadSet;
use super::scan::ScannedPod;
use super::{ContainerList, OperatingSystem, PodError, part, structure_check, whole};
use crate::inject::annotations::NODE_OS;
use crate::inject::text::json::{items, text};
use serde_json::Value;

/// The pod as a tree.
#[derive(Clone, Debug)]
pub(crate) struct PodDocument {
    tree: Value,
}

impl PodDocument {
    /// Parses the whole object.
    #[cfg(test)]
    pub(in crate::inject) fn parse(object: &str) -> Result<Self, PodError> {
        super::memory_estimate::check(object)?;
        Self::whole(object)
    }

    /// Parses the whole object, whose size the caller has checked.
    pub(super) fn whole(object: &str) -> Result<Self, PodError> {
        let pod = Self { tree: whole::parse(object)? };
        structure_check::check(&pod.tree).map_err(PodError::Structure)?;
        Ok(pod)
    }

    /// Reads the fields of these read sets. `None` if the templates may need more, and if the pod has
    /// any problem: then the whole pod has to be parsed.
    pub(super) fn part(scanned: &ScannedPod<'_>, read_sets: &[&ReadSet]) -> Option<Self> {
        let pod = Self { tree: part::parse(scanned, read_sets)? };
        structure_check::check(&pod.tree).ok()?;
        (!read_sets.iter().any(|read_set| read_set.overlaps(&pod))).then_some(pod)
    }

    pub(crate) fn tree(&self) -> &Value {
        &self.tree
    }

    pub(crate) fn into_tree(self) -> Value {
        self.tree
    }

    /// A list of containers; empty when absent or null.
    pub(crate) fn containers(&self, list: ContainerList) -> &[Value] {
        self.spec_items(list.field())
    }

    pub(crate) fn spec_items(&self, field: &str) -> &[Value] {
        self.tree.get("spec").map_or(&[], |spec| items(spec, field))
    }

    pub(crate) fn spec_field(&self, field: &str) -> Option<&Value> {
        self.tree.get("spec")?.get(field)
    }

    pub(crate) fn metadata_field(&self, field: &str) -> Option<&Value> {
        self.tree.get("metadata")?.get(field)
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.metadata_field("labels")?.get(key)?.as_str()
    }

    /// Keys of all labels.
    pub(crate) fn label_keys(&self) -> impl Iterator<Item = &str> {
        self.metadata_field("labels").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key.as_str())
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata_field("annotations")?.get(key)?.as_str()
    }

    /// All annotations by key. Null is the empty text, as in the API server.
    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        let annotations = self.metadata_field("annotations").and_then(Value::as_object).into_iter().flatten();
        annotations.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
    }

    pub(crate) fn operating_system(&self) -> OperatingSystem {
        let name = |field: &str, key: &str| self.spec_field(field)?.get(key)?.as_str();
        OperatingSystem::of(name("os", "name"), name("nodeSelector", NODE_OS))
    }

    /// Whether a Job owns the pod: with a plain sidecar it would never complete.
    pub(crate) fn is_owned_by_job(&self) -> bool {
        self.metadata_field("ownerReferences")
            .and_then(Value::as_array)
            .is_some_and(|owners| owners.iter().any(|owner| text(owner, "kind") == "Job"))
    }
}
