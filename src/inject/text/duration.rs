//! Durations as Go writes them: `1h30m`, `500ms`, `1.5s`.
//!
//! Accepts exactly the texts that Go's `time.ParseDuration` accepts.

/// The error for a text that is not a duration.
pub(crate) const EXPECTED: &str = "must be a duration, such as \"300ms\", \"1.5s\" or \"1h30m\"";

/// A time span of less than 293 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Duration {
    nanoseconds: i64,
}

impl Duration {
    /// Parses the text; the error names the expected format.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        read(text).map(|nanoseconds| Self { nanoseconds }).ok_or(EXPECTED)
    }

    #[cfg(feature = "runtime")]
    pub(crate) const fn nanoseconds(self) -> i64 {
        self.nanoseconds
    }
}

fn read(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (part, after) = read_part(rest)?;
        total = total.checked_add(part)?;
        rest = after;
    }
    i64::try_from(sign * total).ok()
}

/// Reads one number with its unit, as whole nanoseconds rounded down; also returns the rest of the
/// text.
fn read_part(text: &str) -> Option<(i128, &str)> {
    let number_end = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let (number, rest) = text.split_at(number_end);
    let unit_end = rest.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let nanoseconds = unit_nanoseconds(unit)?;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()? };
    // Further digits are worth less than a nanosecond, even of an hour.
    let fraction = &fraction[..fraction.len().min(18)];
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<i128>().ok()? };
    let scale = 10i128.pow(u32::try_from(fraction.len()).ok()?);
    let total = whole.checked_mul(nanoseconds)?.checked_add(part * nanoseconds / scale)?;
    (total <= i128::from(i64::MAX) + 1).then_some((total, rest))
}

fn unit_nanoseconds(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter look alike.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_that_go_accepts_are_accepted() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("1ns", 1),
            ("1us", 1_000),
            ("1µs", 1_000),
            ("1μs", 1_000),
            ("500ms", 500_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("-1m", -60_000_000_000),
            ("+1m30s", 90_000_000_000),
            ("1m1h", 3_660_000_000_000),
            ("0.33333333333333333333h", 1_199_999_999_999),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("2562047h47m16.854775807s", i64::MAX),
        ] {
            assert_eq!(Duration::parse(text).map(Duration::nanoseconds), Ok(nanoseconds), "{text}");
        }
    }

    #[test]
    fn durations_that_go_refuses_are_refused() {
        for text in [
            "",
            "-",
            "+",
            "1",
            "s",
            ".s",
            ".",
            "1.2.3s",
            "1 s",
            " 1s",
            "1s ",
            "1d",
            "1S",
            "--1s",
            "1s-1s",
            "1e3s",
            "1h30",
            "٣s",
            "1\ns",
            "9223372036854775808ns",
            "3000000h",
            "99999999999999999999999999999999999999999999h",
            "-9223372036854775809ns",
        ] {
            assert_eq!(Duration::parse(text), Err(EXPECTED), "{text:?}");
        }
    }
}
