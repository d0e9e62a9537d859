//! What a hostile tenant tries with a template of its namespace, each with its result.

use super::*;

const SECRET: &str = "a template of a namespace must not read Secrets";

/// The problems of a template of the namespace `shop`; none if it is served.
fn problems(spec: &Value) -> Vec<String> {
    TemplateSet::load(&[source(spec)]).problems.iter().map(ToString::to_string).collect()
}

fn source(spec: &Value) -> SourceText {
    let document = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "InjectionTemplate",
        "metadata": {"name": "own", "namespace": "shop"}, "spec": spec});
    SourceText { origin: "own.yaml".to_owned(), text: document.to_string() }
}

#[track_caller]
fn refused_at_load(spec: &Value, expected: &[&str]) {
    let problems = problems(spec);
    for expected in expected {
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

/// What a pod gets: the pod, or why it is refused.
fn result(spec: &Value, pod: &Value) -> Result<Value, String> {
    let loaded = TemplateSet::load(&[source(spec)]);
    assert!(loaded.problems.is_empty(), "{:#?}", loaded.problems);
    let injector = Injector::new(loaded.templates, Settings::default());
    match injector.inject(&Request::create_pod("shop", &pod.to_string())) {
        Ok(Outcome::Injected(injection)) => Ok(patched(pod, &injection)),
        Ok(other) => Err(format!("{other:?}")),
        Err(error) => Err(error.to_string()),
    }
}

#[track_caller]
fn refused_for(spec: &Value, pod: &Value, expected: &str) {
    match result(spec, pod) {
        Err(error) => assert!(error.starts_with("result_invalid: ") && error.contains(expected), "{error}"),
        Ok(pod) => panic!("{pod:#}"),
    }
}

fn sidecar(fields: Value) -> Value {
    let mut container = json!({"name": "s", "image": "i:1"});
    for (field, content) in fields.as_object().expect("fields") {
        container[field] = content.clone();
    }
    container
}

/// A pod that asks for the template and sets parameters of it.
fn asking(parameters: Value, spec: Value) -> Value {
    let mut annotations = serde_json::Map::new();
    for (name, text) in parameters.as_object().expect("parameters") {
        annotations.insert(format!("own.outrigger.dev/{name}"), text.clone());
    }
    let mut asking = pod("own", Value::Object(annotations));
    for (field, content) in spec.as_object().expect("fields") {
        asking["spec"][field] = content.clone();
    }
    asking
}

/// A pod whose container mounts a volume of this source.
fn with_volume(source: &str, content: Value) -> Value {
    let volumes = json!([{"name": "v", source: content}]);
    let mounts = json!([{"name": "v", "mountPath": "/v"}]);
    let app = json!([{"name": "app", "image": "app", "volumeMounts": mounts}]);
    asking(json!({}), json!({"volumes": volumes, "containers": app}))
}

#[test]
fn all_violations_are_listed_at_once() {
    let spec = json!({
        "shadowable": true,
        "newFields": ["a"],
        "pod": {"serviceAccountName": "admin"},
        "sidecars": [sidecar(json!({"securityContext": {"privileged": true}, "env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}))],
        "volumes": [{"name": "h", "hostPath": {"path": "/"}}],
    });
    refused_at_load(
        &spec,
        &[
            "spec.shadowable",
            "spec.newFields",
            "spec.pod.serviceAccountName",
            "securityContext.privileged",
            SECRET,
            "spec.volumes[0].hostPath",
        ],
    );
}

#[test]
fn the_same_template_of_the_cluster_is_served() {
    let spec = json!({"sidecars": [sidecar(json!({"envFrom": [{"secretRef": {"name": "s"}}]}))],
        "pod": {"serviceAccountName": "agent"}, "volumes": [{"name": "h", "hostPath": {"path": "/"}}]});
    assert!(
        TemplateSet::load(&[SourceText { origin: "a".into(), text: template("own", spec).to_string() }])
            .problems
            .is_empty()
    );
}

#[test]
fn keys_are_never_expressions() {
    let key = "${params.key}";
    let spec = json!({"parameters": [{"name": "key", "type": "string", "default": "emptyDir"}],
        "volumes": [{"name": "v", key: {"secretName": "s"}}], "sidecars": [sidecar(json!({}))]});
    let problems = problems(&spec);
    assert!(problems.iter().any(|problem| problem.contains("spec.volumes[0]")), "{problems:?}");
}

#[test]
fn values_that_expressions_build_are_judged_as_rendered() {
    let context = |text: &str| json!({"sidecars": [sidecar(json!({"securityContext": text}))]});
    refused_at_load(&context("${{'privileged': true}}"), &["securityContext.privileged"]);
    refused_at_load(&context("${{'future': true}}"), &["securityContext.future"]);
    let env = json!({"sidecars": [sidecar(json!({"env":
        "${[{'name': 'A', 'valueFrom': {'secretKeyRef': {'name': 's', 'key': 'k'}}}]}"}))]});
    refused_at_load(&env, &[SECRET]);
    let projected = json!({"sidecars": [sidecar(json!({}))], "volumes": [{"name": "v", "projected": {"sources":
        "${[{'serviceAccountToken': {'path': 'token', 'audience': 'vault'}}]}"}}]});
    refused_at_load(&projected, &["must not have tokens"]);
}

#[test]
fn a_null_of_an_expression_does_not_keep_hardening_out() {
    let spec = json!({"sidecars": [sidecar(json!({"securityContext":
        "${{'runAsNonRoot': null, 'allowPrivilegeEscalation': null, 'seccompProfile': null, 'capabilities': null}}"}))]});
    let pod = result(&spec, &asking(json!({}), json!({}))).expect("injected");
    let context = pod.pointer("/spec/initContainers/0/securityContext").expect("a context");
    let hardened = json!({"runAsNonRoot": true, "allowPrivilegeEscalation": false,
        "seccompProfile": {"type": "RuntimeDefault"}, "capabilities": {"drop": ["ALL"]}});
    assert_eq!(*context, hardened);
}

#[test]
fn values_of_the_pod_are_judged_after_rendering() {
    let user = json!({"parameters": [{"name": "user", "type": "integer", "default": 1000}],
        "sidecars": [sidecar(json!({"securityContext": {"runAsUser": "${params.user}"}}))]});
    assert!(result(&user, &asking(json!({"user": "1"}), json!({}))).is_ok());
    refused_for(&user, &asking(json!({"user": "0"}), json!({})), "securityContext.runAsUser");
    let path = json!({"parameters": [{"name": "path", "type": "string", "default": "metadata.name"}],
        "sidecars": [sidecar(json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "${params.path}"}}}]}))]});
    assert!(result(&path, &asking(json!({}), json!({}))).is_ok());
    let annotation = asking(json!({"path": "metadata.annotations['vault.outrigger.dev/file.conf.key']"}), json!({}));
    refused_for(&path, &annotation, "fieldRef.fieldPath");
    // A required parameter has no value at load.
    let host = json!({"parameters": [{"name": "host", "type": "string"}],
        "sidecars": [sidecar(json!({"livenessProbe": {"tcpSocket": {"port": 1, "host": "${params.host}"}}}))]});
    refused_for(&host, &asking(json!({"host": "10.0.0.1"}), json!({})), "tcpSocket.host");
}

