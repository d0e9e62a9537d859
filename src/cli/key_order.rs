//! Serializes objects with their keys in the customary order.
//!
//! Invariant: the output reads back as the value that was given.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};
use serde_saphyr::{DoubleQuoted, SingleQuoted};

/// Keys that come first, in this order; all others follow sorted.
const FIRST: [&str; 6] = ["apiVersion", "kind", "metadata", "name", "namespace", "image"];

/// The format that the keys are ordered for.
#[derive(Clone, Copy)]
enum Language {
    Json,
    Yaml,
}

/// A value with its keys in customary order.
pub(super) struct KeyOrder<'a> {
    value: &'a Value,
    language: Language,
}

impl<'a> KeyOrder<'a> {
    pub(super) fn json(value: &'a Value) -> Self {
        Self { value, language: Language::Json }
    }

    pub(super) fn yaml(value: &'a Value) -> Self {
        Self { value, language: Language::Yaml }
    }

    fn inner(&self, value: &'a Value) -> Self {
        Self { value, language: self.language }
    }
}

impl Serialize for KeyOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.value, self.language) {
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
            // Single quotes keep JSON readable, without a backslash before every quote.
            (Value::String(text), Language::Yaml) if is_json(text) => SingleQuoted(text).serialize(serializer),
            (Value::String(text), Language::Yaml) if starts_with_tab(text) => DoubleQuoted(text).serialize(serializer),
            (scalar, _) => scalar.serialize(serializer),
        }
    }
}

fn ordered(object: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let first = FIRST.iter().filter_map(|key| object.get_key_value(*key));
    first.chain(object.iter().filter(|(key, _)| !FIRST.contains(&key.as_str())))
}

/// Whether a text is one line of JSON without characters that need an escape.
fn is_json(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && c != '\'' || c == ' ' || c.is_alphanumeric();
    text.starts_with(['{', '[']) && text.contains('"') && text.chars().all(plain)
}

/// kubectl's parser takes a leading tab in a block for wrong indentation.
fn starts_with_tab(text: &str) -> bool {
    text.trim_start_matches(['\n', ' ']).starts_with('\t')
}
