//! Changes a template at random: values of the right type and often of the wrong kind, fields that
//! are added, removed and doubled.
//!
//! The places come from the recorded schema of templates, so that a new field is changed as well.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::random::Random;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../src/inject/schema/template.json")).expect("the recorded schema is JSON")
});

/// Fields that kube-apiserver 1.36 does not know: it refuses them by their name.
const NEWER: [&str; 6] = ["user", "defaultUser", "bindMountOptions", "protocol", "mode", "userAnnotations"];
/// Types in which the names of [`NEWER`] are old.
const OLDER: [(&str, &str); 7] = [
    ("ContainerPort", "protocol"),
    ("KeyToPath", "mode"),
    ("DownwardAPIVolumeFile", "mode"),
    ("SELinuxOptions", "user"),
    ("RBDVolumeSource", "user"),
    ("CephFSVolumeSource", "user"),
    ("QuobyteVolumeSource", "user"),
];
/// Fields with values that only an environment refuses, or that the server under test drops because
/// their feature gate is off.
const OUT_OF_SCOPE: [&str; 8] = [
    "stopSignal",
    "clusterTrustBundle",
    "podCertificate",
    "managedFields",
    "ownerReferences",
    "creationTimestamp",
    "deletionTimestamp",
    "dataSourceRef",
];

/// Fields of `app` that are Outrigger's own, or whose values reach a pod only where it has none.
const OWN_OF_APP: [&str; 5] = ["containers", "initContainers", "envPosition", "defaults", "prependCommand"];