#[test]
fn the_pod_itself_smuggles_nothing_into_the_template() {
    let context = json!({"sidecars": [sidecar(json!({"securityContext": "${app.?securityContext}"}))]});
    let privileged = json!([{"name": "app", "image": "app", "securityContext": {"privileged": true}}]);
    refused_for(&context, &asking(json!({}), json!({"containers": privileged})), "securityContext.privileged");
    let env = json!({"sidecars": [sidecar(json!({"env": "${app.?env}"}))]});
    let secret = json!([{"name": "app", "image": "app",
        "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]}]);
    refused_for(&env, &asking(json!({}), json!({"containers": secret})), SECRET);
    let copied = json!({"sidecars": [sidecar(json!({}))], "fromApp": {"env": ["PASSWORD"]}});
    refused_for(&copied, &asking(json!({}), json!({"containers": secret})), SECRET);
    // A variable that reads the other.
    let through = json!([{"name": "app", "image": "app", "env": [secret[0]["env"][0], {"name": "URL", "value": "db://$(PASSWORD)"}]}]);
    let copied = json!({"sidecars": [sidecar(json!({}))], "fromApp": {"env": ["URL"]}});
    refused_for(&copied, &asking(json!({}), json!({"containers": through})), SECRET);
}

#[test]
fn items_with_conditions_and_loops_are_judged() {
    let volume = |clause: &str, text: &str| {
        json!({"parameters": [{"name": "on", "type": "boolean", "default": false}, {"name": "all", "type": "list", "default": []}],
            "sidecars": [sidecar(json!({}))],
            "volumes": [{"name": if clause == "forEach" { "v-${each}" } else { "v" }, "secret": {"secretName": "s"}, clause: text}]})
    };
    for (clause, text) in
        [("when", "params.on"), ("when", "false"), ("forEach", "params.all"), ("when", "has(pod.spec.hostNetwork)")]
    {
        let problems = problems(&volume(clause, text));
        assert!(problems.iter().any(|problem| problem.contains(SECRET)), "{clause} {text}: {problems:?}");
    }
}

#[test]
fn a_list_that_is_one_expression_is_judged_for_each_pod() {
    let sources = json!({"parameters": [{"name": "kind", "type": "string"}], "sidecars": [sidecar(json!({}))],
        "volumes": [{"name": "v", "projected": {"sources": "${[{params.kind: {'name': 'x'}}]}"}}]});
    assert!(result(&sources, &asking(json!({"kind": "configMap"}), json!({}))).is_ok());
    refused_for(&sources, &asking(json!({"kind": "secret"}), json!({})), SECRET);
}

#[test]
fn a_volume_of_the_pod_is_mounted_only_if_its_data_is_open() {
    // The pod's own volume is kept, and the mount leads to it.
    let spec = json!({"onConflict": "KeepPod", "volumes": [{"name": "v", "emptyDir": {}}],
        "sidecars": [sidecar(json!({"volumeMounts": [{"name": "v", "mountPath": "/stolen"}]}))]});
    for (source, content) in [
        ("secret", json!({"secretName": "db"})),
        ("hostPath", json!({"path": "/"})),
        ("projected", json!({"sources": [{"serviceAccountToken": {"path": "token"}}]})),
        ("downwardAPI", json!({"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.annotations"}}]})),
        ("csi", json!({"driver": "secrets-store.csi.k8s.io", "readOnly": true})),
    ] {
        refused_for(&spec, &with_volume(source, content.clone()), &format!("source \"{source}\""));
        let app = json!({"onConflict": "KeepPod", "volumes": [{"name": "v", "emptyDir": {}}],
            "app": {"volumeMounts": [{"name": "v", "mountPath": "/stolen"}]}});
        refused_for(&app, &with_volume(source, content), &format!("source \"{source}\""));
    }
    for (source, content) in [
        ("emptyDir", json!({})),
        ("configMap", json!({"name": "c"})),
        ("persistentVolumeClaim", json!({"claimName": "c"})),
    ] {
        assert!(result(&spec, &with_volume(source, content)).is_ok(), "{source}");
    }
}

