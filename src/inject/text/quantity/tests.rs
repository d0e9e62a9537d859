//! Quantities as Kubernetes reads, compares and writes them.

use serde_json::json;

use super::*;

fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|_| panic!("{text:?} is a quantity"))
}

fn canonical(text: &str) -> String {
    quantity(text).to_string()
}

#[test]
fn each_suffix_multiplies_by_its_factor() {
    for (text, nanos) in [
        ("1n", 1),
        ("1u", 1_000),
        ("1m", 1_000_000),
        ("1", 1_000_000_000),
        ("1k", 1_000_000_000_000),
        ("1M", 1_000_000_000_000_000),
        ("1G", 10i128.pow(18)),
        ("1T", 10i128.pow(21)),
        ("1P", 10i128.pow(24)),
        ("1E", 10i128.pow(27)),
        ("1Ki", 1024 * 10i128.pow(9)),
        ("1Mi", (1 << 20) * 10i128.pow(9)),
        ("1Gi", (1 << 30) * 10i128.pow(9)),
        ("1Ti", (1 << 40) * 10i128.pow(9)),
        ("1Pi", (1 << 50) * 10i128.pow(9)),
        ("1Ei", (1 << 60) * 10i128.pow(9)),
        ("1e3", 10i128.pow(12)),
        ("1E-3", 10i128.pow(6)),
        ("1e+2", 10i128.pow(11)),
        ("-2", -2_000_000_000),
        ("+2", 2_000_000_000),
        (".5", 500_000_000),
        ("5.", 5_000_000_000),
        ("0.5Ki", 512 * 10i128.pow(9)),
        ("007", 7_000_000_000),
    ] {
        assert_eq!(quantity(text).nanos, nanos, "{text}");
    }
}

#[test]
fn texts_that_are_no_quantities_are_refused() {
    for text in [
        "",
        " ",
        "-",
        "+",
        ".",
        "..",
        "Mi",
        "1 Gi",
        " 1",
        "1 ",
        "1.2.3",
        "1e",
        "1e1.5",
        "1e--1",
        "--1",
        "+-1",
        "1K",
        "1g",
        "1ki",
        "1MiB",
        "banana",
        "0x10",
        "1_000",
        "1,5",
        "1e99999999999999999999",
        "٣",
        "1\n",
        "inf",
        "NaN",
        "1mm",
        "1Gi1",
    ] {
        assert_eq!(Quantity::parse(text), Err(EXPECTED), "{text:?}");
    }
}

#[test]
fn equal_values_are_equal() {
    for (left, right) in
        [("1000m", "1"), ("1Gi", "1024Mi"), ("0.1", "100m"), ("1e3", "1k"), ("0", "-0"), ("1.5Gi", "1536Mi")]
    {
        assert_eq!(quantity(left), quantity(right));
    }
    assert!(quantity("999m") < quantity("1"));
    assert!(quantity("1G") < quantity("1Gi"));
    assert!(quantity("-1") < quantity("0"));
    assert!(quantity("9007199254740993") > quantity("9007199254740992"));
}

