//! Writes files of YAML with some of their objects changed.
//!
//! A file without a change comes out byte for byte. In the others the change is made in the text: all
//! other documents, and comments, order and quotes of the changed ones stay.
//! Invariant: the text reads back as exactly the values that it must have. A document in which that
//! cannot be done is written anew, and a line on stderr says so.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::Value;

use super::documents::{InputDocument, InputFile, Source};
use super::output;
use super::report::Report;
use super::yaml::edit::{self, TextEdit};
use super::yaml::{self, YamlDocument};
use crate::workload::difference;

/// A file and what becomes of its objects.
pub(super) struct ChangedFile {
    pub file: InputFile,
    /// The new values of objects that change, by their position in the file.
    pub changes: BTreeMap<usize, Value>,
}

impl ChangedFile {
    /// The value of a document after the change.
    pub(super) fn after<'a>(&'a self, position: usize, document: &'a InputDocument) -> &'a Value {
        self.changes.get(&position).unwrap_or(&document.value)
    }

    /// All values after the change.
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.file.documents.iter().enumerate().map(|(position, document)| self.after(position, document))
    }

    fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }
}

/// What a file becomes.
struct Written {
    bytes: Vec<u8>,
    /// Names of the objects that lost their comments.
    written_anew: Vec<String>,
}

/// A unified diff of the YAML of each object that changes.
pub(super) fn diff(files: &[ChangedFile], coloured: bool) -> anyhow::Result<String> {
    let mut text = String::new();
    for file in files {
        for (position, after) in &file.changes {
            if let Some(document) = file.file.documents.get(*position) {
                output::diff_object(&mut text, &document.title(), &document.value, after, coloured)?;
            }
        }
    }
    Ok(text)
}

/// The files one after the other as one stream.
pub(super) fn yaml(files: &[ChangedFile], report: &mut Report) -> anyhow::Result<Vec<u8>> {
    // JSON as it was can only stand beside other JSON: a reader tells the format by the first byte.
    let keeps_json = files.iter().all(|file| file.file.is_json() && !file.is_changed());
    let mut stream = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let written = write(file, keeps_json, index > 0, index + 1 < files.len())?;
        if index > 0 {
            separate(&mut stream, &written.bytes, keeps_json);
        }
        stream.extend_from_slice(&written.bytes);
        for object in written.written_anew {
            let why = "the change does not fit into its text; the document is written anew, without comments";
            report.info(format!("{object}: {why}"));
        }
    }
    Ok(stream)
}

/// Ends a document before the next file, unless that begins with a marker of its own.
fn separate(stream: &mut Vec<u8>, next: &[u8], is_json: bool) {
    if !stream.is_empty() && !stream.ends_with(b"\n") {
        stream.push(b'\n');
    }
    let begins_document = next.starts_with(b"---") || next.starts_with(b"...");
    match next.first() {
        Some(b'%') => stream.extend_from_slice(b"...\n"),
        _ if begins_document || is_json || stream.is_empty() => {}
        _ => stream.extend_from_slice(b"---\n"),
    }
}

fn write(file: &ChangedFile, keeps_json: bool, is_later: bool, is_followed: bool) -> anyhow::Result<Written> {
    let input = &file.file;
    let is_alone = !is_later && !is_followed;
    if input.is_json() && !keeps_json {
        let bytes = anew(file)?.into_bytes();
        return Ok(Written { bytes, written_anew: Vec::new() });
    }
    if !file.is_changed() && is_alone {
        return Ok(Written { bytes: input.bytes.clone(), written_anew: Vec::new() });
    }
    let (mut text, mut written_anew) = if file.is_changed() { edited(file)? } else { (input.text.clone(), Vec::new()) };
    if is_followed && !text.ends_with('\n') && !keeps_json && !reads_as(&format!("{text}\n"), file) {
        // A line break at the end would become part of its last value.
        text = anew(file)?;
        written_anew = input.documents.iter().map(|document| input.title(document)).collect();
    }
    // Only the first bytes of a stream can be a byte order mark.
    if input.has_byte_order_mark() && !is_later {
        text.insert(0, '\u{feff}');
    }
    Ok(Written { bytes: text.into_bytes(), written_anew })
}

/// The text with all changes, and the objects that were written anew for it.
fn edited(file: &ChangedFile) -> anyhow::Result<(String, Vec<String>)> {
    let input = &file.file;
    let edits = changed(file).map(|(document, source, after)| edits_of(&input.text, document, source, after));
    if let Some(text) = edits.collect::<Option<Vec<_>>>().and_then(|edits| apply(&input.text, edits))
        && reads_as(&text, file)
    {
        return Ok((text, Vec::new()));
    }
    let (mut edits, mut written_anew) = (Vec::new(), Vec::new());
    for (position, (document, source, after)) in file.changes.keys().zip(changed(file)) {
        match edits_of(&input.text, document, source, after).filter(|_| fits(file, *position)) {
            Some(found) => edits.push(found),
            None => {
                edits.extend(edit::rewrite(&input.text, source, after).map(|edit| vec![edit]));
                written_anew.push(input.title(document));
            }
        }
    }
    match apply(&input.text, edits).filter(|text| reads_as(text, file)) {
        Some(text) => Ok((text, written_anew)),
        None => Ok((anew(file)?, input.documents.iter().map(|document| input.title(document)).collect())),
    }
}

/// Whether the change of this one document can be made in the text.
fn fits(file: &ChangedFile, position: usize) -> bool {
    let input = &file.file;
    let Some(document) = input.documents.get(position) else { return false };
    let (Source::Yaml(source), after) = (&document.source, file.after(position, document)) else { return false };
    let text = edits_of(&input.text, document, source, after).and_then(|edits| apply(&input.text, vec![edits]));
    let values = text.and_then(|text| yaml::read(&text).ok());
    values.is_some_and(|values| {
        let expected = input.documents.iter().enumerate();
        let expected = expected.map(|(other, document)| if other == position { after } else { &document.value });
        values.iter().map(|(_, value)| value).eq(expected)
    })
}

