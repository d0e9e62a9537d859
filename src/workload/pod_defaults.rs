//! What the API server does to a pod before it asks a webhook: it leaves out empty fields, writes
//! quantities in one way, and fills in the defaults of containers and volumes.
//!
//! Invariant: no item of a list changes its position; new ones stand at the end.

use serde_json::{Map, Value, json};

use crate::inject::merge::defaults;
use crate::inject::pod::AUTO;
use crate::inject::schema::{self, SchemaRef, SchemaType};
use crate::inject::text::quantity::Quantity;

/// Lists of a pod's spec whose items get defaults.
const LISTS: [&str; 3] = ["containers", "initContainers", "volumes"];

/// Fields in which false, 0 and an empty text differ from an absent field: Kubernetes' Go types have
/// pointers for them, as for all fields of a `securityContext`.
const OPTIONAL: [&str; 21] = [
    "activeDeadlineSeconds",
    "automountServiceAccountToken",
    "defaultMode",
    "enableServiceLinks",
    "expirationSeconds",
    "fsType",
    "hostUsers",
    "hostnameOverride",
    "localhostProfile",
    "lun",
    "minDomains",
    "mode",
    "optional",
    "priority",
    "runtimeClassName",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "storageClassName",
    "terminationGracePeriodSeconds",
    "tolerationSeconds",
    "volumeAttributesClassName",
];

/// The same for fields that are optional in these objects only.
const OPTIONAL_OF: [(&str, &str); 6] = [
    ("azureDisk", "readOnly"),
    ("csi", "readOnly"),
    ("dataSource", "apiGroup"),
    ("dataSourceRef", "apiGroup"),
    ("dataSourceRef", "namespace"),
    ("resourceClaims", "resourceClaimName"),
];

/// Normalises the pod and fills in its defaults, but for those of the spec itself.
pub(super) fn fill(pod: &mut Value) {
    let Some(schema) = schema::variables().child("pod") else { return };
    normalise(schema, "", pod);
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let is_host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    let Some(schema) = schema.child("spec") else { return };
    for list in LISTS {
        let Some(item) = schema.child(list).and_then(SchemaRef::item) else { continue };
        for value in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(fields) = value.as_object_mut() else { continue };
            match list {
                "volumes" => fill_volume(fields),
                _ if is_complete(fields) => fill_container(fields, is_host_network),
                _ => continue,
            }
            fill_table(item, list, value);
        }
    }
}

/// Whether the container is complete. A template fills the one with `image: auto`.
fn is_complete(container: &Map<String, Value>) -> bool {
    container.get("image").and_then(Value::as_str).is_some_and(|image| image != AUTO)
}

/// Quantities in their canonical form, and no field that Go leaves out when it writes JSON.
fn normalise(schema: SchemaRef<'_>, name: &str, value: &mut Value) {
    match (schema.kind(), value) {
        (SchemaType::Quantity, value) => {
            if let Ok(quantity) = Quantity::from_json(value) {
                *value = quantity.to_string().into();
            }
        }
        (SchemaType::Object, Value::Object(fields)) => {
            let required: Vec<&str> = schema.required().collect();
            fields.retain(|key, value| match schema.child(key) {
                Some(field) => {
                    !value.is_null() && (required.contains(&key.as_str()) || !is_left_out(field, (name, key), value))
                }
                None => !value.is_null(),
            });
            for (key, value) in fields {
                if let Some(schema) = schema.child(key) {
                    normalise(schema, key, value);
                }
            }
        }
        (SchemaType::Map, Value::Object(entries)) => {
            let Some(item) = schema.item() else { return };
            entries.values_mut().for_each(|value| normalise(item, name, value));
        }
        (SchemaType::Array, Value::Array(items)) => {
            let Some(item) = schema.item() else { return };
            items.iter_mut().for_each(|value| normalise(item, name, value));
        }
        _ => {}
    }
}

/// Whether Go leaves out the field with this value (`omitempty`).
fn is_left_out(schema: SchemaRef<'_>, (parent, key): (&str, &str), value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty() && schema.kind() == SchemaType::Map,
        _ if ["securityContext", "windowsOptions"].contains(&parent) || OPTIONAL.contains(&key) => false,
        _ if OPTIONAL_OF.contains(&(parent, key)) => false,
        // The value of an option of the DNS.
        _ if parent == "options" => false,
        Value::Bool(value) => !value,
        Value::Number(number) => schema.kind() == SchemaType::Integer && number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Null => true,
    }
}

/// Fills in the defaults of the table that this object and those in it lack.
fn fill_table(schema: SchemaRef<'_>, name: &str, value: &mut Value) {
    match value {
        Value::Object(fields) if schema.kind() == SchemaType::Object => {
            let of_any_name: &[(&str, &str)] = match name {
                "containers" | "initContainers" => {
                    &[("terminationMessagePath", "/dev/termination-log"), ("terminationMessagePolicy", "File")]
                }
                "ports" => &[("protocol", "TCP")],
                "resourceFieldRef" => &[("divisor", "0")],
                _ => &[],
            };
            let of_any_name = of_any_name.iter().map(|(field, default)| (*field, Value::from(*default)));
            for (field, default) in defaults::of_object(name).chain(of_any_name) {
                if schema.child(field).is_some() {
                    fields.entry(field).or_insert(default);
                }
            }
            for (key, value) in fields {
                if let Some(schema) = schema.child(key) {
                    fill_table(schema, key, value);
                }
            }
        }
        Value::Array(items) => {
            let Some(item) = schema.item() else { return };
            items.iter_mut().for_each(|value| fill_table(item, name, value));
        }
        _ => {}
    }
}

/// Defaults of a container that depend on its other fields.
fn fill_container(container: &mut Map<String, Value>, is_host_network: bool) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = defaults::pull_policy(image);
    container.entry("imagePullPolicy").or_insert_with(|| policy.into());
    let resources = container.entry("resources").or_insert_with(|| json!({}));
    fill_requests(resources);
    if is_host_network {
        for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(port) = port.as_object_mut() else { continue };
            if let Some(number) = port.get("containerPort").cloned() {
                port.entry("hostPort").or_insert(number);
            }
        }
    }
}

/// A limit is the request of its resource where there is none.
fn fill_requests(resources: &mut Value) {
    let Some(resources) = resources.as_object_mut() else { return };
    let limits = resources.get("limits").and_then(Value::as_object).cloned().unwrap_or_default();
    if limits.is_empty() {
        return;
    }
    if let Some(requests) = resources.entry("requests").or_insert_with(|| json!({})).as_object_mut() {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

/// A volume without a source is an empty directory; that of an image has a pull policy.
fn fill_volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|key| key == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(image) = volume.get_mut("image").and_then(Value::as_object_mut) {
        let policy = defaults::pull_policy(image.get("reference").and_then(Value::as_str).unwrap_or_default());
        image.entry("pullPolicy").or_insert_with(|| policy.into());
    }
    let claim = volume.get_mut("ephemeral").and_then(|source| source.get_mut("volumeClaimTemplate"));
    if let Some(claim) = claim.and_then(Value::as_object_mut) {
        claim.entry("metadata").or_insert_with(|| json!({}));
    }
}
