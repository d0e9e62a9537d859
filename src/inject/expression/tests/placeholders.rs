//! `${…}` inside strings: where an expression begins and ends.

use super::*;
use crate::inject::expression::interpolation::{Interpolation, Segment, compile as compile_text};

/// The parts of a string: sources of expressions in brackets.
fn parts(text: &str) -> String {
    match compile_text(text, &Declarations::untyped(PARAMETERS)).unwrap_or_else(|error| panic!("{text}: {error:?}")) {
        Interpolation::Constant(text) => text,
        Interpolation::Whole(expression) => format!("«{}»", expression.source()),
        Interpolation::Mixed(segments) => segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => text.clone(),
                Segment::Expression(expression) => format!("<{}>", expression.source()),
            })
            .collect(),
    }
}

#[test]
fn one_expression_alone_is_not_text() {
    assert_eq!(parts("${params.name}"), "«params.name»");
    assert_eq!(parts("${ params.name }"), "« params.name »");
    assert_eq!(parts(" ${params.name}"), " <params.name>");
    assert_eq!(parts("${1}${2}"), "<1><2>");
    assert_eq!(parts("a${1}b${2}c"), "a<1>b<2>c");
}

#[test]
fn two_dollars_are_a_literal_one() {
    assert_eq!(parts("$${params.name}"), "${params.name}");
    assert_eq!(parts("a$${b}c${1}"), "a${b}c<1>");
    assert_eq!(parts("$$${1}"), "$${1}");
    assert_eq!(parts("$${"), "${");
    assert_eq!(parts("$${${1}"), "${<1>");
}

#[test]
fn other_dollars_are_left_alone() {
    for text in ["$(VAR)", "$$(VAR)", "$VAR", "$", "a$", "{}", "$ {1}", "100$", "$$"] {
        assert_eq!(parts(text), text);
    }
    assert_eq!(parts("$(VAR) ${1} $$(X)"), "$(VAR) <1> $$(X)");
}

#[test]
fn braces_and_quotes_belong_to_the_expression() {
    for source in [
        "{'a': 1}['a']",
        "{'a': {'b': 1}}",
        "'}'",
        "\"}\"",
        "'{'",
        "'\\'}'",
        "\"\\\"}\"",
        "'\"}'",
        "r'\\'",
        "r\"\\\" + '}'",
        "R'}'",
        "'''}{'''",
        "'''}''' + '}'",
        "\"\"\"}{\"\"\"",
        "''",
        "'' + '}'",
        "b'}'",
        "br'}' == b'}'",
        "'\\\\' + '}'",
        "r'''\\''' + '}'",
    ] {
        assert_eq!(parts(&format!("${{{source}}}")), format!("«{source}»"), "{source}");
        assert_eq!(parts(&format!("x${{{source}}}y}}")), format!("x<{source}>y}}"), "{source}");
    }
}

#[test]
fn an_expression_without_an_end_is_refused() {
    for text in ["${", "${params.name", "a ${'}", "${'''}", "${{}", "${{'a': 1}", "${'\\'}", "$${a} ${b"] {
        let errors = compile_text(text, &Declarations::untyped(PARAMETERS)).expect_err(text);
        let message = &errors[0].message;
        assert!(
            message.to_string().contains("has no closing \"}\"; write \"$${\" for a literal \"${\""),
            "{text}: {message}"
        );
    }
}

#[test]
fn an_unterminated_expression_of_any_length_is_shown_short() {
    let message =
        compile_text(&format!("${{{}", "{\n".repeat(100_000)), &Declarations::untyped(PARAMETERS)).expect_err("no end");
    let message = message[0].message.to_string();
    assert!(message.len() < 300 && !message.contains('\n'), "{message}");
}

#[test]
fn many_expressions_without_an_end_take_linear_time() {
    // Each of them would look for its end in all that follows.
    let text = "$${".repeat(80_000) + &"${1}".repeat(100) + &"${'".repeat(10_000);
    assert!(compile_text(&text, &Declarations::untyped(PARAMETERS)).is_err());
}

#[test]
fn a_comment_ends_with_its_line() {
    assert_eq!(parts("${1 // one\n}"), "«1 // one\n»");
}
