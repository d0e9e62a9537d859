//! The rules of a type that a JSON Schema can express.

use super::{Check, table};

/// What a field of an object must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Constraint {
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts, or empty.
    OneOfOrEmpty(&'static [&'static str]),
    /// Present.
    Required,
    /// A number in this range.
    Range(i64, i64),
    /// A list of numbers in this range.
    Numbers(i64, i64),
}

/// The constraints of a type of core/v1, each with its field.
pub(crate) fn constraints(type_name: &str) -> impl Iterator<Item = (&'static str, Constraint)> {
    table::of(type_name).iter().filter_map(|rule| {
        let constraint = match rule.check {
            Check::OneOf(values) => Constraint::OneOf(values),
            Check::OneOfOrEmpty(values) => Constraint::OneOfOrEmpty(values),
            Check::Required => Constraint::Required,
            Check::Range(least, most) => Constraint::Range(least, most),
            Check::Numbers(least, most) => Constraint::Numbers(least, most),
            _ => return None,
        };
        Some((rule.field, constraint))
    })
}
