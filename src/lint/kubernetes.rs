//! Fields that older Kubernetes versions drop or refuse.

use super::code::Code;
use super::finding::Finding;
use super::view::{View, at};
use crate::inject::text::FieldPath;
use serde_json::Value;

/// When a version of Kubernetes serves a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    /// The first minor version of Kubernetes 1 that does so by default.
    Since(u32),
    /// By no version up to this one: its feature gate is off by default.
    NotUpTo(u32),
}

use Served::{NotUpTo, Since};

/// A field's name, the name of the field that contains it, and when it is served. These are the feature
/// gates of Kubernetes 1.36 for the fields of pods.
const FIELDS: [(&str, &str, Served); 29] = [
    ("appArmorProfile", "securityContext", Since(30)),
    ("claims", "resources", Since(34)),
    ("clusterTrustBundle", "sources", NotUpTo(36)),
    ("fileKeyRef", "valueFrom", Since(35)),
    ("grpc", "livenessProbe", Since(24)),
    ("grpc", "readinessProbe", Since(24)),
    ("grpc", "startupProbe", Since(24)),
    ("hostUsers", "pod", Since(33)),
    ("image", "volumes", Since(35)),
    ("matchLabelKeys", "podAffinityTerm", Since(31)),
    ("matchLabelKeys", "requiredDuringSchedulingIgnoredDuringExecution", Since(31)),
    ("matchLabelKeys", "topologySpreadConstraints", Since(27)),
    ("mismatchLabelKeys", "podAffinityTerm", Since(31)),
    ("mismatchLabelKeys", "requiredDuringSchedulingIgnoredDuringExecution", Since(31)),
    ("nodeAffinityPolicy", "topologySpreadConstraints", Since(26)),
    ("nodeTaintsPolicy", "topologySpreadConstraints", Since(26)),
    ("podCertificate", "sources", NotUpTo(36)),
    ("procMount", "securityContext", Since(33)),
    ("recursiveReadOnly", "volumeMounts", Since(31)),
    ("resizePolicy", "initContainers", Since(33)),
    ("resizePolicy", "sidecars", Since(33)),
    ("resourceClaims", "pod", Since(34)),
    ("restartPolicyRules", "initContainers", Since(35)),
    ("restartPolicyRules", "sidecars", Since(35)),
    ("seLinuxChangePolicy", "securityContext", Since(33)),
    ("sleep", "postStart", Since(30)),
    ("sleep", "preStop", Since(30)),
    ("stopSignal", "lifecycle", NotUpTo(36)),
    ("supplementalGroupsPolicy", "securityContext", Since(33)),
];

/// The first minor version whose kubelets run native sidecars by default (KEP-753).
const NATIVE_SIDECARS: u32 = 29;

/// A warning for each field that this minor version does not serve by default.
pub(super) fn findings(view: View<'_>, minor: u32) -> Vec<Finding> {
    let mut found: Vec<Finding> = native_sidecars(view, minor).into_iter().collect();
    walk(view, minor, "", &View::spec_path(), view.spec(), &mut found);
    found
}

/// Older clusters get plain containers instead, which start after the app and keep Jobs from completing.
fn native_sidecars(view: View<'_>, minor: u32) -> Option<Finding> {
    let is_native = at(view.spec(), &["placement", "sidecars"]) != "Plain";
    let (path, _) = view.items("sidecars").next()?;
    let message = format!(
        "Kubernetes 1.{minor} has no native sidecars by default; 1.{NATIVE_SIDECARS} is the first. Pods get plain \
         containers, and Jobs do not complete"
    );
    (is_native && minor < NATIVE_SIDECARS).then(|| Finding::new(Code::KubernetesVersion, view, &path, message))
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
                if let Some(message) = known.and_then(|(_, _, served)| fault(name, *served, minor)) {
                    found.push(Finding::new(Code::KubernetesVersion, view, &path, message));
                }
                walk(view, minor, name, &path, member, found);
            }
        }
        _ => {}
    }
}

fn fault(name: &str, served: Served, minor: u32) -> Option<String> {
    match served {
        Since(first) if minor < first => {
            Some(format!("Kubernetes 1.{minor} does not serve {name} by default; 1.{first} is the first"))
        }
        NotUpTo(last) if minor <= last => Some(format!(
            "Kubernetes 1.{minor} does not serve {name} by default; its feature gate is off up to 1.{last}"
        )),
        Since(_) | NotUpTo(_) => None,
    }
}
