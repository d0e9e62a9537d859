//! The bounds of one evaluation: source, nesting, steps, time, and size of what comes out.

use super::*;
use crate::inject::expression::limits;
use std::cell::Cell;

#[test]
fn a_source_has_at_most_one_kibibyte() {
    let source = |length: usize| format!("'{}'", "a".repeat(length - 2));
    assert_eq!(compile(&source(MAX_SOURCE_BYTES)).source().len(), MAX_SOURCE_BYTES);
    assert_eq!(refusal(&source(MAX_SOURCE_BYTES + 1)), "the expression has 1025 bytes; at most 1024 are allowed");
}

#[test]
fn comprehensions_nest_twice_and_no_deeper() {
    assert_eq!(value("[[1, 2], [3]].map(x, x.map(y, y + 1))"), json!([[2, 3], [4]]));
    let message = "comprehensions are nested 3 deep; at most 2 are allowed";
    assert_eq!(refusal("[[[1]]].map(x, x.map(y, y.map(z, z)))"), message);
    assert_eq!(refusal("[1].all(x, [1].all(y, [1].exists(z, z == x)))"), message);
}

#[test]
fn comprehensions_in_a_row_are_not_nested() {
    assert_eq!(value("[1, 2, 3, 4].filter(x, x > 1).filter(x, x < 4).map(x, x * 2)"), json!([4, 6]));
    assert_eq!(value("apps.filter(c, has(c.ports)).map(c, c.ports.map(p, p.containerPort))"), json!([[80, 443]]));
}

#[test]
fn a_loop_goes_over_a_bounded_range() {
    assert_eq!(value("lists.range(10000).map(x, 0).size()"), json!(limits::MAX_RANGE));
    let message = failure("(lists.range(10000) + [1]).map(x, 0)");
    assert_eq!(message, "a loop goes over 10001 items; at most 10000 are allowed");
}

#[test]
fn the_steps_of_all_loops_are_counted_together() {
    let half = "lists.range(5000).all(x, lists.range(10).all(y, y < 10))";
    assert_eq!(value(half), json!(true));
    let message = failure(&format!("{half} && {half}"));
    assert!(message.to_string().contains("more than 100000 steps"), "{message}");
    assert_eq!(value(half), json!(true), "each evaluation has its own budget");
}

#[test]
fn no_operator_swallows_the_end_of_the_budget() {
    let endless = "lists.range(5000).all(x, lists.range(5000).all(y, true))";
    let mut evaluated = 0;
    for source in [
        format!("{endless} || true"),
        format!("!({endless})"),
        format!("[1, 2].exists(x, {endless})"),
        format!("[{endless}]"),
    ] {
        if let Ok(expression) = compile_with(&source, PARAMETERS) {
            evaluated += 1;
            match evaluate_with_clock(&expression, None) {
                Err(EvaluationError::Failed(message)) => {
                    assert!(message.to_string().contains("steps"), "{source}: {message}")
                }
                // `error || true` is true in CEL.
                other => assert!(source.ends_with("|| true"), "{source}: {other:?}"),
            }
        }
    }
    assert_eq!(evaluated, 3, "all but one, whose loops are nested too deeply");
}

#[test]
fn the_limit_is_told_where_the_loop_is_the_target_of_a_call() {
    let lists = "lists.range(200).map(x, lists.range(1000).map(y, 'y').join(''))";
    for source in [format!("{lists}.join('')"), format!("{lists}.join('').size()"), format!("size({lists})")] {
        let message = failure(&source);
        assert!(message.contains("more than 100000 steps"), "{source}: {message}");
    }
}

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
}

/// A clock that goes on by one each time it is asked.
fn ticking() -> u64 {
    NOW.set(NOW.get() + 1);
    NOW.get()
}

/// A clock that jumps by a minute each time it is asked.
fn leaping() -> u64 {
    NOW.set(NOW.get() + 60_000);
    NOW.get()
}

fn standing() -> u64 {
    7
}

