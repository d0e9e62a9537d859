//! Finds the expressions (`${…}`) inside strings and compiles them.
//!
//! `$${` is a literal `${`; `$(VAR)` belongs to Kubernetes and is left unchanged.

use super::{Declarations, Expression, MAX_SOURCE_BYTES, shell};
use crate::inject::text::{Message, message, quote, value};

/// The start of an expression.
const OPEN: &str = "${";

/// A string of a template.
#[derive(Debug)]
pub(crate) enum Interpolation {
    /// No expression in it; escapes are resolved.
    Constant(String),
    /// Exactly one expression: it takes the value's type.
    Whole(Expression),
    /// Expressions inside longer text.
    Mixed(Vec<Segment>),
}

/// A part of a mixed string.
#[derive(Debug)]
pub(crate) enum Segment {
    Literal(String),
    Expression(Expression),
}

/// Number of `${` in a text.
pub(crate) fn count(text: &str) -> usize {
    text.matches(OPEN).count()
}

/// Whether a string contains an expression or an escape.
pub(crate) fn is_dynamic(text: &str) -> bool {
    text.contains(OPEN)
}

/// The expressions of a string, without their braces.
pub(crate) fn sources(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(OPEN)?;
            let (before, body) = (&rest[..start], &rest[start + OPEN.len()..]);
            if before.ends_with('$') {
                rest = body;
                continue;
            }
            let end = closing_brace(body)?;
            rest = &body[end + 1..];
            return Some(&body[..end]);
        }
    })
}

/// One error in a string.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StringError {
    /// Number of `${` before that of the expression, escaped ones included.
    pub index: usize,
    pub message: Message,
    pub hint: Option<Message>,
}

/// Splits and compiles a string, or lists the errors of all its expressions.
pub(crate) fn compile(text: &str, parameters: &Declarations<'_>) -> Result<Interpolation, Vec<StringError>> {
    let (mut segments, mut errors) = (Vec::new(), Vec::new());
    let mut literal = String::new();
    let (mut rest, mut index) = (text, 0);
    while let Some(start) = rest.find(OPEN) {
        let body = &rest[start + OPEN.len()..];
        if rest[..start].ends_with('$') {
            literal.push_str(&rest[..start - 1]);
            literal.push_str(OPEN);
            (rest, index) = (body, index + 1);
            continue;
        }
        literal.push_str(&rest[..start]);
        let end = closing_brace(body);
        let compiled = match end {
            Some(end) => Expression::compile(&body[..end], parameters),
            None => Err(unterminated(body)),
        };
        let mut after = end.map_or(body.len(), |end| end + 1);
        match compiled {
            Ok(expression) => {
                if !literal.is_empty() {
                    segments.push(Segment::Literal(std::mem::take(&mut literal)));
                }
                segments.push(Segment::Expression(expression));
            }
            Err(message) => {
                let shell = shell::advice(&body[..end.unwrap_or(body.len())]);
                // The shell's own expansions may nest: `${A:-${B}}`. Each of them needs the escape.
                after = if shell.is_some() || end.is_none() { 0 } else { after };
                errors.push(StringError { index, message, hint: shell });
            }
        }
        index += 1 + count(&body[..after]);
        rest = &body[after..];
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    literal.push_str(rest);
    Ok(join(segments, literal))
}

fn join(mut segments: Vec<Segment>, tail: String) -> Interpolation {
    if segments.is_empty() {
        return Interpolation::Constant(tail);
    }
    if !tail.is_empty() {
        segments.push(Segment::Literal(tail));
    }
    match segments.pop() {
        Some(Segment::Expression(only)) if segments.is_empty() => Interpolation::Whole(only),
        last => {
            segments.extend(last);
            Interpolation::Mixed(segments)
        }
    }
}

fn unterminated(body: &str) -> Message {
    let advice = " has no closing \"}\"; write \"$${\" for a literal \"${\"";
    message!["the expression ", value(quote(body)), advice]
}

/// Position of the brace that closes an expression: braces of map literals and quotes inside it are
/// CEL's own.
fn closing_brace(body: &str) -> Option<usize> {
    let bytes = body.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() && at <= MAX_SOURCE_BYTES * 4 {
        match bytes[at] {
            b'"' | b'\'' => at = end_of_string(bytes, at)?,
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

fn is_word(bytes: &[u8], at: Option<usize>) -> bool {
    // `br'…'` is a raw byte string; any other word that ends in r is a name and cannot stand before
    // a quote.
    at.and_then(|at| bytes.get(at)).is_some_and(|byte| byte.is_ascii_alphanumeric() && !matches!(byte, b'b' | b'B'))
}

/// Position of the last quote of the string literal whose first quote is at `start`.
pub(crate) fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let quote = *bytes.get(start)?;
    let raw = start > 0 && matches!(bytes[start - 1], b'r' | b'R') && !is_word(bytes, start.checked_sub(2));
    let triple = bytes.get(start + 1) == Some(&quote) && bytes.get(start + 2) == Some(&quote);
    let closing: &[u8] = if triple { &[quote, quote, quote] } else { &[quote] };
    let mut at = start + closing.len();
    while at < bytes.len() {
        if bytes[at] == b'\\' && !raw {
            at += 2;
        } else if bytes[at..].starts_with(closing) {
            return Some(at + closing.len() - 1);
        } else {
            at += 1;
        }
    }
    None
}
