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
fn visible(json: &str) -> String {
    let mut visible = String::with_capacity(json.len());
    for character in json.chars() {
        if character != '\n' && is_unprintable(character) {
            // They occur in strings only. Writing to a String cannot fail.
            for unit in character.encode_utf16(&mut [0; 2]) {
                _ = write!(visible, "\\u{unit:04x}");
            }
        } else {
            visible.push(character);
        }
    }
    visible
}
