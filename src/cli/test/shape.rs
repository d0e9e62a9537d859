//! Checks the keys and types of a file of cases before it is read.
//!
//! The errors of serde name types of Rust and list all keys; these say what is wrong in the words of the file.
//!
//! Invariant: the keys are those of the published schema; a test compares the two.

use serde_json::{Map, Value};

use crate::inject::text::{quote, suggest};

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    /// Text that is not empty.
    Name,
    ListOfText,
    MapOfText,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of anything.
    List,
    /// A map of anything.
    Map,
    /// A map of these keys.
    Keys(&'static Keys),
    /// One map of these keys, or a list of them.
    OneOrMore(&'static Keys),
}

/// The keys of a map.
#[derive(Debug)]
pub(super) struct Keys {
    pub keys: &'static [(&'static str, Kind)],
    pub required: &'static [&'static str],
    /// What the map must be, for messages.
    pub expected: &'static str,
}

pub(super) const FILE: Keys = Keys {
    keys: &[("templates", Kind::ListOfText), ("tests", Kind::List)],
    required: &["tests"],
    expected: "a map with the key tests",
};

pub(super) const CASE: Keys = Keys {
    keys: &[
        ("name", Kind::Name),
        ("templates", Kind::ListOfText),
        ("namespace", Kind::Keys(&NAMESPACE)),
        ("nativeSidecars", Kind::Word(&["always", "never"])),
        ("clusterVersion", Kind::Text),
        ("pod", Kind::Map),
        ("podFile", Kind::Text),
        ("expect", Kind::Keys(&EXPECT)),
    ],
    required: &["name", "expect"],
    expected: "a map with name, pod and expect",
};

const NAMESPACE: Keys = Keys {
    keys: &[("name", Kind::Name), ("labels", Kind::MapOfText), ("annotations", Kind::MapOfText)],
    required: &["name"],
    expected: "a map with the name of a namespace",
};

const EXPECT: Keys = Keys {
    keys: &[
        ("injected", Kind::Map),
        ("includes", Kind::Map),
        ("patch", Kind::List),
        ("skipped", Kind::ListOfText),
        ("refused", Kind::OneOrMore(&REFUSAL)),
        ("warnings", Kind::ListOfText),
    ],
    required: &[],
    expected: "a map with one of injected, includes, patch, skipped and refused",
};

const REFUSAL: Keys = Keys {
    keys: &[("code", Kind::Text), ("message", Kind::Text)],
    required: &["code"],
    expected: "a map with code and message",
};

/// What is wrong with the keys and types of a map, or of what is in it.
pub(super) fn check(keys: &Keys, value: &Value, place: &str) -> Result<(), String> {
    let Value::Object(map) = value else { return Err(wrong(value, place, keys.expected)) };
    let known = || keys.keys.iter().map(|(key, _)| *key);
    if let Some(key) = map.keys().find(|key| !known().any(|known| known == *key)) {
        let hint = suggest::did_you_mean(key, known());
        let there_are = || format!("there are: {}", known().collect::<Vec<_>>().join(", "));
        let hint = hint.map_or_else(there_are, |hint| hint.to_string());
        return Err(format!("{}unknown key {}; {hint}", prefix(place), quote(key)));
    }
    if let Some(key) = keys.required.iter().find(|key| !map.contains_key(**key)) {
        return Err(format!("{}{key} is missing", prefix(place)));
    }
    keys.keys.iter().try_for_each(|(key, kind)| map.get(*key).map_or(Ok(()), |value| of(*kind, value, &at(place, key))))
}

fn of(kind: Kind, value: &Value, place: &str) -> Result<(), String> {
    let text = |value: &Value, place: &str| match value {
        Value::String(_) => Ok(()),
        Value::Number(_) | Value::Bool(_) => Err(wrong(value, place, "text") + "; put it in quotes"),
        _ => Err(wrong(value, place, "text")),
    };
    let list = |expected| value.as_array().ok_or_else(|| wrong(value, place, expected));
    let map = |expected: &str| value.as_object().ok_or_else(|| wrong(value, place, expected));
    match kind {
        Kind::Text => text(value, place),
        Kind::Name => match value.as_str() {
            Some("") => Err(format!("{place} is empty")),
            _ => text(value, place),
        },
        Kind::Word(words) => match value.as_str() {
            Some(word) if words.contains(&word) => Ok(()),
            _ => Err(wrong(value, place, &words.join(" or "))),
        },
        Kind::List => list("a list").map(drop),
        Kind::Map => map("a map").map(drop),
        Kind::ListOfText => {
            let mut items = list("a list of text")?.iter().enumerate();
            items.try_for_each(|(index, item)| text(item, &at(place, &index.to_string())))
        }
        Kind::MapOfText => entries(map("a map of text")?, place, text),
        Kind::Keys(keys) => check(keys, value, place),
        Kind::OneOrMore(keys) => match value {
            Value::Array(items) => {
                items.iter().enumerate().try_for_each(|(index, item)| check(keys, item, &at(place, &index.to_string())))
            }
            one => check(keys, one, place),
        },
    }
}

