//! Durations in Go's format: `10s`, `1m30s`, `1.5h`, `300ms`, `0`.
//!
//! The API server's `?timeout=` and Kubernetes' own settings have this format.

use std::time::Duration;

use crate::inject;

/// Longest duration that is accepted. No setting needs more, and clocks do not overflow with it.
const MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Parses a duration. `None` if the text is not a duration, is negative, or exceeds one year.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let nanoseconds = inject::text::duration::Duration::parse(text).ok()?.nanoseconds();
    let duration = Duration::from_nanos(u64::try_from(nanoseconds).ok()?);
    (duration <= MAX).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_gos_format_are_parsed() {
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
    fn other_texts_are_not_durations() {
        for text in
            ["", "10", "s", ".s", "1..2s", "-1s", "1 s", "1d", "1s ", "1s1", "99999999h", "18446744073709551616s", "ä"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
