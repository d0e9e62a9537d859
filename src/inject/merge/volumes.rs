//! Plans the volumes of templates, and the annotations with the text of their files.

use super::{Location, Planner};
use crate::inject::overlay::{OverlayPart, SHARE};
use crate::inject::text::json::text;
use serde_json::Value;
use std::borrow::Cow;

/// A volume of files of a template, for this pod.
pub(crate) struct FileVolume {
    /// Its files are annotations of the pod.
    pub(crate) volume: Value,
    /// The key of each file's annotation, in the order of the files.
    pub(crate) annotations: Vec<String>,
}

impl Planner<'_> {
    pub(super) fn volumes(&mut self, candidate: usize) {
        let overlay = self.overlay(candidate);
        let wanted = match overlay.shares_volumes() {
            true => Cow::Owned(overlay.volumes().iter().map(as_written).collect()),
            false => Cow::Borrowed(overlay.volumes()),
        };
        self.add_volumes(candidate, &wanted);
    }

    pub(super) fn files(&mut self, candidate: usize) {
        let candidates = self.candidates;
        let rendered = &candidates[candidate];
        let files = rendered.overlay.list(OverlayPart::Files).iter().zip(&rendered.files);
        for (item, FileVolume { volume, annotations }) in files {
            self.add_volumes(candidate, std::slice::from_ref(volume));
            let texts = item.get("items").and_then(Value::as_object).into_iter().flatten();
            for (key, (_, text)) in annotations.iter().zip(texts) {
                self.metadata_entry(candidate, "annotations", key, text);
            }
        }
    }

    fn add_volumes(&mut self, candidate: usize, wanted: &[Value]) {
        let location = Location::in_spec("volumes");
        let new = self.merge_list(candidate, &location.path, "volumes", self.pod.spec_field("volumes"), wanted);
        let names = new.iter().map(|volume| text(volume, "name").to_owned());
        self.entry(candidate).volumes.extend(names);
        self.append(location.pointer, new);
    }
}

/// The volume of a template for a pod whose app has none to share.
fn as_written(volume: &Value) -> Value {
    let mut volume = volume.clone();
    if let Some(fields) = volume.as_object_mut() {
        fields.remove(SHARE);
    }
    volume
}
