//! Tests of the decision: each reason, several at once, and their order.

use super::*;
use SkipReason::*;

pub(super) fn reasons_of(outcome: Result<Outcome, InjectError>) -> Vec<SkipReason> {
    match outcome {
        Ok(Outcome::Skipped(skip)) => skip.reasons,
        other => panic!("{other:?}"),
    }
}

pub(super) fn reasons(injector: &Injector, request: &Request<'_>) -> Vec<SkipReason> {
    reasons_of(injector.inject(request))
}

pub(super) fn namespace(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Namespace {
    let map =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Namespace { name: "demo".to_owned(), labels: map(labels), annotations: map(annotations) }
}

pub(super) fn in_namespace(injector: &Injector, namespace: &Namespace, pod: &Value) -> Result<Outcome, InjectError> {
    let object = pod.to_string();
    injector.inject(&Request { namespace_object: Some(namespace), ..Request::create_pod("demo", &object) })
}

pub(super) const ENABLED: (&str, &str) = ("outrigger.dev/injection", "enabled");
pub(super) const DISABLED: (&str, &str) = ("outrigger.dev/injection", "disabled");

pub(super) fn silent() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}})
}

pub(super) fn automatic(name: &str, os: &[&str]) -> Value {
    let labels = json!({format!("example.org/{name}"): "yes"});
    template(
        name,
        json!({"injection": "Automatic", "match": {"os": os, "podSelector": {}}, "metadata": {"labels": labels}}),
    )
}

#[test]
fn requests_that_do_not_create_a_pod_are_skipped_without_reading_the_object() {
    let injector = injector(&[agent()]);
    let request = Request::create_pod("demo", "this is no JSON");
    let other = |change: &dyn Fn(&mut Request<'_>)| {
        let mut request = request;
        change(&mut request);
        reasons(&injector, &request)
    };
    assert_eq!(other(&|request| request.operation = "UPDATE"), [UnsupportedOperation]);
    assert_eq!(other(&|request| request.operation = "create"), [UnsupportedOperation]);
    assert_eq!(other(&|request| request.sub_resource = "ephemeralcontainers"), [UnsupportedResource]);
    assert_eq!(other(&|request| request.resource = "deployments"), [UnsupportedResource]);
    assert_eq!(other(&|request| request.group = "apps"), [UnsupportedResource]);
    let both = other(&|request| (request.resource, request.operation) = ("nodes", "DELETE"));
    assert_eq!(both, [UnsupportedResource, UnsupportedOperation]);
}

#[test]
fn a_pod_without_annotations_gets_nothing() {
    let injector = injector(&[agent()]);
    assert_eq!(reasons_of(inject(&injector, &silent())), [NotRequested]);
    assert_eq!(reasons_of(inject(&injector, &pod("", json!({})))), [NotRequested]);
    assert_eq!(reasons_of(inject(&injector, &pod(" , ", json!({})))), [NotRequested]);
}

#[test]
fn false_opts_out() {
    let injector = injector(&[agent()]);
    assert_eq!(reasons_of(inject(&injector, &pod("false", json!({})))), [OptedOut]);
}

#[test]
fn false_beside_a_name_is_refused() {
    let error = refused(&injector(&[agent()]), &pod("agent, false", json!({})));
    assert_eq!(error.codes(), [ErrorCode::AnnotationInvalid]);
    assert_eq!(error.problems()[0].annotation.as_deref(), Some("outrigger.dev/inject"));
}

#[test]
fn a_mirror_pod_is_skipped() {
    let injector = injector(&[agent()]);
    assert_eq!(reasons_of(inject(&injector, &pod("agent", json!({"kubernetes.io/config.mirror": ""})))), [MirrorPod]);
}

