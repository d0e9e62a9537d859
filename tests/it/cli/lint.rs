//! `outrigger lint`: its excerpts, formats, exit codes and flags.

use pretty_assertions::assert_eq;
use serde_json::Value;

use super::Workspace;

#[test]
fn an_error_is_shown_with_its_line_and_exit_code_1() {
    let workspace = Workspace::new();
    let text = super::TEMPLATE.replace("image: 'example.com/helper:1'", "imag: 'example.com/helper:1'");
    workspace.file("templates/helper.yaml", text);
    let ran = workspace.run(&["lint", "templates"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout.contains("error[template_invalid]: spec.sidecars[0].image: an image is required"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("--> templates/helper.yaml:9:5"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\x1b'), "a pipe gets no colours");
}

#[test]
fn warnings_pass_and_strict_makes_them_errors_unless_they_are_allowed() {
    let workspace = Workspace::new();
    let ran = workspace.run(&["lint", "templates"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("warning[no_resources]") && ran.stdout.contains("warning[empty_dir_size]"));
    assert_eq!(ran.stderr, "1 file: 0 errors, 2 warnings\n");
    assert_eq!(workspace.run(&["lint", "--strict", "templates"]).code, 1);
    let allowed = ["lint", "--strict", "--allow", "no_resources", "--allow", "empty_dir_size", "templates"];
    assert_eq!(workspace.run(&allowed).code, 0);
    assert_eq!(workspace.run(&["lint", "--strict", "--allow", "no_resources,empty_dir_size", "templates"]).code, 0);
}

#[test]
fn a_warning_of_loading_is_a_warning_of_the_linter() {
    let workspace = Workspace::new();
    workspace.file("templates/helper.yaml", super::TEMPLATE.replace("${params.level}", "high"));
    let ran = workspace.run(&["lint", "templates"]);
    assert!(ran.stdout.contains("warning[unused_parameter]"), "{}", ran.stdout);
    assert!(ran.stdout.contains("outrigger lint --explain unused_parameter"), "{}", ran.stdout);
    assert!(ran.stdout.contains("no expression reads the parameter"), "{}", ran.stdout);
}

#[test]
fn an_unknown_code_an_old_version_and_an_empty_directory_are_said() {
    let workspace = Workspace::new();
    let ran = workspace.run(&["lint", "--allow", "no_resource", "templates"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("did you mean \"no_resources\"?"), "{}", ran.stderr);
    assert_eq!(workspace.run(&["lint", "--kubernetes", "1.9", "templates"]).code, 2);
    let ran = workspace.run(&["lint", "--allow", "template_invalid", "templates"]);
    assert!(ran.code == 2 && ran.stderr.contains("it is an error; correct the template"), "{}", ran.stderr);
    let ran = workspace.run(&["lint", "--kubernetes", "1.99", "templates"]);
    assert!(ran.code == 0 && ran.stderr.contains("the newest that this version knows"), "{}", ran.stderr);
    std::fs::create_dir(workspace.path("empty")).expect("a directory");
    let ran = workspace.run(&["lint", "empty"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no template found"), "{}", ran.stderr);
}

#[test]
fn sarif_has_a_rule_and_a_region_for_each_result() {
    let workspace = Workspace::new();
    let ran = workspace.run(&["lint", "-o", "sarif", "templates"]);
    let sarif: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 2);
    for result in results {
        assert!(
            rules.iter().any(|rule| rule["id"] == result["ruleId"] && rule["help"]["markdown"].is_string()),
            "{result}"
        );
        let index = result["ruleIndex"].as_u64().and_then(|index| usize::try_from(index).ok());
        assert_eq!(rules[index.expect("an index")]["id"], result["ruleId"]);
        let location = &result["locations"][0]["physicalLocation"];
        assert_eq!(location["artifactLocation"]["uri"], "templates/helper.yaml");
        assert!(location["region"]["startLine"].as_u64() > Some(0), "{result}");
        assert!(result["message"]["text"].is_string() && result["level"] == "warning");
    }
}

#[test]
fn stdin_is_read_and_its_findings_are_json() {
    let ran = Workspace::new().run_with(&["lint", "-o", "json", "-"], super::TEMPLATE);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["findings"][0]["file"], "stdin");
    assert_eq!(report["findings"][0]["code"], "no_resources");
    let workspace = Workspace::new();
    workspace.file("stdin", "# a file of that name\n");
    for arguments in [["lint", "stdin", "-"], ["lint", "-", "stdin"]] {
        let ran = workspace.run_with(&arguments, "kind: [nothing");
        assert!(ran.code == 1 && ran.stderr.contains("2 files: 1 error"), "{}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn a_pipe_is_read_as_a_file_and_a_list_is_told_apart() {
    let workspace = Workspace::new();
    let ran = workspace.run_with(&["lint", "/dev/stdin", "-o", "json"], "kind: [nothing");
    assert!(ran.stdout.contains("\"file\": \"/dev/stdin\""), "{}{}", ran.stdout, ran.stderr);
    let ran = workspace.run_with(&["lint", "-"], "apiVersion: v1\nkind: List\nitems: []\n");
    assert!(
        ran.stdout.contains("a List is not read; write each of its items as a document of its own"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("unsupported apiVersion"), "{}", ran.stdout);
}

#[test]
fn the_page_of_a_code_is_printed_without_any_template() {
    let workspace = Workspace::new();
    let page = workspace.run(&["lint", "--explain", "no_resources", "missing"]).done();
    assert!(page.starts_with("# no_resources\n") && !page.contains("<!--") && !page.contains("../"), "{page}");
    let ran = workspace.run(&["lint", "--explain", "no_resource"]);
    assert!(ran.code == 2 && ran.stderr.contains("did you mean \"no_resources\"?"), "{}", ran.stderr);
}

#[test]
fn built_in_templates_have_no_warnings() {
    let ran = Workspace::new().run(&["lint", "--strict", "built-in"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
}

#[test]
fn a_secret_reaches_no_output() {
    let workspace = Workspace::new();
    let env = "env: [{name: API_KEY, value: sk-secret-123}, {name: A, value: $(B)}], image: 'example";
    workspace.file("templates/helper.yaml", super::TEMPLATE.replace("image: 'example", env));
    for format in ["text", "json", "sarif"] {
        let ran = workspace.run(&["lint", "-o", format, "templates"]);
        assert!(ran.stdout.contains("secret_in_env") && ran.stdout.contains("undefined_variable"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("sk-secret"), "{}", ran.stdout);
    }
}

#[test]
fn a_secret_of_a_text_that_cannot_be_read_reaches_no_output() {
    let pod = r#"{"kind": "ClusterInjectionTemplate", "spec": {"app": {"env": [{"name": "A_TOKEN", "value": "sk-secret" "x"}]}}}"#;
    for text in [
        super::TEMPLATE
            .replace("image: 'example", "args: [--key=sk-secret, '--url=https://u:sk-secret@h', --x}], image: 'e"),
        super::TEMPLATE.replace("image: 'example", "env: [{name: A_TOKEN, valuee: sk-secret}], image: 'e"),
        super::TEMPLATE.replace("image: 'example", "env: [{name: A_TOKEN, value: [sk-secret]}], image: 'e"),
        pod.to_owned(),
    ] {
        for format in ["text", "json", "sarif"] {
            let ran = Workspace::new().run_with(&["lint", "-o", format, "-"], &text);
            assert_eq!(ran.code, 1, "{text}");
            assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("sk-secret"), "{}", ran.stdout);
        }
    }
}

#[test]
fn empty_inputs_are_no_templates_and_a_file_is_read_once() {
    let workspace = Workspace::new();
    for text in ["", "# only a comment\n---\n"] {
        let ran = workspace.run_with(&["lint", "-"], text);
        assert!(ran.code == 1 && ran.stderr.contains("no template found"), "{}", ran.stderr);
    }
    let ran = workspace.run(&["lint", "templates", "templates/helper.yaml", "./templates/../templates/helper.yaml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, "1 file: 0 errors, 2 warnings\n"), "{}", ran.stdout);
    let ran = workspace.run(&["lint", "missing\x1b[31m.yaml"]);
    assert!(ran.code == 1 && !ran.stderr.contains('\x1b'), "{}", ran.stderr);
}

#[test]
fn every_template_of_a_source_is_checked_as_the_server_loads_it() {
    let workspace = Workspace::new();
    let template = |name: &str, spec: &str| {
        let head = "apiVersion: outrigger.dev/v1alpha1\n    kind: ClusterInjectionTemplate";
        format!("    {head}\n    metadata: {{name: {name}}}\n    spec: {spec}\n")
    };
    let map = |name: &str, text: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  agent.yaml: |\n{text}")
    };
    let good = "{app: {env: [{name: A, value: b}]}}";
    let maps = [map("a", &template("one", good)), map("b", &template("two", "{sidecarz: []}"))];
    workspace.file("maps.yaml", maps.join("---\n"));
    let ran = workspace.run(&["lint", "maps.yaml", "./maps.yaml"]);
    assert!(ran.code == 1 && ran.stdout.contains("--> maps.yaml: b/agent.yaml:4"), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("2 files: 1 error, 0 warnings"), "{}", ran.stderr);
    let failed = workspace.run(&["templates", "--templates", "maps.yaml"]).failed();
    assert!(failed[0].starts_with("error: maps.yaml: b/agent.yaml:4:"), "{failed:?}");
    std::os::unix::fs::symlink("helper.yaml", workspace.path("templates/link.yaml")).expect("a link");
    let ran = workspace.run(&["lint", "templates", "templates/helper.yaml"]);
    assert!(ran.code == 1 && ran.stdout.contains("helper"), "{}", ran.stdout);
    assert!(ran.stderr.contains("2 files: "), "{}", ran.stderr);
}
