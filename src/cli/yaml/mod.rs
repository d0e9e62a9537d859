//! Reads YAML text as kubectl does, and changes it with everything else left as it is.
//!
//! [`read`] gives the documents with the places of all their parts, [`edit`] applies a
//! [difference](crate::workload::difference) to the text itself: comments, anchors, quotes and the
//! order of keys stay. Templates have a stricter reader of their own.

pub(super) mod edit;
mod node;
mod scalar;
mod tree;
mod value;

use std::fmt;
use std::ops::Range;

use serde_json::Value;

use crate::inject::text::Message;
use node::Node;

/// Where the parts of a document are.
#[derive(Debug)]
pub(super) struct YamlDocument {
    root: Node,
}

impl YamlDocument {
    /// The line of the part at this JSON Pointer, or of the nearest part around it.
    pub(super) fn line(&self, pointer: &str) -> usize {
        let mut node = &self.root;
        for token in pointer.split('/').skip(1) {
            let Some(inner) = node.child(token) else { break };
            node = inner;
        }
        node.line
    }

    /// The line of the key of the part at this JSON Pointer; of an item, its own line.
    pub(super) fn line_of_key(&self, pointer: &str) -> usize {
        let member = pointer.rsplit_once('/').and_then(|(around, token)| self.node(around)?.member(token));
        member.map_or_else(|| self.line(pointer), |(key, _)| key.line)
    }

    /// Whether the part at this JSON Pointer is a block scalar with `|`, whose lines are those of the file.
    pub(super) fn is_literal(&self, pointer: &str) -> bool {
        self.node(pointer).is_some_and(|node| node.is_literal)
    }

    fn node(&self, pointer: &str) -> Option<&Node> {
        pointer.split('/').skip(1).try_fold(&self.root, |node, token| node.child(token))
    }
}

/// Why a text cannot be read.
#[derive(Debug)]
pub(super) struct YamlProblem {
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    pub message: Message,
}

