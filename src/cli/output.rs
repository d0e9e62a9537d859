//! The forms in which objects are printed: YAML, JSON, JSON Patch, unified diff.
//!
//! It makes text and writes none. Invariant: YAML and JSON read back as exactly the values that were given.

use std::fmt::Write;

use anyhow::Context;
use clap::ValueEnum;
use json_patch::PatchOperation;
use serde::Serialize;
use serde_json::{Value, json};
use similar::TextDiff;

use super::key_order::KeyOrder;

/// How `inject` prints its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// All objects in the input's order; keys in a fixed order, comments not kept
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
pub enum PlainFormat {
    /// All objects in the input's order; keys in a fixed order, comments not kept
    Yaml,
    /// The object; several become the items of a List
    Json,
    /// Unified diff of the objects that change
    Diff,
}

/// An object before and after.
pub struct Change {
    /// `Deployment/web`
    pub title: String,
    pub before: Value,
    pub after: Value,
}

/// The objects as documents of one YAML stream.
pub fn yaml<'a>(objects: impl IntoIterator<Item = &'a Value>) -> anyhow::Result<String> {
    let documents: Result<Vec<_>, _> = objects.into_iter().map(yaml_document).collect();
    Ok(documents?.join("---\n"))
}

fn yaml_document(object: &Value) -> anyhow::Result<String> {
    // Long strings stay on one line: folded ones are hard to compare and to search.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(&KeyOrder::yaml(object), options).context("cannot write YAML")
}

/// One object as itself, several as a List.
pub fn json(objects: &[&Value]) -> anyhow::Result<String> {
    match objects {
        [object] => pretty(&KeyOrder::json(object)),
        _ => pretty(&KeyOrder::json(&json!({"apiVersion": "v1", "kind": "List", "items": objects}))),
    }
}

/// The operations as a JSON Patch.
pub fn patch(operations: &[PatchOperation]) -> anyhow::Result<String> {
    pretty(&operations)
}

fn pretty(value: &impl Serialize) -> anyhow::Result<String> {
    let mut text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
    text.push('\n');
    Ok(text)
}

/// A unified diff of the YAML of each object that differs.
pub fn diff(changes: &[Change], coloured: bool) -> anyhow::Result<String> {
    let mut text = String::new();
    for change in changes.iter().filter(|change| change.before != change.after) {
        let (before, after) = (yaml_document(&change.before)?, yaml_document(&change.after)?);
        let lines = TextDiff::from_lines(before.as_str(), after.as_str());
        let (from, to) = (format!("{} (before)", change.title), format!("{} (after)", change.title));
        write!(text, "{}", lines.unified_diff().header(&from, &to))?;
    }
    Ok(if coloured { colour(&text) } else { text })
}

fn colour(diff: &str) -> String {
    diff.lines().fold(String::new(), |mut text, line| {
        let start = match line.as_bytes().first() {
            _ if line.starts_with("--- ") || line.starts_with("+++ ") => "\x1b[1m",
            Some(b'-') => "\x1b[31m",
            Some(b'+') => "\x1b[32m",
            Some(b'@') => "\x1b[36m",
            _ => "",
        };
        let end = if start.is_empty() { "" } else { "\x1b[0m" };
        text.push_str(&[start, line, end, "\n"].concat());
        text
    })
}
