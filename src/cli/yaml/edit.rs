//! Applies the steps of a difference to the text of a document.
//!
//! Invariant: the caller reads the result again and compares: a shape that is not understood here
//! costs the comments of one document, never its content.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Value};

use super::node::{Content, Node};
use super::tree::Lines;
use super::{Span, YamlDocument};
use crate::cli::output;
use crate::workload::difference::Step;

/// One replacement in a text.
#[derive(Debug)]
pub(in crate::cli) struct TextEdit {
    span: Span,
    new: String,
}

/// The edits that make these steps in the text of the document; `None` for a shape that is not
/// understood.
pub(in crate::cli) fn edits(text: &str, document: &YamlDocument, steps: &[Step]) -> Option<Vec<TextEdit>> {
    let editor = Editor { lines: Lines { text } };
    let mut edits = Vec::new();
    let mut steps = steps.iter().peekable();
    while let Some(step) = steps.next() {
        edits.push(match step {
            Step::Add { object, key, value } => {
                let mut members = Map::from_iter([(key.clone(), value.clone())]);
                while let Some(Step::Add { key, value, .. }) =
                    steps.next_if(|next| matches!(next, Step::Add { object: other, .. } if other == object))
                {
                    members.insert(key.clone(), value.clone());
                }
                editor.add(&document.root, object.as_str(), members)?
            }
            Step::Replace { at, value } => editor.replace(&document.root, at.as_str(), value)?,
            Step::Remove { at } => editor.remove(&document.root, at.as_str())?,
            Step::Insert { list, before, items } => editor.insert(&document.root, list.as_str(), *before, items)?,
        });
    }
    Some(edits)
}

/// The edit that writes the whole document anew, without comments.
pub(in crate::cli) fn rewrite(text: &str, document: &YamlDocument, value: &Value) -> Option<TextEdit> {
    let lines = Lines { text };
    let root = &document.root;
    let before = lines.before(root.span.start);
    let is_beside_marker = before.trim_start().starts_with("---");
    let start = if is_beside_marker { root.span.start } else { lines.start(root.span.start) };
    let end = lines.end(lines.content_end(root));
    let line_break = lines.line_break();
    let yaml = output::yaml_document(value).ok()?;
    let yaml = yaml.strip_suffix('\n').unwrap_or(&yaml).replace('\n', line_break);
    let new = if is_beside_marker { format!("{line_break}{yaml}") } else { yaml };
    Some(TextEdit { span: start..end, new })
}

/// The part of the text in which a member of a map stands, with what is beside it on its lines.
pub(in crate::cli) fn span_of(text: &str, document: &YamlDocument, at: &str) -> Option<Span> {
    let lines = Lines { text };
    let found = locate(&document.root, at)?;
    let Content::Map { is_flow, members } = &found.parent?.content else { return None };
    let (key, value) = members.get(found.position)?;
    let start = lines.colon_end(key)?;
    let end = lines.content_end(value).max(start);
    Some(start..if *is_flow { end } else { lines.end(end) })
}

/// The text with the edits; `None` if they overlap.
pub(in crate::cli) fn apply(text: &str, mut edits: Vec<TextEdit>) -> Option<String> {
    // Stable: edits at one place keep their order.
    edits.sort_by_key(|edit| edit.span.start);
    let mut result = String::with_capacity(text.len() + edits.iter().map(|edit| edit.new.len()).sum::<usize>());
    let mut done = 0;
    for edit in edits {
        result.push_str(text.get(done..edit.span.start)?);
        result.push_str(&edit.new);
        done = edit.span.end;
    }
    result.push_str(text.get(done..)?);
    Some(result)
}

struct Editor<'t> {
    lines: Lines<'t>,
}

/// A node with what is around it.
struct Located<'n> {
    node: &'n Node,
    parent: Option<&'n Node>,
    /// Position among the members or items of the parent.
    position: usize,
}

