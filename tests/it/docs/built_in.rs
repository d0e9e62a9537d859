//! Rules for every built-in template and example workload: it works unchanged, within Pod Security
//! "restricted".
//!
//! Invariant: the rules apply to a template that is added to the directory without a change here.

use std::process::Command;

use outrigger::inject::Outcome;
use serde_json::{Value, json};

use crate::support::injected_pod;

/// The pod of an app that requests only this template.
fn injected(template: &str) -> Value {
    injected_with(template, &json!([]))
}

/// The same for an app that declares these ports.
fn injected_with(template: &str, ports: &Value) -> Value {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "annotations": {"outrigger.dev/inject": template}},
        "spec": {"containers": [{"name": "web", "image": "registry.example/web:1", "ports": ports}]}
    });
    match super::inject(&super::built_in(), None, &pod) {
        Ok(Outcome::Injected(injection)) => injected_pod(&pod, &injection),
        Ok(Outcome::Skipped(skip)) => panic!("{template}: skipped: {:?}", skip.reasons),
        Err(error) => panic!("{template}: {error}"),
    }
}

/// The containers that a template adds, each with the template's name.
fn brought() -> Vec<(String, Value)> {
    let injector = super::built_in();
    let names: Vec<String> = injector.templates().iter().map(|template| template.name.to_owned()).collect();
    assert!(names.len() >= 2, "{names:?}");
    let containers = |name: String| {
        let pod = injected(&name);
        let lists = ["/spec/initContainers", "/spec/containers"]
            .map(|list| pod.pointer(list).and_then(Value::as_array).cloned());
        let all = lists.into_iter().flatten().flatten();
        all.filter(|container| container["name"] != "web")
            .map(|container| (name.clone(), container))
            .collect::<Vec<_>>()
    };
    names.into_iter().flat_map(containers).collect()
}

#[test]
fn containers_have_requests_limits_and_probes() {
    for (template, container) in brought() {
        for field in [
            "/resources/requests/cpu",
            "/resources/requests/memory",
            "/resources/limits/memory",
            "/startupProbe",
            "/livenessProbe",
        ] {
            assert!(container.pointer(field).is_some(), "{template}: {}: no {field}", container["name"]);
        }
    }
}

#[test]
fn containers_meet_pod_security_restricted() {
    let table = [
        ("/securityContext/allowPrivilegeEscalation", json!(false)),
        ("/securityContext/capabilities/drop", json!(["ALL"])),
        ("/securityContext/runAsNonRoot", json!(true)),
        ("/securityContext/seccompProfile/type", json!("RuntimeDefault")),
        ("/securityContext/readOnlyRootFilesystem", json!(true)),
    ];
    for (template, container) in brought() {
        for (field, expected) in &table {
            assert_eq!(container.pointer(field), Some(expected), "{template}: {}: {field}", container["name"]);
        }
        assert!(
            container.pointer("/securityContext/runAsUser").is_some_and(|user| user.as_i64() > Some(0)),
            "{template}"
        );
    }
}

#[test]
fn volumes_are_bounded_and_need_no_object_of_the_namespace() {
    for template in super::built_in().templates().names() {
        for volume in injected(template).pointer("/spec/volumes").and_then(Value::as_array).into_iter().flatten() {
            assert!(volume.pointer("/emptyDir/sizeLimit").is_some(), "{template}: {volume}");
        }
    }
}

#[test]
fn images_have_a_version() {
    for (template, container) in brought() {
        let image = container["image"].as_str().unwrap_or_default();
        assert!(
            image.rsplit_once(':').is_some_and(|(_, tag)| tag != "latest" && !tag.contains('/')),
            "{template}: {image}"
        );
    }
}

/// Envoy's configuration beside an app that declares these ports.
fn proxy_config(ports: &Value) -> Value {
    let pod = injected_with("proxy", ports);
    let arguments = pod.pointer("/spec/initContainers/0/args").and_then(Value::as_array).expect("Envoy has arguments");
    let config = arguments.iter().skip_while(|argument| *argument != "--config-yaml").nth(1).and_then(Value::as_str);
    super::yaml("--config-yaml", config.expect("--config-yaml has a value"))
}

/// Path of the port of a cluster's endpoint.
const ENDPOINT_PORT: &str = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";

#[test]
fn the_proxy_gets_its_configuration_in_its_arguments() {
    let config = proxy_config(&json!([]));
    let table = [
        ("/admin/address/socket_address/address", json!("127.0.0.1")),
        ("/admin/address/socket_address/port_value", json!(9901)),
        ("/static_resources/listeners/0/address/socket_address/address", json!("0.0.0.0")),
        ("/static_resources/listeners/0/address/socket_address/port_value", json!(10000)),
        ("/static_resources/listeners/1/address/socket_address/port_value", json!(9902)),
    ];
    for (path, expected) in table {
        assert_eq!(config.pointer(path), Some(&expected), "{path}");
    }
    assert_eq!(config.pointer(&format!("/static_resources/clusters/0{ENDPOINT_PORT}")), Some(&json!(8080)));
    assert_eq!(config.pointer(&format!("/static_resources/clusters/1{ENDPOINT_PORT}")), Some(&json!(9901)));
}

#[test]
fn the_proxy_passes_requests_on_to_the_first_port_that_the_app_declares() {
    let config = proxy_config(&json!([{"containerPort": 3000}, {"containerPort": 9090}]));
    assert_eq!(config.pointer(&format!("/static_resources/clusters/0{ENDPOINT_PORT}")), Some(&json!(3000)));
}

#[test]
fn every_example_workload_is_injected() {
    let workloads = [
        ("app.yaml", "fluent-bit"),
        ("job.yaml", "fluent-bit"),
        ("cronjob.yaml", "fluent-bit"),
        ("proxy.yaml", "envoy"),
    ];
    for (file, sidecar) in workloads {
        let output = outrigger(&["inject", "-f", &format!("config/examples/{file}")]);
        assert!(output.contains(&format!("name: {sidecar}")), "{file}: {output}");
    }
}

#[test]
fn the_example_namespace_gives_its_pods_the_collector() {
    let output = outrigger(&[
        "inject",
        "-f",
        "tests/testdata/docs/pod.yaml",
        "--namespace-file",
        "config/examples/namespace.yaml",
        "-n",
        "shop",
    ]);
    assert!(output.contains("name: fluent-bit"), "{output}");
}

/// Runs the program in the repository's root and returns its output; it must succeed.
pub fn outrigger(arguments: &[&str]) -> String {
    let root = super::repository("");
    let output = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(arguments)
        .current_dir(root)
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}
