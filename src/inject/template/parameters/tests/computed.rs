//! Defaults that are computed for each pod: which expressions load.

use super::*;

/// The error of a computed default at load, if it has one.
fn computed(kind: &str, default: &str) -> Option<String> {
    let values: &[&str] = if kind == "enum" { &["a", "b"] } else { &[] };
    match declared(json!({"name": "p", "type": kind, "values": values, "default": default})) {
        Ok(parameter) => {
            assert!(parameter.default().is_none() && !parameter.is_required(), "{default}");
            None
        }
        Err(errors) => Some(errors.join("\n")),
    }
}

#[test]
fn an_expression_that_may_give_the_type_loads() {
    for (kind, default) in [
        ("string", "${pod.metadata.name}"),
        ("string", "${app.ports[0].containerPort}"),
        ("string", "a-${app.name}-${size(apps)}"),
        ("string", "${app.?command[?0]}"),
        ("integer", "${pod.spec.terminationGracePeriodSeconds + 5}"),
        ("integer", "${app['newField']}"),
        ("number", "${size(apps)}"),
        ("boolean", "${has(pod.spec.hostNetwork)}"),
        ("quantity", "${app.resources.requests.memory}"),
        ("quantity", "${size(apps)}Mi"),
        ("duration", "${size(apps)}s"),
        ("port", "${app.?ports[?0].?containerPort}"),
        ("enum", "${namespace.name}"),
        ("list", "${app.ports.map(p, p.containerPort)}"),
        ("list", "${[app.name, cluster.version]}"),
        ("list", "${app.?command}"),
        ("map", "${pod.metadata.labels}"),
        ("map", "${app.?resources.?limits}"),
    ] {
        assert_eq!(computed(kind, default), None, "{kind}: {default}");
    }
}

#[test]
fn an_expression_that_never_gives_the_type_is_refused_at_load() {
    for (kind, default, message) in [
        ("string", "${app.ports}", "expression \"app.ports\": expected a string, found a list"),
        ("string", "${null}", "expression \"null\": expected a string, found null"),
        (
            "integer",
            "${app.name}",
            "expression \"app.name\": expected an integer, found a string; int(…) makes an integer of it",
        ),
        (
            "integer",
            "${app.?name}",
            "expression \"app.?name\": expected an integer, found a string; int(…) makes an integer of it",
        ),
        (
            "integer",
            "1${size(apps)}",
            "expected an integer, found text with an expression; write the default as one expression",
        ),
        (
            "number",
            "${app.name}",
            "expression \"app.name\": expected a number, found a string; double(…) makes a number of it",
        ),
        ("boolean", "${1}", "expression \"1\": expected a boolean, found an integer"),
        (
            "port",
            "${1.5}",
            "expression \"1.5\": expected an integer, found a number with a fraction; int(…) makes an integer of it",
        ),
        (
            "list",
            "${app.name}",
            "expression \"app.name\": expected a list of strings, found a string; [ … ] makes a list of it",
        ),
        (
            "list",
            "a, ${app.name}",
            "expected a list of strings, found text with an expression; write the default as one expression",
        ),
        ("list", "${app.ports}", "expression \"app.ports\": expected a list of strings, found a map in it"),
        ("map", "${[app.name]}", "expression \"[app.name]\": expected a map of strings, found a list"),
        ("map", "${{'a': [1]}}", "expression \"{'a': [1]}\": expected a map of strings, found a list in it"),
        ("string", "${params.x}", "variable \"params\": a default cannot read other parameters"),
        ("string", "${has(params.x)}", "variable \"params\": a default cannot read other parameters"),
        ("string", "${container.name}", "variable \"container\": it exists only in expressions below app"),
        ("string", "${each}", "variable \"each\": it exists only in an item with forEach"),
        ("string", "${pod.metdata}", "pod has no field \"metdata\"; did you mean \"metadata\"?"),
    ] {
        assert_eq!(computed(kind, default), Some(format!("default: {message}")), "{kind}: {default}");
    }
}
