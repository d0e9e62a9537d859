//! Lists and maps as values of parameters: `a, b` and `k=v, k=v`, or JSON.
//!
//! Items, keys and values are strings; a number or boolean of JSON becomes its text.
//!
//! Invariant: a key stands in a map once.

use super::{Parameter, compile_pattern, text_of};
use crate::inject::expression::convert;
use crate::inject::schema::has_expression;
use crate::inject::template::spec::{ParameterSpec, ParameterType};
use crate::inject::text::json::json_type;
use crate::inject::text::{FieldError, FieldPath, Message, message, quote, value, words};
use cel::Value;
use regex::Regex;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};
use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Most items of a list or map that says nothing else.
const DEFAULT_MAX_ITEMS: usize = 64;
/// What `maxItems` may be: a pod's annotations have 256 KiB in all.
const MAX_ITEMS: RangeInclusive<i64> = 1..=1024;
/// Most wrong items that one message lists.
const LISTED_MAX: usize = 5;

pub(super) const EXPECTED_LIST: &str = "must be a list: a, b or [\"a\", \"b\"]";
pub(super) const EXPECTED_MAP: &str = "must be a map: a=1, b=2 or {\"a\": \"1\", \"b\": \"2\"}";

/// The rules of lists and maps alone.
#[derive(Debug)]
pub(super) struct CollectionRule {
    key_pattern: Option<Regex>,
    max_items: usize,
}

impl CollectionRule {
    /// Compiles the rules of a declaration and adds their errors to `errors`.
    pub(super) fn compile(spec: &ParameterSpec, path: &FieldPath, errors: &mut Vec<FieldError>) -> Self {
        let pattern_path = path.child("keyPattern");
        if spec.key_pattern.is_some() && spec.r#type != ParameterType::Map {
            errors.push(FieldError::new(pattern_path.clone(), "only the type map has a keyPattern"));
        }
        let has_items = matches!(spec.r#type, ParameterType::List | ParameterType::Map);
        match spec.max_items {
            Some(_) if !has_items => {
                errors.push(FieldError::new(path.child("maxItems"), "only the types list and map have maxItems"));
            }
            Some(most) if !MAX_ITEMS.contains(&most) => {
                let (least, greatest) = (words(MAX_ITEMS.start()), words(MAX_ITEMS.end()));
                let message = message!["expected a number from ", least, " to ", greatest, ", found ", value(most)];
                errors.push(FieldError::new(path.child("maxItems"), message));
            }
            _ => {}
        }
        let max_items = spec.max_items.and_then(|most| usize::try_from(most).ok());
        Self {
            key_pattern: spec.key_pattern.as_deref().and_then(|text| compile_pattern(text, &pattern_path, errors)),
            max_items: max_items.unwrap_or(DEFAULT_MAX_ITEMS),
        }
    }

    fn check_size(&self, size: usize, what: &'static str) -> Result<(), Message> {
        let most = self.max_items;
        if size > most { Err(message![what, " has ", size, " items; at most ", most, " are allowed"]) } else { Ok(()) }
    }
}

impl Parameter {
    /// The value of a list, if it keeps the rules.
    pub(super) fn list(&self, items: Vec<String>) -> Result<Value, Message> {
        self.collection.check_size(items.len(), "the list")?;
        let wrong = items.iter().enumerate().filter_map(|(index, item)| {
            let pattern = self.missed_pattern(item)?;
            Some(message!["item ", index + 1, ", ", value(quote(item)), ", does not match the pattern ", pattern])
        });
        none(wrong)?;
        Ok(Value::List(Arc::new(items.into_iter().map(|item| Value::String(Arc::new(item))).collect())))
    }

    /// The value of a map, if it keeps the rules.
    pub(super) fn map(&self, entries: Vec<(String, String)>) -> Result<Value, Message> {
        self.collection.check_size(entries.len(), "the map")?;
        let mut seen = HashSet::new();
        let wrong = entries.iter().filter_map(|(key, text)| {
            let shown = value(quote(key));
            if !seen.insert(key) {
                return Some(message!["key ", shown, " is there twice"]);
            }
            if let Some(pattern) = self.collection.key_pattern.as_ref().filter(|pattern| !pattern.is_match(key)) {
                let pattern = value(quote(pattern.as_str()));
                return Some(message!["key ", shown, " does not match the keyPattern ", pattern]);
            }
            let pattern = self.missed_pattern(text)?;
            Some(message!["the value ", value(quote(text)), " of key ", shown, " does not match the pattern ", pattern])
        });
        none(wrong)?;
        let entries = entries.iter().map(|(key, text)| (key.as_str(), Value::String(Arc::new(text.clone()))));
        Ok(convert::map(entries))
    }
}

/// The error that lists what is wrong, unless nothing is.
fn none(wrong: impl Iterator<Item = Message>) -> Result<(), Message> {
    let mut wrong = wrong.peekable();
    if wrong.peek().is_none() {
        return Ok(());
    }
    let listed: Vec<Message> = wrong.by_ref().take(LISTED_MAX).collect();
    let listed = Message::join(listed, "; ");
    Err(match wrong.count() {
        0 => listed,
        more => message![listed, "; and ", more, " more"],
    })
}