impl fmt::Display for YamlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// All documents of the text but empty ones with their values, or all problems.
pub(super) fn read(text: &str) -> Result<Vec<(YamlDocument, Value)>, Vec<YamlProblem>> {
    let (nodes, syntax) = node::nodes(text);
    let mut problems = Vec::new();
    let mut documents = Vec::with_capacity(nodes.len());
    for root in nodes {
        let value = value::of(&root, &mut problems);
        // A document of nothing but comments, or of `null`.
        if !value.is_null() || !root.is_plain() {
            documents.push((YamlDocument { root }, value));
        }
    }
    problems.extend(syntax);
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

/// The comments of a text, in their order.
pub(super) fn comments(text: &str) -> Vec<String> {
    node::comments(text)
}

/// The bytes of a node in the text.
type Span = Range<usize>;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workload::difference::steps;

    /// The text after the change, without a look at whether it is right.
    fn edited(text: &str, after: &Value) -> Option<String> {
        let documents = read(text).expect("YAML");
        let (document, before) = &documents[0];
        edit::apply(text, edit::edits(text, document, &steps(before, after))?)
    }

    #[test]
    fn each_change_is_made_in_the_text() {
        for (text, after, expected) in [
            ("a: 1 # one\n", json!({"a": 1, "b": 2}), "a: 1 # one\nb: 2\n"),
            ("a: 1", json!({"a": 1, "b": [2]}), "a: 1\nb:\n- 2"),
            ("a: 1\nb: 2\nc: 3\n", json!({"a": 1, "c": 3}), "a: 1\nc: 3\n"),
            ("a: 1\nb: 2", json!({"a": 1}), "a: 1"),
            ("a: # none\n", json!({"a": {"b": 1}}), "a: # none\n  b: 1\n"),
            ("a: # none\n  b: 1\n", json!({"a": null}), "a: # none\n"),
            ("a: # none\n  # below\n  b: 1 # beside\n", json!({"a": [2]}), "a: # none\n  # below\n- 2 # beside\n"),
            ("a: {}\nb: 1\n", json!({"a": {"b": "x"}, "b": 1}), "a:\n  b: x\nb: 1\n"),
            ("a: [1]\n", json!({"a": [0, 1, 2]}), "a: [0, 1, 2]\n"),
            ("a: [0, 1, 2]\n", json!({"a": [1]}), "a: [1]\n"),
            ("{a: 1}\n", json!({"a": 1, "b": [1, {"c": 2}]}), "{a: 1, \"b\": [1, {\"c\": 2}]}\n"),
            ("{a: 1, b: 2}\n", json!({"b": 2}), "{b: 2}\n"),
            ("a: ~\n", json!({"a": "x"}), "a: x\n"),
            ("a: 'x' # why\n", json!({"a": 5}), "a: 5 # why\n"),
            ("a:\n# first\n- 1\n# second\n- 2\n", json!({"a": [1, 7, 2]}), "a:\n# first\n- 1\n- 7\n# second\n- 2\n"),
            ("a:\n  - 1\n  - 2\n", json!({"a": [2, 3]}), "a:\n  - 2\n  - 3\n"),
            ("a:\r\n- b\r\n", json!({"a": ["b", "c"]}), "a:\r\n- b\r\n- c\r\n"),
            ("a: 1\n---\nb: 1\n", json!({"a": 1, "c": "\n"}), "a: 1\nc: |+\n\n---\nb: 1\n"),
            ("- a: 1\n  b: 2\n", json!([{"a": 1, "b": 2, "c": 3}]), "- a: 1\n  b: 2\n  c: 3\n"),
        ] {
            assert_eq!(edited(text, &after).as_deref(), Some(expected), "{text:?}");
            let read = read(expected).expect("YAML");
            assert_eq!(read[0].1, after, "{expected:?}");
        }
    }

    #[test]
    fn shapes_that_are_not_understood_are_not_guessed() {
        for (text, after) in [
            ("a: &x {b: 1}\nc: *x\n", json!({"a": {"b": 1}, "c": {"b": 1, "d": 2}})),
            ("- a: 1\n  b: 2\n", json!([{"b": 2}])),
            ("a: &x\n  b: 1\nc:\n  <<: *x\n", json!({"a": {"b": 1}, "c": {"b": 2}})),
        ] {
            assert_eq!(edited(text, &after), None, "{text:?}");
        }
    }

    fn values(text: &str) -> Vec<Value> {
        read(text).expect("YAML").into_iter().map(|(_, value)| value).collect()
    }

    fn problems(text: &str) -> Vec<String> {
        read(text).expect_err("a problem").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_are_those_of_kubectl() {
        let text = "a: on\nb: 0644\nc: 4e10243\nd: \"1\"\ne:\nf: !!str 1\ng: !!binary aGk=\nh: !x 1\n9000: 1\ntrue: 2\n1.5: 3\n";
        let expected = json!({"a": true, "b": 420, "c": "4e10243", "d": "1", "e": null, "f": "1", "g": "hi", "h": "1",
            "9000": 1, "true": 2, "1.5": 3});
        assert_eq!(values(text), [expected]);
        assert_eq!(values("a: |\n  hello"), [json!({"a": "hello"})]);
        assert_eq!(values("a: |\n  hello\n"), [json!({"a": "hello\n"})]);
        assert_eq!(values("a: |+\n  hello\n\n"), [json!({"a": "hello\n\n"})]);
        assert_eq!(values("a: >\n  b\n  c"), [json!({"a": "b c"})]);
        assert_eq!(values("a: |\n  hello\n  "), [json!({"a": "hello\n"})]);
        assert_eq!(values("a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n"), [json!({"a": {"b": 1}, "c": {"b": 1, "d": 2}})]);
        assert_eq!(
            values("a: &x {b: 1}\ne: &y {b: 2, c: 2}\nf: {b: 3, <<: [*x, *y]}\n"),
            [json!({"a": {"b": 1}, "e": {"b": 2, "c": 2}, "f": {"b": 1, "c": 2}})]
        );
        for empty in ["", "---\n", "---\n---\n", "# nothing\n", "~\n", "--- # a\n...\n"] {
            assert_eq!(values(empty), [Value::Null; 0], "{empty:?}");
        }
    }

    #[test]
    fn problems_are_all_named_with_their_places() {
        assert_eq!(problems("a: 1\na: 2\n---\nb: 1\nb: 2\n"), ["2:1: duplicate key \"a\"", "5:1: duplicate key \"b\""]);
        assert_eq!(problems("a: .inf\n~: 1\n[a]: 2\n").len(), 3);
        assert_eq!(problems("a: 1\n\tb: 2\n"), ["1:4: a tab does not indent YAML; use spaces"]);
        assert_eq!(problems("a: *x\n"), ["1:4: the alias names no anchor before it"]);
        assert_eq!(problems("a: &x [*x]\n"), ["1:8: an anchor may not contain itself"]);
        assert!(
            problems(&format!("{}1{}", "[".repeat(101), "]".repeat(101)))[0].contains("nested more than 100 levels")
        );
        let bomb = (1..9).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
            let items = vec![format!("*a{}", level - 1); 9].join(", ");
            text + &format!("a{level}: &a{level} [{items}]\n")
        });
        let problems = problems(&bomb);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].ends_with("the aliases of the document expand to too much"), "{problems:?}");
    }

    #[test]
    fn parts_have_lines() {
        let text = "# c\na: 1\nitems:\n- x: 1\n\n-\n  y: 2\n---\nb: 1\n";
        let documents = read(text).expect("YAML");
        let lines = ["", "/items", "/items/0", "/items/1/y", "/items/9", "/nope"];
        assert_eq!(lines.map(|pointer| documents[0].0.line(pointer)), [2, 4, 4, 7, 4, 2]);
        assert_eq!(documents[1].0.line(""), 9);
        let texts = &read("a: >\n\n  b\nc:\n  - |\n    d\ne: |-\n  f\n").expect("YAML")[0].0;
        let found = ["/a", "/c/0", "/e", "/f"].map(|pointer| (texts.line_of_key(pointer), texts.is_literal(pointer)));
        assert_eq!(found, [(1, false), (6, true), (7, true), (1, false)]);
    }
}
