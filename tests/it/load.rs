//! Loading templates: the problems of each text and their positions, compared with
//! `tests/testdata/templates/`.
//!
//! A case is `<case>.yaml` and `<case>.problems.txt`; it needs no Rust code. Lines of the second
//! file that begin with `#` are comments; every other line is a problem, `LINE:COLUMN PATH TEXT`.
//! The position is that of the field's key, or of the list's element; `?` is any number, for
//! positions that depend on the YAML parser. The path `-` is the document itself. The text must
//! occur in the message or its hint (`-`: any). There are exactly as many problems as lines.
//! `<case>.warnings.txt` lists warnings in the same format; without it there must be none.
//!
//! What templates do to pods is not tested here. Texts that are too large or too strange for a file
//! are created in code.
//!
//! Invariant: all failing cases are reported.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use std::sync::Arc;

use outrigger::inject::{CompiledSource, LoadProblem, Loaded, SourceText, TemplateSet, TemplateState};

/// Fewer cases than this mean that the folder was not found.
const AT_LEAST: usize = 25;

#[test]
fn every_problem_is_reported_at_its_position() {
    let mut failing = String::new();
    let cases = cases();
    assert!(cases.len() >= AT_LEAST, "only {} cases found", cases.len());
    for path in &cases {
        let failures = check(path);
        if !failures.is_empty() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let _ = writeln!(failing, "== {name}\n{failures}");
        }
    }
    assert!(failing.is_empty(), "\n{failing}");
}

/// Files with unknown names would silently check less.
#[test]
fn every_file_belongs_to_a_case() {
    for entry in std::fs::read_dir(root()).expect("the folder of templates") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = [".yaml", ".problems.txt", ".warnings.txt"].iter().find_map(|end| name.strip_suffix(end));
        let stem = stem.unwrap_or_else(|| panic!("unknown file {name:?}"));
        for end in ["yaml", "problems.txt"] {
            assert!(root().join(format!("{stem}.{end}")).exists(), "{name} has no {stem}.{end}");
        }
    }
}

#[test]
fn a_template_over_256_kib_is_refused() {
    let fits = |bytes: usize| {
        let text =
            template("log", &format!("  metadata: {{labels: {{a: b}}}}\n  description: {}\n", "x".repeat(bytes)));
        load(&format!("{text}---\n{}", template("good", "  metadata: {labels: {a: b}}\n")))
    };
    let loaded = fits(255 * 1024);
    assert_eq!((loaded.templates.names(), loaded.problems), (vec!["good", "log"], Vec::new()));
    let loaded = fits(256 * 1024);
    assert!(!loaded.templates.names().contains(&"log"));
    assert!(
        loaded.problems.iter().any(|problem| problem.message.to_string().contains("256 KiB")),
        "{:?}",
        loaded.problems
    );
    let [problem] = &load(&"#".repeat(257 * 1024)).problems[..] else { panic!("one problem is expected") };
    assert!(problem.to_string().starts_with("log.yaml:1:1: 258 KiB are more than the 256 KiB"), "{problem}");
}

