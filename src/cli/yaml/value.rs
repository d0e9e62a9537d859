//! The JSON value of a node: aliases and merges expanded, scalars with the types that kubectl gives.
//!
//! Invariant: a text of bounded size gives a value of bounded size, aliases included.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::YamlProblem;
use super::node::{Content, Node, ScalarTag};
use super::scalar::{Resolved, resolve};
use crate::inject::text::{Message, message, quote, value};

/// Most nodes that all aliases of a document may stand for.
const MAX_EXPANDED: usize = 1_000_000;

/// The value of a document. Problems are added; what they concern is null or left out.
pub(super) fn of(root: &Node, problems: &mut Vec<YamlProblem>) -> Value {
    let mut anchors = HashMap::new();
    collect_anchors(root, &mut anchors);
    let mut reader = ValueReader { anchors, followed: Vec::new(), expanded: 0, is_too_much: false, problems };
    reader.value(root)
}

fn collect_anchors<'n>(node: &'n Node, anchors: &mut HashMap<usize, &'n Node>) {
    if node.anchor != 0 {
        anchors.insert(node.anchor, node);
    }
    match &node.content {
        Content::List { items, .. } => items.iter().for_each(|item| collect_anchors(item, anchors)),
        Content::Map { members, .. } => members.iter().for_each(|(key, member)| {
            collect_anchors(key, anchors);
            collect_anchors(member, anchors);
        }),
        Content::Scalar { .. } | Content::Alias(_) => {}
    }
}

struct ValueReader<'n, 'p> {
    anchors: HashMap<usize, &'n Node>,
    /// Aliases that are being followed.
    followed: Vec<usize>,
    /// Nodes that were read because of an alias.
    expanded: usize,
    is_too_much: bool,
    problems: &'p mut Vec<YamlProblem>,
}

impl<'n> ValueReader<'n, '_> {
    fn problem(&mut self, node: &Node, message: impl Into<Message>) -> Value {
        self.problems.push(YamlProblem { line: node.line, column: node.column, message: message.into() });
        Value::Null
    }

    fn value(&mut self, node: &'n Node) -> Value {
        if !self.followed.is_empty() {
            self.expanded += 1;
            if self.expanded > MAX_EXPANDED {
                if !std::mem::replace(&mut self.is_too_much, true) {
                    self.problem(node, "the aliases of the document expand to too much");
                }
                return Value::Null;
            }
        }
        match &node.content {
            Content::Scalar { text, tag } => self.scalar(node, text, *tag),
            Content::Alias(anchor) => self.alias(node, *anchor),
            Content::List { items, .. } => items.iter().map(|item| self.value(item)).collect(),
            Content::Map { members, .. } => Value::Object(self.map(members)),
        }
    }

    fn alias(&mut self, node: &'n Node, anchor: usize) -> Value {
        let Some(target) = self.anchors.get(&anchor).copied() else {
            return self.problem(node, "the alias names no anchor before it");
        };
        if self.followed.contains(&anchor) {
            return self.problem(node, "an anchor may not contain itself");
        }
        self.followed.push(anchor);
        let value = self.value(target);
        self.followed.pop();
        value
    }

    fn scalar(&mut self, node: &Node, text: &str, tag: ScalarTag) -> Value {
        match tag {
            ScalarTag::Text => text.into(),
            ScalarTag::Binary => {
                let compact: String = text.split_whitespace().collect();
                match STANDARD.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
                    Some(text) => text.into(),
                    None => self.problem(node, "expected text in base64 after !!binary"),
                }
            }
            ScalarTag::Resolved => match resolve(text) {
                Resolved::Null => Value::Null,
                Resolved::Bool(value) => value.into(),
                Resolved::Signed(number) => number.into(),
                Resolved::Unsigned(number) => number.into(),
                Resolved::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
                Resolved::NotFinite => self.problem(node, "expected a finite number"),
                Resolved::Text => text.into(),
            },
        }
    }

    /// The members in their order. kubectl lets a merge replace what stands before it, and a key what
    /// was merged before it.
    fn map(&mut self, members: &'n [(Node, Node)]) -> Map<String, Value> {
        let mut values = Map::new();
        let mut written = HashSet::new();
        for (key, member) in members {
            if is_merge(key) {
                self.merge(key, member, &mut values);
                continue;
            }
            let Some(name) = self.name(key) else { continue };
            if written.insert(name.clone()) {
                let value = self.value(member);
                values.insert(name, value);
            } else {
                self.problem(key, message!["duplicate key ", value(quote(&name))]);
            }
        }
        values
    }

    /// `<<: *map` or `<<: [*map, *other]`, of which the first takes precedence.
    fn merge(&mut self, key: &'n Node, member: &'n Node, values: &mut Map<String, Value>) {
        let sources = match self.value(member) {
            Value::Array(sources) => sources,
            source => vec![source],
        };
        for source in sources.into_iter().rev() {
            match source {
                Value::Object(source) => values.extend(source),
                _ => {
                    self.problem(key, "\"<<\" takes a map or a list of maps");
                }
            }
        }
    }

    /// The key as text: numbers and booleans are written as JSON has them.
    fn name(&mut self, key: &'n Node) -> Option<String> {
        match self.value(key) {
            Value::String(name) => Some(name),
            Value::Null => {
                self.problem(key, "a key must not be null; put it in quotes");
                None
            }
            Value::Array(_) | Value::Object(_) => {
                let message = "a key must be text, not a list or map; put text with brackets or braces in quotes";
                self.problem(key, message);
                None
            }
            scalar => Some(scalar.to_string()),
        }
    }
}

fn is_merge(key: &Node) -> bool {
    matches!(&key.content, Content::Scalar { text, tag: ScalarTag::Resolved } if text == "<<")
}
