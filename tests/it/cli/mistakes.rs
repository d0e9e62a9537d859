//! Mistakes that people make with `outrigger inject`, and what it says about them.

use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use super::{TEMPLATE, Workspace, asking, carries_helper, deployment, documents, pod, service, stream, workloads};

/// Lines on stderr of an injection that succeeds.
fn said(workspace: &Workspace, arguments: &[&str], text: &str) -> Vec<String> {
    let ran = workspace.inject(&[&["-f", "-"], arguments].concat(), text);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stderr.lines().map(str::to_owned).collect()
}

const PATH: &str = "spec.template.metadata.annotations";

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn keys_at_the_wrong_place_or_nearly_ours_are_named_with_the_right_one() {
    let workspace = Workspace::new();
    let cron = |metadata: Value| {
        let spec = json!({"metadata": metadata, "spec": {"template": {"spec": asking()["spec"]}}});
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "web"}, "spec": {"jobTemplate": spec}})
    };
    let silent = || deployment("web", json!({"metadata": {}, "spec": asking()["spec"]}));
    let with = |pointer: &str, map: &str, key: &str, value: &str| {
        let mut object = silent();
        object.pointer_mut(pointer).expect("a place")[map] = json!({ key: value });
        object
    };
    let inject = "outrigger.dev/inject";
    let cases = [
        (with("/metadata", "annotations", inject, "helper"), "key_misplaced", "metadata.annotations", PATH),
        (with("/metadata", "labels", inject, "helper"), "key_misplaced", "metadata.labels", PATH),
        (with("/spec/template", "annotations", inject, "helper"), "key_misplaced", "spec.template.annotations", PATH),
        (with("/spec", "annotations", inject, "helper"), "key_misplaced", "spec.annotations", PATH),
        (
            with("/spec/template/metadata", "labels", inject, "helper"),
            "not_requested",
            "label outrigger.dev/inject",
            "an annotation of the pod",
        ),
        (
            with("/metadata", "annotations", "outrigger.dev/injct", "helper"),
            "key_unread",
            "metadata.annotations",
            inject,
        ),
        (
            with("/metadata", "annotations", "outriger.dev/inject", "helper"),
            "key_unread",
            "metadata.annotations",
            inject,
        ),
        (
            with("/metadata", "annotations", "outrigger.io/inject", "helper"),
            "key_unread",
            "metadata.annotations",
            inject,
        ),
        (
            with("/metadata", "annotations", "Outrigger.dev/inject", "helper"),
            "key_unread",
            "metadata.annotations",
            inject,
        ),
        (
            with("/metadata", "annotations", "helper.outrigger.dev/levl", "low"),
            "key_unread",
            "metadata.annotations",
            "helper.outrigger.dev/level",
        ),
        (
            cron(json!({"annotations": {inject: "helper"}})),
            "key_misplaced",
            "spec.jobTemplate.metadata.annotations",
            "spec.jobTemplate.spec.template.metadata.annotations",
        ),
        (
            with("/spec/template/metadata", "labels", "outrigger.dev/injection", "enabled"),
            "not_requested",
            "label outrigger.dev/injection",
            "a label of the namespace",
        ),
        (
            with("/spec/template/metadata", "annotations", "outrigger.dev/injct", "helper"),
            "not_requested",
            "annotation outrigger.dev/injct",
            inject,
        ),
    ];
    for (object, code, place, right) in cases {
        let lines = said(&workspace, &[], &object.to_string());
        let found = lines.iter().filter(|line| line.starts_with("warning: stdin:1: ")).collect::<Vec<_>>();
        let [line] = found.as_slice() else { panic!("{object}: {lines:?}") };
        assert!(line.contains(code) && line.contains(place) && line.contains(right), "{object}: {line}");
    }
    assert_eq!(said(&workspace, &[], &silent().to_string()).len(), 1);
}

#[test]
fn unquoted_values_are_named_by_their_path_in_the_workload() {
    let workspace = Workspace::new();
    for (kind, object, path) in [
        ("Deployment", deployment("web", asking()), PATH),
        ("CronJob", workloads().remove(7).0, "spec.jobTemplate.spec.template.metadata.annotations"),
        ("Pod", pod("web"), "metadata.annotations"),
    ] {
        let text = object.to_string().replace("\"outrigger.dev/inject\":\"helper\"", "\"outrigger.dev/inject\":false");
        let lines = workspace.inject(&["-f", "-"], &text).failed();
        let expected = format!(
            "error: stdin:1: {kind} web: pod_invalid: {path}[\"outrigger.dev/inject\"]: \
             expected a string, found a boolean; put it in quotes"
        );
        assert_eq!(lines, [expected]);
    }
}

