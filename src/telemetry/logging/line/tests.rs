//! Lines of events with all kinds of values, in both forms.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

use super::*;

/// Keeps the lines of events.
struct Captured {
    style: Style,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Subscriber for Captured {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let now = UNIX_EPOCH + Duration::new(1_795_272_789, 1_234_567);
        let line = Line::default().write(self.style, event, now).to_owned();
        self.lines.lock().expect("no panic while writing").push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The only line that `log` logs.
fn line(style: Style, log: impl Fn()) -> String {
    let lines = Arc::new(Mutex::new(Vec::new()));
    tracing::subscriber::with_default(Captured { style, lines: Arc::clone(&lines) }, log);
    let lines = lines.lock().expect("no panic while writing");
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    line.trim_end().to_owned()
}

fn as_json(log: impl Fn()) -> Value {
    let line = line(Style::Json, log);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn every_kind() {
    let error = std::io::Error::other("a b");
    tracing::info!(
        text = "a \"b\"",
        shown = %"one,two",
        spaced = %"a b",
        empty = %"",
        absent = Option::<&str>::None,
        number = 7_u64,
        negative = -7_i64,
        wide = 7_u128,
        real = 0.5,
        is_so = true,
        error = &error as &(dyn std::error::Error + 'static),
        "a message"
    );
}

#[test]
fn json_has_values_of_their_types() {
    let expected = json!({
        "timestamp": "2026-11-21T14:53:09.001234Z", "level": "INFO", "message": "a message", "text": "a \"b\"",
        "shown": "one,two", "spaced": "a b", "empty": "", "number": 7, "negative": -7, "wide": 7, "real": 0.5, "is_so": true,
        "error": "a b",
    });
    assert_eq!(as_json(every_kind), expected);
}

#[test]
fn text_can_be_taken_apart_at_spaces() {
    assert_eq!(
        line(Style::Text, every_kind),
        "2026-11-21T14:53:09.001234Z  INFO a message text=\"a \\\"b\\\"\" shown=one,two spaced=\"a b\" empty=\"\" number=7 \
         negative=-7 wide=7 real=0.5 is_so=true error=\"a b\""
    );
}

#[test]
fn only_a_terminal_gets_colours() {
    let log = || tracing::error!("x");
    assert_eq!(line(Style::Coloured, log), "2026-11-21T14:53:09.001234Z \x1b[31mERROR\x1b[0m x");
}

#[test]
fn lines_of_libraries_say_so() {
    let log = || tracing::warn!(target: "hyper::proto", "x");
    assert_eq!(as_json(log)["target"], "hyper::proto");
    assert_eq!(line(Style::Text, log), "2026-11-21T14:53:09.001234Z  WARN hyper::proto: x");
}

#[test]
fn no_value_can_forge_a_line_or_drive_a_terminal() {
    let hostile = "a\n2026 ERROR b\r\t\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{e0041}\0\"\\";
    let log = || tracing::warn!(text = hostile, shown = %hostile, "{hostile}");
    let found = as_json(log);
    for field in ["text", "shown", "message"] {
        assert_eq!(found[field], hostile);
    }
    for style in [Style::Json, Style::Text] {
        let line = line(style, log);
        assert!(!line.chars().any(is_unprintable), "{line}");
    }
}

#[test]
fn a_long_value_is_cut_and_the_line_is_complete() {
    for piece in ["x", "\n", "ä", "\u{1}"] {
        let long = piece.repeat(100_000);
        let log = || tracing::warn!(long, after = 1, "cut");
        let found = as_json(log);
        assert_eq!(found["after"], 1);
        assert!(found["long"].as_str().is_some_and(|text| text.ends_with('…') && text.len() <= MAX_VALUE + 8));
        let text = line(Style::Text, log);
        assert!(text.len() < MAX_VALUE + 200 && text.ends_with("…\" after=1"), "{}", text.len());
    }
}
