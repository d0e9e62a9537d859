//! Takes pairs of signs out of an expression: the parser takes `!!a` for `!a`, and `--a` for `-a`.
//!
//! Invariant: what stays has the position that it had.

use std::borrow::Cow;

use super::interpolation::end_of_string;

/// The expression with spaces in the place of each two equal signs before one operand.
pub(super) fn without_pairs(source: &str) -> Cow<'_, str> {
    let is_repeated = |sign: u8| source.bytes().filter(|byte| *byte == sign).count() > 1;
    if !is_repeated(b'!') && !is_repeated(b'-') {
        return Cow::Borrowed(source);
    }
    let bytes = source.as_bytes();
    let mut blank: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            b'\'' | b'"' => end_of_string(bytes, at).map_or(bytes.len(), |end| end + 1),
            b'/' if bytes.get(at + 1) == Some(&b'/') => source[at..].find('\n').map_or(bytes.len(), |end| at + end),
            b'!' | b'-' => {
                let mut signs = run(bytes, at, *byte);
                let after = signs.last().map_or(at, |last| *last) + 1;
                // The first may stand between two operands.
                if *byte == b'-' && ends_operand(&source[..at]) {
                    signs.remove(0);
                }
                blank.extend(&signs[..signs.len() / 2 * 2]);
                after
            }
            _ => at + 1,
        };
    }
    let mut text = bytes.to_vec();
    blank.into_iter().for_each(|at| text[at] = b' ');
    String::from_utf8(text).map_or(Cow::Borrowed(source), Cow::Owned)
}

/// The places of equal signs with nothing but spaces between them; `!=` is none of them.
fn run(bytes: &[u8], start: usize, sign: u8) -> Vec<usize> {
    let mut places = Vec::new();
    let mut at = start;
    while let Some(byte) = bytes.get(at).filter(|byte| **byte == sign || byte.is_ascii_whitespace()) {
        let is_comparison = sign == b'!' && bytes.get(at + 1) == Some(&b'=');
        if *byte == sign && is_comparison && !places.is_empty() {
            break;
        }
        if *byte == sign {
            places.push(at);
        }
        at += 1;
    }
    places
}

/// Whether a value ends here, so that a minus that follows stands between two.
fn ends_operand(before: &str) -> bool {
    let before = before.trim_end();
    let word = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    if word.is_empty() { before.ends_with([')', ']', '}', '\'', '"', '`']) } else { word != "in" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_of_signs_before_an_operand_go() {
        for (source, expected) in [
            ("!!a", "  a"),
            ("!!!a", "  !a"),
            ("! ! a && !!!!b", "    a &&     b"),
            ("a != !!b", "a !=   b"),
            ("!a != !b", "!a != !b"),
            ("--5", "  5"),
            ("a--b", "a--b"),
            ("a - - -b", "a -    b"),
            ("(a)---b", "(a)-  b"),
            ("a in --b", "a in   b"),
            ("'!!' + r'\\' + '--' == \"\"\"!!\"--\"\"\"", "'!!' + r'\\' + '--' == \"\"\"!!\"--\"\"\""),
            ("'\\'!!' + b // !!\n + !!c", "'\\'!!' + b // !!\n +   c"),
            ("'é!!'.size() - --a", "'é!!'.size() -   a"),
        ] {
            assert_eq!(without_pairs(source), expected, "{source}");
        }
    }
}
