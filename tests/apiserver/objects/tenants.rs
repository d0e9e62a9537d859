//! What a tenant with all rights in its namespace tries by templates of its own.
//!
//! The webhook refuses each attempt at apply; what gets in while it is away is refused at load, and
//! what only a pod can show is refused for the pod.

use serde_json::{Value, json};

use super::{LIMIT, apply, apply_with, cluster, delete, eventual_status, image, ready, sidecar, wait_for_image};
use crate::cluster::{Namespace, pod};
use crate::process::eventually;
use crate::replicas::Running;

tests! {
    a_hostile_template_is_refused_at_apply_and_at_load,
    a_template_cannot_take_what_only_the_pod_has,
    a_template_of_another_namespace_is_out_of_reach,
    a_name_of_the_cluster_is_the_clusters_unless_it_may_be_hidden,
}

/// A template with these fields of its sidecar.
fn with_fields(fields: Value) -> Value {
    let mut spec = sidecar("helper:1");
    for (field, value) in fields.as_object().expect("a map") {
        spec["sidecars"][0][field] = value.clone();
    }
    spec
}

/// A template with a volume that its sidecar mounts.
fn with_volume(source: Value) -> Value {
    let mut volume = source;
    volume["name"] = json!("loot");
    let mut spec = with_fields(json!({"volumeMounts": [{"name": "loot", "mountPath": "/loot"}]}));
    spec["volumes"] = json!([volume]);
    spec
}

fn with_env(variable: Value) -> Value {
    with_fields(json!({"env": [variable]}))
}

/// What is tried, and the field that is refused.
fn attempts() -> Vec<(&'static str, Value)> {
    [reading(), rising()].concat()
}

/// A template with this field of its spec.
fn with_spec(field: &str, value: Value) -> Value {
    let mut spec = sidecar("helper:1");
    spec[field] = value;
    spec
}

/// To read what the tenant's role may not.
fn reading() -> Vec<(&'static str, Value)> {
    let env = |from: Value| with_env(json!({"name": "LOOT", "valueFrom": from}));
    vec![
        ("spec.volumes[0]", with_volume(json!({"secret": {"secretName": "db"}}))),
        ("spec.volumes[0]", with_volume(json!({"hostPath": {"path": "/"}}))),
        ("spec.volumes[0]", with_volume(json!({"projected": {"sources": [{"secret": {"name": "db"}}]}}))),
        (
            "spec.volumes[0]",
            with_volume(json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}})),
        ),
        ("spec.volumes[0]", with_volume(json!({"csi": {"driver": "secrets-store.csi.k8s.io"}}))),
        ("spec.volumes[0]", with_volume(json!({"nfs": {"server": "10.0.0.1", "path": "/"}}))),
        ("spec.volumes[0]", with_volume(json!({"image": {"reference": "x"}}))),
        (
            "spec.volumes[0]",
            with_volume(
                json!({"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.annotations"}}]}}),
            ),
        ),
        (
            "spec.volumes[0]",
            with_volume(json!({"share": {"mountedAt": "/etc/tls", "allow": ["Secret"]}, "emptyDir": {}})),
        ),
        ("spec.sidecars[0].env[0]", env(json!({"secretKeyRef": {"name": "db", "key": "password"}}))),
        (
            "spec.sidecars[0].env[0]",
            env(json!({"fieldRef": {"fieldPath": "metadata.annotations['other.outrigger.dev/file.conf.x']"}})),
        ),
        ("spec.sidecars[0].envFrom[0]", with_fields(json!({"envFrom": [{"secretRef": {"name": "db"}}]}))),
        (
            "spec.app.env[0]",
            with_spec(
                "app",
                json!({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}}]}),
            ),
        ),
        ("spec.app.envFrom[0]", with_spec("app", json!({"envFrom": [{"secretRef": {"name": "db"}}]}))),
    ]
}

