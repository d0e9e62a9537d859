//! Values that go in and come out: exact numbers, every variable, nothing that JSON cannot hold.

use super::*;

#[test]
fn integers_of_the_pod_are_int() {
    assert_eq!(value("pod.spec.terminationGracePeriodSeconds + 5"), json!(35));
    assert_eq!(value("pod.spec.containers[0].ports[0].containerPort - 80 == 0"), json!(true));
}

#[test]
fn sixty_four_bits_are_exact_both_ways() {
    assert_eq!(value("pod.spec.priority"), json!(i64::MIN));
    assert_eq!(value("pod.spec.activeDeadlineSeconds"), json!(i64::MAX));
    assert_eq!(value("pod.spec.activeDeadlineSeconds - 1"), json!(i64::MAX - 1));
    assert_eq!(value("pod.spec.huge"), json!(u64::MAX));
    assert_eq!(value("pod.spec.ratio * 2.0"), json!(3.0));
}

#[test]
fn arithmetic_that_leaves_sixty_four_bits_is_an_error() {
    assert_eq!(failure("pod.spec.activeDeadlineSeconds + 1"), "the number does not fit in 64 bits");
    assert_eq!(failure("pod.spec.priority - 1"), "the number does not fit in 64 bits");
    assert_eq!(failure("1 / (params.count - 3)"), "division by zero");
    assert_eq!(failure("1 % (params.count - 3)"), "remainder by zero");
}

#[test]
fn every_variable_can_be_read() {
    assert_eq!(value("app.name + apps[1].name + namespace.name + cluster.version"), json!("webworkerdemo1.36.0"));
    assert_eq!(value("params.count"), json!(3));
    assert_eq!(value("pod.metadata.labels"), pod()["metadata"]["labels"]);
}

#[test]
fn only_what_is_read_is_converted() {
    let expression = compile("pod.metadata.labels['a'] + pod.metadata.name");
    let paths: Vec<Vec<String>> = expression.reads().of(Root::Pod).map(<[String]>::to_vec).collect();
    assert_eq!(
        paths,
        [
            vec!["metadata".to_owned(), "labels".to_owned(), "a".to_owned()],
            vec!["metadata".to_owned(), "name".to_owned()]
        ]
    );
    assert_eq!(value("[pod.metadata.name, pod.metadata.labels.a, pod.spec]")[2], pod()["spec"]);
}

#[test]
fn a_value_that_json_cannot_hold_is_named() {
    for (source, kind) in [
        ("b'ab'", "a sequence of bytes"),
        ("quantity('1')", "a quantity"),
        ("{1: 2}", "a map whose keys are not strings"),
        ("1.0 / 0.0", "a number that is not finite"),
    ] {
        let value = evaluate(source).unwrap_or_else(|error| panic!("{source}: {error:?}"));
        assert_eq!(convert::to_json(&value), Err(kind.to_owned()), "{source}");
    }
}

#[test]
fn each_sign_counts() {
    for (source, expected) in [("!!true", true), ("!!!true", false), ("! ! false", false), ("!!(1 == 2)", false)] {
        assert_eq!(value(source), json!(expected), "{source}");
    }
    for (source, expected) in [("--5", 5), ("---5", -5), ("- -5", 5), ("1--5", 6), ("1 - - -5", -4), ("--(2 + 3)", 5)] {
        assert_eq!(value(source), json!(expected), "{source}");
    }
}
