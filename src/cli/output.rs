//! Renders objects as YAML, JSON, JSON Patch or unified diff.
//!
//! Invariant: YAML and JSON read back as exactly the values that were given.

use std::fmt::{self, Write};

use anyhow::Context;
use clap::ValueEnum;
use imara_diff::{Algorithm, Diff, InternedInput, Interner, Token, UnifiedDiffConfig, UnifiedDiffPrinter};
use json_patch::PatchOperation;
use serde::Serialize;
use serde_json::{Value, json};

use super::key_order::KeyOrder;
use super::terminal::visible;

/// How `inject` prints its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum InjectFormat {
    /// All objects in the input's order; text that does not change is kept
    Yaml,
    /// The object; several become the items of a List
    Json,
    /// JSON Patch (RFC 6902) for the one object that was given
    Patch,
    /// Unified diff of the objects that change
    Diff,
}

/// How `uninject` prints its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum UninjectFormat {
    /// All objects in the input's order; text that does not change is kept
    Yaml,
    /// The object; several become the items of a List
    Json,
    /// Unified diff of the objects that change
    Diff,
}

/// The objects as documents of one YAML stream.
pub(super) fn yaml(objects: &[&Value]) -> anyhow::Result<String> {
    let documents: Result<Vec<_>, _> = objects.iter().copied().map(yaml_document).collect();
    Ok(documents?.join("---\n"))
}

/// One object as a YAML document that ends with a line break.
pub(super) fn yaml_document(object: &Value) -> anyhow::Result<String> {
    // Long strings stay on one line: folded ones are hard to compare and to search.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(&KeyOrder::yaml(object), options).context("cannot write YAML")
}

/// One object as itself, several as a List.
pub(super) fn json(objects: &[&Value]) -> anyhow::Result<String> {
    match objects {
        [object] => pretty(&KeyOrder::json(object)),
        _ => pretty(&KeyOrder::json(&json!({"apiVersion": "v1", "kind": "List", "items": objects}))),
    }
}

/// The operations as a JSON Patch.
pub(super) fn patch(operations: &[PatchOperation]) -> anyhow::Result<String> {
    pretty(&operations)
}

fn pretty(value: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
    Ok(visible(&text) + "\n")
}

/// Appends a unified diff of an object's YAML.
pub(super) fn diff_object(
    text: &mut String,
    title: &str,
    before: &Value,
    after: &Value,
    coloured: bool,
) -> anyhow::Result<()> {
    diff_values(text, (&format!("{title} (before)"), &format!("{title} (after)")), before, after, coloured)
}

/// Appends a unified diff of the YAML of two values, each with its title.
pub(super) fn diff_values(
    text: &mut String,
    titles: (&str, &str),
    before: &Value,
    after: &Value,
    coloured: bool,
) -> anyhow::Result<()> {
    let (before, after) = (yaml_document(before)?, yaml_document(after)?);
    let lines = InternedInput::new(before.as_str(), after.as_str());
    let mut diff = Diff::compute(Algorithm::Myers, &lines);
    // Of several equally short diffs, the one that adds and removes whole items, as git prints it.
    diff.postprocess_lines(&lines);
    let printer = HunkPrinter { lines: &lines.interner, coloured };
    printer.print(&mut *text, BOLD, "", &format!("--- {}", titles.0))?;
    printer.print(&mut *text, BOLD, "", &format!("+++ {}", titles.1))?;
    write!(text, "{}", diff.unified_diff(&printer, UnifiedDiffConfig::default(), &lines))?;
    Ok(())
}

const PLAIN: u8 = 0;
const BOLD: u8 = 1;
const RED: u8 = 31;
const GREEN: u8 = 32;
const CYAN: u8 = 36;

/// Prints hunks line by line, coloured or not.
struct HunkPrinter<'a> {
    lines: &'a Interner<&'a str>,
    coloured: bool,
}