impl Editor<'_> {
    fn add(&self, root: &Node, object: &str, members: Map<String, Value>) -> Option<TextEdit> {
        let found = locate(root, object)?;
        match &found.node.content {
            Content::Map { is_flow: false, members: own } => {
                let (first, _) = own.first()?;
                let end = self.lines.end(self.lines.content_end(found.node));
                let yaml = self.block(&Value::Object(members), first.column - 1)?;
                Some(TextEdit { span: end..end, new: format!("{}{yaml}", self.lines.line_break()) })
            }
            Content::Map { is_flow: true, members: own } => match own.last() {
                Some(last) => self.add_to_flow(self.member_end(last), &flow_members(members)?),
                None => self.replace(root, object, &Value::Object(members)),
            },
            _ => None,
        }
    }

    fn insert(&self, root: &Node, list: &str, before: usize, items: &[Value]) -> Option<TextEdit> {
        let found = locate(root, list)?;
        let Content::List { is_flow, items: own } = &found.node.content else { return None };
        if *is_flow {
            let flow: Option<Vec<String>> = items.iter().map(flow).collect();
            let flow = flow?.join(", ");
            return match (own.get(before), own.last()) {
                (Some(next), _) => Some(TextEdit { span: next.span.start..next.span.start, new: format!("{flow}, ") }),
                (None, Some(last)) => self.add_to_flow(last.span.end, &flow),
                (None, None) => None,
            };
        }
        let (_, column) = self.lines.dash(own.first()?)?;
        let yaml = self.block(&Value::Array(items.to_vec()), column)?;
        let line_break = self.lines.line_break();
        match own.get(before) {
            Some(next) => {
                let (dash, _) = self.lines.dash(next)?;
                let start = self.above_comments(self.lines.start(dash), column);
                Some(TextEdit { span: start..start, new: format!("{yaml}{line_break}") })
            }
            None => {
                let end = self.lines.end(self.lines.content_end(found.node));
                Some(TextEdit { span: end..end, new: format!("{line_break}{yaml}") })
            }
        }
    }

    /// The start of the comment lines above a line that belong to it.
    fn above_comments(&self, mut start: usize, column: usize) -> usize {
        while start > 0 {
            let above = self.lines.start(start - 1);
            let line = &self.lines.text[above..start - 1];
            let indentation = line.len() - line.trim_start_matches(' ').len();
            if !line.trim_start().starts_with('#') || indentation != column {
                break;
            }
            start = above;
        }
        start
    }

    fn add_to_flow(&self, at: usize, new: &str) -> Option<TextEdit> {
        Some(TextEdit { span: at..at, new: format!(", {new}") })
    }

    fn member_end(&self, (key, value): &(Node, Node)) -> usize {
        match value.is_unwritten() {
            true => self.lines.colon_end(key).unwrap_or(key.span.end),
            false => value.span.end,
        }
    }

    fn replace(&self, root: &Node, at: &str, value: &Value) -> Option<TextEdit> {
        let found = locate(root, at)?;
        let parent = found.parent?;
        match &parent.content {
            Content::Map { is_flow: false, members } => {
                let (key, old) = members.get(found.position)?;
                self.replace_member(key, old, value)
            }
            _ if found.node.is_unwritten() => None,
            _ => {
                let end = self.lines.content_end(found.node);
                Some(TextEdit { span: found.node.span.start..end, new: flow(value)? })
            }
        }
    }

    /// The value of a member of a block map.
    fn replace_member(&self, key: &Node, old: &Node, value: &Value) -> Option<TextEdit> {
        let colon = self.lines.colon_end(key)?;
        let start = if old.is_unwritten() { self.lines.end(colon) } else { colon };
        let end = if old.is_unwritten() { start } else { self.lines.content_end(old) };
        let is_block = match value {
            Value::Object(fields) => !fields.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => false,
        };
        let has_own_lines = old.line > key.line
            && matches!(old.content, Content::Map { is_flow: false, .. } | Content::List { is_flow: false, .. });
        if is_block {
            // Comments beside and below the key stay.
            let start = if has_own_lines { self.lines.end_before(old.span.start) } else { start };
            let indentation = key.column - 1 + if value.is_object() { 2 } else { 0 };
            let yaml = self.block(value, indentation)?;
            return Some(TextEdit { span: start..end, new: format!("{}{yaml}", self.lines.line_break()) });
        }
        let value = format!(" {}", inline(value)?);
        match &old.content {
            _ if old.is_unwritten() => Some(TextEdit { span: colon..colon, new: value }),
            // A comment beside the key stays; null is mostly not written.
            Content::Map { is_flow: false, .. } | Content::List { is_flow: false, .. } => {
                let beside = &self.lines.text[colon..self.lines.end(colon)];
                let value = if value == " null" { String::new() } else { value };
                Some(TextEdit { span: start..end, new: format!("{value}{beside}") })
            }
            _ => Some(TextEdit { span: start..end, new: value }),
        }
    }

    fn remove(&self, root: &Node, at: &str) -> Option<TextEdit> {
        let found = locate(root, at)?;
        match &found.parent?.content {
            Content::Map { is_flow: false, members } => {
                let (key, value) = members.get(found.position)?;
                let is_alone = self.lines.before(key.span.start).trim().is_empty();
                let end = if value.is_unwritten() { key.span.end } else { self.lines.content_end(value) };
                is_alone.then(|| self.remove_lines(key.span.start, end))
            }
            Content::List { is_flow: false, .. } => {
                let (dash, _) = self.lines.dash(found.node)?;
                Some(self.remove_lines(dash, self.lines.content_end(found.node)))
            }
            Content::Map { is_flow: true, members } => {
                let ends = |position: usize| members.get(position).map(|member| self.member_end(member));
                let starts = |position: usize| members.get(position).map(|(key, _)| key.span.start);
                remove_from_flow(found.position, starts, ends)
            }
            Content::List { is_flow: true, items } => {
                let ends = |position: usize| items.get(position).map(|item| item.span.end);
                let starts = |position: usize| items.get(position).map(|item| item.span.start);
                remove_from_flow(found.position, starts, ends)
            }
            Content::Scalar { .. } | Content::Alias(_) => None,
        }
    }

    /// Removes whole lines. A text that ends without a line break does so afterwards.
    fn remove_lines(&self, first: usize, last: usize) -> TextEdit {
        let start = self.lines.start(first);
        let span = match self.lines.next(last) {
            Some(next) => start..next,
            None => self.lines.text[..start].trim_end_matches(['\n', '\r']).len()..self.lines.text.len(),
        };
        TextEdit { span, new: String::new() }
    }

    /// The value as YAML in lines of this indentation, without a line break at the end.
    fn block(&self, value: &Value, indentation: usize) -> Option<String> {
        let yaml = output::yaml_document(value).ok()?;
        let indentation = " ".repeat(indentation);
        // Only the last line break: others can belong to a block scalar.
        let lines = yaml.strip_suffix('\n').unwrap_or(&yaml).split('\n');
        let lines = lines.map(|line| if line.is_empty() { String::new() } else { format!("{indentation}{line}") });
        Some(lines.collect::<Vec<_>>().join(self.lines.line_break()))
    }
}

