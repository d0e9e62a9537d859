//! Tests that a secret in a pod or template appears in no redacted message.

use super::*;
use crate::inject::text::Message;
use std::collections::BTreeSet;

/// The secret, which is also a valid name.
const CANARY: &str = "s3cr3t";

/// Asserts that some messages quote the secret, and no redacted message does.
fn assert_redacted(what: &str, sentences: &[Message]) {
    let quoting = sentences.iter().filter(|sentence| sentence.to_string().contains(CANARY)).count();
    assert!(quoting > 0, "{what}: the secret is not in {sentences:?}");
    let leaks: Vec<String> =
        sentences.iter().map(Message::redacted).filter(|sentence| sentence.contains(CANARY)).collect();
    assert!(leaks.is_empty(), "{what}: {leaks:#?}");
}

fn load(text: String) -> Loaded {
    TemplateSet::load(&[SourceText { origin: "test.yaml".to_owned(), text }])
}

/// Invalid specs, each with one error.
fn wrong_specs() -> Vec<Value> {
    let sidecar = |fields: Value| {
        let mut sidecar = json!({"name": "a", "image": "x"});
        sidecar.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
        json!({"sidecars": [sidecar]})
    };
    let parameter = |fields: Value| {
        let mut parameter = json!({"name": "p"});
        parameter.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
        json!({"parameters": [parameter]})
    };
    vec![
        sidecar(json!({"image": [CANARY], "stdin": CANARY})),
        sidecar(json!({"name": format!("A {CANARY}")})),
        sidecar(json!({"resources": {"limits": {"memory": CANARY}}})),
        sidecar(json!({"ports": [{"containerPort": 1, "name": format!("{CANARY}!")}]})),
        sidecar(json!({"ports": [{"containerPort": 1, "name": CANARY}, {"containerPort": 2, "name": CANARY}]})),
        sidecar(json!({"env": [{"name": CANARY, "value": "a"}, {"name": CANARY, "value": "b"}]})),
        sidecar(json!({"env": [{"name": format!("={CANARY}"), "value": "a"}]})),
        sidecar(json!({"volumeMounts": [{"name": CANARY, "mountPath": "/a"}]})),
        sidecar(json!({"image": format!("${{ {CANARY} '' }}")})),
        sidecar(json!({"image": format!("${{{CANARY}")})),
        sidecar(json!({"image": format!("${{{CANARY}.x}}")})),
        sidecar(json!({"image": format!("${{{CANARY}()}}")})),
        sidecar(json!({"image": format!("${{params.{CANARY}}}")})),
        sidecar(json!({"image": format!("${{{CANARY}{{a: 1}}}}")})),
        json!({"volumes": [{"name": CANARY, "emptyDir": {}, "hostPath": {"path": "/"}}]}),
        json!({"volumes": [{"name": format!("{CANARY}x"), "emptyDir": {}}], "app": {"volumeMounts": [{"name": CANARY, "mountPath": "/a"}]}}),
        json!({"sidecars": [{"name": CANARY, "image": "x"}, {"name": CANARY, "image": "x"}]}),
        json!({"sidecars": [
            {"name": CANARY, "image": "x", "ports": [{"containerPort": 1}]},
            {"name": "b", "image": "x", "ports": [{"containerPort": 1}]},
        ]}),
        json!({"app": {"volumeMounts": [{"name": "a", "mountPath": format!("{CANARY}:")}]}}),
        json!({"app": {"containers": CANARY}}),
        json!({"volumes": [{"name": "a", "share": {"mountedAt": CANARY}}]}),
        json!({"volumes": [{"name": "a", "share": {"mountedAt": "/a", "allow": [CANARY]}}]}),
        json!({"files": [{"name": CANARY, "items": {"a": "b"}}, {"name": CANARY, "items": {"a": "b"}}]}),
        json!({"app": {"containers": [format!("{CANARY}!")]}}),
        json!({"injection": CANARY}),
        json!({"onConflict": CANARY}),
        json!({"metadata": {"labels": {"a": format!("{CANARY}!")}}}),
        json!({"pod": {"imagePullSecrets": [{"name": CANARY}, {"name": CANARY}]}}),
        json!({"match": {"podSelector": {"matchLabels": {"a": format!("{CANARY}!")}}}}),
        json!({"match": {"podSelector": {"matchExpressions": [{"key": "a", "operator": CANARY}]}}}),
        json!({"match": {"podSelector": {"matchExpressions": [{"key": format!("{CANARY}!"), "operator": "Exists"}]}}}),
        parameter(json!({"type": CANARY})),
        parameter(json!({"type": "port", "default": CANARY})),
        parameter(json!({"type": "string", "pattern": format!("({CANARY}")})),
        parameter(json!({"type": "string", "pattern": "^a", "default": CANARY})),
        parameter(json!({"type": "enum", "values": [CANARY, "b"], "default": "x"})),
        parameter(json!({"type": "integer", "minimum": CANARY})),
        parameter(json!({"name": format!("{CANARY}_"), "type": "string"})),
        json!({"parameters": [{"name": CANARY, "type": "string"}, {"name": CANARY, "type": "string"}]}),
    ]
}

