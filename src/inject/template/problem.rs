//! An error or warning about a template's text, with file, line and column.

use crate::inject::text::{Message, message, words};
use std::fmt;

/// What a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// No expression reads a parameter.
    UnusedParameter,
    /// Nothing mounts a volume.
    UnusedVolume,
    /// Nothing mounts the files of an item of `spec.files`.
    UnusedFile,
    /// This build knows no such field.
    UnknownField,
    /// Helm's `{{ … }}`, which nothing evaluates.
    ForeignSyntax,
    /// A value that nothing reads where it is.
    NoEffect,
    /// Two Automatic templates conflict.
    AutomaticConflict,
}

/// One error or warning about a template's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadProblem {
    /// File name, ConfigMap key or object name.
    pub origin: String,
    /// 1-based; 0 when the problem has no place in the text.
    pub line: usize,
    /// 1-based, in characters; 0 when the problem has no place in the text.
    pub column: usize,
    /// Name of the template, if known.
    pub template: Option<String>,
    /// Path of the field, such as `spec.sidecars[0].image`; empty for the document itself.
    pub path: String,
    /// What is wrong and what is expected.
    pub message: Message,
    /// A suggestion, such as `did you mean "volumeMounts"?`.
    pub hint: Option<Message>,
    /// What it is about, if it is a warning.
    pub warning: Option<WarningKind>,
}

impl LoadProblem {
    /// A problem of a whole source.
    pub fn of_source(origin: &str, message: impl Into<Message>) -> Self {
        Self {
            origin: origin.to_owned(),
            line: 0,
            column: 0,
            template: None,
            path: String::new(),
            message: message.into(),
            hint: None,
            warning: None,
        }
    }

    /// `log.yaml:12:7: spec.sidecars[0].volumMounts: unknown field; did you mean "volumeMounts"?`
    pub fn sentence(&self) -> Message {
        let mut sentence = message![words(&self.origin)];
        if self.line > 0 {
            sentence = message![sentence, ":", self.line, ":", self.column];
        }
        if !self.path.is_empty() {
            sentence = message![sentence, ": ", words(&self.path)];
        }
        sentence = message![sentence, ": ", self.message.clone()];
        match &self.hint {
            Some(hint) => message![sentence, "; ", hint.clone()],
            None => sentence,
        }
    }
}

impl fmt::Display for LoadProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sentence().fmt(f)
    }
}
