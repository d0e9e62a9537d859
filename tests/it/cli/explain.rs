//! `outrigger explain` on files: what it says of each reason, its formats, its exit codes.

use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use super::{Workspace, asking, deployment, pod, service, stream, workloads};

/// The explanations of these objects, as JSON.
fn explained(workspace: &Workspace, arguments: &[&str], input: &str) -> Vec<Value> {
    let all = [&["explain", "--templates", "templates", "-f", "-", "-o", "json"], arguments].concat();
    let ran = workspace.run_with(&all, input);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout));
    report["explanations"].as_array().cloned().expect("a list")
}

fn one(workspace: &Workspace, object: &Value) -> Value {
    explained(workspace, &[], &object.to_string()).pop().expect("one explanation")
}

fn with_annotations(annotations: &Value) -> Value {
    let mut object = pod("web");
    object["metadata"]["annotations"] = annotations.clone();
    object
}

/// The verdicts of the steps, by name.
fn verdicts(explanation: &Value) -> Vec<(String, String)> {
    let steps = explanation["decision"]["steps"].as_array().expect("steps");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    steps.iter().map(|step| (text(&step["step"]), text(&step["verdict"]))).collect()
}

/// The step that stops the decision.
fn stops_at(explanation: &Value) -> Option<String> {
    verdicts(explanation).into_iter().find(|(_, verdict)| verdict == "stopped").map(|(step, _)| step)
}

#[test]
fn each_reason_names_its_step_its_effect_and_the_actual_value() {
    let workspace = Workspace::new();
    let inject = |list: &str| json!({"outrigger.dev/inject": list});
    let mut conflict = pod("web");
    conflict["spec"]["initContainers"] = json!([{"name": "helper", "image": "other:1"}]);
    let mut ours = pod("web");
    ours["metadata"]["labels"] = json!({"app.kubernetes.io/name": "outrigger"});
    let mut system = pod("web");
    system["metadata"]["namespace"] = json!("kube-system");
    let parameter = json!({"outrigger.dev/inject": "helper", "helper.outrigger.dev/level": "loud"});
    for (object, effect, step, said) in [
        (pod("web"), "injected", None, "gets helper"),
        (with_annotations(&json!({})), "skipped", Some("requested"), "if the API server asks, which is not known"),
        (with_annotations(&inject("false")), "skipped", Some("opt_out"), "opted_out"),
        (with_annotations(&inject("helpr")), "refused", Some("templates"), "did you mean \\\"helper\\\"?"),
        (with_annotations(&inject("helper, false")), "refused", Some("requested"), "annotation_invalid"),
        (with_annotations(&parameter), "refused", Some("templates"), "parameter_invalid"),
        (conflict, "refused", Some("merge"), "conflict"),
        (ours, "not_asked", None, "objectSelector app.kubernetes.io/name"),
        (system, "not_asked", Some("namespace"), "kube-system"),
    ] {
        let explanation = one(&workspace, &object);
        assert_eq!(explanation["effect"], effect, "{explanation:#}");
        assert_eq!(stops_at(&explanation).as_deref(), step, "{explanation:#}");
        assert!(explanation["summary"].to_string().contains(said), "{said}: {}", explanation["summary"]);
    }
}