#[test]
fn messages_name_file_line_kind_namespace_and_name_and_no_http() {
    let workspace = Workspace::new();
    let mut bad = deployment("web", asking());
    bad["spec"]["template"]["metadata"]["annotations"]["outrigger.dev/inject"] = "helpr".into();
    for namespace in ["a", "b"] {
        bad["metadata"]["namespace"] = namespace.into();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [service("one"), bad.clone()]});
        let text = format!("# {namespace}\n{}", serde_json::to_string_pretty(&list).expect("JSON"));
        workspace.file(&format!("{namespace}.yaml"), text);
    }
    let lines = workspace.inject(&["a.yaml", "b.yaml"], "").failed();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, namespace) in lines.iter().zip(["a", "b"]) {
        let start = format!("error: {namespace}.yaml:19: Deployment {namespace}/web: template_not_found: ");
        assert!(line.starts_with(&start), "{line}");
        assert!(!line.contains("422") && !line.contains("500") && !line.contains("HTTP"), "{line}");
    }
}

#[test]
fn an_injected_object_is_named_with_its_templates() {
    let workspace = Workspace::new();
    let objects =
        stream(&[service("s"), deployment("web", asking()), deployment("b", json!({"spec": asking()["spec"]}))]);
    let lines = said(&workspace, &[], &objects);
    assert_eq!(lines[0], "stdin:4: Deployment web: injected helper");
    assert!(lines[1].starts_with("stdin:6: Deployment b: not_requested: "), "{lines:?}");
    assert_eq!(said(&workspace, &["--quiet"], &objects), [""; 0]);
    // However many request nothing, one line says so.
    let many: Vec<Value> = (0..5).map(|_| deployment("b", json!({"spec": asking()["spec"]}))).collect();
    let lines = said(&workspace, &[], &stream(&many));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("stdin:2: Deployment b and 4 more: not_requested: "), "{lines:?}");
}

/// Argo Rollout, Knative Service, an unknown kind, and kinds that do not exist as they are written.
#[test]
fn other_kinds_are_injected_or_named() {
    let workspace = Workspace::new();
    let of = |api_version: &str, kind: &str| {
        let mut object = deployment("web", asking());
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
        object
    };
    for (api_version, kind, warning) in [
        ("argoproj.io/v1alpha1", "Rollout", None),
        ("serving.knative.dev/v1", "Service", None),
        ("extensions/v1beta1", "DaemonSet", None),
        ("example.com/v1", "Server", Some("kind_unknown: kind \"Server\" is not known")),
        ("apps/v1", "deployment", Some("kind_misspelt: apps/v1 has no kind \"deployment\"; write \"Deployment\"")),
        (
            "v1",
            "Deployment",
            Some("kind_misspelt: v1 has no kind \"Deployment\"; kind Deployment is in apiVersion apps/v1"),
        ),
    ] {
        let ran = workspace.inject(&["-f", "-"], &of(api_version, kind).to_string());
        assert!(carries_helper(&documents(&ran.stdout)[0], "/spec/template"), "{kind}: {}", ran.stdout);
        let found = ran.stderr.lines().find_map(|line| line.strip_prefix(&format!("warning: stdin:1: {kind} web: ")));
        match warning {
            Some(warning) => assert!(found.is_some_and(|found| found.contains(warning)), "{}", ran.stderr),
            None => assert_eq!(found, None),
        }
    }
    let template =
        json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "web"}, "template": asking()});
    let printed = documents(&workspace.inject(&["-f", "-"], &template.to_string()).done());
    assert!(carries_helper(&printed[0], "/template"), "{}", printed[0]);
    let mut wrong = pod("web");
    wrong["apiVersion"] = "apps/v1".into();
    let lines = said(&workspace, &[], &wrong.to_string());
    assert!(lines[0].ends_with("apps/v1 has no kind \"Pod\"; kind Pod is in apiVersion v1"), "{lines:?}");
    let model = json!({"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata":
        {"name": "m", "annotations": {"outrigger.dev/inject": "helper"}}, "spec": {"predictor": {"containers": []}}});
    let lines = said(&workspace, &[], &model.to_string());
    assert!(lines[0].contains("kind_not_searched: outrigger.dev/inject at metadata.annotations"), "{lines:?}");
}

