//! Kubernetes quantities (`250m`, `1.5Gi`, `1e3`), exact.
//!
//! Follows apimachinery: nothing above 2^63-1, nothing finer than a nano, rounded away from zero,
//! and one canonical text for each value and format. No value passes through a float. The limits of
//! a resource are checked elsewhere.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// The error for a text that is not a quantity.
pub(crate) const EXPECTED: &str = "must be a quantity, such as \"500m\", \"1.5\", \"128Mi\" or \"1e3\"";

const NANOS: u128 = 1_000_000_000;

/// 2^63-1 units.
const MAX_NANOS: u128 = i64::MAX as u128 * NANOS;

/// A product below this is rounded to a thousandth, above it to a whole unit.
const WHOLE_FROM: u128 = 1000 * NANOS;

/// Largest power of ten that fits into 128 bits.
const MAX_POWER: usize = 38;

/// The family of suffixes a quantity was written with, which its canonical text keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QuantityFormat {
    /// `n u m k M G T P E`
    DecimalSi,
    /// `Ki Mi Gi Ti Pi Ei`
    BinarySi,
    /// `e3`
    DecimalExponent,
}

/// An amount. Equality and order are by value: `1000m` equals `1`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    nanos: i128,
    format: QuantityFormat,
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Quantity {
    /// No unit.
    pub(crate) const ZERO: Self = Self { nanos: 0, format: QuantityFormat::DecimalSi };
    /// One unit.
    pub(crate) const ONE: Self = Self { nanos: NANOS as i128, format: QuantityFormat::DecimalSi };

    /// Parses the text; the error names the expected format.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        read(text).ok_or(EXPECTED)
    }

    /// Reads a quantity field, which in JSON may be a string or a number.
    pub(crate) fn from_json(value: &Value) -> Result<Self, &'static str> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => Err(EXPECTED),
        }
    }

    pub(crate) const fn is_negative(self) -> bool {
        self.nanos < 0
    }

    pub(crate) const fn is_positive(self) -> bool {
        self.nanos > 0
    }

    /// Whether this is a whole number of `unit`s; of no unit, nothing is.
    pub(crate) const fn is_multiple_of(self, unit: Self) -> bool {
        unit.nanos > 0 && self.nanos % unit.nanos == 0
    }

    /// The sum, in the format of the first amount that is not zero.
    pub(crate) const fn plus(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(other.nanos), format }
    }

    /// The difference, or nothing where the other amount is larger.
    pub(crate) const fn minus(self, other: Self) -> Self {
        if self.nanos <= other.nanos { Self::ZERO } else { Self { nanos: self.nanos - other.nanos, ..self } }
    }

    fn new(negative: bool, nanos: u128, format: QuantityFormat) -> Self {
        let amount = i128::try_from(nanos.min(MAX_NANOS)).unwrap_or(i128::MAX);
        Self { nanos: if negative { -amount } else { amount }, format }
    }

    /// The product with a whole number; `None` above 2^63-1.
    pub(crate) fn times_integer(self, factor: i64) -> Option<Self> {
        self.times(factor < 0, u128::from(factor.unsigned_abs()), 0)
    }

    /// The product with a number taken as its shortest decimal text, so that `0.1` is a tenth;
    /// `None` above 2^63-1, or when the factor is not finite.
    pub(crate) fn times_float(self, factor: f64) -> Option<Self> {
        let text = factor.is_finite().then(|| factor.abs().to_string())?;
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        // What lies beyond the 38th place is less than any unit: it counts as one in the last
        // place.
        let (fraction, beyond) = fraction.split_at(fraction.len().min(MAX_POWER));
        let digits = format!("{whole}{fraction}").parse::<u128>().ok()? + u128::from(!beyond.is_empty());
        self.times(factor < 0.0, digits, fraction.len())
    }

    /// The product with `digits / 10^places`, rounded up (away from zero) to a whole unit, or to a
    /// thousandth where it is a decimal below 1000: `mul("250m", 0.333)` is `84m` and `mul("1Gi",
    /// 0.1)` is no fraction of a byte.
    fn times(self, negative: bool, digits: u128, places: usize) -> Option<Self> {
        let product = multiply_divide(self.nanos.unsigned_abs(), digits, power_of_ten(places))?;
        let unit = if self.format == QuantityFormat::BinarySi || product > WHOLE_FROM { NANOS } else { NANOS / 1000 };
        let rounded = product.div_ceil(unit).checked_mul(unit)?;
        (rounded <= MAX_NANOS).then(|| Self::new((self.nanos < 0) != negative, rounded, self.format))
    }

    /// The format that shows the value without loss.
    fn shown_format(self) -> QuantityFormat {
        let whole = self.nanos % NANOS as i128 == 0;
        let small = self.nanos.unsigned_abs() < 1024 * NANOS;
        if self.format == QuantityFormat::BinarySi && (small || !whole) {
            QuantityFormat::DecimalSi
        } else {
            self.format
        }
    }
}

/// Whether both are quantities of the same value, such as `1Gi` and `1024Mi`.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    matches!((Quantity::from_json(left), Quantity::from_json(right)), (Ok(left), Ok(right)) if left == right)
}

