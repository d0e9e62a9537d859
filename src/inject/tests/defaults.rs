//! Tests of default lists of namespaces that have a mistake.

use super::decide::{ENABLED, automatic, in_namespace, namespace, reasons_of, silent};
use super::*;
use SkipReason::*;

fn rejecting(templates: &[Value]) -> Injector {
    injector_with(templates, Settings { missing_defaults: MissingDefaults::Reject, ..Settings::default() })
}

#[test]
fn a_mistake_in_a_default_list_refuses_a_pod_only_if_the_operator_wants_that() {
    let broken = load_broken("broken");
    for (list, reason, code, sentence) in [
        (
            "agent, false",
            DefaultListInvalid,
            ErrorCode::AnnotationInvalid,
            "annotation outrigger.dev/inject of namespace \"demo\": \"agent, false\": \"false\" opts out",
        ),
        (
            "nope",
            DefaultTemplateMissing,
            ErrorCode::TemplateNotFound,
            "annotation outrigger.dev/inject of namespace \"demo\": template \"nope\" does not exist",
        ),
        (
            "broken",
            DefaultTemplateBroken,
            ErrorCode::TemplateBroken,
            "annotation outrigger.dev/inject of namespace \"demo\": template \"broken\" cannot be used: ",
        ),
    ] {
        let namespace = namespace(&[ENABLED], &[("outrigger.dev/inject", list)]);
        let skip = match in_namespace(&broken(MissingDefaults::Skip), &namespace, &silent()) {
            Ok(Outcome::Skipped(skip)) => skip,
            other => panic!("{list}: {other:?}"),
        };
        assert_eq!(skip.reasons, [reason], "{list}");
        assert_eq!(skip.warnings.len(), 1, "{:?}", skip.warnings);
        assert!(skip.warnings[0].starts_with(&format!("{}: {sentence}", reason.code())), "{:?}", skip.warnings);
        let error = in_namespace(&broken(MissingDefaults::Reject), &namespace, &silent()).expect_err(list);
        assert_eq!(error.codes(), [code], "{list}");
        assert!(error.to_string().contains(sentence), "{error}");
    }
}

/// Makes injectors with the template `agent` and one that never loaded.
fn load_broken(name: &str) -> impl Fn(MissingDefaults) -> Injector {
    let broken = template(name, json!({"sidecars": 5}));
    move |missing_defaults| {
        let text = format!("{}\n---\n{broken}", agent());
        let loaded = TemplateSet::load(&[SourceText { origin: "test.yaml".to_owned(), text }]);
        assert_eq!(loaded.templates.broken(), 1);
        Injector::new(loaded.templates, Settings { missing_defaults, ..Settings::default() })
    }
}

#[test]
fn the_other_templates_of_a_default_list_are_injected() {
    let injector = injector(&[agent(), automatic("auto", &["linux"])]);
    let by = |list: &str| in_namespace(&injector, &namespace(&[ENABLED], &[("outrigger.dev/inject", list)]), &silent());
    for (list, templates, reason) in [
        ("nope, agent", vec!["agent", "auto"], DefaultTemplateMissing),
        ("agent, false", vec!["auto"], DefaultListInvalid),
    ] {
        match by(list) {
            Ok(Outcome::Injected(injection)) => {
                assert_eq!(
                    (injection.templates, injection.reasons),
                    (templates.iter().map(ToString::to_string).collect(), vec![reason])
                );
                assert_eq!(injection.warnings.len(), 1);
            }
            other => panic!("{list}: {other:?}"),
        }
    }
    let own =
        in_namespace(&injector, &namespace(&[ENABLED], &[("outrigger.dev/inject", "nope")]), &pod("nope", json!({})));
    assert_eq!(own.expect_err("the pod requests it itself").codes(), [ErrorCode::TemplateNotFound]);
}

#[test]
fn a_pod_that_gets_nothing_is_not_refused_for_its_other_annotations() {
    let namespace = namespace(&[ENABLED], &[("outrigger.dev/inject", "nope")]);
    let mut pod = silent();
    pod["metadata"]["annotations"] = json!({"outrigger.dev/containers": "nobody", "outrigger.dev/injct": "agent"});
    assert_eq!(reasons_of(in_namespace(&injector(&[agent()]), &namespace, &pod)), [DefaultTemplateMissing]);
    let error = in_namespace(&rejecting(&[agent()]), &namespace, &pod).expect_err("the operator wants it");
    assert_eq!(error.codes(), [ErrorCode::TemplateNotFound, ErrorCode::ContainerNotFound]);
}
