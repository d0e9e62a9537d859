//! One warning about a template, with its place in the text.

use super::code::Code;
use crate::inject::template::document::{Document, Place};
use crate::inject::text::FieldPath;

/// One warning of the linter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub code: Code,
    /// Line and column, 1-based, in characters.
    pub place: Place,
    /// Path of the field, such as `spec.sidecars[0].image`.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl Finding {
    /// A warning about a field; about its nearest ancestor if the document lacks the field.
    pub(super) fn new(code: Code, document: &Document, path: &FieldPath, message: String) -> Self {
        Self { code, place: document.place(path), path: path.sentence().to_string(), message }
    }
}
