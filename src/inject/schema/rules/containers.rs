//! Rules between the fields of a container, of its variables, ports and mounts.

use serde_json::Value;

use super::object::Object;
use crate::inject::text::quantity::Quantity;
use crate::inject::text::{FieldError, Message, message, names, quote, value, words};

/// The fields that the downward API has as a variable, and as a file.
const FIELDS_OF_VARIABLES: [&str; 10] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.host",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const FIELDS_OF_FILES: [&str; 5] =
    ["metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
];
const CPU_DIVISORS: [&str; 3] = ["0", "1m", "1"];
const BYTE_DIVISORS: [&str; 14] =
    ["0", "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const MOST_RESTART_RULES: usize = 20;
const MOST_EXIT_CODES: usize = 255;

/// Rules between the fields of a container.
pub(super) fn container(container: &Object<'_>, errors: &mut Vec<FieldError>) {
    probes(container, errors);
    if container.runs_once() {
        run_once(container, errors);
    }
    restart_rules(container, errors);
    propagation(container, errors);
    container.unique("resizePolicy", "resourceName", errors);
    devices(container, errors);
}

pub(super) fn probes(container: &Object<'_>, errors: &mut Vec<FieldError>) {
    for name in ["livenessProbe", "startupProbe"] {
        let Some(probe) = container.child(name) else { continue };
        if let Some(number) = probe.integer("successThreshold").filter(|number| ![0, 1].contains(number)) {
            errors.push(probe.error("successThreshold", message![value(number), " is not valid; expected 1"]));
        }
    }
    if let Some(probe) = container.child("readinessProbe")
        && probe.get("terminationGracePeriodSeconds").is_some()
    {
        let sentence = "a readiness probe stops no container, so it must not have this field";
        errors.push(probe.error("terminationGracePeriodSeconds", sentence));
    }
}

/// `validateInitContainers`: rules of containers that run once.
fn run_once(container: &Object<'_>, errors: &mut Vec<FieldError>) {
    let policy = container.text("restartPolicy");
    if let Some(policy) = policy.filter(|policy| !RESTART_POLICIES.contains(policy)) {
        let sentence = message!["unknown value ", value(quote(policy)), "; expected Always, OnFailure or Never"];
        errors.push(container.error("restartPolicy", sentence));
    }
    if policy == Some("Always") || container.is_sample("restartPolicy") {
        return;
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
        if container.get(field).is_some() {
            let sentence = "a container that runs once must not have this field; \
                a helper that keeps running belongs into spec.sidecars";
            errors.push(container.error(field, sentence));
        }
    }
    container.each("resizePolicy", |policy| {
        if policy.text("restartPolicy") == Some("RestartContainer") {
            errors.push(policy.error("restartPolicy", "a container that runs once cannot be restarted"));
        }
    });
    if policy.is_none() && !container.items("restartPolicyRules").is_empty() {
        errors.push(container.error("restartPolicy", "a value is required beside restartPolicyRules"));
    }
}

fn restart_rules(container: &Object<'_>, errors: &mut Vec<FieldError>) {
    if container.items("restartPolicyRules").len() > MOST_RESTART_RULES {
        errors.push(container.error("restartPolicyRules", message!["at most ", MOST_RESTART_RULES, " rules"]));
    }
    container.each("restartPolicyRules", |rule| {
        if let Some(codes) = rule.child("exitCodes").filter(|codes| codes.items("values").len() > MOST_EXIT_CODES) {
            errors.push(codes.error("values", message!["at most ", MOST_EXIT_CODES, " values"]));
        }
    });
}

fn propagation(container: &Object<'_>, errors: &mut Vec<FieldError>) {
    let context = container.child("securityContext");
    let may = container.is_sample("securityContext")
        || context.is_some_and(|context| context.is_true("privileged") || context.is_sample("privileged"));
    container.each("volumeMounts", |mount| {
        if mount.text("mountPropagation") == Some("Bidirectional") && !may {
            errors.push(mount.error("mountPropagation", "\"Bidirectional\" needs a privileged container"));
        }
    });
}

/// A volume is used as a device once, and not as a directory beside it.
fn devices(container: &Object<'_>, errors: &mut Vec<FieldError>) {
    container.unique("volumeDevices", "name", errors);
    container.unique("volumeDevices", "devicePath", errors);
    let mounts = container.items("volumeMounts");
    let has =
        |field: &str, text: Option<&str>| text.is_some() && mounts.iter().any(|mount| mount[field].as_str() == text);
    container.each("volumeDevices", |device| {
        if has("name", device.text("name")) {
            errors.push(device.error("name", "the container mounts this volume too; a device is no directory"));
        }
        if has("mountPath", device.text("devicePath")) {
            errors.push(device.error("devicePath", "the container mounts a volume at this path"));
        }
    });
}

/// A port must have a number.
pub(super) fn container_port(port: &Object<'_>, errors: &mut Vec<FieldError>) {
    let number = port.integer("containerPort").filter(|number| !(1..=65_535).contains(number));
    errors.extend(number.map(|number| port.error("containerPort", no_port(number))));
}

/// A host port of 0 is none.
pub(super) fn host_port(port: &Object<'_>, errors: &mut Vec<FieldError>) {
    let number = port.integer("hostPort").filter(|number| !(0..=65_535).contains(number));
    errors.extend(number.map(|number| port.error("hostPort", no_port(number))));
}

fn no_port(number: i64) -> Message {
    message![value(number), " is no port; expected 1 to 65535"]
}

/// `ValidatePortNumOrName`: the port of a handler, a number or the name of a port.
pub(super) fn handler_port(action: &Object<'_>, errors: &mut Vec<FieldError>) {
    match action.get("port") {
        Some(Value::Number(number)) => {
            let number = number.as_i64().filter(|number| !(1..=65_535).contains(number));
            errors.extend(number.map(|number| action.error("port", no_port(number))));
        }
        Some(Value::String(name)) => {
            if let Err(expected) = names::check_port_name(name) {
                let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty();
                let hint = if is_number { "; write a number without quotes" } else { "" };
                let sentence = message![value(quote(name)), " is no valid port name: ", expected, hint];
                errors.push(action.error("port", sentence));
            }
        }
        _ => {}
    }
}

/// A variable has a value or a source.
pub(super) fn env_var(variable: &Object<'_>, errors: &mut Vec<FieldError>) {
    let has_value = variable.text("value").is_some_and(|text| !text.is_empty());
    if has_value && variable.get("valueFrom").is_some() {
        errors.push(FieldError::new(variable.own_path(), "value and valueFrom cannot stand together"));
    }
}

/// The fields and resources that a variable may refer to.
pub(super) fn env_source(source: &Object<'_>, errors: &mut Vec<FieldError>) {
    if let Some(field) = source.child("fieldRef") {
        field_reference(&field, &FIELDS_OF_VARIABLES, errors);
    }
    if let Some(resource) = source.child("resourceFieldRef") {
        resource_reference(&resource, errors);
    }
}

/// The fields and resources that a file of the downward API may refer to.
pub(super) fn file_source(file: &Object<'_>, errors: &mut Vec<FieldError>) {
    if let Some(field) = file.child("fieldRef") {
        field_reference(&field, &FIELDS_OF_FILES, errors);
    }
    if let Some(resource) = file.child("resourceFieldRef") {
        if resource.lacks("containerName") || resource.text("containerName") == Some("") {
            errors.push(resource.error("containerName", "a value is required; a file belongs to no container"));
        }
        resource_reference(&resource, errors);
    }
}

/// `validateObjectFieldSelector`
fn field_reference(reference: &Object<'_>, known: &[&str], errors: &mut Vec<FieldError>) {
    if let Some(version) = reference.text("apiVersion").filter(|version| !["", "v1"].contains(version)) {
        errors.push(reference.error("apiVersion", message![value(quote(version)), " is not valid; expected \"v1\""]));
    }
    let Some(path) = reference.text("fieldPath") else { return };
    let verdict = match subscript(path) {
        Some(("metadata.labels", key)) => names::check_qualified_name(key).map_err(|rule| message!["the key ", rule]),
        Some(("metadata.annotations", key)) => {
            names::check_qualified_name(&key.to_lowercase()).map_err(|rule| message!["the key ", rule])
        }
        None if known.contains(&path) => Ok(()),
        _ => {
            let shown = known.iter().filter(|path| **path != "spec.host").copied().collect::<Vec<_>>().join(", ");
            Err(message!["expected ", words(shown), ", metadata.labels['KEY'] or metadata.annotations['KEY']"])
        }
    };
    if let Err(expected) = verdict {
        errors.push(reference.error("fieldPath", message![value(quote(path)), " is not valid: ", expected]));
    }
}

/// `SplitMaybeSubscriptedPath`: `metadata.labels['a']` as its path and its key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(path, _)| !path.is_empty())
}