/// To gain a privilege, or to change what is not the tenant's.
fn rising() -> Vec<(&'static str, Value)> {
    let context = |fields: Value| with_fields(json!({"securityContext": fields}));
    vec![
        ("spec.sidecars[0].securityContext.privileged", context(json!({"privileged": true}))),
        (
            "spec.sidecars[0].securityContext.allowPrivilegeEscalation",
            context(json!({"allowPrivilegeEscalation": true})),
        ),
        (
            "spec.sidecars[0].securityContext.capabilities",
            context(json!({"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}})),
        ),
        ("spec.sidecars[0].securityContext.runAsUser", context(json!({"runAsUser": 0}))),
        ("spec.sidecars[0].securityContext.seccompProfile", context(json!({"seccompProfile": {"type": "Unconfined"}}))),
        ("spec.sidecars[0].securityContext.procMount", context(json!({"procMount": "Unmasked"}))),
        ("spec.sidecars[0].ports[0]", with_fields(json!({"ports": [{"containerPort": 80, "hostPort": 80}]}))),
        ("spec.sidecars[0].securityContext", with_spec("hardened", json!(false))),
        (
            "spec.app.defaults.securityContext.privileged",
            with_spec("app", json!({"defaults": {"securityContext": {"privileged": true}}})),
        ),
        ("spec.pod", with_spec("pod", json!({"serviceAccountName": "admin"}))),
        ("spec.pod", with_spec("pod", json!({"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}]}))),
        ("spec.shadowable", with_spec("shadowable", json!(true))),
        (
            "spec.metadata.annotations",
            with_spec(
                "metadata",
                json!({"annotations": {"container.apparmor.security.beta.kubernetes.io/web": "unconfined"}}),
            ),
        ),
    ]
}

fn a_hostile_template_is_refused_at_apply_and_at_load() {
    let running = Running::start(cluster(), "hostile", 1, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    let namespace = pods.name.as_str();
    eventually("templates are validated", LIMIT, || {
        (!apply_with(cluster, namespace, "hostile-probe", &json!({"nothing": true}), "&dryRun=All").is_success())
            .then_some(())
    });
    let mut got_in = Vec::new();
    for (index, (field, spec)) in attempts().into_iter().enumerate() {
        let answer = apply(cluster, namespace, &format!("hostile-{index}"), &spec);
        let message = answer.body["message"].as_str().unwrap_or_default().to_owned();
        if answer.is_success() || !message.contains(field) {
            got_in.push(format!("{field}: {spec}: {message}"));
        }
        // An admin may do all that but hide itself.
        if index % 5 == 0 && !field.contains("shadowable") {
            apply_with(cluster, "", &format!("hostile-{index}"), &spec, "&dryRun=All").expect_success();
        }
    }
    assert!(got_in.is_empty(), "{got_in:#?}");

    // The webhook is away: the templates get in, and are never served.
    running.balancer.cut();
    let gets_in = |(index, (field, spec)): (usize, (&'static str, Value))| {
        let answer = apply(cluster, namespace, &format!("hostile-{index}"), &spec);
        // What the schema refuses does not get in at all.
        answer.is_success().then_some((index, field))
    };
    let inside: Vec<(usize, &str)> = attempts().into_iter().enumerate().filter_map(gets_in).collect();
    assert!(inside.len() > 20, "{inside:?}");
    running.balancer.add(running.replicas[0].address);
    running.wait_until_called();
    for (index, field) in inside {
        let name = format!("hostile-{index}");
        let status = eventual_status(cluster, namespace, &name, |status| !status["conditions"].is_null());
        let (is_ready, reason, message) = ready(&status);
        assert_eq!((is_ready.as_str(), reason.as_str()), ("False", "Invalid"), "{name}: {status}");
        assert!(message.contains(field), "{field}: {message}");
        let refused = image(pods, &name).expect_err("it never loaded");
        assert!(refused.contains("template_broken"), "{refused}");
        delete(cluster, namespace, &name).expect_success();
    }
}

fn a_template_cannot_take_what_only_the_pod_has() {
    let running = Running::start(cluster(), "taking", 1, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    let namespace = pods.name.as_str();
    let from_app = |fields: Value| {
        let mut spec = sidecar("helper:1");
        spec["fromApp"] = fields;
        spec
    };
    let attempts = [
        ("mounts", from_app(json!({"volumeMounts": true}))),
        ("env", from_app(json!({"env": ["PASSWORD"]}))),
        ("all-env", with_fields(json!({"env": "${app.env}"}))),
        ("all-mounts", with_fields(json!({"volumeMounts": "${app.volumeMounts}"}))),
        ("by-name", with_fields(json!({"volumeMounts": [{"name": "tls", "mountPath": "/loot"}]}))),
        ("context", with_fields(json!({"securityContext": "${app.securityContext}"}))),
        ("key", with_env(json!({"name": "X", "valueFrom": "${app.env[0].valueFrom}"}))),
    ];
    let mut app = pod("probe", &json!({}));
    app["spec"]["containers"][0]["env"] =
        json!([{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]);
    app["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "tls", "mountPath": "/etc/tls"}]);
    app["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    app["spec"]["volumes"] = json!([{"name": "tls", "secret": {"secretName": "tls"}}]);
    let mut taken = Vec::new();
    for (name, spec) in attempts {
        let name = format!("taking-{name}");
        let answer = apply(cluster, namespace, &name, &spec);
        if !answer.is_success() {
            // It is seen at once that it would take something.
            assert_eq!(answer.status, 422, "{answer:?}");
            continue;
        }
        let mut asking = app.clone();
        asking["metadata"]["annotations"]["outrigger.dev/inject"] = json!(name);
        eventually("the template is known", LIMIT, || {
            let answer = pods.create_pod(&asking, "&dryRun=All");
            (!answer.body["message"].to_string().contains("template_not_found")).then_some(())
        });
        let answer = pods.create_pod(&asking, "&dryRun=All");
        let sidecars = answer.body["spec"]["initContainers"].to_string();
        if answer.is_success()
            && ["secretKeyRef", "\"tls\"", "privileged\":true"].iter().any(|loot| sidecars.contains(loot))
        {
            taken.push(format!("{name}: {sidecars}"));
        }
        delete(cluster, namespace, &name).expect_success();
    }
    assert!(taken.is_empty(), "{taken:#?}");
}

fn a_template_of_another_namespace_is_out_of_reach() {
    let running = Running::start(cluster(), "reach", 1, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    let other: Namespace = cluster.namespace("reach-other", "reach");
    apply(cluster, &other.name, "reach", &sidecar("helper:1")).expect_success();
    wait_for_image(&other, "reach", "helper:1");
    let refused = image(pods, "reach").expect_err("it is another namespace's");
    assert!(refused.contains("template_not_found") && !refused.contains("known: reach"), "{refused}");
    // An Automatic template of a namespace reaches no pod of another one.
    let mut automatic = sidecar("helper:2");
    automatic["injection"] = json!("Automatic");
    automatic["match"] = json!({"podSelector": {}});
    apply(cluster, &other.name, "reach-all", &automatic).expect_success();
    for namespace in [pods, &other] {
        let patch = json!({"metadata": {"labels": {"outrigger.dev/injection": "enabled"}}}).to_string().into_bytes();
        let path = format!("/api/v1/namespaces/{}", namespace.name);
        cluster.send("PATCH", &path, "application/merge-patch+json", patch).expect_success();
    }
    let silent = |namespace: &Namespace| namespace.would_accept(&pod("silent", &json!({}))).to_string();
    eventually("it is injected in its own namespace", LIMIT, || silent(&other).contains("helper:2").then_some(()));
    assert!(!silent(pods).contains("helper:2"));
}

fn a_name_of_the_cluster_is_the_clusters_unless_it_may_be_hidden() {
    let running = Running::start(cluster(), "names", 2, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    let namespace = pods.name.as_str();
    apply(cluster, "", "names", &sidecar("cluster:1")).expect_success();
    wait_for_image(pods, "names", "cluster:1");
    let answer = apply(cluster, namespace, "names", &sidecar("own:1"));
    let warnings = answer.warnings.join("; ");
    answer.expect_success();
    assert!(warnings.contains("shadowable"), "{warnings}");
    let status = eventual_status(cluster, namespace, "names", |status| ready(status).0 == "False");
    assert_eq!(ready(&status).1, "NameTaken");
    assert!(ready(&status).2.contains("shadowable"), "{status}");
    let asking = pod("probe", &json!({"outrigger.dev/inject": "names"}));
    let answer = pods.create_pod(&asking, "&dryRun=All");
    assert!(answer.warnings.iter().any(|warning| warning.contains("shadowable")), "{:?}", answer.warnings);
    assert_eq!(image(pods, "names"), Ok("cluster:1".to_owned()));
    let mut open = sidecar("cluster:2");
    open["shadowable"] = json!(true);
    apply(cluster, "", "names", &open).expect_success();
    wait_for_image(pods, "names", "own:1");
    eventual_status(cluster, namespace, "names", super::is_ready);
}
