//! Runs kustomize and Helm on the manifests and parses the result.
//!
//! The programs come from the folder in `KUBEBUILDER_ASSETS`, otherwise from the PATH.
//!
//! Invariant: if a program is missing, the test is ignored.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use super::{documents, repository};
use crate::harness;

/// Kind and name of an object. No two objects here differ only in their namespace.
pub type Key = (String, String);

/// A program. If it is missing, the test is ignored.
pub fn program(name: &str) -> Command {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = assets.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join(name));
    let found = found.into_iter().find(|program| program.is_file());
    Command::new(found.unwrap_or_else(|| harness::ignore(format!("{name} was not found"))))
}

/// The output of the program, which must succeed.
fn succeeds(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program runs");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("its output is text")
}

/// The standard error of the program, which must fail.
pub fn fails(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program runs");
    assert!(!status.success(), "{command:?} succeeded: {}", String::from_utf8_lossy(&stdout));
    String::from_utf8(stderr).expect("its output is text")
}

/// Objects of `kubectl kustomize`, with these components on top of the base.
pub fn kustomize(components: &[&str]) -> Vec<Value> {
    let components: String =
        components.iter().map(|component| format!("- manifests/components/{component}\n")).collect();
    let components = if components.is_empty() { components } else { format!("components:\n{components}") };
    kustomization(&format!("resources:\n- manifests/base\n{components}"))
}

/// Objects of a kustomization beside `manifests`.
pub fn kustomization(text: &str) -> Vec<Value> {
    let mut kubectl = program("kubectl");
    let folder = tempfile::tempdir().expect("a temporary directory");
    // kustomize takes no absolute paths, so the kustomization refers to the manifests by a link.
    std::os::unix::fs::symlink(repository("manifests"), folder.path().join("manifests")).expect("a link");
    fs::write(folder.path().join("kustomization.yaml"), text).expect("a file in a temporary directory");
    kubectl.arg("kustomize").arg(folder.path());
    documents("kubectl kustomize", &succeeds(kubectl))
}

/// `helm template` with these values.
pub fn helm_template(namespace: &str, values: &[&str]) -> Command {
    let mut helm = program("helm");
    let chart = repository("manifests/chart");
    // A helm that was built without release flags assumes Kubernetes 1.20.
    helm.args(["template", "outrigger"]).arg(chart).args(["--namespace", namespace, "--kube-version", "1.36.0"]);
    for value in values {
        helm.args(["--set", value]);
    }
    helm
}

/// Objects of the chart in `outrigger-system`, including those of `helm test`.
pub fn helm(values: &[&str]) -> Vec<Value> {
    documents("helm template", &succeeds(helm_template("outrigger-system", values)))
}

/// Objects of the chart with a file of values.
pub fn helm_with_values(values: &str) -> Vec<Value> {
    let mut helm = helm_template("outrigger-system", &[]);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), values).expect("a temporary file");
    helm.arg("--values").arg(file.path());
    documents("helm template", &succeeds(helm))
}

/// Runs `helm lint --strict` with these values.
pub fn helm_lint(values: &[&str]) -> String {
    let mut helm = program("helm");
    helm.args(["lint", "--strict"]).arg(repository("manifests/chart"));
    for value in values {
        helm.args(["--set", value]);
    }
    succeeds(helm)
}

/// Whether Helm creates the object only temporarily, such as for `helm test`.
pub fn is_hook(object: &Value) -> bool {
    object.pointer("/metadata/annotations/helm.sh~1hook").is_some()
}

/// Objects by kind and name, without those of hooks, which are not part of an installation.
pub fn by_key(objects: Vec<Value>) -> BTreeMap<Key, Value> {
    let objects: Vec<Value> = objects.into_iter().filter(|object| !is_hook(object)).collect();
    let count = objects.len();
    let key = |object: &Value| (super::text(object, "/kind").into(), super::text(object, "/metadata/name").into());
    let keyed: BTreeMap<Key, Value> = objects.into_iter().map(|object| (key(&object), object)).collect();
    assert_eq!(keyed.len(), count, "two objects have one kind and name");
    keyed
}
