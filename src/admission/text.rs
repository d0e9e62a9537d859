//! Text of the cluster's users on one line of bounded length.

use std::fmt::Write;

const ELLIPSIS: char = '…';

/// `text` with control characters escaped, cut to at most `limit` characters, the last then being `…`.
pub fn one_line(text: &str, limit: usize) -> String {
    if text.len() <= limit && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut line = String::with_capacity(text.len().min(limit) + ELLIPSIS.len_utf8());
    let mut room = limit;
    let mut before_last = 0;
    for character in text.chars() {
        let start = line.len();
        let length = push_escaped(&mut line, character);
        if length > room {
            // The ellipsis takes the place of what was the last character that fitted, where there is no room beside it.
            line.truncate(if room == 0 { before_last } else { start });
            line.push(ELLIPSIS);
            return line;
        }
        room -= length;
        before_last = start;
    }
    line
}

/// Returns the number of characters written.
fn push_escaped(line: &mut String, character: char) -> usize {
    if !is_unprintable(character) {
        line.push(character);
        return 1;
    }
    let start = line.len();
    match character {
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        // Writing to a String cannot fail.
        other => _ = write!(line, "\\u{{{:x}}}", u32::from(other)),
    }
    line.len() - start
}

/// Control characters, and those that end a line or turn the direction of writing in a terminal.
fn is_unprintable(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_left_alone() {
        assert_eq!(one_line("über 5 \"x\"", 120), "über 5 \"x\"");
        assert_eq!(one_line("", 120), "");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(one_line("a\nb\r\tc\u{1b}[1m\u{202e}", 120), "a\\nb\\r\\tc\\u{1b}[1m\\u{202e}");
    }

    #[test]
    fn the_limit_counts_characters_and_includes_the_ellipsis() {
        assert_eq!(one_line(&"ä".repeat(120), 120), "ä".repeat(120));
        assert_eq!(one_line(&"ä".repeat(121), 120), format!("{}…", "ä".repeat(119)));
    }

    #[test]
    fn an_escape_is_never_cut_in_two() {
        for limit in 1..12 {
            let line = one_line("abc\u{1b}\u{1b}def", limit);
            assert!(line.chars().count() <= limit, "{line:?} is longer than {limit}");
            assert!(line.ends_with('…') || line.ends_with('f'));
            let escapes = line.matches("\\u{1b}").count();
            assert_eq!(line.matches('\\').count(), escapes, "{line:?}");
        }
    }
}
