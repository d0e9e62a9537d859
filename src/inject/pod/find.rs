//! Finds one value in a JSON text by its path, without reading the text after it.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// The value at a path of keys. `None` if the path does not exist, or if the text before it is not
/// JSON or has another structure.
pub fn find<'a, T: Deserialize<'a>>(text: &'a str, path: &[&str]) -> Option<T> {
    let mut found = None;
    // The value is in `found`. Reading stops after it with an error, which is expected.
    let _ = serde_json::Deserializer::from_str(text).deserialize_map(PathReader { path, found: &mut found });
    found
}

/// Reads objects along a path of keys, and stops at its end.
struct PathReader<'p, T> {
    path: &'p [&'p str],
    found: &'p mut Option<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for PathReader<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(is_next) = map.next_key_seed(IsKey(self.path.first().copied()))? {
            if is_next {
                map.next_value_seed(PathReader { path: &self.path[1..], found: &mut *self.found })?;
                return Err(A::Error::custom("the end of the path is reached"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for PathReader<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.path.is_empty() {
            *self.found = Some(T::deserialize(deserializer)?);
            return Ok(());
        }
        deserializer.deserialize_map(self)
    }
}

/// Reads a key and compares it with the wanted one.
struct IsKey<'p>(Option<&'p str>);

impl<'de> DeserializeSeed<'de> for IsKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(self.0 == Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_only_at_its_path() {
        let cases = [
            (r#"{"metadata":{"generateName":"web-"},"x": not read"#, Some("web-")),
            (
                r#"{"spec":{"metadata":{"generateName":"no"}},"metadata":{"labels":{"generateName":"no"},"generateName":"we\u0062-"}}"#,
                Some("web-"),
            ),
            (r#"{"metadata":{"generateName":5}}"#, None),
            (r#"{"metadata":{}}"#, None),
            (r#"{"metadata":null}"#, None),
            ("[]", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(find::<String>(text, &["metadata", "generateName"]).as_deref(), expected, "{text}");
        }
    }
}
