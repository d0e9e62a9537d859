//! Carries out a plan: the operations that edit the tree are the operations that are sent, so pod and patch cannot differ.
//!
//! Invariant: parents come first; no `test`; `remove` and `replace` only for what the API server had filled in.

use super::claims::{escape, unescape};
use super::{Edit, Plan};
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::{Map, Value};

/// A tree under change, and what was changed.
pub struct Editor {
    tree: Value,
    operations: Vec<PatchOperation>,
}

/// A pointer that does not fit the tree: the plan was made for another one. A fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("the patch does not fit the pod at {0:?}")]
pub struct Misfit(String);

impl Editor {
    pub fn new(tree: Value) -> Self {
        Self { tree, operations: Vec::new() }
    }

    pub fn tree(&self) -> &Value {
        &self.tree
    }

    /// The changed tree and the operations.
    pub fn finish(self) -> (Value, Patch) {
        (self.tree, Patch(self.operations))
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
        let fields = self.object(object)?;
        let existed = fields.insert(key.to_owned(), value.clone()).is_some();
        let path = pointer(&format!("{object}/{}", escape(key)))?;
        self.operations.push(if existed {
            PatchOperation::Replace(ReplaceOperation { path, value })
        } else {
            PatchOperation::Add(AddOperation { path, value })
        });
        Ok(())
    }

    fn append(&mut self, list: &str, items: Vec<Value>) -> Result<(), Misfit> {
        match self.tree.pointer_mut(list) {
            Some(Value::Array(own)) => {
                own.extend(items.iter().cloned());
                let path = pointer(&format!("{list}/-"))?;
                let add = |value| PatchOperation::Add(AddOperation { path: path.clone(), value });
                self.operations.extend(items.into_iter().map(add));
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
        match self.tree.pointer_mut(list) {
            Some(Value::Array(own)) if index <= own.len() => own.insert(index, item.clone()),
            _ => return Err(Misfit(list.to_owned())),
        }
        let path = pointer(&format!("{list}/{index}"))?;
        self.operations.push(PatchOperation::Add(AddOperation { path, value: item }));
        Ok(())
    }

    fn remove(&mut self, object: &str, key: &str) -> Result<(), Misfit> {
        self.object(object)?.remove(key).ok_or_else(|| Misfit(object.to_owned()))?;
        let path = pointer(&format!("{object}/{}", escape(key)))?;
        self.operations.push(PatchOperation::Remove(RemoveOperation { path }));
        Ok(())
    }

    /// Parents first: every missing object on the way is added.
    fn ensure_object(&mut self, object: &str) -> Result<(), Misfit> {
        match self.tree.pointer(object) {
            Some(Value::Object(_)) => Ok(()),
            Some(Value::Null) | None => {
                let (parent, key) = object.rsplit_once('/').ok_or_else(|| Misfit(object.to_owned()))?;
                self.ensure_object(parent)?;
                self.set(parent, &unescape(key), Value::Object(Map::new()))
            }
            Some(_) => Err(Misfit(object.to_owned())),
        }
    }

    fn object(&mut self, object: &str) -> Result<&mut Map<String, Value>, Misfit> {
        self.tree.pointer_mut(object).and_then(Value::as_object_mut).ok_or_else(|| Misfit(object.to_owned()))
    }
}

fn pointer(text: &str) -> Result<PointerBuf, Misfit> {
    PointerBuf::parse(text).map_err(|_| Misfit(text.to_owned()))
}
