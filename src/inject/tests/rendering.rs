//! Tests that a pod's texts become values in a rendered template, never structure.

use super::*;

/// A template that uses one text parameter wherever a text is allowed.
fn echo() -> Injector {
    let spec = json!({
        "hardened": false,
        "parameters": [{"name": "text", "type": "string", "default": "x"}],
        "sidecars": [{
            "name": "agent", "image": "agent:1", "args": ["--text=${params.text}", "${params.text}"],
            "env": [{"name": "TEXT", "value": "${params.text}"}],
        }],
        "metadata": {"annotations": {"example.org/text": "<${params.text}>"}},
    });
    injector(&[template("agent", spec)])
}

#[test]
fn a_text_of_the_pod_never_becomes_structure() {
    let injector = echo();
    for text in [
        "\", \"privileged\": true, \"x\": \"",
        "x\n  privileged: true",
        "${params.text}",
        "$${x}",
        "$(PATH)",
        "{{ .Values.x }}",
        "~0~1/",
        "\u{0}\u{1f}\u{2028}\u{202e}",
        "null",
        "true",
        "5",
        "[1]",
        "",
        "outrigger-unknown",
    ] {
        let injection = injected(&injector, &pod("agent", json!({"agent.outrigger.dev/text": text})));
        let sidecar = &injection.pod["spec"]["initContainers"][0];
        assert_eq!(sidecar["args"], json!([format!("--text={text}"), text]));
        assert_eq!(sidecar["env"], json!([{"name": "TEXT", "value": text}]));
        assert_eq!(injection.pod["metadata"]["annotations"]["example.org/text"], format!("<{text}>"));
        let mut fields: Vec<&String> = sidecar.as_object().expect("an object").keys().collect();
        fields.sort();
        assert_eq!(fields, ["args", "env", "image", "name", "restartPolicy"]);
    }
}

fn with_limit(value: &str) -> Result<Outcome, InjectError> {
    let limits = json!({"cpu": "${params.limit}", "memory": "${params.limit}i"});
    let spec = json!({
        "parameters": [{"name": "limit", "type": "string", "default": "1M"}],
        "sidecars": [{"name": "agent", "image": "agent:1", "resources": {"limits": limits}}],
    });
    inject(&injector(&[template("agent", spec)]), &pod("agent", json!({"agent.outrigger.dev/limit": value})))
}

#[test]
fn an_invalid_quantity_is_refused_even_if_it_looks_like_a_sample() {
    assert!(matches!(with_limit("2M"), Ok(Outcome::Injected(_))));
    for value in ["lots", "outrigger-unknown", "outrigger-unknown-1", "", "1 "] {
        let error = with_limit(value).expect_err(value);
        assert!(error.to_string().contains("must be a quantity"), "{value}: {error}");
    }
}

#[test]
fn names_from_a_pods_parameters_must_be_valid_kubernetes_names() {
    let spec = json!({
        "parameters": [{"name": "name", "type": "string", "default": "agent"}],
        "sidecars": [{"name": "${params.name}", "image": "agent:1", "volumeMounts": [{"name": "v-${params.name}", "mountPath": "/x"}]}],
        "volumes": [{"name": "v-${params.name}", "emptyDir": {}}],
        "metadata": {"labels": {"name": "${params.name}"}},
    });
    let injector = injector(&[template("agent", spec)]);
    let with = |name: &str| inject(&injector, &pod("agent", json!({"agent.outrigger.dev/name": name})));
    assert!(matches!(with("helper"), Ok(Outcome::Injected(_))));
    for name in ["Helper", "a_b", "-a", "", "a/b", &"x".repeat(64), "a\nb"] {
        let error = with(name).expect_err(name);
        assert_eq!(error.codes(), [ErrorCode::ResultInvalid], "{name}");
    }
}

#[test]
fn a_value_that_is_one_expression_gets_the_type_of_its_field() {
    let spec = json!({
        "hardened": false,
        "parameters": [{"name": "port", "type": "port", "default": 80}, {"name": "on", "type": "boolean", "default": true}],
        "sidecars": [{
            "name": "agent", "image": "agent:1", "tty": "${params.on}", "args": ["${params.port}", "${params.on}"],
            "ports": [{"containerPort": "${params.port}"}],
            "env": [{"name": "PORT", "value": "${params.port}"}],
        }],
    });
    let injection =
        injected(&injector(&[template("agent", spec)]), &pod("agent", json!({"agent.outrigger.dev/port": "8080"})));
    let sidecar = &injection.pod["spec"]["initContainers"][0];
    assert_eq!(sidecar["ports"][0]["containerPort"], json!(8080));
    assert_eq!(sidecar["args"], json!(["8080", "true"]));
    assert_eq!(sidecar["env"][0]["value"], json!("8080"));
    assert_eq!(sidecar["tty"], json!(true));
}

#[test]
fn the_size_of_a_rendered_template_is_limited() {
    let spec = json!({"metadata": {"annotations": {
        "a": "${pod.metadata.labels.big}", "b": "${pod.metadata.labels.big}", "c": "${pod.metadata.labels.big}",
    }}});
    let injector = injector(&[template("agent", spec)]);
    let mut pod = pod("agent", json!({}));
    pod["metadata"]["labels"] = json!({"big": "x".repeat(400_000)});
    let error = refused(&injector, &pod);
    assert!(error.to_string().contains("the result has more than 1048576 bytes"), "{error}");
}

