//! Durations as Go writes them: `10s`, `1m30s`, `1.5h`, `300ms`, `0`.
//!
//! That is the form of the API server's `?timeout=` and of Kubernetes' own settings. Negative ones are refused.

use std::time::Duration;

/// Nanoseconds of each unit; longer names before their prefixes.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Longest duration that is read: nothing here waits for longer, and clocks overflow later than this.
const MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads a duration; `None` when the text is none, or longer than a year.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    loop {
        let (part, after) = one_part(rest)?;
        total = total.checked_add(part).filter(|total| *total <= MAX)?;
        if after.is_empty() {
            return Some(total);
        }
        rest = after;
    }
}

/// One number with its unit, and what follows.
fn one_part(text: &str) -> Option<(Duration, &str)> {
    let (number, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
    let (unit, nanoseconds) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nanos = whole.checked_mul(*nanoseconds)?.checked_add(fraction_of(fraction, *nanoseconds)?)?;
    Some((Duration::from_nanos(nanos), &rest[unit.len()..]))
}

/// `.25` of a unit, in nanoseconds, rounded down.
fn fraction_of(digits: &str, nanoseconds: u64) -> Option<u64> {
    // Eighteen digits are more than a nanosecond of an hour can show.
    let digits = &digits[..digits.len().min(18)];
    if digits.is_empty() {
        return Some(0);
    }
    let scale = 10_u128.pow(u32::try_from(digits.len()).ok()?);
    let value = digits.parse::<u128>().ok()? * u128::from(nanoseconds) / scale;
    u64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("300ms", 300),
            ("2h45m0.5s", 9_900_500),
            (".5s", 500),
            ("1.s", 1_000),
            ("1000us", 1),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        for text in [
            "",
            "10",
            "s",
            ".s",
            "1..2s",
            "-1s",
            "+1s",
            "1 s",
            "1d",
            "1s ",
            "1s1",
            "99999999h",
            "18446744073709551616s",
            "ä",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
