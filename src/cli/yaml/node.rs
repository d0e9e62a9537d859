//! The nodes of a YAML text: what stands where, before it has a meaning.
//!
//! Invariant: nodes nest at most [`MAX_DEPTH`] levels deep, so that a walk needs little stack.

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StructureStyle, Tag};

use super::{Span, YamlProblem};
use crate::inject::text::{Message, message, one_line, value};

/// Pods have up to 15 levels; the schemas of custom resources, which pass through, about 40.
const MAX_DEPTH: usize = 100;

/// Most characters of a message of the parser.
const MESSAGE_MAX: usize = 200;

/// One node of a document.
#[derive(Debug)]
pub(super) struct Node {
    /// The content without anchor and tag; of a block collection only its start is exact.
    pub span: Span,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// 0 for none.
    pub anchor: usize,
    /// Whether it is a block scalar with `|`, whose lines are those of the file.
    pub is_literal: bool,
    pub content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Scalar { text: String, tag: ScalarTag },
    Alias(usize),
    List { is_flow: bool, items: Vec<Node> },
    Map { is_flow: bool, members: Vec<(Node, Node)> },
}

/// What decides about a scalar's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScalarTag {
    /// Its text: it is not quoted, or has a tag of a number.
    Resolved,
    /// It is text.
    Text,
    /// It is text in base64.
    Binary,
}

impl Node {
    /// The member or item of this name or position, aliases not followed.
    pub(super) fn child(&self, token: &str) -> Option<&Self> {
        match &self.content {
            Content::Map { .. } => self.member(token).map(|(_, value)| value),
            Content::List { items, .. } => items.get(token.parse::<usize>().ok()?),
            Content::Scalar { .. } | Content::Alias(_) => None,
        }
    }

    /// The member of this name with its key.
    pub(super) fn member(&self, token: &str) -> Option<&(Self, Self)> {
        let Content::Map { members, .. } = &self.content else { return None };
        let token = token.replace("~1", "/").replace("~0", "~");
        let is_it = |key: &Self| matches!(&key.content, Content::Scalar { text, .. } if *text == token);
        members.iter().find(|(key, _)| is_it(key))
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self.content, Content::Scalar { tag: ScalarTag::Resolved, .. })
    }

    /// Whether nothing is written for the node, which then is null.
    pub(super) fn is_unwritten(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, tag: ScalarTag::Resolved } if text.is_empty())
    }
}

/// The roots of all documents, and the syntax error that ends them.
pub(super) fn nodes(text: &str) -> (Vec<Node>, Option<YamlProblem>) {
    let mut builder = Builder { text, documents: Vec::new(), open: Vec::new() };
    let mut options = granit_parser::options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    options.set_emit_comments(false);
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => return (builder.documents, Some(problem(&error))),
        }
    }
    (builder.documents, None)
}

/// The comments of a text, in their order.
pub(super) fn comments(text: &str) -> Vec<String> {
    let options = granit_parser::options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    let comment = |event: Result<(Event<'_>, _), _>| match event {
        Ok((Event::Comment(text, _), _)) => Some(text.into_owned()),
        _ => None,
    };
    Parser::new_from_str_with_options(text, options).filter_map(comment).collect()
}

/// Builds nodes of events.
struct Builder<'t> {
    text: &'t str,
    documents: Vec<Node>,
    /// Collections that are not at their end.
    open: Vec<Open>,
}

struct Open {
    node: Node,
    /// The key of the member that comes next.
    key: Option<Node>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: granit_parser::Span) {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = scalar_tag(style, tag.as_deref());
                let mut text = text.into_owned();
                let range = self.range(span);
                if tag == ScalarTag::Resolved && text == "~" && self.text.get(range.clone()) != Some("~") {
                    // The parser's text for a value that is not written.
                    text.clear();
                }
                if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) && self.ends_unterminated(&range) {
                    // The last line of the text has no line break, so the scalar has none.
                    text.truncate(text.strip_suffix('\n').unwrap_or(&text).len());
                }
                let mut node = self.node(span, anchor, Content::Scalar { text, tag });
                node.is_literal = style == ScalarStyle::Literal;
                self.add(node);
            }
            Event::Alias(anchor) => {
                let node = self.node(span, 0, Content::Alias(anchor));
                self.add(node);
            }
            Event::SequenceStart(style, anchor, _) => {
                let content = Content::List { is_flow: style == StructureStyle::Flow, items: Vec::new() };
                let node = self.node(span, anchor, content);
                self.open.push(Open { node, key: None });
            }
            Event::MappingStart(style, anchor, _) => {
                let content = Content::Map { is_flow: style == StructureStyle::Flow, members: Vec::new() };
                let node = self.node(span, anchor, content);
                self.open.push(Open { node, key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let end = self.range(span).end;
                if let Some(Open { mut node, .. }) = self.open.pop() {
                    node.span.end = end.max(node.span.start);
                    self.add(node);
                }
            }
            _ => {}
        }
    }

    fn node(&self, span: granit_parser::Span, anchor: usize, content: Content) -> Node {
        let (line, column) = (span.start.line(), span.start.col() + 1);
        Node { span: self.range(span), line, column, anchor, is_literal: false, content }
    }

    fn range(&self, span: granit_parser::Span) -> Span {
        span.byte_range().unwrap_or(self.text.len()..self.text.len())
    }

    /// Whether the text ends within the last line of this block scalar.
    fn ends_unterminated(&self, range: &Span) -> bool {
        let last = self.text.rsplit(['\n', '\r']).next().unwrap_or_default();
        !last.trim().is_empty() && range.end >= self.text.trim_end().len()
    }

    fn add(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return;
        };
        match (&mut open.node.content, open.key.take()) {
            (Content::List { items, .. }, _) => items.push(node),
            (Content::Map { members, .. }, Some(key)) => members.push((key, node)),
            (Content::Map { .. }, None) => open.key = Some(node),
            (Content::Scalar { .. } | Content::Alias(_), _) => {}
        }
    }
}

/// kubectl's parser takes a scalar with a tag that it does not know for text.
fn scalar_tag(style: ScalarStyle, tag: Option<&Tag>) -> ScalarTag {
    match tag.map(|tag| tag.core_suffix().unwrap_or_else(|| tag.suffix())) {
        None if style == ScalarStyle::Plain => ScalarTag::Resolved,
        Some("int" | "float" | "bool" | "null" | "timestamp") => ScalarTag::Resolved,
        Some("binary") => ScalarTag::Binary,
        None | Some(_) => ScalarTag::Text,
    }
}

fn problem(error: &ScanError) -> YamlProblem {
    let marker = error.marker();
    YamlProblem { line: marker.line(), column: marker.col() + 1, message: sentence(error) }
}

fn sentence(error: &ScanError) -> Message {
    match error.kind() {
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation => "a tab does not indent YAML; use spaces".into(),
        ErrorKind::UnknownAnchor => "the alias names no anchor before it".into(),
        kind => {
            let text = kind.to_string();
            if text.ends_with("found a tab") {
                return "a tab does not indent YAML; use spaces".into();
            }
            if text.contains("nest") || text.contains("recursion") {
                return message!["lists and maps are nested more than ", MAX_DEPTH, " levels deep"];
            }
            message!["no valid YAML: ", value(one_line(&text, MESSAGE_MAX))]
        }
    }
}
