//! `outrigger test`: what it prints, what it refuses, and what it writes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Workspace, outrigger};

const CASES: &str = "\
# Cases of helper.
tests:
- name: the sidecar is added # a comment that stays
  pod: &pod
    apiVersion: v1
    kind: Pod
    metadata: {name: web, annotations: {outrigger.dev/inject: helper}}
    spec:
      containers: [{name: web, image: 'example.com/web:1'}]
  expect:
    includes: {spec: {initContainers: [{name: helper, args: [low]}]}}

- name: a wrong level is refused
  pod:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec:
      template:
        metadata: {annotations: {outrigger.dev/inject: helper, helper.outrigger.dev/level: middle}}
        spec: {containers: [{name: web, image: 'example.com/web:1'}]}
  expect:
    refused: {code: parameter_invalid, message: '\"middle\"'}

- name: who asks for nothing gets nothing
  clusterVersion: '1.30'
  namespace: {name: shop, labels: {team: a}}
  podFile: pod.yaml
  expect:
    skipped: [not_requested]
";

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: idle}
spec: {containers: [{name: web, image: 'example.com/web:1'}]}
";

/// A workspace with these cases beside the template.
fn workspace(cases: &str) -> Workspace {
    let workspace = Workspace::new();
    workspace.file("templates/helper.test.yaml", cases);
    workspace.file("templates/pod.yaml", POD);
    workspace
}

/// `outrigger test templates ARGUMENTS`: exit code, stdout, stderr.
fn run(workspace: &Workspace, arguments: &[&str]) -> (i32, String, String) {
    let ran = workspace.run(&[&["test", "templates"], arguments].concat());
    (ran.code, ran.stdout, ran.stderr)
}

#[test]
fn cases_that_pass_are_counted() {
    let workspace = workspace(CASES);
    let (code, stdout, stderr) = run(&workspace, &[]);
    assert_eq!((code, &*stdout, &*stderr), (0, "1 file, 3 cases: 3 passed, 0 failed\n", ""));
    let (_, stdout, _) = run(&workspace, &["--verbose", "--filter", "nothing"]);
    let expected = "ok templates/helper.test.yaml:25: who asks for nothing gets nothing\n\
                    1 file, 1 case: 1 passed, 0 failed, 2 left out by the filter\n";
    assert_eq!(stdout, expected);
}

