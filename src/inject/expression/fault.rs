//! What is said of a function that failed, where nothing but its own words may be shown.
//!
//! Functions of the libraries print values of the pod, whole or in single quotes; an expression that fails is the
//! template's fault, and that response ends up in the logs of API servers. Invariant: only the words of Outrigger's own
//! functions, which hold numbers and no values, count as words.

use crate::inject::text::message::{Message, message, value, words};
use crate::inject::text::quote::one_line;
use cel::ExecutionError;

/// Longest part of a message of the interpreter that is passed on, in characters.
pub(super) const MAX_MESSAGE: usize = 120;

/// Stands before the name of the function in errors of our own; no library has such names.
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

/// What a library says without the values that it prints: not even the template's author is shown those of a pod.
fn of_library(text: &str) -> String {
    let of_value = ["cannot convert ", "cannot determine the size of ", "Parsing Error"]
        .iter()
        .any(|start| text.starts_with(start));
    if of_value {
        return "cannot take this value".to_owned();
    }
    one_line(text.split_once('\'').map_or(text, |(before, _)| before.trim_end()), MAX_MESSAGE)
}