#[test]
fn an_evaluation_ends_after_a_tenth_of_a_second() {
    let long = compile("lists.range(5000).all(x, x >= 0)");
    assert_eq!(evaluate_with_clock(&long, Some(standing)), Ok(Value::Bool(true)));
    match evaluate_with_clock(&long, Some(ticking)) {
        Err(EvaluationError::Failed(message)) => {
            assert!(message.to_string().contains("longer than 100 ms"), "{message}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn loops_in_a_row_cannot_multiply_what_they_go_over() {
    let text = "a".repeat(200_000);
    let many = ["y"; 50].join(",");
    let source = format!("[params.a].map(y, [{many}]).map(y, [{many}]).size()");
    match with_text(&source, &text) {
        Err(EvaluationError::Failed(message)) => {
            assert!(message.to_string().contains("bytes; at most 8388608"), "{message}")
        }
        other => panic!("{}", other.is_ok()),
    }
}

#[test]
fn a_single_turn_that_takes_too_long_is_the_last() {
    let turns = compile("[1, 2, 3].map(x, x)");
    assert!(matches!(evaluate_with_clock(&turns, Some(leaping)), Err(EvaluationError::Failed(_))));
}

/// Texts of a pod may be large: none of them may become larger than it is by much.
fn with_text(source: &str, text: &str) -> Result<Value, EvaluationError> {
    let expression = compile_with(source, &["a"]).unwrap_or_else(|error| panic!("{source}: {error}"));
    let params = BTreeMap::from([("a".to_owned(), Value::String(Arc::new(text.to_owned())))]);
    Scope::with(&params, expression.reads(), None, |_| None, |scope| expression.evaluate(scope))
}

#[test]
fn texts_do_not_multiply() {
    let large = "a".repeat(100_000);
    for source in [
        "params.a.replace('a', params.a)",
        "params.a.replace('', params.a)",
        "params.a.split('').join(params.a)",
        "'%s%s%s%s%s%s%s%s%s%s%s'.format([params.a, params.a, params.a, params.a, params.a, params.a, params.a, params.a, params.a, params.a, params.a])",
    ] {
        match with_text(source, &large) {
            Err(EvaluationError::Failed(message)) => {
                assert!(message.to_string().contains("at most"), "{source}: {message}")
            }
            other => panic!("{source}: {}", other.is_ok()),
        }
    }
    assert_eq!(with_text("params.a.replace('a', 'bb').size()", &large), Ok(Value::Int(200_000)));
    assert_eq!(
        with_text("params.a.replace('a', 'b', 2).substring(0, 3)", "aaa"),
        Ok(Value::String(Arc::new("bba".to_owned())))
    );
}

#[test]
fn work_that_is_quadratic_in_a_list_is_bounded() {
    let list = (0..60_000).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    for source in [
        "params.a.split(',').distinct()",
        "sets.contains(params.a.split(','), params.a.split(','))",
        "sets.equivalent(params.a.split(','), params.a.split(','))",
        "sets.intersects(params.a.split(','), params.a.split(','))",
        "params.a.split(',').map(x, x)",
    ] {
        match with_text(source, &list) {
            Err(EvaluationError::Failed(message)) => {
                assert!(message.to_string().contains("items; at most"), "{source}: {message}")
            }
            other => panic!("{source}: {}", other.is_ok()),
        }
    }
}

#[test]
fn a_range_cannot_be_asked_for_that_no_memory_holds() {
    for source in
        ["lists.range(10000000000)", "lists.range(9223372036854775807)", "lists.range(10001)", "lists.range(-1)"]
    {
        assert!(matches!(evaluate(source), Err(EvaluationError::Failed(_))), "{source}");
    }
}

#[test]
fn a_pattern_is_compiled_within_bounds() {
    for function in ["matches", "find", "findAll"] {
        let source = format!("'a'.{function}('(\\\\pL{{1000}}){{1000}}')");
        let message = failure(&source);
        assert!(message.ends_with("is too large a regular expression"), "{message}");
    }
    assert_eq!(value("'web-1'.matches('^[a-z]+-[0-9]$')"), json!(true));
    assert_eq!(value("'a1b22'.find('[0-9]+')"), json!("1"));
    assert_eq!(value("'a1b22'.findAll('[0-9]+')"), json!(["1", "22"]));
    assert_eq!(value("'a1b22'.findAll('[0-9]+', 1)"), json!(["1"]));
}
