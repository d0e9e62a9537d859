//! The values that the API server fills in, which count as unset.
//!
//! The tables repeat `pkg/apis/core/v1/defaults.go` and `zz_generated.defaults.go` of Kubernetes.
//! The API server fills in a pod before it calls webhooks, so no webhook can tell such a value from
//! one that the author wrote.

use crate::inject::pod::AUTO;
use serde_json::{Map, Value};

/// A default of the table.
#[derive(Clone, Copy, Debug)]
enum Filled {
    Text(&'static str),
    Number(i64),
    Bool(bool),
}

use Filled::{Bool, Number, Text};

/// Defaults of fields of containers and volumes: the object that has the field (empty for any), the
/// field, and the default. The comments name the functions of Kubernetes.
const TABLE: [(&str, &str, Filled); 40] = [
    // SetDefaults_Container
    ("", "terminationMessagePath", Text("/dev/termination-log")),
    ("", "terminationMessagePolicy", Text("File")),
    // SetDefaults_Probe
    ("livenessProbe", "timeoutSeconds", Number(1)),
    ("livenessProbe", "periodSeconds", Number(10)),
    ("livenessProbe", "successThreshold", Number(1)),
    ("livenessProbe", "failureThreshold", Number(3)),
    ("readinessProbe", "timeoutSeconds", Number(1)),
    ("readinessProbe", "periodSeconds", Number(10)),
    ("readinessProbe", "successThreshold", Number(1)),
    ("readinessProbe", "failureThreshold", Number(3)),
    ("startupProbe", "timeoutSeconds", Number(1)),
    ("startupProbe", "periodSeconds", Number(10)),
    ("startupProbe", "successThreshold", Number(1)),
    ("startupProbe", "failureThreshold", Number(3)),
    // SetDefaults_HTTPGetAction, and generated for gRPC and ports
    ("httpGet", "path", Text("/")),
    ("httpGet", "scheme", Text("HTTP")),
    ("grpc", "service", Text("")),
    ("", "protocol", Text("TCP")),
    // SetDefaults_ObjectFieldSelector, SetDefaults_ResourceFieldSelector..., FileKeySelector
    ("fieldRef", "apiVersion", Text("v1")),
    ("", "divisor", Text("0")),
    ("fileKeyRef", "optional", Bool(false)),
    // SetDefaults_SecurityContext, SetDefaults_VolumeMount
    ("", "procMount", Text("Default")),
    ("", "recursiveReadOnly", Text("Disabled")),
    // SetDefaults_ConfigMapVolumeSource, …SecretVolumeSource, …DownwardAPIVolumeSource,
    // …ProjectedVolumeSource, …ServiceAccountTokenProjection, …PodCertificateProjection
    ("configMap", "defaultMode", Number(420)),
    ("secret", "defaultMode", Number(420)),
    ("downwardAPI", "defaultMode", Number(420)),
    ("projected", "defaultMode", Number(420)),
    ("serviceAccountToken", "expirationSeconds", Number(3600)),
    ("podCertificate", "maxExpirationSeconds", Number(86400)),
    // SetDefaults_HostPathVolumeSource, …ISCSIVolumeSource, …RBDVolumeSource
    ("hostPath", "type", Text("")),
    ("iscsi", "iscsiInterface", Text("default")),
    ("rbd", "pool", Text("rbd")),
    ("rbd", "user", Text("admin")),
    ("rbd", "keyring", Text("/etc/ceph/keyring")),
    // SetDefaults_AzureDiskVolumeSource, …ScaleIOVolumeSource
    ("azureDisk", "cachingMode", Text("ReadWrite")),
    ("azureDisk", "fsType", Text("ext4")),
    ("azureDisk", "kind", Text("Shared")),
    ("scaleIO", "storageMode", Text("ThinProvisioned")),
    ("scaleIO", "fsType", Text("xfs")),
    // SetDefaults_PersistentVolumeClaimSpec, of an ephemeral volume
    ("spec", "volumeMode", Text("Filesystem")),
];

/// Whether the API server fills in this value of the field `key`. `parent` is the name of the object
/// with the field, `beside` that object.
pub(crate) fn is_default(parent: &str, key: &str, value: &Value, beside: &Map<String, Value>) -> bool {
    match key {
        "imagePullPolicy" => *value == pull_policy(text_in(beside, "image")),
        // SetDefaults_Volume
        "pullPolicy" if parent == "image" => *value == pull_policy(text_in(beside, "reference")),
        "resizePolicy" => value.as_array().is_some_and(|items| {
            items.iter().all(|item| item.get("restartPolicy").is_some_and(|policy| policy == "NotRequired"))
        }),
        _ => TABLE.iter().any(|(object, field, default)| {
            *field == key
                && (object.is_empty() || *object == parent)
                && match default {
                    Text(text) => value == text,
                    Number(number) => value == number,
                    Bool(boolean) => value == boolean,
                }
        }),
    }
}

/// The defaults that only the object of this name has: the field and the value.
pub(crate) fn of_object(name: &str) -> impl Iterator<Item = (&'static str, Value)> {
    let of_parent = TABLE.iter().filter(move |(object, ..)| !object.is_empty() && *object == name);
    of_parent.map(|(_, field, default)| {
        let value = match default {
            Text(text) => Value::from(*text),
            Number(number) => Value::from(*number),
            Bool(boolean) => Value::from(*boolean),
        };
        (*field, value)
    })
}

fn text_in<'v>(object: &'v Map<String, Value>, field: &str) -> &'v str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The pull policy that the API server fills in for an image.
pub(crate) fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or_default();
    match name.rsplit_once(':') {
        _ if image.contains('@') => "IfNotPresent",
        Some((_, tag)) if tag != "latest" => "IfNotPresent",
        _ => "Always",
    }
}

