//! Generators for the parts of pods and templates: names from small pools, so that both sides often
//! meet, and edge cases of values.
//!
//! Which part goes where is not decided here.
//!
//! Invariant: every strategy shrinks towards plain and absent values.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Volumes that mounts may name; [`volume`] defines the usual source of each.
pub const VOLUMES: [&str; 4] = ["data", "logs", "conf", "odd"];
const PATHS: [&str; 6] = ["/data", "/logs", "/logs/", "/a~b/~1", "/ü ö", "/"];
const VARIABLES: [&str; 5] = ["MODE", "LEVEL", "a.b-c", "~1/x", "HOME"];
const PORTS: [u16; 5] = [53, 8080, 9090, 9091, 65535];

/// A field that may be absent: its name and, perhaps, its value.
pub type Field = (&'static str, BoxedStrategy<Option<Value>>);

/// A field that is present in this percentage of objects.
pub fn field(name: &'static str, percent: u32, value: impl Strategy<Value = Value> + 'static) -> Field {
    (name, prop::option::weighted(f64::from(percent) / 100.0, value).boxed())
}

/// An object of fields.
pub fn object(fields: Vec<Field>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    let build = move |values: Vec<Option<Value>>| {
        let fields = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Value::Object(fields.collect())
    };
    values.prop_map(build).boxed()
}

/// A list, or one of the spellings of an absent list.
pub fn list(item: impl Strategy<Value = Value> + 'static, most: usize) -> BoxedStrategy<Value> {
    let items = prop::collection::vec(item, 1..=most).prop_map(Value::Array);
    prop_oneof![1 => Just(json!([])), 1 => Just(Value::Null), 8 => items].boxed()
}

/// A map of strings, or one of the spellings of an absent map.
pub fn string_map(
    keys: &'static [&'static str],
    value: impl Strategy<Value = String> + 'static,
) -> BoxedStrategy<Value> {
    let some = prop::collection::btree_map(select(keys), value, 1..=3).prop_map(|map| json!(map));
    prop_oneof![1 => Just(json!({})), 1 => Just(Value::Null), 6 => some].boxed()
}

/// Keeps the first of the items that are the same by `key`.
pub fn unique_by(list: &mut Value, key: impl Fn(&Value) -> String) {
    let mut seen = BTreeSet::new();
    if let Value::Array(items) = list {
        items.retain(|item| seen.insert(key(item)));
    }
}

/// Text of a field, empty if it is absent.
pub fn text_of(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}

/// Any text that annotations and environment variables allow.
pub fn any_text() -> BoxedStrategy<String> {
    let shapes = vec![
        "",
        "x",
        "a/b~c",
        "/spec/~0~1",
        "$(HOME)",
        "${params.text}",
        "$${x}",
        "{\"a\": [1]}",
        "a: b\n- c",
        "\"'",
        "true",
        "null",
        "1e3",
        "käse 🧀",
        "\u{0}\u{7f}",
    ];
    prop_oneof![6 => select(shapes).prop_map(str::to_owned), 1 => ".{0,12}"].boxed()
}

/// The value of a field newer than the program: any JSON, with extreme numbers.
pub fn unknown() -> BoxedStrategy<Value> {
    let number = prop_oneof![
        Just(json!(i64::MIN)),
        Just(json!(u64::MAX)),
        Just(json!(9_007_199_254_740_993_u64)),
        Just(json!(0.1)),
        Just(json!(-0.0)),
        Just(json!(1.0)),
        any::<i64>().prop_map(|number| json!(number)),
        prop::num::f64::NORMAL.prop_map(|number| json!(number)),
    ];
    let leaf =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::Bool), number, any_text().prop_map(Value::String)];
    let below = |inner: BoxedStrategy<Value>| {
        let keys = select(vec!["name", "a/b", "~", "", "image", "ü", "managedFields"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            prop::collection::btree_map(keys, inner, 0..3).prop_map(|map| json!(map)),
        ]
        .boxed()
    };
    leaf.prop_recursive(2, 6, 3, below).boxed()
}

/// A field that no version of Kubernetes has.
pub fn unknown_field(percent: u32) -> Field {
    field("zzFuture", percent, unknown())
}

/// Environment variables whose values come from `value`.
pub fn env(value: impl Strategy<Value = Value> + Clone + 'static) -> BoxedStrategy<Value> {
    let variable = (select(&VARIABLES[..]), value).prop_map(|(name, value)| match value {
        Value::Object(_) => json!({"name": name, "valueFrom": value}),
        Value::Null => json!({"name": name}),
        value => json!({"name": name, "value": value}),
    });
    list(variable, 4).boxed()
}

/// Mostly the same value for the same name, so that both sides may agree.
pub fn env_value() -> BoxedStrategy<Value> {
    prop_oneof![
        6 => Just(json!("x")),
        1 => Just(Value::Null),
        1 => Just(json!({"fieldRef": {"fieldPath": "metadata.name"}})),
        1 => any_text().prop_map(Value::String),
    ]
    .boxed()
}

