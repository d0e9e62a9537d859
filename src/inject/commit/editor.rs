//! Applies a plan to the pod's tree, and writes each operation to the patch, so that both agree.
//!
//! Invariant: the patch adds parents first and has no `test` operation. It removes or replaces only
//! values that the API server had filled in. Amounts of the pod's resources may grow.

use super::operations::{Operation, Operations, Verb};
use crate::inject::merge::{Edit, PlacedContainer, Plan};
use crate::inject::text::json_writer::{push_list, push_object, push_value};
use crate::inject::text::pointer::Pointer;
use serde_json::{Map, Value};

/// The tree under change, and the operations so far.
pub(super) struct Editor {
    tree: Value,
    operations: Operations,
}

/// An edit that does not fit the tree. This is a bug, because the plan was made for this tree.
#[derive(Debug, thiserror::Error)]
#[error("the patch does not fit the pod at {0:?}")]
pub(super) struct EditError(pub(super) String);

impl Editor {
    pub(super) fn new(tree: Value) -> Self {
        Self { tree, operations: Operations::new() }
    }

    pub(super) fn tree(&self) -> &Value {
        &self.tree
    }

    /// The changed tree, and the JSON Patch that changes it.
    pub(super) fn finish(self) -> (Value, Vec<u8>) {
        (self.tree, self.operations.into_json())
    }

    /// Applies all edits in their order.
    pub(super) fn apply(&mut self, plan: Plan) -> Result<(), EditError> {
        plan.edits.into_iter().try_for_each(|edit| match edit {
            Edit::Append { list, items } => self.append(&list, items),
            Edit::Insert { list, index, item } => self.insert(&list, index, item),
            Edit::Place { list, containers } => self.place(&list, containers),
            Edit::Set { object, key, value } => self.set(&object, &key, value),
            Edit::Remove { object, key } => self.remove(&object, &key),
        })
    }

    /// Sets a member of the object at `object`, and creates the object if it is absent.
    pub(super) fn set(&mut self, object: &Pointer, key: &str, value: Value) -> Result<(), EditError> {
        self.ensure_object(object)?;
        let path = object.child(key);
        let path = path.as_str();
        let fields = fields(&mut self.tree, object)?;
        self.operations.push(&match fields.contains_key(key) {
            true => Operation::Replace { path, value: &value },
            false => Operation::Add { path, value: &value },
        });
        fields.insert(key.to_owned(), value);
        Ok(())
    }

    fn append(&mut self, list: &Pointer, items: Vec<Value>) -> Result<(), EditError> {
        match list.find_mut(&mut self.tree) {
            Some(Value::Array(own)) => {
                let path = list.child("-");
                let path = path.as_str();
                items.iter().for_each(|value| self.operations.push(&Operation::Add { path, value }));
                own.extend(items);
                Ok(())
            }
            Some(Value::Null) | None => {
                let (object, field) = list.split_last().ok_or_else(|| does_not_fit(list))?;
                self.set(&object, &field, Value::Array(items))
            }
            Some(_) => Err(does_not_fit(list)),
        }
    }

    fn insert(&mut self, list: &Pointer, index: usize, item: Value) -> Result<(), EditError> {
        match list.find_mut(&mut self.tree) {
            Some(Value::Array(own)) if index <= own.len() => {
                let path = list.child(&index.to_string());
                self.operations.push(&Operation::Add { path: path.as_str(), value: &item });
                own.insert(index, item);
                Ok(())
            }
            _ => Err(does_not_fit(list)),
        }
    }

    fn place(&mut self, list: &Pointer, containers: Vec<PlacedContainer>) -> Result<(), EditError> {
        let (object, field) = list.split_last().ok_or_else(|| does_not_fit(list))?;
        let fields = fields(&mut self.tree, &object)?;
        match fields.get_mut(&field) {
            Some(Value::Array(own)) => {
                for placed in containers {
                    let index = placed.index.unwrap_or(own.len());
                    if index > own.len() {
                        return Err(does_not_fit(list));
                    }
                    let path = list.child(&placed.index.map_or_else(|| "-".to_owned(), |index| index.to_string()));
                    self.operations.push_with(Verb::Add, path.as_str(), |out| push_container(out, &placed));
                    own.insert(index, placed.container);
                }
            }
            found @ (Some(Value::Null) | None) => {
                let verb = if found.is_some() { Verb::Replace } else { Verb::Add };
                self.operations.push_with(verb, list.as_str(), |out| push_list(out, &containers, push_container));
                let containers = containers.into_iter().map(|placed| placed.container);
                fields.insert(field, Value::Array(containers.collect()));
            }
            Some(_) => return Err(does_not_fit(list)),
        }
        Ok(())
    }

    fn remove(&mut self, object: &Pointer, key: &str) -> Result<(), EditError> {
        fields(&mut self.tree, object)?.remove(key).ok_or_else(|| does_not_fit(object))?;
        self.operations.push(&Operation::Remove { path: object.child(key).as_str() });
        Ok(())
    }

    /// Adds the object and all its missing parents, parents first.
    fn ensure_object(&mut self, object: &Pointer) -> Result<(), EditError> {
        match object.find_mut(&mut self.tree) {
            Some(Value::Object(_)) => Ok(()),
            Some(Value::Null) | None => {
                let (parent, key) = object.split_last().ok_or_else(|| does_not_fit(object))?;
                self.set(&parent, &key, Value::Object(Map::new()))
            }
            Some(_) => Err(does_not_fit(object)),
        }
    }
}

fn push_container(out: &mut Vec<u8>, placed: &PlacedContainer) {
    match (&placed.container, &placed.texts) {
        (Value::Object(fields), Some(texts)) => push_object(out, fields, texts),
        (container, _) => push_value(out, container),
    }
}

fn does_not_fit(pointer: &Pointer) -> EditError {
    EditError(pointer.to_string())
}

fn fields<'t>(tree: &'t mut Value, object: &Pointer) -> Result<&'t mut Map<String, Value>, EditError> {
    object.find_mut(tree).and_then(Value::as_object_mut).ok_or_else(|| does_not_fit(object))
}
