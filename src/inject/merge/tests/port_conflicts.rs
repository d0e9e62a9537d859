//! Tests of port conflicts: the containers of a pod share one network.

use super::*;

fn with_ports(ports: Value) -> Value {
    json!({"sidecars": [{"name": "agent", "image": "agent:1", "ports": ports}]})
}

fn against(own: Value, ports: Value) -> Result<Outcome, String> {
    let mut pod = pod("agent", json!({}));
    pod["spec"]["containers"][0]["ports"] = own;
    inject(&injector(&[template("agent", with_ports(ports))]), &pod).map_err(|error| error.to_string())
}

fn refusal(own: Value, ports: Value) -> String {
    against(own, ports).expect_err("a conflict")
}

#[test]
fn the_same_port_and_protocol_twice_is_a_conflict() {
    let message = refusal(json!([{"containerPort": 80}]), json!([{"containerPort": 80, "protocol": "TCP"}]));
    assert_eq!(
        message,
        "conflict: port 80/TCP is declared by the pod's container \"web\" and by container \"agent\" of template \"agent\"; the containers of a pod share one network"
    );
}

#[test]
fn the_same_port_with_two_protocols_is_not_a_conflict() {
    assert!(against(json!([{"containerPort": 53}]), json!([{"containerPort": 53, "protocol": "UDP"}])).is_ok());
    assert!(against(json!([{"containerPort": 53}]), json!([{"containerPort": 54}])).is_ok());
}

#[test]
fn the_same_port_name_twice_is_a_conflict() {
    let message =
        refusal(json!([{"containerPort": 80, "name": "http"}]), json!([{"containerPort": 81, "name": "http"}]));
    assert!(message.contains("port name \"http\" is declared by"), "{message}");
    assert!(against(json!([{"containerPort": 80}]), json!([{"containerPort": 81}])).is_ok(), "no name is no name");
}

#[test]
fn conflicts_among_the_pods_own_ports_are_ignored() {
    let mut pod = pod("agent", json!({}));
    pod["spec"]["containers"] = json!([
        {"name": "a", "image": "x", "ports": [{"containerPort": 80, "name": "http"}]},
        {"name": "b", "image": "x", "ports": [{"containerPort": 80, "name": "http"}]},
    ]);
    assert!(inject(&injector(&[template("agent", with_ports(json!([{"containerPort": 81}])))]), &pod).is_ok());
}

#[test]
fn ports_of_run_once_init_containers_do_not_conflict() {
    let with = |restart: Value| {
        let mut pod = pod("agent", json!({}));
        pod["spec"]["initContainers"] =
            json!([{"name": "i", "image": "x", "ports": [{"containerPort": 80}], "restartPolicy": restart}]);
        inject(&injector(&[template("agent", with_ports(json!([{"containerPort": 80}])))]), &pod)
    };
    assert!(with(json!(null)).is_ok());
    assert!(with(json!("Always")).is_err());
}

#[test]
fn a_host_port_is_the_container_port_in_a_host_network_pod() {
    let with = |host_network: bool, host_port: i64| {
        let mut pod = pod("agent", json!({}));
        pod["spec"]["hostNetwork"] = json!(host_network);
        inject(&injector(&[template("agent", with_ports(json!([{"containerPort": 80, "hostPort": host_port}])))]), &pod)
    };
    assert!(with(false, 81).is_ok() && with(true, 80).is_ok());
    let error = with(true, 81).expect_err("a conflict");
    assert!(error.to_string().contains("hostPort 81 must be the containerPort 80 in a host-network pod"), "{error}");
}

#[test]
fn a_port_conflict_of_two_templates_names_both() {
    let sidecar = |name: &str| {
        template(
            name,
            json!({"onError": "Skip", "onConflict": "KeepPod", "sidecars": [{"name": name, "image": "x", "ports": [{"containerPort": 80}]}]}),
        )
    };
    let error = refused(&injector(&[sidecar("one"), sidecar("two")]), &pod("one, two", json!({})));
    assert_eq!(
        error.to_string(),
        "conflict: port 80/TCP is declared by container \"one\" of template \"one\" and by container \"two\" of template \"two\"; the containers of a pod share one network"
    );
}
