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
use super::resolve::{CONDITIONS, LISTS};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Names of templates, in the order in which a case uses them.
pub const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
/// Containers that templates add.
pub const CONTAINERS: [&str; 3] = ["side", "log", "setup"];
/// Every parameter that an expression may read.
pub const PARAMETERS: [&str; 13] =
    ["text", "dir", "level", "count", "flag", "ratio", "size", "wait", "port", "must", "items", "pairs", "computed"];

/// A template document of this name.
pub fn template(name: &'static str) -> BoxedStrategy<Value> {
    let fields = object(vec![
        field("description", 10, Just(json!("generated"))),
        field("injection", 10, Just(json!("Automatic"))),
        field("match", 12, matching()),
        field("sidecars", 65, list(with_clauses(container(), "name", "-"), 2)),
        field("initContainers", 30, list(with_clauses(container(), "name", "-"), 1)),
        field("volumes", 40, list(any_volume(), 2)),
        field("files", 12, files()),
        field("app", 55, app()),
        field("fromApp", 20, from_app()),
        field("placement", 55, placement()),
        field("metadata", 40, metadata()),
        field("pod", 40, pod_fields()),
        field("requires", 3, Just(json!([if name == "beta" { "alpha" } else { "beta" }]))),
        field("excludes", 3, Just(json!([if name == "gamma" { "alpha" } else { "gamma" }]))),
        field("podResources", 30, select(vec!["Grow", "Keep"]).prop_map(|mode| json!(mode))),
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
        field("env", 60, each_item(env(app_value()), |item| on_existing(with_clauses(Just(item), "name", "_")))),
        field("envPosition", 30, select(vec!["First", "Last"]).prop_map(|position| json!(position))),
        field("envFrom", 20, each_item(env_from(), |item| with_clauses(Just(item), "", ""))),
        field(
            "volumeMounts",
            50,
            each_item(mounts(Just("${params.dir}".to_owned()), &VOLUMES), |item| {
                with_clauses(Just(item), "mountPath", "/")
            }),
        ),
        field("defaults", 15, defaults()),
        field("prependCommand", 8, Just(json!(["/wrap", "--"]))),
    ])
}

fn app_value() -> BoxedStrategy<Value> {
    prop_oneof![12 => variable_value(), 1 => Just(json!("${container.name}"))].boxed()
}

fn defaults() -> BoxedStrategy<Value> {
    let probe = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 5});
    object(vec![
        field(
            "securityContext",
            40,
            select(vec![json!({"allowPrivilegeEscalation": false}), json!({"capabilities": {"drop": ["ALL"]}})]),
        ),
        field("resources", 40, resources()),
        field("livenessProbe", 30, Just(probe)),
        field("lifecycle", 20, Just(json!({"preStop": {"exec": {"command": ["sync"]}}}))),
        field("terminationMessagePolicy", 30, Just(json!("FallbackToLogsOnError"))),
    ])
}

fn files() -> BoxedStrategy<Value> {
    let text = select(vec!["plain", "a: ${params.text}\n", "", "${namespace.name}"]);
    let items = prop::collection::btree_map(select(vec!["a.conf", "b"]), text, 1..=2);
    list(items.prop_map(|items| json!({"name": "texts", "items": items})), 1)
}

/// The items of a list, each changed.
fn each_item(
    list: BoxedStrategy<Value>,
    change: impl Fn(Value) -> BoxedStrategy<Value> + 'static,
) -> BoxedStrategy<Value> {
    list.prop_flat_map(move |list| match list {
        Value::Array(items) => items.into_iter().map(&change).collect::<Vec<_>>().prop_map(Value::Array).boxed(),
        other => Just(other).boxed(),
    })
    .boxed()
}

/// Items, now and then with `when` and `forEach`. The key has the element behind a separator.
fn with_clauses(
    item: impl Strategy<Value = Value> + 'static,
    key: &'static str,
    separator: &'static str,
) -> BoxedStrategy<Value> {
    let when = prop::option::weighted(0.15, select(&CONDITIONS[..]));
    let each = prop::option::weighted(0.08, select(&LISTS[..]));
    (item, when, each)
        .prop_map(move |(mut item, when, each)| {
            if let Some((when, ..)) = when {
                item["when"] = json!(when);
            }
            let name = text_of(&item, key);
            if let Some((list, ..)) = each.filter(|_| !name.contains("${") && !key.is_empty()) {
                item["forEach"] = json!(list);
                item[key] = json!(format!("{}{separator}${{each}}", name.trim_end_matches('/')));
                // The copies share one network.
                item.as_object_mut().map(|fields| fields.remove("ports"));
            }
            item
        })
        .boxed()
}

/// Variables, now and then with `onExisting`.
fn on_existing(variable: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let modes = prop::option::weighted(0.4, select(vec!["Conflict", "Keep", "Append", "Prepend"]));
    (variable, modes, prop::option::weighted(0.3, select(vec![",", ""])))
        .prop_map(|(mut variable, mode, separator)| {
            let extends = matches!(mode, Some("Append" | "Prepend"));
            if let Some(mode) = mode.filter(|_| !extends || variable["value"].is_string()) {
                variable["onExisting"] = json!(mode);
                if let Some(separator) = separator.filter(|_| extends) {
                    variable["separator"] = json!(separator);
                }
            }
            variable
        })
        .boxed()
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
        field("resourceClaims", 5, list(Just(json!({"name": "gpu", "resourceClaimName": "gpu"})), 1)),
        field("enableServiceLinks", 6, any::<bool>().prop_map(Value::Bool)),
        field("hostUsers", 4, Just(json!(true))),
        field("setHostnameAsFQDN", 4, any::<bool>().prop_map(Value::Bool)),
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
        "${params.items.join('+')}",
        "${params.pairs.?a.orValue('none')}",
        "${params.computed}",
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
        "items" => ("list", json!(["one", "two"])),
        "pairs" => ("map", json!({"a": "b"})),
        "computed" => ("string", json!("${pod.metadata.?name.orValue('none')}")),
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