/// Flat chains nest in the parsed tree; a recursive parser would crash the process.
#[test]
fn long_chains_neither_crash_the_process_nor_break_other_templates() {
    let chains = [
        format!("1{}", "+1".repeat(500)),
        format!("{}1", "-".repeat(1_000)),
        format!("{}true", "!".repeat(1_000)),
        format!("{}1{}", "(".repeat(500), ")".repeat(500)),
        format!("{}1{}", "[".repeat(500), "]".repeat(500)),
        format!("pod{}", ".a".repeat(500)),
        format!("apps{}", "[0]".repeat(300)),
        format!("'a'{}", ".trim()".repeat(140)),
        format!("true{}", "&&true".repeat(160)),
        format!("{}1{}", "true?".repeat(120), ":1".repeat(120)),
        format!("{}1{}", "{1:".repeat(250), "}".repeat(250)),
    ];
    for chain in chains {
        let spec = format!("  sidecars:\n  - {{name: agent, image: \"agent:1\", args: [\"${{{chain}}}\"]}}\n");
        let loaded =
            load(&format!("{}---\n{}", template("chain", &spec), template("good", "  metadata: {labels: {a: b}}\n")));
        assert!(loaded.templates.names().contains(&"good"), "{chain}");
        for problem in &loaded.problems {
            assert_eq!((problem.line, problem.path.as_str()), (7, "spec.sidecars[0].args[0]"), "{chain}: {problem}");
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        let text = template("log", &format!("  volumes: {}{}\n", open.repeat(10_000), close.repeat(10_000)));
        let loaded = load(&text);
        assert_eq!(loaded.templates.len(), 0);
        assert!(!loaded.problems.is_empty());
    }
}

#[test]
fn a_name_in_two_files_is_a_problem_that_names_both_files() {
    let file = |origin: &str| SourceText {
        origin: origin.to_owned(),
        text: template("log", "  metadata: {labels: {a: b}}\n"),
    };
    let loaded = TemplateSet::load(&[file("a.yaml"), file("b.yaml")]);
    let [problem] = loaded.problems.as_slice() else { panic!("{:?}", loaded.problems) };
    assert_eq!((problem.origin.as_str(), problem.line, problem.column), ("b.yaml", 4, 3));
    assert!(problem.to_string().contains("\"log\"") && problem.to_string().contains("a.yaml"), "{problem}");
}

#[test]
fn a_template_may_be_json() {
    let text = r#"{"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate", "metadata": {"name": "log"}, "spec": {"sidecars": [{"name": "agent", "image": "agent:1"}]}}"#;
    let loaded = load(text);
    assert_eq!((loaded.templates.names(), loaded.problems.len()), (vec!["log"], 0));
}

/// The revision depends on the whole spec and nothing else.
#[test]
fn the_revision_depends_on_the_spec_only() {
    let revision = |text: &str| load(text).templates.iter().next().expect("a template").revision.to_owned();
    let first = revision(&template("log", "  hardened: true\n  description: some\n  metadata: {labels: {a: b}}\n"));
    assert!(first.len() == 10 && first.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{first}");
    assert_eq!(
        first,
        revision(&template(
            "other-name",
            "  # reordered\n  description: \"some\"\n  hardened: true\n  metadata: {labels: {a: b}}\n"
        ))
    );
    assert_ne!(
        first,
        revision(&template("log", "  hardened: true\n  description: other\n  metadata: {labels: {a: b}}\n"))
    );
    assert_ne!(
        first,
        revision(&template("log", "  hardened: false\n  description: some\n  metadata: {labels: {a: b}}\n"))
    );
}

#[test]
fn a_broken_document_does_not_affect_others() {
    let text =
        format!("{}---\n{}", template("bad", "  hardened: 7\n"), template("good", "  metadata: {labels: {a: b}}\n"));
    let loaded = load(&text);
    assert_eq!((loaded.templates.names(), loaded.templates.len(), loaded.templates.broken()), (vec!["good"], 1, 1));
    assert_eq!(loaded.problems.iter().map(|problem| problem.template.as_deref()).collect::<Vec<_>>(), [Some("bad")]);
}

/// The files of a directory in successive states; `None` is an unreadable file.
fn reloaded(states: &[&[(&str, Option<String>)]]) -> Loaded {
    let parsed = |(origin, text): &(&str, Option<String>)| match text {
        Some(text) => CompiledSource::compile(&SourceText { origin: (*origin).to_owned(), text: text.clone() }),
        None => CompiledSource::unreadable(LoadProblem::of_source(origin, "cannot read the file")),
    };
    let mut loaded = TemplateSet::load(&[]);
    for state in states {
        let sources: Vec<Arc<CompiledSource>> = state.iter().map(|file| Arc::new(parsed(file))).collect();
        loaded = TemplateSet::assemble(&sources, &loaded.templates);
    }
    loaded
}

fn states(loaded: &Loaded) -> Vec<(&str, TemplateState)> {
    loaded.templates.all().map(|template| (template.name, template.state)).collect()
}

#[test]
fn the_last_good_revision_is_served_until_its_template_is_removed() {
    use TemplateState::{Active, Invalid, Stale};
    let good = |name: &str| template(name, "  metadata: {labels: {a: b}}\n");
    let bad = |name: &str| template(name, "  hardened: 7\n");
    let two = format!("{}---\n{}", good("a"), good("b"));
    let cases: [(&str, Option<String>, &[_], usize); 8] = [
        ("one is wrong", Some(format!("{}---\n{}", bad("a"), good("b"))), &[("a", Stale), ("b", Active)], 1),
        ("the text cannot be parsed", Some(format!("{two}---\nspec: [")), &[("a", Active), ("b", Active)], 1),
        ("nothing can be parsed", Some("spec: [".to_owned()), &[("a", Stale), ("b", Stale)], 1),
        ("a name is lost", Some(format!("{}---\n{}", bad(""), good("b"))), &[("a", Stale), ("b", Active)], 1),
        ("the file cannot be read", None, &[("a", Stale), ("b", Stale)], 1),
        ("the file is empty", Some(" \n".to_owned()), &[("a", Stale), ("b", Stale)], 1),
        ("one is removed", Some(good("b")), &[("b", Active)], 0),
        (
            "a wrong one is added",
            Some(format!("{two}---\n{}", bad("c"))),
            &[("a", Active), ("b", Active), ("c", Invalid)],
            1,
        ),
    ];
    for (what, text, expected, invalid) in cases {
        let start: &[_] = &[("x.yaml", Some(two.clone()))];
        let changed: &[_] = &[("x.yaml", text)];
        for sequence in [&[start, changed][..], &[start, changed, changed]] {
            let loaded = reloaded(sequence);
            assert_eq!((states(&loaded).as_slice(), loaded.templates.invalid()), (expected, invalid), "{what}");
            assert_eq!(loaded.problems.is_empty(), invalid == 0, "{what}: {:?}", loaded.problems);
        }
        let back = reloaded(&[start, changed, start]);
        assert_eq!(
            (states(&back).as_slice(), back.templates.invalid()),
            (&[("a", Active), ("b", Active)][..], 0),
            "{what}"
        );
        let removed = reloaded(&[start, changed, &[]]);
        assert_eq!((removed.templates.all().count(), removed.templates.invalid()), (0, 0), "{what}");
    }
}

#[test]
fn a_name_that_appears_twice_keeps_its_first_revision() {
    let one = |spec: &str| Some(template("a", spec));
    let first: &[_] = &[("x.yaml", one("  metadata: {labels: {a: b}}\n"))];
    let twice: &[_] =
        &[("x.yaml", one("  metadata: {labels: {a: b}}\n")), ("y.yaml", one("  metadata: {labels: {a: c}}\n"))];
    let moved: &[_] = &[("y.yaml", one("  metadata: {labels: {a: c}}\n"))];
    let served = |loaded: &Loaded| {
        loaded.templates.all().map(|template| (template.origin.to_owned(), template.state)).collect::<Vec<_>>()
    };
    assert_eq!(served(&reloaded(&[first, twice])), [("x.yaml".to_owned(), TemplateState::Stale)]);
    assert_eq!(served(&reloaded(&[first, twice, moved])), [("y.yaml".to_owned(), TemplateState::Active)]);
    assert_eq!(
        served(&reloaded(&[twice])),
        [("y.yaml".to_owned(), TemplateState::Invalid)],
        "at start nothing is older"
    );
}

#[test]
fn a_fallback_is_served_only_where_no_other_source_has_its_name() {
    let compile = |origin: &str, text: &str| {
        CompiledSource::compile(&SourceText { origin: origin.to_owned(), text: text.to_owned() })
    };
    let spec = |value: &str| template("a", &format!("  metadata: {{labels: {{a: {value}}}}}\n"));
    let built_in = Arc::new(compile("built-in a.yaml", &spec("b")).as_fallback());
    let own = |text: &str| Arc::new(compile("own.yaml", text));
    let mut last = TemplateSet::default();
    // What the own file has, and the origin and state of the template then.
    let steps = [
        (None, "built-in a.yaml", TemplateState::Active),
        (Some(own(&spec("c"))), "own.yaml", TemplateState::Active),
        (Some(own("spec: {")), "own.yaml", TemplateState::Stale),
        (Some(own("")), "own.yaml", TemplateState::Stale),
        (Some(own(&spec("c")).orphaned("the directory is gone").into()), "own.yaml", TemplateState::Orphaned),
        (Some(own(&template("b", "  metadata: {labels: {a: c}}\n"))), "built-in a.yaml", TemplateState::Active),
    ];
    for (number, (own, origin, state)) in steps.into_iter().enumerate() {
        // The order of the sources does not matter.
        let sources: Vec<_> = own.into_iter().chain([Arc::clone(&built_in)]).collect();
        let reversed: Vec<_> = sources.iter().rev().cloned().collect();
        let loaded = [sources, reversed].map(|sources| TemplateSet::assemble(&sources, &last));
        for Loaded { templates, .. } in &loaded {
            let served = templates.all().find(|template| template.name == "a").expect("a template a");
            assert_eq!((served.origin, served.state), (origin, state), "step {number}");
        }
        let [Loaded { templates, .. }, _] = loaded;
        last = templates;
    }
}

fn template(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata:\n  name: {name}\nspec:\n{spec}"
    )
}

fn load(text: &str) -> Loaded {
    TemplateSet::load(&[SourceText { origin: "log.yaml".to_owned(), text: text.to_owned() }])
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/templates")
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root()).expect("the folder of templates");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    cases.sort();
    cases
}

