//! Tests of the closed list: for each rule something that it refuses and something that it takes.

use super::*;
use serde_json::json;

fn overlay(spec: &Value) -> Overlay {
    Overlay::new(|part| part.spec_fields().iter().try_fold(spec, |value, field| value.get(field)).cloned())
}

/// The violations of a spec that is hardened.
fn found(spec: &Value) -> Vec<String> {
    let errors = overlay(spec).restrict(RequiredFields::Added, &SamplePaths::default());
    errors.iter().map(|error| error.sentence().to_string()).collect()
}

fn sidecar(fields: &Value) -> Value {
    let mut container = json!({"name": "s", "image": "i:1"});
    for (field, content) in fields.as_object().expect("fields") {
        container[field] = content.clone();
    }
    json!({"sidecars": [container]})
}

fn context(fields: &Value) -> Value {
    sidecar(&json!({"securityContext": fields}))
}

fn volume(source: &str, content: &Value) -> Value {
    let mut volume = json!({"name": "v"});
    volume[source] = content.clone();
    json!({"volumes": [volume]})
}

fn variable(source: &Value) -> Value {
    sidecar(&json!({"env": [{"name": "A", "valueFrom": source}]}))
}

/// A spec that is refused with one error at this path, and a near one that is not.
#[track_caller]
fn check(bad: &Value, path: &str, good: &Value) {
    let errors = found(bad);
    assert!(errors.len() == 1 && errors[0].starts_with(&format!("{path}: ")), "{path}: {errors:#?}");
    assert_eq!(found(good), [""; 0], "{good}");
}

#[test]
fn security_contexts_keep_pod_security_restricted() {
    for (field, bad, good, path) in [
        ("privileged", json!(true), json!(false), ""),
        ("procMount", json!("Unmasked"), json!("Default"), ""),
        ("allowPrivilegeEscalation", json!(true), json!(false), ""),
        ("runAsNonRoot", json!(false), json!(true), ""),
        ("runAsUser", json!(0), json!(1), ""),
        ("capabilities", json!({"add": ["NET_ADMIN"]}), json!({"add": ["NET_BIND_SERVICE"]}), ".add[0]"),
        ("capabilities", json!({"drop": ["NET_RAW"]}), json!({"drop": ["NET_RAW", "ALL"]}), ".drop"),
        ("capabilities", json!({"drop": []}), json!({}), ".drop"),
        ("seccompProfile", json!({"type": "Unconfined"}), json!({"type": "RuntimeDefault"}), ".type"),
        ("seccompProfile", json!({}), json!({"type": "Localhost", "localhostProfile": "a"}), ".type"),
        ("appArmorProfile", json!({"type": "Unconfined"}), json!({"type": "RuntimeDefault"}), ".type"),
        ("seLinuxOptions", json!({"user": "system_u"}), json!({"level": "s0:c1,c2"}), ".user"),
        ("seLinuxOptions", json!({"role": "system_r"}), json!({"role": ""}), ".role"),
        ("seLinuxOptions", json!({"type": "spc_t"}), json!({"type": "container_t"}), ".type"),
        ("windowsOptions", json!({"hostProcess": true}), json!({"hostProcess": false}), ".hostProcess"),
        ("windowsOptions", json!({"gmsaCredentialSpecName": "a"}), json!({}), ".gmsaCredentialSpecName"),
        (
            "windowsOptions",
            json!({"runAsUserName": "User Manager\\containeradministrator"}),
            json!({"runAsUserName": "ContainerUser"}),
            ".runAsUserName",
        ),
    ] {
        let at = format!("spec.sidecars[0].securityContext.{field}{path}");
        check(&context(&json!({field: bad})), &at, &context(&json!({field: good})));
    }
}

