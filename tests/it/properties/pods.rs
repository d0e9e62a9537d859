//! Generated pods: any valid input of a user with defaults of the API server and unknown fields.
//!
//! The requested templates are not set here (`case`).
//!
//! Invariant: container names are unique in the pod, and mounts have volumes, because the API
//! server would refuse the pod otherwise; everything else may be absent, null, empty or unusual.

use super::pieces::{
    any_text, any_volume, complete_volumes, env, env_from, env_value, field, fill_in, list, mounts, object, ports,
    resources, string_map, text_of, unique_by, unknown, unknown_field,
};
use super::templates::CONTAINERS as BROUGHT;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The user's own containers.
pub const OWN: [&str; 5] = ["app", "web", "worker", "w-2", "main"];
const VOLUMES: [&str; 4] = ["data", "logs", "own", "p~v/c"];
const LABELS: [&str; 5] = ["app", "tier", "example.com/team", "a~b/c~1", "ü"];
const ANNOTATIONS: [&str; 4] =
    ["note", "example.com/n~1", "example.com/checksum", "kubectl.kubernetes.io/default-container"];

/// A pod that requests nothing yet.
pub fn pod() -> BoxedStrategy<Value> {
    let parts = (metadata(), spec(), prop::option::weighted(0.2, unknown()));
    parts
        .prop_map(|(metadata, spec, unknown)| {
            let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": spec});
            if let Some(metadata) = metadata {
                pod["metadata"] = metadata;
            }
            if let Some(unknown) = unknown {
                pod["zzFuture"] = unknown;
            }
            pod
        })
        .boxed()
}

