//! Parses flag values that have a rule of their own.
//!
//! Invariant: an invalid value is wrong usage, and the message says what is expected.

use std::time::Duration;

use crate::config::{Domain, duration};
use crate::inject::text::names;

/// `--domain`.
pub(super) fn domain(text: &str) -> Result<String, String> {
    text.parse().map(|domain: Domain| domain.to_string())
}

/// `--namespace`.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    checked(text, names::check_dns_label)
}

/// `--exclude-namespace`: a namespace, or nothing for none.
pub(super) fn namespace_or_none(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { namespace(text) }
}

/// The name of a template, as the annotation that requests it takes it.
pub(super) fn template(text: &str) -> Result<String, String> {
    checked(text, names::check_dns_label)
}

/// Kinds of Kubernetes without pods that somebody may name.
const WITHOUT_PODS: [&str; 14] = [
    "cm",
    "configmap",
    "configmaps",
    "ing",
    "ingress",
    "namespace",
    "node",
    "ns",
    "pvc",
    "sa",
    "secret",
    "service",
    "services",
    "svc",
];

/// A workload or a pod: `KIND/NAME`. Kinds of others have pods too, so any kind is taken that is not known
/// to have none.
pub(super) fn workload(text: &str) -> Result<String, String> {
    let expected = || "expected KIND/NAME, such as deploy/web".to_owned();
    let (kind, name) = text.split_once('/').ok_or_else(expected)?;
    names::check_dns_subdomain(&kind.to_lowercase()).map_err(|_| expected())?;
    if WITHOUT_PODS.contains(&kind.to_lowercase().as_str()) {
        return Err(format!("kind {kind:?} has no pods; {}", expected()));
    }
    checked(name, names::check_dns_subdomain).map_err(|problem| format!("name {name:?}: {problem}"))?;
    Ok(text.to_owned())
}

/// `--name`: the name of an installation, which is also the value of a label.
pub(super) fn name(text: &str) -> Result<String, String> {
    checked(text, names::check_dns_label)
}

/// `--name` of an object.
pub(super) fn object_name(text: &str) -> Result<String, String> {
    checked(text, names::check_dns_subdomain)
}

/// `--wait`, `--timeout`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| "expected a duration such as 60s or 1m30s".to_owned())
}

/// `--service`: a Service of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceName {
    pub namespace: String,
    pub name: String,
}

/// `NAMESPACE/NAME`.
pub(super) fn service(text: &str) -> Result<ServiceName, String> {
    let (namespace, name) = text.split_once('/').ok_or("expected NAMESPACE/NAME")?;
    let label = |what: &str, text: &str| {
        checked(text, names::check_dns_label).map_err(|expected| format!("{what} {text:?}: {expected}"))
    };
    Ok(ServiceName { namespace: label("namespace", namespace)?, name: label("name", name)? })
}

fn checked(text: &str, check: fn(&str) -> Result<(), names::Expected>) -> Result<String, String> {
    check(text).map(|()| text.to_owned()).map_err(str::to_owned)
}

/// Kubernetes version of a cluster, for expressions and for native sidecars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClusterVersion {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl std::str::FromStr for ClusterVersion {
    type Err = String;

    /// Takes what `kubectl version` prints: `1.34`, `v1.34.2`, `v1.34.2-gke.100`, `1.34+`.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a Kubernetes version such as 1.34.2".to_owned();
        let plain = text.strip_prefix('v').unwrap_or(text);
        let plain = plain.split(['-', '+']).next().unwrap_or_default();
        let numbers: Result<Vec<u32>, _> = plain.split('.').map(str::parse).collect();
        match *numbers.map_err(|_| expected())?.as_slice() {
            [major, minor] => Ok(Self { major, minor, patch: 0 }),
            [major, minor, patch] => Ok(Self { major, minor, patch }),
            _ => Err(expected()),
        }
    }
}

impl std::fmt::Display for ClusterVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Option<ClusterVersion> {
        text.parse().ok()
    }

    #[test]
    fn cluster_versions_as_kubectl_prints_them() {
        for (text, expected) in [
            ("1.34", "1.34.0"),
            ("v1.34.2", "1.34.2"),
            ("v1.31.4-gke.1183000", "1.31.4"),
            ("1.30+", "1.30.0"),
            ("v1.33.1+k3s1", "1.33.1"),
        ] {
            assert_eq!(version(text).map(|version| version.to_string()).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "1", "v", "1.x", "1.2.3.4", "latest"] {
            assert_eq!(version(text), None, "{text}");
        }
    }

    #[test]
    fn domains_and_namespaces_are_dns_names() {
        assert!(domain("sidecars.example.com").is_ok() && namespace("team-a").is_ok());
        for text in ["", "Example.com", "a b", "-a", "a/b"] {
            assert!(domain(text).is_err() && namespace(text).is_err(), "{text:?}");
        }
        assert!(namespace("a.b").is_err());
        assert!(namespace_or_none("").is_ok() && namespace_or_none("A b").is_err());
    }

    #[test]
    fn templates_have_the_names_that_the_annotation_takes() {
        assert_eq!(template("log-collector").as_deref(), Ok("log-collector"));
        for text in ["", "BAD_Name", "a.b", "a@0123456789", "a,b"] {
            assert!(template(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn workloads_have_a_kind_with_pods_and_a_name() {
        for text in ["deploy/web", "Deployment/web", "deployments.apps/web", "cloneset/x", "pod/web-0.a"] {
            assert_eq!(workload(text).as_deref(), Ok(text));
        }
        for text in ["", "web", "deploy/", "/web", "svc/x", "Service/x", "deploy/BAD", "deploy/a/b", "a b/c"] {
            assert!(workload(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn services_have_a_namespace_and_a_name() {
        let expected = ServiceName { namespace: "a".to_owned(), name: "b".to_owned() };
        assert_eq!(service("a/b"), Ok(expected));
        for text in ["", "a", "/", "a/", "/b", "a/b/c", "A/b", "a.b/c"] {
            assert!(service(text).is_err(), "{text:?}");
        }
    }
}