#[test]
fn a_template_that_is_not_hardened_writes_the_required_fields() {
    let written = json!({"allowPrivilegeEscalation": false, "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"}, "capabilities": {"drop": ["ALL"]}});
    let errors = |spec: &Value| overlay(spec).restrict(RequiredFields::Written, &SamplePaths::default());
    assert!(errors(&context(&written)).is_empty());
    for field in ["allowPrivilegeEscalation", "runAsNonRoot", "seccompProfile", "capabilities"] {
        for absent in [None, Some(Value::Null)] {
            let mut less = written.clone();
            match absent {
                None => drop(less.as_object_mut().expect("fields").remove(field)),
                Some(null) => less[field] = null,
            }
            let errors = errors(&context(&less));
            assert_eq!(errors.len(), 1, "{field}");
            assert!(errors[0].sentence().to_string().contains(field), "{field}: {errors:?}");
        }
    }
    assert_eq!(errors(&sidecar(&json!({}))).len(), 4);
    let init = json!({"initContainers": [{"name": "i", "image": "i:1"}]});
    assert_eq!(errors(&init).len(), 4, "init containers too");
}

#[test]
fn volumes_have_only_sources_of_the_list() {
    for (source, content) in [
        ("secret", json!({"secretName": "s"})),
        ("hostPath", json!({"path": "/"})),
        ("csi", json!({"driver": "d"})),
        ("image", json!({"reference": "i:1"})),
        ("nfs", json!({"server": "s", "path": "/"})),
        ("iscsi", json!({})),
        ("flexVolume", json!({"driver": "d"})),
        ("gitRepo", json!({"repository": "r"})),
        ("sourceOfALaterRelease", json!({})),
    ] {
        check(&volume(source, &content), &format!("spec.volumes[0].{source}"), &volume("emptyDir", &json!({})));
    }
    for (source, content) in [
        ("configMap", json!({"name": "c"})),
        ("persistentVolumeClaim", json!({"claimName": "p"})),
        ("ephemeral", json!({"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}})),
        ("downwardAPI", json!({"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.labels"}}]})),
        ("share", json!({"mountedAt": "/logs", "allow": []})),
    ] {
        assert_eq!(found(&volume(source, &content)), [""; 0], "{source}");
    }
}

