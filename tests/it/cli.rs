//! The command line as users run it: the real binary, its streams and its exit code.
//!
//! What the engine puts in is the golden cases' matter; here it is what the commands make of it.

mod cases;
mod explain;
mod export;
mod lint;
mod manual;
mod mistakes;
mod problems;
mod schemas;
mod templates;
mod usage;
mod volumes;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory with one template, `helper`, which adds the sidecar `helper`; commands run in it.
struct Workspace(TempDir);

/// What a command did.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

const TEMPLATE: &str = "
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: helper}
spec:
  parameters:
  - {name: level, type: enum, values: [low, high], default: low}
  sidecars:
  - {name: helper, image: 'example.com/helper:1', args: ['${params.level}']}
  volumes:
  - {name: helper-data, emptyDir: {}}
  app:
    volumeMounts:
    - {name: helper-data, mountPath: /helper}
";

impl Workspace {
    fn new() -> Self {
        let workspace = Self(tempfile::tempdir().expect("a temporary directory"));
        std::fs::create_dir(workspace.path("templates")).expect("a directory");
        workspace.file("templates/helper.yaml", TEMPLATE);
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("a file");
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], stdin: &str) -> Ran {
        let mut child = outrigger()
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // A program that ends before it reads is a result, not a failure of the test.
        let _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
        let output = child.wait_with_output().expect("the program ends");
        Ran {
            code: output.status.code().expect("the program was not killed"),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// `outrigger inject --templates templates ARGUMENTS`
    fn inject(&self, arguments: &[&str], stdin: &str) -> Ran {
        self.run_with(&[&["inject", "--templates", "templates"], arguments].concat(), stdin)
    }
}

impl Ran {
    /// Stdout of a command that did what it was told, and said no more than what it did.
    fn done(self) -> String {
        let is_said = |line: &str| line.contains(": injected ") || line.ends_with(": removed what was injected");
        let other: Vec<&str> = self.stderr.lines().filter(|line| !is_said(line)).collect();
        assert_eq!((self.code, other), (0, vec![]), "stdout: {}", self.stdout);
        self.stdout
    }

    /// Lines on stderr of a command that failed, which must not have printed anything else.
    fn failed(self) -> Vec<String> {
        assert_eq!((self.code, self.stdout.as_str()), (1, ""), "stderr: {}", self.stderr);
        self.stderr.lines().map(str::to_owned).collect()
    }
}

fn outrigger() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
    command.env_remove("NO_COLOR").env_remove("OUTRIGGER_CONFIG");
    command
}

/// The template of a pod that asks for `helper`.
fn asking() -> Value {
    json!({
        "metadata": {"annotations": {"outrigger.dev/inject": "helper"}},
        "spec": {"containers": [{"name": "web", "image": "example.com/web:1"}]},
    })
}

fn deployment(name: &str, template: Value) -> Value {
    let spec = json!({"selector": {"matchLabels": {"app": name}}, "template": template});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})
}

fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}})
}

fn pod(name: &str) -> Value {
    let mut pod = asking();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = name.into();
    pod
}

/// Each kind of workload with its pod template, and where that stands.
fn workloads() -> Vec<(Value, &'static str)> {
    let of = |api_version: &str, kind: &str, spec: Value| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web"}, "spec": spec});
    let template = || json!({"template": asking()});
    vec![
        (pod("web"), ""),
        (of("apps/v1", "Deployment", template()), "/spec/template"),
        (of("apps/v1", "StatefulSet", template()), "/spec/template"),
        (of("apps/v1", "DaemonSet", template()), "/spec/template"),
        (of("apps/v1", "ReplicaSet", template()), "/spec/template"),
        (of("v1", "ReplicationController", template()), "/spec/template"),
        (of("batch/v1", "Job", template()), "/spec/template"),
        (
            of("batch/v1", "CronJob", json!({"schedule": "@daily", "jobTemplate": {"spec": template()}})),
            "/spec/jobTemplate/spec/template",
        ),
    ]
}

/// Documents of a YAML stream.
fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

fn stream(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("---\n{object}\n")).collect()
}

