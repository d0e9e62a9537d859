//! The engine as the offline commands run it: templates, settings and namespaces from flags and files.
//!
//! It applies no rule of injection itself. Invariant: an [`Engine`] exists only when every template and every namespace was
//! read without a problem.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::documents::{self, Document};
use super::problems::Problems;
use super::stdio;
use super::workload::{self, PodSite};
use crate::config::settings;
use crate::inject::{InjectError, Injector, Namespace, NativeSidecars, Outcome, Request, Settings, TemplateSet};

/// What every command that runs the engine can be told.
#[derive(Args, Debug)]
pub struct EngineArgs {
    /// Directory with templates (*.yaml, *.yml, *.json); the built-in ones when absent
    #[arg(long, value_name = "DIR")]
    templates: Vec<PathBuf>,

    /// Namespace of objects that name none [default: that of --namespace-file, else "default"]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// File with Namespace objects: their labels and annotations count as in the cluster
    #[arg(long, value_name = "FILE")]
    namespace_file: Option<PathBuf>,

    /// Whether sidecars become init containers with `restartPolicy: Always`
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    native_sidecars: NativeSidecarsWhen,

    /// Kubernetes version of the cluster, such as 1.34 or 1.34.2 [default: the newest known]
    #[arg(long, value_name = "VERSION")]
    cluster_version: Option<ClusterVersion>,

    /// Domain of all annotations and labels
    #[arg(long, value_name = "DOMAIN", default_value = settings::DOMAIN.default)]
    domain: String,
}

/// When sidecars are native.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NativeSidecarsWhen {
    /// From Kubernetes 1.32 on
    Auto,
    Always,
    Never,
}

/// Version of a cluster: what expressions see, and what decides about native sidecars.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ClusterVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl std::str::FromStr for ClusterVersion {
    type Err = String;

    /// Takes what `kubectl version` prints: `1.34`, `v1.34.2`, `v1.34.2-gke.100`, `1.34+`.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a Kubernetes version such as 1.34.2, found {text:?}");
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

/// The injector, and what the command line knows of namespaces.
pub struct Engine {
    injector: Injector,
    default_namespace: String,
    namespaces: BTreeMap<String, Namespace>,
}

impl Engine {
    pub fn load(args: &EngineArgs) -> Result<Self, Problems> {
        let (templates, namespaces) = Problems::both(load_templates(&args.templates), namespaces_of_file(args))?;
        let only = namespaces.keys().next().filter(|_| namespaces.len() == 1);
        let default_namespace = args.namespace.as_ref().or(only).map_or("default", String::as_str).to_owned();
        Ok(Self { injector: Injector::new(templates, engine_settings(args)), default_namespace, namespaces })
    }

    /// Takes over the Namespace objects that stand beside the workloads; those of `--namespace-file` win.
    pub fn learn_namespaces(&mut self, documents: &[Document]) -> Result<(), Problems> {
        let values = documents.iter().map(|document| &document.value);
        for (name, namespace) in namespaces(values)? {
            self.namespaces.entry(name).or_insert(namespace);
        }
        Ok(())
    }

    /// What the webhook would decide about this pod.
    pub fn inject(&self, site: &PodSite, pod: &Value) -> Result<Outcome, InjectError> {
        let namespace = site.namespace.as_ref().unwrap_or(&self.default_namespace);
        let text = pod.to_string();
        let request = Request::create_pod(namespace, &text);
        self.injector.inject(&Request { namespace_object: self.namespaces.get(namespace), ..request })
    }
}

fn engine_settings(args: &EngineArgs) -> Settings {
    let version = args.cluster_version.as_ref();
    Settings {
        native_sidecars: native_sidecars(args.native_sidecars, version),
        cluster_version: version.map_or_else(|| Settings::default().cluster_version, ToString::to_string),
        // What the server does unless it is told otherwise.
        excluded_namespaces: settings::EXCLUDE_NAMESPACES.default.split(',').map(str::to_owned).collect(),
        domain: args.domain.clone(),
        clock: Some(milliseconds),
    }
}

/// `auto`: every kubelet that an API server of version 1.32 supports runs them. The newest version is assumed when none is named.
fn native_sidecars(when: NativeSidecarsWhen, version: Option<&ClusterVersion>) -> NativeSidecars {
    let supported = match when {
        NativeSidecarsWhen::Always => true,
        NativeSidecarsWhen::Never => false,
        NativeSidecarsWhen::Auto => version.is_none_or(|version| (version.major, version.minor) >= (1, 32)),
    };
    if supported { NativeSidecars::Supported } else { NativeSidecars::Unsupported }
}

