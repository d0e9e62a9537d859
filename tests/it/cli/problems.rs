//! What is said of inputs that cannot be read, or hold nothing to inject.

use pretty_assertions::assert_eq;
use serde_json::json;

use super::{TEMPLATE, Workspace, asking};

/// Lines that `inject -f bad.yaml` prints on stderr for this content.
fn problems_of(content: impl AsRef<[u8]>) -> Vec<String> {
    let workspace = Workspace::new();
    workspace.file("bad.yaml", content);
    workspace.inject(&["-f", "bad.yaml"], "").failed()
}

/// `built-in` is a source like a directory; a name in both is an error that says what to do.
#[test]
fn built_in_templates_stand_beside_those_of_directories() {
    let workspace = Workspace::new();
    let both = ["inject", "-f", "-", "--templates", "built-in", "--templates", "templates"];
    let mut pod = asking();
    pod["metadata"]["annotations"]["outrigger.dev/inject"] = json!("helper,log-collector");
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    let injected = workspace.run_with(&both, &pod.to_string()).done();
    assert!(injected.contains("name: helper\n") && injected.contains("name: fluent-bit\n"), "{injected}");
    // Named alone, the directory is all there is.
    let lines = workspace.inject(&["-f", "-"], &pod.to_string()).failed();
    assert!(lines[0].contains("template_not_found"), "{lines:?}");

    // A template of the directory replaces the built-in one of its name.
    workspace.file("templates/mine.yaml", TEMPLATE.replace("helper}", "log-collector}"));
    let replaced = workspace.run_with(&both, &pod.to_string()).done();
    assert!(replaced.contains("name: helper\n") && !replaced.contains("name: fluent-bit\n"), "{replaced}");
}

#[test]
fn files_that_cannot_be_read_are_all_named() {
    let workspace = Workspace::new();
    workspace.file("latin1.yaml", b"kind: \xe9");
    std::fs::create_dir(workspace.path("empty")).expect("a directory");
    let files = ["missing.yaml", "empty", "https://example.com/app.yaml", "latin1.yaml"];
    let lines = workspace.inject(&[&["-f"][..], &files].concat(), "").failed();
    assert_eq!(
        lines,
        [
            "error: missing.yaml: there is no such file or directory",
            "error: empty: the directory has no file *.yaml, *.yml or *.json; -R reads the directories below it too",
            "error: https://example.com/app.yaml: URLs are not read; download it first: \
             curl -fsSL https://example.com/app.yaml | outrigger inject -f -",
            "error: latin1.yaml: byte 6 is not UTF-8, expected YAML or JSON as text",
        ]
    );
}

#[test]
fn stdin_can_be_named_once() {
    for command in ["inject", "convert"] {
        let ran = Workspace::new().run(&[command, "-f", "-", "-f", "-"]);
        let expected = "error: stdin (-) is named twice, but can be read only once\n";
        assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (2, "", expected));
        let ran = Workspace::new().run(&[command, "-f", "https://a.example/b.yaml"]);
        assert!(ran.stderr.contains(&format!("b.yaml | outrigger {command} -f -")), "{}", ran.stderr);
    }
    for arguments in [
        &["inject", "--namespace-file", "-", "-f", "-"][..],
        &["explain", "--namespace-file", "-", "-f", "-"],
        &["lint", "-", "-"],
    ] {
        let ran = Workspace::new().run_with(arguments, "kind: Namespace\nmetadata: {name: a}\n");
        let expected = "error: stdin (-) is named twice, but can be read only once\n";
        assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (2, "", expected), "{arguments:?}");
    }
}

#[test]
fn broken_yaml_is_named_with_its_place() {
    let lines = problems_of("apiVersion: v1\nkind: Pod\nmetadata: {name: [\n");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("error: bad.yaml:"), "{lines:?}");
    let lines = problems_of("apiVersion: v1\nkind: Pod\nkind: Job\n");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("error: bad.yaml:3:1: ") && lines[0].contains("\"kind\""), "{lines:?}");
}

#[test]
fn objects_that_are_none_are_noted_and_printed_as_they_are() {
    let text = "apiVersion: v1\n---\njust text\n---\n{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: null}\n";
    let ran = Workspace::new().inject(&["-f", "-"], text);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, text));
    let expected = [
        "stdin:1: object: object_incomplete: no kind, expected a Kubernetes object; it is left as it is",
        "stdin:3: object: object_incomplete: expected a Kubernetes object, found a string; it is left as it is",
        "stdin:5: Pod web: object_incomplete: spec is null, expected an object; it is left as it is",
    ];
    assert_eq!(ran.stderr.lines().collect::<Vec<_>>(), expected);
    let none = "error: the input contains no Kubernetes object, expected one with apiVersion and kind";
    assert_eq!(problems_of("a: 1\n---\ntext\n"), [none]);
}

#[test]
fn an_input_without_objects_is_an_error() {
    for empty in ["", "\n", "# nothing\n", "---\n---\n"] {
        assert_eq!(problems_of(empty), ["error: bad.yaml: the input contains no object, expected YAML or JSON"]);
    }
}

// --- manners
