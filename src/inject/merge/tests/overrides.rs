//! Tests of `image: auto`, with which a container of the pod overrides fields of a sidecar.

use super::*;

fn sidecar() -> Value {
    json!({
        "hardened": false,
        "sidecars": [{
            "name": "agent", "image": "agent:1", "args": ["a", "b"], "env": [{"name": "A", "value": "template"}, {"name": "B", "value": "template"}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}, "ports": [{"containerPort": 80}],
        }],
    })
}

/// The container after the template has filled its absent fields.
fn filled(own: Value) -> Value {
    let mut container = json!({"name": "agent", "image": "auto"});
    container.as_object_mut().expect("an object").extend(own.as_object().expect("an object").clone());
    let injection =
        merged(sidecar(), |pod| pod["spec"]["initContainers"] = json!([container, {"name": "own", "image": "x"}]));
    assert_eq!(names(&injection.pod, "initContainers"), ["agent", "own"], "its place wins");
    injection.pod["spec"]["initContainers"][0].clone()
}

#[test]
fn fields_that_the_pod_leaves_out_come_from_the_template() {
    let mut expected = sidecar()["sidecars"][0].clone();
    expected["restartPolicy"] = json!("Always");
    assert_eq!(filled(json!({})), expected);
}

#[test]
fn fields_of_the_pod_win() {
    let container = filled(
        json!({"args": ["own"], "resources": {"limits": {"cpu": "2"}}, "env": [{"name": "A", "value": "own"}], "tty": true}),
    );
    assert_eq!(container["args"], json!(["own"]), "args are atomic");
    assert_eq!(container["resources"], json!({"limits": {"cpu": "2", "memory": "1Gi"}}));
    assert_eq!(container["env"], json!([{"name": "A", "value": "own"}, {"name": "B", "value": "template"}]));
    assert_eq!(container["tty"], json!(true));
}

#[test]
fn empty_lists_and_maps_of_the_pod_are_filled() {
    let container = filled(json!({"env": [], "resources": {}, "ports": null}));
    assert_eq!(container["env"], sidecar()["sidecars"][0]["env"]);
    assert_eq!(container["resources"], sidecar()["sidecars"][0]["resources"]);
    assert_eq!(container["ports"], sidecar()["sidecars"][0]["ports"]);
}

#[test]
fn an_override_among_the_containers_is_not_a_native_sidecar() {
    let injection = merged(sidecar(), |pod| {
        pod["spec"]["containers"] = json!([{"name": "agent", "image": "auto"}, {"name": "web", "image": "x"}]);
    });
    assert_eq!(names(&injection.pod, "containers"), ["agent", "web"]);
    assert_eq!(injection.pod["spec"]["containers"][0].get("restartPolicy"), None);
    assert_eq!(injection.pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"], "web");
}

#[test]
fn an_override_is_not_one_of_the_apps_containers() {
    let mut spec = sidecar();
    spec["app"] = json!({"env": [{"name": "APP", "value": "1"}]});
    let injection = merged(spec, |pod| {
        pod["spec"]["containers"] = json!([{"name": "agent", "image": "auto"}, {"name": "web", "image": "x"}]);
    });
    let names = |container: &Value| {
        container["env"].as_array().map(|env| env.iter().filter(|one| one["name"] == "APP").count())
    };
    assert_eq!(names(&injection.pod["spec"]["containers"][0]), Some(0));
    assert_eq!(names(&injection.pod["spec"]["containers"][1]), Some(1));
}

#[test]
fn an_override_that_no_template_fills_is_refused() {
    let mut pod = pod("agent", json!({}));
    pod["spec"]["containers"] = json!([{"name": "web", "image": "x"}, {"name": "agnet", "image": "auto"}]);
    let error = refused(&injector(&[template("agent", sidecar())]), &pod);
    assert_eq!(error.codes(), [ErrorCode::AutoContainerUnclaimed]);
    assert!(error.to_string().contains("\"agnet\""), "{error}");
}

#[test]
fn ports_that_an_override_gets_can_conflict() {
    let messages = conflicts(sidecar(), |pod| {
        pod["spec"]["initContainers"] = json!([{"name": "agent", "image": "auto"}]);
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
    });
    assert_eq!(messages.len(), 1);
    assert!(messages[0].starts_with("port 80/TCP is declared by"), "{messages:?}");
}
