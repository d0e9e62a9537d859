//! Requirements for the objects of the base.
//!
//! Invariant: rights are listed here again, word by word, so that an additional right is a decision
//! and not an accident.

use outrigger::config::{TemplateSource, settings};
use outrigger::server::Limits;
use serde_json::{Value, json};

use super::{file, list, object, read, text};

tests! {
    the_roles_grant_the_least_rights,
    the_manifests_leave_out_fields_that_the_program_writes,
    the_pod_meets_pod_security_restricted,
    the_kubelet_waits_longer_than_a_drain_takes,
    selectors_match_the_pods,
    settings_exist_and_their_paths_are_mounted,
    the_component_for_cert_manager_keeps_the_settings_of_the_base,
}

/// The settings in Outrigger's ConfigMap.
pub fn settings(config_map: &Value) -> Value {
    super::documents("injector.yaml", text(config_map, "/data/injector.yaml")).remove(0)
}

fn the_roles_grant_the_least_rights() {
    let rule = |groups: Value, resources: Value, names: Value, verbs: Value| {
        let mut rule = json!({"apiGroups": groups, "resources": resources, "verbs": verbs});
        if !names.is_null() {
            rule["resourceNames"] = names;
        }
        rule
    };
    let watch = || json!(["get", "list", "watch"]);
    let cluster = json!([
        rule(
            json!(["admissionregistration.k8s.io"]),
            json!(["mutatingwebhookconfigurations", "validatingwebhookconfigurations"]),
            json!(["outrigger"]),
            json!(["get", "list", "watch", "patch"])
        ),
        rule(json!([""]), json!(["namespaces"]), Value::Null, watch()),
        rule(
            json!(["outrigger.dev"]),
            json!(["clusterinjectiontemplates", "injectiontemplates"]),
            Value::Null,
            watch()
        ),
        rule(
            json!(["outrigger.dev"]),
            json!(["clusterinjectiontemplates/status", "injectiontemplates/status"]),
            Value::Null,
            json!(["patch"])
        ),
        rule(json!([""]), json!(["pods"]), Value::Null, json!(["list"])),
        rule(json!(["events.k8s.io"]), json!(["events"]), Value::Null, json!(["create"])),
    ]);
    let own = json!([
        rule(
            json!([""]),
            json!(["secrets"]),
            json!(["outrigger-ca", "outrigger-serving"]),
            json!(["get", "list", "watch", "update", "patch"])
        ),
        rule(
            json!(["coordination.k8s.io"]),
            json!(["leases"]),
            json!(["outrigger"]),
            json!(["get", "update", "patch"])
        ),
    ]);
    let objects = file("manifests/base/rbac.yaml");
    let of_kind =
        |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    assert_eq!(of_kind("ClusterRole")["rules"], cluster);
    assert_eq!(of_kind("Role")["rules"], own);
    for binding in ["ClusterRoleBinding", "RoleBinding"] {
        let subject = json!([{"kind": "ServiceAccount", "name": "outrigger", "namespace": "outrigger-system"}]);
        assert_eq!(of_kind(binding)["subjects"], subject);
    }
    assert_eq!(objects.len(), 4);
}

fn the_manifests_leave_out_fields_that_the_program_writes() {
    for secret in file("manifests/base/secrets.yaml") {
        assert!(secret.get("data").is_none() && secret.get("stringData").is_none(), "{secret}");
    }
    assert!(object("manifests/base/lease.yaml").get("spec").is_none());
    for file in ["manifests/base/webhook.yaml", "manifests/base/validating-webhook.yaml"] {
        assert!(!read(file).contains("caBundle:"), "{file}");
    }
}

fn the_pod_meets_pod_security_restricted() {
    let namespace = object("manifests/base/namespace.yaml");
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let deployment = object("manifests/base/deployment.yaml");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &list(pod, "/containers")[0];
    for (value, pointer, expected) in [
        (pod, "/securityContext/runAsNonRoot", json!(true)),
        (pod, "/securityContext/runAsUser", json!(65532)),
        (pod, "/securityContext/seccompProfile/type", json!("RuntimeDefault")),
        (container, "/securityContext/allowPrivilegeEscalation", json!(false)),
        (container, "/securityContext/readOnlyRootFilesystem", json!(true)),
        (container, "/securityContext/capabilities/drop", json!(["ALL"])),
    ] {
        assert_eq!(value.pointer(pointer), Some(&expected), "{pointer}");
    }
    for pointer in ["requests/cpu", "requests/memory", "limits/cpu", "limits/memory"] {
        assert!(container.pointer(&format!("/resources/{pointer}")).is_some(), "no {pointer}");
    }
    assert_eq!((list(pod, "/containers").len(), pod.get("initContainers")), (1, None));
}

