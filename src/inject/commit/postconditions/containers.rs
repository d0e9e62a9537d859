//! Rules between a container that a template brought and the pod: the grace period, the operating
//! system, user namespaces, claims, restarts.

use super::result::{ResultContainer, ResultPod};
use crate::inject::error::Problem;
use crate::inject::overlay::OverlayPart;
use crate::inject::schema::merge_path::MergePath;
use crate::inject::schema::rules::{self, grace};
use crate::inject::status::StatusEntry;
use crate::inject::text::json::{at, items, text};
use crate::inject::text::{FieldPath, message, quote, value, words};
use serde_json::Value;

/// Fields of a security context that only Linux has (`validateWindows`).
const OF_LINUX: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// Adds the problems of all containers that templates brought.
pub(super) fn check(pod: &ResultPod<'_>, problems: &mut Vec<Problem>) {
    let grace_setter = pod.setter(grace::FIELD);
    let period = pod.grace_period();
    for container in pod.containers() {
        match container.entry {
            Some(entry) => of_template(pod, container, entry, period, problems),
            // The app's own hooks count only if a template changed the grace period.
            None => {
                if let Some(entry) = grace_setter {
                    sleeps(container, entry, period, problems);
                }
                mounts_of_app(pod, container, problems);
            }
        }
    }
    host_process(pod, problems);
}

fn of_template(
    pod: &ResultPod<'_>,
    container: ResultContainer<'_>,
    entry: &StatusEntry,
    period: i64,
    problems: &mut Vec<Problem>,
) {
    fields_of_template(pod, container, entry, period, problems);
    restarts(pod, container, entry, problems);
    if entry.has_filled(container.list, container.name) {
        filled(container, entry, problems);
    }
}

/// Rules between single fields of a container that a template brought and the pod.
pub(super) fn fields_of_template(
    pod: &ResultPod<'_>,
    container: ResultContainer<'_>,
    entry: &StatusEntry,
    period: i64,
    problems: &mut Vec<Problem>,
) {
    sleeps(container, entry, period, problems);
    operating_system(pod, container, entry, problems);
    user_namespace(pod, container, entry, problems);
    claims(pod, container, entry, problems);
}

/// `validateSleepAction`
fn sleeps(container: ResultContainer<'_>, entry: &StatusEntry, period: i64, problems: &mut Vec<Problem>) {
    for (hook, seconds) in grace::sleeps_longer(container.value, period) {
        let why = message![
            "a sleep of ",
            value(seconds),
            " seconds is longer than the pod's terminationGracePeriodSeconds of ",
            value(grace::effective(period)),
            "; raise that, or shorten the sleep",
        ];
        problems.push(container.problem(entry, words(format_args!("lifecycle.{hook}.sleep.seconds")), why));
    }
}

/// Fields of the other system are refused where the pod names its own.
fn operating_system(
    pod: &ResultPod<'_>,
    container: ResultContainer<'_>,
    entry: &StatusEntry,
    problems: &mut Vec<Problem>,
) {
    let Some(context) = container.value.get("securityContext") else { return };
    for field in forbidden(pod, context) {
        let why = message!["must be absent, since the pod's spec.os.name is ", os_of(pod)];
        problems.push(container.problem(entry, words(format_args!("securityContext.{field}")), why));
    }
}