fn remove_from_flow(
    position: usize,
    start: impl Fn(usize) -> Option<usize>,
    end: impl Fn(usize) -> Option<usize>,
) -> Option<TextEdit> {
    let span = match (position.checked_sub(1).and_then(&end), start(position + 1)) {
        (Some(before), _) => before..end(position)?,
        (None, Some(next)) => start(position)?..next,
        (None, None) => start(position)?..end(position)?,
    };
    Some(TextEdit { span, new: String::new() })
}

fn locate<'n>(root: &'n Node, pointer: &str) -> Option<Located<'n>> {
    let mut found = Located { node: root, parent: None, position: 0 };
    for token in pointer.split('/').skip(1) {
        let node = found.node.child(token)?;
        let position = match &found.node.content {
            Content::Map { members, .. } => members.iter().position(|(_, member)| std::ptr::eq(member, node))?,
            _ => token.parse().ok()?,
        };
        found = Located { node, parent: Some(found.node), position };
    }
    Some(found)
}

/// A scalar or an empty collection on the line of its key.
fn inline(value: &Value) -> Option<String> {
    let yaml = output::yaml_document(value).ok()?;
    let yaml = yaml.trim_end_matches('\n');
    if yaml.contains('\n') { flow(value) } else { Some(yaml.to_owned()) }
}

/// A value on one line: JSON is YAML.
fn flow(value: &Value) -> Option<String> {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, Spaced)).ok()?;
    String::from_utf8(text).ok()
}

fn flow_members(members: Map<String, Value>) -> Option<String> {
    Some(flow(&Value::Object(members))?.strip_prefix('{')?.strip_suffix('}')?.to_owned())
}

/// JSON with spaces, as flow collections are mostly written.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
