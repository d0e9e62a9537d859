//! The parts of a template that are rendered: their paths in the template and their targets in the
//! pod.
//!
//! Compiling, rendering, checking, merging and reading pods all iterate over [`OverlayPart::ALL`],
//! so a new part needs only a variant and a row in this file.

use crate::inject::schema::{self, SchemaRef};
use crate::inject::text::FieldPath;

/// A part of a template that is rendered and merged into the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverlayPart {
    Sidecars,
    InitContainers,
    Volumes,
    Files,
    AppEnv,
    AppEnvFrom,
    AppVolumeMounts,
    AppDefaults,
    AppPrependCommand,
    Labels,
    Annotations,
    PodFields,
}

/// The target of a part in the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartTarget {
    /// New containers.
    Containers,
    /// Volumes of the pod.
    Volumes,
    /// Volumes whose files the pod carries in annotations.
    Files,
    /// Items of this list of each container of the app that is selected.
    AppList(&'static str),
    /// Fields of each container of the app that is selected and has none.
    AppDefaults,
    /// The beginning of the command of each container of the app that is selected.
    AppCommand,
    /// Entries of this map of the pod's metadata.
    MetadataMap(&'static str),
    /// Fields of the pod's spec.
    SpecFields,
}

impl OverlayPart {
    /// All parts, in the order in which they are rendered and checked.
    pub(crate) const ALL: [Self; 12] = [
        Self::Sidecars,
        Self::InitContainers,
        Self::Volumes,
        Self::Files,
        Self::AppEnv,
        Self::AppEnvFrom,
        Self::AppVolumeMounts,
        Self::AppDefaults,
        Self::AppPrependCommand,
        Self::Labels,
        Self::Annotations,
        Self::PodFields,
    ];

    /// The path of the part below the template's `spec`, and its target in the pod.
    const fn row(self) -> (&'static [&'static str], PartTarget) {
        match self {
            Self::Sidecars => (&["sidecars"], PartTarget::Containers),
            Self::InitContainers => (&["initContainers"], PartTarget::Containers),
            Self::Volumes => (&["volumes"], PartTarget::Volumes),
            Self::Files => (&["files"], PartTarget::Files),
            Self::AppEnv => (&["app", "env"], PartTarget::AppList("env")),
            Self::AppEnvFrom => (&["app", "envFrom"], PartTarget::AppList("envFrom")),
            Self::AppVolumeMounts => (&["app", "volumeMounts"], PartTarget::AppList("volumeMounts")),
            Self::AppDefaults => (&["app", "defaults"], PartTarget::AppDefaults),
            Self::AppPrependCommand => (&["app", "prependCommand"], PartTarget::AppCommand),
            Self::Labels => (&["metadata", "labels"], PartTarget::MetadataMap("labels")),
            Self::Annotations => (&["metadata", "annotations"], PartTarget::MetadataMap("annotations")),
            Self::PodFields => (&["pod"], PartTarget::SpecFields),
        }
    }

    /// The path of the part below the template's `spec`.
    pub(crate) const fn spec_fields(self) -> &'static [&'static str] {
        self.row().0
    }

    /// The schema of the part's value.
    pub(crate) fn schema(self) -> Option<SchemaRef<'static>> {
        self.spec_fields().iter().fold(schema::template().child("spec"), |schema, field| schema?.child(field))
    }

    pub(crate) const fn target(self) -> PartTarget {
        self.row().1
    }

    /// Whether the part is a list whose items may have `when` and `forEach`.
    pub(crate) const fn has_items(self) -> bool {
        match self.target() {
            PartTarget::Containers | PartTarget::Volumes | PartTarget::Files | PartTarget::AppList(_) => true,
            PartTarget::AppDefaults | PartTarget::AppCommand | PartTarget::MetadataMap(_) | PartTarget::SpecFields => {
                false
            }
        }
    }

    /// Whether the part is for each selected container of the app.
    pub(crate) const fn is_of_app(self) -> bool {
        matches!(self.target(), PartTarget::AppList(_) | PartTarget::AppDefaults | PartTarget::AppCommand)
    }

    /// The part's path in a template document, such as `spec.app.env`.
    pub(crate) fn path(self) -> FieldPath {
        self.spec_fields().iter().fold(FieldPath::root().child("spec"), |path, field| path.child(*field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::schema::SchemaType;

    /// A part without a schema would be rendered without any check.
    #[test]
    fn every_part_has_a_schema_of_its_type() {
        for (position, part) in OverlayPart::ALL.into_iter().enumerate() {
            assert_eq!(part as usize, position);
            let expected = match part.target() {
                PartTarget::Containers
                | PartTarget::Volumes
                | PartTarget::Files
                | PartTarget::AppList(_)
                | PartTarget::AppCommand => SchemaType::Array,
                PartTarget::MetadataMap(_) => SchemaType::Map,
                PartTarget::AppDefaults | PartTarget::SpecFields => SchemaType::Object,
            };
            assert_eq!(part.schema().map(SchemaRef::kind), Some(expected), "{part:?}");
        }
    }

    #[test]
    fn paths_are_those_of_the_template() {
        assert_eq!(OverlayPart::AppVolumeMounts.path().to_string(), "spec.app.volumeMounts");
        assert_eq!(OverlayPart::Sidecars.path().to_string(), "spec.sidecars");
    }
}