impl fmt::Display for Quantity {
    /// The canonical text: no fraction, the largest suffix that loses nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        f.write_str(if self.nanos < 0 { "-" } else { "" })?;
        let nanos = self.nanos.unsigned_abs();
        if self.shown_format() == QuantityFormat::BinarySi {
            let (amount, power) = strip(nanos / NANOS, 1024, 6);
            return write!(f, "{amount}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power]);
        }
        let (amount, power) = strip(nanos, 1000, 9);
        match self.shown_format() {
            QuantityFormat::DecimalExponent if power != 3 => {
                write!(f, "{amount}e{}", 3 * i32::try_from(power).unwrap_or(0) - 9)
            }
            QuantityFormat::DecimalExponent => write!(f, "{amount}"),
            _ => write!(f, "{amount}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][power]),
        }
    }
}

/// Takes the base out of the amount as often as it divides it, at most `max` times.
fn strip(mut amount: u128, base: u128, max: usize) -> (u128, usize) {
    let mut power = 0;
    while power < max && amount.is_multiple_of(base) {
        amount /= base;
        power += 1;
    }
    (amount, power)
}

/// The factor that a suffix stands for.
enum Multiplier {
    Ten(i64),
    Two(u32),
}

fn read(text: &str) -> Option<Quantity> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let number_end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let (format, scale) = suffix_scale(suffix)?;
    let nanos = match scale {
        Multiplier::Ten(exponent) => decimal_nanos(whole, fraction, exponent),
        Multiplier::Two(bits) => binary_nanos(whole, fraction, bits),
    };
    let format = if format == QuantityFormat::BinarySi && nanos < NANOS { QuantityFormat::DecimalSi } else { format };
    Some(Quantity::new(negative, nanos, format))
}

fn suffix_scale(suffix: &str) -> Option<(QuantityFormat, Multiplier)> {
    let decimal = |exponent| Some((QuantityFormat::DecimalSi, Multiplier::Ten(exponent)));
    let binary = |bits| Some((QuantityFormat::BinarySi, Multiplier::Two(bits)));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            Some((QuantityFormat::DecimalExponent, Multiplier::Ten(exponent)))
        }
    }
}

/// `whole.fraction × 10^exponent` in nanos, rounded up and capped.
fn decimal_nanos(whole: &str, fraction: &str, exponent: i64) -> u128 {
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0').collect();
    let Some(first) = digits.iter().position(|&digit| digit != 0) else { return 0 };
    // How many of the digits lie above the nano's place; more than 29 are beyond the cap.
    let above = i128::from(exponent) + 9 + whole.len() as i128 - first as i128;
    let Ok(above) = usize::try_from(above) else { return 1 };
    if above > 29 {
        return MAX_NANOS;
    }
    let significant = &digits[first..];
    let kept = significant.iter().copied().chain(std::iter::repeat(0)).take(above);
    let nanos = kept.fold(0, |nanos, digit| nanos * 10 + u128::from(digit));
    let lost = significant.iter().skip(above).any(|&digit| digit != 0);
    (nanos + u128::from(lost)).min(MAX_NANOS)
}

/// `whole.fraction × 2^bits` in nanos, rounded up and capped.
fn binary_nanos(whole: &str, fraction: &str, bits: u32) -> u128 {
    let unit = NANOS << bits;
    let whole = whole.trim_start_matches('0');
    let units = if whole.is_empty() { Some(0) } else { whole.parse::<u128>().ok() };
    let kept = &fraction[..fraction.len().min(MAX_POWER)];
    let lost = fraction.bytes().skip(MAX_POWER).any(|digit| digit != b'0');
    let part = kept.parse::<u128>().unwrap_or(0) + u128::from(lost);
    let nanos = || units?.checked_mul(unit)?.checked_add(multiply_divide(part, unit, power_of_ten(kept.len()))?);
    nanos().map_or(MAX_NANOS, |nanos| nanos.min(MAX_NANOS))
}

fn power_of_ten(power: usize) -> u128 {
    10u128.pow(u32::try_from(power.min(MAX_POWER)).unwrap_or(0))
}

/// `left × right / divisor` rounded up; `None` when the result does not fit.
fn multiply_divide(left: u128, right: u128, divisor: u128) -> Option<u128> {
    if let Some(product) = left.checked_mul(right) {
        return Some(product.div_ceil(divisor));
    }
    let (quotient, remainder) = (left / divisor, left % divisor);
    let low = long_multiply_divide(remainder, right, divisor)?;
    quotient.checked_mul(right)?.checked_add(low)
}

/// `left × right / divisor` rounded up for `left < divisor`, bit by bit, since the product needs
/// more than 128 bits.
fn long_multiply_divide(left: u128, right: u128, divisor: u128) -> Option<u128> {
    let (mut quotient, mut remainder) = (0u128, 0u128);
    for bit in (0..u128::BITS).rev() {
        // Both stay below the divisor, which is at most 10^38, so that twice it and one more still
        // fit.
        quotient = quotient.checked_mul(2)?;
        remainder *= 2;
        if right >> bit & 1 == 1 {
            remainder = remainder.checked_add(left)?;
        }
        quotient += remainder / divisor;
        remainder %= divisor;
    }
    quotient.checked_add(u128::from(remainder != 0))
}

#[cfg(test)]
mod tests;
