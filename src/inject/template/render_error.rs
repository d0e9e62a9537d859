//! Why an expression of a template gives nothing that can stand in a pod, and the limits of a rendering.

use crate::inject::expression::{EvaluationError, Reads};
use crate::inject::text::{FieldPath, Message, message, quote, value, words};

/// Maximum text that one rendering may produce, in bytes.
pub(super) const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// Most elements of one `forEach`.
pub(super) const MAX_ELEMENTS: usize = 32;
/// Longest time of the rendering for all containers of the app, in milliseconds.
pub(super) const MAX_MILLISECONDS: u64 = 100;

/// Why a tree could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RenderError {
    /// Path of the expression in the template.
    pub path: FieldPath,
    /// Source of the expression; empty if no single expression caused the error.
    pub source: String,
    pub cause: RenderCause,
    /// Name of the container of the app for which the expression was evaluated, if it is for one.
    pub container: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RenderCause {
    Evaluation(EvaluationError),
    /// The value's type is not allowed at this path.
    Type(Message),
    /// The result would be larger than the limit.
    TooLarge,
    /// The parts for all containers of the app take too long.
    TooSlow,
    /// A `forEach` gives this many elements, more than are allowed.
    TooMany(usize),
}

impl RenderError {
    /// One line: the path in the template, the expression and its error.
    pub(crate) fn sentence(&self) -> Message {
        message![words(&self.path), ": ", self.fault()]
    }

    /// The expression and its error, without the path.
    pub(crate) fn fault(&self) -> Message {
        let container = self.container.as_ref().map(|name| message!["container ", value(quote(name))]);
        let mut place = container.clone().map_or_else(Message::default, |name| message![", for ", name]);
        let cause = match &self.cause {
            RenderCause::Evaluation(EvaluationError::MissingKey { owner, key }) => {
                let of_container = container.filter(|_| *owner == Reads::CONTAINER);
                if of_container.is_some() {
                    place = Message::default();
                }
                message![of_container.unwrap_or_else(|| (*owner).into()), " lacks ", value(quote(key))]
            }
            RenderCause::Evaluation(EvaluationError::Failed(message)) | RenderCause::Type(message) => message.clone(),
            RenderCause::TooLarge => message!["the result has more than ", MAX_OUTPUT_BYTES, " bytes"],
            RenderCause::TooSlow => {
                message!["the parts for all containers of the app take longer than ", words(MAX_MILLISECONDS), " ms"]
            }
            RenderCause::TooMany(count) => {
                message!["the list has ", value(count), " elements; at most ", MAX_ELEMENTS, " are allowed"]
            }
        };
        if self.source.is_empty() {
            return cause;
        }
        message!["expression ", value(quote(&self.source)), place, ": ", cause]
    }
}
