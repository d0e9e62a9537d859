//! Whether the pod already has the content that a template wants.
//!
//! Two values are equal when they have the same fields and values. Defaults of the API server,
//! fields that in-tree admission adds, and different spellings of one value make no difference.

use super::defaults::is_default;
use crate::inject::schema::merge_keys;
pub(crate) use crate::inject::schema::merge_keys::TOKEN_PATH;
use crate::inject::text::quantity;
use serde_json::{Map, Value};

/// Whether `found`, of the pod, is equal to `wanted`, of the template.
pub(crate) fn same(wanted: &Value, found: &Value) -> bool {
    same_value("", wanted, found)
}

/// Whether the two values of the field `key` are the same. `parent` is the name of the object with the
/// field.
pub(crate) fn same_field(parent: &str, key: &str, wanted: &Value, found: &Value) -> bool {
    same_value(if matches!(parent, "limits" | "requests") { "quantity" } else { key }, wanted, found)
}

/// Whether the API server, or admission, may have filled in this value of the field `key`. `parent` is
/// the name of the object with the field, `beside` that object.
pub(crate) fn is_filled_in(parent: &str, key: &str, value: &Value, beside: &Map<String, Value>) -> bool {
    let is_of_limits =
        || key == "requests" && beside.get("limits").is_some_and(|limits| same_value(key, limits, value));
    is_absent(parent, key, value)
        || is_default(parent, key, value, beside)
        || is_only_token(key, value)
        || is_of_limits()
}

fn same_value(field: &str, wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => same_object(field, wanted, found),
        (Value::Array(wanted), Value::Array(found)) => same_list(field, wanted, found),
        (Value::Number(a), Value::Number(b)) => a == b || (a.as_f64() == b.as_f64() && a.is_f64() != b.is_f64()),
        _ => wanted == found || same_quantity(field, wanted, found) || same_path(field, wanted, found),
    }
}

fn same_object(parent: &str, wanted: &Map<String, Value>, found: &Map<String, Value>) -> bool {
    if parent == "resources" && (wanted.contains_key("limits") || found.contains_key("limits")) {
        let (wanted, found) = (with_default_requests(wanted), with_default_requests(found));
        return same_object("", &wanted, &found);
    }
    different_fields(parent, wanted, found).next().is_none()
}

/// The fields that make two objects different: those of `wanted`, then those that only `found` has.
pub(super) fn different_fields<'v>(
    parent: &'v str,
    wanted: &'v Map<String, Value>,
    found: &'v Map<String, Value>,
) -> impl Iterator<Item = &'v str> {
    let of_wanted = wanted.iter().filter(move |(key, value)| match found.get(*key) {
        Some(other) => !same_field(parent, key, value, other),
        None => !is_absent(parent, key, value) && !is_default(parent, key, value, wanted),
    });
    let only_found = found.iter().filter(move |(key, value)| {
        !wanted.contains_key(*key)
            && !is_absent(parent, key, value)
            && !is_default(parent, key, value, found)
            && !is_only_token(key, value)
    });
    of_wanted.chain(only_found).map(|(key, _)| key.as_str())
}

/// A resource with a limit and no request gets the limit as its request.
fn with_default_requests(resources: &Map<String, Value>) -> Map<String, Value> {
    let mut filled = resources.clone();
    let limits = resources.get("limits").and_then(Value::as_object);
    let requests = filled.entry("requests").or_insert_with(|| Value::Object(Map::new()));
    if let (Some(limits), Some(requests)) = (limits, requests.as_object_mut()) {
        for (resource, limit) in limits {
            requests.entry(resource.clone()).or_insert_with(|| limit.clone());
        }
    }
    filled
}

fn same_list(field: &str, wanted: &[Value], found: &[Value]) -> bool {
    let token = |item: &Value| field == "volumeMounts" && is_token_mount(item);
    let wants_token = wanted.iter().any(token);
    let mut found = found.iter().filter(|item| wants_token || !token(item));
    let all = wanted.iter().all(|item| found.next().is_some_and(|other| same_value(field, item, other)));
    all && found.next().is_none()
}

/// Whether the only mount of a container is the token that admission mounted.
fn is_only_token(field: &str, value: &Value) -> bool {
    field == "volumeMounts" && value.as_array().is_some_and(|mounts| mounts.iter().all(is_token_mount))
}

/// Whether two values of a quantity field are spellings of the same quantity.
fn same_quantity(field: &str, wanted: &Value, found: &Value) -> bool {
    matches!(field, "quantity" | "sizeLimit" | "divisor") && quantity::same(wanted, found)
}

/// Fields in which false and 0 differ from an absent field: Kubernetes' Go types have pointers for
/// them, as for all fields of a securityContext.
const OPTIONAL: [&str; 7] = [
    "defaultMode",
    "mode",
    "tolerationSeconds",
    "terminationGracePeriodSeconds",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "optional",
];

/// Whether a field with this value means the same as an absent one.
fn is_absent(parent: &str, key: &str, value: &Value) -> bool {
    let is_optional = parent == "securityContext" || OPTIONAL.contains(&key);
    match value {
        Value::Bool(_) | Value::Number(_) if is_optional => false,
        // An empty selector selects everything, an absent one nothing.
        Value::Object(_) if matches!(key, "labelSelector" | "namespaceSelector") => false,
        _ => is_empty(value),
    }
}

/// Whether two paths differ only in a trailing slash.
fn same_path(field: &str, wanted: &Value, found: &Value) -> bool {
    matches!(field, "mountPath" | "devicePath")
        && match (wanted.as_str(), found.as_str()) {
            (Some(wanted), Some(found)) => merge_keys::clean_path(wanted) == merge_keys::clean_path(found),
            _ => false,
        }
}

/// Whether Go leaves the value out when it writes JSON (`omitempty`).
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
    }
}

/// Whether a mount is the service account's token, which admission adds to every container.
pub(crate) fn is_token_mount(mount: &Value) -> bool {
    mount.get("mountPath").and_then(Value::as_str).is_some_and(|path| merge_keys::clean_path(path) == TOKEN_PATH)
}
