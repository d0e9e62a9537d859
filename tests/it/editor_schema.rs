//! `outrigger generate schema`: the JSON Schema for editors agrees with the loader.
//!
//! Every template of the repository that loads conforms to it, and mistakes that an editor can mark
//! do not. What only the loader finds is tested in `load`.
//!
//! Invariant: the schema is valid itself, and all failing templates are reported.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use boon::{Compiler, SchemaIndex, Schemas};
use outrigger::inject::{CompiledSource, SourceText, TemplateSet};
use serde_json::{Value, json};

/// Fewer documents than this mean that folders were not found.
const AT_LEAST: usize = 150;

/// Where the repository has templates: a folder, and the names of files in it or one level below.
const FOLDERS: [&str; 3] = ["config/templates", "tests/testdata/templates", "tests/testdata/inject"];

/// The schema as the command prints it, compiled, and so checked against the rules for schemas.
struct EditorSchema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl EditorSchema {
    fn printed() -> Self {
        let output = Command::new(env!("CARGO_BIN_EXE_outrigger")).args(["generate", "schema"]).output();
        let output = output.expect("the program runs");
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
        let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let id = schema["$id"].as_str().expect("an id").to_owned();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource(&id, schema).expect("a resource");
        let index = compiler.compile(&id, &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
        Self { schemas, index }
    }

    /// Why the document does not conform.
    fn fault(&self, document: &Value) -> Option<String> {
        self.schemas.validate(document, self.index).err().map(|error| format!("{error:#}"))
    }
}

#[test]
fn every_template_that_loads_conforms() {
    let schema = EditorSchema::printed();
    let (mut failing, mut count) = (String::new(), 0);
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let Some(documents) = loading(&text) else { continue };
        for document in documents {
            count += 1;
            if let Some(fault) = schema.fault(&document) {
                let _ = writeln!(failing, "== {}\n{fault}", path.display());
            }
        }
    }
    assert!(failing.is_empty(), "\n{failing}");
    assert!(count >= AT_LEAST, "only {count} templates found");
}

#[test]
fn mistakes_that_an_editor_can_mark_do_not_conform() {
    let schema = EditorSchema::printed();
    let good = json!({
        "apiVersion": "outrigger.dev/v1alpha1",
        "kind": "ClusterInjectionTemplate",
        "metadata": {"name": "log"},
        "spec": {
            "injection": "OptIn",
            "match": {"podSelector": {"matchLabels": {"app": "a"}}},
            "parameters": [{"name": "level", "type": "enum", "values": ["a"]}],
            "sidecars": [{"name": "log", "image": "a:1", "when": "true", "ports": [{"containerPort": 80}]}],
            "volumes": [{"name": "v", "emptyDir": {}, "share": {"mountedAt": "/a"}}],
            "files": [{"name": "f", "items": {"a": "b"}}],
            "app": {"containers": "All", "env": [{"name": "A", "value": "1", "onExisting": "Append"}]},
            "pod": {"hostUsers": false, "securityContext": {"runAsUser": 1}},
        },
    });
    assert_eq!(schema.fault(&good), None);
    let sidecar = |key: &str| format!("/spec/sidecars/0/{key}");
    for (pointer, value) in [
        ("/spec/sidecar".to_owned(), json!([])),
        ("/apiVersion".to_owned(), json!("outrigger.dev/v1")),
        ("/kind".to_owned(), json!("InjectionTemplates")),
        ("/metadata/name".to_owned(), json!("Log_1")),
        ("/spec/injection".to_owned(), json!("Always")),
        ("/spec/injection".to_owned(), json!("${params.level}")),
        ("/spec/match/podSelector/matchLabel".to_owned(), json!({})),
        ("/spec/match/podSelector".to_owned(), json!("${params.level}")),
        ("/spec/parameters/0/type".to_owned(), json!("text")),
        ("/spec/parameters/0/name".to_owned(), json!("1st")),
        ("/spec/parameters/0/maximun".to_owned(), json!(1)),
        ("/spec/sidecars".to_owned(), json!("${params.level}")),
        (sidecar("name"), json!(null)),
        (sidecar("args"), json!([null])),
        (sidecar("image"), json!(1)),
        (sidecar("imagePullPolicy"), json!("Sometimes")),
        (sidecar("ports/0/containerPort"), json!("80")),
        (sidecar("ports/0/containerPort"), json!("$${x}")),
        (sidecar("ports/0/protocol"), json!("HTTP")),
        (sidecar("stdin"), json!("yes")),
        (sidecar("resources"), json!({"limits": {"cpu": true}})),
        (sidecar("forEach"), json!(["a"])),
        ("/spec/volumes/0/share/mountPath".to_owned(), json!("/a")),
        ("/spec/files/0/item".to_owned(), json!({})),
        ("/spec/files/0/items".to_owned(), json!({"a": 1})),
        ("/spec/app/containers".to_owned(), json!("Last")),
        ("/spec/app/env/0/onExisting".to_owned(), json!("Replace")),
        ("/spec/app/default".to_owned(), json!({})),
        ("/spec/pod/hostUsers".to_owned(), json!("no")),
        ("/spec/pod/hostUser".to_owned(), json!(true)),
        ("/spec/pod/securityContext/runAsUser".to_owned(), json!(-1)),
        ("/spec/podResources".to_owned(), json!("Shrink")),
        ("/spec/qos".to_owned(), json!("Ignore")),
    ] {
        let mut bad = good.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        bad.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"))[key] = value;
        assert!(schema.fault(&bad).is_some(), "{pointer}");
    }
}

/// Expressions may stand for whole values below a part; null means absent.
#[test]
fn expressions_and_nulls_conform_where_the_loader_takes_them() {
    let schema = EditorSchema::printed();
    let document = json!({
        "apiVersion": "outrigger.dev/v1alpha1",
        "kind": "ClusterInjectionTemplate",
        "metadata": {"name": "log", "labels": null},
        "spec": {
            "match": null,
            "sidecars": [{
                "name": "${params.name}", "image": "a:1", "imagePullPolicy": "${params.policy}", "stdin": "${params.stdin}",
                "ports": [{"containerPort": "${int(params.port)}"}], "resources": "${app.resources}", "args": null,
                "livenessProbe": {"httpGet": {"port": "${params.port}"}, "periodSeconds": "${params.period}"},
                "env": ["${params.variable}"],
            }],
            "app": {"defaults": {"securityContext": {"runAsUser": "${params.user}"}}},
            "pod": {"affinity": {"podAffinity": "${app.affinity}"}, "hostUsers": "a${params.users}", "tolerations": null},
        },
        "status": {"revision": "0123456789"},
    });
    assert_eq!(schema.fault(&document), None);
}

/// The documents of a text, if all of them load.
fn loading(text: &str) -> Option<Vec<Value>> {
    let source = SourceText { origin: "templates.yaml".to_owned(), text: text.to_owned() };
    let sources = CompiledSource::compile_all(std::slice::from_ref(&source));
    let loaded = TemplateSet::assemble(&sources, &TemplateSet::default());
    if !loaded.problems.is_empty() {
        return None;
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Some(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// All files with templates.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in FOLDERS {
        for entry in std::fs::read_dir(root.join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")) {
            let path = entry.expect("an entry").path();
            let path = if path.is_dir() { path.join("templates.yaml") } else { path };
            let is_template = path.extension().is_some_and(|end| end == "yaml") && path.is_file();
            let is_case = path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(".test"));
            if is_template && !is_case {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
