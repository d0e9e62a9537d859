//! Parses the text of a pod into a tree, without the managed fields.

use super::json_string::JsonString;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The object without `metadata.managedFields`.
pub(super) fn parse(object: &str) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(object);
    let tree = Level::Object.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(tree)
}

/// Where an object stands that is parsed.
#[derive(Clone, Copy)]
enum Level {
    Object,
    Metadata,
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::Metadata => "an object as metadata",
        })
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(JsonString(key)) = access.next_key()? {
            let value = match (self, &*key) {
                (Self::Object, "metadata") => access.next_value_seed(Self::Metadata)?,
                (Self::Metadata, "managedFields") => {
                    access.next_value::<IgnoredAny>()?;
                    continue;
                }
                _ => access.next_value()?,
            };
            fields.insert(key.into_owned(), value);
        }
        Ok(Value::Object(fields))
    }
}
