//! The operator guides: whatever they name exists, and every code that a user can see is explained.
//!
//! Invariant: if a code, a reason or a text of the program changes without the guides, a test
//! fails.

use std::fs;
use std::path::Path;

use outrigger::inject::{ErrorCode, SkipReason};

use super::{files_in, read};

/// Texts of the program that the troubleshooting guide lists, each with the folder of its source.
const TEXTS: [(&str, &str); 25] = [
    ("does not exist", "src/inject"),
    ("is not for this pod", "src/inject"),
    ("has no parameter", "src/inject"),
    ("does not match the pattern", "src/inject"),
    ("must be one of", "src/inject"),
    ("is less than the minimum", "src/inject"),
    ("the pod has no container", "src/inject"),
    ("the containers of a pod share one network", "src/inject/merge"),
    ("lacks", "src/inject/expression"),
    ("has no revision", "src/inject"),
    ("this server is shutting down, try again", "src/admission"),
    ("the request names a template that this server may not have read yet, try again", "src/admission"),
    ("templates in the namespace", "src/inject"),
    ("bytes as JSON, more than 256 KiB", "src/inject/template"),
    ("the API server does not have the kind", "src/cluster"),
    ("template objects", "src/app"),
    ("do not arrive", "src/cluster"),
    ("the body is larger than 10 MiB", "src/admission"),
    ("the body nests deeper than 128 levels", "src/admission"),
    ("a bug in outrigger", "src/admission"),
    ("unknown setting", "src/config"),
    ("registry.example", "manifests/base"),
    ("the secret does not exist; apply it again", "src/cluster/certificates"),
    ("waiting for a certificate", "src/cluster/certificates"),
    ("the API server does not trust the certificate", "src/cluster/certificates"),
];

#[test]
fn every_code_has_an_entry_in_the_troubleshooting_guide() {
    let text = read("docs/troubleshooting.md");
    let codes = ErrorCode::ALL.iter().map(|code| code.code()).chain(SkipReason::ALL.iter().map(|reason| reason.code()));
    let missing: Vec<&str> = codes.filter(|code| !text.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "docs/troubleshooting.md does not explain {missing:?}");
}

#[test]
fn texts_in_the_troubleshooting_guide_are_printed_by_the_program() {
    let guide = read("docs/troubleshooting.md");
    for (text, directory) in TEXTS {
        assert!(guide.contains(text), "docs/troubleshooting.md does not have {text:?} any more");
        assert!(contains_text(&super::repository(directory), text), "no file in {directory} contains {text:?}");
    }
}

/// Whether a file of this directory, or of one below it, contains the text.
fn contains_text(directory: &Path, text: &str) -> bool {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.expect("an entry of the directory").path()).any(|path| {
        if path.is_dir() {
            contains_text(&path, text)
        } else {
            fs::read_to_string(&path).is_ok_and(|content| content.contains(text))
        }
    })
}

/// Every row of the threat table ends with the tests that prove it.
#[test]
fn every_row_of_the_threat_table_names_an_existing_test() {
    let text = read("docs/security.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| test |")).collect();
    assert!(rows.len() > 40, "{}", rows.len());
    for row in rows {
        let tests = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default();
        let mut count = 0;
        for (file, test) in tests.split('`').filter_map(|span| span.split_once(".rs: ")) {
            assert!(read(&format!("{file}.rs")).contains(&format!("fn {test}(")), "{file}.rs has no test {test}");
            count += 1;
        }
        assert!(count > 0, "no test is named: {row}");
    }
}

/// Shell lines that call the program use existing commands and flags. Other tests check what they
/// do.
#[test]
fn commands_in_the_guides_exist() {
    let mut seen = 0;
    for path in [files_in("docs", ".md"), vec!["README.md".to_owned()]].concat() {
        let text = read(&path);
        let commands = text.lines().map(|line| line.split(" #").next().unwrap_or_default());
        for line in commands.filter_map(|line| line.trim().strip_prefix("outrigger ")) {
            let call = line.split(['|', '>']).next().unwrap_or_default();
            let command = call.split_whitespace().next().unwrap_or_default();
            let mut words = call.split_whitespace().take(if command == "generate" { 2 } else { 1 }).collect::<Vec<_>>();
            words.push("--help");
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_outrigger")).args(words).output();
            let help = String::from_utf8(output.expect("the program runs").stdout).expect("text");
            let flags = call.split_whitespace().filter(|word| word.starts_with('-') && word.len() > 1);
            for flag in flags.filter_map(|flag| flag.split('=').next()) {
                assert!(
                    [' ', ',', '\n'].iter().any(|end| help.contains(&format!("{flag}{end}"))),
                    "{path}: {line}: {flag}"
                );
            }
            assert!(help.contains("Usage: outrigger"), "{path}: there is no command {command}");
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen}");
}

/// Anchors in links between the guides are existing headings.
#[test]
fn links_between_the_guides_point_to_headings() {
    let anchor = |heading: &str| {
        let words = heading.to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect::<String>()
    };
    let mut seen = 0;
    for path in files_in("docs", ".md") {
        for target in read(&path).split("](").skip(1).filter_map(|part| part.split(')').next()) {
            let Some((file, fragment)) = target.split_once('#').filter(|_| !target.contains("://")) else { continue };
            let file = if file.is_empty() { path.clone() } else { format!("docs/{file}") };
            let text = read(&file);
            let mut headings =
                text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches(['#', ' ']));
            assert!(headings.any(|heading| anchor(heading) == fragment), "{path}: no heading for {target}");
            seen += 1;
        }
    }
    assert!(seen > 5);
}

/// Files named for contributors exist, and each verb of the table is a recipe of the justfile.
#[test]
fn paths_and_verbs_for_contributors_exist() {
    let guide = read("CONTRIBUTING.md");
    let directories = ["src/", "tests/", "docs/", "config/", "manifests/", ".ci/", ".github/"];
    let is_path = |span: &&str| directories.iter().any(|directory| span.starts_with(directory));
    let paths = guide.split('`').skip(1).step_by(2).filter(is_path).filter(|path| !path.contains("NAME"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let missing: Vec<&str> = paths.clone().filter(|path| !root.join(path).exists()).collect();
    assert!(missing.is_empty() && paths.count() > 20, "CONTRIBUTING.md names {missing:?}");

    let recipes = read("justfile");
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', ' ']).next());
    let verbs: Vec<&str> = rows.filter(|verb| *verb != "just" && !verb.contains('/')).collect();
    let is_recipe = |verb: &str| {
        recipes.lines().any(|line| line.strip_prefix(verb).is_some_and(|rest| rest.starts_with([':', ' '])))
    };
    let missing: Vec<&&str> = verbs.iter().filter(|verb| !is_recipe(verb)).collect();
    assert!(missing.is_empty() && verbs.len() > 10, "the justfile lacks {missing:?} of {verbs:?}");
}
