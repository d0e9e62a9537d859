//! The templates that are compiled in: the source `built-in`, which serves when no other is named.

use std::sync::Arc;

use crate::inject::{CompiledSource, SourceText};

/// Names and texts of `config/templates/`.
const TEMPLATES: [(&str, &str); 2] = [
    ("log-collector.yaml", include_str!("../../config/templates/log-collector.yaml")),
    ("proxy.yaml", include_str!("../../config/templates/proxy.yaml")),
];

/// What mends a name of theirs that stands elsewhere as well.
const REMEDY: &str = "leave built-in out of the templates";

/// The built-in templates, parsed and compiled.
pub(crate) fn sources() -> Vec<Arc<CompiledSource>> {
    let text =
        |(name, text): &(&str, &str)| SourceText { origin: format!("built-in {name}"), text: (*text).to_owned() };
    let source = |template| Arc::new(CompiledSource::compile(&text(template)).with_remedy(REMEDY));
    CompiledSource::together(|| TEMPLATES.iter().map(source).collect())
}
