//! Numbers of bytes in the format of Kubernetes quantities: `16Mi`, `1Gi`, `500k`, `1048576`.

use std::fmt;

use super::from_text::FromText;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(usize);

const UNITS: [(&str, usize); 7] = [
    ("Gi", 1024 * 1024 * 1024),
    ("Mi", 1024 * 1024),
    ("Ki", 1024),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
    ("", 1),
];

impl ByteSize {
    /// So many mebibytes.
    pub const fn mebibytes(count: usize) -> Self {
        Self(count * 1024 * 1024)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl FromText for ByteSize {
    const EXPECTED: &'static str = "a number of bytes, such as 16Mi or 1Gi";

    fn from_text(text: &str) -> Option<Self> {
        let (digits, unit) = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)))?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse::<usize>().ok()?.checked_mul(*unit).map(Self)
    }
}

/// Prints the number in the largest unit that needs no fraction.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |unit: &&(&str, usize)| self.0 != 0 && self.0.is_multiple_of(unit.1);
        let (unit, bytes) = UNITS.iter().find(fits).unwrap_or(&("", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_with_a_known_unit_are_sizes() {
        let cases = [
            ("0", Some(0)),
            ("1048576", Some(1_048_576)),
            ("16Mi", Some(16 * 1024 * 1024)),
            ("1Gi", Some(1024 * 1024 * 1024)),
            ("3Ki", Some(3072)),
            ("500k", Some(500_000)),
            ("2M", Some(2_000_000)),
            ("1G", Some(1_000_000_000)),
        ];
        for (text, bytes) in cases {
            assert_eq!(ByteSize::from_text(text).map(ByteSize::bytes), bytes, "{text}");
        }
        for bad in ["", "Mi", "1.5Gi", "-1", "+1", " 1", "1 Mi", "16mi", "16MB", "1m", "99999999999Gi", "1e3"] {
            assert_eq!(ByteSize::from_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_printed_size_parses_to_the_same_size() {
        for (bytes, shown) in [(0, "0"), (16 << 20, "16Mi"), (3 << 30, "3Gi"), (1_500, "1500"), (2_000_000, "2M")] {
            assert_eq!(ByteSize(bytes).to_string(), shown);
            assert_eq!(ByteSize::from_text(shown), Some(ByteSize(bytes)));
        }
    }
}
