//! A text with templates, read once for all rules.

use super::view::{View, resolved};
use crate::inject::SourceText;
use crate::inject::template::document::{self, Document};
use serde_json::Value;

/// A text and its documents, as far as they can be read.
pub(super) struct Source<'t> {
    pub text: &'t SourceText,
    /// Each document as it is written, and as the rules judge it.
    pub documents: Vec<(Document, Value)>,
    /// Whether a document cannot be read.
    pub is_broken: bool,
}

impl<'t> Source<'t> {
    pub(super) fn read(text: &'t SourceText) -> Self {
        let parsed = document::parse(&text.text);
        let is_broken = parsed.iter().any(Result::is_err);
        let with_value = |document: Document| {
            let value = resolved(&document);
            (document, value)
        };
        let documents = parsed.into_iter().flatten().map(with_value).collect();
        Self { text, documents, is_broken }
    }

    pub(super) fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.documents.iter().map(|(document, value)| View { origin: &self.text.origin, document, value })
    }
}
