//! Measures how deeply a JSON text nests. Only brackets count; the parser checks whether it is
//! JSON.
//!
//! Invariant: stack and memory are constant for any text. The parser's own limit does not apply to
//! text that is kept raw.

use super::json_string::end_of_string;

/// Deepest nesting that is read.
pub(crate) const MAX_DEPTH: usize = 128;

/// Whether arrays and objects of a JSON text nest deeper than [`MAX_DEPTH`].
///
/// Bracket counts come first, because they are fast and settle the question for an ordinary
/// review. At any position, the depth is at most the number of opening brackets before it and, in
/// valid JSON, the number of closing brackets after it. The second count leaves out empty arrays
/// and objects, of which managed fields have many: at most one of them is around a position.
pub(crate) fn is_too_deep(json: &[u8]) -> bool {
    may_be_deep(json, brackets) && may_be_deep(json, brackets_around_something) && nests_too_deeply(json)
}

/// Whether a text with these bracket counts could exceed [`MAX_DEPTH`].
fn may_be_deep(json: &[u8], count: fn(&[u8], u8) -> usize) -> bool {
    let mut before = 0;
    let mut after: usize = json.chunks(CHUNK).map(|chunk| count(chunk, b'}')).sum();
    json.chunks(CHUNK).any(|chunk| {
        before += count(chunk, b'{');
        let may_be_deep = before.min(after) + 1 > MAX_DEPTH;
        after -= count(chunk, b'}');
        may_be_deep
    })
}

/// Length of a chunk, so that the count of its brackets fits in one byte.
const CHUNK: usize = 255;

/// How often a bracket occurs, curly or square: the two differ in one bit.
fn brackets(chunk: &[u8], bracket: u8) -> usize {
    usize::from(chunk.iter().map(|byte| u8::from(byte | 0x20 == bracket)).sum::<u8>())
}

/// How often a bracket occurs, without those of empty arrays and objects.
fn brackets_around_something(chunk: &[u8], bracket: u8) -> usize {
    let followed = chunk.iter().zip(chunk.get(1..).unwrap_or_default());
    // In ASCII, the code of a closing bracket is that of its opening bracket plus two.
    let is_empty = |(this, next): (&u8, &u8)| u8::from((this | 0x20 == b'{') & (*next == this.wrapping_add(2)));
    brackets(chunk, bracket) - usize::from(followed.map(is_empty).sum::<u8>())
}

/// Whether a text nests deeper than [`MAX_DEPTH`]. It need not be valid JSON.
pub(crate) fn nests_too_deeply(text: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_string(text, at) + 1,
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
        let (open, close) = (r#"{"a":["#, "]}");
        assert!(!is_too_deep(format!("{}{}", open.repeat(MAX_DEPTH / 2), close.repeat(MAX_DEPTH / 2)).as_bytes()));
        assert!(is_too_deep(format!("{}{}", open.repeat(MAX_DEPTH), close.repeat(MAX_DEPTH)).as_bytes()));
    }

    #[test]
    fn many_brackets_side_by_side_are_not_deep() {
        let side_by_side = format!("[{}0]", "[],{},".repeat(10_000));
        assert!(!is_too_deep(side_by_side.as_bytes()));
        assert!(is_too_deep(format!("[{side_by_side},{}]", nested(MAX_DEPTH)).as_bytes()));
        assert!(is_too_deep(format!("[{},{side_by_side}]", nested(MAX_DEPTH)).as_bytes()));
    }

    #[test]
    fn brackets_within_strings_do_not_count() {
        let text = format!(r#"{{"a":"{}\"[","b":"\\","c":"{}"}}"#, "[".repeat(1_000), "]".repeat(1_000));
        assert!(!is_too_deep(text.as_bytes()));
        let deep = format!(r#"["\\",{}]"#, nested(MAX_DEPTH));
        assert!(is_too_deep(deep.as_bytes()), "an escaped backslash does not escape the quote after it");
    }

    #[test]
    fn a_hundred_thousand_brackets_need_no_stack() {
        assert!(nests_too_deeply("[".repeat(100_000).as_bytes()));
        assert!(is_too_deep(nested(100_000).as_bytes()));
    }

    #[test]
    fn closing_brackets_within_strings_hide_no_depth() {
        let hiding = r#""]]]]]]]]]]]]]]]]""#;
        let deep = format!("[{hiding},{},{hiding}]", nested(MAX_DEPTH)).replace("[[[", &format!("[[{hiding},["));
        assert!(is_too_deep(deep.as_bytes()));
    }

    #[test]
    fn a_full_chunk_of_brackets_is_counted() {
        let chunk = "{".repeat(CHUNK);
        for count in [brackets, brackets_around_something] {
            assert_eq!((count(chunk.as_bytes(), b'{'), count(chunk.as_bytes(), b'}')), (CHUNK, 0));
            assert_eq!((count(b"", b'{'), count(b"]", b'}')), (0, 1));
        }
        let (text, around) = (b"{[}]a{}[]{", brackets_around_something);
        assert_eq!((brackets(text, b'{'), brackets(text, b'}')), (5, 4));
        assert_eq!((around(text, b'{'), around(text, b'}')), (3, 2));
    }

    /// The counts agree with the walk around the limit, also with empty objects and with pairs of
    /// brackets across the end of a chunk.
    #[test]
    fn the_bracket_counts_miss_no_excess_of_depth() {
        for depth in [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1] {
            for empty in 0..=CHUNK {
                let text = format!("[{}{},{}0]", "{},".repeat(empty), nested(depth - 1), "[],".repeat(empty));
                assert_eq!(is_too_deep(text.as_bytes()), depth > MAX_DEPTH, "{text}");
                assert_eq!(nests_too_deeply(text.as_bytes()), depth > MAX_DEPTH, "{text}");
            }
        }
    }
}