/// `envFrom`: merged by its whole value, without a key.
pub fn env_from() -> BoxedStrategy<Value> {
    let source = prop_oneof![
        Just(json!({"configMapRef": {"name": "settings"}})),
        Just(json!({"prefix": "P_", "secretRef": {"name": "keys", "optional": false}})),
    ];
    list(source, 2)
}

/// Mounts; `path` generates further paths.
pub fn mounts(
    further: impl Strategy<Value = String> + 'static,
    volumes: &'static [&'static str],
) -> BoxedStrategy<Value> {
    let path = prop_oneof![6 => select(&PATHS[..]).prop_map(str::to_owned), 1 => further];
    let mount = (path, select(volumes), prop::option::weighted(0.2, any::<bool>()));
    let mount = mount.prop_map(|(path, volume, read_only)| {
        let mut mount = json!({"name": volume, "mountPath": path});
        if let Some(read_only) = read_only {
            mount["readOnly"] = json!(read_only);
        }
        mount
    });
    list(mount, 3)
        .prop_map(|mut mounts| {
            unique_by(&mut mounts, |mount| clean(&text_of(mount, "mountPath")));
            mounts
        })
        .boxed()
}

fn clean(path: &str) -> String {
    path.trim_end_matches('/').to_owned()
}

/// Ports of one container.
pub fn ports(further: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    let number = prop_oneof![5 => select(&PORTS[..]).prop_map(|port| json!(port)), 1 => further];
    let protocol = prop::option::weighted(0.3, select(vec!["TCP", "UDP", "SCTP"]));
    let name = prop::option::weighted(0.2, select(vec!["http", "metrics", "dns"]));
    let host = prop::option::weighted(0.15, select(&PORTS[..]));
    let port = (number, protocol, name, host).prop_map(|(number, protocol, name, host)| {
        let mut port = json!({"containerPort": number});
        let fields = [("protocol", json!(protocol)), ("name", json!(name)), ("hostPort", json!(host))];
        for (field, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
            port[field] = value;
        }
        port
    });
    list(port, 2)
        .prop_map(|mut ports| {
            let mut seen = BTreeSet::new();
            if let Value::Array(ports) = &mut ports {
                ports.retain(|port| port_keys(port).into_iter().all(|key| seen.insert(key)));
            }
            ports
        })
        .boxed()
}

/// The keys that no two ports of one network may share.
pub fn port_keys(port: &Value) -> Vec<String> {
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    let number = |field: &str| port.get(field).map(|number| format!("{field} {number}/{protocol}"));
    let name = port["name"].as_str().map(|name| format!("name {name}"));
    [number("containerPort"), number("hostPort"), name].into_iter().flatten().collect()
}

/// Container resources, in more than one spelling.
pub fn resources() -> BoxedStrategy<Value> {
    select(vec![("1", "64Mi"), ("1000m", "67108864"), ("2", "64Mi")])
        .prop_map(|(cpu, memory)| json!({"requests": {"cpu": cpu}, "limits": {"memory": memory}}))
        .boxed()
}

/// The usual source of the volume of this name.
pub fn volume(name: &str) -> Value {
    match name {
        "conf" => json!({"name": name, "configMap": {"name": "settings"}}),
        "logs" => json!({"name": name, "emptyDir": {"sizeLimit": "256Mi"}}),
        _ => json!({"name": name, "emptyDir": {}}),
    }
}

/// A volume from the pool; now and then another one under the same name.
pub fn any_volume() -> BoxedStrategy<Value> {
    let other = select(&VOLUMES[..]).prop_map(|name| json!({"name": name, "emptyDir": {"medium": "Memory"}}));
    prop_oneof![12 => select(&VOLUMES[..]).prop_map(volume), 1 => other].boxed()
}

/// Adds the volumes that the mounts name and `volumes` lacks.
pub fn complete_volumes<'m>(volumes: &mut Value, containers: impl Iterator<Item = &'m Value>) {
    let mounted: BTreeSet<String> = containers
        .flat_map(|container| container["volumeMounts"].as_array().into_iter().flatten())
        .map(|mount| text_of(mount, "name"))
        .collect();
    unique_by(volumes, |volume| text_of(volume, "name"));
    let known: BTreeSet<String> = volumes.as_array().into_iter().flatten().map(|one| text_of(one, "name")).collect();
    let missing: Vec<Value> = mounted.difference(&known).map(|name| volume(name)).collect();
    if !missing.is_empty() {
        match volumes {
            Value::Array(list) => list.extend(missing),
            _ => *volumes = Value::Array(missing),
        }
    }
}

/// Adds the members of `further` that `object` lacks.
pub fn fill_in(object: &mut Map<String, Value>, further: &Value) {
    for (key, value) in further.as_object().into_iter().flatten() {
        object.entry(key.clone()).or_insert_with(|| value.clone());
    }
}