/// The differences, one per line; empty if there are none.
fn check(path: &Path) -> String {
    let loaded = load(&std::fs::read_to_string(path).expect("the case is readable"));
    let mut failures = compare("problem", &expected(&path.with_extension("problems.txt")), &loaded.problems);
    failures += &compare("warning", &expected(&path.with_extension("warnings.txt")), &loaded.warnings);
    failures
}

fn expected(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Matches each expected line with one problem; unmatched lines and problems are failures.
fn compare(what: &str, expected: &[String], problems: &[LoadProblem]) -> String {
    let mut rest: Vec<&LoadProblem> = problems.iter().collect();
    let mut failures = String::new();
    for line in expected {
        match rest.iter().position(|problem| is_meant(line, problem)) {
            Some(index) => drop(rest.remove(index)),
            None => {
                let _ = writeln!(failures, "missing {what}: {line}");
            }
        }
    }
    for problem in rest {
        let _ = writeln!(failures, "unexpected {what}: {problem}");
    }
    failures
}

fn is_meant(line: &str, problem: &LoadProblem) -> bool {
    let mut parts = line.splitn(3, ' ');
    let (place, path, text) = (parts.next(), parts.next(), parts.next());
    let (row, column) = place.and_then(|place| place.split_once(':')).unwrap_or_else(|| panic!("bad line {line:?}"));
    let is = |expected: &str, number: usize| expected == "?" || expected == number.to_string();
    let said = format!("{} {}", problem.message, problem.hint.clone().unwrap_or_default());
    is(row, problem.line)
        && is(column, problem.column)
        && path.map(|path| path.trim_start_matches('-')) == Some(problem.path.as_str())
        && text.is_none_or(|text| text == "-" || said.contains(text))
}
