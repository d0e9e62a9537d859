//! `outrigger templates`: the list, one template, and what is not there.

use serde_json::Value;

use super::Workspace;

const REQUIRED: &str = "
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: tracer}
spec:
  description: Sends traces.
  requires: [helper]
  parameters:
  - {name: endpoint, type: string, pattern: '^https://', description: Where traces go.}
  - {name: labels, type: map, default: {team: a}}
  - {name: globs, type: list, default: ['a,b', c, '$${x}']}
  sidecars:
  - {name: tracer, image: 'example.com/tracer:1', args: ['${params.endpoint}', '${params.labels.team}', '${params.globs[0]}', '${string(size(params.globs))}', '${params.globs[2]}']}
  pod: {shareProcessNamespace: true}
";

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.file("templates/tracer.yaml", REQUIRED);
    workspace
}

#[test]
fn the_list_has_a_line_for_each_template() {
    let stdout = workspace().run(&["templates", "--templates", "templates"]).done();
    let lines: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "REVISION", "INJECTION", "DESCRIPTION"]);
    assert_eq!((lines[1][0], lines[2][0], lines[2].len(), lines.len()), ("helper", "tracer", 5, 3), "{stdout}");
    let built_in = workspace().run(&["templates"]).done();
    assert!(built_in.lines().count() > 30 && built_in.contains("\nlog-collector "), "{built_in}");
}

#[test]
fn one_template_is_shown_with_annotations_to_paste() {
    let stdout = workspace().run(&["templates", "tracer", "--templates", "templates"]).done();
    for line in [
        "  description   Sends traces.",
        "  requires      helper",
        "  sidecars      tracer (example.com/tracer:1)",
        "  pod           shareProcessNamespace",
        "    endpoint: string, matches ^https://; required",
        "      Where traces go.",
        "    labels: map; default \"team=a\"",
        r#"    # tracer.outrigger.dev/globs: "[\"a,b\",\"c\",\"${x}\"]""#,
        "  annotations:",
        "    outrigger.dev/inject: \"tracer\"",
        "    tracer.outrigger.dev/endpoint: \"\"  # required",
        "    # tracer.outrigger.dev/labels: \"team=a\"",
    ] {
        assert!(stdout.lines().any(|shown| shown == line), "{line} is missing in {stdout}");
    }
    let json = workspace().run(&["templates", "tracer", "--templates", "templates", "-o", "json"]).done();
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["templates"][0]["parameters"][0]["annotation"], "tracer.outrigger.dev/endpoint");
    assert_eq!(json["templates"].as_array().map(Vec::len), Some(1));
}

/// What is shown to paste is an annotation that the template takes.
#[test]
fn pasted_annotations_are_accepted() {
    let workspace = workspace();
    let shown = workspace.run(&["templates", "helper", "--templates", "templates"]).done();
    let block = shown.split_once("  annotations:\n").expect("a block").1.replace("    # ", "    ");
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  annotations:\n{block}spec:\n  containers: [{{name: web, image: web:1}}]\n"
    );
    workspace.file("pod.yaml", pod);
    let injected = workspace.run(&["inject", "-f", "pod.yaml", "--templates", "templates"]).done();
    assert!(injected.contains("example.com/helper:1"), "{injected}");
    workspace.file("templates/tracer.yaml", REQUIRED.replace("  requires: [helper]\n", ""));
    let shown = workspace.run(&["templates", "tracer", "--templates", "templates"]).done();
    let block = shown.split_once("  annotations:\n").expect("a block").1.replace("    # ", "    ");
    let block = block.replace("\"\"  # required", "https://a");
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  annotations:\n{block}spec:\n  containers: [{{name: web, image: web:1}}]\n"
    );
    workspace.file("pod.yaml", pod);
    let injected = workspace.run(&["inject", "-f", "pod.yaml", "--templates", "templates", "-o", "json"]).done();
    let injected: Value = serde_json::from_str(&injected).expect("JSON");
    let args = injected.pointer("/spec/initContainers/0/args").expect("the sidecar");
    assert_eq!(*args, serde_json::json!(["https://a", "a", "a,b", "3", "${x}"]));
}

#[test]
fn a_name_that_is_not_there_and_templates_that_do_not_load_are_errors() {
    let workspace = workspace();
    let failed = workspace.run(&["templates", "tracr", "--templates", "templates"]).failed();
    assert_eq!(failed, ["error: no template is called \"tracr\"; did you mean \"tracer\"?"]);
    let failed = workspace.run(&["templates", "--templates", "nowhere"]).failed();
    assert_eq!(failed, ["error: nowhere: there is no such file or directory"]);
    workspace.file("templates/broken.yaml", "kind: nothing");
    let failed = workspace.run(&["templates", "--templates", "templates"]).failed();
    assert!(failed[0].starts_with("error: templates/broken.yaml:1:"), "{failed:?}");
    workspace.file("kubeconfig", "apiVersion: v1\nkind: Config\n");
    let failed = workspace.run(&["templates", "--in-cluster", "--kubeconfig", "kubeconfig"]).failed();
    assert!(failed[0].contains("the kubeconfig has no current context"), "{failed:?}");
}
