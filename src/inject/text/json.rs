//! Reads fields of JSON objects whose structure has been checked.

use serde_json::Value;

/// Text of a field of an object, empty when absent.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Items of a list field, none when absent or null.
pub fn items<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
