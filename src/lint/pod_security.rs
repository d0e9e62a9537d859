//! Pod Security: which level a template breaks, and by which field.
//!
//! See <https://kubernetes.io/docs/concepts/security/pod-security-standards/>. The levels are those of
//! Kubernetes 1.36, or of the version of `--kubernetes`. A test compares the rules with a real API server.

use super::code::Code;
use super::finding::Finding;
use super::view::{View, at, below, is_known, known_text};
use crate::inject::merge::hardened;
use crate::inject::text::FieldPath;
use crate::inject::text::json::items;
use serde_json::Value;

/// The minor version whose levels count where none is given.
const LATEST: u32 = 36;

/// Capabilities that "baseline" lets a container add.
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

/// Types of volumes that "restricted" allows.
const RESTRICTED_VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Sysctls that "baseline" allows, each with the first minor version that does.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

/// SELinux types that "baseline" allows, each with the first minor version that does.
const SELINUX_TYPES: [(&str, u32); 5] =
    [("", 0), ("container_t", 0), ("container_init_t", 0), ("container_kvm_t", 0), ("container_engine_t", 31)];

/// The annotation of a container's AppArmor profile, without the name of the container.
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Profiles of seccomp and AppArmor that all levels allow.
const PROFILES: [&str; 2] = ["RuntimeDefault", "Localhost"];

/// All warnings about Pod Security.
pub(super) fn findings(view: View<'_>, minor: Option<u32>) -> Vec<Finding> {
    let spec = view.spec();
    let pod_context = at(spec, &["pod", "securityContext"]);
    let mut check = Check {
        view,
        minor: minor.unwrap_or(LATEST),
        may_have_user_namespace: matches!(at(spec, &["pod", "hostUsers"]), Value::Bool(false) | Value::String(_)),
        is_windows: matches!(items(at(spec, &["match"]), "os"), [os] if os == "windows")
            && minor.is_none_or(|minor| minor >= 25),
        found: Vec::new(),
    };
    check.volumes();
    check.context(pod_context, &below(&View::spec_path(), &["pod", "securityContext"]), "the pod");
    check.sysctls(pod_context);
    check.annotations();
    let is_hardened = at(spec, &["hardened"]) != false;
    for container in view.containers() {
        let path = container.path.child("securityContext");
        check.context(at(container.value, &["securityContext"]), &path, &container.name());
        check.hosts(container.value, &container.path, &container.name());
        let added = if is_hardened { hardened(container.value, pod_context) } else { container.value.clone() };
        check.required(at(&added, &["securityContext"]), pod_context, &path, &container.name());
    }
    let defaults = at(spec, &["app", "defaults"]);
    let path = below(&View::spec_path(), &["app", "defaults"]);
    check.context(at(defaults, &["securityContext"]), &path.child("securityContext"), "the app's containers");
    check.hosts(defaults, &path, "the app's containers");
    check.found
}

/// A known text other than the allowed ones.
fn other<'a>(value: &'a Value, allowed: &[&str]) -> Option<&'a str> {
    known_text(value).filter(|text| !allowed.contains(text))
}

struct Check<'a> {
    view: View<'a>,
    /// The minor version of Kubernetes 1.
    minor: u32,
    /// The pod has `hostUsers: false`, for which 1.35 relaxes some rules, or it depends on the pod.
    may_have_user_namespace: bool,
    /// All pods are of Windows, of which 1.25 and newer require less.
    is_windows: bool,
    found: Vec<Finding>,
}