#[test]
fn a_failure_shows_what_differs_and_where() {
    let workspace = workspace(&CASES.replace("[low]", "[high]").replace("not_requested", "opted_out"));
    let (code, stdout, stderr) = run(&workspace, &["--junit", "results.xml"]);
    assert_eq!((code, &*stderr), (1, "error: not all cases passed\n"));
    let expected = "FAIL templates/helper.test.yaml:3: the sidecar is added\n  \
                    /spec/initContainers/helper/args: [\"low\"], expected [\"high\"]\n\
                    FAIL templates/helper.test.yaml:25: who asks for nothing gets nothing\n  \
                    skipped (not_requested), expected skipped (opted_out)\n\
                    1 file, 3 cases: 1 passed, 2 failed\n";
    assert_eq!(stdout, expected);
    let xml = std::fs::read_to_string(workspace.path("results.xml")).expect("the results");
    assert!(xml.contains(r#"tests="3" skipped="0" failures="2" errors="0""#), "{xml}");
    let (_, json, _) = run(&workspace, &["-o", "json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["passed"], &json["failed"]), (&1.into(), &2.into()));
    assert_eq!(json["files"][0]["cases"][0]["place"], "templates/helper.test.yaml:3");
}

#[test]
fn nothing_passes_because_of_a_mistake() {
    for (from, to, expected) in [
        ("expect:\n    includes", "expcet:\n    includes", "  unknown key \"expcet\"; did you mean \"expect\"?\n"),
        ("includes: {spec", "inclodes: {spec", "  expect: unknown key \"inclodes\"; did you mean \"includes\"?\n"),
        ("    skipped: [not_requested]", "    warnings: []", "  expect: has none; expected exactly one of"),
        ("[not_requested]", "[not_requestd]", "  expect.skipped: \"not_requestd\" is no code; did you mean"),
        ("code: parameter_invalid", "code: 7", "  expect.refused.code is 7, expected text; put it in quotes\n"),
        ("podFile: pod.yaml", "podFile: none.yaml", "  templates/none.yaml: there is no such file"),
        ("podFile: pod.yaml", "podFile: helper.yaml", "the object has 0 pods or pod templates"),
        ("clusterVersion: '1.30'", "clusterVersion: one", "clusterVersion \"one\": "),
        ("a wrong level is refused", "the sidecar is added", "  the name \"the sidecar is added\" is that of"),
        (
            "includes: {spec: {initContainers: [{name: helper, args: [low]}]}}",
            "includes: {spec: {initContainers: []}}",
            "expected []",
        ),
        (
            "includes: {spec: {initContainers: [{name: helper, args: [low]}]}}",
            "includes: {}",
            "  expect.includes is empty",
        ),
        ("    skipped: [not_requested]", "", "  expect has no value, expected a map with one of"),
        (
            "podFile: pod.yaml",
            "podFile: shop.yaml",
            "  the object is in namespace \"prod\", but the namespace of the case is \"shop\"",
        ),
        ("tests:\n", "templates: [nope.yaml]\ntests:\n", "template templates/nope.yaml: cannot be read"),
        ("# Cases of helper.\ntests:", "tests: []\nmore:", "unknown key \"more\"; there are: templates, tests\n"),
    ] {
        assert!(CASES.contains(from), "{from}");
        let workspace = workspace(&CASES.replacen(from, to, 1));
        workspace.file("templates/shop.yaml", POD.replace("idle}", "idle, namespace: prod}"));
        let (code, stdout, stderr) = run(&workspace, &[]);
        assert_eq!((code, &*stderr), (1, "error: not all cases passed\n"), "{to}: {stdout}");
        assert!(stdout.contains(expected), "{to}: {expected} is missing in {stdout}");
    }
}

#[test]
fn a_case_that_is_wrong_does_not_hide_the_others() {
    let workspace = workspace(&CASES.replace("- name: a wrong level is refused", "- nam: a wrong level is refused"));
    let (code, stdout, _) = run(&workspace, &["-v"]);
    let expected = "ok templates/helper.test.yaml:3: the sidecar is added\n\
                    FAIL templates/helper.test.yaml:13: case 2\n  unknown key \"nam\"; did you mean \"name\"?\n\
                    ok templates/helper.test.yaml:25: who asks for nothing gets nothing\n\
                    1 file, 3 cases: 2 passed, 1 failed\n";
    assert_eq!((code, &*stdout), (1, expected));
}

#[test]
fn a_file_that_is_named_twice_is_run_once() {
    let workspace = workspace(CASES);
    let absolute = workspace.path("templates/helper.test.yaml").to_string_lossy().into_owned();
    let ran =
        workspace.run(&["test", "./templates/helper.test.yaml", "templates", &absolute, "templates/../templates"]);
    assert_eq!((ran.code, &*ran.stdout), (0, "1 file, 3 cases: 3 passed, 0 failed\n"), "{}", ran.stderr);
}

#[test]
#[cfg(unix)]
fn a_pipe_is_no_file_of_cases() {
    let workspace = workspace(CASES);
    let pipe = Command::new("mkfifo").arg(workspace.path("templates/pipe.test.yaml")).status();
    assert!(pipe.expect("mkfifo starts").success());
    let (code, stdout, _) = run(&workspace, &[]);
    assert_eq!((code, &*stdout), (0, "1 file, 3 cases: 3 passed, 0 failed\n"));
    workspace.file("templates/helper.test.yaml", CASES.replace("podFile: pod.yaml", "podFile: pipe.test.yaml"));
    let (code, stdout, _) = run(&workspace, &[]);
    assert!(code == 1 && stdout.contains("podFile templates/pipe.test.yaml: is no regular file"), "{stdout}");
    let ran = workspace.run(&["test", "templates/pipe.test.yaml"]);
    assert_eq!(ran.failed(), ["error: templates/pipe.test.yaml: is no regular file"]);
}

#[test]
fn nothing_that_a_terminal_obeys_reaches_it() {
    const BAD: &str = "\u{1b}[2J\u{7}\u{202e}";
    let workspace = workspace(CASES);
    let name = format!("templates/{BAD}.test.yaml");
    let case = |rest: &str| format!("- name: \"\\e[2J\\a\\u202E{rest}\"\n");
    let wrong = format!("  \"\\e[2J\": 1\n{}  pod: {{}}\n  templates: [\"\\e[2J\\u202E\"]\n", case("b"));
    let cases = format!(
        "tests:\n{}{wrong}  expect: {{skipped: []}}\n{}  podFile: pod.yaml\n  expect: {{skipped: []}}\n",
        case("a"),
        case("c")
    );
    workspace.file(&name, cases + "  templates: [helper.yaml]\n");
    let missing = format!("{BAD}.test.yaml");
    let junit = format!("{BAD}/none.xml");
    for arguments in [
        &["test", "templates"][..],
        &["test", "templates", "-v"],
        &["test", "templates", "-o", "json"],
        &["test", "templates", "--junit", &junit],
        &["test", "templates", "--filter", BAD],
        &["test", &missing],
        &["test", "templates", "--update"],
    ] {
        let ran = workspace.run(arguments);
        let printed = ran.stdout + &ran.stderr;
        assert!(printed.contains("\\u"), "{arguments:?}: {printed:?}");
        assert!(!printed.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{arguments:?}: {printed:?}");
    }
}

#[test]
fn results_are_reported_whatever_becomes_of_the_junit_file() {
    let workspace = workspace(CASES);
    let (code, stdout, stderr) = run(&workspace, &["--junit", "none/results.xml"]);
    assert_eq!((code, &*stdout), (1, "1 file, 3 cases: 3 passed, 0 failed\n"));
    assert!(stderr.starts_with("error: none/results.xml: cannot be written: "), "{stderr}");
    let ran = workspace.run(&["test", "nowhere", "--junit", "results.xml"]);
    assert_eq!(ran.failed(), ["error: nowhere: there is no such file or directory"]);
    let xml = std::fs::read_to_string(workspace.path("results.xml")).expect("the results");
    assert!(xml.contains(r#"tests="0""#), "{xml}");
}

#[test]
fn results_in_the_place_of_cases_are_wrong_usage() {
    let workspace = workspace(CASES);
    workspace.file("notes.txt", "notes");
    for name in ["absent.test.yaml", "templates/helper.yaml", "notes.txt"] {
        let ran = workspace.run(&["test", "templates", "--junit", name]);
        assert_eq!((ran.code, ran.stderr.contains("would be replaced")), (2, true), "{name}: {}", ran.stderr);
    }
    assert_eq!(std::fs::read_to_string(workspace.path("notes.txt")).expect("a file"), "notes");
    assert_eq!(std::fs::read_to_string(workspace.path("templates/helper.yaml")).expect("a file"), super::TEMPLATE);
}

#[test]
fn a_path_without_cases_is_an_error() {
    let workspace = workspace(CASES);
    for (arguments, expected) in [
        (&["test", "nowhere"][..], "nowhere: there is no such file or directory"),
        (&["test"], ".: the directory has no file *.test.yaml; -R looks into the directories below it too"),
        (&["test", "templates/helper.yaml"], "templates/helper.yaml: the names of files of cases end in .test.yaml"),
        (&["test", "templates", "--filter", "zzz"], "no case has \"zzz\" in its name; there are 3 cases"),
    ] {
        let ran = workspace.run(arguments);
        assert_eq!((ran.code, &*ran.stdout), (1, ""));
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    let ran = workspace.run(&["test", "-R"]);
    assert_eq!((ran.code, &*ran.stdout), (0, "1 file, 3 cases: 3 passed, 0 failed\n"), "{}", ran.stderr);
}

#[test]
fn a_template_that_does_not_load_fails_its_cases() {
    let workspace = workspace(CASES);
    workspace.file("templates/helper.yaml", super::TEMPLATE.replace("image:", "imagee:"));
    let (code, stdout, _) = run(&workspace, &[]);
    assert_eq!(code, 1);
    assert!(stdout.contains("templates/helper.yaml:9:") && stdout.contains("did you mean \"image\""), "{stdout}");
}

#[test]
fn an_update_writes_what_differs_and_nothing_else() {
    let wrong = CASES.replace("code: parameter_invalid", "code: conflict").replace("not_requested", "opted_out");
    let workspace = workspace(&wrong);
    let (code, stdout, stderr) = run(&workspace, &["--update"]);
    assert_eq!((code, &*stdout), (0, ""), "{stderr}");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    let after = std::fs::read_to_string(workspace.path("templates/helper.test.yaml")).expect("the file");
    assert!(after.contains("# a comment that stays") && after.contains("skipped: [\"not_requested\"]"), "{after}");
    assert!(
        after.contains("{code: \"parameter_invalid\", message: '\"middle\"'}") && after.contains("pod: &pod"),
        "{after}"
    );
    let (code, stdout, _) = run(&workspace, &[]);
    assert_eq!((code, &*stdout), (0, "1 file, 3 cases: 3 passed, 0 failed\n"));

    // The report is that of the run before the update.
    workspace.file("templates/helper.test.yaml", &wrong);
    let (code, stdout, _) = run(&workspace, &["--update", "-o", "json"]);
    let report: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, &report["passed"], &report["failed"]), (0, &1.into(), &2.into()));

    // The verdict of one case changes, and nothing around it.
    let refused =
        CASES.replace("    refused: {code: parameter_invalid, message: '\"middle\"'}\n", "    skipped: [opted_out]\n");
    workspace.file("templates/helper.test.yaml", &refused);
    assert_eq!(run(&workspace, &["--update"]).0, 0);
    let after = std::fs::read_to_string(workspace.path("templates/helper.test.yaml")).expect("the file");
    let (before, rest) = refused.split_once("    skipped: [opted_out]\n").expect("the case");
    assert!(after.starts_with(before) && after.ends_with(rest), "{after}");
    assert!(after.contains("    refused:\n      code: parameter_invalid\n"), "{after}");

    // An excerpt is its author's.
    workspace.file("templates/helper.test.yaml", CASES.replace("[low]", "[high]"));
    let (code, _, stderr) = run(&workspace, &["--update"]);
    assert!(code == 1 && stderr.contains("the sidecar is added: is left as it is"), "{stderr}");
    let after = std::fs::read_to_string(workspace.path("templates/helper.test.yaml")).expect("the file");
    assert_eq!(after, CASES.replace("[low]", "[high]"));
}

#[test]
fn watched_files_are_run_again_when_they_change() {
    let workspace = workspace(CASES);
    let output = std::fs::File::create(workspace.path("output")).expect("a file");
    let mut command = outrigger();
    command.args(["test", "templates", "--watch"]).current_dir(workspace.path(""));
    let mut child = command.stdout(output).stderr(Stdio::null()).spawn().expect("it starts");
    let mut wait_for = |text: &str| {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let output = std::fs::read_to_string(workspace.path("output")).expect("the output");
            if output.contains(text) {
                return;
            }
            assert!(Instant::now() < end && child.try_wait().is_ok_and(|ended| ended.is_none()), "{text}: {output}");
            crate::support::pause(Duration::from_millis(50));
        }
    };
    wait_for("3 passed, 0 failed");
    // Files of the same second differ by their size.
    workspace.file("templates/helper.yaml", super::TEMPLATE.replace("default: low", "default: high"));
    wait_for("2 passed, 1 failed");
    workspace.file("templates/pod.yaml", POD.replace("idle}", "idle, annotations: {outrigger.dev/inject: helper}}"));
    wait_for("1 passed, 2 failed");
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
}

#[test]
fn results_on_stdout_keep_what_is_in_its_file() {
    let workspace = workspace(CASES);
    workspace.file("log", "before\n");
    let log = std::fs::OpenOptions::new().append(true).open(workspace.path("log")).expect("a file");
    let mut command = outrigger();
    command.args(["test", "templates", "--junit", "/dev/stdout"]).current_dir(workspace.path(""));
    let status = command.stdin(Stdio::null()).stdout(log).status().expect("the program ends");
    let log = std::fs::read_to_string(workspace.path("log")).expect("a file");
    assert!(status.success() && log.starts_with("before\n<?xml"), "{log}");
    assert!(log.contains("</testsuites>") && log.trim_end().ends_with("3 passed, 0 failed"), "{log}");
}