/// Whether the API server fills in this field of the pod's spec before admission.
pub(crate) fn is_filled_in(field: &str, value: &Value) -> bool {
    match field {
        "terminationGracePeriodSeconds" => *value == 30,
        "dnsPolicy" => value == "ClusterFirst",
        "schedulerName" => value == "default-scheduler",
        "serviceAccountName" => value == "default" || value == "",
        "enableServiceLinks" => *value == true,
        "priorityClassName" | "runtimeClassName" => value == "",
        _ => false,
    }
}

/// Annotation in which LimitRanger lists what it has set.
pub(super) const LIMIT_RANGER: &str = "kubernetes.io/limit-ranger";

/// The resources that LimitRanger has set in a container: `limits` or `requests`, and the name of
/// the resource. `annotation` is such as `LimitRanger plugin set: cpu, memory request for container
/// web; cpu limit for init container setup` (`mergePodResourceRequirements` of Kubernetes).
pub(super) fn set_by_limit_ranger<'a>(
    annotation: &'a str,
    kind: &str,
    name: &str,
) -> impl Iterator<Item = (&'static str, &'a str)> {
    let list = annotation.strip_prefix("LimitRanger plugin set: ").unwrap_or_default();
    let of_container = list.split("; ").filter_map(move |item| {
        let (set, container) = item.split_once(" for ")?;
        let is_it = container.strip_prefix(kind).and_then(|rest| rest.strip_prefix(' ')) == Some(name);
        let (resources, field) = set.rsplit_once(' ').filter(|_| is_it)?;
        let field = if field == "limit" { "limits" } else { "requests" };
        Some(resources.split(", ").map(move |resource| (field, resource)))
    });
    // Its items borrow from the annotation only.
    of_container.flatten().collect::<Vec<_>>().into_iter()
}

/// Whether the value at this path of a container with `image: auto` may have been filled in, so that
/// the template's value has replaced it. `path` is below the container.
pub(crate) fn may_be_filled_in(path: &[&str], value: &Value) -> bool {
    let auto = Map::from_iter([("image".to_owned(), Value::from(AUTO))]);
    match path {
        // LimitRanger's defaults can have any value.
        ["resources", "limits" | "requests", _] => value.is_string() || value.is_number(),
        [.., parent, key] => is_default(parent, key, value, &auto),
        [key] => is_default("", key, value, &auto),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_annotation_of_limit_ranger_is_read_for_each_container() {
        let annotation = "LimitRanger plugin set: cpu, memory request for container web; memory limit for container web; \
            cpu request for init container web; hugepages-2Mi limit for container web2";
        let set = |kind: &str, name: &str| set_by_limit_ranger(annotation, kind, name).collect::<Vec<_>>();
        assert_eq!(set("container", "web"), [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")]);
        assert_eq!(set("init container", "web"), [("requests", "cpu")]);
        assert_eq!(set("container", "web2"), [("limits", "hugepages-2Mi")]);
        assert_eq!(set("container", "we"), []);
        for odd in
            ["", "LimitRanger plugin set: ", "LimitRanger plugin set: cpu for container web", "x for container web"]
        {
            assert_eq!(set_by_limit_ranger(odd, "container", "web").count(), 0, "{odd}");
        }
    }

    #[test]
    fn only_defaults_of_a_filled_container_may_be_restored() {
        for (path, value, expected) in [
            (&["imagePullPolicy"] as &[&str], json!("Always"), true),
            (&["imagePullPolicy"], json!("Never"), false),
            (&["terminationMessagePolicy"], json!("File"), true),
            (&["readinessProbe", "timeoutSeconds"], json!(1), true),
            (&["readinessProbe", "timeoutSeconds"], json!(2), false),
            (&["timeoutSeconds"], json!(1), false),
            (&["resources", "limits", "cpu"], json!("1"), true),
            (&["resources", "limits", "cpu"], json!({}), false),
            (&["resources", "claims"], json!("x"), false),
            (&["command"], json!("x"), false),
            (&[], json!("x"), false),
        ] {
            assert_eq!(may_be_filled_in(path, &value), expected, "{path:?} {value}");
        }
    }
}
