//! A rendered template: the partial pod that Outrigger merges into a pod.
//!
//! Invariant: an [`Overlay`] without errors from [`Overlay::check`] is valid by itself: its values
//! are those that kube-apiserver accepts, names are valid and unique, and every mount has its
//! volume. The merge checks it against the pod.

mod check;
mod part;
mod references;
mod samples;
pub(crate) mod tenancy;

use super::text::json::{is_blank, text};
use serde_json::{Map, Value};
use std::sync::LazyLock;

pub(crate) use part::{OverlayPart, PartTarget};
pub(crate) use samples::SamplePaths;

/// The key of a volume that the app may already have. It never reaches the pod.
pub(crate) const SHARE: &str = "share";

static NO_FIELDS: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// A rendered partial pod: a value for each part, null where the template has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay([Value; OverlayPart::ALL.len()]);

impl Overlay {
    /// Builds an overlay from the value that `render` returns for each part.
    pub(crate) fn new(mut render: impl FnMut(OverlayPart) -> Option<Value>) -> Self {
        Self(OverlayPart::ALL.map(|part| render(part).unwrap_or_default()))
    }

    /// Replaces the value of one part.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn with(mut self, part: OverlayPart, value: Value) -> Self {
        self.0[part as usize] = value;
        self
    }

    /// The value of a part; null where the template has none.
    pub(crate) const fn value(&self, part: OverlayPart) -> &Value {
        &self.0[part as usize]
    }

    /// Whether nothing is to be added: all parts are empty.
    pub(crate) fn is_blank(&self) -> bool {
        self.0.iter().all(is_blank)
    }

    /// Bytes of all parts as JSON.
    pub(crate) fn size(&self) -> usize {
        let size = |part: &Value| if part.is_null() { 0 } else { part.to_string().len() };
        self.0.iter().map(size).sum()
    }

    /// The items of a part that is a list.
    pub(crate) fn list(&self, part: OverlayPart) -> &[Value] {
        self.0[part as usize].as_array().map_or(&[], Vec::as_slice)
    }

    /// The entries of a part that is a map.
    pub(crate) fn map(&self, part: OverlayPart) -> &Map<String, Value> {
        self.0[part as usize].as_object().unwrap_or(&NO_FIELDS)
    }

    /// The items of a part that is a list; `None` where the template has none.
    pub(crate) const fn list_mut(&mut self, part: OverlayPart) -> Option<&mut Vec<Value>> {
        match &mut self.0[part as usize] {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn sidecars(&self) -> &[Value] {
        self.list(OverlayPart::Sidecars)
    }

    pub(crate) fn sidecars_mut(&mut self) -> &mut [Value] {
        self.list_mut(OverlayPart::Sidecars).map_or(&mut [], Vec::as_mut_slice)
    }

    pub(crate) fn init_containers(&self) -> &[Value] {
        self.list(OverlayPart::InitContainers)
    }

    pub(crate) fn volumes(&self) -> &[Value] {
        self.list(OverlayPart::Volumes)
    }

    /// Whether a volume may be one that the app already has.
    pub(crate) fn shares_volumes(&self) -> bool {
        self.volumes().iter().any(|volume| volume.get(SHARE).is_some())
    }

    /// The text of all files.
    pub(crate) fn file_texts(&self) -> impl Iterator<Item = &str> {
        let files = self.list(OverlayPart::Files).iter().filter_map(|volume| volume.get("items")?.as_object());
        files.flatten().filter_map(|(_, text)| text.as_str())
    }

    /// Names of all volumes, those of files included.
    pub(crate) fn volume_names(&self) -> impl Iterator<Item = &str> {
        self.volumes().iter().chain(self.list(OverlayPart::Files)).map(|volume| text(volume, "name"))
    }

    pub(crate) fn annotations(&self) -> &Map<String, Value> {
        self.map(OverlayPart::Annotations)
    }

    /// Fields of the pod's spec.
    pub(crate) fn pod_fields(&self) -> &Map<String, Value> {
        self.map(OverlayPart::PodFields)
    }

    /// The lists that are added to each selected app container: the field and its items.
    pub(crate) fn app_lists(&self) -> impl Iterator<Item = (&'static str, &[Value])> {
        OverlayPart::ALL.into_iter().filter_map(|part| match part.target() {
            PartTarget::AppList(field) => Some((field, self.list(part))),
            _ => None,
        })
    }

    /// Fields of the app's containers that have none.
    pub(crate) fn app_defaults(&self) -> &Map<String, Value> {
        self.map(OverlayPart::AppDefaults)
    }

    /// What is put before the command of the app's containers.
    pub(crate) fn app_prepend_command(&self) -> &[Value] {
        self.list(OverlayPart::AppPrependCommand)
    }

    /// The maps that are added to the pod's metadata: the field and its entries.
    pub(crate) fn metadata_maps(&self) -> impl Iterator<Item = (&'static str, &Map<String, Value>)> {
        OverlayPart::ALL.into_iter().filter_map(|part| match part.target() {
            PartTarget::MetadataMap(field) => Some((field, self.map(part))),
            _ => None,
        })
    }

    /// Names of all containers, sidecars first.
    pub(crate) fn container_names(&self) -> impl Iterator<Item = &str> {
        self.sidecars().iter().chain(self.init_containers()).map(|container| text(container, "name"))
    }
}
