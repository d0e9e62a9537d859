//! Estimates the memory of a pod's tree from its text, before the text is parsed.
//!
//! A few bytes of JSON can take hundreds in memory: `{"":1}` is a node of a map. The estimate looks
//! at the structure only; the parser checks whether the text is JSON.
//! Invariant: the estimate takes constant memory for any text.

use super::PodError;
use super::json_string::end_of_string;
use serde_json::Value;
use std::mem::size_of;

/// Most memory for the tree of a pod. It suffices for any text that etcd can store, and for about
/// 9,000 environment variables.
pub(crate) const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Length up to which no text exceeds [`MAX_BYTES`]. The worst case is `{"":{"":{"":…`, with one
/// map for five bytes.
const ALWAYS_ACCEPTED: usize = MAX_BYTES / (MAP_NODE / 4);

/// Size of a map's node, which has eleven slots for members.
const MAP_NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 24;
/// Estimate for a member of a map: with many members, the nodes are about half full.
const MEMBER: usize = MAP_NODE / 6;
/// Estimate for an item of a list: its capacity grows by doubling.
const ITEM: usize = 2 * size_of::<Value>();
/// Initial size of a list, which has a capacity of four items.
const LIST: usize = 4 * size_of::<Value>();
/// Overhead of a string's allocation.
const STRING: usize = 8;

/// Refuses an object whose tree would take more than [`MAX_BYTES`].
pub(super) fn check(object: &str) -> Result<(), PodError> {
    let text = object.as_bytes();
    if text.len() <= ALWAYS_ACCEPTED || upper_bound(text) <= MAX_BYTES || estimate(text, MAX_BYTES) <= MAX_BYTES {
        return Ok(());
    }
    Err(PodError::TooLarge)
}

/// The estimated memory of a JSON text's tree, never too low. Above [`MAX_BYTES`] it is not exact.
pub(crate) fn of(text: &[u8]) -> usize {
    estimate(text, MAX_BYTES)
}

/// An upper bound of the estimate. It is fast to compute, and low enough for an ordinary pod.
pub(crate) fn upper_bound(text: &[u8]) -> usize {
    let count = |byte| memchr::memchr_iter(byte, text).count();
    (count(b'{') + count(b'[')) * MAP_NODE + count(b',') * MEMBER + count(b'"') * STRING + text.len()
}

/// Estimates the bytes of the tree, never too low. Stops reading above `limit`.
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

/// The estimate for the text read so far.
#[derive(Default)]
struct Estimator {
    bytes: usize,
    depth: usize,
    /// One bit for each open list or map, set for a map; the innermost has the lowest bit. The
    /// number of bits is the nesting limit.
    maps: u128,
    is_key_next: bool,
    /// Whether the scan is in the member `metadata` of the object.
    in_metadata: bool,
    /// Whether the scan is in the metadata's managed fields, which never become part of the tree.
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

/// Length of a string after unescaping, in bytes; an upper bound for escapes above U+007F.
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

    /// The least memory that the tree takes, without the overhead of allocations.
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
        fn no_tree_takes_more_memory_than_the_estimate(value in nested(prop_oneof![Just(json!(1)), ".{0,20}".prop_map(Value::from)])) {
            prop_assert!(estimated(&value.to_string()) >= taken(&value), "{value}");
        }

        #[test]
        fn no_estimate_exceeds_its_upper_bound(value in nested(prop_oneof![Just(json!(1)), ".{0,20}".prop_map(Value::from)])) {
            let text = value.to_string();
            prop_assert!(estimated(&text) <= upper_bound(text.as_bytes()), "{text}");
            prop_assert!(estimated(&text) <= text.len() * (MAP_NODE / 4), "{text}");
        }

        /// The parser refuses text that is not JSON; the estimate must only terminate.
        #[test]
        fn any_text_gets_an_estimate(text in r#"[\[\]{},:"\\ua0-9]{0,64}"#) {
            estimated(&text);
        }
    }

    #[test]
    fn many_tiny_values_make_a_pod_too_large() {
        let pod = |item: &str| format!(r#"{{"spec":{{"x":[{item}]}}}}"#, item = format!("{item},").repeat(400_000));
        for item in ["1", "{}", r#"{"":1}"#, "[1]"] {
            let error = check(&pod(item)).expect_err(item);
            assert_eq!(error.to_string(), "its values would take more than 8 MiB of memory");
        }
    }

    /// A text of 1.49 MiB, which the API server sends with escapes as 8.9 MiB.
    #[test]
    fn any_pod_that_etcd_can_store_is_accepted_even_with_escapes() {
        let escaped = r#"\u003c\u0026\u003e"#.repeat(520_000);
        assert!(check(&format!(r#"{{"spec":{{"containers":[{{"args":["{escaped}"]}}]}}}}"#)).is_ok());
        let variables =
            r#"{"name":"SOME_VARIABLE_OF_A_POD","value":"a value of usual length for an environment variable"},"#;
        assert!(check(&format!(r#"{{"spec":{{"containers":[{{"env":[{}]}}]}}}}"#, variables.repeat(9_000))).is_ok());
    }

    #[test]
    fn only_managed_fields_of_the_metadata_are_not_counted() {
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
