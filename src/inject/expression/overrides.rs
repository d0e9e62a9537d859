//! Replacements for library functions that are unsafe to run on values of a pod.
//!
//! The originals' work or result grows faster than their input, they print maps in random order,
//! they calculate modulo 2^128, or they count bytes where CEL has characters. `functions` has the
//! functions that Outrigger adds.
//!
//! Invariant: no call compares more than [`MAX_COMPARED`] items pairwise or produces more text than
//! [`MAX_TEXT_BYTES`].

use super::{fault, limits, rewrite};
use crate::inject::text::quantity::Quantity;
use cel::extractors::{Arguments, This};
use cel::{Context, ExecutionError, ResolveResult, Value};
use regex::{Regex, RegexBuilder};
use std::sync::Arc;

/// Maximum size of a function's text result, in bytes; equals the limit of a whole rendering.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 20;
/// Maximum length of a list whose items are compared pairwise.
pub(super) const MAX_COMPARED: usize = 2_000;
/// Largest compiled regular expression, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

type CelList = Arc<Vec<Value>>;
type CelText = Arc<String>;

/// Registers the replacements over the libraries' functions.
pub(super) fn register(context: &mut Context<'_>) {
    context.add_function("size", size);
    context.add_function("replace", replace);
    context.add_function("join", join);
    context.add_function("indexOf", index_of);
    context.add_function("lastIndexOf", last_index_of);
    context.add_function("lists.range", range);
    context.add_function("distinct", distinct);
    context.add_function("sum", sum);
    context.add_function("sets.contains", contains);
    context.add_function("sets.equivalent", equivalent);
    context.add_function("sets.intersects", intersects);
    context.add_function("matches", matches);
    context.add_function("find", find);
    context.add_function("findAll", find_all);
    context.add_function("isQuantity", is_quantity);
    context.add_function(rewrite::QUANTITY, quantity);
    context.add_function(rewrite::PRINTABLE, printable);
}