/// Whether the pod at `pointer` carries what the template adds.
fn carries_helper(document: &Value, pointer: &str) -> bool {
    let pod = document.pointer(pointer).expect("the pod is where it was");
    let names = |list: &str| -> Vec<&str> {
        let items = pod.pointer(list).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|item| item["name"].as_str()).collect()
    };
    names("/spec/initContainers").contains(&"helper") && names("/spec/volumes").contains(&"helper-data")
}

// --- inject

#[test]
fn every_kind_of_workload_is_injected() {
    let workspace = Workspace::new();
    for (object, pointer) in workloads() {
        let printed = documents(&workspace.inject(&["-f", "-"], &object.to_string()).done());
        assert_eq!(printed.len(), 1);
        assert!(carries_helper(&printed[0], pointer), "{}", printed[0]);
    }
}

#[test]
fn a_list_keeps_its_items_and_gets_each_injected() {
    let items: Vec<Value> = workloads().into_iter().map(|(object, _)| object).chain([service("web")]).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let printed = documents(&Workspace::new().inject(&["-f", "-"], &list.to_string()).done());
    for (index, (_, pointer)) in workloads().iter().enumerate() {
        assert!(carries_helper(&printed[0], &format!("/items/{index}{pointer}")), "item {index}");
    }
    assert_eq!(printed[0]["items"][workloads().len()], service("web"));
}

#[test]
fn documents_keep_their_order_and_other_kinds_are_left_alone() {
    let workspace = Workspace::new();
    let nasty = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {
        "on": "on", "octal": "010", "script": "#!/bin/sh\necho \"a: b\"\n", "crlf": "a\r\nb", "spaces": " a ", "big": "9007199254740993"}});
    workspace.file("a.yaml", stream(&[service("first"), deployment("web", asking()), nasty.clone()]));
    workspace.file("b.json", service("last").to_string());
    let printed = documents(&workspace.inject(&["-f", "a.yaml", "-f", "b.json"], "").done());
    assert_eq!(printed.len(), 4);
    assert_eq!((&printed[0], &printed[2], &printed[3]), (&service("first"), &nasty, &service("last")));
    assert!(carries_helper(&printed[1], "/spec/template"));
}

#[test]
fn large_integers_keep_their_value() {
    let mut object = pod("web");
    object["spec"]["unknown"] = json!({"a": u64::MAX, "b": i64::MIN, "c": 9_007_199_254_740_993_u64});
    let printed = documents(&Workspace::new().inject(&["-f", "-"], &object.to_string()).done());
    assert_eq!(printed[0]["spec"]["unknown"], object["spec"]["unknown"]);
}

#[test]
fn json_is_one_object_or_a_list() {
    let workspace = Workspace::new();
    let one = workspace.inject(&["-f", "-", "-o", "json"], &pod("web").to_string()).done();
    let one: Value = serde_json::from_str(&one).expect("JSON");
    assert!(carries_helper(&one, ""));
    let two = workspace.inject(&["-f", "-", "-o", "json"], &stream(&[service("a"), pod("web")])).done();
    let two: Value = serde_json::from_str(&two).expect("JSON");
    assert_eq!((&two["kind"], &two["items"][0], &two["items"][1]), (&json!("List"), &service("a"), &one));
}

#[test]
fn the_patch_makes_of_the_object_what_yaml_prints() {
    let workspace = Workspace::new();
    for (object, _) in workloads() {
        let patch = workspace.inject(&["-f", "-", "-o", "patch"], &object.to_string()).done();
        let patch: json_patch::Patch = serde_json::from_str(&patch).expect("a JSON Patch");
        let mut patched = object.clone();
        json_patch::patch(&mut patched, &patch).expect("the patch applies");
        assert_eq!(vec![patched], documents(&workspace.inject(&["-f", "-"], &object.to_string()).done()));
    }
}

#[test]
fn a_patch_takes_one_object() {
    let ran = Workspace::new().inject(&["-f", "-", "-o", "patch"], &stream(&[pod("a"), pod("b")]));
    assert_eq!(ran.failed(), ["error: -o patch takes one object, found 2; use -o yaml, json or diff"]);
}

#[test]
fn the_diff_shows_what_was_added_and_nothing_else() {
    let objects = stream(&[service("web"), deployment("web", asking())]);
    let diff = Workspace::new().inject(&["-f", "-", "-o", "diff"], &objects).done();
    assert!(diff.starts_with("--- Deployment web (before)\n+++ Deployment web (after)\n@@ "), "{diff}");
    assert!(diff.contains("\n+      - name: helper\n"), "{diff}");
    assert!(!diff.contains("Service"), "{diff}");
    assert!(!diff.contains('\u{1b}'), "a pipe gets no colours: {diff:?}");
}

