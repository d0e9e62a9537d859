//! The type check: what it refuses fails for every pod, and what can work passes.

use super::*;

const DECLARED: [(&str, Kind); 6] = [
    ("name", Kind::Text),
    ("size", Kind::Text),
    ("count", Kind::Integer),
    ("unset", Kind::Unknown),
    ("items", Kind::List),
    ("entries", Kind::Map),
];

fn typed(source: &str) -> Result<Kind, String> {
    let compiled = Expression::compile(source, &Declarations::new(DECLARED.into_iter()));
    compiled.map(|expression| expression.kind()).map_err(|error| error.to_string())
}

/// A value of each kind, all of which evaluate.
const VALUES: [&str; 14] = [
    "true",
    "1",
    "1u",
    "1.5",
    "'a'",
    "b'a'",
    "null",
    "[1]",
    "['a']",
    "{'a': 1}",
    "pod.spec",
    "params.count",
    "pod.metadata.name",
    "pod.spec.containers",
];

/// `==` and `!=` of two kinds are refused although they evaluate: they are never true, or never
/// false.
#[test]
fn what_the_type_check_refuses_fails() {
    let mut sources: Vec<String> = Vec::new();
    for one in VALUES {
        sources.extend(["-", "!"].map(|operator| format!("{operator}{one}")));
        let calls = [".startsWith('a')", ".split('a')", ".trim()", ".first", "['a']", "[0]", ".map(x, x)", " ? 1 : 2"];
        sources.extend(calls.map(|call| format!("({one}){call}")));
        for other in VALUES {
            let operators = ["+", "-", "*", "/", "%", "<", "<=", ">", ">="];
            sources.extend(operators.map(|operator| format!("{one} {operator} {other}")));
        }
    }
    let refused: Vec<&String> = sources.iter().filter(|source| typed(source).is_err()).collect();
    assert!(refused.len() > 300, "{}", refused.len());
    let working: Vec<&&String> = refused.iter().filter(|source| evaluate(source).is_ok()).collect();
    assert!(working.is_empty(), "{working:?}");
}

#[test]
fn fields_keep_their_types_through_optionals_loops_and_calls() {
    for (source, kind) in [
        ("pod.metadata.name", Kind::Text),
        ("pod.metadata.labels.x", Kind::Text),
        ("pod.spec.terminationGracePeriodSeconds + 5", Kind::Integer),
        ("pod.spec.?hostNetwork.orValue(false)", Kind::Boolean),
        ("app.?resources.?limits", Kind::Unknown),
        ("app.ports.map(p, p.containerPort)[0]", Kind::Integer),
        ("app.env.filter(e, e.name == 'A')[0].value", Kind::Text),
        ("apps.exists(a, a.name == 'web')", Kind::Boolean),
        ("params.name + params.unset", Kind::Text),
        ("true ? 1 : 'a'", Kind::Unknown),
        ("true ? [] : ['a']", Kind::List),
        ("pod['newField'].anything", Kind::Unknown),
        ("app.livenessProbe.httpGet.port", Kind::Unknown),
        ("has(pod.spec.hostNetwork)", Kind::Boolean),
        ("size(apps)", Kind::Integer),
        ("params.name.split(',')", Kind::List),
        ("params.items", Kind::List),
        ("params.items[0]", Kind::Text),
        ("params.items.map(i, '--x=' + i)", Kind::List),
        ("params['entries']", Kind::Map),
        ("params.entries.key", Kind::Text),
        ("params.entries['a b'] + '.'", Kind::Text),
        ("params.entries[?'key'].orValue('')", Kind::Text),
        ("params.entries.map(k, k + '=' + params.entries[k])[0]", Kind::Text),
        ("'a' in params.items && 'k' in params.entries", Kind::Boolean),
    ] {
        assert_eq!(typed(source), Ok(kind), "{source}");
    }
}

#[test]
fn every_misspelt_name_of_an_expression_is_reported_at_once() {
    assert_eq!(
        typed("pod.metdata.name + app.iamge"),
        Err("pod has no field \"metdata\"; did you mean \"metadata\"?; app has no field \"iamge\"; did you mean \
             \"image\"?"
            .to_owned())
    );
}

#[test]
fn lists_and_maps_of_parameters_hold_texts() {
    for (source, message) in [
        ("params.items[0] + 1", "\"+\" does not take a string and an integer; string(…) makes a string of a number"),
        ("params.items.first", "params.items is a list and has no field \"first\""),
        ("params.items['a']", "params.items is a list; its index is an integer, not a string"),
        ("params.entries.key.name", "params.entries.key is a string and has no field \"name\""),
        ("1 in params.items", "\"in\" takes a value and a list or map that may have it, not an integer and a list"),
    ] {
        assert_eq!(typed(source), Err(message.to_owned()), "{source}");
    }
}
