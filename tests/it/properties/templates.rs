//! Generated templates: every section of the format, with names that pods use as well.
//!
//! Loading is not tested here.
//!
//! Invariant: every document loads without a problem; the generator repairs invalid ones (a mount
//! gets its volume, a parameter is declared).

use super::pieces::{
    VOLUMES, any_volume, complete_volumes, env, env_from, env_value, field, list, mounts, object, port_keys, ports,
    resources, string_map, text_of, unique_by, unknown,
};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Names of templates, in the order in which a case uses them.
pub const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
/// Containers that templates add.
pub const CONTAINERS: [&str; 3] = ["side", "log", "setup"];
/// Every parameter that an expression may read.
pub const PARAMETERS: [&str; 10] = ["text", "dir", "level", "count", "flag", "ratio", "size", "wait", "port", "must"];

/// A template document of this name.
pub fn template(name: &'static str) -> BoxedStrategy<Value> {
    let fields = object(vec![
        field("description", 10, Just(json!("generated"))),
        field("injection", 10, Just(json!("Automatic"))),
        field("match", 12, matching()),
        field("sidecars", 65, list(container(), 2)),
        field("initContainers", 30, list(container(), 1)),
        field("volumes", 40, list(any_volume(), 2)),
        field("app", 55, app()),
        field("fromApp", 20, from_app()),
        field("placement", 55, placement()),
        field("metadata", 40, metadata()),
        field("pod", 40, pod_fields()),
        field("onConflict", 40, select(vec!["Reject", "KeepPod"]).prop_map(|mode| json!(mode))),
        field("onError", 40, select(vec!["Reject", "Skip"]).prop_map(|mode| json!(mode))),
        field("hardened", 60, any::<bool>().prop_map(Value::Bool)),
    ]);
    fields
        .prop_map(move |spec| {
            json!({
                "apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate",
                "metadata": {"name": name}, "spec": make_valid(spec),
            })
        })
        .boxed()
}

fn matching() -> BoxedStrategy<Value> {
    let condition =
        select(vec!["!has(pod.spec.hostNetwork) || !pod.spec.hostNetwork", "size(pod.spec.containers) < 5"]);
    object(vec![
        field("os", 20, select(vec![json!(["linux"]), json!(["linux", "windows"])])),
        field("podSelector", 30, Just(json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}))),
        field("namespaceSelector", 10, Just(json!({"matchLabels": {"kubernetes.io/metadata.name": "demo"}}))),
        field("conditions", 40, condition.prop_map(|text| json!([{"expression": text, "message": "not this pod"}]))),
    ])
}

/// Mostly the same content under the same name, so that templates may share a container.
fn container() -> BoxedStrategy<Value> {
    let plain = Just(json!({}));
    (select(&CONTAINERS[..]), prop_oneof![2 => plain, 3 => container_fields()])
        .prop_map(|(name, mut fields)| {
            fields["name"] = json!(name);
            fields["image"] = json!(format!("{name}:1"));
            fields
        })
        .boxed()
}

fn container_fields() -> BoxedStrategy<Value> {
    object(vec![
        field("command", 15, Just(json!(["run"]))),
        field("args", 20, list(value(), 2)),
        field("env", 40, env(variable_value())),
        field("envFrom", 15, env_from()),
        field("volumeMounts", 50, mounts(Just("${params.dir}".to_owned()), &VOLUMES)),
        field("ports", 30, ports(Just(json!("${params.port}")))),
        field(
            "resources",
            30,
            prop_oneof![2 => resources(), 1 => Just(json!({"limits": {"memory": "${params.size}"}}))],
        ),
        field(
            "securityContext",
            20,
            select(vec![json!({}), json!({"runAsUser": 0}), json!({"privileged": true}), Value::Null]),
        ),
        field("restartPolicy", 5, Just(json!("Always"))),
        field("zzFuture", 10, unknown().prop_map(without_expressions)),
    ])
}

fn app() -> BoxedStrategy<Value> {
    let containers = select(vec![json!("All"), json!("First"), json!(["app", "web"]), json!(["nobody"])]);
    object(vec![
        field("containers", 40, containers),
        field("initContainers", 30, any::<bool>().prop_map(Value::Bool)),
        field("env", 60, env(variable_value())),
        field("envFrom", 20, env_from()),
        field("volumeMounts", 50, mounts(Just("${params.dir}".to_owned()), &VOLUMES)),
    ])
}

