//! Reads JSON text as JSON: one object, or several that follow each other.
//!
//! YAML has most of JSON, but not every string that JSON allows. Invariant: a key that stands twice in
//! an object is not accepted, since one of its values would be lost.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The lines of an object and of its items, if it is a list.
#[derive(Debug)]
pub(super) struct JsonDocument {
    line: usize,
    items: Vec<usize>,
}

impl JsonDocument {
    /// The line of the item at this JSON Pointer, or else of the object.
    pub(super) fn line(&self, pointer: &str) -> usize {
        let item = pointer.strip_prefix("/items/").and_then(|rest| rest.split('/').next()?.parse::<usize>().ok());
        item.and_then(|item| self.items.get(item)).copied().unwrap_or(self.line)
    }
}

/// The objects of a text that begins with one, as kubectl recognises JSON. `None` for anything
/// else, which may be YAML.
pub(super) fn read(text: &str) -> Option<Vec<(JsonDocument, Value)>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let raws: Vec<&RawValue> = serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().ok()?;
    let mut lines = LineCounter { text, at: 0, line: 1 };
    let object = |raw: &RawValue| {
        let line = lines.of(raw.get());
        let value = serde_json::from_str::<UniqueKeys>(raw.get()).ok()?.0;
        let items = serde_json::from_str::<Items<'_>>(raw.get()).ok().and_then(|items| items.items);
        let items = items.unwrap_or_default().into_iter().map(|item| lines.of(item.get())).collect();
        Some((JsonDocument { line, items }, value))
    };
    raws.into_iter().map(object).collect()
}

#[derive(Deserialize)]
struct Items<'a> {
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

/// Counts lines up to parts of a text, in their order.
struct LineCounter<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl LineCounter<'_> {
    /// The line of a part of the text that begins after the last one.
    fn of(&mut self, part: &str) -> usize {
        let at = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        if let Some(between) = self.text.get(self.at..at) {
            self.line += between.matches('\n').count();
            self.at = at;
        }
        self.line
    }
}

/// A value whose objects have each key once.
struct UniqueKeys(Value);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ValueSeed.deserialize(deserializer).map(Self)
    }
}

struct ValueSeed;

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(ValueSeed)? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(ValueSeed)?;
            if members.insert(key, value).is_some() {
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(text: &str) -> Option<Vec<Value>> {
        Some(read(text)?.into_iter().map(|(_, value)| value).collect())
    }

    #[test]
    fn every_string_of_json_survives() {
        for text in ["\u{7f}", "<<", "\u{85}", "\u{2028}", "\u{feff}", "a\tb", "- ", "# x", "\u{fffe}"] {
            let object = json!({text: text});
            assert_eq!(values(&object.to_string()), Some(vec![object]), "{text:?}");
        }
    }

    #[test]
    fn objects_may_follow_each_other_and_have_lines() {
        let text = "\n{\"a\": 1}\n\n{\"items\": [\n{\"b\": 1},\n {\"c\": 1}]} {}\n";
        let read = read(text).expect("JSON");
        assert_eq!(read.iter().map(|(document, _)| document.line("")).collect::<Vec<_>>(), [2, 4, 6]);
        assert_eq!(["/items/0", "/items/1/spec", "/items/7"].map(|pointer| read[1].0.line(pointer)), [5, 6, 4]);
    }

    #[test]
    fn anything_else_is_no_json() {
        for text in [
            "",
            "a: 1",
            "[1]",
            "{a: 1}",
            "{\"a\": 1}\n---\n{}",
            "{\"a\": 1, \"a\": 2}",
            "{\"b\": [{\"a\": 1, \"a\": 2}]}",
        ] {
            assert_eq!(values(text), None, "{text}");
        }
    }
}