/// `size(value)` and `value.size()`: the items of a list, the keys of a map, the characters of a text, the bytes of bytes.
/// The original counts the bytes of a text.
fn size(This(value): This<Value>, Arguments(arguments): Arguments) -> ResolveResult {
    if !arguments.is_empty() {
        return Err(ExecutionError::InvalidArgumentCount { expected: 0, actual: arguments.len() });
    }
    let size = match value {
        Value::List(list) => list.len(),
        Value::Map(map) => map.map.len(),
        Value::String(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        _ => return Err(fault::own("size", "expected a string, a list or a map")),
    };
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

/// `text.replace(old, new)` and `text.replace(old, new, count)`.
fn replace(This(text): This<CelText>, Arguments(arguments): Arguments) -> ResolveResult {
    let (old, new, count) = match arguments.as_slice() {
        [Value::String(old), Value::String(new)] => (old, new, usize::MAX),
        // A negative count replaces all.
        [Value::String(old), Value::String(new), Value::Int(count)] => {
            (old, new, usize::try_from(*count).unwrap_or(usize::MAX))
        }
        _ => return Err(ExecutionError::NoSuchOverload),
    };
    let found = text.matches(old.as_str()).take(count).count();
    check_bytes("replace", text.len().saturating_add(found.saturating_mul(new.len().saturating_sub(old.len()))))?;
    Ok(string(text.replacen(old.as_str(), new, count)))
}

/// `list.join()` and `list.join(separator)`, of texts.
fn join(This(list): This<CelList>, Arguments(arguments): Arguments) -> ResolveResult {
    let separator = match arguments.as_slice() {
        [] => "",
        [Value::String(separator)] => separator.as_str(),
        _ => return Err(ExecutionError::NoSuchOverload),
    };
    let texts: Option<Vec<&str>> = list.iter().map(text_of).collect();
    let texts = texts.ok_or_else(|| fault::own("join", "expected a list of strings"))?;
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    check_bytes("join", bytes.saturating_add(separator.len().saturating_mul(texts.len())))?;
    Ok(string(texts.join(separator)))
}

/// `text.indexOf(part)`, `text.indexOf(part, from)` and `list.indexOf(item)`.
fn index_of(This(this): This<Value>, Arguments(arguments): Arguments) -> ResolveResult {
    match (this, arguments.as_slice()) {
        (Value::String(text), [Value::String(part)]) => Ok(index(&text, text.find(part.as_str()))),
        (Value::String(text), [Value::String(part), Value::Int(from)]) => {
            let from = byte_of(&text, *from)?;
            Ok(index(&text, text[from..].find(part.as_str()).map(|at| from + at)))
        }
        (Value::List(list), [item]) => Ok(position(list.iter().position(|one| one == item))),
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

/// `text.lastIndexOf(part)`, `text.lastIndexOf(part, last)` (where the part may begin at the
/// latest) and `list.lastIndexOf(item)`.
fn last_index_of(This(this): This<Value>, Arguments(arguments): Arguments) -> ResolveResult {
    match (this, arguments.as_slice()) {
        (Value::String(text), [Value::String(part)]) => Ok(index(&text, text.rfind(part.as_str()))),
        (Value::String(text), [Value::String(part), Value::Int(last)]) => {
            let end = byte_of(&text, *last)?.saturating_add(part.len()).min(text.len());
            // Where the part begins at `last` and fits, it ends at a boundary; otherwise it has to
            // end earlier.
            let end = (0..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
            Ok(index(&text, text[..end].rfind(part.as_str())))
        }
        (Value::List(list), [item]) => Ok(position(list.iter().rposition(|one| one == item))),
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

/// Converts the position of a character to that of its first byte.
fn byte_of(text: &str, character: i64) -> Result<usize, ExecutionError> {
    let character = usize::try_from(character).map_err(|_| fault::own("indexOf", "a negative index"))?;
    Ok(text.char_indices().nth(character).map_or(text.len(), |(byte, _)| byte))
}

fn index(text: &str, byte: Option<usize>) -> Value {
    position(byte.map(|byte| text[..byte].chars().count()))
}

fn position(index: Option<usize>) -> Value {
    Value::Int(index.and_then(|index| i64::try_from(index).ok()).unwrap_or(-1))
}

/// `lists.range(n)`: 0 to n - 1.
fn range(count: i64) -> ResolveResult {
    match usize::try_from(count) {
        Ok(items) if items <= limits::MAX_RANGE => Ok(Value::List(Arc::new((0..count).map(Value::Int).collect()))),
        _ => Err(fault::own(
            "lists.range",
            format!("{count} items; at least 0 and at most {} are allowed", limits::MAX_RANGE),
        )),
    }
}

/// `list.distinct()`
fn distinct(This(list): This<CelList>) -> ResolveResult {
    check_items("distinct", &list)?;
    let mut distinct: Vec<Value> = Vec::new();
    for item in list.iter() {
        if !distinct.contains(item) {
            distinct.push(item.clone());
        }
    }
    Ok(Value::List(Arc::new(distinct)))
}

/// `list.sum()`, of numbers and durations.
fn sum(This(list): This<CelList>) -> ResolveResult {
    match list.split_first() {
        None => Ok(Value::Int(0)),
        Some((first @ (Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::Duration(_)), rest)) => {
            rest.iter().try_fold(first.clone(), |sum, item| sum + item.clone())
        }
        Some(_) => Err(ExecutionError::NoSuchOverload),
    }
}

/// `sets.contains(all, some)`
fn contains(all: CelList, some: CelList) -> ResolveResult {
    check_items("sets.contains", &all)?;
    check_items("sets.contains", &some)?;
    Ok(Value::Bool(some.iter().all(|item| all.contains(item))))
}

/// `sets.equivalent(a, b)`
fn equivalent(a: CelList, b: CelList) -> ResolveResult {
    check_items("sets.equivalent", &a)?;
    check_items("sets.equivalent", &b)?;
    Ok(Value::Bool(a.iter().all(|item| b.contains(item)) && b.iter().all(|item| a.contains(item))))
}

/// `sets.intersects(a, b)`
fn intersects(a: CelList, b: CelList) -> ResolveResult {
    check_items("sets.intersects", &a)?;
    check_items("sets.intersects", &b)?;
    Ok(Value::Bool(a.iter().any(|item| b.contains(item))))
}

/// `text.matches(pattern)`
fn matches(This(text): This<CelText>, pattern: CelText) -> ResolveResult {
    Ok(Value::Bool(compile("matches", &pattern)?.is_match(&text)))
}

/// `text.find(pattern)`: empty when nothing matches.
fn find(This(text): This<CelText>, pattern: CelText) -> ResolveResult {
    let found = compile("find", &pattern)?.find(&text).map_or("", |found| found.as_str()).to_owned();
    Ok(string(found))
}

/// `text.findAll(pattern)` and `text.findAll(pattern, count)`.
fn find_all(This(text): This<CelText>, Arguments(arguments): Arguments) -> ResolveResult {
    let (pattern, count) = match arguments.as_slice() {
        [Value::String(pattern)] => (pattern, usize::MAX),
        [Value::String(pattern), Value::Int(count)] => (pattern, usize::try_from(*count).unwrap_or(usize::MAX)),
        _ => return Err(ExecutionError::NoSuchOverload),
    };
    let pattern = compile("findAll", pattern)?;
    let found = pattern.find_iter(&text).take(count).map(|found| string(found.as_str().to_owned()));
    Ok(Value::List(Arc::new(found.collect())))
}

fn compile(function: &str, pattern: &str) -> Result<Regex, ExecutionError> {
    RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build().map_err(|error| {
        let reason = match error {
            regex::Error::CompiledTooBig(_) => "is too large a regular expression",
            _ => "is no regular expression",
        };
        fault::own(function, format!("the pattern {reason}"))
    })
}

/// `isQuantity(text)`
fn is_quantity(text: CelText) -> ResolveResult {
    Ok(Value::Bool(Quantity::parse(&text).is_ok()))
}

/// The argument of `quantity(text)` as canonical text, so that the library's arithmetic has numbers
/// that cannot overflow.
fn quantity(text: CelText) -> ResolveResult {
    match Quantity::parse(&text) {
        Ok(quantity) => Ok(string(quantity.to_string())),
        Err(expected) => Err(fault::own("quantity", format!("the text {expected}"))),
    }
}

/// The arguments of `text.format(arguments)`; an error if they contain a map or are too long.
fn printable(arguments: Value) -> ResolveResult {
    let bytes = printed_bytes(&arguments).ok_or_else(|| fault::own("format", "a map has no order and so no text"))?;
    check_bytes("format", bytes)?;
    Ok(arguments)
}

/// Rough length of a value as text; `None` if it contains a map.
fn printed_bytes(value: &Value) -> Option<usize> {
    match value {
        Value::Map(_) => None,
        Value::List(items) => items.iter().try_fold(2_usize, |sum, item| Some(sum + printed_bytes(item)? + 2)),
        Value::String(text) => Some(text.len()),
        Value::Bytes(bytes) => Some(bytes.len()),
        _ => Some(8),
    }
}

fn check_bytes(function: &str, bytes: usize) -> Result<(), ExecutionError> {
    if bytes <= MAX_TEXT_BYTES {
        return Ok(());
    }
    let message = format!("the text would have {bytes} bytes; at most {MAX_TEXT_BYTES} are allowed");
    Err(fault::own(function, message))
}

fn check_items(function: &str, list: &[Value]) -> Result<(), ExecutionError> {
    if list.len() <= MAX_COMPARED {
        return Ok(());
    }
    let message = format!("a list of {} items; at most {MAX_COMPARED} are allowed", list.len());
    Err(fault::own(function, message))
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text.as_str()),
        _ => None,
    }
}

fn string(text: String) -> Value {
    Value::String(Arc::new(text))
}