#[test]
fn skipped_objects_are_reported_with_their_reason() {
    let mut silent = asking();
    silent["metadata"] = json!({});
    let object = deployment("web", silent);
    let ran = Workspace::new().inject(&["-f", "-"], &object.to_string());
    assert_eq!((ran.code, documents(&ran.stdout)), (0, vec![object]));
    assert!(ran.stderr.starts_with("stdin:1: Deployment web: not_requested: "), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1);
}

#[test]
fn an_annotation_on_the_workload_itself_gives_a_warning() {
    let mut object = deployment("web", asking());
    let annotations = object["spec"]["template"]["metadata"]["annotations"].take();
    object["metadata"]["annotations"] = annotations;
    let ran = Workspace::new().inject(&["-f", "-"], &object.to_string());
    let warning = "warning: stdin:1: Deployment web: key_misplaced: annotation outrigger.dev/inject has no effect in \
                   metadata.annotations; move it to spec.template.metadata.annotations";
    assert_eq!(ran.stderr.lines().next(), Some(warning));
    assert!(ran.stderr.contains("\nstdin:1: Deployment web: not_requested: "), "{}", ran.stderr);
    assert_eq!(documents(&ran.stdout), [object]);
}

#[test]
fn if_one_object_is_refused_nothing_is_printed_and_all_refusals_are_reported() {
    let mut unknown = asking();
    unknown["metadata"]["annotations"]["outrigger.dev/inject"] = "helpr".into();
    let mut parameter = asking();
    parameter["metadata"]["annotations"]["helper.outrigger.dev/level"] = "medium".into();
    let objects =
        stream(&[deployment("good", asking()), deployment("unknown", unknown), deployment("parameter", parameter)]);
    for format in ["yaml", "json", "diff"] {
        let lines = Workspace::new().inject(&["-f", "-", "-o", format], &objects).failed();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("error: stdin:4: Deployment unknown: template_not_found: "), "{lines:?}");
        assert!(lines[1].starts_with("error: stdin:6: Deployment parameter: parameter_invalid: "), "{lines:?}");
    }
}

#[test]
fn a_pod_template_without_metadata_gets_what_its_namespace_asks_for() {
    let workspace = Workspace::new();
    workspace.file(
        "namespace.yaml",
        "{apiVersion: v1, kind: Namespace, metadata: {name: demo, labels: {outrigger.dev/injection: enabled}, annotations: {outrigger.dev/inject: helper}}}",
    );
    let without = json!({"spec": asking()["spec"]});
    let with_null = json!({"metadata": null, "spec": asking()["spec"]});
    for template in [without, with_null] {
        let object = deployment("web", template).to_string();
        let arguments = ["-f", "-", "--namespace-file", "namespace.yaml"];
        let printed = documents(&workspace.inject(&arguments, &object).done());
        assert!(carries_helper(&printed[0], "/spec/template"), "{}", printed[0]);
        let patch = workspace.inject(&[&arguments[..], &["-o", "patch"]].concat(), &object).done();
        let patch: json_patch::Patch = serde_json::from_str(&patch).expect("a JSON Patch");
        let mut patched: Value = serde_json::from_str(&object).expect("JSON");
        json_patch::patch(&mut patched, &patch).expect("the patch applies");
        assert_eq!(patched, printed[0]);
        let back = documents(&workspace.run_with(&["uninject", "-f", "-"], &patched.to_string()).done());
        assert_eq!(back[0].to_string(), object);
    }
}

#[test]
fn the_namespace_is_the_objects_own_else_the_flags() {
    let workspace = Workspace::new();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "off", "labels": {"outrigger.dev/injection": "disabled"}}});
    workspace.file("namespace.json", namespace.to_string());
    let mut elsewhere = pod("web");
    elsewhere["metadata"]["namespace"] = "on".into();
    let run = |object: &Value, arguments: &[&str]| {
        workspace.inject(&[&["-f", "-", "--namespace-file", "namespace.json"], arguments].concat(), &object.to_string())
    };
    for (object, arguments, skipped) in [
        (pod("web"), &["-n", "off"][..], true),
        (pod("web"), &["-n", "on"], false),
        (elsewhere.clone(), &["-n", "off"], false),
        // The file's only namespace is where objects that name none go.
        (pod("web"), &[], true),
    ] {
        assert_eq!(run(&object, arguments).stderr.contains("namespace_disabled"), skipped, "{arguments:?}");
    }
}

