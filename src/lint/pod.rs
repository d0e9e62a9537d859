//! Rules for the pod as a whole: volumes, Pod Security and automatic injection.

use super::code::Code;
use super::finding::Finding;
use super::view::{View, at, below};
use serde_json::Value;

/// Capabilities that Pod Security "baseline" lets a container add.
const BASELINE_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// All warnings about volumes, Pod Security and automatic injection.
pub(super) fn findings(view: View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(automatic(view));
    found.extend(volumes(view));
    found.extend(pod_fields(view));
    found.extend(containers(view));
    found
}

fn automatic(view: View<'_>) -> Option<Finding> {
    let spec = view.spec();
    let is_everywhere = at(spec, &["injection"]) == "Automatic" && at(spec, &["match", "namespaceSelector"]).is_null();
    // A template of a namespace reaches no other.
    let is_cluster_wide = at(&view.document.value, &["kind"]) == "ClusterInjectionTemplate";
    let message = "every pod of every namespace that takes part gets this template".to_owned();
    let path = View::spec_path().child("injection");
    (is_everywhere && is_cluster_wide).then(|| Finding::new(Code::AutomaticEverywhere, view.document, &path, message))
}

fn volumes(view: View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, volume) in view.items("volumes") {
        let name = at(volume, &["name"]).as_str().unwrap_or_default();
        let empty_dir = at(volume, &["emptyDir"]);
        let is_disk = empty_dir.is_object() && at(empty_dir, &["medium"]).as_str().is_none_or(str::is_empty);
        if is_disk && at(empty_dir, &["sizeLimit"]).is_null() {
            let message = format!("the emptyDir {name:?} has no sizeLimit");
            found.push(Finding::new(Code::EmptyDirSize, view.document, &path.child("emptyDir"), message));
        }
        if volume.get("hostPath").is_some() {
            let message = format!("the volume {name:?} is a hostPath, which Pod Security \"baseline\" forbids");
            found.push(Finding::new(Code::PodSecurity, view.document, &path.child("hostPath"), message));
        }
    }
    found
}

fn pod_fields(view: View<'_>) -> Vec<Finding> {
    let fields = ["hostNetwork", "hostPID", "hostIPC"].into_iter();
    let used = fields.filter(|field| at(view.spec(), &["pod", field]) == true);
    used.map(|field| {
        let path = below(&View::spec_path(), &["pod", field]);
        let message = format!("{field} is true, which Pod Security \"baseline\" forbids");
        Finding::new(Code::PodSecurity, view.document, &path, message)
    })
    .collect()
}

fn containers(view: View<'_>) -> Vec<Finding> {
    let is_hardened = at(view.spec(), &["hardened"]) != false;
    let mut found = Vec::new();
    for container in view.containers() {
        let context = at(container.value, &["securityContext"]);
        let mut add = |names: &[&str], level: &str, what: String| {
            let path = below(&container.path.child("securityContext"), names);
            let message = format!("{what} of {}: Pod Security {level:?} forbids it", container.name());
            found.push(Finding::new(Code::PodSecurity, view.document, &path, message));
        };
        if at(context, &["privileged"]) == true {
            add(&["privileged"], "baseline", "privileged: true".to_owned());
        }
        if at(context, &["allowPrivilegeEscalation"]) == true {
            add(&["allowPrivilegeEscalation"], "restricted", "allowPrivilegeEscalation: true".to_owned());
        }
        if at(context, &["runAsNonRoot"]) == false {
            add(&["runAsNonRoot"], "restricted", "runAsNonRoot: false".to_owned());
        }
        if at(context, &["runAsUser"]) == 0 {
            add(&["runAsUser"], "restricted", "runAsUser: 0".to_owned());
        }
        let added = at(context, &["capabilities", "add"]).as_array().into_iter().flatten().filter_map(Value::as_str);
        for name in added.filter(|name| *name != "NET_BIND_SERVICE" && !name.contains("${")) {
            let level = if BASELINE_CAPABILITIES.contains(&name) { "restricted" } else { "baseline" };
            add(&["capabilities", "add"], level, format!("the capability {name:?}"));
        }
        if !is_hardened && context.is_null() {
            add(&[], "restricted", "no securityContext, and hardened: false,".to_owned());
        }
    }
    found
}
