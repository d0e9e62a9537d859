//! Fields that older Kubernetes versions drop or refuse.

use super::code::Code;
use super::finding::Finding;
use super::view::{View, at, known_text};
use crate::inject::NativeSidecars;
use crate::inject::text::FieldPath;
use serde_json::Value;

/// When a version of Kubernetes serves a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Served {
    /// The first minor version of Kubernetes 1 that does so by default.
    Since(u32),
    /// The last minor version that does so by default.
    UpTo(u32),
    /// By no version up to this one: its feature gate is off by default.
    NotUpTo(u32),
    /// By no version up to this one: they do not have the field.
    NewerThan(u32),
}

use Served::{NewerThan, NotUpTo, Since, UpTo};

/// A field's name, the name of the field that contains it, and when it is served. These are the feature
/// gates of Kubernetes 1.36 for the fields of pods, earlier ones that it no longer has, and the fields that
/// this build knows and 1.36 does not.
const FIELDS: [(&str, &str, Served); 52] = [
    ("appArmorProfile", "securityContext", Since(30)),
    ("bindMountOptions", "volumeMounts", NewerThan(36)),
    ("claims", "resources", Since(34)),
    ("clusterTrustBundle", "sources", NotUpTo(36)),
    ("dataSourceRef", "spec", Since(24)),
    ("defaultUser", "configMap", NewerThan(36)),
    ("defaultUser", "downwardAPI", NewerThan(36)),
    ("defaultUser", "projected", NewerThan(36)),
    ("defaultUser", "secret", NewerThan(36)),
    ("ephemeral", "volumes", Since(21)),
    ("fileKeyRef", "valueFrom", Since(35)),
    // The API server takes it, and no kubelet mounts it.
    ("gitRepo", "volumes", UpTo(32)),
    ("grpc", "livenessProbe", Since(24)),
    ("grpc", "readinessProbe", Since(24)),
    ("grpc", "startupProbe", Since(24)),
    ("hostProcess", "windowsOptions", Since(23)),
    ("hostUsers", "pod", Since(33)),
    ("image", "volumes", Since(35)),
    ("matchLabelKeys", "podAffinityTerm", Since(31)),
    ("matchLabelKeys", "requiredDuringSchedulingIgnoredDuringExecution", Since(31)),
    ("matchLabelKeys", "topologySpreadConstraints", Since(27)),
    ("minDomains", "topologySpreadConstraints", Since(27)),
    ("mismatchLabelKeys", "podAffinityTerm", Since(31)),
    ("mismatchLabelKeys", "requiredDuringSchedulingIgnoredDuringExecution", Since(31)),
    ("mode", "emptyDir", NewerThan(36)),
    ("mode", "grpc", NewerThan(36)),
    // With it the API server drops all of dataSourceRef.
    ("namespace", "dataSourceRef", NotUpTo(36)),
    ("namespaceSelector", "podAffinityTerm", Since(22)),
    ("namespaceSelector", "requiredDuringSchedulingIgnoredDuringExecution", Since(22)),
    ("nodeAffinityPolicy", "topologySpreadConstraints", Since(26)),
    ("nodeTaintsPolicy", "topologySpreadConstraints", Since(26)),
    ("podCertificate", "sources", NotUpTo(36)),
    ("procMount", "securityContext", Since(33)),
    ("protocol", "httpGet", NewerThan(36)),
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
    ("terminationGracePeriodSeconds", "livenessProbe", Since(25)),
    ("terminationGracePeriodSeconds", "startupProbe", Since(25)),
    ("supplementalGroupsPolicy", "securityContext", Since(33)),
    ("user", "clusterTrustBundle", NewerThan(36)),
    ("user", "items", NewerThan(36)),
    ("user", "podCertificate", NewerThan(36)),
    ("user", "serviceAccountToken", NewerThan(36)),
    ("volumeAttributesClassName", "spec", Since(34)),
];

/// The first minor versions that serve `sleep`, and `sleep` of 0 seconds.
const SLEEP: u32 = 30;
const ZERO_SLEEP: u32 = 33;

/// The first minor versions that take restart policies of init containers: `Always`, and the others.
const RESTARTED_INIT_CONTAINERS: u32 = 29;
const RESTART_RULES: u32 = 35;

/// Parts of a spec whose keys are no fields of pods.
const OTHER_PARTS: [&str; 4] = ["files", "match", "metadata", "parameters"];

/// A warning for each field that this minor version does not serve by default.
pub(super) fn findings(view: View<'_>, minor: u32) -> Vec<Finding> {
    let mut found: Vec<Finding> = native_sidecars(view, minor).into_iter().collect();
    found.extend(restart_policies(view, minor));
    for (part, value) in view.spec().as_object().into_iter().flatten() {
        if !OTHER_PARTS.contains(&part.as_str()) {
            walk(view, minor, part, &View::spec_path().child(part.as_str()), value, &mut found);
        }
    }
    found
}

