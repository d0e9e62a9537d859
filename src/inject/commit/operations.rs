//! The operations of a patch, as they are found: a list for whoever looks at them, or the text that is sent.
//!
//! Invariant: both forms say the same; the text is the list as JSON, byte for byte.

use super::editor::Misfit;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde::Serialize;
use serde_json::Value;

/// What a patch is wanted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    List,
    /// Values are written where they stand, without being copied first.
    Text,
}

/// One operation, about to be carried out.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Operation<'a> {
    Add { path: &'a str, value: &'a Value },
    Replace { path: &'a str, value: &'a Value },
    Remove { path: &'a str },
}

/// Operations in their order.
pub enum Operations {
    List(Vec<PatchOperation>),
    /// A JSON array without its end.
    Text(Vec<u8>),
}

impl Operations {
    pub fn new(form: Form) -> Self {
        match form {
            Form::List => Self::List(Vec::new()),
            Form::Text => Self::Text(Vec::with_capacity(4096)),
        }
    }

    pub(super) fn push(&mut self, operation: &Operation<'_>) -> Result<(), Misfit> {
        match self {
            Self::List(list) => list.push(owned(operation)?),
            Self::Text(text) => {
                text.push(if text.is_empty() { b'[' } else { b',' });
                serde_json::to_writer(text, operation).map_err(|error| Misfit(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// As a list of operations.
    pub fn into_patch(self) -> Result<Patch, serde_json::Error> {
        match self {
            Self::List(list) => Ok(Patch(list)),
            Self::Text(_) => serde_json::from_slice(&self.into_text()?),
        }
    }

    /// As JSON.
    pub fn into_text(self) -> Result<Vec<u8>, serde_json::Error> {
        match self {
            Self::List(list) => serde_json::to_vec(&list),
            Self::Text(mut text) => {
                text.extend_from_slice(if text.is_empty() { b"[]" } else { b"]" });
                Ok(text)
            }
        }
    }
}

fn owned(operation: &Operation<'_>) -> Result<PatchOperation, Misfit> {
    let pointer = |path: &str| PointerBuf::parse(path).map_err(|_| Misfit(path.to_owned()));
    Ok(match operation {
        Operation::Add { path, value } => {
            PatchOperation::Add(AddOperation { path: pointer(path)?, value: (*value).clone() })
        }
        Operation::Replace { path, value } => {
            PatchOperation::Replace(ReplaceOperation { path: pointer(path)?, value: (*value).clone() })
        }
        Operation::Remove { path } => PatchOperation::Remove(RemoveOperation { path: pointer(path)? }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_and_list_are_the_same_bytes() {
        let value = json!({"b": [1, 2.5, null], "a": "\"\u{1}ü"});
        let operations = [
            Operation::Add { path: "/a~1b/-", value: &value },
            Operation::Replace { path: "/c", value: &Value::Null },
            Operation::Remove { path: "/d/0" },
        ];
        for count in 0..=operations.len() {
            let of = |form| {
                let mut written = Operations::new(form);
                operations[..count].iter().for_each(|one| written.push(one).expect("a pointer"));
                written.into_text().expect("JSON")
            };
            assert_eq!(String::from_utf8(of(Form::Text)), String::from_utf8(of(Form::List)));
        }
    }
}
