//! The revision of a template: a hash that tells whether a pod carries the current template.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};

/// Hex digits of a revision.
const DIGITS: usize = 10;
/// The field of the spec that does not count.
const ROLLOUT: &str = "rollout";

/// First 10 hex digits of SHA-256 over the canonical JSON of a template's spec. Everything of the
/// spec counts but `rollout`: it says who gets the revision, not what they get.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Revision(String);

impl Revision {
    pub(crate) fn of(spec: &Value) -> Self {
        let text = match spec {
            Value::Object(fields) if fields.contains_key(ROLLOUT) || has_whole_float(spec) => {
                let mut fields = fields.clone();
                fields.remove(ROLLOUT);
                let mut spec = Value::Object(fields);
                whole_floats_to_integers(&mut spec);
                spec.to_string()
            }
            spec => spec.to_string(),
        };
        let digest = Sha256::digest(text.as_bytes());
        Self(digest.iter().take(DIGITS / 2).fold(String::with_capacity(DIGITS), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// A revision that somebody has written down. Whether there is such a one is not known.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == DIGITS && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The integer that a whole floating-point number is: `kubectl` sends `1` for the `1.0` of a file.
fn as_integer(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = value.as_f64().filter(|float| value.is_f64() && float.fract() == 0.0 && float.abs() < EXACT)?;
    format!("{float:.0}").parse().ok()
}

fn has_whole_float(value: &Value) -> bool {
    match value {
        Value::Number(_) => as_integer(value).is_some(),
        Value::Array(items) => items.iter().any(has_whole_float),
        Value::Object(fields) => fields.values().any(has_whole_float),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

fn whole_floats_to_integers(value: &mut Value) {
    if let Some(integer) = as_integer(value) {
        *value = integer.into();
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole_floats_to_integers),
        Value::Object(fields) => fields.values_mut().for_each(whole_floats_to_integers),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Number(_) => {}
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_counts_but_the_rollout() {
        let plain = Revision::of(&json!({"description": "a", "sidecars": []}));
        assert_eq!(plain, Revision::of(&json!({"description": "a", "rollout": {"percent": 10}, "sidecars": []})));
        assert_ne!(plain, Revision::of(&json!({"description": "b", "sidecars": []})));
        assert_eq!(
            Revision::of(&json!({"a": [1.0, {"b": -2.0}, 1.5]})),
            Revision::of(&json!({"a": [1, {"b": -2}, 1.5]}))
        );
        assert_eq!(Revision::parse(plain.as_str()), Some(plain));
        for text in ["", "3f2a9c01d", "3f2a9c01dee", "3F2A9C01DE", "3f2a9c01dg"] {
            assert_eq!(Revision::parse(text), None, "{text}");
        }
    }
}
