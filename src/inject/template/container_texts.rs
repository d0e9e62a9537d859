//! The containers of a rendering as JSON text, written once for all pods that get it.
//!
//! Invariant: a field that the merge may change has no text. Debug builds compare every patch with the
//! pod that it describes.

use crate::inject::overlay::Overlay;
use crate::inject::text::json::text;
use crate::inject::text::json_writer::FieldTexts;
use std::sync::Arc;

/// Fields of a container that the merge changes: for the QoS class, for native sidecars, for Pod
/// Security, and for the service account's token.
const CHANGED: [&str; 4] = ["resources", "restartPolicy", "securityContext", "volumeMounts"];

/// The texts of containers by name. Templates have few.
#[derive(Debug, Default)]
pub(super) struct ContainerTexts(Vec<(String, Arc<FieldTexts>)>);

impl ContainerTexts {
    pub(super) fn of(overlay: &Overlay) -> Self {
        let containers = overlay.sidecars().iter().chain(overlay.init_containers());
        let texts = containers.filter_map(|container| {
            let fields = container.as_object()?.iter().filter(|(field, _)| !CHANGED.contains(&field.as_str()));
            Some((text(container, "name").to_owned(), Arc::new(FieldTexts::of(fields))))
        });
        Self(texts.collect())
    }

    pub(super) fn get(&self, container: &str) -> Option<&Arc<FieldTexts>> {
        self.0.iter().find(|(name, _)| name == container).map(|(_, texts)| texts)
    }
}