#[test]
fn a_windows_pod_is_skipped_without_a_template_for_windows() {
    let injector = injector(&[
        agent(),
        template("both", json!({"match": {"os": ["linux", "windows"]}, "metadata": {"labels": {"a": "b"}}})),
    ]);
    let windows = |requested: &str, field: &str| {
        let mut pod = pod(requested, json!({}));
        match field {
            "os" => pod["spec"]["os"] = json!({"name": "windows"}),
            _ => pod["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "windows"}),
        }
        inject(&injector, &pod)
    };
    for field in ["os", "nodeSelector"] {
        assert_eq!(reasons_of(windows("agent", field)), [WindowsPod]);
        assert!(matches!(windows("both", field), Ok(Outcome::Injected(_))));
        assert!(windows("agent, both", field).is_err(), "agent is requested and does not run on Windows");
    }
}

#[test]
fn pods_in_an_excluded_or_disabled_namespace_get_nothing_even_on_request() {
    let excluded = Settings { excluded_namespaces: vec!["demo".to_owned()], ..Settings::default() };
    let injector_excluding = injector_with(&[agent()], excluded);
    assert_eq!(reasons_of(inject(&injector_excluding, &pod("agent", json!({})))), [NamespaceExcluded]);
    let disabled = namespace(&[DISABLED], &[]);
    assert_eq!(
        reasons_of(in_namespace(&injector(&[agent()]), &disabled, &pod("agent", json!({})))),
        [NamespaceDisabled]
    );
    let all = reasons_of(in_namespace(
        &injector_excluding,
        &disabled,
        &pod("false", json!({"kubernetes.io/config.mirror": "x"})),
    ));
    assert_eq!(all, [MirrorPod, NamespaceExcluded, NamespaceDisabled, OptedOut]);
}

#[test]
fn a_bad_annotation_does_not_refuse_a_pod_that_is_skipped_anyway() {
    let excluded = Settings { excluded_namespaces: vec!["demo".to_owned()], ..Settings::default() };
    let injector_excluding = injector_with(&[agent()], excluded);
    assert_eq!(reasons_of(inject(&injector_excluding, &pod("agent,false", json!({})))), [NamespaceExcluded]);
    let mirror = pod("agent,false", json!({"kubernetes.io/config.mirror": ""}));
    assert_eq!(reasons_of(inject(&injector(&[agent()]), &mirror)), [MirrorPod]);
    let bad = namespace(&[ENABLED], &[("outrigger.dev/inject", "agent,false")]);
    assert_eq!(reasons_of(in_namespace(&injector_excluding, &bad, &silent())), [NamespaceExcluded]);
}

#[test]
fn the_default_list_applies_only_in_an_enabled_namespace() {
    let injector = injector(&[agent()]);
    let list = [("outrigger.dev/inject", "agent")];
    let by = |namespace: &Namespace, pod: &Value| in_namespace(&injector, namespace, pod);
    assert!(matches!(by(&namespace(&[ENABLED], &list), &silent()), Ok(Outcome::Injected(_))));
    assert_eq!(reasons_of(by(&namespace(&[], &list), &silent())), [NamespaceNotEnabled]);
    let yes = [("outrigger.dev/injection", "yes")];
    assert_eq!(reasons_of(by(&namespace(&yes, &list), &silent())), [NamespaceNotEnabled]);
    assert_eq!(reasons_of(by(&namespace(&yes, &list), &pod("", json!({})))), [NotRequested]);
    assert_eq!(reasons_of(by(&namespace(&yes, &list), &pod("false", json!({})))), [OptedOut]);
    assert_eq!(reasons_of(by(&namespace(&yes, &[("outrigger.dev/inject", "false")]), &silent())), [NotRequested]);
    assert_eq!(reasons_of(by(&namespace(&[DISABLED], &list), &silent())), [NamespaceDisabled]);
    assert_eq!(reasons_of(by(&namespace(&[ENABLED], &list), &pod("", json!({})))), [NotRequested]);
    assert_eq!(reasons_of(by(&namespace(&[ENABLED], &list), &pod("false", json!({})))), [OptedOut]);
    assert_eq!(reasons_of(by(&namespace(&[ENABLED], &[("outrigger.dev/inject", "false")]), &silent())), [NotRequested]);
}

#[test]
fn a_namespace_that_is_not_enabled_is_a_reason_only_where_it_decides() {
    let auto = |os: &[&str]| injector(&[automatic("auto", os), agent()]);
    let by = |injector: &Injector, labels: &[(&str, &str)], pod: &Value| {
        reasons_of(in_namespace(injector, &namespace(labels, &[]), pod))
    };
    assert_eq!(by(&auto(&["linux"]), &[], &silent()), [NamespaceNotEnabled]);
    assert_eq!(by(&auto(&["linux"]), &[("outrigger.dev/injection", "true")], &silent()), [NamespaceNotEnabled]);
    assert_eq!(by(&auto(&["linux"]), &[], &pod("", json!({}))), [NamespaceNotEnabled]);
    assert_eq!(by(&auto(&["linux"]), &[], &pod("false", json!({}))), [OptedOut]);
    assert_eq!(by(&auto(&["windows"]), &[], &silent()), [NotRequested], "it would not match");
    assert_eq!(by(&auto(&["linux"]), &[DISABLED], &silent()), [NamespaceDisabled]);
    assert_eq!(by(&injector(&[agent()]), &[], &silent()), [NotRequested]);
    assert_eq!(reasons_of(inject(&auto(&["linux"]), &silent())), [NotRequested], "the namespace is not known");
    let unreadable = json!({"metadata": {}, "spec": {"containers": 5}});
    assert_eq!(by(&auto(&["linux"]), &[], &unreadable), [NotRequested]);
}

#[test]
fn automatic_templates_are_injected_only_in_enabled_namespaces() {
    let injector = injector(&[automatic("auto", &["linux"]), agent()]);
    let enabled = namespace(&[ENABLED], &[]);
    let templates = |outcome: Result<Outcome, InjectError>| match outcome {
        Ok(Outcome::Injected(injection)) => injection.templates,
        other => panic!("{other:?}"),
    };
    assert_eq!(templates(in_namespace(&injector, &enabled, &silent())), ["auto"]);
    assert_eq!(templates(in_namespace(&injector, &enabled, &pod("agent", json!({})))), ["agent", "auto"]);
    assert_eq!(templates(in_namespace(&injector, &enabled, &pod("auto, agent", json!({})))), ["auto", "agent"]);
    assert_eq!(reasons_of(in_namespace(&injector, &enabled, &pod("false", json!({})))), [OptedOut]);
    assert_eq!(reasons_of(in_namespace(&injector, &namespace(&[], &[]), &silent())), [NamespaceNotEnabled]);
    assert_eq!(reasons_of(inject(&injector, &silent())), [NotRequested]);
}

#[test]
fn an_automatic_template_that_does_not_match_is_not_an_error() {
    let condition = |expression: &str| {
        let matching = json!({"conditions": [{"expression": expression}]});
        let auto =
            template("auto", json!({"injection": "Automatic", "match": matching, "metadata": {"labels": {"a": "b"}}}));
        in_namespace(&injector(&[auto]), &namespace(&[ENABLED], &[]), &silent())
    };
    assert_eq!(reasons_of(condition("false")), [NotRequested]);
    assert_eq!(reasons_of(condition("pod.metadata.labels.team == 'a'")), [NotRequested], "a missing key is no match");
    assert!(matches!(condition("true"), Ok(Outcome::Injected(_))));
    let error = condition("pod.spec.containers.size() / 0 == 1").expect_err("the template's own fault");
    assert_eq!(error.blame(), Blame::Template);
}

#[test]
fn a_pod_that_requests_a_template_that_does_not_match_is_refused() {
    let matching =
        json!({"conditions": [{"expression": "pod.metadata.name == 'db'", "message": "only for databases"}]});
    let error = refused(
        &injector(&[template("agent", json!({"match": matching, "metadata": {"labels": {"a": "b"}}}))]),
        &pod("agent", json!({})),
    );
    assert_eq!(
        error.to_string(),
        "template_not_allowed: annotation outrigger.dev/inject: template \"agent\" is not for this pod: only for databases"
    );
}

#[test]
fn all_problems_of_all_templates_are_collected() {
    let port = template(
        "port",
        json!({"parameters": [{"name": "port", "type": "port"}], "metadata": {"labels": {"a": "${params.port}"}}}),
    );
    let requested = pod("nope, agnet, port", json!({"port.outrigger.dev/prot": "1", "outrigger.dev/containers": "db"}));
    let error = refused(&injector(&[agent(), port]), &requested);
    let codes: Vec<&str> = error.problems().iter().map(|problem| problem.code.code()).collect();
    assert_eq!(
        codes,
        ["template_not_found", "template_not_found", "container_not_found", "parameter_unknown", "parameter_missing"]
    );
    let text = error.to_string();
    for part in ["did you mean \"agent\"?", "did you mean \"port\"?", "the pod has no container \"db\"; it has \"web\""]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_second_pass_changes_nothing() {
    let injector = injector(&[agent()]);
    let first = injected(&injector, &pod("agent", json!({})));
    match inject(&injector, &first.pod) {
        Ok(Outcome::Skipped(skip)) => {
            assert_eq!(
                (skip.reasons.as_slice(), skip.templates.as_slice()),
                ([AlreadyInjected].as_slice(), ["agent".to_owned()].as_slice())
            );
        }
        other => panic!("{other:?}"),
    }
}

/// At startup, a file that cannot be parsed may contain the requested template.
#[test]
fn an_unknown_template_is_not_the_pods_error_while_a_source_cannot_be_read() {
    let load = |more: &str| {
        let source = |origin: &str, text: String| SourceText { origin: origin.to_owned(), text };
        let loaded = TemplateSet::load(&[source("a.yaml", agent().to_string()), source("b.yaml", more.to_owned())]);
        Injector::new(loaded.templates, Settings::default())
    };
    for (text, code, blame) in [
        ("metadata: [", ErrorCode::TemplateBroken, Blame::Template),
        ("kind: Kustomization", ErrorCode::TemplateNotFound, Blame::Pod),
    ] {
        let error = refused(&load(text), &pod("agnet", json!({})));
        assert_eq!((error.problems()[0].code, error.blame()), (code, blame), "{error}");
        assert!(error.to_string().contains("did you mean \"agent\"?"), "{error}");
        assert_eq!(error.to_string().contains("b.yaml:"), blame == Blame::Template, "{error}");
        assert!(inject(&load(text), &pod("agent", json!({}))).is_ok());
    }
}
