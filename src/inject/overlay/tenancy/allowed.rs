//! The closed list: each field that a template of a namespace may set, and its values.
//!
//! The values are those of Pod Security "restricted" of Kubernetes 1.36
//! (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>), and narrower where a
//! field reads what the author's role may not: Secrets, tokens, annotations of other templates.
//! Invariant: a field that is not here is refused.

use super::super::{OverlayPart, PartTarget};
use Allowed::{Any, Each, Fields, If, Never};
use serde_json::Value;

/// What a value may be.
pub(super) enum Allowed {
    /// What the schema takes.
    Any,
    /// An object with no fields but these.
    Fields(&'static [(&'static str, Self)]),
    /// A list of such items.
    Each(&'static Self),
    /// A value for which the function holds, and what that is.
    If(fn(&Value) -> bool, &'static str),
    /// Nothing, for this reason.
    Never(&'static str),
}

pub(super) const POD_FIELD: &str = "a template of a namespace must not set fields of the pod; expected no spec.pod";
const NO_SECRET: &str = "a template of a namespace must not read Secrets; expected a ConfigMap";
const NO_CLAIMS: &str = "a template of a namespace must not claim devices: claims need fields of the pod";
const NO_CREDENTIALS: &str = "a template of a namespace must not set credentials of Windows";
const NO_VOLUME_NAME: &str = "a template of a namespace must not choose a PersistentVolume, which may be another's";
const NO_OTHER_NAMESPACE: &str = "a template of a namespace must not name another namespace";

/// What a part may be.
pub(super) const fn of(part: OverlayPart) -> &'static Allowed {
    match part.target() {
        PartTarget::Containers => &Each(&CONTAINER),
        PartTarget::Volumes => &Each(&VOLUME),
        PartTarget::AppList(_) => match part {
            OverlayPart::AppEnv => &Each(&APP_ENV),
            OverlayPart::AppEnvFrom => &Each(&ENV_FROM),
            _ => &Each(&MOUNT),
        },
        PartTarget::AppDefaults => &APP_DEFAULTS,
        PartTarget::SpecFields => &POD,
        // Text of the template. Keys of metadata have rules of their own.
        PartTarget::Files | PartTarget::AppCommand | PartTarget::MetadataMap(_) => &Any,
    }
}

const POD: Allowed = Never(POD_FIELD);

const CONTAINER: Allowed = Fields(&[
    ("args", Any),
    ("command", Any),
    ("env", Each(&ENV)),
    ("envFrom", Each(&ENV_FROM)),
    ("image", Any),
    ("imagePullPolicy", Any),
    ("lifecycle", LIFECYCLE),
    ("livenessProbe", PROBE),
    ("name", Any),
    ("ports", Each(&PORT)),
    ("readinessProbe", PROBE),
    ("resizePolicy", Any),
    ("resources", RESOURCES),
    ("restartPolicy", Any),
    ("restartPolicyRules", Any),
    ("securityContext", SECURITY_CONTEXT),
    ("startupProbe", PROBE),
    ("stdin", Any),
    ("stdinOnce", Any),
    ("terminationMessagePath", Any),
    ("terminationMessagePolicy", Any),
    ("tty", Any),
    ("volumeDevices", Any),
    ("volumeMounts", Each(&MOUNT)),
    ("workingDir", Any),
]);

const APP_DEFAULTS: Allowed = Fields(&[
    ("lifecycle", LIFECYCLE),
    ("livenessProbe", PROBE),
    ("readinessProbe", PROBE),
    ("resources", RESOURCES),
    ("securityContext", SECURITY_CONTEXT),
    ("startupProbe", PROBE),
    ("terminationMessagePolicy", Any),
]);

const RESOURCES: Allowed = Fields(&[("claims", Never(NO_CLAIMS)), ("limits", Any), ("requests", Any)]);

const PORT: Allowed = Fields(&[
    ("containerPort", Any),
    ("hostIP", Any),
    ("hostPort", If(|port| *port == 0, "no port of the node")),
    ("name", Any),
    ("protocol", Any),
]);

const ENV: Allowed = Fields(&[("name", Any), ("value", Any), ("valueFrom", VALUE_FROM)]);
const APP_ENV: Allowed =
    Fields(&[("name", Any), ("onExisting", Any), ("separator", Any), ("value", Any), ("valueFrom", VALUE_FROM)]);
const VALUE_FROM: Allowed = Fields(&[
    ("configMapKeyRef", Any),
    ("fieldRef", FIELD_REF),
    ("resourceFieldRef", Any),
    ("secretKeyRef", Never(NO_SECRET)),
]);
const ENV_FROM: Allowed = Fields(&[("configMapRef", Any), ("prefix", Any), ("secretRef", Never(NO_SECRET))]);

const FIELD_REF: Allowed = Fields(&[
    ("apiVersion", Any),
    (
        "fieldPath",
        If(
            is_open_field,
            "metadata.name, metadata.namespace, metadata.uid, metadata.labels, spec.nodeName, \
             spec.serviceAccountName, status.hostIP, status.hostIPs, status.podIP or status.podIPs",
        ),
    ),
]);

/// Annotations are not open: they have the files of other templates and the data of others.
fn is_open_field(path: &Value) -> bool {
    const OPEN: [&str; 10] = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "metadata.labels",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    path.as_str().is_some_and(|path| OPEN.contains(&path) || path.starts_with("metadata.labels['"))
}

const LIFECYCLE: Allowed = Fields(&[("postStart", HOOK), ("preStop", HOOK), ("stopSignal", Any)]);
const HOOK: Allowed = Fields(&[("exec", Any), ("httpGet", HTTP_GET), ("sleep", Any), ("tcpSocket", TCP_SOCKET)]);
const PROBE: Allowed = Fields(&[
    ("exec", Any),
    ("failureThreshold", Any),
    ("grpc", Any),
    ("httpGet", HTTP_GET),
    ("initialDelaySeconds", Any),
    ("periodSeconds", Any),
    ("successThreshold", Any),
    ("tcpSocket", TCP_SOCKET),
    ("terminationGracePeriodSeconds", Any),
    ("timeoutSeconds", Any),
]);
const HTTP_GET: Allowed =
    Fields(&[("host", OWN_HOST), ("httpHeaders", Any), ("path", Any), ("port", Any), ("scheme", Any)]);
const TCP_SOCKET: Allowed = Fields(&[("host", OWN_HOST), ("port", Any)]);
/// Otherwise the kubelet connects to any host of its network.
const OWN_HOST: Allowed = If(|host| *host == "", "no host: the pod's own address is used");

const SECURITY_CONTEXT: Allowed = Fields(&[
    ("allowPrivilegeEscalation", If(is_false, "false")),
    ("appArmorProfile", PROFILE),
    ("capabilities", CAPABILITIES),
    ("privileged", If(is_false, "false")),
    ("procMount", If(|mount| *mount == "Default", "Default")),
    ("readOnlyRootFilesystem", Any),
    ("runAsGroup", Any),
    ("runAsNonRoot", If(|is_set| *is_set == true, "true")),
    ("runAsUser", If(|user| *user != 0, "a user other than root")),
    ("seLinuxOptions", SE_LINUX),
    ("seccompProfile", PROFILE),
    ("windowsOptions", WINDOWS),
]);
const CAPABILITIES: Allowed =
    Fields(&[("add", Each(&If(|name| *name == "NET_BIND_SERVICE", "NET_BIND_SERVICE"))), ("drop", Any)]);
const PROFILE: Allowed = Fields(&[
    ("localhostProfile", Any),
    ("type", If(|kind| *kind == "RuntimeDefault" || *kind == "Localhost", "RuntimeDefault or Localhost")),
]);
const SE_LINUX: Allowed = Fields(&[
    ("level", Any),
    ("role", If(|role| *role == "", "no role")),
    ("type", If(is_container_type, "container_t, container_init_t, container_kvm_t or container_engine_t")),
    ("user", If(|user| *user == "", "no user")),
]);
const WINDOWS: Allowed = Fields(&[
    ("gmsaCredentialSpec", Never(NO_CREDENTIALS)),
    ("gmsaCredentialSpecName", Never(NO_CREDENTIALS)),
    ("hostProcess", If(is_false, "false")),
    ("runAsUserName", If(|user| !is_administrator(user), "a user other than ContainerAdministrator")),
]);

fn is_false(value: &Value) -> bool {
    *value == false
}

fn is_container_type(kind: &Value) -> bool {
    const TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    kind.as_str().is_some_and(|kind| TYPES.contains(&kind))
}

/// With or without a domain. What is no text is no user either.
fn is_administrator(user: &Value) -> bool {
    let last = user.as_str().and_then(|user| user.rsplit('\\').next());
    last.is_none_or(|user| user.eq_ignore_ascii_case("ContainerAdministrator"))
}

const MOUNT: Allowed = Fields(&[
    ("mountPath", Any),
    ("mountPropagation", If(|mode| *mode == "None" || *mode == "HostToContainer", "None or HostToContainer")),
    ("name", Any),
    ("readOnly", Any),
    ("recursiveReadOnly", Any),
    ("subPath", Any),
    ("subPathExpr", Any),
]);

const VOLUME: Allowed = Fields(&[
    ("configMap", Any),
    ("downwardAPI", DOWNWARD_VOLUME),
    ("emptyDir", Any),
    (
        "ephemeral",
        Fields(&[("volumeClaimTemplate", Fields(&[("metadata", Fields(&[("labels", Any)])), ("spec", CLAIM)]))]),
    ),
    ("name", Any),
    ("persistentVolumeClaim", Any),
    ("projected", Fields(&[("defaultMode", Any), ("sources", Each(&PROJECTION))])),
    ("secret", Never(NO_SECRET)),
    ("share", SHARE),
]);
const DOWNWARD_VOLUME: Allowed = Fields(&[("defaultMode", Any), ("items", Each(&DOWNWARD_ITEM))]);
const DOWNWARD_ITEM: Allowed =
    Fields(&[("fieldRef", FIELD_REF), ("mode", Any), ("path", Any), ("resourceFieldRef", Any)]);
const PROJECTION: Allowed = Fields(&[
    ("configMap", Any),
    ("downwardAPI", Fields(&[("items", Each(&DOWNWARD_ITEM))])),
    ("secret", Never(NO_SECRET)),
    ("serviceAccountToken", Never("a template of a namespace must not have tokens of the service account")),
]);
const CLAIM: Allowed = Fields(&[
    ("accessModes", Any),
    ("dataSource", Any),
    (
        "dataSourceRef",
        Fields(&[("apiGroup", Any), ("kind", Any), ("name", Any), ("namespace", Never(NO_OTHER_NAMESPACE))]),
    ),
    ("resources", Any),
    ("selector", Never(NO_VOLUME_NAME)),
    ("storageClassName", Any),
    ("volumeAttributesClassName", Any),
    ("volumeMode", Any),
    ("volumeName", Never(NO_VOLUME_NAME)),
]);
const SHARE: Allowed = Fields(&[("allow", If(is_empty_list, "no Secret and no projected volume")), ("mountedAt", Any)]);

fn is_empty_list(list: &Value) -> bool {
    list.as_array().is_some_and(Vec::is_empty)
}
