//! Checks the architecture rules by reading the source tree.
//!
//! It does not compile or run anything.
//!
//! Invariant: each rule has a test with a small bad snippet that breaks it, so that no rule passes
//! by checking nothing.

mod imports;
mod rules;
mod source;

use std::path::Path;

use rules::Rule;
use source::SourceFile;

/// Directories with generated or downloaded files.
const NOT_OURS: [&str; 6] = ["target", ".git", ".outrigger", "corpus", "artifacts", "proptest-regressions"];

/// Files of the repository below `directory`, by their path from its root.
fn files_below(directory: &str) -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut pending = vec![root.join(directory)];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory of the repository can be read") {
            let path = entry.expect("an entry of the repository can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !NOT_OURS.contains(&name.as_str()) {
                    pending.push(path);
                }
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                let path =
                    path.strip_prefix(root).expect("the path is below the root").to_string_lossy().replace('\\', "/");
                files.push(SourceFile { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Rust files of the directories that exist.
fn rust_files(directories: &[&str]) -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let present = directories.iter().filter(|directory| root.join(directory).is_dir());
    present.flat_map(|directory| files_below(directory)).filter(|file| file.path.ends_with(".rs")).collect()
}

/// Fails with every violation of the rule.
fn holds(rule: Rule, files: &[SourceFile]) {
    assert!(!files.is_empty(), "the rule looks at no file");
    let broken: Vec<String> = files
        .iter()
        .flat_map(|file| {
            rule(file).into_iter().map(move |fault| format!("{}:{}: {}", file.path, fault.line, fault.what))
        })
        .collect();
    assert!(broken.is_empty(), "{} faults\n{}", broken.len(), broken.join("\n"));
}

const WRITTEN: [&str; 4] = ["src", "tests", "benches", "fuzz"];

#[test]
fn modules_import_only_from_lower_layers() {
    holds(rules::layers, &rust_files(&["src"]));
}

#[test]
fn floors_of_the_core_import_downwards_only() {
    let faults = imports::floors(&rust_files(&["src"]));
    let lines: Vec<String> =
        faults.iter().map(|(path, fault)| format!("{path}:{}: {}", fault.line, fault.what)).collect();
    assert!(lines.is_empty(), "{} faults\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn files_import_each_other_in_no_circle() {
    let circles = imports::circles(&rust_files(&["src"]));
    assert!(circles.is_empty(), "{} circles\n{}", circles.len(), circles.join("\n"));
}

#[test]
fn the_engine_does_no_io() {
    holds(rules::purity, &rust_files(&["src"]));
}

#[test]
fn every_file_begins_with_a_description() {
    holds(rules::header, &rust_files(&WRITTEN));
}

#[test]
fn files_have_at_most_500_lines() {
    holds(rules::file_length, &rust_files(&["src"]));
}

#[test]
fn no_test_is_disabled() {
    holds(rules::disabled_tests, &rust_files(&WRITTEN));
}

#[test]
fn tests_with_their_own_runner_are_listed() {
    holds(rules::listed_tests, &rust_files(&["tests"]));
}

#[test]
fn the_program_asserts_nothing() {
    holds(rules::assertions, &rust_files(&["src"]));
}

#[test]
fn no_file_names_a_path_of_the_developers_machine() {
    holds(rules::machine_path, &files_below("."));
}