fn changed(file: &ChangedFile) -> impl Iterator<Item = (&InputDocument, &YamlDocument, &Value)> {
    file.changes.iter().filter_map(|(position, after)| {
        let document = file.file.documents.get(*position)?;
        let Source::Yaml(source) = &document.source else { return None };
        Some((document, source, after))
    })
}

fn edits_of(text: &str, document: &InputDocument, source: &YamlDocument, after: &Value) -> Option<Vec<TextEdit>> {
    edit::edits(text, source, &difference::steps(&document.value, after))
}

fn apply(text: &str, edits: Vec<Vec<TextEdit>>) -> Option<String> {
    edit::apply(text, edits.into_iter().flatten().collect())
}

fn reads_as(text: &str, file: &ChangedFile) -> bool {
    yaml::read(text).is_ok_and(|documents| documents.iter().map(|(_, value)| value).eq(file.values()))
}

/// All documents without their text.
fn anew(file: &ChangedFile) -> anyhow::Result<String> {
    output::yaml(&file.values().collect::<Vec<_>>()).with_context(|| file.file.origin.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cli::documents;

    fn changed_file(text: &str, after: &[Value]) -> ChangedFile {
        let file = documents::input_file("a.yaml".to_owned(), text.as_bytes().to_vec(), "outrigger.dev");
        let file = file.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let both = file.documents.iter().zip(after).enumerate();
        let changes = both.filter(|(_, (document, after))| document.value != **after);
        let changes = changes.map(|(position, (_, after))| (position, after.clone())).collect();
        ChangedFile { file, changes }
    }

    fn written(files: &[ChangedFile]) -> String {
        let bytes = yaml(files, &mut Report::default()).expect("plain data");
        String::from_utf8(bytes).expect("text")
    }

    fn values(text: &str) -> Vec<Value> {
        let documents = yaml::read(text).unwrap_or_else(|problems| panic!("{}\n{text}", problems[0]));
        documents.into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn a_document_that_does_not_take_the_change_is_written_anew_and_no_other() {
        let text = "# one\n---\na: &x {b: 1} # kept\n---\n# two\na: &x {b: 1}\nc: *x\n---\n# three\na: 1\n";
        let after = [json!({"a": {"b": 1}}), json!({"a": {"b": 1}, "c": {"b": 2}}), json!({"a": 2})];
        let file = changed_file(text, &after);
        let expected = "# one\n---\na: &x {b: 1} # kept\n---\n# two\na:\n  b: 1\nc:\n  b: 2\n---\n# three\na: 2\n";
        assert_eq!(written(&[file]), expected);
        let (_, anew) = edited(&changed_file(text, &after)).expect("plain data");
        assert_eq!(anew, ["a.yaml:6: object"]);
    }

    #[test]
    fn files_follow_each_other_as_documents() {
        let unchanged = |text: &str| changed_file(text, &[]);
        for (texts, expected) in [
            (&["a: 1\n", "b: 1\n"][..], "a: 1\n---\nb: 1\n"),
            (&["a: 1", "---\nb: 1\n"], "a: 1\n---\nb: 1\n"),
            (&["# only a comment", "b: 1\n"], "# only a comment\n---\nb: 1\n"),
            (&["a: 1\n", "%YAML 1.1\n---\nb: 1\n"], "a: 1\n...\n%YAML 1.1\n---\nb: 1\n"),
            (&["\u{feff}a: 1\n", "\u{feff}b: 1\n"], "\u{feff}a: 1\n---\nb: 1\n"),
            (&["a: |\n  x", "b: 1\n"], "a: x\n---\nb: 1\n"),
            (&["{\"a\": 1}", "{\"b\": 1}\n"], "{\"a\": 1}\n{\"b\": 1}\n"),
            (&["{\"a\": 1}\n", "b: 1\n"], "a: 1\n---\nb: 1\n"),
        ] {
            let files: Vec<ChangedFile> = texts.iter().map(|text| unchanged(text)).collect();
            assert_eq!(written(&files), expected, "{texts:?}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof!["[ \\t\\n#:'\"{}\\[\\]a0-]{0,8}", "[a-z]{1,4}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3).prop_map(Value::from),
            text.prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 16, 4, |inner| {
            let key = prop_oneof!["[ab]", Just("name".to_owned()), "[ #:a0-]{0,3}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// A text of the value, in block or in flow style.
    fn text_of(value: &Value, is_flow: bool) -> String {
        if is_flow { format!("---\n{value}\n") } else { output::yaml_document(value).expect("plain data") }
    }

    proptest! {
        /// Whatever changes: the text says what it must, and comments beside other documents stay.
        #[test]
        fn a_changed_file_reads_back_as_the_new_values(
            before in any_json(), after in any_json(), other in any_json(), is_flow in any::<bool>(),
        ) {
            let (before, after, other) = (json!({"k": before}), json!({"k": after}), json!({"k": other}));
            let text = format!("{}---\n# kept\n{}", text_of(&before, is_flow), text_of(&other, false));
            prop_assume!(values(&text) == [before.clone(), other.clone()]);
            let file = changed_file(&text, &[after.clone(), other.clone()]);
            let written = written(&[file]);
            prop_assert_eq!(values(&written), [after, other], "{}\n{}", text, written);
            prop_assert!(written.contains("---\n# kept\n"), "{}\n{}", text, written);
        }
    }
}