fn from_app() -> BoxedStrategy<Value> {
    let names = select(vec![json!(["MODE"]), json!(["LEVEL", "HOME"]), json!([])]);
    object(vec![field("volumeMounts", 50, any::<bool>().prop_map(Value::Bool)), field("env", 50, names)])
}

fn placement() -> BoxedStrategy<Value> {
    let next_to = || select(vec!["app", "app", "web", "prepare", "nobody"]);
    let order = || {
        prop_oneof![
            1 => Just(json!("First")),
            1 => Just(json!("Last")),
            2 => next_to().prop_map(|name| json!({"before": name})),
            2 => next_to().prop_map(|name| json!({"after": name})),
        ]
    };
    let sidecars = select(vec!["Native", "Plain"]).prop_map(|kind| json!(kind));
    object(vec![field("sidecars", 60, sidecars), field("order", 75, order()), field("initContainerOrder", 40, order())])
}

fn metadata() -> BoxedStrategy<Value> {
    let label = select(vec!["x", "y", "", "${params.level}"]).prop_map(str::to_owned);
    object(vec![
        field("labels", 60, string_map(&["app", "example.com/team", "added"], label)),
        field(
            "annotations",
            60,
            string_map(
                &["note", "example.com/added", "added"],
                value().prop_map(|value| value.as_str().unwrap_or_default().to_owned()),
            ),
        ),
    ])
}

fn pod_fields() -> BoxedStrategy<Value> {
    let words = |words: &'static [&'static str]| select(words).prop_map(|word| json!(word));
    let toleration = select(vec!["a", "c"]).prop_map(|key| json!({"key": key, "operator": "Exists"}));
    let alias = select(vec!["10.0.0.1", "10.0.0.3"]).prop_map(|ip| json!({"ip": ip, "hostnames": ["one"]}));
    let secret = words(&["pull", "more"]).prop_map(|name| json!({"name": name}));
    let option = words(&["ndots", "single-request"]).prop_map(|name| json!({"name": name, "value": "2"}));
    let spread = words(&["zone", "node"])
        .prop_map(|key| json!({"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}));
    let affinity = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}]}});
    let unique = |list: BoxedStrategy<Value>, key: &'static str| {
        list.prop_map(move |mut list| {
            unique_by(&mut list, |item| text_of(item, key));
            list
        })
    };
    object(vec![
        field("imagePullSecrets", 12, unique(list(secret, 2), "name")),
        field("hostAliases", 12, unique(list(alias, 2), "ip")),
        field("shareProcessNamespace", 6, any::<bool>().prop_map(Value::Bool)),
        field("serviceAccountName", 6, words(&["robot"])),
        field("nodeSelector", 10, string_map(&["disk", "pool"], Just("x".to_owned()))),
        field("tolerations", 12, list(toleration, 2)),
        field("topologySpreadConstraints", 8, unique(list(spread, 2), "topologyKey")),
        field("affinity", 8, select(vec![affinity, json!({"podAffinity": {}}), json!({})])),
        field("priorityClassName", 12, words(&["high"])),
        field("runtimeClassName", 6, words(&["gvisor"])),
        field(
            "dnsConfig",
            12,
            object(vec![
                field("options", 60, unique(list(option, 2), "name")),
                field("searches", 40, list(words(&["a.example", "b.example"]), 2)),
            ]),
        ),
        field("dnsPolicy", 6, words(&["ClusterFirst", "Default"])),
        field(
            "terminationGracePeriodSeconds",
            15,
            select(vec![
                json!(30),
                json!(60),
                json!("${params.count}"),
                json!("${pod.spec.terminationGracePeriodSeconds + 5}"),
            ]),
        ),
        field(
            "securityContext",
            12,
            select(vec![json!({}), json!({"fsGroup": 2000}), json!({"runAsNonRoot": true, "sysctls": []})]),
        ),
        field("readinessGates", 8, list(Just(json!({"conditionType": "example.com/ready"})), 1)),
        field("schedulerName", 6, words(&["other-scheduler"])),
        field("automountServiceAccountToken", 6, any::<bool>().prop_map(Value::Bool)),
    ])
}