#[test]
fn parts_of_volumes_read_nothing_of_others() {
    let projected = |source: Value| volume("projected", &json!({"sources": [source]}));
    let good = projected(json!({"configMap": {"name": "c"}}));
    for source in ["secret", "serviceAccountToken", "clusterTrustBundle", "podCertificate", "sourceOfALaterRelease"] {
        let path = format!("spec.volumes[0].projected.sources[0].{source}");
        check(&projected(json!({source: {"path": "p"}})), &path, &good);
    }
    let downward = |path: &str| json!({"items": [{"path": "p", "fieldRef": {"fieldPath": path}}]});
    let path = "items[0].fieldRef.fieldPath";
    check(
        &volume("downwardAPI", &downward("metadata.annotations['a']")),
        &format!("spec.volumes[0].downwardAPI.{path}"),
        &volume("downwardAPI", &downward("metadata.labels['a']")),
    );
    check(
        &projected(json!({"downwardAPI": downward("metadata.annotations")})),
        &format!("spec.volumes[0].projected.sources[0].downwardAPI.{path}"),
        &projected(json!({"downwardAPI": downward("metadata.name")})),
    );
    let claim = |spec: Value| volume("ephemeral", &json!({"volumeClaimTemplate": {"spec": spec}}));
    let path = "spec.volumes[0].ephemeral.volumeClaimTemplate.spec";
    check(
        &claim(json!({"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "p", "namespace": "other"}})),
        &format!("{path}.dataSourceRef.namespace"),
        &claim(json!({"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "p"}})),
    );
    check(&claim(json!({"volumeName": "v"})), &format!("{path}.volumeName"), &claim(json!({})));
    check(
        &volume("share", &json!({"mountedAt": "/a", "allow": ["Secret"]})),
        "spec.volumes[0].share.allow",
        &volume("share", &json!({"mountedAt": "/a"})),
    );
}

#[test]
fn variables_read_no_secret_and_no_annotation() {
    let good = variable(&json!({"configMapKeyRef": {"name": "c", "key": "k"}}));
    for (source, content) in [
        ("secretKeyRef", json!({"name": "s", "key": "k"})),
        ("fileKeyRef", json!({"volumeName": "v", "path": "p", "key": "k"})),
        ("sourceOfALaterRelease", json!({})),
    ] {
        check(&variable(&json!({source: content})), &format!("spec.sidecars[0].env[0].valueFrom.{source}"), &good);
        check(
            &json!({"app": {"env": [{"name": "A", "valueFrom": {source: content}}]}}),
            &format!("spec.app.env[0].valueFrom.{source}"),
            &json!({"app": {"env": [{"name": "A", "value": "a", "onExisting": "Append", "separator": ","}]}}),
        );
    }
    let field = |path: &str| variable(&json!({"fieldRef": {"fieldPath": path}}));
    let path = "spec.sidecars[0].env[0].valueFrom.fieldRef.fieldPath";
    for bad in ["metadata.annotations['a']", "metadata.annotations", "spec.containers", "metadata.labelsX", ""] {
        check(&field(bad), path, &field("status.podIP"));
    }
    let from = json!([{"secretRef": {"name": "s"}}]);
    let good = json!([{"prefix": "A_", "configMapRef": {"name": "c"}}]);
    check(
        &sidecar(&json!({"envFrom": from})),
        "spec.sidecars[0].envFrom[0].secretRef",
        &sidecar(&json!({"envFrom": good})),
    );
    check(&json!({"app": {"envFrom": from}}), "spec.app.envFrom[0].secretRef", &json!({"app": {"envFrom": good}}));
}

#[test]
fn containers_reach_nothing_of_the_node() {
    check(
        &sidecar(&json!({"ports": [{"containerPort": 80, "hostPort": 80}]})),
        "spec.sidecars[0].ports[0].hostPort",
        &sidecar(&json!({"ports": [{"containerPort": 80, "hostPort": 0}]})),
    );
    let host = |host: &str| json!({"httpGet": {"host": host, "port": 1}});
    let socket = |host: &str| json!({"tcpSocket": {"host": host, "port": 1}});
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let at = format!("{probe}.httpGet.host");
        let (bad, good) = (json!({probe: host("169.254.169.254")}), json!({probe: host("")}));
        check(&sidecar(&bad), &format!("spec.sidecars[0].{at}"), &sidecar(&good));
        check(
            &json!({"app": {"defaults": bad}}),
            &format!("spec.app.defaults.{at}"),
            &json!({"app": {"defaults": good}}),
        );
    }
    for hook in ["postStart", "preStop"] {
        check(
            &sidecar(&json!({"lifecycle": {hook: socket("localhost")}})),
            &format!("spec.sidecars[0].lifecycle.{hook}.tcpSocket.host"),
            &sidecar(&json!({"lifecycle": {hook: socket("")}})),
        );
    }
    let mount = |mode: &str| json!([{"name": "v", "mountPath": "/m", "mountPropagation": mode}]);
    check(
        &json!({"app": {"volumeMounts": mount("Bidirectional")}}),
        "spec.app.volumeMounts[0].mountPropagation",
        &json!({"app": {"volumeMounts": mount("HostToContainer")}}),
    );
    check(
        &sidecar(&json!({"resources": {"claims": [{"name": "gpu"}]}})),
        "spec.sidecars[0].resources.claims",
        &sidecar(&json!({"resources": {"limits": {"cpu": "1"}}, "resizePolicy": []})),
    );
}

#[test]
fn defaults_of_the_app_lower_no_guard_and_need_no_field() {
    let defaults = |context: Value| json!({"app": {"defaults": {"securityContext": context}}});
    let path = "spec.app.defaults.securityContext";
    check(&defaults(json!({"privileged": true})), &format!("{path}.privileged"), &defaults(json!({})));
    check(
        &defaults(json!({"capabilities": {"add": ["SYS_ADMIN"]}})),
        &format!("{path}.capabilities.add[0]"),
        &defaults(json!({"capabilities": {"drop": ["NET_RAW"]}})),
    );
}

#[test]
fn keys_of_kubernetes_and_of_runtimes_are_not_added() {
    for key in [
        "container.apparmor.security.beta.kubernetes.io/app",
        "Container.AppArmor.security.beta.Kubernetes.io/app",
        "container.seccomp.security.alpha.kubernetes.io/app",
        "seccomp.security.alpha.kubernetes.io/pod",
        "kubernetes.io/egress-bandwidth",
        "k8s.v1.cni.cncf.io/networks",
        "io.kubernetes.cri-o.Devices",
        "cpu-quota.crio.io",
        "devices.nri.io/container.app",
        "iam.amazonaws.com/role",
    ] {
        let bad = json!({"metadata": {"annotations": {key: "a"}}});
        let good = json!({"metadata": {"annotations": {"example.com/team": "a", "prometheus.io/scrape": "true",
            "notkubernetes.io/a": "b", "kubectl.kubernetes.io/default-container": "app", "plain": "c"}}});
        let errors = found(&bad);
        assert!(errors.len() == 1 && errors[0].starts_with("spec.metadata.annotations["), "{key}: {errors:?}");
        assert_eq!(found(&good), [""; 0]);
    }
    for key in ["pod-security.kubernetes.io/enforce", "kubectl.kubernetes.io/default-container"] {
        assert_eq!(found(&json!({"metadata": {"labels": {key: "a"}}})).len(), 1, "{key}");
    }
    assert_eq!(found(&json!({"metadata": {"labels": {"app.kubernetes.io/name": "a"}}})), [""; 0]);
}

#[test]
fn fields_of_later_releases_are_refused_at_every_depth() {
    for (spec, path) in [
        (sidecar(&json!({"hostNamespaceOfALaterRelease": true})), "spec.sidecars[0].hostNamespaceOfALaterRelease"),
        (context(&json!({"superuser": true})), "spec.sidecars[0].securityContext.superuser"),
        (volume("configMap", &json!({"name": "c", "namespace": "other"})), "spec.volumes[0].configMap.namespace"),
        (
            sidecar(&json!({"livenessProbe": {"exec": {"command": ["a"], "onNode": true}}})),
            "spec.sidecars[0].livenessProbe.exec.onNode",
        ),
    ] {
        let errors = found(&spec);
        assert_eq!(errors, [format!("{path}: {UNKNOWN}")]);
    }
}

#[test]
fn fields_of_the_pod_and_settings_of_the_cluster_are_refused() {
    let pod = json!({"pod": {"serviceAccountName": "admin"}});
    assert_eq!(found(&pod), [format!("spec.pod.serviceAccountName: {}", allowed::POD_FIELD)]);
    let settings =
        |spec: &Value| -> Vec<String> { restrict_settings(spec).iter().map(|error| error.path.to_string()).collect() };
    let spec = json!({"shadowable": true, "newFields": ["a"], "pod": {"hostAliases": [], "dnsPolicy": "Default"}});
    assert_eq!(settings(&spec), ["spec.shadowable", "spec.newFields", "spec.pod.dnsPolicy", "spec.pod.hostAliases"]);
    assert_eq!(settings(&json!({"shadowable": false, "newFields": [], "pod": {}})), [""; 0]);
}

#[test]
fn samples_are_not_judged_and_their_neighbours_are() {
    let spec = context(&json!({"runAsUser": 0, "privileged": true}));
    let mut samples = SamplePaths::default();
    samples.insert(&OverlayPart::Sidecars.path().index(0).child("securityContext").child("runAsUser"));
    let errors = overlay(&spec).restrict(RequiredFields::Added, &samples);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].path.to_string(), "spec.sidecars[0].securityContext.privileged");
}

/// A volume of the pod with a second source is none that the API server takes; the check does not rely on it.
#[test]
fn volumes_of_the_pod_are_judged_by_all_their_sources() {
    assert_eq!(forbidden_source(&json!({"name": "v", "emptyDir": {}, "secret": {}})), Some("secret"));
    assert_eq!(forbidden_source(&json!({"name": "v", "configMap": {}, "secret": null})), None);
    assert_eq!(forbidden_source(&json!({"name": "v"})), None);
}
