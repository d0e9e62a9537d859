//! One event as one line, JSON or text.
//!
//! Invariants: a line has no other line in it and no control character, whatever the values are; a
//! value longer than [`MAX_VALUE`] is cut, so that a line is bounded and, as JSON, still complete.

use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::inject::text::{is_unprintable, push_printable};

/// Longest text of one field, in bytes as written.
const MAX_VALUE: usize = 4 * 1024;
/// Lines of this crate need not say where they come from.
const OUR_TARGET: &str = env!("CARGO_CRATE_NAME");

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Json,
    Text,
    /// Text with the colours of a terminal.
    Coloured,
}

/// Makes lines, each in the place of the one before.
#[derive(Default)]
pub(super) struct Line {
    text: String,
    /// The second that `stamp` is of: thousands of lines may share it.
    second: Option<u64>,
    stamp: String,
}

impl Line {
    /// The line of an event, with its end.
    pub(super) fn write(&mut self, style: Style, event: &Event<'_>, now: SystemTime) -> &str {
        self.text.clear();
        match style {
            Style::Json => self.json(event, now),
            Style::Text => self.plain(event, now, ("", "")),
            Style::Coloured => self.plain(event, now, (colour(*event.metadata().level()), "\x1b[0m")),
        }
        &self.text
    }

    fn json(&mut self, event: &Event<'_>, now: SystemTime) {
        let metadata = event.metadata();
        self.text.push_str("{\"timestamp\":\"");
        self.timestamp(now);
        self.text.push_str("\",\"level\":\"");
        self.text.push_str(metadata.level().as_str());
        self.text.push('"');
        let mut fields = Json { text: &mut self.text };
        event.record(&mut fields);
        if !is_ours(metadata.target()) {
            fields.string("target", metadata.target());
        }
        self.text.push_str("}\n");
    }

    fn plain(&mut self, event: &Event<'_>, now: SystemTime, (colour, end): (&str, &str)) {
        let metadata = event.metadata();
        self.timestamp(now);
        // Writing to a String cannot fail.
        _ = write!(self.text, " {colour}{:>5}{end}", metadata.level().as_str());
        if !is_ours(metadata.target()) {
            _ = write!(self.text, " {}:", metadata.target());
        }
        let mut message = MessageField { text: &mut self.text };
        event.record(&mut message);
        event.record(&mut OtherFields { text: &mut self.text });
        self.text.push('\n');
    }

    /// `2026-11-21T14:53:09.123456Z`
    fn timestamp(&mut self, now: SystemTime) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.second = Some(since.as_secs());
            self.stamp.clear();
            let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
            let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
            let (hour, minute, second) = at.to_hms();
            let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
            _ = write!(self.stamp, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        }
        self.text.push_str(&self.stamp);
        _ = write!(self.text, ".{:06}Z", since.subsec_micros());
    }
}

fn is_ours(target: &str) -> bool {
    target.strip_prefix(OUR_TARGET).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

const fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// Fields as members of an object that has a member already.
struct Json<'l> {
    text: &'l mut String,
}

impl Json<'_> {
    fn key(&mut self, key: &str) {
        self.text.push_str(",\"");
        self.text.push_str(key);
        self.text.push_str("\":");
    }

    fn string(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        self.text.push('"');
        _ = write!(Escaped::new(self.text, Escapes::Json), "{value}");
        self.text.push('"');
    }

    fn bare(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        _ = write!(self.text, "{value}");
    }
}

impl Visit for Json<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.string(field.name(), format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.string(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() { self.bare(field.name(), value) } else { self.string(field.name(), value) }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field.name(), value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.bare(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.string(field.name(), value);
    }
}

const MESSAGE: &str = "message";

/// The message alone.
struct MessageField<'l> {
    text: &'l mut String,
}

impl Visit for MessageField<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            self.text.push(' ');
            _ = write!(Escaped::new(self.text, Escapes::Control), "{value:?}");
        }
    }
}

/// Every field but the message, as ` key=value`.
struct OtherFields<'l> {
    text: &'l mut String,
}

impl OtherFields<'_> {
    fn key(&mut self, key: &str) {
        self.text.push(' ');
        self.text.push_str(key);
        self.text.push('=');
    }

    /// In quotes where it could be taken for something else.
    fn value(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        let start = self.text.len();
        _ = write!(Escaped::new(self.text, Escapes::Text), "{value}");
        let is_one_word = !self.text[start..].contains([' ', '"', '=', '\\']) && self.text.len() > start;
        if !is_one_word {
            self.text.insert(start, '"');
            self.text.push('"');
        }
    }
}

impl Visit for OtherFields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != MESSAGE {
            self.value(field.name(), format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field.name());
        self.text.push('"');
        _ = Escaped::new(self.text, Escapes::Text).write_str(value);
        self.text.push('"');
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.value(field.name(), value);
    }
}

/// What must not stand in a text as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Json,
    /// Within quotes.
    Text,
    Control,
}

/// Escapes what goes through, and cuts it.
struct Escaped<'l> {
    text: &'l mut String,
    escapes: Escapes,
    room: usize,
}

impl<'l> Escaped<'l> {
    fn new(text: &'l mut String, escapes: Escapes) -> Self {
        Self { text, escapes, room: MAX_VALUE }
    }

    /// The character as it may be written.
    fn escaped(&mut self, character: char) {
        match (self.escapes, character) {
            (Escapes::Json | Escapes::Text, '"') => self.text.push_str("\\\""),
            (Escapes::Json | Escapes::Text, '\\') => self.text.push_str("\\\\"),
            (Escapes::Json, _) if is_unprintable(character) && !matches!(character, '\n' | '\r' | '\t') => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    _ = write!(self.text, "\\u{unit:04x}");
                }
            }
            _ => push_printable(self.text, character),
        }
    }
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if text.len() < self.room && text.bytes().all(is_plain) {
            self.text.push_str(text);
            self.room -= text.len();
            return Ok(());
        }
        for character in text.chars() {
            if self.room == 0 {
                break;
            }
            let before = self.text.len();
            self.escaped(character);
            self.room = self.room.saturating_sub(self.text.len() - before);
            if self.room == 0 {
                self.text.push('…');
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
