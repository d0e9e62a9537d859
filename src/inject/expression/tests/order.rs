//! The same input gives the same bytes: maps of the interpreter have no order of their own.

use super::*;

/// Enough that a random order would show: each evaluation has its own maps.
const ROUNDS: usize = 20;

fn always(source: &str, expected: &Json) {
    for _ in 0..ROUNDS {
        assert_eq!(value(source), *expected, "{source}");
    }
}

#[test]
fn a_loop_over_a_map_goes_by_its_sorted_keys() {
    always("pod.metadata.labels.map(key, key)", &json!(["a", "b", "k", "m", "y", "z"]));
    always("pod.metadata.labels.filter(key, key > 'b')", &json!(["k", "m", "y", "z"]));
    always(
        "pod.metadata.labels.map(key, key + '=' + pod.metadata.labels[key]).join(',')",
        &json!("a=1,b=2,k=11,m=13,y=25,z=26"),
    );
    always("{'b': 1, 'a': 2}.map(key, key)", &json!(["a", "b"]));
    always("{3: 1, 1: 2, 2: 3}.map(key, key)", &json!([1, 2, 3]));
    always("{'b': 1, 'a': 2}.map(key, key > 'a', key)", &json!(["b"]));
}

#[test]
fn loops_that_stop_early_start_with_the_first_key() {
    // With a random order this would now and then divide by zero.
    always("{'a': 1, 'b': 0, 'c': 0}.exists(key, 1 / {'a': 1, 'b': 0, 'c': 0}[key] == 1)", &json!(true));
}

#[test]
fn text_of_a_map_is_refused_because_it_would_have_no_order() {
    let message = "format: a map has no order and so no text";
    assert_eq!(failure("'%s'.format([pod.metadata.labels])"), message);
    assert_eq!(failure("'%s'.format([[pod.metadata.labels]])"), message);
    assert_eq!(failure("[pod.metadata.labels].join(',')"), "join: expected a list of strings");
}

#[test]
fn messages_do_not_show_a_map() {
    for source in [
        "string(pod.metadata.labels)",
        "int(pod.metadata.labels)",
        "double(pod.metadata.labels)",
        "size(pod.metadata.labels.map(k, 1)[0])",
    ] {
        let first = failure(source);
        for _ in 0..ROUNDS {
            assert_eq!(failure(source), first, "{source}");
        }
    }
}

#[test]
fn maps_are_equal_whatever_their_order() {
    always("pod.metadata.labels == {'y': '25', 'z': '26', 'b': '2', 'k': '11', 'm': '13', 'a': '1'}", &json!(true));
    always("pod.metadata.labels != {'a': '1'}", &json!(true));
}
