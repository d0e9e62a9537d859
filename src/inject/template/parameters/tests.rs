//! Parameter types accept and refuse the documented values; declarations follow their rules.

mod computed;

use super::collection::{EXPECTED_LIST, EXPECTED_MAP};
use super::*;
use proptest::prelude::*;
use serde_json::json;

fn declared(spec: Json) -> Result<Parameter, Vec<String>> {
    let spec: ParameterSpec = serde_json::from_value(spec).expect("the shape is right");
    let mut errors = Vec::new();
    let parameter = Parameter::compile(&spec, &FieldPath::root(), &mut errors);
    if errors.is_empty() { Ok(parameter) } else { Err(errors.iter().map(ToString::to_string).collect()) }
}

fn of_type(kind: &str) -> Parameter {
    let values: &[&str] = if kind == "enum" { &["a", "b"] } else { &[] };
    declared(json!({"name": "p", "type": kind, "values": values})).expect("a declaration")
}

fn text(text: &str) -> Value {
    Value::String(Arc::new(text.to_owned()))
}

fn list(items: &[&str]) -> Value {
    Value::List(Arc::new(items.iter().copied().map(text).collect()))
}

fn map(entries: &[(&str, &str)]) -> Value {
    convert::map(entries.iter().map(|(key, value)| (*key, text(value))))
}

fn accepts(kind: &str, texts: &[(&str, Value)]) {
    for (given, value) in texts {
        assert_eq!(of_type(kind).parse(given).as_ref(), Ok(value), "{kind}: {given:?}");
    }
}

fn refuses(kind: &str, expected: &str, texts: &[&str]) {
    for given in texts {
        let refused = of_type(kind).parse(given).map_err(|message| message.to_string());
        assert_eq!(refused, Err(format!("{} {expected}", quote(given))), "{kind}");
    }
}

#[test]
fn any_text_is_a_string() {
    accepts("string", &["", " ", "a\nb", "5", "true", "${x}"].map(|given| (given, text(given))));
}

#[test]
fn an_integer_has_sixty_four_bits() {
    accepts(
        "integer",
        &[
            ("0", Value::Int(0)),
            ("-5", Value::Int(-5)),
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("-9223372036854775808", Value::Int(i64::MIN)),
        ],
    );
    let expected = "must be a 64-bit integer, such as \"42\"";
    refuses(
        "integer",
        expected,
        &["", "+5", "1.0", "1e3", " 1", "1 ", "0x10", "9223372036854775808", "٣", "1_000", "true", "--1"],
    );
}

#[test]
fn a_number_is_finite_and_decimal() {
    accepts(
        "number",
        &[
            ("1.5", Value::Float(1.5)),
            ("-2", Value::Float(-2.0)),
            ("1e3", Value::Float(1000.0)),
            ("0", Value::Float(0.0)),
        ],
    );
    refuses(
        "number",
        "must be a number, such as \"1.5\"",
        &["", "NaN", "inf", "-inf", "1e999", "0x1", "1,5", " 1", "+1.5", "infinity", "e", "."],
    );
}

#[test]
fn a_boolean_is_true_or_false() {
    accepts("boolean", &[("true", Value::Bool(true)), ("false", Value::Bool(false))]);
    refuses("boolean", "must be a boolean: \"true\" or \"false\"", &["", "True", "yes", "1", " true", "on"]);
}

#[test]
fn a_quantity_stays_as_it_is_written() {
    accepts("quantity", &["1", "1000m", "64Mi", "1.5", "1e3"].map(|given| (given, text(given))));
    refuses("quantity", quantity::EXPECTED, &["", "lots", "1 Gi", "1gi", "Mi", "1.5.5", "0x1"]);
}

#[test]
fn a_duration_stays_as_it_is_written() {
    accepts("duration", &["0", "1s", "1h30m", "500ms", "1.5s", "-1m"].map(|given| (given, text(given))));
    refuses("duration", duration::EXPECTED, &["", "5", "1d", "1 s", "s"]);
}

#[test]
fn a_port_is_1_to_65535() {
    accepts("port", &[("1", Value::Int(1)), ("65535", Value::Int(65_535))]);
    refuses("port", "must be a port from 1 to 65535", &["", "0", "65536", "-1", "http", "80/TCP", "+80"]);
}