#[test]
fn no_redacted_problem_of_a_template_shows_a_value() {
    for spec in wrong_specs() {
        let loaded = load(template("t", spec.clone()).to_string());
        assert!(!loaded.problems.is_empty(), "{spec} loads");
        let sentences: Vec<Message> = loaded.problems.iter().map(|problem| problem.sentence()).collect();
        assert_redacted(&spec.to_string(), &sentences);
    }
    let texts =
        [format!("a: !{CANARY} b"), format!("apiVersion: {CANARY}\nkind: {CANARY}\nmetadata: {{name: '{CANARY}!'}}")];
    for text in texts {
        let sentences: Vec<Message> = load(text.clone()).problems.iter().map(|problem| problem.sentence()).collect();
        assert_redacted(&text, &sentences);
    }
}

/// A template that brings a label besides.
fn bringing(mut spec: Value) -> Value {
    spec["metadata"] = json!({"labels": {"a": "b"}});
    template("t", spec)
}

/// For each code that a pod can cause by what it requests: the template and the pod.
fn refusals_of_requests() -> Vec<(ErrorCode, Value, Value)> {
    let asking = |annotations: Value| pod("t", annotations);
    let plain = || template("t", json!({"sidecars": [{"name": "a", "image": "x"}]}));
    let with = |mut pod: Value, object: &str, field: &str, value: Value| {
        pod[object][field] = value;
        pod
    };
    let files = || template("t", json!({"files": [{"name": "a", "items": {"b": "c"}}]}));
    let word = bringing(json!({"parameters": [{"name": "word", "type": "string", "pattern": "^a"}]}));
    vec![
        (ErrorCode::PodInvalid, plain(), with(asking(json!({})), "spec", "nodeSelector", json!(CANARY))),
        (ErrorCode::AnnotationInvalid, plain(), pod(&format!("{CANARY},false"), json!({}))),
        (ErrorCode::AnnotationInvalid, files(), asking(json!({format!("t.outrigger.dev/file.{CANARY}"): CANARY}))),
        (ErrorCode::AnnotationUnknown, plain(), asking(json!({"outrigger.dev/injct": CANARY}))),
        (ErrorCode::TemplateNotFound, plain(), pod(CANARY, json!({}))),
        (
            ErrorCode::TemplateNotAllowed,
            bringing(json!({"match": {"conditions": [{"expression": "false", "message": CANARY}]}})),
            asking(json!({})),
        ),
        (
            ErrorCode::TemplateNotAllowed,
            bringing(json!({"match": {"conditions": [{"expression": format!("'{CANARY}' == ''")}]}})),
            asking(json!({})),
        ),
        (ErrorCode::TemplateRequired, bringing(json!({"requires": [CANARY]})), asking(json!({}))),
        (
            ErrorCode::TemplateExcluded,
            bringing(json!({"excludes": [CANARY]})),
            asking(
                json!({"outrigger.dev/status": format!("{{\"version\":1,\"templates\":[{{\"name\":\"{CANARY}\"}}]}}")}),
            ),
        ),
        (ErrorCode::ParameterUnknown, plain(), asking(json!({format!("t.outrigger.dev/{CANARY}"): "x"}))),
        (
            ErrorCode::ParameterMissing,
            bringing(json!({"parameters": [{"name": CANARY, "type": "string"}]})),
            asking(json!({})),
        ),
        (ErrorCode::ParameterInvalid, word, asking(json!({"t.outrigger.dev/word": CANARY}))),
        (ErrorCode::ContainerNotFound, plain(), asking(json!({"outrigger.dev/containers": CANARY}))),
    ]
}

