//! The type of a plain scalar as kubectl reads it: sigs.k8s.io/yaml, which is YAML 1.1 of go-yaml 2.

/// What the text of a plain scalar means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Resolved {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    /// `.inf` and `.nan`, which JSON does not have.
    NotFinite,
    Text,
}

/// Gives a plain scalar its type.
pub(super) fn resolve(text: &str) -> Resolved {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Resolved::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Resolved::Bool(false);
        }
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match (unsigned, text) {
        (".inf" | ".Inf" | ".INF", _) | (_, ".nan" | ".NaN" | ".NAN") => Resolved::NotFinite,
        _ if text.starts_with('.') => float(text),
        _ if unsigned.len() < text.len() || text.starts_with(|first: char| first.is_ascii_digit()) => number(text),
        _ => Resolved::Text,
    }
}

fn number(text: &str) -> Resolved {
    let plain = text.replace('_', "");
    integer(&plain).unwrap_or_else(|| float(&plain))
}

/// An integer in the bases of Go's literals, `0644` included.
fn integer(text: &str) -> Option<Resolved> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    match (is_negative, i64::try_from(magnitude)) {
        (false, Ok(number)) => Some(Resolved::Signed(number)),
        (false, Err(_)) => Some(Resolved::Unsigned(magnitude)),
        (true, Ok(number)) => Some(Resolved::Signed(-number)),
        (true, Err(_)) => (magnitude == i64::MIN.unsigned_abs()).then_some(Resolved::Signed(i64::MIN)),
    }
}

/// Digits, a point and an exponent. What is too large for a float is text.
fn float(text: &str) -> Resolved {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_float = unsigned.bytes().any(|byte| byte.is_ascii_digit())
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    match text.parse::<f64>() {
        Ok(number) if is_float && number.is_finite() => whole(number),
        _ => Resolved::Text,
    }
}

/// Go writes a float without a fraction as an integer.
fn whole(number: f64) -> Resolved {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, reason = "the number is whole and within the range")]
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return Resolved::Signed(number as i64);
    }
    Resolved::Float(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_have_the_types_of_go_yaml() {
        use Resolved::{Bool, Float, NotFinite, Null, Signed, Text, Unsigned};
        for (text, expected) in [
            ("", Null),
            ("~", Null),
            ("Null", Null),
            ("nULL", Text),
            ("y", Bool(true)),
            ("on", Bool(true)),
            ("No", Bool(false)),
            ("oN", Text),
            ("1", Signed(1)),
            ("-7", Signed(-7)),
            ("+7", Signed(7)),
            ("1_000", Signed(1000)),
            ("0644", Signed(420)),
            ("-010", Signed(-8)),
            ("0o17", Signed(15)),
            ("0x1F", Signed(31)),
            ("0b101", Signed(5)),
            ("08123456", Signed(8_123_456)),
            ("4e10243", Text),
            ("4e10", Signed(40_000_000_000)),
            ("1e3", Signed(1000)),
            ("1.5", Float(1.5)),
            ("1.", Signed(1)),
            (".5", Float(0.5)),
            ("1e-7", Float(1e-7)),
            ("18446744073709551615", Unsigned(u64::MAX)),
            ("-9223372036854775808", Signed(i64::MIN)),
            ("18446744073709551616", Float(18_446_744_073_709_551_616.0)),
            ("0x", Text),
            ("0xg", Text),
            ("0x+1", Text),
            ("09", Signed(9)),
            ("-", Text),
            ("--1", Text),
            (".", Text),
            ("...", Text),
            ("1:30", Text),
            ("12:30:45", Text),
            ("2001-01-01", Text),
            ("2001-01-01T00:00:00Z", Text),
            ("1.2.3", Text),
            ("1e", Text),
            ("10Gi", Text),
            ("100m", Text),
            ("inf", Text),
            ("nan", Text),
            ("+inf", Text),
            (".inf", NotFinite),
            ("-.INF", NotFinite),
            (".NaN", NotFinite),
            ("4e1024", Text),
            ("infinity", Text),
        ] {
            assert_eq!(resolve(text), expected, "{text:?}");
        }
    }
}
