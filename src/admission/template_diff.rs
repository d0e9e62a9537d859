//! Lists what differs between two specs of a template, field by field.
//!
//! Items of lists are compared by their names where they have some, so that an item that is moved or
//! put before others does not make all of them differ.
//! Invariant: equal specs differ in nothing, and every difference is listed until the limit.

use std::collections::HashMap;

use serde_json::Value;

use crate::inject::text::{one_line, quote};

/// Differences that are looked for.
const MOST: usize = 1000;
/// Longest value that is shown, in characters.
const LONGEST: usize = 60;
/// Characters that are shown before a difference far behind the beginning.
const CONTEXT: usize = 10;

/// The differences as lines, at most `most` of them; if there are more, the last line counts them.
pub(super) fn differences(old: &Value, new: &Value, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    compare("spec", old, new, &mut found);
    if found.len() > most {
        let more = found.len() - (most - 1);
        found.truncate(most - 1);
        found.push(format!("and {more} more fields"));
    }
    found
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    match (old, new) {
        // Nobody reads so many.
        _ if found.len() > MOST => {}
        _ if old == new => {}
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                field(&format!("{path}.{key}"), old.get(key), Some(value), found);
            }
            for (key, value) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
                field(&format!("{path}.{key}"), Some(value), None, found);
            }
        }
        (Value::Array(old), Value::Array(new)) => lists(path, old, new, found),
        (Value::String(old), Value::String(new)) => {
            let (old, new) = excerpts(old, new);
            found.push(format!("{path}: {new} instead of {old}"));
        }
        (old, new) => found.push(format!("{path}: {} instead of {}", shown(new), shown(old))),
    }
}

/// Two different texts on a line each: from shortly before the first difference, if their beginnings
/// are cut to the same.
fn excerpts(old: &str, new: &str) -> (String, String) {
    let short = |text: &str| one_line(&quote(text), LONGEST);
    if short(old) != short(new) {
        return (short(old), short(new));
    }
    let same = old.chars().zip(new.chars()).take_while(|(old, new)| old == new).count();
    let from = |text: &str| text.chars().skip(same.saturating_sub(CONTEXT)).collect::<String>();
    (format!("…{}", short(&from(old))), format!("…{}", short(&from(new))))
}

fn field(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<String>) {
    match (old, new) {
        (Some(old), Some(new)) => compare(path, old, new, found),
        (None, Some(new)) => found.push(format!("{path}: {} is new", shown(new))),
        (Some(old), None) => found.push(format!("{path}: {} is gone", shown(old))),
        (None, None) => {}
    }
}

fn lists(path: &str, old: &[Value], new: &[Value], found: &mut Vec<String>) {
    let named = |items: &[Value]| {
        let mut names: Vec<&str> = items.iter().filter_map(name).collect();
        names.sort_unstable();
        names.dedup();
        names.len() == items.len()
    };
    if !named(old) || !named(new) {
        for index in 0..old.len().max(new.len()) {
            field(&format!("{path}[{index}]"), old.get(index), new.get(index), found);
        }
        return;
    }
    let by_name = |items: &'_ [Value]| -> HashMap<String, usize> {
        let names = items.iter().enumerate().filter_map(|(index, item)| Some((name(item)?.to_owned(), index)));
        names.collect()
    };
    let (old_places, new_places) = (by_name(old), by_name(new));
    let before = found.len();
    for (index, item) in new.iter().enumerate() {
        let old = name(item).and_then(|name| old_places.get(name)).and_then(|index| old.get(*index));
        field(&format!("{path}[{index}]"), old, Some(item), found);
    }
    let is_gone = |item: &Value| name(item).is_none_or(|name| !new_places.contains_key(name));
    for (index, item) in old.iter().enumerate().filter(|(_, item)| is_gone(item)) {
        field(&format!("{path}[{index}]"), Some(item), None, found);
    }
    let names = |items: &[Value]| items.iter().filter_map(|item| name(item).map(str::to_owned)).collect::<Vec<_>>();
    if before == found.len() && names(old).len() == names(new).len() && names(old) != names(new) {
        found.push(format!("{path}: the order is {} instead of {}", names(new).join(", "), names(old).join(", ")));
    }
}

fn name(item: &Value) -> Option<&str> {
    item.get("name").and_then(Value::as_str)
}

/// A value on one line: an item of a list by its name.
fn shown(value: &Value) -> String {
    match (value, name(value)) {
        (Value::String(text), _) => one_line(&quote(text), LONGEST),
        (Value::Object(_), Some(name)) => one_line(&quote(name), LONGEST),
        _ => one_line(&value.to_string(), LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(old: &Value, new: &Value) -> Vec<String> {
        differences(old, new, 8)
    }

    #[test]
    fn items_are_compared_by_name() {
        let old = json!({"sidecars": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]});
        let new = json!({"sidecars": [{"name": "c"}, {"name": "a", "image": "a:2"}, {"name": "b", "image": "b:1"}]});
        assert_eq!(
            of(&old, &new),
            ["spec.sidecars[0]: \"c\" is new", "spec.sidecars[1].image: \"a:2\" instead of \"a:1\""]
        );
        assert_eq!(of(&new, &old)[1], "spec.sidecars[0]: \"c\" is gone");
        assert!(of(&old, &old).is_empty());
    }

    #[test]
    fn another_order_is_a_difference() {
        let old = json!({"sidecars": [{"name": "a"}, {"name": "b"}]});
        let new = json!({"sidecars": [{"name": "b"}, {"name": "a"}]});
        assert_eq!(of(&old, &new), ["spec.sidecars: the order is b, a instead of a, b"]);
    }

    #[test]
    fn other_items_are_compared_by_place() {
        let old = json!({"app": {"args": ["-v", "x"]}, "hardened": true});
        let new = json!({"app": {"args": ["-v", "y", "z"]}});
        let expected = [
            "spec.app.args[1]: \"y\" instead of \"x\"",
            "spec.app.args[2]: \"z\" is new",
            "spec.hardened: true is gone",
        ];
        assert_eq!(of(&old, &new), expected);
    }

    #[test]
    fn a_difference_far_behind_the_beginning_is_shown() {
        let text = |end: &str| json!({"run.sh": format!("{}{end}", "line of a script\n".repeat(20))});
        assert_eq!(
            of(&text("sleep 1"), &text("sleep 2")),
            ["spec.run.sh: …\"ipt\\nsleep 2\" instead of …\"ipt\\nsleep 1\""]
        );
    }

    #[test]
    fn many_differences_are_counted() {
        let object = |value: usize| Value::Object((0..20).map(|key| (format!("k{key:02}"), json!(value))).collect());
        let found = of(&object(1), &object(2));
        assert_eq!((found.len(), found[7].as_str()), (8, "and 13 more fields"));
    }
}
