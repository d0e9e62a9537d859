//! Strings in JSON text: reads them without a copy, and skips them in a scan of the structure.

use serde::Deserialize;
use std::borrow::Cow;

/// A string, borrowed from the text unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct JsonString<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Position of the quote that ends the string whose first byte is at `at`, or the length of the
/// text if the string does not end.
pub(super) fn end_of_string(text: &[u8], mut at: usize) -> usize {
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += plain_bytes(&text[at..]).max(1),
        }
    }
    text.len()
}

/// A number of bytes that contain no quote and no backslash. Most of a pod is text in strings, so
/// the bytes are compared eight at a time.
fn plain_bytes(text: &[u8]) -> usize {
    let mut plain = 0;
    for chunk in text.chunks_exact(8) {
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

/// Sets the high bit of the first byte that is zero. Bits above that byte may be wrong.
const fn zero_bytes(word: u64) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    word.wrapping_sub(LOW) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_its_first_quote_without_a_backslash() {
        for length in 0..20 {
            let plain = "a".repeat(length);
            assert_eq!(end_of_string(format!("{plain}\" x\"").as_bytes(), 0), length);
            assert_eq!(end_of_string(format!("{plain}\\\"b\"").as_bytes(), 0), length + 3);
            assert_eq!(end_of_string(format!("{plain}\\\\\"b\"").as_bytes(), 0), length + 2);
            assert_eq!(end_of_string(plain.as_bytes(), 0), length, "it never ends");
            assert_eq!(end_of_string(format!("{plain}\\").as_bytes(), 0), length + 1, "nor here");
        }
    }
}
