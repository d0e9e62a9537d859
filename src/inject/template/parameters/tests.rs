//! Parameter types accept and refuse the documented values; declarations follow their rules.

use super::*;
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
    ] {
        assert_eq!(declared(spec.clone()).expect_err("a bad default"), [message], "{spec}");
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
        (json!({"name": "p", "type": "integer", "pattern": "x"}), "pattern: only the type string has a pattern"),
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
