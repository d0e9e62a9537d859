//! Template parameters: compiles their declarations and parses annotation texts into typed values.
//!
//! `collection` parses lists and maps, `default` has the defaults, which may be computed for a pod.

mod collection;
mod default;

use super::spec::{ParameterSpec, ParameterType};
use crate::inject::expression::convert;
use crate::inject::text::duration::{self, Duration};
use crate::inject::text::quantity::{self, Quantity};
use crate::inject::text::{FieldError, FieldPath, Message, message, quote, value};
use cel::Value;
use collection::CollectionRule;
pub(crate) use default::DefaultFault;
use default::ParameterDefault;
use regex::Regex;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A parameter with compiled rules and a default that satisfies them.
#[derive(Debug)]
pub(crate) struct Parameter {
    name: String,
    kind: ParameterType,
    default: ParameterDefault,
    pattern: Option<Regex>,
    values: Vec<String>,
    minimum: Option<Limit>,
    maximum: Option<Limit>,
    collection: CollectionRule,
}

/// A bound, with its text for messages.
#[derive(Debug)]
struct Limit {
    text: String,
    magnitude: Magnitude,
}

/// The quantity by which values of a type are compared with the limits.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Magnitude {
    Integer(i64),
    Number(f64),
    Quantity(Quantity),
    Duration(Duration),
}

