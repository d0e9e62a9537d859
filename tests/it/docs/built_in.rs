//! Rules for every built-in template and example workload: it works unchanged, within the level of
//! Pod Security that its label says.
//!
//! The conventions of the catalog, among them names, images and volumes, are checked in
//! `tests/it/catalog`.
//!
//! Invariant: the rules apply to a template that is added to the directory without a change here.

use std::process::Command;

use outrigger::inject::{Injector, Outcome};
use serde_json::{Value, json};

use crate::catalog::conventions::is_exception;
use crate::catalog::files::{Catalog, Level, plain_pod};
use crate::support::injected_pod;

/// The pod with the templates that it asks for.
fn injected(injector: &Injector, pod: &Value) -> Value {
    let asked = &pod["metadata"]["annotations"]["outrigger.dev/inject"];
    match super::inject(injector, None, pod) {
        Ok(Outcome::Injected(injection)) => injected_pod(pod, &injection),
        Ok(Outcome::Skipped(skip)) => panic!("{asked}: skipped: {:?}", skip.reasons),
        Err(error) => panic!("{asked}: {error}"),
    }
}

/// The containers that a template brings into a plain pod with the parameters of its example.
struct Brought {
    template: String,
    level: Level,
    container: Value,
}

fn brought() -> Vec<Brought> {
    let (catalog, injector) = (Catalog::read(), super::built_in());
    assert!(catalog.entries.len() >= 2, "{} templates", catalog.entries.len());
    let mut brought = Vec::new();
    for entry in &catalog.entries {
        let pod = injected(&injector, &catalog.ask(&plain_pod(), &[&entry.name]));
        for list in ["initContainers", "containers"] {
            let containers = pod["spec"][list].as_array().into_iter().flatten();
            brought.extend(containers.filter(|container| container["name"] != "web").map(|container| Brought {
                template: entry.name.clone(),
                level: entry.level(),
                container: container.clone(),
            }));
        }
    }
    brought
}

/// Init containers that run once have no probes.
#[test]
fn containers_have_requests_limits_and_probes() {
    for Brought { template, container, .. } in brought() {
        let name = container["name"].as_str().unwrap_or_default();
        let runs_once = container["restartPolicy"] != "Always";
        let probes = !runs_once && !is_exception(&template, "probes", name);
        for (field, expected) in [
            ("/resources/requests/cpu", true),
            ("/resources/requests/memory", true),
            ("/resources/limits/memory", true),
            ("/startupProbe", probes),
            ("/livenessProbe", probes),
        ] {
            assert!(!expected || container.pointer(field).is_some(), "{template}: {name}: no {field}");
        }
    }
}

/// Those of a template whose label says another level meet that, which `tests/apiserver/catalog.rs`
/// checks.
#[test]
fn containers_meet_pod_security_restricted() {
    let table = [
        ("/securityContext/allowPrivilegeEscalation", json!(false)),
        ("/securityContext/capabilities/drop", json!(["ALL"])),
        ("/securityContext/runAsNonRoot", json!(true)),
        ("/securityContext/seccompProfile/type", json!("RuntimeDefault")),
    ];
    let restricted: Vec<Brought> = brought().into_iter().filter(|one| one.level == Level::Restricted).collect();
    assert!(restricted.iter().any(|one| one.template == "proxy"), "the proxy is restricted");
    assert!(restricted.iter().any(|one| one.template == "log-collector"), "the log collector is restricted");
    for Brought { template, container, .. } in restricted {
        let name = container["name"].as_str().unwrap_or_default();
        for (field, expected) in &table {
            assert_eq!(container.pointer(field), Some(expected), "{template}: {name}: {field}");
        }
        if !is_exception(&template, "security context", name) {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true, "{template}: {name}");
            assert!(context["runAsUser"].as_i64() > Some(0), "{template}: {name}");
        }
    }
}

/// Envoy's configuration beside an app that declares these ports.
fn proxy_config(ports: &Value) -> Value {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "annotations": {"outrigger.dev/inject": "proxy"}},
        "spec": {"containers": [{"name": "web", "image": "registry.example/web:1", "ports": ports}]}
    });
    let pod = injected(&super::built_in(), &pod);
    let config = &pod["metadata"]["annotations"]["proxy.outrigger.dev/file.proxy-config.envoy.yaml"];
    super::yaml("envoy.yaml", config.as_str().expect("the configuration is a file"))
}

/// Path of the port of a cluster's endpoint.
const ENDPOINT_PORT: &str = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";

#[test]
fn the_proxy_gets_its_configuration_as_a_file() {
    let config = proxy_config(&json!([{"containerPort": 8080}]));
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
    let catalog = Catalog::read();
    let of_templates = catalog.entries.iter().map(|entry| (format!("{}.yaml", entry.name), entry.name.as_str()));
    let more = ["app.yaml", "job.yaml", "cronjob.yaml"].map(|file| (file.to_owned(), "log-collector"));
    for (file, template) in of_templates.chain(more) {
        let output = outrigger(&["inject", "-f", &format!("config/examples/{file}")]);
        assert!(output.contains(&format!("{template}.outrigger.dev/revision")), "{file}: {output}");
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
