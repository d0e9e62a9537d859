//! Objects written with their keys in the order in which people expect them.
//!
//! It changes no value. Invariant: what is written reads back as the value that was given.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};
use serde_saphyr::SingleQuoted;

/// Keys that come first, in this order; all others follow sorted.
const FIRST: [&str; 6] = ["apiVersion", "kind", "metadata", "name", "namespace", "image"];

/// How strings are written.
#[derive(Clone, Copy)]
enum Quotes {
    /// As the format does it.
    Plain,
    /// JSON inside a YAML string is put in single quotes, so that it stays readable.
    SingleAroundJson,
}

/// A value with its keys in customary order.
pub struct KeyOrder<'a> {
    value: &'a Value,
    quotes: Quotes,
}

impl<'a> KeyOrder<'a> {
    pub fn json(value: &'a Value) -> Self {
        Self { value, quotes: Quotes::Plain }
    }

    pub fn yaml(value: &'a Value) -> Self {
        Self { value, quotes: Quotes::SingleAroundJson }
    }

    fn inner(&self, value: &'a Value) -> Self {
        Self { value, quotes: self.quotes }
    }
}

impl Serialize for KeyOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.value, self.quotes) {
            (Value::Object(object), _) => {
                let mut map = serializer.serialize_map(Some(object.len()))?;
                for (key, value) in ordered(object) {
                    map.serialize_entry(key, &self.inner(value))?;
                }
                map.end()
            }
            (Value::Array(items), _) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(&self.inner(item))?;
                }
                seq.end()
            }
            (Value::String(text), Quotes::SingleAroundJson) if is_json(text) => {
                SingleQuoted(text).serialize(serializer)
            }
            (scalar, _) => scalar.serialize(serializer),
        }
    }
}

fn ordered(object: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let first = FIRST.iter().filter_map(|key| object.get_key_value(*key));
    first.chain(object.iter().filter(|(key, _)| !FIRST.contains(&key.as_str())))
}

/// One line of printable JSON; anything else is left to the format's own rules.
fn is_json(text: &str) -> bool {
    text.starts_with(['{', '[']) && text.contains('"') && !text.contains('\'') && !text.chars().any(char::is_control)
}
