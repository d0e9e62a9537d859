//! Paths of fields in documents, and errors about the fields at these paths.
//!
//! Invariant: a path prints on one line, even if its keys contain line breaks.

use std::fmt;
use std::sync::Arc;

use super::message::{Message, message, value, words};
use super::quote::{QUOTED_MAX, escaped};
use super::suggest::did_you_mean;

/// Path of a field, such as `spec.sidecars[0].image`. Cloning copies a pointer.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldPath(Option<Arc<PathNode>>);

#[derive(PartialEq, Eq)]
struct PathNode {
    parent: FieldPath,
    step: PathSegment,
}

/// One segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathSegment {
    /// A named field of an object.
    Child(Box<str>),
    /// An element of a list.
    Index(usize),
    /// A key of a map whose keys the schema does not fix, such as a label's.
    Key(Box<str>),
}

impl FieldPath {
    /// The path of the whole document; it prints as an empty text.
    pub(crate) const fn root() -> Self {
        Self(None)
    }

    /// The named field of this object.
    #[must_use]
    pub(crate) fn child(&self, name: impl Into<Box<str>>) -> Self {
        self.step(PathSegment::Child(name.into()))
    }

    /// The element of this list.
    #[must_use]
    pub(crate) fn index(&self, index: usize) -> Self {
        self.step(PathSegment::Index(index))
    }

    /// The free key of this map.
    #[must_use]
    pub(crate) fn key(&self, key: impl Into<Box<str>>) -> Self {
        self.step(PathSegment::Key(key.into()))
    }

    /// This path and one more segment.
    #[must_use]
    pub(crate) fn step(&self, step: PathSegment) -> Self {
        Self(Some(Arc::new(PathNode { parent: self.clone(), step })))
    }

    /// Whether this is the path of the whole document.
    pub(crate) fn is_root(&self) -> bool {
        self.0.is_none()
    }

    /// All segments, from the root on.
    pub(crate) fn steps(&self) -> Vec<&PathSegment> {
        let mut steps = Vec::new();
        let mut path = self;
        while let Some(node) = &path.0 {
            steps.push(&node.step);
            path = &node.parent;
        }
        steps.reverse();
        steps
    }

    /// The path as a message. A free key, such as a label's, may come from a pod and is marked as a
    /// value.
    pub(crate) fn sentence(&self) -> Message {
        let mut sentence = Message::default();
        for (position, step) in self.steps().into_iter().enumerate() {
            sentence = match step {
                PathSegment::Index(index) => message![sentence, "[", *index, "]"],
                PathSegment::Child(name) if is_plain(name) => {
                    message![sentence, if position == 0 { "" } else { "." }, words(name)]
                }
                PathSegment::Child(key) | PathSegment::Key(key) => message![sentence, "[", value(escaped(key)), "]"],
            };
        }
        sentence
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As the sentence, without building it: paths are keys of maps too.
        for (position, step) in self.steps().into_iter().enumerate() {
            match step {
                PathSegment::Index(index) => write!(f, "[{index}]")?,
                PathSegment::Child(name) if is_plain(name) => {
                    write!(f, "{}{name}", if position == 0 { "" } else { "." })?
                }
                PathSegment::Child(key) | PathSegment::Key(key) => write!(f, "[{}]", escaped(key))?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldPath({self})")
    }
}

/// Whether a name after a dot is unambiguous; other names are written in brackets.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= QUOTED_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'$'))
}

/// One error in one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub path: FieldPath,
    /// One line: the value in quotes and what is expected.
    pub message: Message,
    /// A suggestion, such as `did you mean "volumeMounts"?`.
    pub hint: Option<Message>,
    /// The place of the error in the field.
    pub spot: Spot,
}

/// A place in a field of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Spot {
    /// The field's key, or the element of a list.
    #[default]
    Field,
    /// The value.
    Value,
    /// The n-th `${` of a string, escaped ones included; the first is 0.
    Expression(usize),
}

impl FieldError {
    pub(crate) fn new(path: FieldPath, message: impl Into<Message>) -> Self {
        Self { path, message: message.into(), hint: None, spot: Spot::Field }
    }

    /// The same error with this suggestion.
    #[must_use]
    pub(crate) fn with_hint(self, hint: impl Into<Message>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same error at the value instead of the key.
    #[must_use]
    pub(crate) fn at_value(self) -> Self {
        Self { spot: Spot::Value, ..self }
    }

    /// Adds `did you mean "…"?` where one of the candidates is close to the word.
    #[must_use]
    pub(crate) fn near<'a>(mut self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        self.hint = did_you_mean(word, candidates);
        self
    }

    /// Path, message and hint as one sentence.
    pub(crate) fn sentence(&self) -> Message {
        let path = if self.path.is_root() { Message::default() } else { message![self.path.sentence(), ": "] };
        let sentence = message![path, self.message.clone()];
        match &self.hint {
            Some(hint) => message![sentence, "; ", hint.clone()],
            None => sentence,
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sentence().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_kubernetes_writes_them() {
        let mounts = FieldPath::root().child("spec").child("sidecars").index(0).child("volumeMounts");
        assert_eq!(mounts.index(1).child("mountPath").to_string(), "spec.sidecars[0].volumeMounts[1].mountPath");
        assert_eq!(FieldPath::root().index(2).child("kind").to_string(), "[2].kind");
        assert_eq!(FieldPath::root().to_string(), "");
    }

    #[test]
    fn keys_with_dots_are_written_in_brackets() {
        let labels = FieldPath::root().child("metadata").child("labels");
        assert_eq!(labels.key("app.kubernetes.io/name").to_string(), "metadata.labels[app.kubernetes.io/name]");
        assert_eq!(labels.child("app.kubernetes.io/name").to_string(), "metadata.labels[app.kubernetes.io/name]");
        assert_eq!(labels.key("app").to_string(), "metadata.labels[app]");
        assert_eq!(labels.child("").to_string(), "metadata.labels[]");
    }

    #[test]
    fn a_path_prints_as_its_sentence() {
        let path = FieldPath::root().child("spec").index(3).child("a.b").key("c\"\n").child("d-e");
        assert_eq!(path.to_string(), path.sentence().to_string());
    }

    #[test]
    fn paths_never_break_a_line() {
        assert_eq!(FieldPath::root().child("a\nb").to_string(), "[a\\nb]");
        assert_eq!(FieldPath::root().key("k".repeat(500)).to_string().chars().count(), 82);
    }

    #[test]
    fn errors_show_path_message_and_hint() {
        let path = FieldPath::root().child("spec").child("volums");
        let error = FieldError::new(path, "unknown field").near("volums", ["volumes"]);
        assert_eq!(error.to_string(), r#"spec.volums: unknown field; did you mean "volumes"?"#);
        assert_eq!(FieldError::new(FieldPath::root(), "no object").to_string(), "no object");
    }

    #[test]
    fn free_keys_are_redacted_and_field_names_are_not() {
        let error = FieldError::new(FieldPath::root().child("metadata").child("labels").key("s3cr3t"), "too long");
        assert_eq!(error.to_string(), "metadata.labels[s3cr3t]: too long");
        assert_eq!(error.sentence().redacted(), "metadata.labels[…]: too long");
    }
}