#[test]
fn canonical_texts_match_apimachinery() {
    for (text, expected) in [
        ("0", "0"),
        ("0n", "0"),
        ("-0Gi", "0"),
        ("100m", "100m"),
        ("0.1", "100m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1.5", "1500m"),
        ("1000", "1k"),
        ("1234567", "1234567"),
        ("10000000", "10M"),
        ("0.000001", "1u"),
        ("12.5k", "12500"),
        ("1Gi", "1Gi"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000Ki", "1000Ki"),
        ("1023", "1023"),
        ("0.5Ki", "512"),
        ("0.3Ki", "307200m"),
        ("1.1Ki", "1126400m"),
        ("-2Ki", "-2Ki"),
        ("-1.5", "-1500m"),
        ("1e3", "1e3"),
        ("1000e0", "1e3"),
        ("1E6", "1e6"),
        ("1e-3", "1e-3"),
        ("12e2", "1200"),
        ("5e0", "5"),
        ("1E", "1E"),
        ("0.9Ki", "921600m"),
    ] {
        assert_eq!(canonical(text), expected, "{text}");
        assert_eq!(canonical(expected), expected, "{text} again");
    }
}

#[test]
fn amounts_finer_than_a_nano_are_rounded_up() {
    for (text, expected) in [
        ("0.1n", "1n"),
        ("1.1n", "2n"),
        ("-0.1n", "-1n"),
        ("1e-100", "1e-9"),
        ("0.0000000001", "1n"),
        ("1.0000000001", "1000000001n"),
    ] {
        assert_eq!(canonical(text), expected, "{text}");
    }
    assert_eq!(canonical("0e-100"), "0");
    assert_eq!(canonical(&format!("0.{}1Gi", "0".repeat(60))), "1n");
}

#[test]
fn amounts_above_the_maximum_are_capped() {
    for text in [
        "9223372036854775808",
        "1e100",
        "10E",
        "8Ei",
        "16Ei",
        "1e9223372036854775807",
        &"9".repeat(500),
        &format!("{}Ki", "9".repeat(500)),
    ] {
        assert_eq!(quantity(text), quantity("9223372036854775807"), "{text}");
    }
    assert_eq!(canonical("-10E"), "-9223372036854775807");
    assert_eq!(canonical("9223372036854775807"), "9223372036854775807");
    assert_eq!(canonical("7Ei"), "7Ei");
}

#[test]
fn json_quantities_may_be_numbers() {
    assert!(same(&json!("1000m"), &json!(1)));
    assert!(same(&json!(1.5), &json!("1500m")));
    assert!(same(&json!(1e30), &json!("9223372036854775807")));
    assert!(!same(&json!("1"), &json!("2")));
    assert!(!same(&json!("x"), &json!("x")));
    assert!(Quantity::from_json(&json!(true)).is_err());
    assert!(Quantity::from_json(&json!(null)).is_err());
}

#[test]
fn products_are_exact_and_rounded_up() {
    for (text, factor, expected) in [
        ("1000m", 0.1, "100m"),
        ("250m", 0.5, "125m"),
        ("250m", 0.333, "84m"),
        ("1Gi", 0.5, "512Mi"),
        ("1Gi", 0.1, "107374183"),
        ("100Mi", 1.25, "125Mi"),
        ("3", 1.0 / 3.0, "1"),
        ("500M", 0.7, "350M"),
        ("1G", 1.0 / 3.0, "333333334"),
        ("1Ei", 1e-300, "1"),
        ("1m", 1e-300, "1m"),
        ("2", -1.5, "-3"),
        ("0", 7.0, "0"),
        ("7", 0.0, "0"),
        ("1e3", 2.5, "2500"),
        ("8191Pi", 0.123_456_789_012_345_68, "1138548895549100991"),
    ] {
        assert_eq!(quantity(text).times_float(factor).unwrap().to_string(), expected, "{text} * {factor}");
    }
    assert_eq!(quantity("1Gi").times_integer(3).unwrap().to_string(), "3Gi");
    assert_eq!(quantity("2").times_integer(i64::MIN), None);
    assert_eq!(quantity("100m").times_integer(-3).unwrap().to_string(), "-300m");
}

#[test]
fn products_out_of_range_are_none() {
    assert_eq!(quantity("4Ei").times_integer(2), None);
    assert_eq!(quantity("1").times_float(1e300), None);
    assert_eq!(quantity("1").times_float(f64::NAN), None);
    assert_eq!(quantity("1").times_float(f64::INFINITY), None);
}

#[test]
fn min_and_max_keep_the_text_of_the_quantity() {
    let (left, right) = (quantity("1Gi"), quantity("1000Mi"));
    assert_eq!(left.min(right).to_string(), "1000Mi");
    assert_eq!(left.max(right).to_string(), "1Gi");
}