const TEXTS: &[&str] = &[
    "",
    "a",
    "A_b",
    "a b",
    " a",
    "-a",
    "a.b",
    "a_b",
    "a/b",
    "/a",
    "/a/../b",
    "a/..",
    "..",
    "../a",
    "..a",
    "1",
    "01",
    "-1",
    "8080",
    "http",
    "HTTP",
    "TCP",
    "Always",
    "always",
    "Never",
    "None",
    "Exists",
    "In",
    "Gt",
    "Equal",
    "Localhost",
    "RuntimeDefault",
    "metadata.name",
    "metadata.labels",
    "metadata.labels['a']",
    "metadata.annotations['A/b']",
    "metadata.labels['a b']",
    "status.podIP",
    "spec.nodeName",
    "spec.hostname",
    "limits.cpu",
    "requests.memory",
    "limits.foo",
    "1.2.3.4",
    "01.2.3.4",
    "::1",
    "::ffff:1.2.3.4",
    "iqn.2001-04.com.example:a",
    "a:1",
    "kubernetes.io/a",
    "https://a",
    "ReadWriteOnce",
    "scratch",
    "claim",
    "host",
    "side",
    "web",
    "Bidirectional",
    "Enabled",
    "NoExecute",
];
/// Values of fields, right and wrong ones.
const OF_FIELDS: &[(&str, &[&str])] = &[
    ("imagePullPolicy", &["Always", "IfNotPresent", "Never", "always", ""]),
    ("pullPolicy", &["Always", "Never", "always", ""]),
    ("terminationMessagePolicy", &["File", "FallbackToLogsOnError", "file"]),
    ("restartPolicy", &["Always", "Never", "OnFailure", "NotRequired", "RestartContainer", "always", ""]),
    ("protocol", &["TCP", "UDP", "SCTP", "tcp", ""]),
    ("scheme", &["HTTP", "HTTPS", "http", ""]),
    ("mountPropagation", &["None", "HostToContainer", "Bidirectional", "none", ""]),
    ("recursiveReadOnly", &["Enabled", "Disabled", "IfPossible", "enabled", ""]),
    ("procMount", &["Default", "Unmasked", "default", ""]),
    ("operator", &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Equal", "exists", ""]),
    ("effect", &["NoSchedule", "PreferNoSchedule", "NoExecute", "noexecute", ""]),
    ("whenUnsatisfiable", &["DoNotSchedule", "ScheduleAnyway", "schedule", ""]),
    ("nodeAffinityPolicy", &["Honor", "Ignore", "honor", ""]),
    ("nodeTaintsPolicy", &["Honor", "Ignore", "honor", ""]),
    ("dnsPolicy", &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None", "none", ""]),
    ("fsGroupChangePolicy", &["OnRootMismatch", "Always", "always", ""]),
    ("supplementalGroupsPolicy", &["Merge", "Strict", "merge", ""]),
    ("seLinuxChangePolicy", &["Recursive", "recursive", ""]),
    ("cachingMode", &["None", "ReadOnly", "none", ""]),
    ("kind", &["Shared", "Dedicated", "Managed", "x", ""]),
    ("volumeMode", &["Filesystem", "Block", "block", ""]),
    ("accessModes", &["ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany", "x", ""]),
    ("action", &["Restart", "RestartAllContainers", "restart", ""]),
    ("resourceName", &["cpu", "memory", "x", ""]),
    ("resource", &["limits.cpu", "requests.memory", "limits.hugepages-2Mi", "requests.storage", "cpu", ""]),
    ("apiVersion", &["v1", "v2", ""]),
    ("volumeName", &["scratch", "host", "none", ""]),
    ("devicePath", &["/dev/xvda", "/injected", "/a/../b", ""]),
    ("runAsUserName", &["a", "NT AUTHORITY\\SYSTEM", "a\\b\\c", "...", "a/b", ""]),
    ("key", &["a", "a.key", "metadata.name", "a b", "..a", ""]),
];
const QUANTITIES: &[&str] = &[
    "0", "-1", "1", "2", "100m", "1500m", "1n", "1Ki", "1k", "3Mi", "4Mi", "20Mi", "32Mi", "64Mi", "300Mi", "2Gi", "1E",
];
const NUMBERS: &[i64] = &[
    -1,
    0,
    1,
    2,
    3,
    5,
    29,
    30,
    31,
    60,
    80,
    100,
    101,
    255,
    256,
    420,
    511,
    512,
    599,
    600,
    644,
    755,
    1204,
    65_535,
    65_536,
    70_000,
    2_147_483_647,
];
const LONG_NUMBERS: &[i64] = &[2_147_483_648, 4_294_967_296, 4_294_967_297];
const KEYS: &[&str] = &[
    "a",
    "cpu",
    "memory",
    "ephemeral-storage",
    "hugepages-2Mi",
    "hugepages-x",
    "example.com/gpu",
    "kubernetes.io/x",
    "requests.example.com/x",
    "storage",
    "pods",
    "foo",
    "A.com/a",
    "a b",
    "",
    "disk",
    "x.k8s.io/a",
];

/// A place of a template: its value and its schema.
pub struct Site {
    /// Keys and positions from the spec on.
    pub path: Vec<String>,
    schema: &'static Value,
    pub is_present: bool,
}

/// Where values of a template may be changed.
pub fn sites(spec: &Value) -> Vec<Site> {
    let root = member(resolve(&SCHEMA), "spec");
    let mut found = Vec::new();
    for part in ["sidecars", "initContainers", "volumes", "app", "metadata", "pod"] {
        if let (Some(value), Some(schema)) = (spec.get(part), root.and_then(|root| member(root, part))) {
            collect(value, schema, vec![part.to_owned()], &mut found);
        }
    }
    found.retain(|site| !matches!(site.path.as_slice(), [app, field, ..] if app == "app" && OWN_OF_APP.contains(&field.as_str())));
    found
}

fn collect(value: &Value, schema: &'static Value, path: Vec<String>, found: &mut Vec<Site>) {
    found.push(Site { path: path.clone(), schema, is_present: true });
    let below = |key: &str| path.iter().cloned().chain([key.to_owned()]).collect::<Vec<_>>();
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(schema) = member(schema, name) {
                    collect(value, schema, below(name), found);
                }
            }
            let type_name = type_of(schema);
            let known = schema["properties"].as_object().into_iter().flatten();
            for (name, _) in known.filter(|(name, _)| !fields.contains_key(*name) && is_in_scope(&type_name, name)) {
                if let Some(schema) = member(schema, name) {
                    found.push(Site { path: below(name), schema, is_present: false });
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.get("items").map(resolve) else { return };
            for (index, item) in items.iter().enumerate() {
                collect(item, schema, below(&index.to_string()), found);
            }
        }
        _ => {}
    }
}

fn is_in_scope(type_name: &str, field: &str) -> bool {
    let is_newer = NEWER.contains(&field) && !OLDER.contains(&(type_name, field));
    !is_newer && !OUT_OF_SCOPE.contains(&field)
}

/// The schema behind references and unions with null.
fn resolve(schema: &'static Value) -> &'static Value {
    let mut schema = schema;
    loop {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            schema = SCHEMA.pointer(&reference[1..]).expect("a definition");
        } else if let Some(one) = schema.get("anyOf").and_then(Value::as_array).and_then(|members| {
            let mut members = members.iter().filter(|member| member["type"] != "null");
            members.next().filter(|_| members.next().is_none())
        }) {
            schema = one;
        } else {
            return schema;
        }
    }
}

fn member(schema: &'static Value, name: &str) -> Option<&'static Value> {
    let field = schema["properties"].get(name);
    field.or_else(|| schema.get("additionalProperties").filter(|values| values.is_object())).map(resolve)
}

/// The name of a definition.
fn type_of(schema: &'static Value) -> String {
    let definitions = SCHEMA["$defs"].as_object().expect("definitions");
    let found = definitions.iter().find(|(_, definition)| std::ptr::eq(*definition, schema));
    found.map(|(name, _)| name.rsplit('.').next().unwrap_or(name).to_owned()).unwrap_or_default()
}

/// A value of each type, from a template that has them all.
pub struct Specimens(BTreeMap<String, Vec<Value>>);

impl Specimens {
    pub fn of(spec: &Value) -> Self {
        let mut specimens: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for site in sites(spec).into_iter().filter(|site| site.is_present) {
            let value = at(spec, &site.path).clone();
            let name = type_of(site.schema);
            if value.is_object() && !name.is_empty() {
                specimens.entry(name).or_default().push(value);
            }
        }
        Self(specimens)
    }

    fn pick(&self, random: &mut Random, schema: &'static Value) -> Value {
        match self.0.get(&type_of(schema)) {
            Some(values) if random.percent(80) => random.pick(values).clone(),
            _ => json!({}),
        }
    }
}

pub fn at<'v>(value: &'v Value, path: &[String]) -> &'v Value {
    path.iter().fold(value, |value, key| match value {
        Value::Array(items) => &items[key.parse::<usize>().expect("a position")],
        other => &other[key],
    })
}

