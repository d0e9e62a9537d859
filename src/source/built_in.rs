//! The templates that are compiled in: the source `built-in`, which serves when no other is named.
//!
//! Invariant: a template of another source takes the place of a built-in one with the same name, so
//! that a new release, which may bring more templates, breaks none of its users'.

use std::sync::Arc;

use crate::inject::{CompiledSource, SourceText};

/// Names and compressed texts of `config/templates`; `build.rs` writes the list.
const TEMPLATES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// The built-in templates, parsed and compiled.
pub(crate) fn sources() -> Vec<Arc<CompiledSource>> {
    let source = |text: &(&str, &[u8])| Arc::new(CompiledSource::compile(&source_text(text)).as_fallback());
    CompiledSource::together(|| TEMPLATES.iter().map(source).collect())
}

/// The names of the built-in templates, sorted.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TEMPLATES.iter().map(|(file, _)| file.strip_suffix(".yaml").unwrap_or(file))
}

/// Their texts.
pub(crate) fn texts() -> Vec<SourceText> {
    TEMPLATES.iter().map(source_text).collect()
}

fn source_text((name, compressed): &(&str, &[u8])) -> SourceText {
    let text = lz4_flex::block::decompress_size_prepended(compressed).unwrap_or_default();
    SourceText { origin: format!("built-in {name}"), text: String::from_utf8(text).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_template_is_one_of_the_directory_and_loads() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/config/templates");
        let files = std::fs::read_dir(directory).expect("config/templates is a directory");
        let names = files.map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> =
            names.filter(|name| name.ends_with(".yaml") && !name.ends_with(".test.yaml")).collect();
        names.sort();
        assert_eq!(TEMPLATES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
        for source in sources() {
            assert!(source.has_templates() && !source.has_problems(), "{source:?}");
        }
    }
}
