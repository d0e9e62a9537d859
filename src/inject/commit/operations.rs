//! The operations of a JSON Patch, written as JSON while they are applied.

use crate::inject::text::json_writer::{push_string, push_value};
use serde_json::Value;

/// One operation of a JSON Patch.
pub(super) enum Operation<'a> {
    Add { path: &'a str, value: &'a Value },
    Replace { path: &'a str, value: &'a Value },
    Remove { path: &'a str },
}

/// What an operation does at its path.
#[derive(Clone, Copy)]
pub(super) enum Verb {
    Add,
    Replace,
}

/// A JSON array of operations, without its closing bracket. Values are written without a copy
/// first.
pub(super) struct Operations(Vec<u8>);

impl Operations {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(4096))
    }

    pub(super) fn push(&mut self, operation: &Operation<'_>) {
        match operation {
            Operation::Add { path, value } => self.push_with(Verb::Add, path, |out| push_value(out, value)),
            Operation::Replace { path, value } => self.push_with(Verb::Replace, path, |out| push_value(out, value)),
            Operation::Remove { path } => {
                self.begin(r#"{"op":"remove","path":"#, path);
                self.0.push(b'}');
            }
        }
    }

    /// Writes an operation whose value `write` writes.
    pub(super) fn push_with(&mut self, verb: Verb, path: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let start = match verb {
            Verb::Add => r#"{"op":"add","path":"#,
            Verb::Replace => r#"{"op":"replace","path":"#,
        };
        self.begin(start, path);
        self.0.extend_from_slice(br#","value":"#);
        write(&mut self.0);
        self.0.push(b'}');
    }

    fn begin(&mut self, start: &str, path: &str) {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        self.0.extend_from_slice(start.as_bytes());
        push_string(&mut self.0, path);
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
            operations[..count].iter().for_each(|one| written.push(one));
            let text = written.into_json();
            let patch: json_patch::Patch = serde_json::from_slice(&text).expect("a patch");
            assert_eq!(patch.0.len(), count);
            assert_eq!(String::from_utf8(text).ok(), serde_json::to_string(&patch).ok());
        }
    }
}