fn metadata() -> BoxedStrategy<Option<Value>> {
    let some = object(vec![
        field("name", 80, Just(json!("p"))),
        field("generateName", 20, Just(json!("p-"))),
        field("labels", 70, string_map(&LABELS, any_text())),
        field("annotations", 50, string_map(&ANNOTATIONS, select(vec!["x", "app", "ä\n"]).prop_map(str::to_owned))),
        field("creationTimestamp", 50, Just(Value::Null)),
        field(
            "managedFields",
            20,
            Just(json!([{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:priorityClassName": {}}}}])),
        ),
        field("ownerReferences", 10, Just(json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u"}]))),
        field("finalizers", 10, Just(json!(["example.com/a"]))),
        unknown_field(20),
    ]);
    prop_oneof![1 => Just(None), 1 => Just(Some(Value::Null)), 20 => some.prop_map(Some)].boxed()
}

fn spec() -> BoxedStrategy<Value> {
    let lists = (
        prop::collection::vec(container(), 1..=5),
        prop::option::weighted(0.5, list(init_container(), 3)),
        prop::option::weighted(0.1, list(ephemeral_container(), 2)),
        prop::option::weighted(0.7, list(own_volume(), 4)),
    );
    let defaults = prop::option::weighted(0.5, Just(api_filled()));
    (lists, other_fields(), defaults)
        .prop_map(|((containers, init, ephemeral, volumes), mut spec, defaults)| {
            spec["containers"] = Value::Array(containers);
            let optional = [("initContainers", init), ("ephemeralContainers", ephemeral), ("volumes", volumes)];
            for (field, value) in optional {
                if let Some(value) = value {
                    spec[field] = value;
                }
            }
            if let (Some(defaults), Value::Object(fields)) = (defaults, &mut spec) {
                fill_in(fields, &defaults);
            }
            make_valid(&mut spec);
            spec
        })
        .boxed()
}

/// Defaults that the API server sets before it calls a webhook.
fn api_filled() -> Value {
    json!({
        "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority", "priority": 0,
        "restartPolicy": "Always", "schedulerName": "default-scheduler", "securityContext": {},
        "serviceAccount": "default", "serviceAccountName": "default", "terminationGracePeriodSeconds": 30,
    })
}

fn other_fields() -> BoxedStrategy<Value> {
    let toleration = select(vec!["a", "b"]).prop_map(|key| json!({"key": key, "operator": "Exists"}));
    let alias = select(vec!["10.0.0.1", "10.0.0.2"]).prop_map(|ip| json!({"ip": ip, "hostnames": ["one"]}));
    let secret = select(vec!["pull", "own"]).prop_map(|name| json!({"name": name}));
    let option = select(vec!["ndots", "edns0"]).prop_map(|name| json!({"name": name, "value": "2"}));
    object(vec![
        field("terminationGracePeriodSeconds", 15, select(vec![0, 30, 45]).prop_map(|seconds| json!(seconds))),
        field("dnsPolicy", 8, Just(json!("Default"))),
        field(
            "resources",
            6,
            select(vec![json!({"requests": {"cpu": "8", "memory": "1Gi"}}), json!({"limits": {"memory": "1Gi"}})]),
        ),
        field(
            "dnsConfig",
            15,
            object(vec![
                field("nameservers", 50, list(Just(json!("10.0.0.10")), 1)),
                field("options", 50, list(option, 2)),
            ]),
        ),
        field(
            "securityContext",
            30,
            select(vec![json!({}), Value::Null, json!({"fsGroup": 1000}), json!({"runAsNonRoot": true})]),
        ),
        field("serviceAccountName", 15, select(vec!["", "default", "robot"]).prop_map(|name| json!(name))),
        field("automountServiceAccountToken", 10, any::<bool>().prop_map(Value::Bool)),
        field("priorityClassName", 10, select(vec!["", "high"]).prop_map(|name| json!(name))),
        field("hostNetwork", 5, any::<bool>().prop_map(Value::Bool)),
        field("shareProcessNamespace", 5, any::<bool>().prop_map(Value::Bool)),
        field("nodeSelector", 20, string_map(&["disk", "kubernetes.io/arch"], Just("x".to_owned()))),
        field("tolerations", 25, list(toleration, 2)),
        field("hostAliases", 20, list(alias, 2)),
        field("imagePullSecrets", 20, list(secret, 2)),
        field("affinity", 10, Just(json!({"nodeAffinity": {}, "podAffinity": null}))),
        field("os", 4, select(vec!["linux", "windows"]).prop_map(|os| json!({"name": os}))),
        unknown_field(20),
    ])
}

fn own_volume() -> BoxedStrategy<Value> {
    let own = (select(&VOLUMES[..]), unknown()).prop_map(
        |(name, unknown)| json!({"name": name, "persistentVolumeClaim": {"claimName": "c"}, "zzFuture": unknown}),
    );
    prop_oneof![3 => any_volume(), 2 => own].boxed()
}

fn container() -> BoxedStrategy<Value> {
    let name = prop_oneof![1 => Just("app"), 2 => select(&OWN[..])];
    let own = (name, own_fields()).prop_map(|(name, fields)| named(name, "app:1", fields));
    prop_oneof![12 => own, 1 => of_a_template()].boxed()
}

fn init_container() -> BoxedStrategy<Value> {
    let own =
        (select(vec!["prepare", "migrate"]), own_fields()).prop_map(|(name, fields)| named(name, "init:1", fields));
    let native = select(vec!["cache", "mesh"])
        .prop_map(|name| json!({"name": name, "image": "native:1", "restartPolicy": "Always", "ports": [{"containerPort": 7000}]}));
    prop_oneof![6 => own, 2 => native, 1 => of_a_template()].boxed()
}

fn ephemeral_container() -> BoxedStrategy<Value> {
    let name = prop_oneof![5 => Just("debugger"), 1 => select(&BROUGHT[..])];
    name.prop_map(|name| json!({"name": name, "image": "busybox"})).boxed()
}

/// A container with a name that templates use: it overrides, is equal, or conflicts.
fn of_a_template() -> BoxedStrategy<Value> {
    let overriding = own_fields().prop_map(|fields| ("auto", fields));
    let same = Just(("", json!({"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"})));
    let other = own_fields().prop_map(|fields| ("other:1", fields));
    (select(&BROUGHT[..]), prop_oneof![6 => overriding, 3 => same, 1 => other])
        .prop_map(|(name, (image, fields))| match image {
            "" => named(name, &format!("{name}:1"), fields),
            image => named(name, image, fields),
        })
        .boxed()
}

fn named(name: &str, image: &str, mut fields: Value) -> Value {
    fields["name"] = json!(name);
    fields["image"] = json!(image);
    fields
}

fn own_fields() -> BoxedStrategy<Value> {
    let nothing = || select(vec![json!({}), Value::Null]);
    object(vec![
        field("env", 40, env(env_value())),
        field("envFrom", 15, env_from()),
        field("volumeMounts", 40, mounts(Just("/var/run/secrets/kubernetes.io/serviceaccount".to_owned()), &VOLUMES)),
        field("ports", 30, ports(Just(json!(8443)))),
        field("resources", 30, prop_oneof![1 => nothing(), 1 => resources()]),
        field("securityContext", 20, prop_oneof![1 => nothing(), 1 => Just(json!({"capabilities": {}}))]),
        field("command", 15, Just(json!(["run", "--all"]))),
        field("args", 10, Just(json!([]))),
        field("imagePullPolicy", 20, Just(json!("Always"))),
        field("livenessProbe", 10, Just(json!({"httpGet": {"path": "/", "port": 8080, "scheme": "HTTP"}}))),
        unknown_field(15),
    ])
}

/// Names are unique and mounts have their volumes.
fn make_valid(spec: &mut Value) {
    let mut seen = BTreeSet::new();
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    for field in lists {
        if let Some(Value::Array(list)) = spec.get_mut(field) {
            list.retain(|container| seen.insert(text_of(container, "name")));
        }
    }
    let all: Vec<Value> = lists.iter().filter_map(|field| spec[*field].as_array()).flatten().cloned().collect();
    let mut volumes = spec["volumes"].take();
    unique_by(&mut volumes, |volume| text_of(volume, "name"));
    complete_volumes(&mut volumes, all.iter());
    if !volumes.is_null() || spec["volumes"].is_null() {
        spec["volumes"] = volumes;
    }
}
