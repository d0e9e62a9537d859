//! `hardened`: adds the fields that Pod Security "restricted" requires to a container.
//!
//! See <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>. A field
//! is not added where the API server or the kubelet would refuse it beside the container's own
//! fields, or beside those that the container inherits from the pod.

use super::{Planner, RenderedTemplate};
use crate::inject::pod::{OperatingSystem, PodDocument};
use crate::inject::text::json::{items, text};
use crate::inject::text::{Message, message, quote, value};
use serde_json::{Map, Value, json};

/// The securityContext of the pod, from which containers inherit: the pod's own, then those of the
/// templates. The first one that has a field counts.
pub(super) struct Inherited<'a>(Vec<&'a Value>);

impl<'a> Inherited<'a> {
    pub(super) fn new(pod: &'a PodDocument, candidates: &'a [RenderedTemplate<'_>]) -> Self {
        let of_templates = candidates.iter().map(|candidate| candidate.overlay.pod_fields().get("securityContext"));
        Self(std::iter::once(pod.spec_field("securityContext")).chain(of_templates).flatten().collect())
    }

    /// The field that containers inherit, if any.
    pub(super) fn find(&self, of: impl Fn(&'a Value) -> Option<&'a Value>) -> Option<&'a Value> {
        self.0.iter().find_map(|context| of(context).filter(|value| !value.is_null()))
    }

    /// The inherited field because of which a container with this securityContext runs as root.
    pub(super) fn root_user(&self, context: &Value) -> Option<&'static str> {
        if context.get("runAsUser").is_none_or(Value::is_null)
            && self.find(|inherited| inherited.get("runAsUser")).is_some_and(|user| *user == 0)
        {
            return Some("runAsUser: 0");
        }
        let of = |context: &'a Value| windows_user(context);
        (windows_user(context).is_none() && self.find(of).is_some_and(is_administrator))
            .then_some("windowsOptions.runAsUserName: ContainerAdministrator")
    }
}

fn windows_user(context: &Value) -> Option<&Value> {
    context.get("windowsOptions")?.get("runAsUserName")
}

/// The user that the kubelet regards as root on Windows.
fn is_administrator(user: &Value) -> bool {
    user.as_str().is_some_and(|user| user.eq_ignore_ascii_case("ContainerAdministrator"))
}

/// Adds the fields that the container leaves out.
pub(super) fn harden(container: &mut Value, os: OperatingSystem, inherited: &Inherited<'_>) {
    let Some(container) = container.as_object_mut() else { return };
    let context = container.entry("securityContext").or_insert_with(|| Value::Object(Map::new()));
    let escalates = may_escalate(context);
    let is_root = context.get("runAsUser").is_some_and(|user| *user == 0)
        || windows_user(context).is_some_and(is_administrator)
        || inherited.root_user(context).is_some();
    let Some(context) = context.as_object_mut() else { return };
    // The kubelet would not start the container.
    if !is_root {
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

/// A container as a hardened template adds it to a Linux pod of which nothing else is known.
/// `pod_context` is the securityContext that the template gives the pod, or null.
#[cfg(feature = "runtime")]
pub(crate) fn hardened(container: &Value, pod_context: &Value) -> Value {
    let mut container = container.clone();
    harden(&mut container, OperatingSystem::Linux, &Inherited(vec![pod_context]));
    container
}

/// Whether the container may escalate privileges. The API server refuses
/// `allowPrivilegeEscalation: false` for a privileged container or one with `SYS_ADMIN`.
pub(super) fn may_escalate(context: &Value) -> bool {
    let administers = |name: &Value| matches!(name.as_str(), Some("SYS_ADMIN" | "CAP_SYS_ADMIN"));
    let added =
        context.get("capabilities").is_some_and(|capabilities| items(capabilities, "add").iter().any(administers));
    context.get("privileged") == Some(&Value::Bool(true)) || added
}

impl Planner<'_> {
    /// The container with the fields of `hardened`, if the template wants them.
    pub(super) fn hardened(&self, candidate: usize, mut container: Value) -> Value {
        let template = self.candidates[candidate].template;
        if template.spec.hardened.0 {
            // What a tenant brings never runs as root because the pod does: the kubelet refuses it.
            let nothing = Inherited(Vec::new());
            let inherited = if template.scope.namespace().is_some() { &nothing } else { &self.inherited };
            harden(&mut container, self.context.os, inherited);
        }
        container
    }

    /// Warns if a hardened container that is added inherits root from the pod.
    pub(super) fn warn_of_root(&mut self, candidate: usize, container: &Value) {
        let context = container.get("securityContext").unwrap_or(&Value::Null);
        let Some(user) = self.inherited.root_user(context) else { return };
        let consequence: Message = match context.get("runAsNonRoot").and_then(Value::as_bool) {
            Some(true) => ", but has runAsNonRoot: true: the kubelet does not start it".into(),
            None if self.candidates[candidate].template.spec.hardened.0 => {
                " and runs as root, so runAsNonRoot: true is left out".into()
            }
            None | Some(false) => return,
        };
        let refused = match self.context.is_restricted {
            true => "; the namespace enforces Pod Security \"restricted\", which refuses the pod",
            false => "; set the user in the container's own securityContext",
        };
        let name = value(quote(text(container, "name")));
        let inherits = message![" inherits ", user, " from the pod's securityContext"];
        self.warn(candidate, message!["container ", name, inherits, consequence, refused]);
    }
}
