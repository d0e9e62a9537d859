//! Reads YAML or JSON text into JSON values with the line and column of each key and scalar.
//!
//! Types are Kubernetes': YAML 1.1 booleans (`on`, `yes`), octal `0644`, `<<` merges. The content
//! is not checked here.
//!
//! Invariants: an integer never passes through a float; duplicate keys are always reported; a text
//! of bounded size yields a tree of bounded size and depth, aliases included.

mod builder;
mod reader;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::inject::text::{FieldError, FieldPath, Message, PathSegment, Spot};
use builder::CharacterIndex;

/// Maximum size of a template text for [`parse`], in bytes; the caller checks it.
pub(crate) const MAX_TEMPLATE_BYTES: usize = 256 * 1024;

/// Line and column in a text; both are 0 if unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
}

/// One error that makes a document unreadable or ambiguous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseProblem {
    pub place: Place,
    /// The field concerned; the root where the text cannot be read at all.
    pub path: FieldPath,
    /// One line.
    pub message: Message,
}

/// A document and the places of its parts.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// The content; for duplicate keys the first value.
    pub value: Value,
    /// Duplicate keys, keys that are no strings, integers beyond 64 bits: the document must not be
    /// used, but the rest of it can still be checked, so that all its problems are listed at once.
    pub problems: Vec<ParseProblem>,
    place: Place,
    places: Places,
}

#[derive(Clone, Debug)]
enum Places {
    Scalar(ScalarPlaces),
    List(Vec<(Place, Places)>),
    Map(BTreeMap<String, (Place, Places)>),
}

/// Places in a scalar.
#[derive(Clone, Debug, Default)]
struct ScalarPlaces {
    value: Place,
    /// Those of each `${` of a string; empty if the text writes it in another way, such as `\x24{`.
    expressions: Vec<Place>,
}

impl Document {
    /// A document that was no text with lines: its parts have no places.
    pub(crate) fn of_value(value: Value) -> Self {
        let places = Places::Scalar(ScalarPlaces::default());
        Self { value, problems: Vec::new(), place: Place::default(), places }
    }

    /// Line and column of an error.
    pub(crate) fn place_of(&self, error: &FieldError) -> Place {
        match (error.spot, self.find(&error.path)) {
            (Spot::Value, (_, Places::Scalar(places))) => places.value,
            (Spot::Expression(index), (place, Places::Scalar(places))) => {
                places.expressions.get(index).copied().unwrap_or(place)
            }
            (_, (place, _)) => place,
        }
    }

    /// Line and column of a field: of a map member's key, or of a list element's content. If the
    /// document lacks the path, those of its nearest ancestor.
    pub(crate) fn place(&self, path: &FieldPath) -> Place {
        self.find(path).0
    }

    fn find(&self, path: &FieldPath) -> (Place, &Places) {
        let (mut place, mut places) = (self.place, &self.places);
        for step in path.steps() {
            let inner = match (step, places) {
                (PathSegment::Child(name) | PathSegment::Key(name), Places::Map(members)) => members.get(&**name),
                (PathSegment::Index(index), Places::List(items)) => items.get(*index),
                _ => None,
            };
            let Some((inner_place, inner_places)) = inner else { break };
            (place, places) = (*inner_place, inner_places);
        }
        (place, places)
    }
}

