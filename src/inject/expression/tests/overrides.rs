//! The functions that are replaced give what those of the libraries give, where these are right.

use super::*;
use cel::Context;
use kube_cel::KubeCelExt;

/// What the library's own function gives for this call.
fn original(source: &str) -> Option<Value> {
    let mut context = Context::default();
    context.register_all();
    Value::resolve(&Parser::new().parse(source).unwrap_or_else(|error| panic!("{source}: {error}")), &context).ok()
}

fn agree(source: &str) {
    assert_eq!(evaluate(source).ok(), original(source), "{source}");
}

/// Short texts, some of which overlap themselves, and one whose letters have two bytes.
const TEXTS: [&str; 9] = ["", "a", "b", "aa", "ab", "aba", "aaa", "éaé", "abab"];

#[test]
fn positions_in_texts_are_those_of_the_library() {
    for text in TEXTS {
        for part in TEXTS {
            agree(&format!("'{text}'.indexOf('{part}')"));
            agree(&format!("'{text}'.lastIndexOf('{part}')"));
            for from in 0..=text.chars().count() {
                agree(&format!("'{text}'.indexOf('{part}', {from})"));
                agree(&format!("'{text}'.lastIndexOf('{part}', {from})"));
            }
        }
    }
}

/// The library counts bytes, so it is compared only where each character is one byte.
#[test]
fn a_size_counts_characters_items_and_keys() {
    for (source, size) in [("size('éaé')", 3), ("'\u{1F600}'.size()", 1), ("size(b'é')", 2), ("size('')", 0)] {
        assert_eq!(value(source), json!(size), "{source}");
    }
    for text in TEXTS.iter().filter(|text| text.is_ascii()) {
        agree(&format!("size('{text}')"));
        agree(&format!("'{text}'.size()"));
    }
    agree("size([1, 2])");
    agree("{'a': 1}.size()");
    agree("size(1)");
    assert_eq!(failure("size('a', 'b')"), "a function is called with the wrong number of arguments");
    assert!(failure("size(1)").starts_with("size: expected a string"));
}

#[test]
fn texts_are_made_as_by_the_library() {
    for text in TEXTS {
        for part in TEXTS {
            for new in ["", "x", "a"] {
                agree(&format!("'{text}'.replace('{part}', '{new}')"));
                for count in 0..3 {
                    agree(&format!("'{text}'.replace('{part}', '{new}', {count})"));
                }
            }
            agree(&format!("['{text}', '{part}', 'x'].join('{text}')"));
            agree(&format!("['{text}', '{part}'].join()"));
            agree(&format!("'%s-%s'.format(['{text}', ['{part}', 1, true, null]])"));
        }
    }
}

#[test]
fn lists_are_compared_as_by_the_library() {
    let lists = [
        "[]",
        "[1]",
        "[1, 2]",
        "[2, 1, 2]",
        "['a', 'b']",
        "[1, 'a', [1]]",
        "[1u, 1]",
        "[{'a': 1}, {'a': 1}]",
        "[null]",
    ];
    for list in lists {
        agree(&format!("{list}.distinct()"));
        agree(&format!("{list}.indexOf(2)"));
        agree(&format!("{list}.lastIndexOf(2)"));
        for other in lists {
            for function in ["contains", "equivalent", "intersects"] {
                agree(&format!("sets.{function}({list}, {other})"));
            }
        }
    }
    for list in ["[]", "[1, 2]", "[1.5, 2.5]", "[1u, 2u]", "['a']", "[1, 'a']"] {
        if list != "['a']" {
            agree(&format!("{list}.sum()"));
        }
    }
    for count in 0..4 {
        agree(&format!("lists.range({count})"));
    }
}

#[test]
fn patterns_match_as_in_the_library() {
    for text in TEXTS {
        for pattern in ["", "a", "^a", "a+", "(ab)*", "[^a]", "é", "(?i)A", "\\\\w", "("] {
            for function in ["matches", "find", "findAll"] {
                agree(&format!("'{text}'.{function}('{pattern}')"));
            }
            agree(&format!("'{text}'.findAll('{pattern}', 1)"));
        }
    }
}

#[test]
fn quantities_that_overflow_a_library_are_compared_by_value() {
    let largest = "quantity('9E')";
    for source in [
        format!("{largest}.isGreaterThan(quantity('1n'))"),
        format!("quantity('9e38').isGreaterThan({largest})"),
        "!quantity('9e38').isLessThan(quantity('1Gi'))".to_owned(),
        format!("quantity('1e30').compareTo({largest}) == 1"),
        "quantity('1024Mi') == quantity('1Gi')".to_owned(),
        "quantity('1').add(quantity('1n')).isGreaterThan(quantity('1'))".to_owned(),
        "isQuantity('1.5Gi') && !isQuantity('1.5 Gi') && !isQuantity('')".to_owned(),
    ] {
        assert_eq!(value(&source), json!(true), "{source}");
    }
    assert!(failure("quantity('lots')").starts_with("quantity: the text must be a quantity"));
}

#[test]
fn sums_do_not_wrap_around() {
    assert_eq!(failure("[9223372036854775807, 1].sum()"), "the number does not fit in 64 bits");
    assert_eq!(value("[duration('1m'), duration('30s')].sum() == duration('90s')"), json!(true));
}

#[test]
fn a_negative_count_is_no_count() {
    assert_eq!(value("'aaa'.replace('a', 'b', -1)"), json!("bbb"));
    assert_eq!(value("'aaa'.findAll('a', -1)"), json!(["a", "a", "a"]));
}
