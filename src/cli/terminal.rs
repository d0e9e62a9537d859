//! Text that is safe on a terminal, whatever the objects of a cluster contain.
//!
//! Invariant: no character that controls a terminal leaves these functions.

use std::fmt::Write;

use anyhow::Context;
use serde::Serialize;

use super::stdio;
use crate::inject::text::{is_unprintable, quote};

/// Maximum length of a line. Messages of the API server are long, and quote texts of tenants.
const LONGEST: usize = 4096;

/// Whether text carries colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    Shown,
    Hidden,
}

/// The colours of words that say how something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Red,
    Green,
    Yellow,
    /// For what matters less.
    Dim,
    Bold,
}

impl Colours {
    /// Shown where stdout is a terminal that has colours.
    pub(super) fn of_stdout() -> Self {
        if stdio::shows_colours() { Self::Shown } else { Self::Hidden }
    }

    /// The text in a colour, if colours are shown.
    pub(super) fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Red => "31",
            Colour::Green => "32",
            Colour::Yellow => "33",
            Colour::Dim => "2",
            Colour::Bold => "1",
        };
        match self {
            Self::Shown => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Hidden => text.to_owned(),
        }
    }
}

/// The width of the terminal in characters, if stdout is one that tells it.
#[cfg(unix)]
#[allow(unsafe_code, reason = "the system call has no safe wrapper among our crates")]
pub(super) fn width_of_stdout() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call fills the structure, which lives longer than the call.
    let result = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then(|| usize::from(size.ws_col))
}

/// Elsewhere the terminal breaks lines itself.
#[cfg(not(unix))]
pub(super) const fn width_of_stdout() -> Option<usize> {
    None
}

/// The text on one line of bounded length.
pub(super) fn printable(text: &str) -> String {
    quote::one_line(text.trim(), LONGEST)
}

/// A result as JSON with a line break at its end.
pub(super) fn json(result: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(result).context("cannot write JSON")?;
    Ok(visible(&text) + "\n")
}

/// Escapes the control characters that JSON allows in strings: a terminal would obey them.
pub(super) fn visible(json: &str) -> String {
    escaped(json, |line, character| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            _ = write!(line, "\\u{unit:04x}");
        }
    })
}

/// JSON for readers of YAML, which allows fewer characters in strings than JSON, and no surrogates.
pub(super) fn visible_in_yaml(json: &str) -> String {
    escaped(json, |line, character| {
        let number = u32::from(character);
        _ = if number > 0xffff { write!(line, "\\U{number:08x}") } else { write!(line, "\\u{number:04x}") };
    })
}

/// The JSON with what cannot be printed replaced; it occurs in strings only.
fn escaped(json: &str, push_escape: impl Fn(&mut String, char)) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character != '\n' && is_unprintable(character) {
            push_escape(&mut text, character);
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn escaped_json_is_printable_and_reads_back_as_json_and_as_yaml() {
        let value = json!({"a": "\u{9b}2J\u{7f}\u{85}\u{202e}\u{feff}\u{e0001}\n\u{1b}[1m\\ \"", "\u{2028}": [1]});
        let (json, yaml) = (visible(&value.to_string()), visible_in_yaml(&value.to_string()));
        assert!(!json.contains(is_unprintable) && !yaml.contains(is_unprintable), "{json}\n{yaml}");
        assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON"), value);
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml).expect("YAML"), value);
    }
}
