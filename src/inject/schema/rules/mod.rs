//! The values that kube-apiserver accepts, beyond the types of the schema: one table of rules by
//! Kubernetes type, and the walk that applies it.
//!
//! The rules are those of kube-apiserver 1.36 (`pkg/apis/core/validation`), after its defaulting: a
//! probe's `timeoutSeconds: 0` counts as unset there and here. A test in `tests/apiserver` compares
//! the verdicts. References between containers and volumes are checked with the overlay, and what
//! depends on the pod is checked in the result.
//!
//! Invariant: a value of the wrong type, a sample and a field that this build does not know break
//! no rule.

pub(crate) mod grace;

mod constraints;
mod containers;
mod object;
mod resources;
mod scheduling;
mod security;
mod table;
mod texts;
mod volumes;

use serde_json::{Map, Value};

use super::check::Trail;
use super::{SchemaRef, SchemaType};
use crate::inject::text::{FieldError, FieldPath, Message, message, quote, value, words};
use object::Object;

pub(crate) use constraints::{Constraint, constraints};
pub(super) use table::of;

/// A rule of one Kubernetes type.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// The field that the rule is about; empty for a rule between fields.
    field: &'static str,
    check: Check,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.field)
    }
}

/// A rule for a text: the error says what it must be.
type TextRule = fn(&str) -> Result<(), &'static str>;

/// The condition of a rule.
#[derive(Clone, Copy)]
enum Check {
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts; an empty one counts as absent, as for kube-apiserver.
    OneOfOrEmpty(&'static [&'static str]),
    /// Neither absent nor empty: a text, a list or a map.
    Required,
    /// A number in this range.
    Range(i64, i64),
    /// A text that is empty or keeps a rule.
    Text(TextRule),
    /// A text that keeps a rule, which refuses the empty one.
    NonEmptyText(TextRule),
    /// A list of texts that keep a rule.
    Texts(TextRule),
    /// A list of numbers in this range.
    Numbers(i64, i64),
    /// A map whose keys and values keep a rule each.
    Entries(TextRule, TextRule),
    /// At most one of these fields.
    AtMostOne(&'static [&'static str]),
    /// Exactly one of these fields.
    ExactlyOne(&'static [&'static str]),
    /// Anything else, such as a rule between fields.
    Other(fn(&Object<'_>, &mut Vec<FieldError>)),
}

/// What the rules need to know besides the value.
#[derive(Clone, Copy, Default)]
pub(crate) struct Context<'a> {
    /// Whether the value at a path is a sample, which stands for one that is not known yet.
    pub is_sample: Option<&'a dyn Fn(&FieldPath) -> bool>,
    /// Whether containers run once, unless they restart always.
    pub run_once: bool,
}

/// Lists all broken rules of the value, which is at `path`.
pub(crate) fn check(schema: SchemaRef<'_>, value: &Value, path: &FieldPath, context: Context<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(schema, value, Trail::Root(path), &context, &mut errors);
    errors
}

fn walk(schema: SchemaRef<'_>, value: &Value, trail: Trail<'_>, context: &Context<'_>, errors: &mut Vec<FieldError>) {
    // What stands in place of an object that is not known yet keeps no rules.
    if context.is_sample.is_some_and(|is_sample| is_sample(&trail.path())) {
        return;
    }
    match value {
        Value::Array(items) => {
            let Some(schema) = schema.item() else { return };
            for (index, item) in items.iter().enumerate() {
                walk(schema, item, Trail::Index(&trail, index), context, errors);
            }
        }
        Value::Object(fields) if matches!(schema.kind(), SchemaType::Object | SchemaType::Map) => {
            let object = Object::new(fields, schema, trail, context);
            // An expression gives the whole object.
            if context.is_sample.is_some_and(|is_sample| is_sample(&object.own_path())) {
                return;
            }
            for rule in schema.rules() {
                rule.apply(&object, errors);
            }
            walk_fields(&object, fields, context, errors);
        }
        _ => {}
    }
}

fn walk_fields(object: &Object<'_>, fields: &Map<String, Value>, context: &Context<'_>, errors: &mut Vec<FieldError>) {
    for (name, value) in fields {
        if let (Value::Array(_) | Value::Object(_), Some(schema)) = (value, object.schema().child(name)) {
            walk(schema, value, object.trail_of(name), context, errors);
        }
    }
}