/// `validateContainerResourceFieldSelector`
fn resource_reference(reference: &Object<'_>, errors: &mut Vec<FieldError>) {
    let Some(resource) = reference.text("resource") else { return };
    let is_pages = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
    if !RESOURCES.contains(&resource) && !is_pages {
        let expected = words(RESOURCES.join(", "));
        let sentence = message![value(quote(resource)), " is not valid: expected ", expected];
        errors.push(reference.error("resource", sentence));
        return;
    }
    let known: &[&str] = if resource.ends_with(".cpu") { &CPU_DIVISORS } else { &BYTE_DIVISORS };
    let Some(Ok(divisor)) = reference.get("divisor").map(Quantity::from_json) else { return };
    let divisor = divisor.to_string();
    if !known.contains(&divisor.as_str()) {
        let expected = words(known[1..].join(", "));
        errors.push(reference.error("divisor", message![value(quote(&divisor)), " is not valid: expected ", expected]));
    }
}

/// Rules between the fields of a mount.
pub(super) fn mount(mount: &Object<'_>, errors: &mut Vec<FieldError>) {
    let has = |field| mount.text(field).is_some_and(|text| !text.is_empty());
    if has("subPath") && has("subPathExpr") {
        errors.push(FieldError::new(mount.own_path(), "subPath and subPathExpr cannot stand together"));
    }
    if !matches!(mount.text("recursiveReadOnly"), Some("Enabled" | "IfPossible")) {
        return;
    }
    if !mount.is_true("readOnly") && !mount.is_sample("readOnly") {
        errors.push(mount.error("recursiveReadOnly", "needs readOnly: true"));
    }
    if mount.text("mountPropagation").is_some_and(|propagation| propagation != "None") {
        errors.push(mount.error("recursiveReadOnly", "needs mountPropagation None"));
    }
}