#[test]
fn steps_after_the_one_that_stops_are_not_reached() {
    let explanation = one(&Workspace::new(), &with_annotations(&json!({"outrigger.dev/inject": "false"})));
    let expected =
        ["passed", "passed", "passed", "stopped", "not_reached", "not_reached", "not_reached", "not_reached"];
    let found: Vec<String> = verdicts(&explanation).into_iter().map(|(_, verdict)| verdict).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_kind_of_workload_is_explained_and_other_kinds_are_passed_over() {
    let objects: Vec<Value> = workloads().into_iter().map(|(object, _)| object).chain([service("db")]).collect();
    let found = explained(&Workspace::new(), &[], &stream(&objects));
    assert_eq!(found.len(), workloads().len());
    assert!(found.iter().all(|explanation| explanation["effect"] == "injected"), "{found:#?}");
}

#[test]
fn a_template_tells_its_parameters_and_what_it_brings_to_which_container() {
    let explanation = one(&Workspace::new(), &deployment("web", asking()));
    let template = &explanation["decision"]["templates"][0];
    assert_eq!(
        template["parameters"],
        json!([{"name": "level", "value": "low", "source": "default", "annotation": "helper.outrigger.dev/level"}])
    );
    assert_eq!(
        template["brings"],
        json!([
            {"kind": "sidecar", "name": "helper", "detail": "example.com/helper:1"},
            {"kind": "volume", "name": "helper-data", "detail": "emptyDir"},
            {"kind": "mount", "name": "/helper", "detail": "volume helper-data", "container": "web"},
        ])
    );
}

#[test]
fn conditions_selectors_and_items_left_out_are_told_with_their_values() {
    let workspace = Workspace::new();
    workspace.file(
        "templates/picky.yaml",
        "
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: picky}
spec:
  match:
    podSelector: {matchLabels: {tier: web}}
    conditions:
    - {expression: '!has(pod.spec.hostNetwork)', message: not with the host network}
  parameters:
  - {name: debug, type: boolean, default: false}
  - {name: size, type: string, default: '${pod.metadata.name}'}
  sidecars:
  - {name: picky, image: 'example.com/picky:1'}
  - {name: debugger, image: 'example.com/debugger:1', when: params.debug}
",
    );
    let mut object = with_annotations(&json!({"outrigger.dev/inject": "picky"}));
    let refused = one(&workspace, &object);
    let checks = refused["decision"]["templates"][0]["checks"].to_string();
    assert!(checks.contains(r#"{"found":"absent","holds":false,"what":"match.podSelector tier=web"}"#), "{checks}");
    object["metadata"]["labels"] = json!({"tier": "web"});
    let injected = one(&workspace, &object);
    let template = &injected["decision"]["templates"][0];
    assert_eq!(injected["effect"], "injected", "{injected:#}");
    assert_eq!(template["left_out_items"], json!([{"path": "spec.sidecars[1]", "clause": "when: params.debug"}]));
    assert_eq!(template["parameters"][1]["source"], "computed", "{template:#}");
    assert_eq!(template["parameters"][1]["value"], "web");
    object["spec"]["hostNetwork"] = json!(true);
    let refused = one(&workspace, &object);
    let checks = refused["decision"]["templates"][0]["checks"].to_string();
    assert!(checks.contains("false: not with the host network"), "{checks}");
}

/// The checks of the first template, as one text.
fn checks(explanation: &Value) -> String {
    explanation["decision"]["templates"][0]["checks"].to_string()
}

#[test]
fn a_template_of_the_namespace_and_a_hidden_one_are_told() {
    let workspace = Workspace::new();
    let own = "
apiVersion: outrigger.dev/v1alpha1
kind: InjectionTemplate
metadata: {name: helper, namespace: default}
spec:
  sidecars: [{name: own, image: 'example.com/own:1', resources: {limits: {memory: 16Mi}}}]
";
    workspace.file("templates/own.yaml", own);
    let hidden = one(&workspace, &pod("web"));
    assert!(checks(&hidden).contains("the cluster's template is used, not that of the namespace"), "{hidden:#}");
    workspace.file("templates/helper.yaml", super::TEMPLATE.replace("spec:\n", "spec:\n  shadowable: true\n"));
    let shadowed = one(&workspace, &pod("web"));
    assert!(checks(&shadowed).contains("takes the place of the cluster's template"), "{shadowed:#}");
    assert!(checks(&shadowed).contains("InjectionTemplate of namespace \\\"default\\\""), "{shadowed:#}");
}

#[test]
fn a_revision_that_is_not_kept_is_told_with_those_that_are() {
    let refused = one(&Workspace::new(), &with_annotations(&json!({"outrigger.dev/inject": "helper@0123456789"})));
    assert_eq!(refused["effect"], "refused");
    assert!(checks(&refused).contains("only revisions "), "{refused:#}");
    assert!(checks(&refused).contains(r#"{"found":"0123456789","what":"pinned revision"}"#), "{refused:#}");
}

#[test]
fn labels_of_the_namespace_decide_and_their_absence_is_told() {
    let workspace = Workspace::new();
    let namespace = |label: &str| {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default",
            "labels": {"outrigger.dev/injection": label}, "annotations": {"outrigger.dev/inject": "helper"}}})
    };
    let silent = with_annotations(&json!({}));
    for (label, effect) in [("enabled", "injected"), ("disabled", "not_asked"), ("on", "not_asked")] {
        workspace.file("namespace.yaml", namespace(label).to_string());
        let found = explained(&workspace, &["--namespace-file", "namespace.yaml"], &silent.to_string());
        assert_eq!(found[0]["effect"], effect, "{label}: {:#}", found[0]);
    }
    let unknown = one(&workspace, &silent);
    assert!(unknown["notes"].to_string().contains("--namespace-file"), "{unknown:#}");
}

#[test]
fn what_an_injected_object_carries_is_compared_with_what_it_would_get() {
    let workspace = Workspace::new();
    let injected = workspace.inject(&["-f", "-", "-o", "json"], &deployment("web", asking()).to_string()).done();
    let injected: Value = serde_json::from_str(&injected).expect("JSON");
    let same = one(&workspace, &injected);
    assert_eq!(same["carried"]["is_current"], true, "{same:#}");
    assert_eq!(stops_at(&same).as_deref(), Some("already_injected"));
    let changed = super::TEMPLATE.replace("helper:1", "helper:2");
    workspace.file("templates/helper.yaml", changed);
    let other = one(&workspace, &injected);
    let carried = &other["carried"];
    assert_eq!(carried["is_current"], false, "{other:#}");
    assert_ne!(carried["templates"][0]["revision"], carried["templates"][0]["current"]);
    assert!(carried["changes"].to_string().contains("example.com/helper:2"), "{carried:#}");
}

#[test]
fn other_templates_are_compared_pod_by_pod() {
    let workspace = Workspace::new();
    std::fs::create_dir(workspace.path("edited")).expect("a directory");
    workspace.file("edited/helper.yaml", super::TEMPLATE.replace("helper:1", "helper:2"));
    let injected = workspace.inject(&["-f", "-", "-o", "json"], &deployment("done", asking()).to_string()).done();
    let silent = deployment("silent", json!({"spec": asking()["spec"]}));
    let input = stream(&[deployment("web", asking()), serde_json::from_str(&injected).expect("JSON"), silent]);
    let ran = |against: &str| {
        let arguments = ["explain", "--templates", "templates", "-f", "-", "--against", against];
        let ran = workspace.run_with(&arguments, &input);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    let text = ran("edited");
    assert_eq!(text.matches("replace /spec/initContainers/0/image \"example.com/helper:2\"").count(), 2, "{text}");
    assert!(text.contains("Deployment silent: gets nothing: not_requested, as before\n"), "{text}");
    assert!(text.ends_with("2 of 3 would change\n"), "{text}");
    assert!(ran("templates").ends_with("0 of 3 would change\n"));
    let text = ran("built-in");
    assert!(text.contains("is refused: template_not_found") && text.contains("; before it gets helper"), "{text}");
}

#[test]
fn the_text_has_a_numbered_line_for_each_step_and_no_colours_in_a_pipe() {
    let workspace = Workspace::new();
    workspace.file("app.yaml", deployment("web", asking()).to_string());
    let ran = workspace.run(&["explain", "--templates", "templates", "-f", "app.yaml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    for number in 1..=8 {
        assert!(ran.stdout.contains(&format!("\n  {number}. ✓ ")), "{}", ran.stdout);
    }
    assert!(ran.stdout.starts_with("app.yaml:1: Deployment web\n✓ the pod gets helper\n"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
}

#[test]
fn control_characters_of_an_object_do_not_reach_the_terminal() {
    let object = with_annotations(&json!({"outrigger.dev/inject": "a\u{1b}[2J\u{202e}b\nc"}));
    for format in ["text", "json", "dot"] {
        let ran = Workspace::new().run_with(&["explain", "-f", "-", "-o", format], &object.to_string());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let bad = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!ran.stdout.contains(bad), "{format}: {:?}", ran.stdout);
    }
}

/// Reads a graph as Graphviz does: statements of nodes and edges with quoted attributes.
#[test]
fn the_graph_has_balanced_quotes_and_a_red_edge_where_the_decision_stops() {
    let workspace = Workspace::new();
    let graph = |annotations: &Value| {
        let input = with_annotations(annotations).to_string();
        workspace.run_with(&["explain", "--templates", "templates", "-f", "-", "-o", "dot"], &input).done()
    };
    let refused = graph(&json!({"outrigger.dev/inject": "say \"no\"\\"}));
    let mut nodes = std::collections::BTreeSet::new();
    let mut used = Vec::new();
    let mut depth = 0;
    for line in refused.lines() {
        let mut outside = String::new();
        let (mut quoted, mut escaped) = (false, false);
        for character in line.chars() {
            match character {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ if quoted => {}
                other => outside.push(other),
            }
        }
        assert!(!quoted && !escaped, "{line}");
        depth += outside.matches('{').count() as i64 - outside.matches('}').count() as i64;
        let statement = outside.split('[').next().unwrap_or_default().trim().to_owned();
        match statement.split_once(" -> ") {
            Some((from, to)) => used.extend([from.to_owned(), to.to_owned()]),
            None => _ = nodes.insert(statement),
        }
    }
    assert_eq!(depth, 0, "{refused}");
    assert!(used.iter().all(|node| nodes.contains(node)), "{refused}");
    assert!(refused.contains("e0_step7 -> e0_end [color=red];"), "{refused}");
    let injected = graph(&json!({"outrigger.dev/inject": "helper"}));
    assert!(
        !injected.contains("-> e0_end [color=red]") && injected.contains("e0_step8 -> e0_end [color=forestgreen];")
    );
}

#[test]
fn an_object_of_a_cluster_is_not_mistaken_for_a_file_of_its_name() {
    let workspace = Workspace::new();
    std::fs::create_dir_all(workspace.path("deploy/web")).expect("a directory");
    workspace.file("deploy/web/app.yaml", deployment("web", asking()).to_string());
    let of = |arguments: &[&str]| workspace.run(&[&["explain", "--templates", "templates"], arguments].concat());
    let object = of(&["deploy/web", "--kubeconfig", "missing"]);
    let note = "deploy/web: explaining the object of the cluster; -f deploy/web names the file\n";
    assert_eq!((object.code, object.stderr.starts_with(note)), (1, true), "{}", object.stderr);
    assert!(object.stderr.contains("cannot read the kubeconfig missing"), "{}", object.stderr);
    for file in [&["./deploy/web"][..], &["-f", "deploy/web"]] {
        let ran = of(file);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        assert!(ran.stdout.contains("web/app.yaml:1: Deployment web"), "{}", ran.stdout);
    }
}

#[test]
fn misspelt_keys_of_namespaces_are_told_in_every_kind_of_list() {
    let workspace = Workspace::new();
    let metadata = json!({"name": "shop", "labels": {"outrigger.dev/injektion": "enabled"}});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
    for object in [
        namespace.clone(),
        json!({"apiVersion": "v1", "kind": "List", "items": [namespace]}),
        json!({"apiVersion": "v1", "kind": "NamespaceList", "items": [{"metadata": metadata}]}),
    ] {
        let input = stream(&[object.clone(), pod("web")]);
        for command in ["inject", "explain"] {
            let ran = workspace.run_with(&[command, "--templates", "templates", "-f", "-"], &input);
            let said = "Namespace shop: key_unread: label outrigger.dev/injektion";
            assert!(ran.code == 0 && ran.stderr.contains(said), "{command} {object}: {}", ran.stderr);
        }
    }
}

#[test]
fn namespaces_of_a_typed_list_count() {
    let metadata = json!({"name": "shop", "labels": {"outrigger.dev/injection": "enabled"},
        "annotations": {"outrigger.dev/inject": "helper"}});
    let list = json!({"apiVersion": "v1", "kind": "NamespaceList", "items": [{"metadata": metadata}]});
    let mut web = pod("web");
    web["metadata"] = json!({"name": "web", "namespace": "shop"});
    let ran = Workspace::new().inject(&["-f", "-"], &stream(&[list, web]));
    assert!(ran.stderr.contains("Pod shop/web: injected helper"), "{}", ran.stderr);
}

#[test]
fn a_wrong_input_is_said_and_nothing_is_printed() {
    let workspace = Workspace::new();
    workspace.file("service.yaml", service("db").to_string());
    workspace.file("broken.yaml", "a: [");
    for (arguments, said) in [
        (&["explain", "web"][..], "for a pod: pod/web"),
        (&["explain", "svc/web"], "kind \"svc\" has no pods"),
        (&["explain", "deplyo/web"], "did you mean \"deploy\"?"),
        (&["explain", "deploy"], "expected deploy/NAME"),
        (&["explain", "--in-cluster"], "required"),
        (&["explain", "-f", "service.yaml", "--against", "templates", "-o", "dot"], "-o dot draws no comparison"),
    ] {
        let ran = workspace.run(arguments);
        assert!(ran.code == 2 && ran.stderr.contains(said), "{arguments:?}: {} {}", ran.code, ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    for (arguments, said) in [
        (&["explain", "-f", "missing.yaml"][..], "missing.yaml: there is no such file"),
        (&["explain", "-f", "broken.yaml"], "broken.yaml:"),
        (&["explain", "service.yaml"], "the input has no pod and no pod template"),
        (&["explain", "pod/web", "--kubeconfig", "missing"], "cannot read the kubeconfig missing"),
    ] {
        let lines = workspace.run(arguments).failed().join("\n");
        assert!(lines.contains(said), "{arguments:?}: {lines}");
    }
    assert_eq!(workspace.run(&["explain"]).code, 2);
}
