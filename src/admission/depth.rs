//! How deeply a JSON text nests. Looks at brackets alone; whether the text is JSON is for the parser to say.
//!
//! Invariant: constant stack and memory, whatever the text. The parser's own limit does not hold for text that is kept raw.

/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 128;

/// Whether arrays and objects nest deeper than [`MAX_DEPTH`].
pub fn is_too_deep(text: &[u8]) -> bool {
    // Counting runs at many bytes an instruction, and an ordinary review has fewer brackets than may nest.
    opening_brackets(text) > MAX_DEPTH && nests_too_deeply(text)
}

/// `{` is `[` with one bit more.
fn opening_brackets(text: &[u8]) -> usize {
    text.chunks(255).map(|chunk| usize::from(chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>())).sum()
}

fn nests_too_deeply(text: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => at = behind_string(text, at),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// Position behind the closing quote of the string that begins here.
fn behind_string(text: &[u8], mut at: usize) -> usize {
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += plain_bytes(&text[at..]).max(1),
        }
    }
    text.len()
}

/// How many of the next bytes certainly neither end the string nor escape: most of a review is text in strings, so eight at a time.
fn plain_bytes(text: &[u8]) -> usize {
    let chunks = text.chunks_exact(8);
    let mut plain = 0;
    for chunk in chunks {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        let special = zero_bytes(word ^ QUOTES) | zero_bytes(word ^ BACKSLASHES);
        if special != 0 {
            return plain + special.trailing_zeros() as usize / 8;
        }
        plain += 8;
    }
    plain
}

const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);

/// The high bit of each byte that is zero; above the first such byte the answer may be wrong, which nobody asks.
const fn zero_bytes(word: u64) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    word.wrapping_sub(LOW) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        assert!(!is_too_deep(nested(MAX_DEPTH).as_bytes()));
        assert!(is_too_deep(nested(MAX_DEPTH + 1).as_bytes()));
    }

    #[test]
    fn objects_count_like_arrays() {
        assert!(is_too_deep(r#"{"a":["#.repeat(MAX_DEPTH).as_bytes()));
    }

    #[test]
    fn many_brackets_side_by_side_are_not_deep() {
        assert!(!is_too_deep("[],{},".repeat(10_000).as_bytes()));
    }

    #[test]
    fn brackets_within_strings_do_not_count() {
        let text = format!(r#"{{"a":"{}\"[","b":"\\"}}"#, "[".repeat(1_000));
        assert!(!is_too_deep(text.as_bytes()));
        let deep = format!(r#"["\\",{}]"#, "[".repeat(MAX_DEPTH));
        assert!(is_too_deep(deep.as_bytes()), "an escaped backslash does not escape the quote after it");
    }

    #[test]
    fn a_hundred_thousand_brackets_need_no_stack() {
        assert!(is_too_deep("[".repeat(100_000).as_bytes()));
    }

    #[test]
    fn a_full_chunk_of_brackets_is_counted() {
        assert_eq!(opening_brackets("{".repeat(1_000).as_bytes()), 1_000);
    }
}