#[test]
fn mounts_that_are_copied_or_shared_are_judged() {
    let copied = json!({"sidecars": [sidecar(json!({}))], "fromApp": {"volumeMounts": true}});
    refused_for(&copied, &with_volume("secret", json!({"secretName": "db"})), "source \"secret\"");
    assert!(result(&copied, &with_volume("emptyDir", json!({}))).is_ok());
    let shared = json!({"volumes": [{"name": "own", "emptyDir": {}, "share": {"mountedAt": "/v"}}],
        "sidecars": [sidecar(json!({"volumeMounts": [{"name": "own", "mountPath": "/stolen", "readOnly": true}]}))]});
    refused_for(&shared, &with_volume("hostPath", json!({"path": "/"})), "source \"hostPath\"");
    assert!(result(&shared, &with_volume("emptyDir", json!({}))).is_ok());
    let allowed = json!({"volumes": [{"name": "own", "emptyDir": {}, "share": {"mountedAt": "/v", "allow": ["Secret"]}}],
        "sidecars": [sidecar(json!({}))]});
    refused_at_load(&allowed, &["spec.volumes[0].share.allow"]);
    let whole = json!({"sidecars": [sidecar(json!({"volumeMounts": "${app.?volumeMounts}"}))]});
    assert!(result(&whole, &with_volume("secret", json!({"secretName": "db"}))).is_err());
    let redeclared = json!({"volumes": [{"name": "v", "emptyDir": {}}], "onConflict": "KeepPod",
        "sidecars": [sidecar(json!({"volumeMounts": "${app.?volumeMounts}"}))]});
    refused_for(&redeclared, &with_volume("secret", json!({"secretName": "db"})), "source \"secret\"");
}

#[test]
fn a_second_pass_keeps_the_templates_own_files() {
    let spec = json!({"files": [{"name": "conf", "items": {"a": "b"}}],
        "sidecars": [sidecar(json!({"volumeMounts": [{"name": "conf", "mountPath": "/conf"}]}))]});
    let first = result(&spec, &asking(json!({}), json!({}))).expect("injected");
    // The pod without the sidecar and the status is prepared anew, and has the volume of files.
    let mut second = asking(json!({}), json!({"volumes": first["spec"]["volumes"]}));
    second["spec"]["volumes"][0]["downwardAPI"]["defaultMode"] = json!(420);
    let again = result(&spec, &second);
    assert!(again.is_ok(), "{again:?}");
}

#[test]
fn a_pod_that_runs_as_root_gives_a_tenant_no_root() {
    let spec = json!({"sidecars": [sidecar(json!({}))]});
    let root = asking(json!({}), json!({"securityContext": {"runAsUser": 0}}));
    let pod = result(&spec, &root).expect("injected");
    let context = pod.pointer("/spec/initContainers/0/securityContext/runAsNonRoot");
    assert_eq!(context, Some(&json!(true)), "the kubelet refuses to start it");
}

#[test]
fn annotations_of_the_injector_are_not_written_under_another_domain() {
    let spec = json!({"metadata": {"annotations": {"corp.example/status": "{}"}}});
    let loaded = TemplateSet::load(&[source(&spec)]);
    let injector =
        Injector::new(loaded.templates, Settings { domain: "corp.example".to_owned(), ..Settings::default() });
    let mut asking = pod("own", json!({}));
    asking["metadata"]["annotations"] = json!({"corp.example/inject": "own"});
    let error = injector.inject(&Request::create_pod("shop", &asking.to_string())).expect_err("refused").to_string();
    assert!(error.contains("written by the injector alone"), "{error}");
}
