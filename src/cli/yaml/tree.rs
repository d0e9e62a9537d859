//! Where lines begin and end, and where the content of a node ends.

use super::node::{Content, Node};

/// The text and its lines.
#[derive(Clone, Copy)]
pub(super) struct Lines<'t> {
    pub text: &'t str,
}

impl Lines<'_> {
    /// Start of the line at this offset.
    pub(super) fn start(self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// End of the line at this offset, without its line break.
    pub(super) fn end(self, at: usize) -> usize {
        let end = self.text[at..].find('\n').map_or(self.text.len(), |newline| at + newline);
        if self.text[at..end].ends_with('\r') { end - 1 } else { end }
    }

    /// End of the line before the one at this offset.
    pub(super) fn end_before(self, at: usize) -> usize {
        let before = &self.text[..self.start(at)];
        let before = before.strip_suffix('\n').unwrap_or(before);
        before.strip_suffix('\r').unwrap_or(before).len()
    }

    /// Start of the line after this offset; `None` on the last line.
    pub(super) fn next(self, at: usize) -> Option<usize> {
        self.text[at..].find('\n').map(|newline| at + newline + 1)
    }

    /// What stands before this offset on its line.
    pub(super) fn before(&self, at: usize) -> &str {
        &self.text[self.start(at)..at]
    }

    /// The line break that the text uses.
    pub(super) fn line_break(&self) -> &'static str {
        if self.text.split_once('\n').is_some_and(|(line, _)| line.ends_with('\r')) { "\r\n" } else { "\n" }
    }

    /// Where the content of a node ends, without blanks and comments after it.
    pub(super) fn content_end(&self, node: &Node) -> usize {
        let end = match &node.content {
            Content::Map { is_flow: false, members } => match members.last() {
                Some((key, value)) if value.is_unwritten() => self.colon_end(key).unwrap_or(key.span.end),
                Some((_, value)) => self.content_end(value),
                None => node.span.end,
            },
            Content::List { is_flow: false, items } => {
                items.last().map_or(node.span.end, |item| self.content_end(item))
            }
            _ => node.span.end,
        };
        self.text[..end].trim_end().len()
    }

    /// The end of the colon after a key.
    pub(super) fn colon_end(&self, key: &Node) -> Option<usize> {
        let after = &self.text[key.span.end..];
        let blanks = after.len() - after.trim_start_matches([' ', '\t']).len();
        after[blanks..].starts_with(':').then_some(key.span.end + blanks + 1)
    }

    /// The dash of an item of a block list: its offset and column.
    pub(super) fn dash(&self, item: &Node) -> Option<(usize, usize)> {
        let before = self.text[..item.span.start].trim_end();
        let dash = before.strip_suffix('-')?.len();
        let indentation = self.before(dash);
        indentation.bytes().all(|byte| byte == b' ').then_some((dash, indentation.len()))
    }
}