/// After its delay the program drains for a limited time; the kubelet must wait longer, and no
/// preStop sleep may be needed.
fn the_kubelet_waits_longer_than_a_drain_takes() {
    let deployment = object("manifests/base/deployment.yaml");
    let pod = &deployment["spec"]["template"]["spec"];
    let delay = settings::SHUTDOWN_DELAY.default.trim_end_matches('s').parse::<u64>().expect("seconds");
    let longest = delay + Limits::default().closing.as_secs();
    assert!(pod["terminationGracePeriodSeconds"].as_u64() > Some(longest), "the program may take {longest} s");
    assert!(object("manifests/chart/values.yaml")["terminationGracePeriodSeconds"].as_u64() > Some(longest));
    let container = &list(pod, "/containers")[0];
    assert!(container.get("lifecycle").is_none());
    // A flag would override the setting in the ConfigMap.
    assert_eq!(*list(container, "/args"), ["serve", "--config=/etc/outrigger/config/injector.yaml"]);
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "admin"}));
    }
}

/// Port names and labels connect Service, policy, disruption budget and Deployment.
fn selectors_match_the_pods() {
    let deployment = object("manifests/base/deployment.yaml");
    let template = &deployment["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    let selectors = [
        ("manifests/base/service.yaml", "/spec/selector"),
        ("manifests/base/deployment.yaml", "/spec/selector/matchLabels"),
        ("manifests/base/network-policy.yaml", "/spec/podSelector/matchLabels"),
        ("manifests/components/high-availability/pod-disruption-budget.yaml", "/spec/selector/matchLabels"),
        ("manifests/components/monitoring/service.yaml", "/spec/selector"),
    ];
    for (path, pointer) in selectors {
        assert_eq!(object(path).pointer(pointer), Some(labels), "{path}");
    }
    let ports: Vec<&str> = list(template, "/spec/containers/0/ports").iter().map(|port| text(port, "/name")).collect();
    for (path, pointer) in [
        ("manifests/base/service.yaml", "/spec/ports/0/targetPort"),
        ("manifests/base/network-policy.yaml", "/spec/ingress/0/ports/0/port"),
        ("manifests/components/monitoring/service.yaml", "/spec/ports/0/targetPort"),
    ] {
        assert!(ports.contains(&text(&object(path), pointer)), "{path}");
    }
}

fn settings_exist_and_their_paths_are_mounted() {
    let deployment = object("manifests/base/deployment.yaml");
    let mounts: Vec<&str> = list(&deployment, "/spec/template/spec/containers/0/volumeMounts")
        .iter()
        .map(|mount| text(mount, "/mountPath"))
        .collect();
    let settings_of_base = settings(&object("manifests/base/config.yaml"));
    for (key, _) in settings_of_base.as_object().expect("settings by name") {
        assert!(settings::ALL.iter().any(|setting| setting.key == key), "{key} is no setting");
    }
    let (built_in, directories) = list(&settings_of_base, "/templates").split_first().expect("sources of templates");
    assert_eq!(built_in, TemplateSource::BUILT_IN);
    assert!(!directories.is_empty());
    for directory in directories {
        assert!(mounts.contains(&directory.as_str().unwrap_or_default()), "{directory} is not mounted");
    }
    let argument = list(&deployment, "/spec/template/spec/containers/0/args")[1].as_str().unwrap_or_default();
    let (directory, file) = argument.trim_start_matches("--config=").rsplit_once('/').expect("a path");
    assert!(mounts.contains(&directory) && file == "injector.yaml", "{argument}");
    for (key, container_port) in [("listen", 0), ("adminListen", 1)] {
        let port = &list(&deployment, "/spec/template/spec/containers/0/ports")[container_port]["containerPort"];
        assert!(text(&settings_of_base, &format!("/{key}")).ends_with(&format!(":{port}")), "{key}");
    }
}

/// A component repeats the settings of the base, because kustomize replaces a text as a whole.
fn the_component_for_cert_manager_keeps_the_settings_of_the_base() {
    let base = text(&object("manifests/base/config.yaml"), "/data/injector.yaml").to_owned();
    let component = object("manifests/components/cert-manager/config.yaml");
    assert!(text(&component, "/data/injector.yaml").starts_with(&base));
}
