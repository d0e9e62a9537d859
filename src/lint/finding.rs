//! One finding about a template, with its place in the text.

use super::code::Code;
use super::view::View;
use crate::inject::LoadProblem;
use crate::inject::template::document::Place;
use crate::inject::text::FieldPath;

/// One finding of the linter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub code: Code,
    /// The file, or `FILE: KEY` for a template in the manifest of a ConfigMap.
    pub origin: String,
    /// Line and column; both are 0 if the finding has no place in the text.
    pub place: Place,
    /// Path of the field, such as `spec.sidecars[0].image`; empty if there is none.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Finding {
    /// A warning about a field; about its nearest ancestor if the document lacks the field.
    pub(super) fn new(code: Code, view: View<'_>, path: &FieldPath, message: String) -> Self {
        Self {
            code,
            origin: view.origin.to_owned(),
            place: view.document.place(path),
            path: path.sentence().to_string(),
            message,
            help: code.help().to_owned(),
        }
    }

    /// An error or warning of loading.
    pub(super) fn of_problem(code: Code, problem: &LoadProblem) -> Self {
        Self {
            code,
            origin: problem.origin.clone(),
            place: Place { line: problem.line, column: problem.column },
            path: problem.path.clone(),
            message: problem.message.to_string(),
            help: problem.hint.as_ref().map_or_else(|| code.help().to_owned(), ToString::to_string),
        }
    }
}