#[test]
fn an_enum_is_one_of_its_values() {
    accepts("enum", &[("a", text("a")), ("b", text("b"))]);
    refuses("enum", "must be one of \"a\", \"b\"", &["", "A", "a,b", " a", "c"]);
}

#[test]
fn a_list_is_split_at_commas_or_json() {
    accepts(
        "list",
        &[
            ("", list(&[])),
            (" , ,", list(&[])),
            ("a", list(&["a"])),
            (" a , b c,,a\n", list(&["a", "b c", "a"])),
            ("a[0], {b}", list(&["a[0]", "{b}"])),
            ("[]", list(&[])),
            (" [\"a, b\", \" c \", \"\"] ", list(&["a, b", " c ", ""])),
            ("[1, 1.50, -2e3, true, false, 18446744073709551616]", {
                list(&["1", "1.50", "-2e3", "true", "false", "18446744073709551616"])
            }),
            (r#"["${params.x}", "\u00e4\n"]"#, list(&["${params.x}", "ä\n"])),
        ],
    );
    refuses("list", EXPECTED_LIST, &["{}", " {\"a\": 1}", "{a, b"]);
    for (given, message) in [
        ("[null]", "item 1 is null; expected a string, a number or a boolean"),
        ("[\"a\", [\"b\"]]", "item 2 is a list; expected a string, a number or a boolean"),
        ("[{\"a\": 1}]", "item 1 is a map; expected a string, a number or a boolean"),
        (r#"["\ud800"]"#, "item 1 is text that is not Unicode; expected a string, a number or a boolean"),
        (
            "[a, b]",
            "\"[a, b]\" must be a list: a, b or [\"a\", \"b\"]; it is read as JSON, which is wrong at line 1, column 2",
        ),
        (
            "[1] x",
            "\"[1] x\" must be a list: a, b or [\"a\", \"b\"]; it is read as JSON, which is wrong at line 1, column 5",
        ),
    ] {
        assert_eq!(of_type("list").parse(given).map_err(|message| message.to_string()), Err(message.to_owned()));
    }
}

#[test]
fn a_map_is_split_at_commas_and_equals_signs_or_json() {
    accepts(
        "map",
        &[
            ("", map(&[])),
            ("a=1", map(&[("a", "1")])),
            (" a = 1 , b=x=y, c=,", map(&[("a", "1"), ("b", "x=y"), ("c", "")])),
            ("{}", map(&[])),
            (
                r#"{"a": "1, 2", " b ": 5, "c": true, "d": ""}"#,
                map(&[("a", "1, 2"), (" b ", "5"), ("c", "true"), ("d", "")]),
            ),
        ],
    );
    refuses("map", EXPECTED_MAP, &["[]", "[\"a=1\"]"]);
    for (given, message) in [
        ("a", "item \"a\" has no \"=\"; a map is written as \"a=1, b=2\""),
        ("a=1, =2", "the value \"2\" has an empty key"),
        ("a=1, b=2, a=1", "key \"a\" is there twice"),
        (r#"{"a": 1, "a": 1}"#, "key \"a\" is there twice"),
        (r#"{"": 1}"#, "the value \"1\" has an empty key"),
        (r#"{"a": null}"#, "the value of key \"a\" is null; expected a string, a number or a boolean"),
        (r#"{"a": {}}"#, "the value of key \"a\" is a map; expected a string, a number or a boolean"),
        (
            "{a: 1}",
            "\"{a: 1}\" must be a map: a=1, b=2 or {\"a\": \"1\", \"b\": \"2\"}; it is read as JSON, which is wrong at line 1, \
             column 2",
        ),
    ] {
        assert_eq!(of_type("map").parse(given).map_err(|message| message.to_string()), Err(message.to_owned()));
    }
}

#[test]
fn each_item_keeps_the_rules() {
    let spec = json!({"name": "p", "type": "list", "pattern": "^[a-z]+$", "maxItems": 7});
    let letters = declared(spec).expect("a declaration");
    assert_eq!(letters.parse("a, b"), Ok(list(&["a", "b"])));
    for (given, message) in [
        (
            "a, B, c, D",
            "item 2, \"B\", does not match the pattern \"^[a-z]+$\"; item 4, \"D\", does not match the pattern \"^[a-z]+$\"",
        ),
        ("a,b,c,d,e,f,g,h", "the list has 8 items; at most 7 are allowed"),
    ] {
        assert_eq!(letters.parse(given).map_err(|message| message.to_string()), Err(message.to_owned()));
    }
    let many = letters.parse("1,2,3,4,5,6,7").expect_err("digits").to_string();
    assert!(many.contains("item 5, ") && !many.contains("item 6, ") && many.ends_with("; and 2 more"), "{many}");
    let spec = json!({"name": "p", "type": "map", "pattern": "^[0-9]*$", "keyPattern": "^[a-z]+$", "maxItems": 1});
    let numbers = declared(spec).expect("a declaration");
    assert_eq!(numbers.parse("a=1"), Ok(map(&[("a", "1")])));
    for (given, message) in [
        ("A=1", "key \"A\" does not match the keyPattern \"^[a-z]+$\""),
        ("a=x", "the value \"x\" of key \"a\" does not match the pattern \"^[0-9]*$\""),
        ("a=1, b=2", "the map has 2 items; at most 1 are allowed"),
    ] {
        assert_eq!(numbers.parse(given).map_err(|message| message.to_string()), Err(message.to_owned()));
    }
    for kind in ["list", "map"] {
        let items = |count: usize| (0..count).map(|number| format!("k{number}=v")).collect::<Vec<_>>().join(",");
        assert!(of_type(kind).parse(&items(64)).is_ok(), "{kind}");
        assert!(of_type(kind).parse(&items(65)).is_err(), "{kind}");
    }
}

/// The shortest text of a list: without JSON, where the items allow it.
fn written(items: &[String]) -> String {
    let text = items.join(", ");
    let is_plain = |item: &String| !item.is_empty() && item.trim() == item && !item.contains(',');
    match items.iter().all(is_plain) && !text.starts_with(['[', '{']) {
        true => text,
        false => json!(items).to_string(),
    }
}

proptest! {
    #[test]
    fn every_list_can_be_written(items in prop::collection::vec("[ -~äß\n\t]{0,6}|[a-z]{1,3}", 0..8)) {
        let expected: Vec<&str> = items.iter().map(String::as_str).collect();
        prop_assert_eq!(of_type("list").parse(&written(&items)), Ok(list(&expected)));
        prop_assert_eq!(of_type("list").parse(&json!(items).to_string()), Ok(list(&expected)));
    }

    #[test]
    fn every_map_can_be_written(entries in prop::collection::btree_map("[ -~äß]{1,4}|[a-z]{1,3}", "[ -~\n]{0,4}|[a-z]{1,3}", 0..8)) {
        let expected: Vec<(&str, &str)> = entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        prop_assert_eq!(of_type("map").parse(&json!(entries).to_string()), Ok(map(&expected)));
        let plain: Vec<String> = entries.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let is_plain = |text: &str| text.trim() == text && !text.contains(',');
        let keys = entries.keys().all(|key| is_plain(key) && !key.contains('='));
        let plain = plain.join(",");
        if keys && entries.values().all(|value| is_plain(value)) && !plain.starts_with(['[', '{']) {
            prop_assert_eq!(of_type("map").parse(&plain), Ok(map(&expected)));
        }
    }

    #[test]
    fn no_text_is_a_list_or_map_of_anything_but_texts(given in "[\\[{]?[ -~]{0,40}") {
        for kind in ["list", "map"] {
            match of_type(kind).parse(&given) {
                Ok(Value::List(items)) => prop_assert!(items.iter().all(|item| matches!(item, Value::String(_)))),
                Ok(Value::Map(map)) => prop_assert!(map.map.values().all(|item| matches!(item, Value::String(_)))),
                Ok(other) => prop_assert!(false, "{:?}", other),
                Err(message) => prop_assert!(!message.to_string().contains('\n')),
            }
        }
    }
}

#[test]
fn a_pattern_must_match_somewhere() {
    let parameter = declared(json!({"name": "p", "type": "string", "pattern": "^/[a-z/]+$"})).expect("a declaration");
    assert_eq!(parameter.parse("/var/log"), Ok(text("/var/log")));
    for given in ["", "var", "/VAR", "/var\n", "/var\n/x"] {
        let refused = parameter.parse(given).map_err(|message| message.to_string());
        assert_eq!(refused, Err(format!("{} does not match the pattern \"^/[a-z/]+$\"", quote(given))));
    }
    let unanchored = declared(json!({"name": "p", "type": "string", "pattern": "b"})).expect("a declaration");
    assert!(unanchored.parse("abc").is_ok());
}

#[test]
fn limits_hold_by_value() {
    for (kind, least, greatest, inside, below, above) in [
        ("integer", json!(-5), json!(5), vec!["-5", "0", "5"], "-6", "6"),
        ("number", json!(0.5), json!(1.5), vec!["0.5", "1", "1.5"], "0.4", "1.6"),
        ("port", json!(1024), json!(2048), vec!["1024", "2048"], "1023", "2049"),
        ("quantity", json!("100m"), json!("1Gi"), vec!["0.1", "1024Mi", "100m"], "99m", "1025Mi"),
        ("duration", json!("1s"), json!("1h"), vec!["1000ms", "60m"], "999ms", "61m"),
    ] {
        let parameter =
            declared(json!({"name": "p", "type": kind, "minimum": least, "maximum": greatest})).expect(kind);
        for given in inside {
            assert!(parameter.parse(given).is_ok(), "{kind}: {given}");
        }
        assert!(
            parameter.parse(below).is_err_and(|error| error.to_string().contains("is less than the minimum")),
            "{kind}"
        );
        assert!(
            parameter.parse(above).is_err_and(|error| error.to_string().contains("is greater than the maximum")),
            "{kind}"
        );
    }
}

#[test]
fn a_default_has_its_type_and_keeps_the_rules() {
    for (spec, message) in [
        (json!({"name": "p", "type": "integer", "default": "5"}), "default: expected an integer, found \"5\""),
        (json!({"name": "p", "type": "boolean", "default": "true"}), "default: expected a boolean, found \"true\""),
        (json!({"name": "p", "type": "string", "default": 5}), "default: expected a string, found 5"),
        (json!({"name": "p", "type": "port", "default": 0}), "default: \"0\" must be a port from 1 to 65535"),
        (json!({"name": "p", "type": "quantity", "default": "x"}), &*format!("default: \"x\" {}", quantity::EXPECTED)),
        (json!({"name": "p", "type": "enum", "values": ["a"], "default": "b"}), "default: \"b\" must be one of \"a\""),
        (
            json!({"name": "p", "type": "string", "pattern": "^a", "default": "b"}),
            "default: \"b\" does not match the pattern \"^a\"",
        ),
        (
            json!({"name": "p", "type": "integer", "maximum": 5, "default": 6}),
            "default: \"6\" is greater than the maximum \"5\"",
        ),
        (
            json!({"name": "p", "type": "list", "default": {"a": "b"}}),
            "default: expected a list of strings, found an object",
        ),
        (json!({"name": "p", "type": "list", "default": 5}), "default: expected a list of strings, found 5"),
        (json!({"name": "p", "type": "map", "default": ["a"]}), "default: expected a map of strings, found a list"),
        (
            json!({"name": "p", "type": "list", "default": ["a", null]}),
            "default: item 2 is null; expected a string, a number or a boolean",
        ),
        (
            json!({"name": "p", "type": "map", "default": {"a": []}}),
            "default: the value of key \"a\" is a list; expected a string, a number or a boolean",
        ),
        (
            json!({"name": "p", "type": "list", "default": ["a", "${app.name}"]}),
            "default: item \"${app.name}\" has an expression; write the whole default as one expression, such as \
             \"${[app.name, 'b']}\"",
        ),
        (
            json!({"name": "p", "type": "list", "maxItems": 1, "default": "a, b"}),
            "default: the list has 2 items; at most 1 are allowed",
        ),
    ] {
        assert_eq!(declared(spec.clone()).expect_err("a bad default"), [message], "{spec}");
    }
    for (spec, expected) in [
        (json!({"name": "p", "type": "list", "default": ["a", 1, true, "$${x}"]}), list(&["a", "1", "true", "${x}"])),
        (json!({"name": "p", "type": "list", "default": "a, b"}), list(&["a", "b"])),
        (json!({"name": "p", "type": "map", "default": {"a": 1.5, "b": ""}}), map(&[("a", "1.5"), ("b", "")])),
        (json!({"name": "p", "type": "map", "default": "a=1"}), map(&[("a", "1")])),
        (json!({"name": "p", "type": "string", "default": "$${x}"}), text("${x}")),
    ] {
        assert_eq!(declared(spec.clone()).expect("a declaration").default(), Some(&expected), "{spec}");
    }
    let number = declared(json!({"name": "p", "type": "number", "default": 2})).expect("a declaration");
    assert_eq!(number.default(), Some(&Value::Float(2.0)));
    assert_eq!(
        declared(json!({"name": "p", "type": "string", "default": ""})).expect("a declaration").default(),
        Some(&text(""))
    );
    assert_eq!(declared(json!({"name": "p", "type": "string"})).expect("a declaration").default(), None);
}

#[test]
fn invalid_declarations_are_reported() {
    for (spec, path) in [
        (
            json!({"name": "p", "type": "string", "minimum": 1}),
            "minimum: only an integer, number, port, quantity or duration",
        ),
        (json!({"name": "p", "type": "boolean", "maximum": 1}), "maximum: only an integer"),
        (json!({"name": "p", "type": "integer", "minimum": "x"}), "minimum: \"x\" must be a 64-bit integer"),
        (
            json!({"name": "p", "type": "integer", "minimum": 2, "maximum": 1}),
            "minimum: \"2\" is greater than the maximum \"1\"",
        ),
        (json!({"name": "p", "type": "enum"}), "values: an enum lists its values here"),
        (json!({"name": "p", "type": "string", "values": ["a"]}), "values: only the type enum has values"),
        (
            json!({"name": "p", "type": "integer", "pattern": "x"}),
            "pattern: only the types string, list and map have a pattern",
        ),
        (json!({"name": "p", "type": "list", "keyPattern": "x"}), "keyPattern: only the type map has a keyPattern"),
        (json!({"name": "p", "type": "map", "keyPattern": "("}), "keyPattern: \"(\" is not a regular expression: "),
        (json!({"name": "p", "type": "string", "maxItems": 3}), "maxItems: only the types list and map have maxItems"),
        (json!({"name": "p", "type": "list", "maxItems": 0}), "maxItems: expected a number from 1 to 1024, found 0"),
        (
            json!({"name": "p", "type": "map", "maxItems": 1025}),
            "maxItems: expected a number from 1 to 1024, found 1025",
        ),
        (json!({"name": "p", "type": "list", "minimum": 1}), "minimum: only an integer"),
        (json!({"name": "p", "type": "string", "pattern": "("}), "pattern: \"(\" is not a regular expression: "),
        (json!({"name": "p", "type": "string", "pattern": "(\\pL{1000}){1000}"}), "pattern: "),
    ] {
        let errors = declared(spec.clone()).expect_err("a bad declaration");
        assert_eq!(errors.len(), 1, "{spec}: {errors:?}");
        assert!(errors[0].starts_with(path) && !errors[0].contains('\n'), "{spec}: {errors:?}");
    }
}

#[test]
fn a_name_can_be_read_by_an_expression_and_written_in_a_key() {
    for name in ["a", "logDir", "log_dir", "A1", &"x".repeat(63)] {
        assert!(declared(json!({"name": name, "type": "string"})).is_ok(), "{name}");
    }
    for name in ["", "1a", "a-b", "a.b", "_a", "a_", "ä", "a b", "a\n", &"x".repeat(64)] {
        assert!(declared(json!({"name": name, "type": "string"})).is_err(), "{name}");
    }
}

#[test]
fn only_parameters_with_a_default_have_an_initial_value() {
    let parameters =
        ["a", "b"].map(|name| declared(json!({"name": name, "type": "integer", "default": 1})).expect("a declaration"));
    let required = declared(json!({"name": "c", "type": "integer"})).expect("a declaration");
    let all: Vec<Parameter> = parameters.into_iter().chain([required]).collect();
    assert_eq!(defaults(&all).into_keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_long_value_is_cut_in_the_message() {
    let message = of_type("integer").parse(&"9\n".repeat(100_000)).expect_err("no integer").to_string();
    assert!(message.chars().count() < 200 && !message.contains('\n'), "{message}");
}