impl Parameter {
    /// Compiles a declaration and adds its errors to `errors`.
    pub(crate) fn compile(spec: &ParameterSpec, path: &FieldPath, errors: &mut Vec<FieldError>) -> Self {
        check_name(&spec.name, &path.child("name"), errors);
        let mut parameter = Self {
            name: spec.name.clone(),
            kind: spec.r#type,
            default: ParameterDefault::None,
            pattern: spec.pattern.as_deref().and_then(|text| compile_pattern(text, &path.child("pattern"), errors)),
            values: spec.values.clone(),
            minimum: None,
            maximum: None,
            collection: CollectionRule::compile(spec, path, errors),
        };
        parameter.check_values(path, errors);
        if spec.pattern.is_some()
            && !matches!(spec.r#type, ParameterType::String | ParameterType::List | ParameterType::Map)
        {
            errors.push(FieldError::new(path.child("pattern"), "only the types string, list and map have a pattern"));
        }
        parameter.minimum = parameter.limit(spec.minimum.as_ref(), &path.child("minimum"), errors);
        parameter.maximum = parameter.limit(spec.maximum.as_ref(), &path.child("maximum"), errors);
        if let (Some(least), Some(greatest)) = (&parameter.minimum, &parameter.maximum)
            && least.magnitude > greatest.magnitude
        {
            let message = out_of_bounds(&least.text, " is greater than the maximum ", &greatest.text);
            errors.push(FieldError::new(path.child("minimum"), message));
        }
        if let Some(default) = &spec.default {
            parameter.default = parameter.compile_default(default, &path.child("default"), errors);
        }
        parameter
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Parses a value; the error names the expected format.
    pub(crate) fn parse(&self, text: &str) -> Result<Value, Message> {
        match self.kind {
            ParameterType::List => self.list(collection::parse_list(text)?),
            ParameterType::Map => self.map(collection::parse_map(text)?),
            _ => self.scalar(text),
        }
    }

    fn scalar(&self, text: &str) -> Result<Value, Message> {
        if let Some(pattern) = self.missed_pattern(text) {
            return Err(message![value(quote(text)), " does not match the pattern ", pattern]);
        }
        let typed = self.typed(text).ok_or_else(|| self.unexpected(text))?;
        self.check_limits(text)?;
        Ok(typed)
    }

    /// The pattern, if the text does not match it.
    fn missed_pattern(&self, text: &str) -> Option<Message> {
        self.pattern.as_ref().filter(|pattern| !pattern.is_match(text)).map(|pattern| value(quote(pattern.as_str())))
    }

    /// The value of a text; `None` if the type is another one, or that of a collection.
    fn typed(&self, text: &str) -> Option<Value> {
        let string = || Value::String(Arc::new(text.to_owned()));
        match self.kind {
            ParameterType::String => Some(string()),
            ParameterType::Integer => integer(text).map(Value::Int),
            ParameterType::Boolean => match text {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                _ => None,
            },
            ParameterType::Number => number(text).map(Value::Float),
            ParameterType::Quantity => Quantity::parse(text).ok().map(|_| string()),
            ParameterType::Duration => Duration::parse(text).ok().map(|_| string()),
            ParameterType::Port => integer(text).filter(|port| (1..=65_535).contains(port)).map(Value::Int),
            ParameterType::Enum => self.values.iter().any(|value| value == text).then(string),
            ParameterType::List | ParameterType::Map => None,
        }
    }

    /// The error for a text that is not a value of the type.
    fn unexpected(&self, text: &str) -> Message {
        let expected = match self.kind {
            ParameterType::String => "must be a string",
            ParameterType::Integer => "must be a 64-bit integer, such as \"42\"",
            ParameterType::Boolean => "must be a boolean: \"true\" or \"false\"",
            ParameterType::Number => "must be a number, such as \"1.5\"",
            ParameterType::Quantity => quantity::EXPECTED,
            ParameterType::Duration => duration::EXPECTED,
            ParameterType::Port => "must be a port from 1 to 65535",
            ParameterType::List => collection::EXPECTED_LIST,
            ParameterType::Map => collection::EXPECTED_MAP,
            ParameterType::Enum => {
                let values: Vec<String> = self.values.iter().map(|value| quote(value)).collect();
                return message![value(quote(text)), " must be one of ", value(values.join(", "))];
            }
        };
        message![value(quote(text)), " ", expected]
    }

    fn magnitude(&self, text: &str) -> Option<Magnitude> {
        match self.kind {
            ParameterType::Integer | ParameterType::Port => integer(text).map(Magnitude::Integer),
            ParameterType::Number => number(text).map(Magnitude::Number),
            ParameterType::Quantity => Quantity::parse(text).ok().map(Magnitude::Quantity),
            ParameterType::Duration => Duration::parse(text).ok().map(Magnitude::Duration),
            _ => None,
        }
    }

    fn limit(&self, value: Option<&Json>, path: &FieldPath, errors: &mut Vec<FieldError>) -> Option<Limit> {
        let text = text_of(value?);
        if matches!(
            self.kind,
            ParameterType::String
                | ParameterType::Boolean
                | ParameterType::Enum
                | ParameterType::List
                | ParameterType::Map
        ) {
            let message = "only an integer, number, port, quantity or duration has a minimum and a maximum";
            errors.push(FieldError::new(path.clone(), message));
            return None;
        }
        let magnitude = self.magnitude(&text);
        if magnitude.is_none() {
            errors.push(FieldError::new(path.clone(), self.unexpected(&text)));
        }
        magnitude.map(|magnitude| Limit { text, magnitude })
    }

    fn check_limits(&self, text: &str) -> Result<(), Message> {
        let Some(magnitude) = self.magnitude(text) else { return Ok(()) };
        match (&self.minimum, &self.maximum) {
            (Some(least), _) if magnitude < least.magnitude => {
                Err(out_of_bounds(text, " is less than the minimum ", &least.text))
            }
            (_, Some(greatest)) if magnitude > greatest.magnitude => {
                Err(out_of_bounds(text, " is greater than the maximum ", &greatest.text))
            }
            _ => Ok(()),
        }
    }

    fn check_values(&self, path: &FieldPath, errors: &mut Vec<FieldError>) {
        let path = path.child("values");
        if self.kind == ParameterType::Enum && self.values.is_empty() {
            errors.push(FieldError::new(path, "an enum lists its values here"));
        } else if self.kind != ParameterType::Enum && !self.values.is_empty() {
            errors.push(FieldError::new(path, "only the type enum has values"));
        }
    }
}

fn out_of_bounds(text: &str, relation: &'static str, bound: &str) -> Message {
    message![value(quote(text)), relation, value(quote(bound))]
}

/// The defaults of all parameters that have one for every pod.
pub(crate) fn defaults(parameters: &[Parameter]) -> BTreeMap<String, Value> {
    parameters.iter().filter_map(|one| Some((one.name.clone(), one.default()?.clone()))).collect()
}

fn check_name(name: &str, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !first || !rest || name.len() > 63 {
        let rule = "a parameter's name has at most 63 letters, digits and \"_\", not a digit first: expressions read params.<name>";
        errors.push(FieldError::new(path.clone(), message![value(quote(name)), " cannot be a name; ", rule]));
    } else if name.ends_with('_') || name.starts_with('_') {
        let rule = "an annotation key begins and ends with a letter or digit";
        errors.push(FieldError::new(path.clone(), message![value(quote(name)), " cannot be a name; ", rule]));
    }
}

fn compile_pattern(text: &str, path: &FieldPath, errors: &mut Vec<FieldError>) -> Option<Regex> {
    match regex::RegexBuilder::new(text).size_limit(1 << 20).build() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let message = message![value(quote(text)), " is not a regular expression: ", value(reason)];
            errors.push(FieldError::new(path.clone(), message));
            None
        }
    }
}

/// `+5` parses in Rust but is not a JSON number.
fn integer(text: &str) -> Option<i64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if plain && !text.starts_with('+') { text.parse().ok().filter(|value: &f64| value.is_finite()) } else { None }
}

/// A default or limit of the template as the text that a pod would write.
fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => convert::to_text(&convert::to_cel(other)).unwrap_or_else(|| other.to_string()),
    }
}

#[cfg(test)]
mod tests;
