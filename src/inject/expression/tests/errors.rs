//! What is no value: missing keys are the pod's, everything else the template's, and no fault
//! becomes `false`.

use super::*;

#[test]
fn a_missing_key_of_the_pod_is_named() {
    assert_eq!(missing_key("pod.metadata.labels.team"), "team");
    assert_eq!(missing_key("pod.metadata.labels['team']"), "team");
    assert_eq!(missing_key("namespace.annotations.x"), "annotations");
    assert_eq!(missing_key("app.env.size()"), "env");
    assert_eq!(missing_key("max(app.env, '2')"), "env");
    assert_eq!(missing_key("min('2', app.env)"), "env");
    for function in ["size", "string", "int", "uint", "double", "min", "max"] {
        assert_eq!(missing_key(&format!("{function}(app.env)")), "env", "{function}");
    }
    assert_eq!(missing_key("apps.map(app, app.env)"), "env");
}

#[test]
fn a_missing_key_of_the_template_itself_is_the_templates() {
    assert_eq!(failure("{'a': 1}['b']"), "no such key \"b\"");
    assert_eq!(failure("{'a': 1}.b"), "no such key \"b\"");
    assert_eq!(failure("cluster.name"), "no such key \"name\"");
}

#[test]
fn a_field_of_what_is_no_map_is_an_error_and_not_false() {
    for source in [
        "pod.metadata.name.first",
        "pod.spec.containers.securityContext",
        "!pod.spec.containers.privileged",
        "pod.spec.hostNetwork.value",
        "params.count.x",
        "'text'.field",
        "[1].field",
    ] {
        assert!(matches!(evaluate(source), Err(EvaluationError::Failed(_))), "{source}: {:?}", evaluate(source));
    }
}

#[test]
fn has_asks_maps_only() {
    assert_eq!(value("has(pod.spec.hostNetwork)"), json!(true));
    assert_eq!(value("has(pod.spec.hostPID)"), json!(false));
    assert_eq!(value("has(pod.spec.securityContext.runAsUser)"), json!(false));
    assert_eq!(value("has({'a': 1}.a) && !has({'a': 1}.b)"), json!(true));
    for source in ["has(pod.spec.containers.securityContext)", "has(pod.metadata.name.first)", "has(params.count.x)"] {
        assert!(matches!(evaluate(source), Err(EvaluationError::Failed(_))), "{source}: {:?}", evaluate(source));
    }
    assert_eq!(missing_key("has(pod.status.phase)"), "status");
}

#[test]
fn has_of_a_parameter_gives_a_boolean() {
    assert_eq!(value("has(params.name)"), json!(true));
    assert_eq!(value("has(params.unset)"), json!(false));
}

#[test]
fn optional_fields_have_a_value_or_another() {
    assert_eq!(value("pod.spec.?nodeName.orValue('none')"), json!("none"));
    assert_eq!(value("pod.?status.?phase.orValue('none')"), json!("none"));
    assert_eq!(value("pod.metadata.labels[?'a'].orValue('none')"), json!("1"));
    assert_eq!(value("pod.metadata.?labels.?a.orValue('none')"), json!("1"));
    assert_eq!(value("params.?name.orValue('none')"), json!("log"));
    assert_eq!(value("params.?unset.orValue('none')"), json!("none"));
    assert_eq!(value("params.?name.hasValue()"), json!(true));
    assert_eq!(value("pod.spec.?hostPID.hasValue()"), json!(false));
    assert_eq!(value("pod.metadata.?labels.a.orValue('none')"), json!("1"), "what follows an optional is optional");
}

#[test]
fn an_optional_is_its_value_or_null() {
    assert_eq!(value("params.?name"), json!("log"));
    assert_eq!(value("optional.of(optional.of(1))"), json!(1));
    for source in ["optional.none()", "pod.?status.?phase", "optional.of(optional.none())"] {
        assert_eq!(value(source), json!(null), "{source}");
    }
    assert_eq!(value("[pod.spec.?nodeName, params.?name, null]"), json!(["log"]), "an element is left out");
    assert_eq!(value("{'a': pod.spec.?nodeName, 'b': {'c': null}}"), json!({"b": {}}), "a field is left out");
}

#[test]
fn wrong_types_are_errors() {
    for source in
        ["1 + 'a'", "'a' < 1", "!1", "-'a'", "[1] + 1", "1 in 2", "1 ? 2 : 3", "params.count && true", "[1]['a']"]
    {
        assert!(matches!(evaluate(source), Err(EvaluationError::Failed(_))), "{source}: {:?}", evaluate(source));
    }
    assert_eq!(failure("[1, 2][2]"), "index out of bounds");
    assert_eq!(failure("[1, 2][-1]"), "index out of bounds");
}

#[test]
fn messages_are_one_short_line() {
    let long = "x\u{202e}\n\u{1b}[31m".repeat(60);
    for source in
        [format!("int(r'''{long}''')"), format!("quantity(r'''{long}''')"), format!("'a'.matches(r'''({long}''')")]
    {
        let message = failure(&source);
        assert!(message.chars().count() <= 160, "{message}");
        assert!(!message.contains(['\n', '\u{1b}', '\u{202e}']), "{message:?}");
    }
}

