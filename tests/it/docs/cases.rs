//! The cases of the built-in templates pass, and each template has some.

use std::process::Command;

use serde_json::{Value, json};

#[test]
fn the_cases_of_the_built_in_templates_pass() {
    let run = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["test", "config/templates", "-o", "json"])
        .current_dir(super::repository(""))
        .output()
        .expect("the program starts");
    let report = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{report}{}", String::from_utf8_lossy(&run.stderr));
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let count = super::files_in("config/templates", ".test.yaml").len();
    assert_eq!(report["files"].as_array().map(Vec::len), Some(count), "{report}");
    assert!(report["passed"].as_u64() > Some(100), "{report}");
}

#[test]
fn every_built_in_template_has_cases() {
    let (cases, templates): (Vec<String>, Vec<String>) =
        super::files_in("config/templates", ".yaml").into_iter().partition(|path| path.ends_with(".test.yaml"));
    assert!(!templates.is_empty());
    for template in templates {
        assert!(cases.contains(&template.replace(".yaml", ".test.yaml")), "{template} has no cases");
    }
}

/// The template of the README passes the test beside it.
#[test]
fn the_test_of_the_readme_passes() {
    let blocks = super::markdown::blocks(&super::read("README.md"));
    let block = |role: &str| {
        let found = blocks.iter().find(|block| block.language == "yaml" && block.role == role);
        found.unwrap_or_else(|| panic!("the README has no block `yaml {role}`")).text.clone()
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, role) in [("access-log.yaml", "template"), ("access-log.test.yaml", "test")] {
        std::fs::write(directory.path().join(name), block(role)).expect("a file");
    }
    let run = Command::new(env!("CARGO_BIN_EXE_outrigger")).arg("test").current_dir(&directory).output();
    let run = run.expect("the program starts");
    let printed = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(printed, "1 file, 1 case: 1 passed, 0 failed\n", "{}", String::from_utf8_lossy(&run.stderr));
}

/// The schema for editors agrees with the reader: it takes every file of the repository, and marks
/// what the reader refuses.
#[test]
fn the_schema_of_cases_takes_all_cases_and_no_misspelt_key() {
    let schema: Value = serde_json::from_str(&super::read("docs/schemas/test-file.json")).expect("JSON");
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("test-file.json", schema).expect("a resource");
    let index = compiler.compile("test-file.json", &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
    let fault = |document: &Value| schemas.validate(document, index).err().map(|error| format!("{error:#}"));
    let mut first = None;
    for path in super::files_in("config/templates", ".test.yaml") {
        let file = super::yaml(&path, &super::read(&path));
        assert_eq!(fault(&file), None, "{path}");
        first.get_or_insert(file);
    }
    let first = first.expect("there are cases");
    let refused = json!({"templates": [], "tests": [
        {"name": "x", "pod": {}, "expect": {"refused": {"code": "conflict", "mesage": "x"}}}]});
    assert!(fault(&refused).is_some(), "a misspelt key below refused");
    for (keys, why) in [
        (json!({"expect": {}}), "no verdict"),
        (json!({"expect": {"skipped": [], "refused": {"code": "conflict"}}}), "two verdicts"),
        (json!({"expect": {"skipped": ["not_requestd"]}}), "an unknown reason"),
        (json!({"expect": {"refused": [{"code": "conflct"}]}}), "an unknown code"),
        (json!({"expect": {"refused": []}}), "no problem"),
        (json!({"expect": {"refused": {"code": "conflict"}, "warnings": ["x"]}}), "warnings beside a refusal"),
        (json!({"expect": {"includes": {}}}), "an empty excerpt"),
        (json!({"expect": {"injected": null}}), "null"),
        (json!({"podFile": "pod.yaml"}), "two pods"),
        (json!({"name": ""}), "an empty name"),
        (json!({"namespace": null}), "null for a namespace"),
    ] {
        let mut case = json!({"name": "x", "pod": {}, "expect": {"skipped": ["opted_out"]}});
        assert_eq!(fault(&json!({"tests": [case]})), None);
        for (key, value) in keys.as_object().expect("keys") {
            case[key] = value.clone();
        }
        assert!(fault(&json!({"tests": [case]})).is_some(), "{why}");
    }
    for (pointer, key) in [("", "test"), ("/tests/0", "exspect"), ("/tests/0/expect", "injectd")] {
        let mut file = first.clone();
        file.pointer_mut(pointer).expect(pointer)[key] = Value::Null;
        assert!(fault(&file).is_some(), "{pointer}/{key}");
    }
}
