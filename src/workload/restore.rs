//! Takes out of a changed value what was filled in before the change.
//!
//! Invariant: where nothing was changed the original comes back as it was.

use serde_json::{Map, Value};

use crate::inject::schema::merge_keys;

/// `after` without what distinguishes `filled` from `original`, wherever the two have the same place.
/// `None` if the original lacks the value and nothing has changed it. `name` is that of the field.
pub(super) fn restore(name: &str, original: Option<&Value>, filled: &Value, after: Value) -> Option<Value> {
    if after == *filled {
        return original.cloned();
    }
    match (filled, after) {
        (Value::Object(filled), Value::Object(after)) => {
            Some(Value::Object(restore_fields(original.and_then(Value::as_object), filled, after)))
        }
        (Value::Array(filled), Value::Array(after)) => {
            let original = original.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            Some(restore_items(name, original, filled, after).into())
        }
        (_, after) => Some(after),
    }
}

fn restore_fields(
    original: Option<&Map<String, Value>>,
    filled: &Map<String, Value>,
    after: Map<String, Value>,
) -> Map<String, Value> {
    let in_original = |key: &str| original.and_then(|original| original.get(key));
    let mut restored = Map::new();
    for (key, value) in after {
        let value = match filled.get(&key) {
            Some(filled) => restore(&key, in_original(&key), filled, value),
            None => Some(value),
        };
        if let Some(value) = value {
            restored.insert(key, value);
        }
    }
    for (key, value) in original.into_iter().flatten() {
        if !filled.contains_key(key) && !restored.contains_key(key) {
            restored.insert(key.clone(), value.clone());
        }
    }
    restored
}

/// An item is that of the original if it is the same, or has the same key and no other is the same.
fn restore_items(name: &str, original: &[Value], filled: &[Value], after: Vec<Value>) -> Vec<Value> {
    let mut is_free = vec![true; filled.len()];
    let mut take = |is_it: &dyn Fn(&Value) -> bool| {
        let index = filled.iter().zip(&is_free).position(|(item, is_free)| *is_free && is_it(item))?;
        is_free[index] = false;
        Some(index)
    };
    let mut places: Vec<Option<usize>> = after.iter().map(|item| take(&|filled| filled == item)).collect();
    if let Some(key) = merge_keys::of(name) {
        for (place, item) in places.iter_mut().zip(&after).filter(|(place, _)| place.is_none()) {
            *place = take(&|filled| key.value(filled) == key.value(item));
        }
    }
    let items = after.into_iter().zip(places).filter_map(|(item, place)| match place {
        Some(index) => restore("", original.get(index), &filled[index], item),
        None => Some(item),
    });
    items.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_changes_are_left_of_a_filled_value() {
        let original = json!({"containers": [
            {"name": "a", "cpu": "1000m", "env": []}, {"name": "b", "ports": [{"containerPort": 80}, {"containerPort": 81}]}]});
        let filled = json!({"containers": [
            {"name": "a", "cpu": "1", "resources": {}},
            {"name": "b", "resources": {}, "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81, "protocol": "TCP"}]}]});
        assert_eq!(restore("", Some(&original), &filled, filled.clone()).as_ref(), Some(&original));
        let mut after = filled.clone();
        after["containers"][0]["resources"]["limits"] = json!({"cpu": "2"});
        after["containers"][1]["ports"].as_array_mut().expect("ports").remove(0);
        after["containers"].as_array_mut().expect("containers").insert(0, json!({"name": "new", "cpu": "1"}));
        let expected = json!({"containers": [{"name": "new", "cpu": "1"},
            {"name": "a", "cpu": "1000m", "env": [], "resources": {"limits": {"cpu": "2"}}},
            {"name": "b", "ports": [{"containerPort": 81}]}]});
        assert_eq!(restore("", Some(&original), &filled, after), Some(expected));
        let unchanged = |filled: Value| restore("", None, &filled, filled.clone());
        assert_eq!(unchanged(json!({})), None);
    }
}