impl HunkPrinter<'_> {
    fn print(&self, mut text: impl Write, style: u8, sign: &str, line: &str) -> fmt::Result {
        let line = line.strip_suffix('\n').unwrap_or(line);
        if self.coloured { writeln!(text, "\x1b[{style}m{sign}{line}\x1b[0m") } else { writeln!(text, "{sign}{line}") }
    }
}

impl UnifiedDiffPrinter for HunkPrinter<'_> {
    fn display_header(&self, text: impl Write, before: u32, after: u32, removed: u32, added: u32) -> fmt::Result {
        let header = format!("@@ -{},{removed} +{},{added} @@", before + 1, after + 1);
        self.print(text, CYAN, "", &header)
    }

    fn display_context_token(&self, text: impl Write, line: Token) -> fmt::Result {
        self.print(text, PLAIN, " ", self.lines[line])
    }

    fn display_hunk(&self, mut text: impl Write, before: &[Token], after: &[Token]) -> fmt::Result {
        before.iter().try_for_each(|&line| self.print(&mut text, RED, "-", self.lines[line]))?;
        after.iter().try_for_each(|&line| self.print(&mut text, GREEN, "+", self.lines[line]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn yaml_of(value: &Value) -> String {
        yaml(&[value]).expect("every JSON value is YAML")
    }

    fn read_back(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn strings_that_look_like_something_else_stay_strings() {
        let nasty = [
            "",
            " ",
            "~",
            "null",
            "Null",
            "on",
            "off",
            "y",
            "N",
            "yes",
            "No",
            "true",
            "TRUE",
            "010",
            "0o17",
            "0x1f",
            "0b1",
            "1e3",
            "1_000",
            "+1",
            "-0",
            "1.",
            ".5",
            ".inf",
            "NaN",
            "1:30",
            "12:30:45",
            "2020-01-01",
            "2020-01-01T00:00:00Z",
            "=",
            "<<",
            "#c",
            "a #b",
            "a: b",
            "x:",
            ": x",
            "- x",
            "-",
            "--",
            "---",
            "...",
            "? a",
            "!t",
            "&a",
            "*a",
            "%d",
            "@x",
            "`x",
            "{a",
            "}",
            "[a",
            "a]",
            "'q",
            "\"q",
            "it's",
            "{\"a\":1}",
            "{\"a\":\"it's\"}",
            "[\"\\n\"]",
            "{\"a\":\n1}",
            "\\",
        ];
        for text in nasty {
            assert_eq!(
                read_back(&yaml_of(&json!({"key": text, text: [text]}))),
                json!({"key": text, text: [text]}),
                "{text:?}"
            );
        }
    }

    #[test]
    fn white_space_and_line_ends_stay() {
        let nasty = [
            "a\nb\n",
            "a\nb",
            "a\nb\n\n",
            "\n",
            "\n\n",
            "\n\na",
            " lead",
            "trail ",
            "  a\n b\n",
            "a \nb\n",
            "a\n  b",
            "tab\there",
            "\ta\nb\n",
            "a\t\nb",
            "cr\rx",
            "crlf\r\nx\r\n",
            "\u{85}x",
            "\u{2028}x",
            "\u{feff}x",
            "\u{7}",
            "\u{0}",
            "\u{7f}",
            "é☃😀\nß",
            "a\n---\nb\n",
            "a\n...\n",
            "# not a comment\nb\n",
            "a\n\n\nb\n",
            "{\"a\u{2028}\":1}",
            "{\"\u{feff}\"",
            "[\"é☃😀\"]",
            "{\"a\"}\u{7}",
            "{\"a\" ",
        ];
        for text in nasty {
            let value = json!({"a": {"b": [{"c": text}, text]}, "z": text});
            assert_eq!(read_back(&yaml_of(&value)), value, "{text:?}\n{}", yaml_of(&value));
        }
    }

    #[test]
    fn numbers_keep_their_value() {
        for number in
            [json!(0), json!(-1), json!(u64::MAX), json!(i64::MIN), json!(1.5), json!(1.0), json!(1e300), json!(1e-7)]
        {
            let value = json!({"n": number});
            assert_eq!(read_back(&yaml_of(&value)), value);
        }
    }

    #[test]
    fn long_strings_stay_on_one_line_and_texts_become_blocks() {
        let long = "word ".repeat(60);
        assert_eq!(yaml_of(&json!({"a": long.trim_end()})).lines().count(), 1);
        assert_eq!(yaml_of(&json!({"a": "x\ny\n"})), "a: |\n  x\n  y\n");
    }

    #[test]
    fn json_in_a_string_stays_readable() {
        assert_eq!(yaml_of(&json!({"status": "{\"version\":1}"})), "status: '{\"version\":1}'\n");
    }

    /// Go's parser, and so kubectl, refuses a block that begins with a tab.
    #[test]
    fn a_text_that_begins_with_a_tab_is_no_block() {
        for text in ["\ta\nb\n", "\n\ta\n", "\n \ta\nb"] {
            let yaml = yaml_of(&json!({"key": text}));
            assert!(yaml.starts_with("key: \"") && yaml.lines().count() == 1, "{yaml}");
        }
    }

    #[test]
    fn keys_are_printed_in_their_customary_order() {
        let pod = json!({
            "spec": {"containers": [{"image": "a", "args": [], "name": "web"}]}, "metadata": {"labels": {}, "namespace": "shop", "name": "p"},
            "kind": "Pod", "apiVersion": "v1",
        });
        let expected = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  namespace: shop\n  labels: {}\nspec:\n  containers:\n  - name: web\n    image: a\n    args: []\n";
        assert_eq!(yaml_of(&pod), expected);
    }

    #[test]
    fn several_objects_are_a_list_in_json_and_documents_in_yaml() {
        let (a, b) = (json!({"a": 1}), json!({"b": 2}));
        let list: Value = serde_json::from_str(&json(&[&a, &b]).expect("plain data")).expect("it is JSON");
        assert_eq!(list, json!({"apiVersion": "v1", "kind": "List", "items": [{"a": 1}, {"b": 2}]}));
        assert_eq!(json(&[&a]).expect("plain data"), "{\n  \"a\": 1\n}\n");
        assert_eq!(yaml(&[&a, &b]).expect("plain data"), "a: 1\n---\nb: 2\n");
    }

    #[test]
    fn json_has_no_characters_that_a_terminal_obeys() {
        let value = json!({"a": "\u{9b}2J\u{7f}\u{202e}"});
        let text = json(&[&value]).expect("plain data");
        assert_eq!(text, "{\n  \"a\": \"\\u009b2J\\u007f\\u202e\"\n}\n");
    }

    #[test]
    fn a_diff_shows_what_changes() {
        let mut text = String::new();
        diff_object(&mut text, "Pod web", &json!({"a": 1, "b": 2}), &json!({"a": 1, "b": 3}), false)
            .expect("plain data");
        assert_eq!(text, "--- Pod web (before)\n+++ Pod web (after)\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n");
    }

    #[test]
    fn a_coloured_diff_paints_whole_lines() {
        let mut text = String::new();
        diff_object(&mut text, "Pod web", &json!({"b": 2}), &json!({"b": 3}), true).expect("plain data");
        assert!(text.contains("\u{1b}[31m-b: 2\u{1b}[0m\n\u{1b}[32m+b: 3\u{1b}[0m\n"), "{text:?}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![".*", "[ \\t\\n\\r#:'\"{}\\[\\]a0-]{0,12}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let key = prop_oneof!["[a-z]{1,6}", "[ \\t\\n#:'\"{}\\[\\]a0-]{0,6}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn yaml_reads_back_as_what_was_written(inner in any_json()) {
            let value = json!({"key": inner});
            let text = yaml_of(&value);
            prop_assert_eq!(read_back(&text), value, "{}", text);
        }
    }
}