impl Rule {
    fn apply(self, object: &Object<'_>, errors: &mut Vec<FieldError>) {
        let field = self.field;
        match self.check {
            Check::OneOf(values) => {
                errors.extend(object.text(field).and_then(|text| one_of(object, field, text, values)))
            }
            Check::OneOfOrEmpty(values) => {
                let text = object.text(field).filter(|text| !text.is_empty());
                errors.extend(text.and_then(|text| one_of(object, field, text, values)));
            }
            Check::Required => errors.extend(required(object, field)),
            Check::Range(least, most) => {
                let number = object.integer(field).filter(|number| !(least..=most).contains(number));
                errors.extend(number.map(|number| object.error(field, out_of_range(number, least, most))));
            }
            Check::Text(rule) => {
                let text = object.text(field).filter(|text| !text.is_empty());
                errors.extend(text.and_then(|text| broken(object, field, text, rule)));
            }
            Check::NonEmptyText(rule) => {
                errors.extend(object.text(field).and_then(|text| broken(object, field, text, rule)));
            }
            Check::Texts(rule) => texts(object, field, rule, errors),
            Check::Numbers(least, most) => {
                for (index, item) in object.items(field).iter().enumerate() {
                    let number = item.as_i64().filter(|number| !(least..=most).contains(number));
                    let path =
                        |number| FieldError::new(object.path(field).index(index), out_of_range(number, least, most));
                    errors.extend(number.map(path));
                }
            }
            Check::Entries(key, value) => entries(object, field, key, value, errors),
            Check::AtMostOne(fields) => errors.extend(more_than_one(object, fields)),
            Check::ExactlyOne(fields) => errors.extend(more_than_one(object, fields).or_else(|| none(object, fields))),
            Check::Other(check) => check(object, errors),
        }
    }
}

fn one_of(object: &Object<'_>, field: &str, text: &str, values: &[&str]) -> Option<FieldError> {
    if values.contains(&text) {
        return None;
    }
    let expected: Vec<String> = values.iter().map(|value| quote(value)).collect();
    let message = message!["unknown value ", value(quote(text)), "; expected ", words(expected.join(" or "))];
    Some(object.error(field, message))
}

/// The schema reports fields that it requires itself.
fn required(object: &Object<'_>, field: &str) -> Option<FieldError> {
    let is_missing = match object.get(field) {
        None => !object.is_sample(field) && !object.schema().required().any(|name| name == field),
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(_) => false,
    };
    is_missing.then(|| object.error(field, "a value is required; it must not be empty"))
}

fn out_of_range(number: i64, least: i64, most: i64) -> Message {
    let bounds = match most {
        i64::MAX => words(format_args!("{least} or more")),
        _ => words(format_args!("{least} to {most}")),
    };
    message![value(number), " is out of range; expected ", bounds]
}

fn broken(object: &Object<'_>, field: &str, text: &str, rule: TextRule) -> Option<FieldError> {
    rule(text).err().map(|expected| object.error(field, invalid(text, expected)))
}

/// The sentence for a text that breaks a rule.
fn invalid(text: &str, expected: &'static str) -> Message {
    message![value(quote(text)), " is not valid: ", expected]
}

fn texts(object: &Object<'_>, field: &str, rule: TextRule, errors: &mut Vec<FieldError>) {
    for (index, item) in object.items(field).iter().enumerate() {
        if let Some(text) = item.as_str()
            && let Err(expected) = rule(text)
            && !object.is_sample_at(&object.path(field).index(index))
        {
            errors.push(FieldError::new(object.path(field).index(index), invalid(text, expected)));
        }
    }
}

fn entries(object: &Object<'_>, field: &str, key_rule: TextRule, value_rule: TextRule, errors: &mut Vec<FieldError>) {
    let Some(map) = object.child(field) else { return };
    for key in map.names() {
        if let Err(expected) = key_rule(key) {
            errors.push(map.error(key, message![value(quote(key)), " is no valid key: ", expected]));
        }
        errors.extend(map.text(key).and_then(|text| broken(&map, key, text, value_rule)));
    }
}

fn more_than_one(object: &Object<'_>, fields: &[&'static str]) -> Option<FieldError> {
    let mut present = fields.iter().filter(|field| object.get(field).is_some());
    let (first, second) = (present.next()?, present.next()?);
    let message = message!["has ", *first, " and ", *second, "; expected one of ", words(fields.join(", "))];
    Some(FieldError::new(object.own_path(), message))
}

/// A field that this build does not know may be the one.
fn none(object: &Object<'_>, fields: &[&'static str]) -> Option<FieldError> {
    let may_have = fields.iter().any(|field| object.get(field).is_some() || object.is_sample(field));
    let has_unknown = object.names().any(|name| object.schema().child(name).is_none());
    if may_have || has_unknown {
        return None;
    }
    Some(FieldError::new(object.own_path(), message!["expected one of ", words(fields.join(", "))]))
}
