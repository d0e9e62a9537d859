//! Keys of our domain in an object, wherever they stand.
//!
//! Selectors are left out: a key in `matchLabels` selects, it asks for nothing.

use serde_json::Value;

/// Maps in which a key of ours means something else, or that can hold anything.
const NOT_SEARCHED: [&str; 8] =
    ["matchLabels", "selector", "nodeSelector", "data", "stringData", "binaryData", "status", "managedFields"];

/// A key of ours and the map in which it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StrayKey {
    /// `spec.template.annotations`; empty for the object itself.
    pub path: String,
    pub key: String,
}

/// All keys for which `is_ours` holds in maps of the object, in order. Lists are not searched.
pub(super) fn all(object: &Value, is_ours: impl Fn(&str) -> bool) -> Vec<StrayKey> {
    let mut found = Vec::new();
    search(object, &mut Vec::new(), &is_ours, &mut found);
    found
}

fn search<'a>(value: &'a Value, path: &mut Vec<&'a str>, is_ours: &impl Fn(&str) -> bool, found: &mut Vec<StrayKey>) {
    let Value::Object(fields) = value else { return };
    for (key, inner) in fields {
        if is_ours(key) {
            let path = if path.is_empty() { "the top level".to_owned() } else { path.join(".") };
            found.push(StrayKey { path, key: key.clone() });
        } else if !NOT_SEARCHED.contains(&key.as_str()) {
            path.push(key);
            search(inner, path, is_ours, found);
            path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_found_at_every_level_but_not_in_selectors() {
        let object = json!({
            "x/a": 1, "metadata": {"labels": {"x/b": "1", "other": "2"}},
            "spec": {"selector": {"matchLabels": {"x/c": "1"}}, "annotations": {"x/d": "1"}, "list": [{"x/e": "1"}]},
            "data": {"x/f": "1"},
        });
        let found: Vec<String> = all(&object, |key| key.starts_with("x/"))
            .into_iter()
            .map(|stray| format!("{} {}", stray.path, stray.key))
            .collect();
        assert_eq!(found, ["metadata.labels x/b", "spec.annotations x/d", "the top level x/a"]);
    }
}
