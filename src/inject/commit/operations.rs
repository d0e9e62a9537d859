//! The operations of a JSON Patch, written as JSON while they are applied.

use serde::Serialize;
use serde_json::Value;

/// One operation of a JSON Patch.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Operation<'a> {
    Add { path: &'a str, value: &'a Value },
    Replace { path: &'a str, value: &'a Value },
    Remove { path: &'a str },
}

/// A JSON array of operations, without its closing bracket. Values are written without a copy
/// first.
pub(super) struct Operations(Vec<u8>);

impl Operations {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(4096))
    }

    pub(super) fn push(&mut self, operation: &Operation<'_>) -> serde_json::Result<()> {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut self.0, operation)
    }

    pub(super) fn into_json(mut self) -> Vec<u8> {
        self.0.extend_from_slice(if self.0.is_empty() { b"[]" } else { b"]" });
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_text_is_the_json_of_the_operations() {
        let value = json!({"b": [1, 2.5, null], "a": "\"\u{1}ü"});
        let operations = [
            Operation::Add { path: "/a~1b/-", value: &value },
            Operation::Replace { path: "/c", value: &Value::Null },
            Operation::Remove { path: "/d/0" },
        ];
        for count in 0..=operations.len() {
            let mut written = Operations::new();
            operations[..count].iter().for_each(|one| written.push(one).expect("JSON"));
            let text = written.into_json();
            let patch: json_patch::Patch = serde_json::from_slice(&text).expect("a patch");
            assert_eq!(patch.0.len(), count);
            assert_eq!(String::from_utf8(text).ok(), serde_json::to_string(&patch).ok());
        }
    }
}