/// Reads all documents of a template source; empty ones are left out.
///
/// A document with a wrong value does not hide the others. Reading stops at a syntax error.
pub(crate) fn parse(text: &str) -> Vec<Result<Document, ParseProblem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = CharacterIndex::new(text);
    reader::nodes(text).into_iter().map(|node| node.map(|node| builder::document(node, &source))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::reader::MAX_DEPTH;
    use super::*;

    fn one(text: &str) -> Document {
        let mut documents = parse(text);
        assert_eq!(documents.len(), 1, "{text}");
        documents.remove(0).unwrap()
    }

    fn value(text: &str) -> Value {
        let document = one(text);
        assert_eq!(document.problems, [], "{text}");
        document.value
    }

    /// All problems as `line:column: message`.
    fn problems(text: &str) -> Vec<String> {
        let show =
            |problem: ParseProblem| format!("{}:{}: {}", problem.place.line, problem.place.column, problem.message);
        parse(text)
            .into_iter()
            .flat_map(|document| document.map_or_else(|problem| vec![problem], |document| document.problems))
            .map(show)
            .collect()
    }

    fn at(document: &Document, path: &FieldPath) -> (usize, usize) {
        let place = document.place(path);
        (place.line, place.column)
    }

    const TEMPLATE: &str = "\
# a comment
kind: Template
spec:
  sidecars:
  - name: a
    image: nginx
  - name: b
    env: [{name: X, value: \"1\"}]
";

    #[test]
    fn every_key_and_item_has_its_line_and_column() {
        let document = one(TEMPLATE);
        let root = FieldPath::root();
        let sidecars = root.child("spec").child("sidecars");
        assert_eq!(at(&document, &root), (2, 1));
        assert_eq!(at(&document, &root.child("kind")), (2, 1));
        assert_eq!(at(&document, &sidecars), (4, 3));
        assert_eq!(at(&document, &sidecars.index(0)), (5, 5));
        assert_eq!(at(&document, &sidecars.index(0).child("image")), (6, 5));
        assert_eq!(at(&document, &sidecars.index(1).child("env").index(0)), (8, 11));
        assert_eq!(at(&document, &sidecars.index(1).child("env").index(0).child("value")), (8, 21));
    }

    #[test]
    fn absent_paths_have_the_line_and_column_of_their_nearest_ancestor() {
        let document = one(TEMPLATE);
        let sidecars = FieldPath::root().child("spec").child("sidecars");
        assert_eq!(at(&document, &sidecars.index(1).child("image")), (7, 5));
        assert_eq!(at(&document, &sidecars.index(9).child("image")), (4, 3));
        assert_eq!(at(&document, &sidecars.child("x")), (4, 3));
    }

    #[test]
    fn columns_count_characters() {
        let document = one("{\"ключ\": 1, b: 2}");
        assert_eq!(at(&document, &FieldPath::root().child("b")), (1, 13));
        let document = one("\u{feff}a: 1\nb: 2\n");
        assert_eq!(at(&document, &FieldPath::root().child("a")), (1, 1));
    }

    /// The places of all `${` of the value of `a`.
    fn expressions(text: &str) -> Vec<(usize, usize)> {
        let document = one(text);
        let path = FieldPath::root().child("a");
        let count = document.value["a"].as_str().unwrap().matches("${").count();
        let error = |index| FieldError { spot: Spot::Expression(index), ..FieldError::new(path.clone(), "") };
        let places = (0..count).map(|index| document.place_of(&error(index)));
        places.map(|place| (place.line, place.column)).collect()
    }

    #[test]
    fn every_expression_of_a_string_has_its_line_and_column() {
        for (text, expected) in [
            ("a: ${x} ${y}", vec![(1, 4), (1, 9)]),
            ("b: 1\na: \"é${x} ${y}\"", vec![(2, 6), (2, 11)]),
            ("a: 'it''s ${x}'", vec![(1, 11)]),
            ("a: |\n  one\n  ${x} ${y}\n\n  é ${z}\nb: 1\n", vec![(3, 3), (3, 8), (5, 5)]),
            ("a: |2-\n  one\n   ${x}\n", vec![(3, 4)]),
            ("a: >-\n  one\n  two ${x}\n  three ${y}", vec![(3, 7), (4, 9)]),
            ("a: one\n  ${x}\n  ${y}\n", vec![(2, 3), (3, 3)]),
            ("a: \"one\n  ${x} \\\n  ${y}\"\n", vec![(2, 3), (3, 3)]),
            ("a: |\r\n  one\r\n  ${x}\r\n", vec![(3, 3)]),
            ("a: &x ${x}\nb: *x\n", vec![(1, 7)]),
            ("\u{feff}{\"a\": \"${x}\"}", vec![(1, 8)]),
            // An escape hides the characters, so the place is that of the field.
            ("a: \"\\x24{x} ${y}\"", vec![(1, 1), (1, 1)]),
        ] {
            assert_eq!(expressions(text), expected, "{text}");
        }
    }

    #[test]
    fn documents_keep_their_order_and_lines_and_empty_ones_are_skipped() {
        let documents: Vec<Document> =
            parse("# only\n---\n---\na: 1\n---\n# none\n---\nb: 2\n...\n").into_iter().map(Result::unwrap).collect();
        assert_eq!(
            documents.iter().map(|document| &document.value).collect::<Vec<_>>(),
            [&json!({"a": 1}), &json!({"b": 2})]
        );
        assert_eq!(at(&documents[1], &FieldPath::root().child("b")), (8, 1));
        assert!(parse("").is_empty());
        assert!(parse("# nothing\n").is_empty());
    }

    #[test]
    fn scalars_are_typed_as_kubernetes_does() {
        let text = "{a: on, b: yes, c: 'no', d: 0644, e: 1_000, f: 0x1F, g: 1.5, h: ~, i: 1e3, j: \"8080\", k: 2001-01-01, l: 1Gi}";
        let expected = json!({"a": true, "b": true, "c": "no", "d": 420, "e": 1000, "f": 31, "g": 1.5, "h": null, "i": 1000.0,
            "j": "8080", "k": "2001-01-01", "l": "1Gi"});
        assert_eq!(value(text), expected);
    }

    #[test]
    fn block_scalars_keep_their_text() {
        assert_eq!(value("a: |\n  x\n  ${y}\nb: >-\n  p\n  q\n"), json!({"a": "x\n${y}\n", "b": "p q"}));
    }

    #[test]
    fn integers_are_exact_up_to_64_bits_and_refused_beyond() {
        assert_eq!(
            value("a: 9007199254740993\nb: 18446744073709551615\nc: -9223372036854775808\n").to_string(),
            r#"{"a":9007199254740993,"b":18446744073709551615,"c":-9223372036854775808}"#
        );
        assert_eq!(
            problems("é: 1\n---\na: 18446744073709551616\nb: 1e30\nc: -9223372036854775809"),
            [
                "3:4: the integer \"18446744073709551616\" does not fit into 64 bits",
                "5:4: the integer \"-9223372036854775809\" does not fit into 64 bits",
            ]
        );
    }

    #[test]
    fn all_duplicate_keys_are_listed() {
        assert_eq!(
            problems("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n"),
            ["4:3: duplicate key \"c\"", "5:1: duplicate key \"a\""]
        );
        assert_eq!(problems("{\"a\": 1, \"a\": 2}"), ["1:10: duplicate key \"a\""]);
        assert_eq!(problems("a: 1\n\"a\": 2\n"), ["2:1: duplicate key \"a\""]);
        assert_eq!(one("a: 1\na: 2\n").value, json!({"a": 1}));
    }

    #[test]
    fn keys_must_be_strings() {
        assert_eq!(
            problems("on: 1\n2: x\n~: y\n[a]: z\n"),
            [
                "1:1: the key \"on\" is read as a boolean; put it in quotes",
                "2:1: the key \"2\" is read as a number; put it in quotes",
                "3:1: the key \"~\" is read as null; put it in quotes",
                "4:1: a key must be a string, not a list; put text with brackets or braces in quotes",
            ]
        );
        assert_eq!(value("'on': 1\n\"2\": x\n"), json!({"on": 1, "2": "x"}));
    }

    #[test]
    fn aliases_and_merges_expand() {
        let text = "base: &base {cpu: 1, memory: 2}\nuse: *base\nmerged:\n  <<: *base\n  cpu: 3\nlist:\n  <<: [{x: 1}, {x: 2, z: 3}]\n";
        let document = one(text);
        assert_eq!(
            document.value,
            json!({"base": {"cpu": 1, "memory": 2}, "use": {"cpu": 1, "memory": 2},
            "merged": {"cpu": 3, "memory": 2}, "list": {"x": 1, "z": 3}})
        );
        assert_eq!(document.problems, []);
        let root = FieldPath::root();
        assert_eq!(at(&document, &root.child("use")), (2, 1));
        assert_eq!(at(&document, &root.child("use").child("memory")), (1, 22));
        assert_eq!(at(&document, &root.child("merged").child("cpu")), (5, 3));
        assert_eq!(problems("a:\n  <<: 7\n"), ["2:3: \"<<\" takes a map or a list of maps"]);
    }

    #[test]
    fn a_wrong_document_does_not_hide_the_next() {
        let documents = parse("a: !Secret x\n---\nb: 2\n");
        assert_eq!(documents.len(), 2);
        assert!(documents[0].is_err());
        assert_eq!(documents[1].as_ref().unwrap().value, json!({"b": 2}));
    }

    #[test]
    fn broken_syntax_is_one_line_with_its_place() {
        for (text, line) in [
            ("a: 1\n\tb: 2\n", 2),
            ("a: [1, 2\n", 2),
            ("a: b: c\n", 1),
            ("a: \"x\n", 2),
            ("a: *nope\n", 1),
            ("}", 1),
            ("a: 1\nb\n", 3),
        ] {
            let found = parse(text);
            let problem =
                found.iter().find_map(|document| document.as_ref().err()).unwrap_or_else(|| panic!("{text:?}"));
            assert!(
                !problem.message.to_string().is_empty() && !problem.message.to_string().contains('\n'),
                "{problem:?}"
            );
            assert!(problem.place.line >= 1 && problem.place.line <= line, "{text:?}: {problem:?}");
            assert!(!problem.message.to_string().contains("at line"), "{problem:?}");
        }
    }

    #[test]
    fn errors_about_limits_do_not_name_internals_of_the_reader() {
        assert_eq!(problems("a: &x [*x]"), ["1:8: an anchor may not contain itself"]);
        assert_eq!(problems("a: *x"), ["1:4: the alias names no anchor before it"]);
        assert_eq!(problems("a: .inf"), ["1:4: expected a finite number"]);
        assert!(problems(&bomb())[0].ends_with(": the aliases expand to more than 20000 keys, values and brackets"));
        assert_eq!(
            problems(&format!("{}{}", "[".repeat(40), "]".repeat(40))),
            ["1:33: lists and maps are nested more than 32 levels deep"]
        );
        for text in ["a:\n\tb: 1\n", "a:\n  b: 1\n\tc: 2\n", "a:\n- b\n\t- c: 1\n"] {
            assert!(problems(text)[0].ends_with(": a tab does not indent YAML; use spaces"), "{:?}", problems(text));
        }
        let aliases = format!("a: &a 1\nb: [{}1]\n", "*a, ".repeat(200));
        assert!(problems(&aliases)[0].ends_with(": more than 100 anchors or aliases"));
        assert!(problems(&format!("[{}1]", "1,".repeat(120_000)))[0].ends_with(": more than 100000 keys and values"));
    }

    #[test]
    fn messages_are_short() {
        assert!(problems(&format!("a: !{} b", "x".repeat(5000)))[0].chars().count() < 250);
        assert!(problems(&format!("{0}: 1\n{0}: 2", "x".repeat(500)))[0].chars().count() < 120);
    }

    #[test]
    fn documents_before_a_syntax_error_are_kept() {
        let documents = parse("a: 1\n---\nb: [\n");
        assert_eq!(documents[0].as_ref().unwrap().value, json!({"a": 1}));
        assert!(documents[1].is_err());
    }

    #[test]
    fn nul_is_refused() {
        assert_eq!(problems("a: 1\nb: é\0\n"), ["2:5: a NUL character is not allowed"]);
    }

    #[test]
    fn floats_that_json_does_not_have_are_refused() {
        assert!(parse("a: .nan\n")[0].is_err());
        assert!(parse("a: .inf\n")[0].is_err());
    }

    fn bomb() -> String {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let items = vec![format!("*a{}", level - 1); 9].join(", ");
            text += &format!("a{level}: &a{level} [{items}]\n");
        }
        text
    }

    #[test]
    fn exploding_anchors_are_refused() {
        let documents = parse(&bomb());
        assert!(documents.iter().any(Result::is_err));
    }

    #[test]
    fn depth_is_bounded() {
        for deep in ["[".repeat(10_000), "{a: ".repeat(10_000), format!("{}{}", "[".repeat(200), "]".repeat(200))] {
            assert!(parse(&deep).iter().any(Result::is_err));
        }
        let nested = |depth: usize| format!("{}1{}", "{a: ".repeat(depth), "}".repeat(depth));
        assert!(parse(&nested(MAX_DEPTH))[0].is_ok());
        assert!(parse(&nested(MAX_DEPTH + 1))[0].is_err());
    }

    #[test]
    fn the_largest_template_is_read_and_a_flood_of_nodes_is_not() {
        let mut large = "spec:\n  sidecars:\n".to_owned();
        while large.len() < MAX_TEMPLATE_BYTES - 40 {
            large += "  - {name: a, image: b}\n";
        }
        assert!(parse(&large)[0].is_ok());
        assert!(parse(&format!("[{}1]", "1,".repeat(MAX_TEMPLATE_BYTES / 2))).iter().any(Result::is_err));
    }

    #[test]
    fn templates_may_be_json_with_tabs() {
        assert_eq!(value("{\n\t\"a\": [\n\t\t\"b\\u00e9\\/\"\n\t]\n}\n"), json!({"a": ["bé/"]}));
    }
}
