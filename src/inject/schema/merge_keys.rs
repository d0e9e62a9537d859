//! The table of merge keys: the fields that identify an item of each list.
//!
//! These are Kubernetes' own keys (`x-kubernetes-patch-merge-key`), except for two lists whose
//! documented key is too coarse: ports and topologySpreadConstraints have two fields as their key,
//! as in server-side apply.

use serde_json::Value;
use std::borrow::Cow;

/// The part of an item that identifies it in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeKey {
    /// One field.
    Field(&'static str),
    /// A path, with or without a slash at its end.
    Path(&'static str),
    /// Two fields, the second with a default.
    Fields(&'static str, &'static str, &'static str),
    /// The whole value.
    Whole,
}

/// All lists that are merged by key; every other list is atomic.
pub const TABLE: [(&str, MergeKey); 18] = [
    ("containers", MergeKey::Field("name")),
    ("initContainers", MergeKey::Field("name")),
    ("volumes", MergeKey::Field("name")),
    ("env", MergeKey::Field("name")),
    ("imagePullSecrets", MergeKey::Field("name")),
    ("volumeMounts", MergeKey::Path("mountPath")),
    ("volumeDevices", MergeKey::Path("devicePath")),
    ("ports", MergeKey::Fields("containerPort", "protocol", "TCP")),
    ("hostAliases", MergeKey::Field("ip")),
    ("topologySpreadConstraints", MergeKey::Fields("topologyKey", "whenUnsatisfiable", "")),
    ("readinessGates", MergeKey::Field("conditionType")),
    ("options", MergeKey::Field("name")),
    ("resourceClaims", MergeKey::Field("name")),
    ("tolerations", MergeKey::Whole),
    ("envFrom", MergeKey::Whole),
    ("nameservers", MergeKey::Whole),
    ("searches", MergeKey::Whole),
    ("resizePolicy", MergeKey::Field("resourceName")),
];

/// The key of a list field; `None` for an atomic list.
pub(crate) fn of(list: &str) -> Option<MergeKey> {
    TABLE.iter().find(|(name, _)| *name == list).map(|(_, key)| *key)
}

/// Whether a map holds one choice with its details, so that two such maps cannot be mixed.
pub(crate) fn is_atomic(map: &str) -> bool {
    matches!(map, "seccompProfile" | "appArmorProfile")
}

/// The handlers of probes and lifecycle hooks, which have one of these each.
pub(crate) const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

impl MergeKey {
    /// The key of one item, as text.
    pub(crate) fn value<'a>(&self, item: &'a Value) -> Cow<'a, str> {
        match self {
            Self::Field(field) => text(item, field),
            Self::Path(field) => match text(item, field) {
                Cow::Borrowed(path) => Cow::Borrowed(clean_path(path)),
                Cow::Owned(path) => Cow::Owned(clean_path(&path).to_owned()),
            },
            Self::Fields(first, second, default) => {
                let second = item.get(second).and_then(Value::as_str).unwrap_or(default);
                Cow::Owned(format!("{}/{second}", text(item, first)))
            }
            Self::Whole => text_of(item),
        }
    }
}

fn text<'a>(item: &'a Value, field: &str) -> Cow<'a, str> {
    item.get(field).map_or(Cow::Borrowed(""), text_of)
}

fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// The path at which admission mounts the service account's token.
pub(crate) const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The steps of a path from its root, without those that lead nowhere: `/a//b/../c/` has `a` and `c`.
pub(crate) fn steps(path: &str) -> Vec<&str> {
    let mut steps = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    steps
}

/// A mount path without a slash at its end: `/logs/` and `/logs` are the same path.
pub(crate) fn clean_path(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if !path.is_empty() => "/",
        clean => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_from_the_root_to_the_directory() {
        for (path, expected) in [
            ("/", &[][..]),
            ("", &[]),
            ("/var/log/app", &["var", "log", "app"]),
            ("/var//log/./app/", &["var", "log", "app"]),
            ("/var/lib/../log", &["var", "log"]),
            ("/../..", &[]),
            ("log", &["log"]),
        ] {
            assert_eq!(steps(path), expected, "{path}");
        }
    }
}