#[test]
fn a_missing_key_is_the_pods_error_and_is_named() {
    let spec = json!({"metadata": {"labels": {"team": "${pod.metadata.labels.team}"}}});
    let error = refused(&injector(&[template("agent", spec)]), &pod("agent", json!({})));
    assert_eq!((error.codes().as_slice(), error.blame()), ([ErrorCode::ExpressionMissingKey].as_slice(), Blame::Pod));
    assert!(error.to_string().contains("labels"), "{error}");
}

/// The rendering of such a template is kept for usual pods, and must not be used for others.
#[test]
fn a_template_that_reads_fields_of_the_spec_is_rendered_for_each_unusual_pod() {
    let spec = json!({
        "hardened": false,
        "sidecars": [{
            "name": "agent", "image": "agent:1",
            "args": ["${has(pod.spec.hostNetwork) && pod.spec.hostNetwork ? null : '--listen'}", "${pod.spec.terminationGracePeriodSeconds}"],
        }],
        "volumes": [{"name": "${has(pod.spec.hostNetwork) && pod.spec.hostNetwork ? 'host' : 'usual'}", "emptyDir": {}}],
    });
    let injector = injector(&[template("agent", spec)]);
    for (fields, args, volume) in [
        (json!({"terminationGracePeriodSeconds": 30}), json!(["--listen", "30"]), "usual"),
        (json!({"terminationGracePeriodSeconds": 5}), json!(["--listen", "5"]), "usual"),
        (json!({"terminationGracePeriodSeconds": 30, "hostNetwork": false}), json!(["--listen", "30"]), "usual"),
        (json!({"terminationGracePeriodSeconds": 30, "hostNetwork": true}), json!(["30"]), "host"),
    ] {
        let mut pod = pod("agent", json!({}));
        pod["spec"].as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let spec = &injected(&injector, &pod).pod["spec"];
        assert_eq!(spec["initContainers"][0]["args"], args, "{fields}");
        assert_eq!(spec["volumes"][0]["name"], volume, "{fields}");
    }
    let mut conflicting = pod("agent", json!({}));
    conflicting["spec"]["hostNetwork"] = json!(true);
    conflicting["spec"]["terminationGracePeriodSeconds"] = json!(30);
    conflicting["spec"]["volumes"] = json!([{"name": "host", "hostPath": {"path": "/x"}}]);
    assert_eq!(refused(&injector, &conflicting).codes(), [ErrorCode::Conflict]);
    let error = refused(&injector, &pod("agent", json!({})));
    assert_eq!(error.codes(), [ErrorCode::ExpressionMissingKey], "the pod has no grace period");
}

/// A pod with this many containers that requests a template with this environment.
fn refused_for_containers(count: usize, env: Value, settings: Settings) -> InjectError {
    let injector = injector_with(&[template("agent", json!({"app": {"env": env}}))], settings);
    let mut pod = pod("agent", json!({}));
    pod["spec"]["containers"] = (0..count).map(|n| json!({"name": format!("c{n}"), "image": "app:1"})).collect();
    refused(&injector, &pod)
}

#[test]
fn the_parts_for_all_containers_together_are_limited_in_size() {
    let env = json!([{"name": "NAME", "value": "${container.name}"}, {"name": "LONG", "value": "x".repeat(60_000)}]);
    let error = refused_for_containers(18, env, Settings::default());
    assert_eq!(error.codes(), [ErrorCode::ExpressionFailed]);
    assert!(error.to_string().contains("spec.app: the result has more than 1048576 bytes"), "{error}");
}

#[test]
fn the_parts_for_all_containers_together_are_limited_in_time() {
    thread_local!(static NOW: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
    // Each look at the clock takes 10 ms, so no single expression takes long.
    let clock = || NOW.with(|now| now.replace(now.get() + 10));
    let settings = || Settings { clock: Some(clock), ..Settings::default() };
    let env = || json!([{"name": "NAME", "value": "${container.name}"}]);
    let error = refused_for_containers(40, env(), settings());
    assert_eq!(error.codes(), [ErrorCode::ExpressionFailed]);
    assert!(error.to_string().contains("the parts for all containers of the app take longer than 100 ms"), "{error}");
    let injector = injector_with(&[template("agent", json!({"app": {"env": env()}}))], settings());
    assert_eq!(injected(&injector, &pod("agent", json!({}))).pod["spec"]["containers"][0]["env"][0]["value"], "web");
}

#[test]
fn expressions_read_the_names_of_templates_that_an_earlier_pass_has_injected() {
    let injector = injector(&[
        template("first", json!({"metadata": {"labels": {"a": "b"}}})),
        template("second", json!({"metadata": {"annotations": {"all": "${templates.join('+')}"}}})),
    ]);
    let mut once = injected(&injector, &pod("first", json!({}))).pod;
    once["metadata"]["annotations"]["outrigger.dev/inject"] = json!("second");
    assert_eq!(injected(&injector, &once).pod["metadata"]["annotations"]["all"], "second+first");
}
