//! The scanner beside serde_json, text by text.

use super::*;
use proptest::prelude::*;
use serde::de::IgnoredAny;

fn skip(text: &str) -> Option<()> {
    let mut scanner = JsonScanner::new(text);
    scanner.skip()?;
    scanner.is_at_end().then_some(())
}

fn value(text: &str) -> Option<Value> {
    let mut scanner = JsonScanner::new(text);
    let value = scanner.value()?;
    scanner.is_at_end().then_some(value)
}

/// What is skipped is what serde skips; what is read is what serde reads.
fn compare(text: &str) {
    assert_eq!(skip(text).is_some(), serde_json::from_str::<IgnoredAny>(text).is_ok(), "{text}");
    let read = serde_json::from_str::<Value>(text).ok();
    match value(text) {
        Some(value) => assert_eq!(Some(value), read, "{text}"),
        None => assert!(read.is_none() || text.contains('\\'), "{text}"),
    }
}

const TEXTS: [&str; 71] = [
    "null",
    "nul",
    "nulls",
    "true",
    "tru",
    "false",
    "fals",
    "0",
    "-0",
    "00",
    "01",
    "-",
    "1.",
    ".5",
    "1.5",
    "1e5",
    "1E+5",
    "1e-5",
    "1e",
    "1e+",
    "-1",
    "1.0",
    "18446744073709551615",
    "18446744073709551616",
    "999999999999999999",
    "1000000000000000000",
    "1e400",
    "+1",
    "0x1",
    "\"\"",
    "\"a",
    "\"",
    "\"\\\"\"",
    "\"\\u00e9\"",
    "\"\\u00g0\"",
    "\"\\x\"",
    "\"\\ud800\"",
    "\"\\",
    "\"\\u12",
    "\"\u{1f}\"",
    "\"\u{7f}ü\"",
    "\"abcdefg\u{1}\"",
    "\"abcdefgh\n\"",
    "[]",
    "[ ]",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1,2",
    "[1}",
    "{}",
    "{ }",
    "{\"a\":1}",
    "{\"a\":1,}",
    "{\"a\"}",
    "{\"a\":}",
    "{a:1}",
    "{\"a\":1]",
    "{\"a\":1,\"a\":2}",
    "{\"\\u0061\":1}",
    "{1:2}",
    " [ 1 , { \"a\" : [ ] } ]\r\n\t",
    "1 2",
    "",
    " ",
    "\u{a0}1",
    "\u{feff}1",
    "[{\"a\":[[],{}]},\"x\"]",
    "[]]",
    "{}}",
    "\"a\"b",
];

#[test]
fn values_are_those_of_serde() {
    for text in TEXTS {
        compare(text);
    }
}

#[test]
fn a_special_byte_is_found_at_each_place_of_a_string() {
    for length in 0..20 {
        let plain = "ü".repeat(length);
        for (end, expected) in [("\"", true), ("\\\"\"", true), ("\\\\\"", true), ("\u{1}\"", false), ("", false)] {
            let text = format!("\"{plain}{end}");
            assert_eq!(skip(&text).is_some(), expected, "{text}");
            compare(&text);
        }
    }
}

#[test]
fn nesting_is_limited_as_in_serde() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [1, 126, 127, 128, 129, 100_000] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert_eq!(skip(&text).is_some(), depth <= 127, "{depth}");
            assert_eq!(value(&text).is_some(), depth <= 127, "{depth}");
            assert_eq!(serde_json::from_str::<Value>(&text).is_ok(), depth <= 127, "{depth}");
        }
    }
    // Levels beside each other do not add up.
    assert!(skip(&format!("[{}1]", "[[]],{\"a\":{}},".repeat(1_000))).is_some());
}

proptest! {
    #[test]
    fn any_text_is_judged_as_by_serde(text in r#"[\[\]{},:"\\u0-2a.eE+\- tn\n]{0,48}"#) {
        compare(&text);
    }

    #[test]
    fn any_value_is_read_as_by_serde(text in nested(), from in 0_usize..400, with in r#"[\[\]{},:"\\0-2a]{0,2}"#) {
        compare(&text);
        // The same with a small damage.
        let at = (0..=from % (text.len() + 1)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        compare(&format!("{}{with}{}", &text[..at], &text[at..]));
    }
}

fn nested() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::btree_map("[a-c\"]{0,3}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    value.prop_map(|value| value.to_string())
}