#[test]
fn namespaces_beside_the_workloads_count() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "off", "labels": {"outrigger.dev/injection": "disabled"}}});
    let mut object = pod("web");
    object["metadata"]["namespace"] = "off".into();
    let ran = Workspace::new().inject(&["-f", "-"], &stream(&[namespace, object]));
    assert!(ran.stderr.starts_with("warning: stdin:4: Pod off/web: namespace_disabled: "), "{}", ran.stderr);
}

#[test]
fn sidecars_are_native_where_the_cluster_has_them() {
    let workspace = Workspace::new();
    let native = |arguments: &[&str]| {
        let ran = workspace.inject(&[&["-f", "-"], arguments].concat(), &pod("web").to_string());
        documents(&ran.stdout)[0]["spec"]["initContainers"].is_array()
    };
    assert!(native(&[]));
    assert!(!native(&["--cluster-version", "1.31"]));
    assert!(native(&["--cluster-version", "v1.32.1"]));
    assert!(native(&["--cluster-version", "1.31", "--native-sidecars", "always"]));
    assert!(!native(&["--native-sidecars", "never"]));
}

#[test]
fn the_built_in_templates_are_there_when_no_directory_is_named() {
    let mut object = pod("web");
    object["metadata"]["annotations"]["outrigger.dev/inject"] = "log-collector".into();
    let printed = documents(&Workspace::new().run_with(&["inject", "-f", "-"], &object.to_string()).done());
    assert!(
        printed[0]["metadata"]["annotations"]["outrigger.dev/status"]
            .as_str()
            .is_some_and(|status| status.contains("log-collector"))
    );
}

#[test]
fn another_domain_means_other_annotations() {
    let mut object = pod("web");
    object["metadata"]["annotations"] = json!({"sidecars.example.com/inject": "helper"});
    let printed = Workspace::new().inject(&["-f", "-", "--domain", "sidecars.example.com"], &object.to_string()).done();
    let printed = documents(&printed);
    assert!(carries_helper(&printed[0], ""));
    assert!(printed[0]["metadata"]["annotations"]["sidecars.example.com/status"].is_string());
}

#[test]
fn all_errors_of_all_templates_are_listed() {
    let workspace = Workspace::new();
    workspace.file(
        "templates/broken.yaml",
        TEMPLATE.replace("name: helper}", "name: other}").replace("sidecars", "sidecar").replace("volumes", "volume"),
    );
    let lines = workspace.inject(&["-f", "-"], &pod("web").to_string()).failed();
    assert!(lines.len() >= 2 && lines.iter().all(|line| line.contains("broken.yaml:")), "{lines:?}");
}

// --- uninject

#[test]
fn uninject_gives_back_the_input() {
    let workspace = Workspace::new();
    let objects: Vec<Value> = workloads().into_iter().map(|(object, _)| object).chain([service("web")]).collect();
    let injected = workspace.inject(&["-f", "-"], &stream(&objects)).done();
    assert!(documents(&injected) != objects);
    let back = workspace.run_with(&["uninject", "-f", "-"], &injected).done();
    assert_eq!(documents(&back), objects);
    let as_json = workspace.run_with(&["uninject", "-f", "-", "-o", "json"], &injected).done();
    let as_json: Value = serde_json::from_str(&as_json).expect("JSON");
    assert_eq!(as_json["items"], Value::from(objects));
    let diff = workspace.run_with(&["uninject", "-f", "-", "-o", "diff"], &injected).done();
    assert!(diff.contains("\n-      - name: helper\n"), "{diff}");
}

#[test]
fn uninject_reports_pods_without_injected_sidecars() {
    let ran = Workspace::new().run_with(&["uninject", "-f", "-"], &pod("web").to_string());
    assert_eq!((ran.code, documents(&ran.stdout)), (0, vec![pod("web")]));
    assert_eq!(ran.stderr, "stdin:1: Pod web: contains nothing that was injected\n");
}

// --- bad input
