//! Makes untrusted text safe to print: on one line, cut and escaped.
//!
//! Security rule: names, values and messages of pods, templates, requests and other programs end up
//! in terminals, logs and `kubectl` warnings. Outrigger prints such text only through this file.
//!
//! Invariant: text from this file never starts a second line, moves the cursor, hides a part of
//! itself or changes the reading direction.

/// Longest part of a value that a message quotes, in characters.
pub(super) const QUOTED_MAX: usize = 80;

/// Replaces the part of a text that was cut off.
const ELLIPSIS: char = '…';

/// Whether a character must be escaped when untrusted text is printed. These are all of them:
/// - control characters, which drive terminals: U+0000–U+001F, U+007F–U+009F;
/// - separators that start a line: U+2028, U+2029;
/// - marks that turn the reading direction: U+061C, U+200E, U+200F, U+202A–U+202E, U+2066–U+2069;
/// - format characters without a width, by which two texts look alike or one hides: U+00AD, U+180E,
///   U+200B–U+200D, U+2060–U+2065, U+206A–U+206F, U+FEFF, U+FFF9–U+FFFB, U+E0000–U+E007F.
pub(crate) fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Appends the character, as an escape such as `\n` or `\u{202e}` where it is unprintable.
pub(crate) fn push_printable(line: &mut String, character: char) {
    match character {
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        other if is_unprintable(other) => line.extend(other.escape_unicode()),
        other => line.push(other),
    }
}

/// The text on one line of at most `limit` characters, the last being `…` where it was cut. Quotes
/// are left alone: this is for whole sentences and for names that stand alone.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    // Nearly every text is short, plain ASCII.
    if text.len() <= limit && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    cut(text, limit, push_printable)
}

/// The value in double quotes as messages show it: on one line, cut to 80 characters.
pub(crate) fn quote(value: &str) -> String {
    format!("\"{}\"", escaped(value))
}

/// The value as printed between quotes or brackets.
pub(super) fn escaped(value: &str) -> String {
    cut(value, QUOTED_MAX, |line, character| {
        if matches!(character, '"' | '\\') {
            line.push('\\');
        }
        push_printable(line, character);
    })
}

/// At most `limit` characters of what `push` makes of the text; no escape is cut in two.
fn cut(text: &str, limit: usize, push: impl Fn(&mut String, char)) -> String {
    let mut line = String::with_capacity(text.len().min(limit) + ELLIPSIS.len_utf8());
    let mut room = limit;
    let mut before_last = 0;
    for character in text.chars() {
        let start = line.len();
        push(&mut line, character);
        let length = line[start..].chars().count();
        if length > room {
            // If the text fills the limit, the ellipsis replaces the last character.
            line.truncate(if room == 0 { before_last } else { start });
            line.push(ELLIPSIS);
            return line;
        }
        room -= length;
        before_last = start;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_cut_and_escaped() {
        assert_eq!(quote("web"), "\"web\"");
        assert_eq!(quote(""), "\"\"");
        assert_eq!(quote("a\nb\t\"c\"\\ \u{7}\u{0}"), r#""a\nb\t\"c\"\\ \u{7}\u{0}""#);
        assert_eq!(quote("\u{202e}txt\u{2028}"), r#""\u{202e}txt\u{2028}""#);
        assert_eq!(quote(&"ü".repeat(80)), format!("\"{}\"", "ü".repeat(80)));
        assert_eq!(quote(&"x".repeat(81)), format!("\"{}…\"", "x".repeat(79)));
        assert_eq!(quote(&"\n".repeat(200)), format!("\"{}…\"", "\\n".repeat(39)));
    }

    #[test]
    fn a_sentence_keeps_its_quotes_on_one_line() {
        assert_eq!(one_line("\"a\" is\nno \u{1b}\u{202e}name", 80), r#""a" is\nno \u{1b}\u{202e}name"#);
        assert_eq!(one_line("a\nb\r\tc\u{1b}[1m\u{202e}", 120), "a\\nb\\r\\tc\\u{1b}[1m\\u{202e}");
    }

    #[test]
    fn short_text_is_left_alone() {
        for text in ["über 5 \"x\"", "", "日本語 👍 a\u{301}"] {
            assert_eq!(one_line(text, 120), text);
        }
    }

    /// Repeats the list, so that nobody removes a character by accident.
    #[test]
    fn exactly_these_characters_are_escaped() {
        let ranges: [(u32, u32); 15] = [
            (0x0, 0x1f),
            (0x7f, 0x9f),
            (0xad, 0xad),
            (0x61c, 0x61c),
            (0x180e, 0x180e),
            (0x200b, 0x200f),
            (0x2028, 0x2029),
            (0x202a, 0x202e),
            (0x2060, 0x2065),
            (0x2066, 0x2069),
            (0x206a, 0x206f),
            (0xfeff, 0xfeff),
            (0xfff9, 0xfffb),
            (0xe0000, 0xe001f),
            (0xe0020, 0xe007f),
        ];
        for character in (0..=0x10_ffff).filter_map(char::from_u32) {
            let is_listed = ranges.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(character)));
            assert_eq!(is_unprintable(character), is_listed, "{character:?}");
            let line = one_line(&format!("a{character}b"), 80);
            assert_eq!(line.contains(character), !is_listed, "{character:?}");
            assert!(!line.chars().any(is_unprintable), "{line:?}");
        }
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
