//! Fields that older Kubernetes versions drop or refuse.

use super::code::Code;
use super::finding::Finding;
use super::view::View;
use crate::inject::text::FieldPath;
use serde_json::Value;

/// A field's name, the name of the field that contains it, and the first minor version of
/// Kubernetes 1 that serves it by default.
const FIELDS: [(&str, &str, u32); 13] = [
    ("hostUsers", "pod", 33),
    ("resources", "pod", 34),
    ("supplementalGroupsPolicy", "securityContext", 33),
    ("appArmorProfile", "securityContext", 30),
    ("sleep", "preStop", 30),
    ("sleep", "postStart", 30),
    ("recursiveReadOnly", "volumeMounts", 31),
    ("procMount", "securityContext", 33),
    ("resizePolicy", "sidecars", 33),
    ("resizePolicy", "initContainers", 33),
    ("grpc", "livenessProbe", 24),
    ("grpc", "readinessProbe", 24),
    ("grpc", "startupProbe", 24),
];

/// A warning for each field that this minor version does not serve by default.
pub(super) fn findings(view: View<'_>, minor: u32) -> Vec<Finding> {
    let mut found = Vec::new();
    walk(view, minor, "", &View::spec_path(), view.spec(), &mut found);
    found
}

fn walk(view: View<'_>, minor: u32, parent: &str, path: &FieldPath, value: &Value, found: &mut Vec<Finding>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(view, minor, parent, &path.index(index), item, found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let path = path.child(name.as_str());
                let known = FIELDS.iter().find(|(field, of, _)| field == name && *of == parent);
                if let Some((_, _, since)) = known.filter(|(_, _, since)| minor < *since) {
                    let message =
                        format!("Kubernetes 1.{minor} does not serve {name} by default; 1.{since} is the first");
                    found.push(Finding::new(Code::KubernetesVersion, view.document, &path, message));
                }
                walk(view, minor, name, &path, member, found);
            }
        }
        _ => {}
    }
}
