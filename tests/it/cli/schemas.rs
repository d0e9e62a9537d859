//! The published JSON Schemas take what the program prints.
//!
//! `get`, `check` and `upgrade` need a cluster.

use std::path::Path;

use serde_json::{Value, json};

use super::{Ran, Workspace, asking, pod, service, stream, workloads};

/// Fails if the report does not conform to the schema that `outrigger generate schema NAME` prints.
fn assert_conforms(name: &str, ran: &Ran) {
    let schema = Workspace::new().run(&["generate", "schema", name]).done();
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("schema.json", schema).expect("a resource");
    let index = compiler.compile("schema.json", &mut schemas).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    let report: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{name}: {error}: {}", ran.stderr));
    if let Err(error) = schemas.validate(&report, index) {
        panic!("{name}: {error:#}");
    }
}

fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_string_lossy().into_owned()
}

#[test]
fn reports_conform_to_their_published_schemas() {
    let workspace = Workspace::new();
    let built_in = repository("config/templates");
    assert_conforms("test", &workspace.run(&["test", &built_in, "-o", "json"]));
    assert_conforms("templates", &workspace.run(&["templates", "-o", "json"]));
    assert_conforms("lint", &workspace.run(&["lint", "templates", &built_in, "-o", "json"]));
    assert_conforms("lint", &workspace.run_with(&["lint", "-", "-o", "json"], "kind: [nothing"));

    workspace.file("a.test.yaml", "tests: []");
    workspace.file(
        "b.test.yaml",
        "templates: [templates/helper.yaml]\ntests:\n- {name: a, pod: {}, expect: {skipped: []}}\n- 1\n",
    );
    assert_conforms("test", &workspace.run(&["test", "-o", "json"]));

    let mut objects: Vec<Value> = workloads().into_iter().map(|(object, _)| object).collect();
    let mut refused = pod("refused");
    refused["metadata"]["annotations"] = json!({"outrigger.dev/inject": "helpr"});
    let mut skipped = asking();
    skipped["metadata"] = json!({"name": "skipped"});
    skipped["apiVersion"] = json!("v1");
    skipped["kind"] = json!("Pod");
    objects.extend([pod("web"), service("web"), refused, skipped]);
    let explain = ["explain", "--templates", "templates", "-f", "-", "-o", "json"];
    assert_conforms("explain", &workspace.run_with(&explain, &stream(&objects)));
}

#[test]
fn conversions_conform_to_their_published_schema() {
    let workspace = Workspace::new();
    let input = repository("tests/testdata/convert");
    let mut count = 0;
    for source in std::fs::read_dir(input).expect("a directory") {
        let source = source.expect("an entry").path();
        let mut cases: Vec<_> =
            std::fs::read_dir(&source).expect("cases").map(|entry| entry.expect("an entry").path()).collect();
        cases.sort();
        // One of each injector: the report is the same for all of its cases.
        let Some(case) = cases.first() else { continue };
        let settings = std::fs::read_to_string(case.join("case.yaml")).expect("a case");
        let settings: Value = serde_saphyr::from_str(&settings).expect("YAML");
        let input = case.join("input.yaml").to_string_lossy().into_owned();
        let mut arguments = vec!["convert", "-f", &input, "-o", "json"];
        if let Some(from) = settings["from"].as_str() {
            arguments.extend(["--from", from]);
        }
        let ran = workspace.run(&arguments);
        if Path::new(&input).is_file() {
            assert_conforms("convert", &ran);
            count += 1;
        }
    }
    assert!(count > 1, "only {count} conversions");
}
