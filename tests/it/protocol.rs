//! The protocol checklist: every row of `tests/testdata/protocol/*.yaml`, over real TLS. A row is
//! added without writing Rust.
//!
//! The notation is explained beside the rows. Not here: what takes time, or more than one
//! connection.
//! Invariant: all failing rows are reported.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{Client, Response, TestServer, pod, review, template};

/// Fewer rows than these mean that the folder was not found.
const AT_LEAST: usize = 100;
const HEAD: &str =
    "POST /mutate?timeout=5s HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: {length}";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    head: Option<String>,
    #[serde(default)]
    body: Vec<Piece>,
    #[serde(default)]
    raw: Vec<Piece>,
    answers: Vec<Answer>,
    then: Then,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    Repeat { repeat: String, times: usize },
    Fill { fill: char, to: usize },
    Hex { hex: String },
    Chunked { chunked: Vec<Piece>, size: usize },
    Review { review: Change },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default)]
    set: BTreeMap<String, Value>,
    #[serde(default)]
    remove: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    status: u16,
    #[serde(default)]
    header: BTreeMap<String, Option<String>>,
    text: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Then {
    Open,
    Closed,
}

#[test]
fn every_row_gets_its_expected_responses() {
    let server = TestServer::start([template("proxy")]);
    let rows = rows();
    assert!(rows.len() >= AT_LEAST, "only {} rows found", rows.len());
    let mut names = BTreeSet::new();
    let mut failing = String::new();
    for row in &rows {
        assert!(names.insert(&row.name), "{:?} stands twice", row.name);
        if let Err(problem) = check(row, &mut server.connect()) {
            failing += &format!("{}: {problem}\n", row.name);
        }
    }
    assert!(failing.is_empty(), "\n{failing}");
    // Whatever was sent, nothing has harmed the server.
    assert_eq!(server.post(&bytes(&[Piece::Review { review: Change::none() }])).status, 200);
}

fn rows() -> Vec<Row> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/protocol");
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder of rows") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&path).expect("the rows are readable");
            let read: Vec<Row> =
                serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            rows.extend(read);
        }
    }
    rows
}

fn check(row: &Row, client: &mut Client) -> Result<(), String> {
    let sent = client.send(&request(row));
    for expected in &row.answers {
        let answer = client.receive_any().map_err(|error| format!("no answer: {error}; sending: {sent:?}"))?;
        compare(&answer, expected)?;
    }
    match row.then {
        Then::Open => {
            let again = [Piece::Review { review: Change::none() }];
            client.send(&head_and_body(HEAD, &bytes(&again))).map_err(|error| format!("not open: {error}"))?;
            let answer = client.receive_any().map_err(|error| format!("not open: {error}"))?;
            if answer.status == 200 { Ok(()) } else { Err(format!("then {}: {}", answer.status, answer.text())) }
        }
        Then::Closed => match client.end() {
            Ok(()) => Ok(()),
            // An end without close_notify is still an end in order.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(format!("not closed in order: {error}")),
        },
    }
}

fn compare(answer: &Response, expected: &Answer) -> Result<(), String> {
    if answer.status != expected.status {
        return Err(format!("{}, expected {}: {}", answer.status, expected.status, answer.text()));
    }
    for (name, part) in &expected.header {
        let found = answer.header(name);
        let agrees = match (found, part) {
            (Some(value), Some(part)) => value.contains(part),
            (found, None) => found.is_none(),
            (None, Some(_)) => false,
        };
        if !agrees {
            return Err(format!("{name}: {found:?}, expected {part:?}"));
        }
    }
    match &expected.text {
        Some(text) if !answer.text().contains(text) => Err(format!("expected {text:?} in {:?}", answer.text())),
        _ => Ok(()),
    }
}

fn request(row: &Row) -> Vec<u8> {
    if row.raw.is_empty() {
        head_and_body(row.head.as_deref().unwrap_or(HEAD), &bytes(&row.body))
    } else {
        assert!(row.head.is_none() && row.body.is_empty(), "{}: raw, or head and body", row.name);
        bytes(&row.raw)
    }
}

fn head_and_body(head: &str, body: &[u8]) -> Vec<u8> {
    let head = head.trim_end().replace('\n', "\r\n").replace("{length}", &body.len().to_string()) + "\r\n\r\n";
    let head = match head.split_once("{fill ") {
        Some((before, rest)) => {
            let (size, after) = rest.split_once('}').expect("a closing brace");
            let size: usize = size.parse().expect("a number");
            format!("{before}{}{after}", "x".repeat(size - before.len() - after.len()))
        }
        None => head,
    };
    [head.as_bytes(), body].concat()
}

fn bytes(pieces: &[Piece]) -> Vec<u8> {
    let mut all = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => all.extend_from_slice(text.as_bytes()),
            Piece::Repeat { repeat, times } => all.extend_from_slice(repeat.repeat(*times).as_bytes()),
            Piece::Fill { fill, to } => {
                let missing = to.checked_sub(all.len()).expect("less than is to be filled");
                all.extend_from_slice(fill.to_string().repeat(missing).as_bytes());
            }
            Piece::Hex { hex } => all.extend(
                (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits")),
            ),
            Piece::Chunked { chunked, size } => {
                for chunk in bytes(chunked).chunks(*size) {
                    all.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    all.extend_from_slice(&[chunk, b"\r\n"].concat());
                }
            }
            Piece::Review { review } => all.extend_from_slice(review.apply().to_string().as_bytes()),
        }
    }
    all
}

impl Change {
    fn none() -> Self {
        Self { set: BTreeMap::new(), remove: Vec::new() }
    }

    fn apply(&self) -> Value {
        let mut review = review(&pod(&json!({})));
        let parent = |pointer: &str| {
            let (parent, key) = pointer.rsplit_once('/').unwrap_or_else(|| panic!("{pointer:?} is no pointer"));
            (parent.to_owned(), key.to_owned())
        };
        for (pointer, value) in &self.set {
            let (parent, key) = parent(pointer);
            let object = review.pointer_mut(&parent).and_then(Value::as_object_mut);
            object.unwrap_or_else(|| panic!("{parent:?} is no object")).insert(key, value.clone());
        }
        for pointer in &self.remove {
            let (parent, key) = parent(pointer);
            let removed = review.pointer_mut(&parent).and_then(Value::as_object_mut).and_then(|map| map.remove(&key));
            assert!(removed.is_some(), "{pointer:?} is not there");
        }
        review
    }
}