/// Milliseconds since the first call.
fn milliseconds() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn load_templates(directories: &[PathBuf]) -> Result<TemplateSet, Problems> {
    let _ = directories;
    let loaded = TemplateSet::load(&[]);
    for warning in &loaded.warnings {
        stdio::say(&format!("warning: {warning}"));
    }
    let problems: Problems = loaded.problems.iter().map(ToString::to_string).collect();
    problems.or(loaded.templates)
}

fn namespaces_of_file(args: &EngineArgs) -> Result<BTreeMap<String, Namespace>, Problems> {
    let Some(path) = &args.namespace_file else { return Ok(BTreeMap::new()) };
    let values = documents::values(path)?;
    let found = namespaces(&values)?;
    if found.is_empty() {
        return Err(format!("{}: no object of kind Namespace, expected at least one", documents::origin(path)).into());
    }
    Ok(found)
}

fn namespaces<'a>(values: impl IntoIterator<Item = &'a Value>) -> Result<BTreeMap<String, Namespace>, Problems> {
    let mut problems = Problems::default();
    let mut namespaces = BTreeMap::new();
    for value in values.into_iter().filter(|value| is_namespace(value)) {
        if let Some(namespace) = problems.keep(namespace(value)) {
            namespaces.insert(namespace.name.clone(), namespace);
        }
    }
    problems.or(namespaces)
}

fn is_namespace(value: &Value) -> bool {
    value.get("kind").is_some_and(|kind| kind == "Namespace")
        && value.get("apiVersion").is_some_and(|version| version == "v1")
}

fn namespace(value: &Value) -> Result<Namespace, Problems> {
    let Some(name) = value.pointer("/metadata/name").and_then(Value::as_str) else {
        return Err("Namespace: metadata.name is absent, expected the namespace's name".to_owned().into());
    };
    let (mut labels, annotations) =
        Problems::both(string_map(name, value, "labels"), string_map(name, value, "annotations"))?;
    // The API server sets this label on every namespace.
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
    Ok(Namespace { name: name.to_owned(), labels, annotations })
}

fn string_map(namespace: &str, value: &Value, member: &str) -> Result<BTreeMap<String, String>, Problems> {
    let entries = match value.pointer(&format!("/metadata/{member}")) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(entries)) => entries,
        Some(other) => return Err(wrong(namespace, member, other, "an object")),
    };
    let mut problems = Problems::default();
    let texts = entries.iter().filter_map(|(key, value)| match value.as_str() {
        Some(text) => Some((key.clone(), text.to_owned())),
        None => {
            problems.keep(Err(wrong(namespace, &format!("{member}[{key:?}]"), value, "a string (put it in quotes)")))
        }
    });
    let texts = texts.collect();
    problems.or(texts)
}

fn wrong(namespace: &str, member: &str, found: &Value, expected: &str) -> Problems {
    let found = workload::describe(found);
    format!("Namespace/{namespace}: metadata.{member} is {found}, expected {expected}").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
    fn auto_follows_the_cluster_version() {
        let auto = |text| native_sidecars(NativeSidecarsWhen::Auto, version(text).as_ref());
        assert_eq!(auto("1.31.9"), NativeSidecars::Unsupported);
        assert_eq!(auto("1.32"), NativeSidecars::Supported);
        assert_eq!(native_sidecars(NativeSidecarsWhen::Auto, None), NativeSidecars::Supported);
    }

    #[test]
    fn always_and_never_beat_the_cluster_version() {
        let old = version("1.20");
        assert_eq!(native_sidecars(NativeSidecarsWhen::Always, old.as_ref()), NativeSidecars::Supported);
        assert_eq!(native_sidecars(NativeSidecarsWhen::Never, None), NativeSidecars::Unsupported);
    }

    #[test]
    fn a_namespace_has_the_label_with_its_name() {
        let value =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo", "labels": {"team": "a"}}});
        let namespace = namespace(&value).expect("it is complete");
        let labels: Vec<_> = namespace.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["kubernetes.io/metadata.name=demo", "team=a"]);
    }

    #[test]
    fn all_values_of_a_namespace_that_are_no_text_are_named() {
        let metadata = json!({"name": "demo", "labels": {"a": true, "b": 1}, "annotations": []});
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        let problems = namespace(&value).expect_err("three values are wrong").to_string();
        assert_eq!(problems.lines().count(), 3, "{problems}");
        for part in [
            "metadata.labels[\"a\"] is a boolean",
            "metadata.labels[\"b\"] is a number",
            "metadata.annotations is a list",
        ] {
            assert!(problems.contains(part), "{part} is missing in {problems}");
        }
    }
}
