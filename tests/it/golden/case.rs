//! Reads a golden case from its files.
//!
//! Running it is not done here.
//!
//! Invariant: an unknown key or file fails the case.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use outrigger::inject::Namespace;
use serde::Deserialize;
use serde_json::Value;

/// The expected verdict of the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    Injected,
    #[default]
    Skipped,
    /// Blame Pod.
    Refused,
    /// Blame Template or Injector.
    Failed,
}

/// One case, read and complete.
#[derive(Clone, Debug, Default)]
pub struct Case {
    pub settings: Settings,
    pub verdict: Verdict,
    pub reasons: Vec<String>,
    pub codes: Vec<String>,
    pub message: Vec<String>,
    pub message_max_length: Option<usize>,
    pub warnings: Vec<String>,
    pub explanations: Vec<String>,
    pub broken_templates: usize,
    /// Text of `templates.yaml`.
    pub templates: String,
    pub pod: Value,
    pub expected: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CaseFile {
    comment: String,
    #[serde(default)]
    settings: Settings,
    verdict: Verdict,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    codes: Vec<String>,
    #[serde(default)]
    message: Vec<String>,
    message_max_length: Option<usize>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    explanations: Vec<String>,
    #[serde(default)]
    broken_templates: usize,
    /// Only for the tests against a real API server.
    #[serde(default, rename = "apiServer")]
    _api_server: Option<bool>,
}

/// The context of the pod; the request creates a pod unless stated otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Settings {
    pub namespace: String,
    pub native_sidecars: Native,
    pub cluster_version: String,
    pub excluded_namespaces: Vec<String>,
    pub namespace_defaults_missing: Missing,
    namespace_object: Option<NamespaceObject>,
    pub group: String,
    pub resource: String,
    pub sub_resource: String,
    pub operation: String,
}

/// Whether the cluster supports native sidecars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Native {
    Supported,
    Unsupported,
}

/// What becomes of a pod whose namespace lists a template by default that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Missing {
    Skip,
    Reject,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NamespaceObject {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: "demo".to_owned(),
            native_sidecars: Native::Supported,
            cluster_version: "1.36.0".to_owned(),
            excluded_namespaces: Vec::new(),
            namespace_defaults_missing: Missing::Skip,
            namespace_object: None,
            group: String::new(),
            resource: "pods".to_owned(),
            sub_resource: String::new(),
            operation: "CREATE".to_owned(),
        }
    }
}

impl Settings {
    /// The pod's namespace.
    pub fn namespace_object(&self) -> Option<Namespace> {
        let known = self.namespace_object.clone()?;
        Some(Namespace { name: self.namespace.clone(), labels: known.labels, annotations: known.annotations })
    }
}

/// All cases by name, sorted; an unreadable case is listed as its problem. `GOLDEN` selects some.
pub fn read_all() -> Vec<(String, Result<Case, Vec<String>>)> {
    let only = std::env::var("GOLDEN").unwrap_or_default();
    let names = names().into_iter().filter(|name| name.contains(&only));
    names.map(|name| (name.clone(), read(&name))).collect()
}

/// The names of all cases, sorted.
pub fn names() -> Vec<String> {
    let entries = std::fs::read_dir(root()).expect("the folder of golden cases");
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries.map(|entry| name(entry.expect("an entry"))).collect();
    names.sort();
    names
}

/// One case by name.
pub fn read(name: &str) -> Result<Case, Vec<String>> {
    let folder = root().join(name);
    check_names(&folder)?;
    let file: CaseFile = parse(&folder.join("case.yaml"))?;
    if file.comment.trim().is_empty() {
        return Err(vec!["case.yaml: the comment is empty".to_owned()]);
    }
    let expected = (file.verdict == Verdict::Injected).then(|| parse(&folder.join("expected.yaml"))).transpose()?;
    Ok(Case {
        settings: file.settings,
        verdict: file.verdict,
        reasons: file.reasons,
        codes: file.codes,
        message: file.message,
        message_max_length: file.message_max_length,
        warnings: file.warnings,
        explanations: file.explanations,
        broken_templates: file.broken_templates,
        templates: text(&folder.join("templates.yaml"))?,
        pod: parse(&folder.join("pod.yaml"))?,
        expected,
    })
}

/// Parses one YAML document of the test data.
pub fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Vec<String>> {
    serde_saphyr::from_str(&text(path)?).map_err(|error| vec![format!("{}: {error}", path.display())])
}

/// Parses all documents of a YAML text of the test data.
pub fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_default()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/inject")
}

fn text(path: &Path) -> Result<String, Vec<String>> {
    std::fs::read_to_string(path).map_err(|error| vec![format!("{}: {error}", path.display())])
}

/// A misspelt file name would silently check less.
fn check_names(folder: &Path) -> Result<(), Vec<String>> {
    const KNOWN: [&str; 4] = ["case.yaml", "templates.yaml", "pod.yaml", "expected.yaml"];
    let entries = std::fs::read_dir(folder).map_err(|error| vec![format!("{}: {error}", folder.display())])?;
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
    let strangers: Vec<String> =
        names.filter(|name| !KNOWN.contains(&name.as_str())).map(|name| format!("unknown file {name:?}")).collect();
    if strangers.is_empty() { Ok(()) } else { Err(strangers) }
}
