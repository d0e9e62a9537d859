//! A second JSON Patch engine (RFC 6902), stricter than most, to verify the patches of the program.
//!
//! It supports `add`, `remove` and `replace`; the other operations are errors, because the program
//! must not use them.
//!
//! Invariant: an operation creates nothing but the one value that it names.

use serde_json::Value;

/// Applies the patch; an error names the failing operation.
pub fn apply(document: &Value, patch: &Value) -> Result<Value, String> {
    let mut document = document.clone();
    let operations = patch.as_array().ok_or("the patch is no array")?;
    for (index, operation) in operations.iter().enumerate() {
        step(&mut document, operation).map_err(|why| format!("operation {index} {operation}: {why}"))?;
    }
    Ok(document)
}

/// Applies one operation.
pub fn step(document: &mut Value, operation: &Value) -> Result<(), String> {
    let member = |key: &str| operation.get(key).ok_or_else(|| format!("lacks {key:?}"));
    let name = member("op")?.as_str().ok_or("op is no text")?;
    let (parent, last) = locate(document, member("path")?.as_str().ok_or("path is no text")?)?;
    match name {
        "add" => add(parent, &last, member("value")?.clone()),
        "replace" => existing(parent, &last).and_then(|place| member("value").map(|value| *place = value.clone())),
        "remove" => remove(parent, &last),
        other => Err(format!("{other:?} must not occur")),
    }
}

/// The parent of the path, which must exist, and the last token. The root cannot be named: the
/// program never replaces a whole pod.
fn locate<'a>(document: &'a mut Value, pointer: &str) -> Result<(&'a mut Value, String), String> {
    let rest = pointer.strip_prefix('/').ok_or("the path does not begin with a slash")?;
    let mut tokens: Vec<String> = rest.split('/').map(unescape).collect::<Result<_, _>>()?;
    let last = tokens.pop().ok_or("the path is empty")?;
    let mut place = document;
    for token in &tokens {
        place = existing(place, token)?;
    }
    Ok((place, last))
}

fn unescape(token: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut characters = token.chars();
    while let Some(character) = characters.next() {
        match character {
            '~' => match characters.next() {
                Some('0') => text.push('~'),
                Some('1') => text.push('/'),
                _ => return Err(format!("bad escape in {token:?}")),
            },
            plain => text.push(plain),
        }
    }
    Ok(text)
}

fn existing<'a>(parent: &'a mut Value, token: &str) -> Result<&'a mut Value, String> {
    match parent {
        Value::Object(map) => map.get_mut(token),
        Value::Array(list) => list.get_mut(position(token)?),
        _ => None,
    }
    .ok_or_else(|| format!("there is no {token:?}"))
}

fn add(parent: &mut Value, last: &str, value: Value) -> Result<(), String> {
    match parent {
        Value::Object(map) => {
            // The RFC lets `add` overwrite; the program must use `replace` for that.
            if map.insert(last.to_owned(), value).is_some() {
                return Err("add would replace a value".to_owned());
            }
        }
        Value::Array(list) if last == "-" => list.push(value),
        Value::Array(list) => {
            let at = position(last)?;
            if at > list.len() {
                return Err(format!("index {at} is beyond the end {}", list.len()));
            }
            list.insert(at, value);
        }
        _ => return Err("the parent is neither object nor array".to_owned()),
    }
    Ok(())
}

fn remove(parent: &mut Value, last: &str) -> Result<(), String> {
    existing(parent, last)?;
    match parent {
        Value::Object(map) => drop(map.remove(last)),
        Value::Array(list) => drop(list.remove(position(last)?)),
        _ => {}
    }
    Ok(())
}

fn position(token: &str) -> Result<usize, String> {
    let canonical = token == "0"
        || (!token.starts_with('0') && !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical {
        token.parse().map_err(|_| format!("index {token:?} is too large"))
    } else {
        Err(format!("{token:?} is no index"))
    }
}

#[cfg(test)]
mod tests {
    use super::apply;
    use serde_json::json;

    #[test]
    fn adds_replaces_and_removes() {
        let patch = json!([
            {"op": "add", "path": "/a~1b", "value": [1]},
            {"op": "add", "path": "/a~1b/0", "value": 0},
            {"op": "add", "path": "/a~1b/-", "value": 2},
            {"op": "replace", "path": "/~0", "value": null},
            {"op": "remove", "path": "/gone"},
        ]);
        assert_eq!(apply(&json!({"~": 1, "gone": 1}), &patch), Ok(json!({"a/b": [0, 1, 2], "~": null})));
    }

    #[test]
    fn refuses_operations_that_a_lenient_engine_accepts() {
        let document = json!({"list": [1], "map": {"key": 1}});
        for (path, op) in [
            ("/list/01", "replace"),
            ("/list/2", "add"),
            ("/map/key", "add"),
            ("/no/parent", "add"),
            ("/map/~2", "add"),
            ("", "replace"),
        ] {
            assert!(apply(&document, &json!([{"op": op, "path": path, "value": 0}])).is_err(), "{op} {path}");
        }
        assert!(apply(&document, &json!([{"op": "test", "path": "/list", "value": [1]}])).is_err());
    }
}