/// An expression that fails is answered without a verdict, and that answer is logged by API
/// servers.
#[test]
fn messages_of_functions_quote_no_value() {
    let calls = [
        "quantity('s3cr3t')",
        "mul('s3cr3t', 2)",
        "min('s3cr3t', '1')",
        "semver('s3cr3t')",
        "timestamp('s3cr3t')",
        "duration('s3cr3t')",
        "int('s3cr3t')",
        "double('s3cr3t')",
        "url('s3cr3t')",
        "ip('s3cr3t')",
        "cidr('s3cr3t')",
        "'a'.matches('(s3cr3t')",
        "'a'.find('(s3cr3t')",
        "'%d'.format(['s3cr3t'])",
        "size(['s3cr3t'][0] + 1)",
    ];
    for source in calls {
        let message = failure(source);
        assert!(!message.contains("s3cr3t") && !message.ends_with(": "), "{source}: {message}");
    }
}

#[test]
fn undeclared_names_are_refused_at_load() {
    for (source, message) in [
        ("pods.metadata", "unknown variable \"pods\"; did you mean \"pod\"?"),
        ("params.nam", "unknown parameter \"nam\"; did you mean \"name\"?"),
        ("params['nam']", "unknown parameter \"nam\"; did you mean \"name\"?"),
        ("params.?nam.orValue('')", "unknown parameter \"nam\"; did you mean \"name\"?"),
        ("has(params.nam)", "unknown parameter \"nam\"; did you mean \"name\"?"),
        ("params.x1", "unknown parameter \"x1\"; the template declares name, "),
        ("siez([1])", "unknown function \"siez\"; did you mean \"size\"?"),
        ("[1].map(x, y)", "unknown variable \"y\""),
        ("[1].map(x, x) + [x]", "unknown variable \"x\""),
        ("now()", "unknown function \"now\""),
        ("pod.env('PATH')", "unknown function \"env\""),
    ] {
        assert!(refusal(source).starts_with(message), "{source}: {}", refusal(source));
    }
}

#[test]
fn structs_are_refused_at_load() {
    assert_eq!(refusal("Pod{name: 'a'}"), "unknown type \"Pod\"; messages cannot be made here");
    assert_eq!(
        refusal("[1].map(x, google.protobuf.Any{})"),
        "unknown type \"google.protobuf.Any\"; messages cannot be made here"
    );
}

#[test]
fn the_rewritten_functions_cannot_be_called_by_name() {
    for source in ["@range([1])", "@step(true)", "pod.@range()", "__result__", "@result"] {
        assert!(compile_with(source, PARAMETERS).is_err(), "{source}");
    }
}

#[test]
fn a_syntax_error_is_one_line() {
    for source in ["1 +", "(", "pod.", "'a", "a b", "{", "1 ? 2", "\n\n)", "\"\\q\""] {
        let message = refusal(source);
        let shown = crate::inject::text::quote::quote(source);
        assert!(message.starts_with(&format!("{shown} is not a CEL expression: ")), "{source}: {message}");
        assert!(!message.contains('\n') && !message.contains("expecting"), "{source}: {message}");
    }
    assert_eq!(refusal(" \n"), "the expression is empty");
    assert_eq!(refusal("1 +"), "\"1 +\" is not a CEL expression: unexpected end");
    for (source, fault) in [
        ("a b", "unexpected 'b'"),
        ("pod.", "unexpected '.'"),
        ("(1", "')' is missing before the end"),
        ("[1, 2", "unexpected end"),
        ("a # b", "unexpected '#'"),
        ("'a", "a string that is not closed or has a wrong escape: 'a"),
        ("\"a\\q\"", "a string that is not closed or has a wrong escape: \"a\\q"),
    ] {
        let shown = crate::inject::text::quote::quote(source);
        assert_eq!(refusal(source), format!("{shown} is not a CEL expression: {fault}"));
    }
}

#[test]
fn macros_take_the_arguments_that_they_take() {
    for source in [
        "[1].map(x)",
        "[1].all(1, true)",
        "[1].exists(x)",
        "[1].filter(x, true, 1)",
        "has(pod)",
        "has()",
        "[1].exists_one(x)",
        "map(x, 1)",
        "all(x, true)",
    ] {
        assert!(compile_with(source, PARAMETERS).is_err(), "{source}");
    }
}

#[test]
fn two_argument_macros_of_newer_cel_are_refused_at_load() {
    for source in [
        "{'a': 1}.all(k, v, v > 0)",
        "{'a': 1}.exists(k, v, v > 0)",
        "{'a': 1}.transformList(k, v, v)",
        "{'a': 1}.transformMap(k, v, v)",
        "cel.bind(x, 1, x)",
    ] {
        assert!(compile_with(source, PARAMETERS).is_err(), "{source}");
    }
}

#[test]
fn a_quantity_that_is_a_number_is_text() {
    let object = json!({"resources": {"limits": {"cpu": 0.25, "pods": null}, "requests": {"cpu": "1"}}, "limits": 3});
    let read = convert::to_json(&convert::object_to_cel(&object));
    let expected = json!({"resources": {"limits": {"cpu": "0.25"}, "requests": {"cpu": "1"}}, "limits": 3});
    assert_eq!(read.ok(), Some(expected));
}

#[test]
fn a_null_field_of_the_pod_counts_as_absent() {
    assert_eq!(value("has(pod.metadata.ownerReferences)"), json!(false));
    assert_eq!(value("pod.metadata.?ownerReferences[?0].?kind.orValue('none')"), json!("none"));
    assert_eq!(value("pod.metadata.?ownerReferences.orValue([]).size()"), json!(0));
}