/// Leaves with and without expressions.
fn value() -> BoxedStrategy<Value> {
    let texts = vec![
        "plain",
        "$(HOME)",
        "$${literal}",
        "${params.text}",
        "<${params.text}>",
        "${params.level}:${params.count}",
        "${params.ratio}",
        "${params.flag}",
        "${params.wait}",
        "${params.must}",
        "${namespace.name}",
        "${app.name}",
        "${size(apps)}",
        "${pod.spec.containers[0].image}",
    ];
    select(texts).prop_map(|text| json!(text)).boxed()
}

fn variable_value() -> BoxedStrategy<Value> {
    prop_oneof![3 => value(), 4 => env_value().prop_map(without_expressions)].boxed()
}

/// Text that looks like an expression by accident is made literal.
fn without_expressions(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(printable(&text).replace("${", "$(")),
        Value::Array(items) => items.into_iter().map(without_expressions).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, without_expressions(value))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// YAML allows fewer characters than JSON.
fn printable(text: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || character == ' ' || character.is_ascii_graphic();
    text.chars().map(|character| if plain(character) { character } else { '?' }).collect()
}

fn make_valid(mut spec: Value) -> Value {
    let (mut names, mut ports) = (BTreeSet::new(), BTreeSet::new());
    for field in ["sidecars", "initContainers"] {
        if let Some(Value::Array(list)) = spec.get_mut(field) {
            list.retain(|container| names.insert(text_of(container, "name")));
            list.iter_mut().for_each(make_container_valid);
            for list in list.iter_mut().filter_map(|container| container.get_mut("ports")?.as_array_mut()) {
                list.retain(|port| port_keys(port).into_iter().all(|key| ports.insert(key)));
            }
        }
    }
    if let Some(app) = spec.get_mut("app") {
        make_container_valid(app);
    }
    let mounting: Vec<Value> = ["sidecars", "initContainers"]
        .iter()
        .filter_map(|field| spec[*field].as_array())
        .flatten()
        .chain(spec.get("app"))
        .cloned()
        .collect();
    let mut volumes = spec["volumes"].take();
    complete_volumes(&mut volumes, mounting.iter());
    spec["volumes"] = volumes;
    declare_parameters(&mut spec);
    make_loadable(&mut spec);
    spec
}

/// A template that brings nothing gets a label, an Automatic one says that it is for all pods.
fn make_loadable(spec: &mut Value) {
    let parts = ["sidecars", "initContainers", "volumes", "metadata", "pod"].map(|part| &spec[part]);
    let app = ["env", "envFrom", "volumeMounts"].map(|list| &spec["app"][list]);
    if parts.into_iter().chain(app).all(is_blank) {
        spec["metadata"] = json!({"labels": {"added": "x"}});
    }
    let selects = ["podSelector", "namespaceSelector", "conditions"].iter().any(|key| !spec["match"][*key].is_null());
    if spec["injection"] == "Automatic" && !selects {
        spec["match"]["podSelector"] = json!({});
    }
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_blank),
        other => other.is_null(),
    }
}

fn make_container_valid(container: &mut Value) {
    if let Some(env) = container.get_mut("env") {
        unique_by(env, |variable| text_of(variable, "name"));
    }
}

/// Declares the parameters that expressions read. Unread parameters stay undeclared; a pod that
/// sets one is refused.
fn declare_parameters(spec: &mut Value) {
    let text = spec.to_string();
    let read: Vec<Value> = PARAMETERS
        .iter()
        .filter(|name| text.contains(&format!("params.{name}")))
        .map(|name| declaration(name))
        .collect();
    if !read.is_empty() {
        spec["parameters"] = Value::Array(read);
    }
}

fn declaration(name: &str) -> Value {
    let (kind, default) = match name {
        "level" => ("enum", json!("info")),
        "count" => ("integer", json!(40)),
        "flag" => ("boolean", json!(true)),
        "ratio" => ("number", json!(0.5)),
        "size" => ("quantity", json!("64Mi")),
        "wait" => ("duration", json!("30s")),
        "port" => ("port", json!(9443)),
        "dir" => ("string", json!("/srv")),
        _ => ("string", json!("plain")),
    };
    let mut declaration = json!({"name": name, "type": kind, "default": default});
    match name {
        "level" => declaration["values"] = json!(["info", "debug"]),
        "must" => drop(declaration.as_object_mut().and_then(|fields| fields.remove("default"))),
        _ => {}
    }
    declaration
}
