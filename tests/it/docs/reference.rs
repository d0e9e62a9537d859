//! Compares lists in the documents with the program: codes, fields, commands, links and named
//! tests.
//!
//! Invariant: a code, a field or a test that changes on one side only fails here.

use std::collections::BTreeSet;

use outrigger::cli::check::Code;
use outrigger::inject::{Blame, ErrorCode, SkipReason};
use outrigger::workload::FindingCode;

use super::markdown;

const DOCUMENTS: [&str; 7] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "certs/README.md",
    "manifests/README.md",
    "tests/e2e/README.md",
];

fn documents() -> Vec<String> {
    let mut paths: Vec<String> = DOCUMENTS.iter().map(|&path| path.to_owned()).collect();
    for directory in ["docs", "docs/reference", "docs/decisions"] {
        paths.extend(super::files_in(directory, ".md"));
    }
    paths
}

#[test]
fn the_reasons_are_documented_with_their_messages() {
    let rows = markdown::code_rows(&super::read("docs/reference/reasons.md"));
    let listed: Vec<(&str, &str)> = rows.iter().filter(|row| row.len() == 2).map(|row| (&*row[0], &*row[1])).collect();
    let actual: Vec<(&str, &str)> = SkipReason::ALL.iter().map(|reason| (reason.code(), reason.sentence())).collect();
    assert_eq!(listed, actual);
}

#[test]
fn the_error_codes_are_documented_with_who_must_act() {
    let rows = markdown::code_rows(&super::read("docs/reference/reasons.md"));
    let listed: Vec<(&str, &str)> = rows.iter().filter(|row| row.len() == 3).map(|row| (&*row[0], &*row[1])).collect();
    let blame = |code: &ErrorCode| match code.blame() {
        Blame::Pod => "pod",
        Blame::Template => "template",
        Blame::Injector => "injector",
    };
    let actual: Vec<(&str, &str)> = ErrorCode::ALL.iter().map(|code| (code.code(), blame(code))).collect();
    assert_eq!(listed, actual);
}

#[test]
fn the_findings_about_workloads_are_documented() {
    let rows = markdown::code_rows(&super::read("docs/reference/offline.md"));
    let codes = FindingCode::ALL.map(FindingCode::code);
    let listed = rows.iter().map(|row| &*row[0]).filter(|code| code.contains('_'));
    assert_eq!(listed.collect::<Vec<_>>(), codes);
}

#[test]
fn the_findings_of_check_are_documented_with_severity_and_meaning() {
    let rows = markdown::code_rows(&super::read("docs/reference/check.md"));
    let rows = rows.iter().filter(|row| row.len() == 4);
    let listed: Vec<(&str, &str, &str)> = rows.map(|row| (&*row[0], &*row[1], &*row[2])).collect();
    let all = Code::ALL.iter();
    let actual: Vec<(&str, &str, &str)> =
        all.map(|code| (code.code(), code.severity().as_str(), code.meaning())).collect();
    assert_eq!(listed, actual);
}

/// Names of the fields of the template format, read from its Rust types.
fn template_fields() -> BTreeSet<String> {
    let source = super::read("src/inject/template/spec.rs");
    let declared = source.lines().filter_map(|line| line.strip_prefix("    pub ")?.split_once(": "));
    declared.map(|(name, _)| camel_case(name.trim_start_matches("r#"))).collect()
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

#[test]
fn every_field_of_a_template_is_described() {
    assert_eq!(camel_case("init_container_order"), "initContainerOrder");
    let text = super::read("docs/reference/templates.md");
    let spans: BTreeSet<&str> = text.split(['`', ' ', '\n', '.', ':', '[', '{', ',']).collect();
    let fields = template_fields();
    assert!(fields.len() > 40, "{fields:?}");
    let missing: Vec<&String> = fields.iter().filter(|field| !spans.contains(field.as_str())).collect();
    assert!(missing.is_empty(), "docs/reference/templates.md does not describe {missing:?}");
}

#[test]
fn links_point_to_existing_files() {
    for path in documents() {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        for (line, target) in markdown::file_links(&super::read(&path)) {
            assert!(super::repository(directory).join(&target).exists(), "{path}:{line}: no file {target}");
        }
    }
}

/// `docs/architecture.md` and `docs/tenancy.md` name a check as `tests/it/file.rs: name_of_the_test` or as a command.
#[test]
fn the_tests_of_the_invariants_exist() {
    let text = ["docs/architecture.md", "docs/tenancy.md"].map(super::read).concat();
    let mut checks = BTreeSet::new();
    for span in text.split('`').skip(1).step_by(2) {
        if let Some((file, test)) = span.split_once(".rs: ") {
            let path = format!("{file}.rs");
            assert!(super::read(&path).contains(&format!("fn {test}(")), "{path} has no test {test}");
            checks.insert(test);
        }
    }
    assert!(checks.len() >= 10, "{checks:?}");
}

#[test]
fn the_commands_of_the_readme_work() {
    let text = super::read("README.md");
    let mut ran = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("cargo run --release -- ")) {
        if line.starts_with("serve") {
            continue; // It does not end; tests/it/webhook.rs runs it.
        }
        let arguments: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        super::built_in::outrigger(&arguments);
        ran += 1;
    }
    assert!(ran >= 1);
}
