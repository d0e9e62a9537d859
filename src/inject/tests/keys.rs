//! Tests of keys and values of annotations that their author meant otherwise.

use super::decide::{ENABLED, automatic, in_namespace, namespace, reasons_of, silent};
use super::*;
use SkipReason::*;

#[test]
fn a_misspelt_key_refuses_only_pods_that_get_or_request_templates() {
    let param = template(
        "tool",
        json!({"parameters": [{"name": "logDir", "type": "string", "default": "/l"}], "metadata": {"labels": {"a": "b"}}}),
    );
    let injector = injector(&[agent(), param, automatic("auto", &["linux"])]);
    for (key, hint) in [
        ("outrigger.dev/container", "did you mean \"outrigger.dev/containers\"?"),
        ("tol.outrigger.dev/logDir", "did you mean \"tool.outrigger.dev/logDir\"?"),
        ("outrigger.dev/logDir", "did you mean \"tool.outrigger.dev/logDir\"?"),
    ] {
        let error = refused(&injector, &pod("tool", json!({key: "web"})));
        assert_eq!(error.codes(), [ErrorCode::AnnotationUnknown]);
        assert_eq!(error.problems()[0].annotation.as_deref(), Some(key));
        assert_eq!(error.to_string(), format!("annotation_unknown: annotation {key}: nothing reads this key; {hint}"));
    }
    let mut silent = silent();
    silent["metadata"]["annotations"] = json!({"outrigger.dev/injct": "agent"});
    assert_eq!(reasons_of(inject(&injector, &silent)), [NotRequested]);
    let automatic = in_namespace(&injector, &namespace(&[ENABLED], &[]), &silent);
    assert_eq!(automatic.expect_err("it gets a template").codes(), [ErrorCode::AnnotationUnknown]);
    silent["spec"]["os"] = json!({"name": "windows"});
    assert!(in_namespace(&injector, &namespace(&[ENABLED], &[]), &silent).is_ok());
}

#[test]
fn a_key_without_effect_is_a_warning() {
    let injector = injector(&[agent(), automatic("auto", &["linux"])]);
    let mut pod = pod(
        "agent",
        json!({"outrigger.dev/team": "a", "auto.outrigger.dev/x": "1", "outriger.dev/containers": "web", "note": "x"}),
    );
    pod["metadata"]["labels"] =
        json!({"outrigger.dev/inject": "agent", "app": "web", "gone.outrigger.dev/revision": "1"});
    let mut warnings = injected(&injector, &pod).warnings;
    warnings.sort();
    assert_eq!(
        warnings,
        [
            "annotation_unknown: annotation auto.outrigger.dev/x has no effect: the pod does not request template \"auto\"",
            "annotation_unknown: annotation outriger.dev/containers: nothing reads this key; did you mean \"outrigger.dev/containers\"?",
            "annotation_unknown: annotation outrigger.dev/team: nothing reads this key",
            "annotation_unknown: label outrigger.dev/inject has no effect here: it must be an annotation of the pod",
        ]
    );
}

#[test]
fn words_of_other_injectors_are_told_what_the_value_is() {
    let injector = injector(&[agent()]);
    for (value, expected) in [
        ("False", "\"False\" is no template; did you mean \"false\", which opts out? (known: agent)"),
        ("off", "\"off\" is no template; did you mean \"false\", which opts out? (known: agent)"),
        ("true", "\"true\" is no template; the value is a list of template names (known: agent)"),
        ("Enabled", "\"Enabled\" is no template; the value is a list of template names (known: agent)"),
    ] {
        let error = refused(&injector, &pod(value, json!({})));
        assert_eq!(error.to_string(), format!("template_not_found: annotation outrigger.dev/inject: {expected}"));
    }
    for (key, value) in [("outrigger.dev/inject", "agent;proxy"), ("outrigger.dev/containers", "web worker")] {
        let mut pod = pod("agent", json!({}));
        pod["metadata"]["annotations"][key] = json!(value);
        let error = refused(&injector, &pod);
        assert_eq!(error.codes(), [ErrorCode::AnnotationInvalid]);
        assert!(
            error.to_string().contains("expected names separated by commas, without quotes or brackets; did you mean"),
            "{error}"
        );
    }
    // A template may have such a name.
    let off = template("off", json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(injected(&super::injector(&[off]), &pod("off", json!({}))).templates, ["off"]);
}

#[test]
fn a_key_of_a_requested_template_that_belongs_to_none_is_told_so() {
    let error = refused(&injector(&[agent()]), &pod("agent", json!({"agent.outrigger.dev/containers": "web"})));
    assert!(
        error.to_string().ends_with("has no parameter \"containers\"; did you mean \"outrigger.dev/containers\"?"),
        "{error}"
    );
}
