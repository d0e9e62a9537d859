//! Sentences as data: Outrigger's own words, and the values that a sentence quotes.
//!
//! A sentence about a pod or a template quotes values that only its author may read. Logs, metrics
//! and HTTP errors have other readers, so a message keeps its values apart from its words and has
//! two renderings.
//!
//! Invariant: [`Message::redacted`] shows no value. The code that builds a message marks its
//! values, so redaction never has to guess from the text.

use std::borrow::Cow;
use std::fmt;

/// One sentence. [`fmt::Display`] prints all of it, for the author; [`Message::redacted`] leaves
/// out its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(Vec<Part>);

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Outrigger's own words, and names that everybody may read, such as that of a loaded template.
    Words(Cow<'static, str>),
    /// Text of a pod, a template or a request, as it is shown to its author.
    Value(String),
}

impl Message {
    /// The sentence with `…` in place of each value.
    pub fn redacted(&self) -> String {
        self.0.iter().map(|part| if let Part::Words(words) = part { words.as_ref() } else { "…" }).collect()
    }

    /// The sentence followed by one more part.
    #[must_use]
    pub fn with(mut self, part: impl Into<Self>) -> Self {
        self.0.extend(part.into().0);
        self
    }

    /// The sentences as one, with `separator` between them.
    pub fn join(messages: impl IntoIterator<Item = Self>, separator: &'static str) -> Self {
        let mut joined = Self::default();
        for (index, message) in messages.into_iter().enumerate() {
            if index > 0 {
                joined = joined.with(separator);
            }
            joined = joined.with(message);
        }
        joined
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Words(words) => f.write_str(words),
            Part::Value(value) => f.write_str(value),
        })
    }
}

impl From<Part> for Message {
    fn from(part: Part) -> Self {
        Self(vec![part])
    }
}

impl From<&'static str> for Message {
    fn from(words: &'static str) -> Self {
        Part::Words(Cow::Borrowed(words)).into()
    }
}

impl From<usize> for Message {
    fn from(number: usize) -> Self {
        words(number)
    }
}

/// Words that are made at run time and hold no value: numbers, keys of Outrigger's domain, names of
/// loaded templates.
pub(crate) fn words(words: impl fmt::Display) -> Message {
    Part::Words(Cow::Owned(words.to_string())).into()
}

/// A value, or a list of values, that the caller has already quoted, cut and escaped.
pub(crate) fn value(value: impl fmt::Display) -> Message {
    Part::Value(value.to_string()).into()
}

/// A sentence of the given parts: literals, [`words`], [`value`]s, numbers and other sentences.
///
/// `message!["annotation ", words(key), ": template ", value(quote(name)), " does not exist"]`
macro_rules! message {
    ($($part:expr),+ $(,)?) => {
        $crate::inject::text::message::Message::default()$(.with($part))+
    };
}
pub(crate) use message;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_redacted_rendering_hides_values() {
        let sentence = message!["template ", words("\"a\""), ": expected ", 2usize, ", found ", value("\"secret\"")];
        assert_eq!(sentence.to_string(), "template \"a\": expected 2, found \"secret\"");
        assert_eq!(sentence.redacted(), "template \"a\": expected 2, found …");
        let joined = Message::join([sentence.clone(), message!["b"]], "; ");
        assert_eq!(joined.redacted(), "template \"a\": expected 2, found …; b");
    }

    /// Redaction that recognised Outrigger's vocabulary in the text would print this value.
    #[test]
    fn a_value_that_reads_like_vocabulary_is_redacted() {
        let sentence = message!["expected ", value("\"secret\"")];
        assert_eq!(sentence.redacted(), "expected …");
    }
}