fn entries(
    map: &Map<String, Value>,
    place: &str,
    check: impl Fn(&Value, &str) -> Result<(), String>,
) -> Result<(), String> {
    map.iter().try_for_each(|(key, value)| check(value, &at(place, key)))
}

/// `expect: has no value, expected a map`
fn wrong(value: &Value, place: &str, expected: &str) -> String {
    let found = match value {
        Value::Null => "has no value".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("is {value}"),
        Value::String(text) => format!("is {}", quote(text)),
        Value::Array(_) => "is a list".to_owned(),
        Value::Object(_) => "is a map".to_owned(),
    };
    let place = if place.is_empty() { "it" } else { place };
    format!("{place} {found}, expected {expected}")
}

fn at(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

fn prefix(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!("{place}: ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::schemas;
    use super::*;

    #[test]
    fn errors_name_the_key_and_what_is_expected() {
        for (case, expected) in [
            (json!(null), "it has no value, expected a map with name, pod and expect"),
            (json!({}), "name is missing"),
            (json!({"name": "", "expect": {}}), "name is empty"),
            (json!({"name": "a"}), "expect is missing"),
            (json!({"name": "a", "expcet": {}}), "unknown key \"expcet\"; did you mean \"expect\"?"),
            (
                json!({"name": "a", "expect": null}),
                "expect has no value, expected a map with one of injected, includes, patch, skipped and refused",
            ),
            (json!({"name": "a", "expect": {"includes": []}}), "expect.includes is a list, expected a map"),
            (json!({"name": "a", "expect": {"refused": {}}}), "expect.refused: code is missing"),
            (
                json!({"name": "a", "expect": {"refused": [{"code": 7}]}}),
                "expect.refused.0.code is 7, expected text; put it in quotes",
            ),
            (
                json!({"name": "a", "expect": {}, "namespace": {"name": "n", "labels": {"a": true}}}),
                "namespace.labels.a is true, expected text; put it in quotes",
            ),
            (
                json!({"name": "a", "expect": {}, "namespace": {"nam\u{1b}": "n"}}),
                "namespace: unknown key \"nam\\u{1b}\"; did you mean \"name\"?",
            ),
            (
                json!({"name": "a", "expect": {}, "nativeSidecars": "on"}),
                "nativeSidecars is \"on\", expected always or never",
            ),
            (
                json!({"name": "a", "expect": {}, "zzz": 1}),
                "unknown key \"zzz\"; there are: name, templates, namespace, nativeSidecars, clusterVersion, pod, podFile, expect",
            ),
        ] {
            assert_eq!(check(&CASE, &case, ""), Err(expected.to_owned()), "{case}");
        }
    }

    #[test]
    fn keys_are_those_of_the_published_schema() {
        let schema = schemas::find("test-file").expect("it is published");
        let schema: Value = serde_json::from_str(schema.text).expect("JSON");
        for (keys, pointer) in [
            (&FILE, ""),
            (&CASE, "/$defs/Case"),
            (&NAMESPACE, "/$defs/CaseNamespace"),
            (&EXPECT, "/$defs/Expect"),
            (&REFUSAL, "/$defs/Refusal"),
        ] {
            let properties = schema.pointer(&format!("{pointer}/properties")).and_then(Value::as_object);
            let published: Vec<&str> = properties.expect(pointer).keys().map(String::as_str).collect();
            let mut own: Vec<&str> = keys.keys.iter().map(|(key, _)| *key).collect();
            own.sort_unstable();
            assert_eq!(own, published, "{pointer}");
            let required = schema.pointer(&format!("{pointer}/required")).cloned().unwrap_or_else(|| json!([]));
            let mut required: Vec<String> = serde_json::from_value(required).expect("names");
            required.sort_unstable();
            let mut own = keys.required.to_vec();
            own.sort_unstable();
            assert_eq!(own, required, "{pointer}");
        }
    }
}
