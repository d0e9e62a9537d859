//! Converts JSON values to CEL values and back.
//!
//! Invariant: integers of JSON are CEL `int` (so that `pod.spec.x + 5` works) and never pass
//! through a float.

use cel::objects::{Key, Map, Value};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;

/// A JSON value for expressions.
pub(crate) fn to_cel(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => number_to_cel(number),
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(to_cel).collect())),
        Json::Object(fields) => map(fields.iter().map(|(key, value)| (key.as_str(), to_cel(value)))),
    }
}

fn number_to_cel(number: &serde_json::Number) -> Value {
    if let Some(value) = number.as_i64() {
        Value::Int(value)
    } else if let Some(value) = number.as_u64() {
        Value::UInt(value)
    } else {
        Value::Float(number.as_f64().unwrap_or(f64::NAN))
    }
}

/// A CEL map with text keys.
pub(crate) fn map<'a>(entries: impl Iterator<Item = (&'a str, Value)>) -> Value {
    let map: HashMap<Key, Value> = entries.map(|(key, value)| (Key::String(Arc::new(key.to_owned())), value)).collect();
    Value::Map(Map { map: Arc::new(map) })
}

/// Converts a CEL value to JSON; the error describes a value that JSON cannot represent.
pub(crate) fn to_json(value: &Value) -> Result<Json, String> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::UInt(value) => Json::from(*value),
        Value::Float(value) => {
            serde_json::Number::from_f64(*value).map(Json::Number).ok_or("a number that is not finite")?
        }
        Value::String(text) => Json::String(text.as_ref().clone()),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Value::Map(map) => {
            let fields = map.map.iter().map(|(key, value)| Ok((key_text(key)?, to_json(value)?)));
            Json::Object(fields.collect::<Result<_, String>>()?)
        }
        other => return Err(format!("a value of type {}", other.type_of())),
    })
}

fn key_text(key: &Key) -> Result<String, String> {
    match key {
        Key::String(text) => Ok(text.as_ref().clone()),
        _ => Err("a map whose keys are not strings".to_owned()),
    }
}

/// Text of a scalar inside longer text, or where Kubernetes wants a string.
pub(crate) fn to_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.as_ref().clone()),
        Value::Int(value) => Some(value.to_string()),
        Value::UInt(value) => Some(value.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Rough size of a value in bytes, so that output can be bounded before it is copied.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::List(items) => items.iter().map(size).sum::<usize>() + 2,
        Value::Map(map) => map.map.iter().map(|(key, value)| size(value) + key_size(key)).sum::<usize>() + 2,
        _ => 8,
    }
}

fn key_size(key: &Key) -> usize {
    match key {
        Key::String(text) => text.len() + 4,
        _ => 8,
    }
}
