//! `hardened`: adds the fields that Pod Security "restricted" requires to a container.
//!
//! See <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>. A field
//! is not added where the API server or the kubelet would refuse it beside the container's own
//! fields.

use crate::inject::pod::OperatingSystem;
use crate::inject::text::json::items;
use serde_json::{Map, Value, json};

/// Adds the fields that the container leaves out.
pub(super) fn harden(container: &mut Value, os: OperatingSystem) {
    let Some(container) = container.as_object_mut() else { return };
    let context = container.entry("securityContext").or_insert_with(|| Value::Object(Map::new()));
    let escalates = may_escalate(context);
    let Some(context) = context.as_object_mut() else { return };
    if context.get("runAsUser").and_then(Value::as_i64) != Some(0) {
        context.entry("runAsNonRoot").or_insert(Value::Bool(true));
    }
    // The API server refuses the other fields in a Windows pod.
    if os == OperatingSystem::Windows {
        return;
    }
    if !escalates {
        context.entry("allowPrivilegeEscalation").or_insert(Value::Bool(false));
    }
    context.entry("seccompProfile").or_insert_with(|| json!({"type": "RuntimeDefault"}));
    let capabilities = context.entry("capabilities").or_insert_with(|| Value::Object(Map::new()));
    if let Some(capabilities) = capabilities.as_object_mut() {
        capabilities.entry("drop").or_insert_with(|| json!(["ALL"]));
    }
}

/// Whether the container may escalate privileges. The API server refuses
/// `allowPrivilegeEscalation: false` for a privileged container or one with `SYS_ADMIN`.
fn may_escalate(context: &Value) -> bool {
    let administers = |name: &Value| matches!(name.as_str(), Some("SYS_ADMIN" | "CAP_SYS_ADMIN"));
    let added =
        context.get("capabilities").is_some_and(|capabilities| items(capabilities, "add").iter().any(administers));
    context.get("privileged") == Some(&Value::Bool(true)) || added
}