/// For each code that a pod can cause by its containers and values.
fn refusals_of_content() -> Vec<(ErrorCode, Value, Value)> {
    let asking = |annotations: Value| pod("t", annotations);
    let plain = || template("t", json!({"sidecars": [{"name": "a", "image": "x"}]}));
    let of_image = |expression: &str| template("t", json!({"sidecars": [{"name": "a", "image": expression}]}));
    let with = |mut pod: Value, object: &str, field: &str, value: Value| {
        pod[object][field] = value;
        pod
    };
    let labelled = || with(asking(json!({})), "metadata", "labels", json!({"x": format!("{CANARY}_")}));
    let env = json!([{"name": "A", "value": CANARY}]);
    vec![
        (ErrorCode::RevisionNotFound, plain(), pod("t@0123456789", json!({"x": CANARY}))),
        (
            ErrorCode::AutoContainerUnclaimed,
            plain(),
            with(asking(json!({})), "spec", "containers", json!([{"name": CANARY, "image": "auto"}])),
        ),
        (
            ErrorCode::Conflict,
            template("t", json!({"app": {"env": [{"name": "A", "value": "b"}]}})),
            with(asking(json!({})), "spec", "containers", json!([{"name": CANARY, "image": "x", "env": env}])),
        ),
        (
            ErrorCode::CommandUnknown,
            template("t", json!({"app": {"prependCommand": [CANARY]}})),
            with(asking(json!({})), "spec", "containers", json!([{"name": CANARY, "image": CANARY}])),
        ),
        (
            ErrorCode::Conflict,
            template("t", json!({"app": {"env": [{"name": CANARY, "value": CANARY, "onExisting": "Append"}]}})),
            with(
                asking(json!({})),
                "spec",
                "containers",
                json!([{"name": CANARY, "image": "x", "env": [{"name": CANARY, "valueFrom": {"fieldRef": {"fieldPath": CANARY}}}]}]),
            ),
        ),
        (
            ErrorCode::ExpressionMissingKey,
            of_image(&format!("${{pod.metadata.annotations['{CANARY}']}}")),
            asking(json!({})),
        ),
        (ErrorCode::ExpressionFailed, of_image("${string(int(pod.metadata.labels.x))}"), labelled()),
        (
            ErrorCode::ResultInvalid,
            template("t", json!({"sidecars": [{"name": "${pod.metadata.labels.x}", "image": "x"}]})),
            labelled(),
        ),
    ]
}

#[test]
fn no_redacted_problem_of_a_shared_volume_shows_a_value() {
    let sharing = json!({
        "sidecars": [{"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "share": {"mountedAt": format!("/{CANARY}")}}],
    });
    let injector = injector(&[template("t", sharing)]);
    let mount = |fields: Value| {
        let mut mount = json!({"name": CANARY, "mountPath": format!("/{CANARY}")});
        mount.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
        json!({"name": CANARY, "image": "x", "volumeMounts": [mount]})
    };
    let other = || mount(json!({"subPath": CANARY}));
    let secret = json!({"secret": {"secretName": CANARY}});
    let claim = json!({"persistentVolumeClaim": {"claimName": CANARY, "readOnly": true}});
    for (containers, source) in [
        (json!([mount(json!({})), other()]), json!({"emptyDir": {}})),
        (json!([mount(json!({"subPathExpr": CANARY}))]), json!({"emptyDir": {}})),
        (json!([mount(json!({"readOnly": true}))]), json!({"emptyDir": {}})),
        (json!([mount(json!({}))]), secret),
        (json!([mount(json!({}))]), claim),
        (json!([mount(json!({}))]), json!({"configMap": {"name": CANARY}})),
    ] {
        let mut volume = source.clone();
        volume["name"] = json!(CANARY);
        let mut pod = pod("t", json!({}));
        pod["spec"] = json!({"containers": containers, "volumes": [volume]});
        let error = refused(&injector, &pod);
        assert_eq!(error.codes(), [ErrorCode::Conflict], "{error}");
        assert_redacted(&source.to_string(), &error.problems().iter().map(Problem::sentence).collect::<Vec<_>>());
    }
}

#[test]
fn no_redacted_problem_of_a_pod_shows_a_value() {
    let mut codes = BTreeSet::from([ErrorCode::Internal, ErrorCode::TemplateBroken]);
    for (code, template, pod) in refusals_of_requests().into_iter().chain(refusals_of_content()) {
        let error = refused(&injector(&[template]), &pod);
        codes.extend(error.codes());
        assert!(error.codes().contains(&code), "{code:?}: {error}");
        let sentences: Vec<Message> = error.problems().iter().map(Problem::sentence).collect();
        let leaks: Vec<String> =
            sentences.iter().map(Message::redacted).filter(|sentence| sentence.contains(CANARY)).collect();
        assert!(leaks.is_empty(), "{code:?}: {leaks:#?}");
    }
    assert!(ErrorCode::ALL.iter().all(|code| codes.contains(code)), "{codes:?}");
    let broken = load(template("t", json!({"injection": CANARY})).to_string());
    let error = refused(&Injector::new(broken.templates, Settings::default()), &pod("t", json!({})));
    assert_eq!(error.codes(), [ErrorCode::TemplateBroken]);
    assert_redacted("a broken template", &[error.problems()[0].sentence()]);
}
