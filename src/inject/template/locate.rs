//! Finds the line and column of a field in the text that defines a template.

use super::spec::NAMESPACED_KIND;
use super::{SourceText, document};
use crate::inject::text::FieldPath;

/// Line and column of a field of the cluster's template of this name. A field that the text lacks has
/// those of the nearest one around it.
pub(crate) fn locate(source: &SourceText, name: &str, field: &FieldPath) -> Option<(usize, usize)> {
    let documents = document::parse(&source.text).into_iter().filter_map(Result::ok);
    let mut templates = documents
        .filter(|document| document.value["metadata"]["name"] == name && document.value["kind"] != NAMESPACED_KIND);
    let place = templates.next()?.place(field);
    (place.line > 0).then_some((place.line, place.column))
}
