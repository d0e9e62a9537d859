//! The templates that are compiled in: they serve `--dev` and the command line when no directory is named.

use crate::inject::SourceText;

/// Names and texts of `config/templates/`.
const TEMPLATES: [(&str, &str); 2] = [
    ("log-collector.yaml", include_str!("../../config/templates/log-collector.yaml")),
    ("proxy.yaml", include_str!("../../config/templates/proxy.yaml")),
];

/// The built-in templates' texts.
pub fn texts() -> Vec<SourceText> {
    let text =
        |(name, text): &(&str, &str)| SourceText { origin: format!("built-in {name}"), text: (*text).to_owned() };
    TEMPLATES.iter().map(text).collect()
}