pub fn at_mut<'v>(value: &'v mut Value, path: &[String]) -> &'v mut Value {
    path.iter().fold(value, |value, key| match value {
        Value::Array(items) => &mut items[key.parse::<usize>().expect("a position")],
        other => &mut other[key],
    })
}

/// Adds an item to a list that may be absent.
pub fn append(object: &mut Value, field: &str, item: Value) {
    match object[field].as_array_mut() {
        Some(list) => list.push(item),
        None => object[field] = json!([item]),
    }
}

/// Changes one place of the spec; returns its path.
pub fn mutate(random: &mut Random, spec: &mut Value, specimens: &Specimens) -> Vec<String> {
    let mut sites = sites(spec);
    let site = sites.swap_remove(random.below(sites.len()));
    let (last, parent) = site.path.split_last().expect("a path");
    let field = site.path.iter().rev().find(|key| key.parse::<usize>().is_err()).expect("a field");
    let old = site.is_present.then(|| at(spec, &site.path).clone());
    let is_container = |old: &Value| old.is_object() || old.is_array();
    let is_required = matches!(last.as_str(), "name" | "image") || parent.len() < 2;
    if old.is_some() && !is_required && random.percent(20) {
        match at_mut(spec, parent) {
            Value::Array(items) => drop(items.remove(last.parse().expect("a position"))),
            Value::Object(fields) => drop(fields.remove(last)),
            _ => {}
        }
        return site.path;
    }
    let new = match old.filter(is_container) {
        Some(old) => changed(random, old, site.schema, specimens, field),
        None => fresh(random, site.schema, specimens, field),
    };
    match at_mut(spec, parent) {
        Value::Array(items) => items[last.parse::<usize>().expect("a position")] = new,
        Value::Object(fields) => drop(fields.insert(last.clone(), new)),
        _ => {}
    }
    site.path
}

/// A list or map with an item more, doubled or less.
fn changed(random: &mut Random, old: Value, schema: &'static Value, specimens: &Specimens, field: &str) -> Value {
    match old {
        Value::Array(mut items) => {
            let item = schema.get("items").map(resolve);
            match random.below(4) {
                0 => items.clear(),
                1 if !items.is_empty() => items.push(random.pick(&items).clone()),
                _ => items.extend(item.map(|item| fresh(random, item, specimens, field))),
            }
            Value::Array(items)
        }
        Value::Object(mut fields) => {
            let is_map = schema.get("additionalProperties").is_some_and(Value::is_object);
            if is_map {
                let key = *random.pick(KEYS);
                let value = resolve(&schema["additionalProperties"]);
                fields.insert(key.to_owned(), fresh(random, value, specimens, field));
                Value::Object(fields)
            } else if random.percent(50) {
                specimens.pick(random, schema)
            } else {
                json!({})
            }
        }
        other => other,
    }
}

/// A value of the type that the schema says.
fn fresh(random: &mut Random, schema: &'static Value, specimens: &Specimens, field: &str) -> Value {
    let quantity = std::ptr::eq(schema, &SCHEMA["$defs"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]);
    let kind = match &schema["type"] {
        Value::Array(names) => names.iter().find_map(|name| name.as_str().filter(|name| *name != "null")),
        other => other.as_str(),
    };
    match kind {
        _ if quantity => json!(random.pick(QUANTITIES)),
        Some("string") => json!(text(random, field)),
        Some("integer") if schema["format"] == "int64" && random.percent(15) => json!(random.pick(LONG_NUMBERS)),
        Some("integer") => json!(random.pick(NUMBERS)),
        Some("boolean") => json!(random.percent(50)),
        Some("array") => {
            let item = schema.get("items").map(resolve);
            let count = random.below(3);
            (0..count).filter_map(|_| item.map(|item| fresh(random, item, specimens, field))).collect()
        }
        Some("object") if schema.get("additionalProperties").is_some_and(Value::is_object) => {
            let value = resolve(&schema["additionalProperties"]);
            let (key, value) = (*random.pick(KEYS), fresh(random, value, specimens, field));
            Value::Object(Map::from_iter([(key.to_owned(), value)]))
        }
        Some("object") => specimens.pick(random, schema),
        _ if random.percent(50) => json!(random.pick(NUMBERS)),
        _ => json!(text(random, field)),
    }
}

fn text(random: &mut Random, field: &str) -> String {
    let own = OF_FIELDS.iter().find(|(name, _)| *name == field);
    match own {
        Some((_, texts)) if random.percent(80) => (*random.pick(texts)).to_owned(),
        _ if random.percent(4) => "x".repeat(if random.percent(50) { 64 } else { 254 }),
        _ => (*random.pick(TEXTS)).to_owned(),
    }
}
