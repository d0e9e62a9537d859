//! Converts JSON values to CEL values and back.
//!
//! Invariant: integers of JSON are CEL `int` (so that `pod.spec.x + 5` works) and never pass
//! through a float.

use cel::objects::{Key, Map, OptionalValue, Value};
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

/// A Kubernetes object as an API server reads it: a field that is null is absent, and a quantity that
/// is written as a number is text.
pub(crate) fn object_to_cel(value: &Json) -> Value {
    match value {
        Json::Array(items) => Value::List(Arc::new(items.iter().map(object_to_cel).collect())),
        Json::Object(fields) => {
            let set = fields.iter().filter(|(_, value)| !value.is_null());
            map(set.map(|(key, value)| match value {
                Json::Object(amounts) if QUANTITIES.contains(&key.as_str()) => (key.as_str(), quantities(amounts)),
                _ => (key.as_str(), object_to_cel(value)),
            }))
        }
        other => to_cel(other),
    }
}

/// Fields whose values are quantities by their names.
const QUANTITIES: [&str; 2] = ["requests", "limits"];

fn quantities(amounts: &serde_json::Map<String, Json>) -> Value {
    let set = amounts.iter().filter(|(_, amount)| !amount.is_null());
    map(set.map(|(name, amount)| match amount {
        Json::Number(number) => (name.as_str(), Value::String(Arc::new(number.to_string()))),
        _ => (name.as_str(), object_to_cel(amount)),
    }))
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

/// What an optional has; null if it has nothing. Other values as they are.
pub(crate) fn without_optional(value: Value) -> Value {
    match <&OptionalValue>::try_from(&value).map(|optional| optional.value().cloned()) {
        Ok(Some(inner)) => without_optional(inner),
        Ok(None) => Value::Null,
        Err(_) => value,
    }
}

/// The kind of a value with its article, as messages name it.
pub(crate) fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Int(_) | Value::UInt(_) => "an integer",
        Value::Float(_) => "a number with a fraction",
        Value::String(_) => "a string",
        Value::Bytes(_) => "a sequence of bytes",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Duration(_) => "a duration",
        Value::Timestamp(_) => "a timestamp",
        Value::Opaque(opaque) => match opaque.runtime_type_name() {
            "optional_type" => "an optional value",
            "kubernetes.Quantity" => "a quantity",
            "kubernetes.URL" => "a URL",
            "kubernetes.Semver" => "a version",
            "net.IP" => "an IP address",
            "net.CIDR" => "a CIDR",
            _ => "a value of another kind",
        },
        _ => "a value of another kind",
    }
}

/// Converts a CEL value to JSON; the error names a value that JSON cannot represent. In lists and
/// maps, null and empty optionals are left out.
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
        Value::List(items) => {
            let items = items.iter().map(to_json).filter(|item| !matches!(item, Ok(Json::Null)));
            Json::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Map(map) => {
            let fields = map.map.iter().map(|(key, value)| Ok((key_text(key)?, to_json(value)?)));
            let fields = fields.filter(|field| !matches!(field, Ok((_, Json::Null))));
            Json::Object(fields.collect::<Result<_, String>>()?)
        }
        other => match <&OptionalValue>::try_from(other) {
            Ok(optional) => optional.value().map_or(Ok(Json::Null), to_json)?,
            Err(_) => return Err(kind_name(other).to_owned()),
        },
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
