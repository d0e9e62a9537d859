//! What kustomize and Helm make of the manifests, by running them.
//!
//! The programs come from the folder that `KUBEBUILDER_ASSETS` names, else from the search path. Invariant: where a program is
//! missing, the test is ignored.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use super::{documents, repository};
use crate::harness;

/// Kind and name of an object. No two objects here differ in their namespaces alone.
pub type Key = (String, String);

/// A program. Where it is missing, the running test is ignored.
pub fn program(name: &str) -> Command {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = assets.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join(name));
    let found = found.into_iter().find(|program| program.is_file());
    Command::new(found.unwrap_or_else(|| harness::ignore(format!("{name} was not found"))))
}

/// What the program printed; it must end well.
fn succeeds(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program runs");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("its output is text")
}

/// What the program said on standard error; it must end badly.
pub fn fails(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program runs");
    assert!(!status.success(), "{command:?} succeeded: {}", String::from_utf8_lossy(&stdout));
    String::from_utf8(stderr).expect("its output is text")
}

/// Objects of `kubectl kustomize`, with these components over the base.
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
    // kustomize takes no absolute paths, so what a user writes in a kustomization of their own is written with a link.
    std::os::unix::fs::symlink(repository("manifests"), folder.path().join("manifests")).expect("a link");
    fs::write(folder.path().join("kustomization.yaml"), text).expect("a file in a temporary directory");
    kubectl.arg("kustomize").arg(folder.path());
    documents("kubectl kustomize", &succeeds(kubectl))
}

/// `helm template` with these values.
pub fn helm_template(namespace: &str, values: &[&str]) -> Command {
    let mut helm = program("helm");
    let chart = repository("manifests/chart");
    // A helm that was built without release flags believes in Kubernetes 1.20.
    helm.args(["template", "outrigger"]).arg(chart).args(["--namespace", namespace, "--kube-version", "1.36.0"]);
    for value in values {
        helm.args(["--set", value]);
    }
    helm
}

/// Objects of the chart in `outrigger-system`, those of `helm test` among them.
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

/// Whether Helm makes the object for a moment only, such as for `helm test`.
pub fn is_hook(object: &Value) -> bool {
    object.pointer("/metadata/annotations/helm.sh~1hook").is_some()
}

/// Objects by kind and name; those of hooks are no part of an installation.
pub fn by_key(objects: Vec<Value>) -> BTreeMap<Key, Value> {
    let objects: Vec<Value> = objects.into_iter().filter(|object| !is_hook(object)).collect();
    let count = objects.len();
    let key = |object: &Value| (super::text(object, "/kind").into(), super::text(object, "/metadata/name").into());
    let keyed: BTreeMap<Key, Value> = objects.into_iter().map(|object| (key(&object), object)).collect();
    assert_eq!(keyed.len(), count, "two objects have one kind and name");
    keyed
}