/// Older clusters get plain containers instead, which start after the app and keep Jobs from completing.
fn native_sidecars(view: View<'_>, minor: u32) -> Option<Finding> {
    let is_native = at(view.spec(), &["placement", "sidecars"]) != "Plain";
    let (path, _) = view.items("sidecars").next()?;
    let first = NativeSidecars::FIRST_MINOR;
    let message = format!(
        "Outrigger injects native sidecars from Kubernetes 1.{first} on; pods of 1.{minor} get plain containers, and \
         Jobs do not complete"
    );
    (is_native && minor < first).then(|| Finding::new(Code::KubernetesVersion, view, &path, message))
}

fn restart_policies(view: View<'_>, minor: u32) -> impl Iterator<Item = Finding> + use<'_> {
    view.items("initContainers").filter_map(move |(path, container)| {
        let policy = known_text(at(container, &["restartPolicy"]))?;
        let first = if policy == "Always" { RESTARTED_INIT_CONTAINERS } else { RESTART_RULES };
        let message = format!(
            "Kubernetes 1.{minor} does not take restartPolicy {policy:?} of an init container by default; 1.{first} is \
             the first"
        );
        let path = path.child("restartPolicy");
        (minor < first).then(|| Finding::new(Code::KubernetesVersion, view, &path, message))
    })
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
                if (name.as_str(), parent) == ("seconds", "sleep")
                    && member == 0
                    && (SLEEP..ZERO_SLEEP).contains(&minor)
                {
                    let message = format!(
                        "Kubernetes 1.{minor} refuses a sleep of 0 seconds; 1.{ZERO_SLEEP} is the first that takes it"
                    );
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
        UpTo(last) if minor > last => {
            Some(format!("Kubernetes 1.{minor} does not serve {name} by default any more; 1.{last} is the last"))
        }
        NotUpTo(last) if minor <= last => Some(format!(
            "Kubernetes 1.{minor} does not serve {name} by default; its feature gate is off up to 1.{last}"
        )),
        NewerThan(last) if minor <= last => {
            Some(format!("Kubernetes 1.{minor} does not have the field {name}, which is newer than 1.{last}"))
        }
        Since(_) | UpTo(_) | NotUpTo(_) | NewerThan(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::template::document::Document;
    use crate::lint::view::resolved;
    use serde_json::json;

    fn paths(spec: &Value, minor: u32) -> Vec<String> {
        let document = Document::of_value(json!({"spec": spec}));
        let value = resolved(&document);
        findings(View { origin: "", document: &document, value: &value }, minor)
            .into_iter()
            .map(|one| one.path)
            .collect()
    }

    #[test]
    fn fields_are_served_from_their_first_version_on() {
        let spread = json!([{"minDomains": 2}]);
        let term = json!([{"namespaceSelector": {}}]);
        let affinity = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}});
        let probed = json!([{"name": "a", "livenessProbe": {"terminationGracePeriodSeconds": 1}}]);
        let asleep = json!([{"name": "a", "lifecycle": {"preStop": {"sleep": {"seconds": 0}}}}]);
        let claim = |spec: Value| json!({"volumes": [{"ephemeral": {"volumeClaimTemplate": {"spec": spec}}}]});
        for (spec, first) in [
            (json!({"pod": {"topologySpreadConstraints": spread}}), 27),
            (json!({"pod": {"affinity": affinity}}), 22),
            (json!({"initContainers": probed}), 25),
            (json!({"initContainers": asleep}), 33),
            (json!({"initContainers": [{"name": "a", "restartPolicy": "Never"}]}), 35),
            (json!({"initContainers": [{"name": "a", "restartPolicy": "Always"}]}), 29),
            (json!({"initContainers": [{"name": "a", "volumeMounts": [{"bindMountOptions": ["noexec"]}]}]}), 37),
            (json!({"volumes": [{"configMap": {"items": [{"user": 1}]}}]}), 37),
            (json!({"sidecars": [{"name": "a"}]}), NativeSidecars::FIRST_MINOR),
            (json!({"volumes": [{"ephemeral": {}}]}), 21),
            (json!({"pod": {"securityContext": {"windowsOptions": {"hostProcess": true}}}}), 23),
            (claim(json!({"dataSourceRef": {"name": "a"}})), 24),
            (claim(json!({"volumeAttributesClassName": "fast"})), 34),
            (claim(json!({"dataSourceRef": {"namespace": "a"}})), 37),
        ] {
            assert_eq!((paths(&spec, first - 1).len(), paths(&spec, first).len()), (1, 0), "{spec}");
        }
    }

    #[test]
    fn a_volume_whose_driver_is_off_is_served_up_to_the_last_version_that_has_it() {
        let spec = json!({"volumes": [{"name": "a", "gitRepo": {"repository": "https://git.example/a"}}]});
        assert_eq!((paths(&spec, 32).len(), paths(&spec, 33).len(), paths(&spec, 36).len()), (0, 1, 1));
    }

    #[test]
    fn null_fields_and_keys_of_files_and_parameters_are_no_fields_of_pods() {
        for spec in [
            json!({"pod": {"hostUsers": null}}),
            json!({"initContainers": [{"name": "a", "lifecycle": {"stopSignal": null}}]}),
            json!({"files": [{"name": "a", "items": {"user": "x"}}]}),
        ] {
            assert_eq!(paths(&spec, 30), Vec::<String>::new(), "{spec}");
        }
    }
}