/// The fields of a security context that the pod's operating system does not have.
fn forbidden(pod: &ResultPod<'_>, context: &Value) -> impl Iterator<Item = &'static str> {
    let os = os_of(pod);
    let of_linux = OF_LINUX.into_iter().filter(move |_| os == "windows");
    let of_windows = ["windowsOptions"].into_iter().filter(move |_| os == "linux");
    of_linux.chain(of_windows).filter(|field| context.get(field).is_some_and(|value| !value.is_null()))
}

/// The operating system that the pod names itself; a node selector does not count.
fn os_of(pod: &ResultPod<'_>) -> &'static str {
    match pod.field("os").map(|os| text(os, "name")) {
        Some("windows") => "windows",
        Some("linux") => "linux",
        _ => "",
    }
}

/// `validatePodHostUsers`: rules of pods with and without a user namespace.
fn user_namespace(
    pod: &ResultPod<'_>,
    container: ResultContainer<'_>,
    entry: &StatusEntry,
    problems: &mut Vec<Problem>,
) {
    let has_namespace = pod.field("hostUsers") == Some(&Value::Bool(false));
    if has_namespace && !items(container.value, "volumeDevices").is_empty() {
        problems.push(container.problem(entry, "volumeDevices", "must be absent, since the pod has hostUsers: false"));
    }
    let proc_mount = at(container.value, &["securityContext", "procMount"]).and_then(Value::as_str);
    if proc_mount == Some("Unmasked") && !has_namespace {
        problems.push(container.problem(
            entry,
            "securityContext.procMount",
            "\"Unmasked\" needs a pod with hostUsers: false",
        ));
    }
}

/// Resource claims are those of the pod.
fn claims(pod: &ResultPod<'_>, container: ResultContainer<'_>, entry: &StatusEntry, problems: &mut Vec<Problem>) {
    let Some(resources) = container.value.get("resources") else { return };
    for claim in items(resources, "claims") {
        let name = text(claim, "name");
        if !items(pod.spec, "resourceClaims").iter().any(|claim| text(claim, "name") == name) {
            let why = message!["the pod has no ", value(quote(name)), " in spec.resourceClaims"];
            problems.push(container.problem(entry, "resources.claims", why));
        }
    }
}

/// Rules about restarts that depend on the pod's policy, and on whether the sidecar is native.
fn restarts(pod: &ResultPod<'_>, container: ResultContainer<'_>, entry: &StatusEntry, problems: &mut Vec<Problem>) {
    let is_never = pod.field("restartPolicy").is_some_and(|policy| policy == "Never");
    let restarts = |policy: &Value| text(policy, "restartPolicy") == "RestartContainer";
    if is_never && items(container.value, "resizePolicy").iter().any(restarts) {
        let why = "\"RestartContainer\" contradicts the pod's restartPolicy Never";
        problems.push(container.problem(entry, "resizePolicy", why));
    }
    let has_policy = container.value.get("restartPolicy").is_some_and(|policy| !policy.is_null());
    if !items(container.value, "restartPolicyRules").is_empty() && !has_policy {
        let why = "needs restartPolicy, which a plain sidecar does not have";
        problems.push(container.problem(entry, "restartPolicyRules", why));
    }
}

/// The fields of pod and template together make a container with `image: auto`.
fn filled(container: ResultContainer<'_>, entry: &StatusEntry, problems: &mut Vec<Problem>) {
    let Some(schema) = OverlayPart::Sidecars.schema().and_then(|schema| schema.item()) else { return };
    let context = rules::Context { run_once: container.list == "initContainers", ..rules::Context::default() };
    for error in rules::check(schema, container.value, &FieldPath::root(), context) {
        problems.push(container.problem(entry, error.path.sentence(), error.message));
    }
}

/// Rules of a mount that a template adds to a container of the app: it is no device of the
/// container, and propagates to the host only from a privileged one.
fn mounts_of_app(pod: &ResultPod<'_>, container: ResultContainer<'_>, problems: &mut Vec<Problem>) {
    let devices = items(container.value, "volumeDevices");
    let is_privileged = || at(container.value, &["securityContext", "privileged"]) == Some(&Value::Bool(true));
    for mount in items(container.value, "volumeMounts") {
        let (name, path) = (text(mount, "name"), text(mount, "mountPath"));
        let clashes = |device: &Value| text(device, "name") == name || text(device, "devicePath") == path;
        let why = if devices.iter().any(clashes) {
            message!["the container has this volume or path as a device: ", value(quote(path))]
        } else if text(mount, "mountPropagation") == "Bidirectional" && !is_privileged() {
            message!["Bidirectional propagation needs a privileged container: ", value(quote(path))]
        } else {
            continue;
        };
        let key = MergePath::of([container.list, container.name, "volumeMounts", path]);
        if let Some(entry) = pod.entries.iter().find(|entry| entry.added.contains(&key)) {
            problems.push(container.problem(entry, "volumeMounts", why));
        }
    }
}

/// `validateWindowsHostProcessPod`: all containers are host processes or none, on the host's
/// network.
fn host_process(pod: &ResultPod<'_>, problems: &mut Vec<Problem>) {
    let option =
        |owner: &Value| at(owner, &["securityContext", "windowsOptions", "hostProcess"]).and_then(Value::as_bool);
    let of_pod = option(pod.spec);
    let is_host = |container: &ResultContainer<'_>| option(container.value).or(of_pod).unwrap_or(false);
    let Some(one) = pod.containers().find(is_host) else { return };
    let other = pod.containers().find(|container| !is_host(container));
    let setter = || pod.setter("securityContext");
    let culprit = one.entry.or_else(|| other.and_then(|other| other.entry)).or_else(setter);
    let is_wrong = other.is_some() || !pod.is_true("hostNetwork");
    if let Some(entry) = culprit.filter(|_| is_wrong) {
        let why = "all containers of the pod must be host processes, and the pod needs hostNetwork: true";
        problems.push(one.problem(entry, "securityContext.windowsOptions.hostProcess", why));
    }
}
