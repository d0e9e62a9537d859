//! Comparison with an excerpt: everything in the excerpt must be present; more is allowed.
//!
//! Maps may have further keys, and lists of maps further elements; those of the excerpt must be in
//! the same order. Everything else must be equal. An empty list stands for one that is empty or absent.
//!
//! Invariant: an excerpt equal to the whole matches, and one with any other value does not.

use serde_json::Value;

/// The parts of `excerpt` that `actual` lacks; empty if it has all.
pub fn differences(actual: &Value, excerpt: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", actual, excerpt, &mut found);
    found
}

fn compare(path: &str, actual: &Value, excerpt: &Value, found: &mut Vec<String>) {
    match (actual, excerpt) {
        (Value::Object(actual), Value::Object(excerpt)) => {
            for (key, wanted) in excerpt {
                match actual.get(key) {
                    Some(value) => compare(&format!("{path}/{key}"), value, wanted, found),
                    // Kubernetes does not write empty lists.
                    None if wanted.as_array().is_some_and(Vec::is_empty) => {}
                    None => found.push(format!("{path}/{key}: missing, expected {wanted}")),
                }
            }
        }
        (Value::Array(actual), Value::Array(excerpt))
            if !excerpt.is_empty() && excerpt.iter().all(Value::is_object) =>
        {
            compare_elements(path, actual, excerpt, found);
        }
        _ if actual == excerpt => {}
        _ => found.push(format!("{path}: {actual}, expected {excerpt}")),
    }
}

fn compare_elements(path: &str, actual: &[Value], excerpt: &[Value], found: &mut Vec<String>) {
    let mut rest = actual.iter();
    for (index, wanted) in excerpt.iter().enumerate() {
        if rest.any(|value| differences(value, wanted).is_empty()) {
            continue;
        }
        let place = format!(
            "{path}/{}",
            wanted.get("name").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned)
        );
        match actual.iter().find(|value| value.get("name").is_some() && value.get("name") == wanted.get("name")) {
            Some(namesake) if !differences(namesake, wanted).is_empty() => compare(&place, namesake, wanted, found),
            Some(_) => found.push(format!("{place}: is out of order")),
            None => found.push(format!("{place}: missing, expected {wanted}")),
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_matches_the_whole() {
        let whole = serde_json::json!({"a": 1, "b": [{"name": "x", "c": 2}, {"name": "y"}], "d": ["e"], "f": []});
        for excerpt in [
            "{}",
            r#"{"a":1}"#,
            r#"{"b":[{"name":"y"}]}"#,
            r#"{"b":[{"name":"x"},{"name":"y"}],"d":["e"]}"#,
            r#"{"z":[],"f":[]}"#,
        ] {
            assert_eq!(differences(&whole, &serde_json::from_str(excerpt).expect("JSON")), [""; 0], "{excerpt}");
        }
        let table = [
            (r#"{"a":2}"#, "/a: 1, expected 2"),
            (r#"{"z":0}"#, "/z: missing, expected 0"),
            (r#"{"b":[{"name":"x","c":3}]}"#, "/b/x/c: 2, expected 3"),
            (r#"{"b":[{"name":"y"},{"name":"x"}]}"#, "/b/x: is out of order"),
            (r#"{"b":[{"name":"z"}]}"#, "/b/z: missing, expected {\"name\":\"z\"}"),
            (r#"{"b":[]}"#, "/b: [{\"c\":2,\"name\":\"x\"},{\"name\":\"y\"}], expected []"),
            (r#"{"d":[]}"#, "/d: [\"e\"], expected []"),
            (r#"{"d":["e","f"]}"#, "/d: [\"e\"], expected [\"e\",\"f\"]"),
        ];
        for (excerpt, expected) in table {
            assert_eq!(differences(&whole, &serde_json::from_str(excerpt).expect("JSON")), [expected]);
        }
    }
}
