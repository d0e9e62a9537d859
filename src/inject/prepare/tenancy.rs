//! What a template of a namespace may not have of this pod: volumes with the data of others.
//!
//! A mount names a volume, and where the pod has one of that name, the pod's may be kept. So each
//! mount is judged by the pod's volume, after sharing and copying have changed it.
//! Invariant: a template of a namespace mounts no Secret, token or other projection of the pod.

use super::Preparation;
use super::problems::problem;
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::merge::{RenderedTemplate, equal};
use crate::inject::overlay::tenancy::{SHARED_SOURCES, forbidden_source};
use crate::inject::overlay::{Overlay, OverlayPart, SHARE, SamplePaths};
use crate::inject::text::json::{items, text};
use crate::inject::text::{FieldError, FieldPath, message, quote, value, words};
use serde_json::Value;

impl Preparation<'_, '_> {
    /// The problems of a template of a namespace in what this pod would get; none of the cluster's.
    pub(super) fn restricted(&self, rendered: &RenderedTemplate<'_>) -> Vec<Problem> {
        let template = rendered.template;
        if template.scope.namespace().is_none() {
            return Vec::new();
        }
        // Copies of the app's mounts and variables have come in since the rendering was checked.
        let mut errors = template.restrict(&rendered.overlay, &SamplePaths::default());
        for part in [OverlayPart::Sidecars, OverlayPart::InitContainers] {
            for (index, container) in rendered.overlay.list(part).iter().enumerate() {
                for field in ["volumeMounts", "volumeDevices"] {
                    let path = part.path().index(index).child(field);
                    self.mounts(rendered, items(container, field), &path, &mut errors);
                }
            }
        }
        let of_apps = if rendered.apps.is_empty() { std::slice::from_ref(&*rendered.overlay) } else { &rendered.apps };
        for overlay in of_apps {
            let part = OverlayPart::AppVolumeMounts;
            self.mounts(rendered, overlay.list(part), &part.path(), &mut errors);
        }
        self.keys_of_injector(&rendered.overlay, &mut errors);
        let of = |error: FieldError| {
            let why = message!["with this pod's values, ", error.sentence()];
            problem(template, ErrorCode::ResultInvalid, why)
        };
        errors.into_iter().map(of).collect()
    }

    fn mounts(
        &self,
        rendered: &RenderedTemplate<'_>,
        mounts: &[Value],
        path: &FieldPath,
        errors: &mut Vec<FieldError>,
    ) {
        for (index, mount) in mounts.iter().enumerate() {
            let name = text(mount, "name");
            let volumes = self.pod.spec_items("volumes").iter().filter(|volume| text(volume, "name") == name);
            let mut others = volumes.filter(|volume| !is_own(rendered, volume));
            if let Some(source) = others.find_map(forbidden_source) {
                let sentence = message![
                    "volume ",
                    value(quote(name)),
                    " of the pod has the source ",
                    words(quote(source)),
                    ", which a template of a namespace must not mount; expected one of ",
                    words(SHARED_SOURCES.join(", ")),
                ];
                errors.push(FieldError::new(path.index(index).child("name"), sentence));
            }
        }
    }

    /// The domain of annotations is known only here, if it is another than the usual one.
    fn keys_of_injector(&self, overlay: &Overlay, errors: &mut Vec<FieldError>) {
        for part in [OverlayPart::Labels, OverlayPart::Annotations] {
            for key in overlay.map(part).keys().filter(|key| self.keys.owns(key)) {
                let sentence = "keys of the injector are written by the injector alone";
                errors.push(FieldError::new(part.path().key(key.as_str()), sentence));
            }
        }
    }
}

/// Whether the volume is the template's own, from an earlier pass. What it brings is checked by itself.
fn is_own(rendered: &RenderedTemplate<'_>, volume: &Value) -> bool {
    let is_same = |own: &Value| match own.as_object() {
        Some(fields) if fields.contains_key(SHARE) => {
            let fields = fields.iter().filter(|(field, _)| *field != SHARE);
            let written = fields.map(|(field, content)| (field.clone(), content.clone())).collect();
            equal::same(&Value::Object(written), volume)
        }
        _ => equal::same(own, volume),
    };
    rendered.overlay.volumes().iter().any(is_same) || rendered.files.iter().any(|file| is_same(&file.volume))
}
