//! Error messages of failed functions, without the pod's values.
//!
//! Library functions print values of the pod in their errors, and API servers log the response to a
//! failed expression.
//!
//! Invariant: only messages of Outrigger's own functions, which contain numbers but no values,
//! count as words.

use crate::inject::text::{Message, message, one_line, value, words};
use cel::ExecutionError;

/// Maximum length of a passed-on interpreter message, in characters.
pub(super) const MAX_MESSAGE: usize = 120;

/// Prefix of function names in Outrigger's own errors; no library function has such a name.
const OWN: char = '@';

/// An error of one of Outrigger's own functions: its words must hold no value.
pub(super) fn own(function: &str, words: impl Into<String>) -> ExecutionError {
    ExecutionError::function_error(&format!("{OWN}{function}"), words.into())
}

/// An error of no function, but of the whole expression.
pub(super) fn of_expression(words: impl Into<String>) -> ExecutionError {
    own("", words)
}

/// The sentence about a function's error.
pub(super) fn sentence(function: &str, text: &str) -> Message {
    match function.strip_prefix(OWN) {
        Some("") => words(text),
        Some(own) => message![words(own), ": ", words(text)],
        None => message![words(function), ": ", value(of_library(text))],
    }
}

/// A library's message without values: not even the template's author may read those of a pod.
fn of_library(text: &str) -> String {
    if ["cannot convert ", "Parsing Error"].iter().any(|start| text.starts_with(start)) {
        return "cannot take this value".to_owned();
    }
    one_line(text.split_once('\'').map_or(text, |(before, _)| before.trim_end()), MAX_MESSAGE)
}
