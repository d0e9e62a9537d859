//! Carries out a plan: the operations that edit the tree are the operations that are sent, so pod and patch cannot differ.
//!
//! Invariant: parents come first; no `test`; `remove` and `replace` only for what the API server had filled in.

use super::operations::{Form, Operation, Operations};
use crate::inject::merge::{Edit, Plan};
use crate::inject::text::pointer::{escape, unescape};
use serde_json::{Map, Value};

/// A tree under change, and what was changed.
pub struct Editor {
    tree: Value,
    operations: Operations,
}

/// A pointer that does not fit the tree: the plan was made for another one. A fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("the patch does not fit the pod at {0:?}")]
pub struct Misfit(pub(super) String);

impl Editor {
    pub fn new(tree: Value, form: Form) -> Self {
        Self { tree, operations: Operations::new(form) }
    }

    pub fn tree(&self) -> &Value {
        &self.tree
    }

    /// The changed tree and the operations.
    pub fn finish(self) -> (Value, Operations) {
        (self.tree, self.operations)
    }

    /// Carries out all edits in their order.
    pub fn apply(&mut self, plan: Plan) -> Result<(), Misfit> {
        plan.edits.into_iter().try_for_each(|edit| match edit {
            Edit::Append { list, items } => self.append(&list, items),
            Edit::Insert { list, index, item } => self.insert(&list, index, item),
            Edit::Set { object, key, value } => self.set(&object, &key, value),
            Edit::Remove { object, key } => self.remove(&object, &key),
        })
    }

    /// Sets a member of the object at `object`, which is made when absent.
    pub fn set(&mut self, object: &str, key: &str, value: Value) -> Result<(), Misfit> {
        self.ensure_object(object)?;
        let path = &member(object, key);
        let fields = fields(&mut self.tree, object)?;
        self.operations.push(&match fields.contains_key(key) {
            true => Operation::Replace { path, value: &value },
            false => Operation::Add { path, value: &value },
        })?;
        fields.insert(key.to_owned(), value);
        Ok(())
    }

    fn append(&mut self, list: &str, items: Vec<Value>) -> Result<(), Misfit> {
        match find(&mut self.tree, list) {
            Some(Value::Array(own)) => {
                let path = &format!("{list}/-");
                items.iter().try_for_each(|value| self.operations.push(&Operation::Add { path, value }))?;
                own.extend(items);
                Ok(())
            }
            Some(Value::Null) | None => {
                let (object, field) = list.rsplit_once('/').ok_or_else(|| Misfit(list.to_owned()))?;
                self.set(object, field, Value::Array(items))
            }
            Some(_) => Err(Misfit(list.to_owned())),
        }
    }

    fn insert(&mut self, list: &str, index: usize, item: Value) -> Result<(), Misfit> {
        match find(&mut self.tree, list) {
            Some(Value::Array(own)) if index <= own.len() => {
                self.operations.push(&Operation::Add { path: &format!("{list}/{index}"), value: &item })?;
                own.insert(index, item);
                Ok(())
            }
            _ => Err(Misfit(list.to_owned())),
        }
    }

    fn remove(&mut self, object: &str, key: &str) -> Result<(), Misfit> {
        fields(&mut self.tree, object)?.remove(key).ok_or_else(|| Misfit(object.to_owned()))?;
        self.operations.push(&Operation::Remove { path: &member(object, key) })
    }

    /// Parents first: every missing object on the way is added.
    fn ensure_object(&mut self, object: &str) -> Result<(), Misfit> {
        match find(&mut self.tree, object) {
            Some(Value::Object(_)) => Ok(()),
            Some(Value::Null) | None => {
                let (parent, key) = object.rsplit_once('/').ok_or_else(|| Misfit(object.to_owned()))?;
                self.ensure_object(parent)?;
                self.set(parent, &unescape(key), Value::Object(Map::new()))
            }
            Some(_) => Err(Misfit(object.to_owned())),
        }
    }
}

fn member(object: &str, key: &str) -> String {
    format!("{object}/{}", escape(key))
}

fn fields<'t>(tree: &'t mut Value, object: &str) -> Result<&'t mut Map<String, Value>, Misfit> {
    find(tree, object).and_then(Value::as_object_mut).ok_or_else(|| Misfit(object.to_owned()))
}

/// What a pointer points to. `Value::pointer_mut` copies each segment twice to unescape it.
fn find<'t>(tree: &'t mut Value, pointer: &str) -> Option<&'t mut Value> {
    pointer.split('/').skip(1).try_fold(tree, |value, segment| match value {
        Value::Object(fields) => match segment.contains('~') {
            true => fields.get_mut(&unescape(segment)),
            false => fields.get_mut(segment),
        },
        Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?),
        _ => None,
    })
}
