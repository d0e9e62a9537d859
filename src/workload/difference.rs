//! The difference between two JSON values as steps that keep what is common to both.
//!
//! Invariant: the patch of the steps makes the second value of the first.

use json_patch::jsonptr::{Pointer, PointerBuf};
use json_patch::{AddOperation, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::{Map, Value};

/// One change. Paths and positions are those of the first value.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A new member of an object.
    Add {
        /// The object.
        object: PointerBuf,
        /// Name of the member.
        key: String,
        /// Its value.
        value: Value,
    },
    /// Another value at this path.
    Replace {
        /// Path of the value.
        at: PointerBuf,
        /// The new value.
        value: Value,
    },
    /// The member or item at this path goes.
    Remove {
        /// Path of the member or item.
        at: PointerBuf,
    },
    /// New items of a list.
    Insert {
        /// The list.
        list: PointerBuf,
        /// They stand before the item of this position; the length of the list for its end.
        before: usize,
        /// The items in their order; at least one.
        items: Vec<Value>,
    },
}

/// The steps from one value to the other; in lists from the front to the back.
pub fn steps(before: &Value, after: &Value) -> Vec<Step> {
    let mut steps = Vec::new();
    compare(&PointerBuf::root(), before, after, &mut steps);
    steps
}

/// The steps as a JSON Patch. The last step comes first, so that positions stay those of the first
/// value.
pub fn patch(steps: &[Step]) -> Vec<PatchOperation> {
    let mut operations = Vec::new();
    for step in steps.iter().rev() {
        match step {
            Step::Add { object, key, value } => operations.push(add(child(object, key), value)),
            Step::Replace { at, value } => {
                operations.push(PatchOperation::Replace(ReplaceOperation { path: at.clone(), value: value.clone() }));
            }
            Step::Remove { at } => operations.push(PatchOperation::Remove(RemoveOperation { path: at.clone() })),
            Step::Insert { list, before, items } => {
                let place = child(list, &before.to_string());
                operations.extend(items.iter().rev().map(|item| add(place.clone(), item)));
            }
        }
    }
    operations
}

fn add(path: PointerBuf, value: &Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value: value.clone() })
}

fn child(parent: &Pointer, token: &str) -> PointerBuf {
    parent.concat(&PointerBuf::from_tokens([token]))
}

fn compare(at: &Pointer, before: &Value, after: &Value, steps: &mut Vec<Step>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(before), Value::Object(after)) if before.is_empty() == after.is_empty() => {
            compare_objects(at, before, after, steps);
        }
        (Value::Array(before), Value::Array(after)) if !before.is_empty() && !after.is_empty() => {
            compare_lists(at, before, after, steps);
        }
        _ => steps.push(Step::Replace { at: at.to_owned(), value: after.clone() }),
    }
}

fn compare_objects(at: &Pointer, before: &Map<String, Value>, after: &Map<String, Value>, steps: &mut Vec<Step>) {
    for (key, old) in before {
        match after.get(key) {
            Some(new) => compare(&child(at, key), old, new, steps),
            None => steps.push(Step::Remove { at: child(at, key) }),
        }
    }
    for (key, value) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
        steps.push(Step::Add { object: at.to_owned(), key: key.clone(), value: value.clone() });
    }
}

fn compare_lists(at: &Pointer, before: &[Value], after: &[Value], steps: &mut Vec<Step>) {
    // Items without a name, such as those of a `List`, are told by their position.
    if before.len() == after.len()
        && before.iter().zip(after).all(|(old, new)| is_same_item(old, new) || !has_name(old))
    {
        for (position, (old, new)) in before.iter().zip(after).enumerate() {
            compare(&child(at, &position.to_string()), old, new, steps);
        }
        return;
    }
    let mut next = 0;
    let mut inserted = Vec::new();
    for (position, old) in before.iter().enumerate() {
        match after[next..].iter().position(|new| is_same_item(old, new)) {
            Some(distance) => {
                inserted.extend_from_slice(&after[next..next + distance]);
                flush(at, position, &mut inserted, steps);
                compare(&child(at, &position.to_string()), old, &after[next + distance], steps);
                next += distance + 1;
            }
            None => steps.push(Step::Remove { at: child(at, &position.to_string()) }),
        }
    }
    inserted.extend_from_slice(&after[next..]);
    flush(at, before.len(), &mut inserted, steps);
}

fn flush(list: &Pointer, before: usize, items: &mut Vec<Value>, steps: &mut Vec<Step>) {
    if !items.is_empty() {
        steps.push(Step::Insert { list: list.to_owned(), before, items: std::mem::take(items) });
    }
}

/// What names an item of a list in a pod.
const IDENTITY: [&str; 2] = ["name", "mountPath"];

fn has_name(item: &Value) -> bool {
    IDENTITY.iter().any(|key| item.get(key).is_some())
}

/// Whether two items of a list are the same one, perhaps with other content.
fn is_same_item(before: &Value, after: &Value) -> bool {
    before == after || has_name(before) && IDENTITY.iter().all(|key| before.get(key) == after.get(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn applied(before: &Value, after: &Value) -> Value {
        let mut value = before.clone();
        let operations = patch(&steps(before, after));
        json_patch::patch(&mut value, &operations).unwrap_or_else(|error| panic!("{error}: {operations:?}"));
        value
    }

    #[test]
    fn what_is_common_stays() {
        let before = json!({"a": [{"name": "x"}, {"name": "y", "env": [1]}], "b": 1, "c": {}});
        let after = json!({"a": [{"name": "n"}, {"name": "x"}, {"name": "y", "env": [1, 2], "e": 2}, {"name": "z"}], "c": {"d": 1}});
        let list = PointerBuf::from_tokens(["a"]);
        assert_eq!(
            steps(&before, &after),
            [
                Step::Insert { list: list.clone(), before: 0, items: vec![json!({"name": "n"})] },
                Step::Insert { list: PointerBuf::from_tokens(["a", "1", "env"]), before: 1, items: vec![json!(2)] },
                Step::Add { object: PointerBuf::from_tokens(["a", "1"]), key: "e".to_owned(), value: json!(2) },
                Step::Insert { list, before: 2, items: vec![json!({"name": "z"})] },
                Step::Remove { at: PointerBuf::from_tokens(["b"]) },
                Step::Replace { at: PointerBuf::from_tokens(["c"]), value: json!({"d": 1}) },
            ]
        );
        assert_eq!(applied(&before, &after), after);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), (0..3).prop_map(Value::from), "[ab~/]".prop_map(Value::from)];
        leaf.prop_recursive(4, 24, 5, |inner| {
            let key = prop_oneof![Just("name".to_owned()), Just("mountPath".to_owned()), "[ab~/]"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_patch_makes_the_second_value_of_the_first(before in any_value(), after in any_value()) {
            prop_assert_eq!(applied(&before, &after), after);
        }
    }
}
