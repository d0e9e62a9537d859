//! Estimates the memory of a pod's tree from its text, before the tree is made.
//!
//! A few bytes of JSON can become hundreds: `{"":1}` is a node of a map. Only the structure counts;
//! the parser checks whether the text is JSON.
//! Invariant: the estimate takes constant memory for any text.

use super::PodError;
use super::json_string::end_of_string;
use serde_json::Value;
use std::mem::size_of;

/// What the tree of a pod may take: text of any length that etcd can store, or some 9,000
/// environment variables.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;
/// A text this short is never too heavy: the heaviest is `{"":{"":{"":…`, a map for each five
/// bytes.
const ALWAYS_ACCEPTED: usize = MAX_BYTES / (MAP_NODE / 4);

/// A node of a map has room for eleven members.
const MAP_NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 24;
/// In a map of many members the nodes are about half full.
const MEMBER: usize = MAP_NODE / 6;
/// A list grows by doubling.
const ITEM: usize = 2 * size_of::<Value>();
/// It begins with four places.
const LIST: usize = 4 * size_of::<Value>();
/// What an allocation takes beside the text of a string.
const STRING: usize = 8;

/// An error when the object would be too large as a tree.
pub(super) fn check(object: &str) -> Result<(), PodError> {
    let text = object.as_bytes();
    if text.len() <= ALWAYS_ACCEPTED || upper_bound(text) <= MAX_BYTES || estimate(text, MAX_BYTES) <= MAX_BYTES {
        return Ok(());
    }
    Err(PodError::TooLarge)
}

/// What the tree of a JSON text would take, rather too many bytes than too few. Above [`MAX_BYTES`]
/// it says no more than that.
pub fn of(text: &[u8]) -> usize {
    estimate(text, MAX_BYTES)
}

/// No tree of this text takes more. Counting runs at many bytes an instruction, and an ordinary pod
/// is light even so.
pub fn upper_bound(text: &[u8]) -> usize {
    let count = |byte| memchr::memchr_iter(byte, text).count();
    (count(b'{') + count(b'[')) * MAP_NODE + count(b',') * MEMBER + count(b'"') * STRING + text.len()
}

/// Bytes of the tree, rather too many than too few. Above `limit` nothing is read any further.
fn estimate(text: &[u8], limit: usize) -> usize {
    let mut estimator = Estimator::default();
    let mut at = 0;
    while let Some(byte) = text.get(at)
        && estimator.bytes <= limit
    {
        at += 1;
        match byte {
            b'"' => {
                let end = end_of_string(text, at);
                estimator.string(text.get(at..end).unwrap_or_default());
                at = end + 1;
            }
            b'{' => estimator.open(true, text.get(at) == Some(&b'}')),
            b'[' => estimator.open(false, text.get(at) == Some(&b']')),
            b'}' | b']' => estimator.close(),
            b',' => estimator.comma(),
            _ => {}
        }
    }
    estimator.bytes
}

/// Adds up what has been seen.
#[derive(Default)]
struct Estimator {
    bytes: usize,
    depth: usize,
    /// A bit for each open list or map, the innermost lowest: whether it is a map. As many as may
    /// nest.
    maps: u128,
    is_key_next: bool,
    /// Whether the member of the whole object that is being read is its metadata.
    in_metadata: bool,
    /// Whether the metadata's managed fields are being read: they never become part of the tree.
    in_managed_fields: bool,
}

impl Estimator {
    fn add(&mut self, bytes: usize) {
        if !self.in_managed_fields {
            self.bytes += bytes;
        }
    }

    fn open(&mut self, is_map: bool, is_empty: bool) {
        match (is_map, is_empty) {
            (_, true) => {}
            (true, false) => self.add(MAP_NODE),
            (false, false) => self.add(LIST),
        }
        self.maps = self.maps << 1 | u128::from(is_map);
        self.depth += 1;
        self.is_key_next = is_map;
    }

    fn close(&mut self) {
        self.end_of_member();
        self.maps >>= 1;
        self.depth = self.depth.saturating_sub(1);
        self.is_key_next = false;
    }

    fn comma(&mut self) {
        self.end_of_member();
        let is_map = self.maps & 1 == 1;
        self.add(if is_map { MEMBER } else { ITEM });
        self.is_key_next = is_map;
    }

    fn end_of_member(&mut self) {
        if self.depth <= 2 {
            self.in_managed_fields = false;
        }
    }

