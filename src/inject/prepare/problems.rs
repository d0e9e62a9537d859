//! Makes problems of a pod of what is wrong with the rendering of a template.

use crate::inject::error::{ErrorCode, Problem};
use crate::inject::expression::EvaluationError;
use crate::inject::template::{RenderCause, RenderError, RenderErrors, Template};
use crate::inject::text::{FieldError, Message, message, quote, words};

/// The problems of a rendering.
pub(super) fn problems_of(template: &Template, errors: RenderErrors) -> Vec<Problem> {
    match errors {
        RenderErrors::Expressions(errors) => render_problems(template, &errors),
        // The template was valid with its defaults, so the values of this pod cause these errors.
        RenderErrors::Values(errors) => overlay_problems(template, errors),
    }
}

fn render_problems(template: &Template, errors: &[RenderError]) -> Vec<Problem> {
    errors.iter().map(|error| problem(template, code_of(error), error.sentence())).collect()
}

pub(super) const fn code_of(error: &RenderError) -> ErrorCode {
    match error.cause {
        RenderCause::Evaluation(EvaluationError::MissingKey { .. }) => ErrorCode::ExpressionMissingKey,
        RenderCause::TooMany(_) => ErrorCode::ResultInvalid,
        RenderCause::Evaluation(EvaluationError::Failed(_))
        | RenderCause::Type(_)
        | RenderCause::TooLarge
        | RenderCause::TooSlow => ErrorCode::ExpressionFailed,
    }
}

fn overlay_problems(template: &Template, errors: Vec<FieldError>) -> Vec<Problem> {
    let of = |error: FieldError| {
        problem(template, ErrorCode::ResultInvalid, message!["with this pod's values, ", error.sentence()])
    };
    errors.into_iter().map(of).collect()
}

pub(super) fn problem(template: &Template, code: ErrorCode, why: Message) -> Problem {
    let message = message!["template ", words(quote(&template.name)), ": ", why];
    Problem { template: Some(template.name.clone()), ..Problem::new(code, message) }
}
