//! Tests of what a skip says besides its codes: warnings and explanations.

use super::decide::{DISABLED, ENABLED, automatic, in_namespace, namespace, reasons, silent};
use super::*;

/// What the engine explains of a skip, with a template `agent` and an Automatic one, in lines.
fn explained(namespace: &Namespace, pod: &Value) -> String {
    let injector = injector(&[agent(), automatic("auto", &["linux"])]);
    let object = pod.to_string();
    let request = Request { namespace_object: Some(namespace), ..Request::create_pod("demo", &object) };
    let reasons = reasons(&injector, &request);
    injector.explain(&request, &reasons).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn labelled(value: &str, annotations: &[(&str, &str)]) -> Namespace {
    namespace(&[("outrigger.dev/injection", value)], annotations)
}

/// A pod that cannot be read, so that no Automatic template matches.
fn unmatched(mut pod: Value) -> Value {
    pod["spec"]["containers"] = json!(5);
    pod
}

const LIST: [(&str, &str); 1] = [("outrigger.dev/inject", "agent")];

#[test]
fn reasons_of_the_namespace_name_it_and_its_label() {
    let label = "label outrigger.dev/injection";
    for (namespace, pod, expected) in [
        (
            labelled("true", &LIST),
            silent(),
            format!(
                "namespace_not_enabled: namespace \"demo\" asks, but its {label} is \"true\", expected \"enabled\""
            ),
        ),
        (
            namespace(&[], &LIST),
            silent(),
            format!("namespace_not_enabled: namespace \"demo\" asks, but its {label} is absent, expected \"enabled\""),
        ),
        (
            labelled("true", &[]),
            silent(),
            format!(
                "namespace_not_enabled: an Automatic template matches, but in namespace \"demo\" the {label} is \"true\", expected \"enabled\""
            ),
        ),
        (
            namespace(&[DISABLED], &[]),
            silent(),
            format!("namespace_disabled: the {label} of namespace \"demo\" is \"disabled\": nothing is injected"),
        ),
        (
            namespace(&[ENABLED], &LIST),
            pod("false", json!({})),
            "opted_out: the pod's annotation outrigger.dev/inject is \"false\"".to_owned(),
        ),
        // A warning tells it.
        (namespace(&[DISABLED], &[]), pod("agent", json!({})), String::new()),
    ] {
        assert_eq!(explained(&namespace, &pod), expected);
    }
}

#[test]
fn not_requested_names_the_nearest_miss() {
    let with = |map: &str, key: &str| {
        let mut pod = silent();
        pod["metadata"][map] = json!({key: "agent", "app": "web"});
        unmatched(pod)
    };
    let unread = |key: &str| format!("{key}: nothing reads this key; did you mean \"outrigger.dev/inject\"?");
    let misplaced = |key: &str, belongs: &str| format!("{key} has no effect here: it must be {belongs}");
    let (none, enabled) = (namespace(&[], &[]), ("outrigger.dev/Injection", "enabled"));
    for (namespace, pod, expected) in [
        (&none, with("annotations", "outrigger.dev/injct"), unread("annotation outrigger.dev/injct")),
        (&none, with("annotations", "outriger.dev/inject"), unread("annotation outriger.dev/inject")),
        (&none, with("annotations", "outrigger.io/inject"), unread("annotation outrigger.io/inject")),
        (&none, with("annotations", "sidecar.outrigger.dev/inject"), unread("annotation sidecar.outrigger.dev/inject")),
        (&none, with("annotations", "Outrigger.dev/Inject"), unread("annotation Outrigger.dev/Inject")),
        (
            &none,
            with("labels", "outrigger.dev/inject"),
            misplaced("label outrigger.dev/inject", "an annotation of the pod"),
        ),
        (
            &none,
            with("labels", "outrigger.dev/injection"),
            misplaced("label outrigger.dev/injection", "a label of the namespace"),
        ),
        (
            &none,
            with("annotations", "agent.outrigger.dev/dir"),
            "annotation agent.outrigger.dev/dir has no effect: the pod does not request template \"agent\"".to_owned(),
        ),
        (
            &labelled("true", &[]),
            unmatched(silent()),
            "the label outrigger.dev/injection of namespace \"demo\" is \"true\", expected \"enabled\" or \"disabled\"".to_owned(),
        ),
        (
            &namespace(&[enabled], &[]),
            unmatched(silent()),
            "namespace \"demo\": label outrigger.dev/Injection: nothing reads this key; did you mean \"outrigger.dev/injection\"?".to_owned(),
        ),
        (
            &namespace(&[], &[ENABLED]),
            unmatched(silent()),
            misplaced("namespace \"demo\": annotation outrigger.dev/injection", "a label of the namespace"),
        ),
        (&none, unmatched(pod("", json!({}))), "the annotation outrigger.dev/inject names none".to_owned()),
    ] {
        assert_eq!(explained(namespace, &pod), format!("not_requested: no template is requested; {expected}"));
    }
    let general =
        "not_requested: neither the pod nor its namespace requests a template, and no Automatic template matches";
    assert_eq!(explained(&none, &unmatched(silent())), general);
}

#[test]
fn only_mistakes_are_marked_as_such() {
    let injector = injector(&[agent(), automatic("auto", &["linux"])]);
    let is_mistake = |namespace: &Namespace, pod: &Value| {
        let object = pod.to_string();
        let request = Request { namespace_object: Some(namespace), ..Request::create_pod("demo", &object) };
        injector.explain(&request, &reasons(&injector, &request))[0].is_mistake
    };
    let mut misspelt = unmatched(silent());
    misspelt["metadata"]["annotations"] = json!({"outrigger.dev/injct": "agent"});
    let none = namespace(&[], &[]);
    assert!(is_mistake(&none, &misspelt));
    assert!(is_mistake(&namespace(&[], &LIST), &silent()), "a default list without effect");
    assert!(is_mistake(&labelled("true", &[]), &silent()));
    assert!(!is_mistake(&none, &silent()), "a namespace need not take part");
    assert!(!is_mistake(&none, &unmatched(silent())));
    assert!(!is_mistake(&none, &unmatched(pod("", json!({})))));
    assert!(!is_mistake(&none, &pod("false", json!({}))));
}

#[test]
fn a_pod_is_warned_of_a_label_that_has_no_effect_on_it() {
    let injector = injector(&[agent()]);
    let warnings = |value: &str| match in_namespace(&injector, &labelled(value, &[]), &pod("agent", json!({}))) {
        Ok(Outcome::Injected(injection)) => injection.warnings,
        other => panic!("{other:?}"),
    };
    let expected =
        "the label outrigger.dev/injection of namespace \"demo\" is \"off\", expected \"enabled\" or \"disabled\"";
    assert_eq!(warnings("off"), [expected]);
    assert!(warnings("enabled").is_empty());
}

#[test]
fn other_objects_are_explained_in_general() {
    let injector = injector(&[agent()]);
    let request = Request { operation: "UPDATE", ..Request::create_pod("demo", "no JSON") };
    let explained = injector.explain(&request, &reasons(&injector, &request));
    assert_eq!(explained[0].to_string(), "unsupported_operation: pods are injected only when they are created");
}

#[test]
fn a_pod_that_requests_templates_is_warned_when_it_gets_none() {
    let skip = |injector: &Injector, namespace: &Namespace, pod: &Value| match in_namespace(injector, namespace, pod) {
        Ok(Outcome::Skipped(skip)) => skip.warnings,
        other => panic!("{other:?}"),
    };
    let plain = injector(&[agent()]);
    let disabled = namespace(&[DISABLED], &[]);
    let expected = "namespace_disabled: the label outrigger.dev/injection of namespace \"demo\" is \"disabled\": nothing is injected";
    assert_eq!(skip(&plain, &disabled, &pod("agent", json!({}))), [expected]);
    assert_eq!(skip(&plain, &disabled, &pod("agent,false", json!({}))), [expected], "a list that cannot be parsed");
    let none: [&str; 0] = [];
    for silent in [silent(), pod("", json!({})), pod("false", json!({}))] {
        assert_eq!(skip(&plain, &disabled, &silent), none);
    }
    let excluding = Settings { excluded_namespaces: vec!["demo".to_owned()], ..Settings::default() };
    let excluded = skip(&injector_with(&[agent()], excluding), &namespace(&[], &[]), &pod("agent", json!({})));
    assert_eq!(excluded, ["namespace_excluded: the configuration excludes namespace \"demo\""]);
    let mut windows = pod("agent", json!({}));
    windows["spec"]["os"] = json!({"name": "windows"});
    assert!(skip(&plain, &namespace(&[], &[]), &windows)[0].starts_with("windows_pod: the pod runs on Windows"));
    let mirror = pod("agent", json!({"kubernetes.io/config.mirror": ""}));
    assert_eq!(skip(&plain, &namespace(&[], &[]), &mirror), none, "it has no author");
}
