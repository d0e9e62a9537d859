//! The functions: each name is registered, no call panics through, and what is added keeps
//! quantities' rules.

use super::*;
use crate::inject::expression::limits;

/// Values of every type that there is.
fn samples() -> Vec<Value> {
    let sources = [
        "1",
        "-1",
        "2u",
        "1.5",
        "true",
        "'a'",
        "'1Gi'",
        "b'a'",
        "[1, 'b']",
        "['a']",
        "{'k': 1}",
        "null",
        "quantity('1')",
        "ip('10.0.0.1')",
        "cidr('10.0.0.0/8')",
        "optional.of(1)",
        "optional.none()",
        "timestamp('2024-01-01T00:00:00Z')",
        "duration('1h')",
        "semver('1.2.3')",
        "url('https://a.b/c?d=e')",
        "format.dns1123Label()",
    ];
    sources.iter().map(|source| evaluate(source).unwrap_or_else(|error| panic!("{source}: {error:?}"))).collect()
}

/// Calls as function and as method, with up to four arguments.
fn calls(name: &str) -> Vec<Expression> {
    let arguments = |count| ["params.a", "params.b", "params.b", "params.b"][..count].join(", ");
    let function = (0..=4).map(|count| format!("{name}({})", arguments(count)));
    let method = (0..=4).map(|count| format!("params.this.{name}({})", arguments(count)));
    let method = method.filter(|_| !name.contains('.'));
    let compile =
        |source: String| compile_with(&source, &["this", "a", "b"]).unwrap_or_else(|error| panic!("{source}: {error}"));
    function.chain(method).map(compile).collect()
}

fn call(expression: &Expression, this: &Value, a: &Value, b: &Value) -> Result<Value, EvaluationError> {
    let params = [("this", this), ("a", a), ("b", b)].map(|(name, value)| (name.to_owned(), value.clone()));
    Scope::with(&BTreeMap::from(params), expression.reads(), Some(|| 0), |_| None, |scope| expression.evaluate(scope))
}

#[test]
fn every_name_is_registered() {
    for name in functions::names() {
        let source = format!("{name}()");
        let expression = compile(&source);
        if let Err(EvaluationError::Failed(message)) = evaluate_with_clock(&expression, None) {
            assert!(!message.to_string().contains("unknown name"), "{name}: {message}");
        }
    }
}

#[test]
fn wrong_arguments_are_errors_whatever_the_function() {
    let samples = samples();
    for expression in functions::names().flat_map(calls) {
        let targets = if expression.source().starts_with("params.this") { samples.as_slice() } else { &samples[..1] };
        for (this, a) in targets.iter().flat_map(|this| samples.iter().step_by(3).map(move |a| (this, a))) {
            // A panic of the interpreter that came through would fail the test; an overflow would
            // end it.
            match call(&expression, this, a, &samples[0]) {
                Ok(_) => {}
                Err(EvaluationError::Failed(message)) => {
                    let text = message.to_string();
                    assert!(!text.is_empty() && !text.contains(['\n', '\r']), "{expression:?}: {text:?}");
                }
                Err(EvaluationError::MissingKey { key, .. }) => panic!("{expression:?}: missing key {key}"),
            }
        }
    }
}

#[test]
fn panics_of_the_interpreter_become_errors() {
    let result = limits::guarded(None, || panic!("a fault of the interpreter"));
    assert_eq!(
        result.map_err(|error| compile("1").explain(&error)),
        Err(EvaluationError::Failed("the expression cannot be evaluated".into()))
    );
}

#[test]
fn quantities_are_multiplied_and_rounded_up() {
    for (source, expected) in [
        ("mul(params.size, 2)", "128Mi"),
        ("mul('100m', 3)", "300m"),
        ("mul('1', 0.5)", "500m"),
        ("mul('1Gi', 0.5)", "512Mi"),
        ("mul('3', 2u)", "6"),
        ("mul('1', 0.0001)", "1m"),
        ("mul('10', -1)", "-10"),
    ] {
        assert_eq!(value(source), json!(expected), "{source}");
    }
    for source in [
        "mul('x', 2)",
        "mul('1', 'x')",
        "mul('1', 18446744073709551615u)",
        "mul('1', 1.0 / 0.0)",
        "mul('1')",
        "mul(1, 1)",
        "mul('8E', 8)",
    ] {
        assert!(matches!(evaluate(source), Err(EvaluationError::Failed(_))), "{source}: {:?}", evaluate(source));
    }
}

#[test]
fn the_least_and_greatest_of_quantities_go_by_value() {
    for (source, expected) in [
        ("min('1Gi', '500Mi')", json!("500Mi")),
        ("max('1Gi', '500Mi')", json!("1Gi")),
        ("min('1000m', '2')", json!("1")),
        ("['2', '1', '3'].min()", json!("1")),
        ("['2', '1', '3'].max()", json!("3")),
        ("min(['2', '1'])", json!("1")),
        ("max(1, 3, 2)", json!(3)),
        ("min(1, 0.5)", json!(0.5)),
        ("[3, 1, 2].min()", json!(1)),
        ("max([3, 1, 2])", json!(3)),
    ] {
        assert_eq!(value(source), expected, "{source}");
    }
    for source in ["min('a', 'b')", "max('1', 'x')", "min('1', 2)", "min()", "[].max()"] {
        assert!(matches!(evaluate(source), Err(EvaluationError::Failed(_))), "{source}: {:?}", evaluate(source));
    }
}

#[test]
fn libraries_of_kubernetes_are_there() {
    for (source, expected) in [
        ("quantity('1Gi').isGreaterThan(quantity('500Mi'))", json!(true)),
        ("quantity('1').add(quantity('500m')).asApproximateFloat()", json!(1.5)),
        ("'a-b'.split('-').join('.')", json!("a.b")),
        ("'AbC'.lowerAscii()", json!("abc")),
        ("'abc'.substring(1, 2)", json!("b")),
        ("'%s-%d'.format(['a', 5])", json!("a-5")),
        ("'%s %s'.format([[1, 'a'], true])", json!("[1, \"a\"] true")),
        ("url('https://a.b:8443/c').getPort()", json!("8443")),
        ("ip('10.0.0.1').family()", json!(4)),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3')", json!(true)),
        ("isIP('10.0.0.1') && !isIP('x')", json!(true)),
        ("semver(cluster.version).isGreaterThan(semver('1.31.0'))", json!(true)),
        ("semver(cluster.version).minor() >= 32", json!(true)),
        ("[3, 1, 2].sort()", json!([1, 2, 3])),
        ("[1, 1, 2].distinct()", json!([1, 2])),
        ("[1, 2].sum()", json!(3)),
        ("sets.contains([1, 2, 3], [2])", json!(true)),
        ("math.greatest([1, 2])", json!(2)),
        ("jsonpatch.escapeKey('a/b~c')", json!("a~1b~0c")),
        ("'a' in ['a'] && 'a' in pod.metadata.labels", json!(true)),
        ("string(5) + string(true ? 'a' : 'b')", json!("5a")),
        ("int('5') + int(5.9)", json!(10)),
        ("apps.exists_one(c, c.name == 'web')", json!(true)),
        ("apps.map(c, c.name != 'web', c.image)", json!(["worker:2"])),
        ("duration('90s').getMinutes()", json!(1)),
    ] {
        assert_eq!(value(source), expected, "{source}");
    }
}

#[test]
fn names_are_sorted_and_unique() {
    let names: Vec<&str> = functions::names().collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
}
