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