#[test]
fn what_was_injected_with_other_values_is_said_and_renewed() {
    let workspace = Workspace::new();
    let before = deployment("web", asking()).to_string();
    let injected = workspace.inject(&["-f", "-"], &before).done();
    assert!(said(&workspace, &[], &injected)[0].contains(": already_injected: "));
    // Another value of a parameter.
    let own = "outrigger.dev/inject: helper";
    let changed = injected.replace(own, "outrigger.dev/inject: helper\n        helper.outrigger.dev/level: high");
    let lines = said(&workspace, &[], &changed);
    assert!(lines[0].starts_with("warning: stdin:1: Deployment web: injection_outdated: "), "{lines:?}");
    assert!(
        lines[0].contains("\"helper\"") && lines[0].contains("other values") && lines[0].contains("--renew"),
        "{lines:?}"
    );
    let ran = workspace.inject(&["-f", "-", "--renew"], &changed);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, "stdin:1: Deployment web: injected anew helper\n"));
    let renewed = &documents(&ran.stdout)[0];
    assert_eq!(renewed["spec"]["template"]["spec"]["initContainers"][0]["args"], json!(["high"]));
    assert_eq!(renewed["spec"]["template"]["spec"]["initContainers"].as_array().map(Vec::len), Some(1));
    // Not requested any more.
    let dropped = injected.replace(own, "example.com/other: helper");
    let lines = said(&workspace, &[], &dropped);
    assert!(lines[0].contains("injection_outdated: ") && lines[0].contains("not requested any more"), "{lines:?}");
    let ran = workspace.inject(&["-f", "-", "--renew"], &dropped);
    assert!(ran.stderr.contains("Deployment web: removed what was injected"), "{}", ran.stderr);
    assert!(!ran.stdout.contains("initContainers"), "{}", ran.stdout);
    // Nothing changes where nothing has changed.
    assert_eq!(workspace.inject(&["-f", "-", "--renew"], &injected).stdout, injected);
}

#[test]
fn strict_makes_warnings_errors() {
    let workspace = Workspace::new();
    let mut object = deployment("web", asking());
    object["metadata"]["annotations"] = json!({"helper.outrigger.dev/level": "low"});
    let text = object.to_string();
    assert!(said(&workspace, &[], &text)[0].starts_with("warning: "));
    let lines = workspace.inject(&["-f", "-", "--strict"], &text).failed();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("error: stdin:1: Deployment web: key_misplaced: "), "{lines:?}");
    assert!(lines[0].ends_with("(a warning, which --strict refuses)"), "{lines:?}");
    // A warning about a template.
    workspace.file("templates/helper.yaml", TEMPLATE.replace("sidecars:\n  - {", "sidecars:\n  - {somethingNew: 1, "));
    let pod = pod("web").to_string();
    assert!(workspace.inject(&["-f", "-"], &pod).stderr.contains("warning: "), "the field is unknown");
    assert!(workspace.inject(&["-f", "-", "--strict"], &pod).failed()[0].contains("somethingNew"));
}

#[test]
fn input_is_files_directories_and_stdin() {
    let workspace = Workspace::new();
    std::fs::create_dir_all(workspace.path("all/below")).expect("directories");
    workspace.file("all/b.yaml", deployment("b", asking()).to_string());
    workspace.file("all/a.yml", service("a").to_string());
    workspace.file("all/c.json", service("c").to_string());
    workspace.file("all/README.md", "no object: [");
    workspace.file("all/below/d.yaml", service("d").to_string());
    let names = |arguments: &[&str], stdin: &str| -> Vec<String> {
        let ran = workspace.inject(arguments, stdin);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let found = documents(&ran.stdout);
        found.iter().map(|object| object["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names(&["all"], ""), ["a", "b", "c"]);
    assert_eq!(names(&["-f", "all", "-R"], ""), ["a", "b", "d", "c"]);
    assert_eq!(
        names(&["all/below", "-", "-f", "all/b.yaml", "all/c.json"], &service("in").to_string()),
        ["d", "in", "b", "c"]
    );
}

#[test]
fn templates_are_directories_files_and_config_maps() {
    let workspace = Workspace::new();
    let pod = pod("web").to_string();
    let inject = |templates: &str| workspace.run_with(&["inject", "-f", "-", "--templates", templates], &pod);
    assert!(carries_helper(&documents(&inject("templates/helper.yaml").done())[0], ""));
    let map = |data: Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "templates"}, "data": data}).to_string()
    };
    workspace
        .file("map.yaml", map(json!({"helper.yaml": TEMPLATE, "notes.txt": "none", "helper.test.yaml": "- none"})));
    assert!(carries_helper(&documents(&inject("map.yaml").done())[0], ""));
    workspace.file("map.yaml", map(json!({"helper.yaml": TEMPLATE.replace("sidecars", "sidecar")})));
    let lines = inject("map.yaml").failed();
    assert!(
        lines.iter().any(|line| line.starts_with("error: map.yaml: helper.yaml:") && line.contains("sidecar")),
        "{lines:?}"
    );
    workspace.file("map.yaml", map(json!({"notes.txt": "none"})));
    assert_eq!(
        inject("map.yaml").failed(),
        ["error: templates map.yaml: the ConfigMap has no key *.yaml, *.yml or *.json"]
    );
    assert!(inject("missing").failed()[0].starts_with("error: missing: there is no such file or directory"));
}

