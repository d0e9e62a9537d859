//! Reads YAML or JSON text into untyped nodes with line and column, within limits.
//!
//! `builder` handles duplicate keys, merges and keys that are not strings.
//!
//! Invariant: a text of bounded size yields a tree of bounded size and depth, aliases included.

use std::fmt;
use std::io::Cursor;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DuplicateKeyPolicy, Error, MergeKeyPolicy, Options, Spanned};

use crate::inject::text::{FieldPath, Message, message, one_line, value};

use super::{ParseProblem, Place};

/// Deeper templates are refused: none has more than 15 levels, and each costs the reader up to 30
/// KiB of stack.
pub(super) const MAX_DEPTH: usize = 32;

/// Keys, scalars, lists and maps of a template document, aliases expanded: more than 256 KiB of
/// sensible text can hold.
const MAX_NODES: usize = 100_000;

/// Aliases, and anchors, of a template document.
const MAX_ALIASES: usize = 100;

/// Maximum number of events that all aliases of a template document may expand to.
const MAX_EXPANDED_EVENTS: usize = 20_000;

/// Maximum length of a passed-on reader message, in characters.
const MESSAGE_MAX: usize = 200;

/// The nodes of all documents; empty documents are left out.
pub(super) fn nodes(text: &str) -> Vec<Result<YamlNode, ParseProblem>> {
    if let Some(problem) = nul(text) {
        return vec![Err(problem)];
    }
    let options = template_options();
    // Reading from a string is faster, but for a text with an error it returns only that error.
    if let Ok(nodes) = serde_saphyr::from_multiple_with_options(text, options.clone()) {
        return nodes.into_iter().map(Ok).collect();
    }
    serde_saphyr::read_with_options::<_, YamlNode>(&mut Cursor::new(text), options)
        .map(|node| node.map_err(|error| problem(&error)))
        .collect()
}

fn nul(text: &str) -> Option<ParseProblem> {
    let before = &text[..text.find('\0')?];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    Some(ParseProblem {
        place: Place { line, column },
        path: FieldPath::root(),
        message: "a NUL character is not allowed".into(),
    })
}

fn template_options() -> Options {
    let mut options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_depth: MAX_DEPTH,
            max_documents: 64,
            max_nodes: MAX_NODES,
        },
        // `builder` handles merges and duplicates, so that every duplicate is reported, not only
        // the first.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    options.alias_limits.max_total_replayed_events = MAX_EXPANDED_EVENTS;
    options.reject_unsupported_tags = true;
    options
}

/// Converts the reader's error to one line with its line and column.
fn problem(error: &Error) -> ParseProblem {
    let place = error.location().map_or_else(Place::default, |location| place_of(&location));
    ParseProblem { place, path: FieldPath::root(), message: sentence(error, place) }
}

/// Words the errors about limits anew, because the reader's own messages name its internals. Other
/// messages are the reader's; they quote tags and scalars, so they count as values.
fn sentence(error: &Error, place: Place) -> Message {
    match error {
        Error::AliasError { error, .. } | Error::WithSnippet { error, .. } => sentence(error, place),
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            message!["lists and maps are nested more than ", MAX_DEPTH, " levels deep"]
        }
        Error::Budget { breach: BudgetBreach::Nodes { .. }, .. } => {
            message!["more than ", MAX_NODES, " keys and values"]
        }
        Error::Budget { breach: BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. }, .. } => {
            message!["more than ", MAX_ALIASES, " anchors or aliases"]
        }
        Error::AliasReplayLimitExceeded { .. } => {
            message!["the aliases expand to more than ", MAX_EXPANDED_EVENTS, " keys, values and brackets"]
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => "an anchor may not contain itself".into(),
        Error::UnknownAnchor { .. } => "the alias names no anchor before it".into(),
        Error::NonFiniteFloat { .. } => "expected a finite number".into(),
        _ => of_reader(&error.to_string(), place),
    }
}

fn of_reader(text: &str, place: Place) -> Message {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.replace(&format!(" at line {}, column {}", place.line, place.column), "");
    if text.starts_with("tabs disallowed") || text.ends_with("found a tab") {
        return "a tab does not indent YAML; use spaces".into();
    }
    value(one_line(&text, MESSAGE_MAX))
}

fn place_of(location: &serde_saphyr::Location) -> Place {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Place { line: number(location.line()), column: number(location.column()) }
}

/// A parsed node as the reader hands it over.
#[derive(Clone)]
pub(super) struct YamlNode {
    pub(super) place: Place,
    /// Offset and length in characters.
    pub(super) span: (u64, u64),
    pub(super) content: YamlContent,
}

#[derive(Clone)]
pub(super) enum YamlContent {
    Null,
    Bool(bool),
    Number(Number),
    /// A number with a fraction, or one that does not fit into 64 bits.
    Float(f64),
    String(String),
    List(Vec<YamlNode>),
    Map(Vec<(YamlNode, YamlNode)>),
}

impl<'de> Deserialize<'de> for YamlNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // `defined` and not `referenced`: for an alias, the user has to fix the anchor's text.
        let spanned = Spanned::<YamlContent>::deserialize(deserializer)?;
        let span = spanned.defined.span();
        Ok(Self { place: place_of(&spanned.defined), span: (span.offset(), span.len()), content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for YamlContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlContentVisitor)
    }
}

struct YamlContentVisitor;

impl<'de> Visitor<'de> for YamlContentVisitor {
    type Value = YamlContent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<YamlContent, E> {
        Ok(YamlContent::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<YamlContent, E> {
        Ok(YamlContent::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<YamlContent, E> {
        Ok(YamlContent::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<YamlContent, E> {
        Ok(YamlContent::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<YamlContent, E> {
        Ok(YamlContent::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<YamlContent, E> {
        Ok(YamlContent::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<YamlContent, E> {
        Ok(YamlContent::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<YamlContent, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(YamlContent::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<YamlContent, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(YamlContent::Map(members))
    }
}