impl Check<'_> {
    fn add(&mut self, path: &FieldPath, level: &str, what: &str) {
        let message = format!("{what}: Pod Security {level:?} forbids it");
        self.found.push(Finding::new(Code::PodSecurity, self.view, path, message));
    }

    fn is_relaxed(&self) -> bool {
        self.may_have_user_namespace && self.minor >= 35
    }

    fn volumes(&mut self) {
        for (path, volume) in self.view.items("volumes") {
            let name = at(volume, &["name"]).as_str().unwrap_or_default();
            let known = volume.as_object().into_iter().flatten().filter(|(_, source)| is_known(source));
            let fields = known.map(|(field, _)| field.as_str());
            let of_item = ["name", "share", "when", "forEach"];
            for field in fields.filter(|field| !of_item.contains(field) && !RESTRICTED_VOLUMES.contains(field)) {
                let level = if field == "hostPath" { "baseline" } else { "restricted" };
                self.add(&path.child(field), level, &format!("the volume {name:?} is of the type {field}"));
            }
        }
    }

    /// Annotations by which older versions choose the profile of AppArmor.
    fn annotations(&mut self) {
        let path = below(&View::spec_path(), &["metadata", "annotations"]);
        for (key, value) in at(self.view.spec(), &["metadata", "annotations"]).as_object().into_iter().flatten() {
            let profile = key
                .strip_prefix(APP_ARMOR)
                .and_then(|container| Some((container, other(value, &["", "runtime/default"])?)));
            if let Some((container, profile)) = profile.filter(|(_, profile)| !profile.starts_with("localhost/")) {
                let what = format!("the AppArmor profile {profile:?} of the container {container:?}");
                self.add(&path.key(key.as_str()), "baseline", &what);
            }
        }
    }

    fn sysctls(&mut self, pod_context: &Value) {
        let path = below(&View::spec_path(), &["pod", "securityContext", "sysctls"]);
        let minor = self.minor;
        let is_allowed = |name: &str| SYSCTLS.iter().any(|(allowed, since)| *allowed == name && minor >= *since);
        for (index, sysctl) in items(pod_context, "sysctls").iter().enumerate() {
            if let Some(name) = known_text(at(sysctl, &["name"])).filter(|name| !is_allowed(name)) {
                self.add(&path.index(index).child("name"), "baseline", &format!("the sysctl {name:?}"));
            }
        }
    }

    /// Fields that no container of a level may have, in the securityContext of a container or a pod.
    fn context(&mut self, context: &Value, path: &FieldPath, of: &str) {
        for (names, level) in [
            (&["privileged"][..], "baseline"),
            (&["windowsOptions", "hostProcess"], "baseline"),
            (&["allowPrivilegeEscalation"], "restricted"),
        ] {
            if at(context, names) == true {
                self.add(&below(path, names), level, &format!("{}: true of {of}", names.join(".")));
            }
        }
        if at(context, &["runAsNonRoot"]) == false && !self.is_relaxed() {
            self.add(&path.child("runAsNonRoot"), "restricted", &format!("runAsNonRoot: false of {of}"));
        }
        if at(context, &["runAsUser"]) == 0 && !self.is_relaxed() {
            self.add(&path.child("runAsUser"), "restricted", &format!("runAsUser: 0 of {of}"));
        }
        for field in ["appArmorProfile", "seccompProfile"] {
            if let Some(kind) = other(at(context, &[field, "type"]), &PROFILES) {
                self.add(&below(path, &[field, "type"]), "baseline", &format!("{field} {kind:?} of {of}"));
            }
        }
        self.proc_mount(at(context, &["procMount"]), path, of);
        self.selinux(at(context, &["seLinuxOptions"]), &path.child("seLinuxOptions"), of);
        for (index, name) in items(at(context, &["capabilities"]), "add").iter().enumerate() {
            let Some(name) = other(name, &["NET_BIND_SERVICE"]) else { continue };
            let level = if BASELINE_CAPABILITIES.contains(&name) { "restricted" } else { "baseline" };
            let path = below(path, &["capabilities", "add"]).index(index);
            self.add(&path, level, &format!("the capability {name:?} of {of}"));
        }
    }

    fn proc_mount(&mut self, value: &Value, path: &FieldPath, of: &str) {
        if let Some(kind) = other(value, &["Default"]) {
            let level = if self.is_relaxed() { "restricted" } else { "baseline" };
            self.add(&path.child("procMount"), level, &format!("procMount {kind:?} of {of}"));
        }
    }

    fn selinux(&mut self, options: &Value, path: &FieldPath, of: &str) {
        let types: Vec<&str> =
            SELINUX_TYPES.iter().filter(|(_, since)| self.minor >= *since).map(|(name, _)| *name).collect();
        for (field, allowed) in [("type", types.as_slice()), ("user", &[""]), ("role", &[""])] {
            if let Some(value) = other(at(options, &[field]), allowed) {
                self.add(&path.child(field), "baseline", &format!("the SELinux {field} {value:?} of {of}"));
            }
        }
    }

    /// Ports, probes and handlers that reach the node or another host.
    fn hosts(&mut self, container: &Value, path: &FieldPath, of: &str) {
        for (index, port) in items(container, "ports").iter().enumerate() {
            let host_port = at(port, &["hostPort"]);
            if !host_port.is_null() && host_port != 0 && is_known(host_port) {
                let path = path.child("ports").index(index).child("hostPort");
                self.add(&path, "baseline", &format!("hostPort {host_port} of {of}"));
            }
        }
        if self.minor < 34 {
            return;
        }
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| vec![probe]);
        let handlers = ["postStart", "preStop"].map(|handler| vec!["lifecycle", handler]);
        for place in probes.into_iter().chain(handlers) {
            for kind in ["httpGet", "tcpSocket"] {
                let names = [&place[..], &[kind, "host"]].concat();
                if let Some(host) = other(at(container, &names), &[""]) {
                    self.add(&below(path, &names), "baseline", &format!("{} {host:?} of {of}", names.join(".")));
                }
            }
        }
    }

    /// Fields without which "restricted" refuses a container.
    fn required(&mut self, context: &Value, pod_context: &Value, path: &FieldPath, of: &str) {
        if context.is_string() || pod_context.is_string() {
            return;
        }
        let has = |context: &Value, names: &[&str]| !at(context, names).is_null();
        let mut missing = Vec::new();
        let is_linux = !self.is_windows;
        if is_linux && at(context, &["allowPrivilegeEscalation"]).is_null() && at(context, &["privileged"]) != true {
            missing.push("allowPrivilegeEscalation: false");
        }
        let is_root = at(context, &["runAsUser"]) == 0 || at(pod_context, &["runAsUser"]) == 0;
        let has_non_root = has(context, &["runAsNonRoot"]) || has(pod_context, &["runAsNonRoot"]);
        if !has_non_root && !is_root && !self.is_relaxed() {
            missing.push("runAsNonRoot: true");
        }
        if is_linux && !has(context, &["seccompProfile"]) && !has(pod_context, &["seccompProfile"]) {
            missing.push("seccompProfile.type: RuntimeDefault");
        }
        let capabilities = at(context, &["capabilities"]);
        let drop = at(capabilities, &["drop"]);
        let drops_all = drop.as_array().is_some_and(|names| names.iter().any(|name| name == "ALL"));
        if is_linux && !drops_all && !drop.is_string() && !capabilities.is_string() {
            missing.push("capabilities.drop: [ALL]");
        }
        if !missing.is_empty() {
            let message = format!("{of} lacks {}: Pod Security \"restricted\" requires it", missing.join(", "));
            self.found.push(Finding::new(Code::PodSecurity, self.view, path, message));
        }
    }
}