/// Every string of JSON, also in what was printed before.
#[test]
fn json_is_read_as_json() {
    let workspace = Workspace::new();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
        "data": {"x": "\u{7f}", "<<": "x", "y": "\u{85}\u{2028}", "z": "a\tb\n"}});
    for object in [map.clone(), json!({"apiVersion": "v1", "kind": "List", "items": [map, pod("web")]})] {
        for format in ["yaml", "json"] {
            let printed = workspace.inject(&["-f", "-", "-o", format], &object.to_string()).stdout;
            let again = workspace.inject(&["-f", "-", "-o", "json"], &printed);
            assert_eq!(again.code, 0, "{}", again.stderr);
            let again: Value = serde_json::from_str(&again.stdout).expect("JSON");
            let data = object["data"].as_object().or(object["items"][0]["data"].as_object()).expect("data");
            let found = again["data"].as_object().or(again["items"][0]["data"].as_object()).expect("data");
            assert_eq!(found, data);
        }
    }
}

#[test]
fn aliases_that_expand_to_too_much_are_named_in_plain_words() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        text += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", "));
    }
    let lines = Workspace::new().inject(&["-f", "-"], &format!("apiVersion: v1\nkind: X\n{text}")).failed();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].ends_with("the aliases of the document expand to too much"), "{lines:?}");
}

/// What the built-in templates of the documents' example read is there offline.
#[test]
fn what_the_cluster_fills_in_can_be_read_and_is_not_printed() {
    let workspace = Workspace::new();
    let args = "'${pod.metadata.namespace}/${pod.metadata.generateName}', '${pod.metadata.ownerReferences[0].kind}', \
                '${pod.spec.serviceAccountName}', '${string(pod.spec.terminationGracePeriodSeconds)}', \
                '${app.imagePullPolicy}', '${app.ports[0].protocol}', '${params.level}'";
    workspace.file("templates/helper.yaml", TEMPLATE.replace("'${params.level}'", args));
    let mut object = deployment("web", asking());
    object["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
    let text = object.to_string();
    let printed = documents(&workspace.inject(&["-f", "-", "-n", "shop"], &text).done());
    let container = &printed[0]["spec"]["template"]["spec"]["initContainers"][0];
    assert_eq!(container["args"], json!(["shop/web-", "ReplicaSet", "default", "30", "IfNotPresent", "TCP", "low"]));
    let template = printed[0]["spec"]["template"].to_string();
    for filled in [
        "ownerReferences",
        "\"generateName\"",
        "dnsPolicy",
        "serviceAccountName",
        "\"namespace\"",
        "imagePullPolicy",
        "terminationMessage",
        "protocol",
    ] {
        assert!(!template.contains(filled), "{template}");
    }
}

#[test]
fn claims_of_a_stateful_set_are_volumes_of_its_pods() {
    let workspace = Workspace::new();
    let claim = |name: &str| {
        let mut object = workloads().remove(2).0;
        object["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": name}}]);
        object.to_string()
    };
    let lines = workspace.inject(&["-f", "-"], &claim("helper-data")).failed();
    assert!(lines[0].contains(": StatefulSet web: conflict: ") && lines[0].contains("helper-data"), "{lines:?}");
    let printed = workspace.inject(&["-f", "-"], &claim("data")).done();
    assert!(!printed.contains("claimName"), "{printed}");
    let back = workspace.run_with(&["uninject", "-f", "-"], &printed).done();
    assert_eq!(documents(&back), documents(&claim("data")));
}

#[test]
fn names_that_no_template_and_no_workload_can_have_are_wrong_usage() {
    let workspace = Workspace::new();
    for arguments in [
        &["get", "BAD_Name"][..],
        &["get", "-l", "a b"],
        &["check", "--template", "BAD_Name"],
        &["upgrade", "BAD_Name"],
        &["upgrade", ""],
        &["upgrade", "s", "web"],
        &["upgrade", "s", "svc/x"],
        &["upgrade", "s", "-l", "a b"],
    ] {
        let ran = workspace.run(&[arguments, &["--kubeconfig", "missing"]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.matches("invalid value").count(), 1, "{arguments:?}: {}", ran.stderr);
    }
}
