//! No expression overflows a stack, however it is built: the process would end, and no error could
//! say why.

use super::*;

/// `piece` as often as fits into the longest source.
fn chain(before: &str, piece: &str, after: &str) -> String {
    let room = MAX_SOURCE_BYTES - before.len() - after.len();
    format!("{before}{}{after}", piece.repeat(room / piece.len()))
}

fn shapes() -> Vec<String> {
    vec![
        chain("", "1+", "1"),
        chain("", "!", "true"),
        chain("", "-", "1"),
        chain("", "- ", "1"),
        chain("'a'", ".size()", ""),
        chain("[1]", "[0]", ""),
        chain("", "true&&", "true"),
        chain("", "true||", "true"),
        chain("", "1==", "1"),
        chain("", "1<", "1"),
        chain("", "true?1:", "1"),
        chain("", "true?", "1"),
        chain("pod", ".a", ""),
        chain("pod", ".?a", ""),
        chain("", "(", ""),
        chain("", "[", ""),
        chain("", "{", ""),
        chain("", "{1:", ""),
        chain("", "size(", ""),
        chain("[1]", ".map(x,x)", ""),
        chain("", "[1].map(x,", ""),
        format!("{}1{}", "(".repeat(511), ")".repeat(511)),
        format!("{}1{}", "[".repeat(511), "]".repeat(511)),
        format!("{}1{}", "size(".repeat(170), ")".repeat(170)),
        format!("{}1{}", "{1:".repeat(255), "}".repeat(255)),
        chain("[", "1,", "1]"),
        chain("{", "1:1,", "1:1}"),
        chain("[", "[],", "[]]"),
        chain("size(", "1,", "1)"),
        chain("'a' in [", "'b',", "'c']"),
    ]
}

#[test]
fn the_longest_chains_neither_abort_the_parser_nor_the_interpreter() {
    for source in shapes() {
        assert!(source.len() <= MAX_SOURCE_BYTES && source.len() > MAX_SOURCE_BYTES - 20, "{source}");
        on_a_small_stack(|| {
            if let Ok(expression) = compile_with(&source, PARAMETERS) {
                let _ = evaluate_with_clock(&expression, None);
            }
        });
    }
}

/// `piece` as often as the tree may be deep.
fn deepest(before: &str, piece: &str, after: &str) -> String {
    let fits = |count: &usize| compile_with(&format!("{before}{}{after}", piece.repeat(*count)), PARAMETERS).is_ok();
    let count = (1..=MAX_DEPTH).rev().find(fits).expect("one piece compiles");
    format!("{before}{}{after}", piece.repeat(count))
}

#[test]
fn the_deepest_trees_are_evaluated_on_a_small_stack() {
    let flat = [
        deepest("", "1+", "1"),
        deepest("[1]", "[0]", ""),
        deepest("", "1==", "1"),
        deepest("", "true?1:", "1"),
        deepest("'a'", ".size()", ""),
        deepest("'a'", ".trim()", ""),
        deepest("'a'", ".replace('a', 'a')", ""),
        deepest("pod", ".a", ""),
        deepest("pod", ".?a", ""),
    ];
    let nested = |open: &str, close: &str| {
        let source = |count: usize| format!("{}1{}", open.repeat(count), close.repeat(count));
        let fits = |count: &usize| compile_with(&source(*count), PARAMETERS).is_ok();
        source((1..=MAX_DEPTH).rev().find(fits).expect("one level compiles"))
    };
    let nested = [
        nested("[", "]"),
        nested("size(", ")"),
        nested("{'a':", "}"),
        nested("max(1,", ")"),
        nested("[1].map(x,", ")"),
    ];
    for source in flat.into_iter().chain(nested) {
        let expression = compile(&source);
        on_a_small_stack(|| {
            let _ = evaluate_with_clock(&expression, None);
        });
    }
}

#[test]
fn what_is_too_deep_is_said() {
    assert_eq!(
        refusal(&format!("1{}", "+1".repeat(100))),
        "the expression is nested 101 levels deep; at most 64 are allowed"
    );
}

#[test]
fn deep_values_of_the_pod_are_converted_on_a_small_stack() {
    let text = format!("{}{}", "{\"a\":[".repeat(60), "]}".repeat(60));
    let deep: Json = serde_json::from_str(&text).expect("less deep than JSON may be");
    let expression = compile("pod");
    on_a_small_stack(|| {
        let object = |_| Some(Cow::Borrowed(&deep));
        let value = Scope::with(&BTreeMap::new(), expression.reads(), None, object, |scope| expression.evaluate(scope));
        assert_eq!(convert::to_json(&value.expect("a value")), Ok(deep.clone()));
    });
}
