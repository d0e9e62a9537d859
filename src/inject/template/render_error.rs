//! Why a template cannot be rendered for a pod, and the limits of a rendering.

use crate::inject::expression::EvaluationError;
use crate::inject::text::{FieldError, FieldPath, Message, message, quote, value, words};

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

/// Why a template cannot be rendered for a pod.
#[derive(Debug)]
pub(crate) enum RenderErrors {
    /// Expressions without a value that can stand in their place.
    Expressions(Vec<RenderError>),
    /// Values that are no part of a pod.
    Values(Vec<FieldError>),
}

impl RenderError {
    /// One line: the path in the template, the expression and its error.
    pub(crate) fn sentence(&self) -> Message {
        message![words(&self.path), ": ", self.fault()]
    }

    /// The expression and its error, without the path.
    pub(crate) fn fault(&self) -> Message {
        let cause = match &self.cause {
            RenderCause::Evaluation(EvaluationError::MissingKey { owner, key }) => {
                message![*owner, " lacks ", value(quote(key))]
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
        message!["expression ", value(quote(&self.source)), ": ", cause]
    }
}
