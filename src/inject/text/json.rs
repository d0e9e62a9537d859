//! Reads fields of JSON objects whose structure has been checked, and words the errors of the parser.

use serde_json::Value;

/// The type of a value, as messages name it.
pub(crate) const fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Whether a value adds nothing where it is merged: null, an empty list, or a map of such values.
pub(crate) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_blank),
        _ => false,
    }
}

/// Text of a field of an object, empty when absent.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Items of a list field, none when absent or null.
pub(crate) fn items<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The value at a path of fields. `Value::pointer` copies each field's name.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, field| value.as_object()?.get(*field))
}

/// A null means absent, as everywhere in Kubernetes.
pub(crate) fn without_nulls(document: &Value) -> Value {
    let mut document = document.clone();
    drop_nulls(&mut document);
    document
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The message of the JSON parser with Kubernetes' words: what is expected comes first, as in all
/// our sentences. Other messages stay as they are.
pub(crate) fn parser_message(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let (sentence, place) = text.split_at(text.rfind(" at line ").unwrap_or(text.len()));
    let wrong = sentence.strip_prefix("invalid type: ").or_else(|| sentence.strip_prefix("invalid value: "));
    let Some((found, expected)) = wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) else {
        return text;
    };
    let found = match found {
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        "null" | "unit value" => "null".to_owned(),
        scalar => format!("the {scalar}"),
    };
    format!("expected {expected}, found {found}{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_parser_say_first_what_is_expected() {
        for (text, expected) in [
            (
                "invalid type: map, expected a string at line 1 column 3",
                "expected a string, found an object at line 1 column 3",
            ),
            ("invalid type: sequence, expected an object", "expected an object, found a list"),
            ("invalid type: null, expected a list", "expected a list, found null"),
            ("invalid type: integer `5`, expected an object", "expected an object, found the integer `5`"),
            ("invalid type: string \", expected x\", expected u8", "expected u8, found the string \", expected x\""),
            ("EOF while parsing a value at line 1 column 0", "EOF while parsing a value at line 1 column 0"),
        ] {
            assert_eq!(parser_message(&text), expected);
        }
    }
}
