//! Rules between the fields of the pod's spec, where a template set one of them.

use super::result::{ResultPod, problem};
use crate::inject::error::Problem;
use crate::inject::overlay::OverlayPart;
use crate::inject::schema::rules;
use crate::inject::text::json::{items, text};
use crate::inject::text::{FieldPath, message, quote, value, words};
use serde_json::Value;

/// Fields of the pod's security context that only Linux has (`validateWindows`).
const OF_LINUX: [&str; 11] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];
/// Prefixes of the sysctls of the network and of inter-process communication.
const OF_NETWORK: [&str; 1] = ["net."];
const OF_IPC: [&str; 5] = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.", "kernel.shm_rmid_forced"];

/// Adds the problems of all fields that templates set.
pub(super) fn check(pod: &ResultPod<'_>, problems: &mut Vec<Problem>) {
    dns(pod, problems);
    processes(pod, problems);
    security(pod, problems);
    user_namespace(pod, problems);
    hostname(pod, problems);
}

/// `validatePodDNSConfig`: the lists of pod and template together have limits.
fn dns(pod: &ResultPod<'_>, problems: &mut Vec<Problem>) {
    let config = pod.field("dnsConfig");
    let has_server = config.is_some_and(|config| !items(config, "nameservers").is_empty());
    if let Some(entry) = pod.setter("dnsPolicy")
        && pod.field("dnsPolicy").is_some_and(|policy| policy == "None")
        && !has_server
    {
        problems.push(problem(entry, "spec.dnsPolicy: None needs a name server in spec.dnsConfig.nameservers"));
    }
    let schema = OverlayPart::PodFields.schema().and_then(|schema| schema.child("dnsConfig"));
    if let (Some(entry), Some(config), Some(schema)) = (pod.setter("dnsConfig"), config, schema) {
        let path = FieldPath::root().child("spec").child("dnsConfig");
        let errors = rules::check(schema, config, &path, rules::Context::default());
        problems.extend(errors.iter().map(|error| problem(entry, error.sentence())));
    }
}

fn processes(pod: &ResultPod<'_>, problems: &mut Vec<Problem>) {
    let Some(entry) = pod.setter("shareProcessNamespace") else { return };
    if pod.is_true("shareProcessNamespace") && pod.is_true("hostPID") {
        problems.push(problem(entry, "spec.shareProcessNamespace: true contradicts the pod's hostPID: true"));
    }
    if pod.field("os").is_some_and(|os| text(os, "name") == "windows") {
        problems.push(problem(entry, "spec.shareProcessNamespace: must be absent, since the pod runs on Windows"));
    }
}

/// `validatePodHostUsers`: a user namespace of its own does not go with the host's other namespaces.
fn user_namespace(pod: &ResultPod<'_>, problems: &mut Vec<Problem>) {
    let Some(entry) = pod.setter("hostUsers") else { return };
    if pod.field("os").is_some_and(|os| text(os, "name") == "windows") {
        problems.push(problem(entry, "spec.hostUsers: must be absent, since the pod runs on Windows"));
    }
    if pod.field("hostUsers") != Some(&Value::Bool(false)) {
        return;
    }
    for field in ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| pod.is_true(field)) {
        problems.push(problem(entry, message!["spec.hostUsers: false contradicts the pod's ", field, ": true"]));
    }
    let mut own = pod.containers().filter(|container| container.entry.is_none());
    if let Some(container) = own.find(|container| !items(container.value, "volumeDevices").is_empty()) {
        let why = "must be absent, since the template sets hostUsers: false";
        problems.push(container.problem(entry, "volumeDevices", why));
    }
}

/// `validateHostnameOverride`
fn hostname(pod: &ResultPod<'_>, problems: &mut Vec<Problem>) {
    let Some(entry) = pod.setter("setHostnameAsFQDN") else { return };
    if pod.is_true("setHostnameAsFQDN") && pod.field("hostnameOverride").is_some() {
        problems.push(problem(entry, "spec.setHostnameAsFQDN: true contradicts the pod's hostnameOverride"));
    }
}

fn security(pod: &ResultPod<'_>, problems: &mut Vec<Problem>) {
    let (Some(entry), Some(context)) = (pod.setter("securityContext"), pod.field("securityContext")) else { return };
    let os = pod.field("os").map_or("", |os| text(os, "name"));
    let of_other: &[&'static str] = match os {
        "windows" => &OF_LINUX,
        "linux" => &["windowsOptions"],
        _ => &[],
    };
    for field in of_other.iter().filter(|field| context.get(**field).is_some_and(|value| !value.is_null())) {
        let path = words(format_args!("spec.securityContext.{field}"));
        problems.push(problem(entry, message![path, ": must be absent, since the pod names another spec.os.name"]));
    }
    for sysctl in items(context, "sysctls") {
        let name = text(sysctl, "name").replace('/', ".");
        let is_of = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        for (field, prefixes) in [("hostNetwork", &OF_NETWORK[..]), ("hostIPC", &OF_IPC[..])] {
            if pod.is_true(field) && is_of(prefixes) {
                let why =
                    message!["spec.securityContext.sysctls: ", value(quote(&name)), " contradicts the pod's ", field];
                problems.push(problem(entry, why));
            }
        }
    }
}