/// The items of a list as an annotation has it. Items are trimmed, and empty ones are ignored.
pub(super) fn parse_list(text: &str) -> Result<Vec<String>, Message> {
    match first(text) {
        Some('[') => {
            let items: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|error| wrong_json(text, EXPECTED_LIST, &error))?;
            items.iter().enumerate().map(|(index, item)| text_of_raw(item, || message!["item ", index + 1])).collect()
        }
        Some('{') => Err(message![value(quote(text)), " ", EXPECTED_LIST]),
        _ => Ok(pieces(text).map(str::to_owned).collect()),
    }
}

/// The entries of a map as an annotation has it. Keys and values are trimmed.
pub(super) fn parse_map(text: &str) -> Result<Vec<(String, String)>, Message> {
    match first(text) {
        Some('{') => {
            let Entries(entries) =
                serde_json::from_str(text).map_err(|error| wrong_json(text, EXPECTED_MAP, &error))?;
            let entry = |(key, raw): (String, &RawValue)| {
                let text = text_of_raw(raw, || message!["the value of key ", value(quote(&key))])?;
                with_key(key, text)
            };
            entries.into_iter().map(entry).collect()
        }
        Some('[') => Err(message![value(quote(text)), " ", EXPECTED_MAP]),
        _ => {
            let entry = |piece: &str| {
                let (key, text) = piece.split_once('=').ok_or_else(|| {
                    message!["item ", value(quote(piece)), " has no \"=\"; a map is written as \"a=1, b=2\""]
                })?;
                with_key(key.trim().to_owned(), text.trim().to_owned())
            };
            pieces(text).map(entry).collect()
        }
    }
}

/// A list or map of a template as it stands there, with its escapes resolved.
pub(super) fn literal(written: &Json) -> Result<Json, Message> {
    let text = |text: &str| match has_expression(text) {
        true => Err(message![
            "item ",
            value(quote(text)),
            " has an expression; write the whole default as one expression, such as \"${[app.name, 'b']}\"",
        ]),
        false => Ok(text.replace("$${", "${")),
    };
    let item = |item: &Json| item.as_str().map_or_else(|| Ok(item.clone()), |one| text(one).map(Json::String));
    match written {
        Json::Array(items) => items.iter().map(item).collect::<Result<_, _>>().map(Json::Array),
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, one)| Ok((text(key)?, item(one)?)));
            entries.collect::<Result<_, _>>().map(Json::Object)
        }
        scalar => Ok(scalar.clone()),
    }
}

/// The items of a list that an expression or a template gives.
pub(super) fn list_of(items: &[Json]) -> Result<Vec<String>, Message> {
    items.iter().enumerate().map(|(index, item)| text_of_item(item, || message!["item ", index + 1])).collect()
}

/// The entries of a map that an expression or a template gives.
pub(super) fn map_of(entries: &Map<String, Json>) -> Result<Vec<(String, String)>, Message> {
    let entry = |(key, item): (&String, &Json)| {
        let text = text_of_item(item, || message!["the value of key ", value(quote(key))])?;
        with_key(key.clone(), text)
    };
    entries.iter().map(entry).collect()
}

fn first(text: &str) -> Option<char> {
    text.trim_start().chars().next()
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|piece| !piece.is_empty())
}

fn with_key(key: String, text: String) -> Result<(String, String), Message> {
    if key.is_empty() { Err(message!["the value ", value(quote(&text)), " has an empty key"]) } else { Ok((key, text)) }
}

fn wrong_json(text: &str, expected: &'static str, error: &serde_json::Error) -> Message {
    let place = message!["line ", error.line(), ", column ", error.column()];
    message![value(quote(text)), " ", expected, "; it is read as JSON, which is wrong at ", place]
}

/// The text of a scalar of JSON, with numbers as they are written.
fn text_of_raw(raw: &RawValue, what: impl Fn() -> Message) -> Result<String, Message> {
    let text = raw.get();
    let found = match text.as_bytes().first() {
        Some(b'"') => match serde_json::from_str(text) {
            Ok(text) => return Ok(text),
            // Half of a surrogate pair.
            Err(_) => "text that is not Unicode",
        },
        Some(b'[') => "a list",
        Some(b'{') => "a map",
        Some(b'n') => "null",
        _ => return Ok(text.to_owned()),
    };
    Err(no_text(what(), found))
}

fn text_of_item(item: &Json, what: impl Fn() -> Message) -> Result<String, Message> {
    match item {
        Json::String(_) | Json::Number(_) | Json::Bool(_) => Ok(text_of(item)),
        Json::Object(_) => Err(no_text(what(), "a map")),
        other => Err(no_text(what(), json_type(other))),
    }
}

fn no_text(what: Message, found: &'static str) -> Message {
    message![what, " is ", found, "; expected a string, a number or a boolean"]
}

/// The entries of a JSON object in their order, repeated keys included.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}
