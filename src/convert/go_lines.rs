//! Reads a line of a Go template: its texts and actions, and the blocks that they open and close.

/// What the lines so far have opened and not closed, each with its line.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// Blocks: `if`, `range` and others.
    pub blocks: Vec<(usize, String)>,
    /// An action that goes on in the next line.
    pub action: Option<(usize, String)>,
}

impl Opened {
    /// Follows the blocks of a line; returns whether it has any.
    pub(super) fn follow(&mut self, number: usize, parts: &[Part<'_>]) -> Result<bool, (usize, String)> {
        let mut is_block = false;
        for part in parts {
            let Part::Action(Action { text: action, .. }) = part else { continue };
            let word: String = action.chars().take_while(char::is_ascii_alphanumeric).collect();
            match word.as_str() {
                "if" | "range" | "with" | "define" | "block" => self.blocks.push((number, action.clone())),
                "end" | "else" if self.blocks.is_empty() => {
                    return Err((number, format!("{{{{ {action} }}}} stands outside of a block")));
                }
                "end" => _ = self.blocks.pop(),
                "else" => {}
                _ => continue,
            }
            is_block = true;
        }
        Ok(is_block)
    }
}

#[derive(Debug)]
pub(super) enum Part<'l> {
    Text(&'l str),
    Action(Action),
}

/// An action, and whether it has trim markers.
#[derive(Clone, Debug)]
pub(super) struct Action {
    /// Without braces and trim markers.
    pub text: String,
    pub trims_before: bool,
    pub trims_after: bool,
}

impl Action {
    pub(super) fn new(inner: &str) -> Self {
        let is_blank = |letter: char| letter.is_ascii_whitespace();
        let after_first = inner.strip_prefix('-').filter(|rest| rest.starts_with(is_blank));
        let rest = after_first.unwrap_or(inner);
        let before_last = rest.strip_suffix('-').filter(|rest| rest.ends_with(is_blank));
        Self {
            text: before_last.unwrap_or(rest).trim().to_owned(),
            trims_before: after_first.is_some(),
            trims_after: before_last.is_some(),
        }
    }

    /// The action as it is written.
    pub(super) fn written(&self) -> String {
        let (before, after) = (if self.trims_before { "-" } else { "" }, if self.trims_after { "-" } else { "" });
        format!("{{{{{before} {} {after}}}}}", self.text)
    }

    pub(super) fn is_comment(&self) -> bool {
        self.text.starts_with("/*")
    }

    /// Whether it may write text: it is neither a comment nor an assignment.
    pub(super) fn inserts(&self) -> bool {
        !self.is_comment() && !self.text.starts_with('$')
    }

    /// Whether what it writes goes on in the line before it. What begins with a line break does not.
    pub(super) fn joins_line_before(&self) -> bool {
        let mut words = self.text.split_whitespace();
        self.trims_before && !words.any(|word| matches!(word, "nindent" | "include" | "template"))
    }

    /// The column to which it indents what it writes.
    pub(super) fn indent(&self) -> Option<usize> {
        let mut words = self.text.split_whitespace().skip_while(|word| !matches!(*word, "indent" | "nindent"));
        words.nth(1)?.parse().ok()
    }
}

pub(super) fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The column of the key in `- key: value`, or of the last dash where no key follows.
pub(super) fn key_column(line: &str) -> usize {
    let mut rest = line.trim_start();
    let mut column = indent(line);
    while let Some(after) = rest.strip_prefix("- ") {
        let inner = after.trim_start();
        if inner.starts_with(['|', '>', '&', '!']) {
            break;
        }
        column += rest.len() - inner.len();
        rest = inner;
    }
    column
}

/// The texts and actions of a line; `open` is the action that goes on before or after it.
pub(super) fn parts<'l>(number: usize, line: &'l str, open: &mut Option<(usize, String)>) -> Vec<Part<'l>> {
    let mut parts = Vec::new();
    let mut rest = line;
    if open.is_some() {
        let Some((_, after)) = rest.split_once("}}") else { return parts };
        *open = None;
        rest = after;
    }
    while let Some((text, after)) = rest.split_once("{{") {
        parts.push(Part::Text(text));
        let Some(end) = end_of_action(after) else {
            *open = Some((number, after.trim().to_owned()));
            return parts;
        };
        parts.push(Part::Action(Action::new(&after[..end])));
        rest = &after[end + "}}".len()..];
    }
    parts.push(Part::Text(rest));
    parts
}

/// Where the action ends: at `}}` outside of a quoted text.
fn end_of_action(text: &str) -> Option<usize> {
    if text.trim_start_matches('-').trim_start().starts_with("/*") {
        let end = text.find("*/")?;
        return text[end..].find("}}").map(|after| end + after);
    }
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '"' | '`') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, '}') if text[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
    }
    None
}