    fn string(&mut self, raw: &[u8]) {
        if std::mem::take(&mut self.is_key_next) {
            match self.depth {
                1 => self.in_metadata = raw == b"metadata",
                2 => self.in_managed_fields = self.in_metadata && raw == b"managedFields",
                _ => {}
            }
        }
        self.add(unescaped(raw) + STRING);
    }
}

/// Length of a string without its escapes, in bytes; of those beyond U+007F a little more.
fn unescaped(raw: &[u8]) -> usize {
    let mut length = 0;
    let mut rest = raw;
    while let Some(found) = memchr::memchr(b'\\', rest) {
        let (taken, becomes) = match rest.get(found + 1..) {
            Some([b'u', b'0', b'0', b'0'..=b'7', ..]) => (6, 1),
            Some([b'u', ..]) => (6, 3),
            _ => (2, 1),
        };
        length += found + becomes;
        rest = rest.get(found + taken..).unwrap_or_default();
    }
    length + rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// What the tree takes at least, allocations' own overhead left out.
    fn taken(value: &Value) -> usize {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(items) => size_of::<Value>() * items.len() + items.iter().map(taken).sum::<usize>(),
            Value::Object(members) => {
                let of_members = members.iter().map(|(key, value)| key.len() + taken(value)).sum::<usize>();
                members.len().div_ceil(11) * (MAP_NODE - 24) + of_members
            }
        }
    }

    fn estimated(text: &str) -> usize {
        estimate(text.as_bytes(), usize::MAX)
    }

    fn nested(value: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
        value.prop_recursive(6, 200, 12, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..12).prop_map(Value::Array),
                proptest::collection::btree_map(".{0,4}", inner, 0..12)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_tree_is_heavier_than_its_text_says(value in nested(prop_oneof![Just(json!(1)), ".{0,20}".prop_map(Value::from)])) {
            prop_assert!(estimated(&value.to_string()) >= taken(&value), "{value}");
        }

        #[test]
        fn no_text_is_heavier_than_a_glance_says(value in nested(prop_oneof![Just(json!(1)), ".{0,20}".prop_map(Value::from)])) {
            let text = value.to_string();
            prop_assert!(estimated(&text) <= upper_bound(text.as_bytes()), "{text}");
            prop_assert!(estimated(&text) <= text.len() * (MAP_NODE / 4), "{text}");
        }

        /// Whatever is no JSON is the parser's concern; here it only has to end.
        #[test]
        fn any_text_has_a_weight(text in r#"[\[\]{},:"\\ua0-9]{0,64}"#) {
            estimated(&text);
        }
    }

    #[test]
    fn tiny_values_are_what_makes_a_pod_heavy() {
        let pod = |item: &str| format!(r#"{{"spec":{{"x":[{item}]}}}}"#, item = format!("{item},").repeat(400_000));
        for item in ["1", "{}", r#"{"":1}"#, "[1]"] {
            let error = check(&pod(item)).expect_err(item);
            assert_eq!(error.to_string(), "its values would take more than 8 MiB of memory");
        }
    }

    /// 1.49 MiB, which the API server sends as 8.9 MiB.
    #[test]
    fn what_etcd_can_store_is_light_however_it_is_escaped() {
        let escaped = r#"\u003c\u0026\u003e"#.repeat(520_000);
        assert!(check(&format!(r#"{{"spec":{{"containers":[{{"args":["{escaped}"]}}]}}}}"#)).is_ok());
        let variables =
            r#"{"name":"SOME_VARIABLE_OF_A_POD","value":"a value of usual length for an environment variable"},"#;
        assert!(check(&format!(r#"{{"spec":{{"containers":[{{"env":[{}]}}]}}}}"#, variables.repeat(9_000))).is_ok());
    }

    #[test]
    fn managed_fields_of_the_metadata_weigh_nothing_and_others_do() {
        let fields = format!(r#"[{}]"#, r#"{"f:a":{}},"#.repeat(100_000));
        assert!(check(&format!(r#"{{"metadata":{{"name":"a","managedFields":{fields}}},"spec":{{}}}}"#)).is_ok());
        for elsewhere in [
            format!(r#"{{"spec":{{"managedFields":{fields}}}}}"#),
            format!(r#"{{"metadata":{{"managedFields":[],"x":{fields}}}}}"#),
            format!(r#"{{"metadata":{{"x":{{"managedFields":{fields}}}}}}}"#),
            format!(r#"{{"metadata":{{"managedFields":[]}},"x":{fields}}}"#),
            format!(r#"{{"x":"metadata","y":{{"managedFields":{fields}}}}}"#),
        ] {
            assert!(check(&elsewhere).is_err(), "{}", &elsewhere[..60]);
        }
    }
}
