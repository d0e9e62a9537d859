//! The architecture rules, each a function from one file to its violations.
//!
//! Nothing here reads a file.
//!
//! Invariant: the tests below break every rule.

use std::env;
use std::sync::LazyLock;

use regex::Regex;

use super::source::{self, SourceFile};

pub type Rule = fn(&SourceFile) -> Vec<Fault>;

/// One violation of a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub line: usize,
    pub what: String,
}

/// Modules that are pure.
const CORE: [&str; 6] = ["inject", "workload", "admission", "lint", "convert", "export"];

/// Modules that do I/O, each independent of the others; `app` connects them.
const ADAPTERS: [&str; 4] = ["source", "cluster", "tls", "server"];

/// Modules that connect the others: only they may import an adapter from outside.
const COMPOSITION: [&str; 3] = ["app", "cli", "main"];

/// Names that do I/O or whose results change over time.
const IMPURE: [&str; 16] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "tokio",
    "hyper",
    "tracing",
    "axum",
];

/// Exceptions to [`IMPURE`]: file, path, and why.
const ALLOWED: [(&str, &str, &str); 1] = [(
    "src/inject/expression/mod.rs",
    "std::thread",
    "expressions are compiled at load on a thread with a large stack, since the parser's recursion is bounded only by the stack",
)];

/// Directories whose tests are run by `tests/harness`.
const RUN_BY_HARNESS: [&str; 3] = ["tests/apiserver/", "tests/e2e/", "tests/tools/"];

const MAX_FILE_LINES: usize = 500;

/// `inject` imports nothing else of the crate, `workload` only `inject`, `admission`, `lint`, `convert` and `export` only these two; adapters import no other
/// adapter, and only composition modules import adapters.
pub fn layers(file: &SourceFile) -> Vec<Fault> {
    let Some(module) = file.module() else { return Vec::new() };
    let Some(&own) = module.first() else { return Vec::new() };
    let imports =
        source::paths(&file.code()).into_iter().filter_map(|path| Some((layer(&module, &path.path)?, path.line)));
    let forbidden = imports.filter(|(layer, _)| !may_import(own, layer));
    forbidden.map(|(layer, line)| Fault { line, what: format!("`{own}` must not import `{layer}`") }).collect()
}

/// The top-level module that a path refers to, if it leaves its own.
fn layer(module: &[&str], path: &str) -> Option<String> {
    let mut segments = path.split("::").peekable();
    let mut ups = 0;
    if segments.next_if_eq(&"crate").is_none() {
        while segments.next_if_eq(&"super").is_some() {
            ups += 1;
        }
        if ups == 0 || ups < module.len() {
            return None;
        }
    }
    segments.next().map(str::to_owned).filter(|layer| *layer != module[0])
}

fn may_import(own: &str, layer: &str) -> bool {
    match own {
        "inject" => false,
        "workload" => layer == "inject",
        "admission" | "lint" | "convert" | "export" => matches!(layer, "inject" | "workload"),
        _ if COMPOSITION.contains(&own) => true,
        _ => !ADAPTERS.contains(&layer) && !COMPOSITION.contains(&layer),
    }
}

/// The engine does no I/O and uses no clock, environment or randomness.
pub fn purity(file: &SourceFile) -> Vec<Fault> {
    let core = file.module().is_some_and(|module| module.first().is_some_and(|first| CORE.contains(first)));
    if !core || file.is_test() {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for used in source::paths(&file.code()) {
        let impure = IMPURE.iter().find(|impure| is_within(&used.path, impure));
        let allowed =
            |impure: &&str| ALLOWED.iter().any(|(prefix, path, _)| file.path.starts_with(prefix) && path == impure);
        if let Some(impure) = impure.filter(|impure| !allowed(impure) || used.path.ends_with("::sleep")) {
            faults.push(Fault { line: used.line, what: format!("`{impure}` in the core") });
        }
    }
    faults
}

fn is_within(path: &str, ancestor: &str) -> bool {
    path.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every file begins with a description.
pub fn header(file: &SourceFile) -> Vec<Fault> {
    let first = file.text.lines().find(|line| !line.starts_with("#!["));
    if first.is_some_and(|line| line.starts_with("//! ") && line.len() > 12 && !line.contains("to be written")) {
        return Vec::new();
    }
    vec![Fault { line: 1, what: "the file does not begin with a `//!` line that describes it".to_owned() }]
}

/// No file is over 500 lines without its tests.
pub fn file_length(file: &SourceFile) -> Vec<Fault> {
    static TESTS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\n#\[cfg\(test\)\]\s*mod ").expect("the pattern is valid"));
    let end = TESTS.find(&file.text).map_or(file.text.len(), |found| found.start());
    let lines = file.text[..end].lines().count();
    if lines <= MAX_FILE_LINES || file.is_test() {
        return Vec::new();
    }
    vec![Fault { line: MAX_FILE_LINES, what: format!("{lines} lines without tests, more than {MAX_FILE_LINES}") }]
}

/// No test is disabled. Clippy looks for unfinished code.
pub fn disabled_tests(file: &SourceFile) -> Vec<Fault> {
    static IGNORED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"#\[ignore\b").expect("the pattern is valid"));
    let code = source::without_text(&file.text);
    let fault = |found: regex::Match<'_>| Fault {
        line: source::line_of(&code, found.start()),
        what: format!("`{}`", found.as_str()),
    };
    IGNORED.find_iter(&code).map(fault).collect()
}

/// No test has `#[test]` where Rust's runner is not used: it would silently not be compiled.
pub fn listed_tests(file: &SourceFile) -> Vec<Fault> {
    if !RUN_BY_HARNESS.iter().any(|directory| file.path.starts_with(directory)) {
        return Vec::new();
    }
    let code = source::without_text(&file.text);
    let fault = |(offset, _)| Fault {
        line: source::line_of(&code, offset),
        what: "`#[test]`, which tests/harness does not see; name the function in `tests!`".to_owned(),
    };
    code.match_indices("#[test]").map(fault).collect()
}

/// The program asserts nothing: it returns errors. Clippy looks for the other ways to panic.
pub fn assertions(file: &SourceFile) -> Vec<Fault> {
    static ASSERTION: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b(?:assert|assert_eq|assert_ne)!").expect("the pattern is valid"));
    let code = file.code();
    let fault = |found: regex::Match<'_>| Fault {
        line: source::line_of(&code, found.start()),
        what: format!("`{}`", found.as_str()),
    };
    if file.is_test() { Vec::new() } else { ASSERTION.find_iter(&code).map(fault).collect() }
}

/// No file names a directory of the developer's machine.
pub fn machine_path(file: &SourceFile) -> Vec<Fault> {
    let home =
        env::var("HOME").ok().filter(|home| home.len() > 1).map(|home| format!("{}/", home.trim_end_matches('/')));
    let here = [Some(env!("CARGO_MANIFEST_DIR").to_owned()), home];
    let fault = |(index, line): (usize, &str)| {
        let path = here.iter().flatten().find(|path| line.contains(path.as_str()))?;
        Some(Fault { line: index + 1, what: format!("the machine's path \"{path}\"") })
    };
    file.text.lines().enumerate().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rule: Rule, path: &str, text: &str) -> Vec<String> {
        rule(&SourceFile { path: path.into(), text: text.into() }).into_iter().map(|fault| fault.what).collect()
    }

    #[test]
    fn the_layer_rule_finds_imports_from_higher_layers() {
        let table = [
            ("src/inject/pod.rs", "use crate::admission::review;", 1),
            ("src/inject/pod.rs", "fn a() { crate::config::read() }", 1),
            ("src/inject/pod.rs", "use super::super::admission;", 1),
            ("src/inject/mod.rs", "use super::{admission, telemetry::metrics};", 2),
            ("src/inject/pod.rs", "use super::reason; use crate::inject::error;", 0),
            ("src/inject/pod.rs", "#[cfg(test)]\nmod tests { use crate::admission::review; }", 0),
            ("src/admission/mod.rs", "use crate::inject::Injector; use crate::workload::find;", 0),
            ("src/workload/mod.rs", "use crate::inject::Injector;", 0),
            ("src/workload/mod.rs", "use crate::admission::review;", 1),
            ("src/admission/mod.rs", "use crate::telemetry::Metrics;", 1),
            ("src/server/mod.rs", "use crate::{tls::Resolver, inject::Injector};", 1),
            ("src/health.rs", "use crate::server::Server;", 1),
            ("src/tls/mod.rs", "use crate::app::run;", 1),
            ("src/app.rs", "use crate::{server, tls, source};", 0),
        ];
        for (path, text, expected) in table {
            assert_eq!(faults(layers, path, text).len(), expected, "{path}: {text}");
        }
    }

    #[test]
    fn the_purity_rule_finds_io() {
        let table = [
            ("src/inject/pod.rs", "use std::{collections::BTreeMap, fs};", 1),
            ("src/inject/pod.rs", "fn a() { std::env::var(k); }", 1),
            ("src/inject/pod.rs", "fn a() { let t = Instant::now(); }", 1),
            ("src/inject/pod.rs", "use std::thread;", 1),
            ("src/admission/review.rs", "fn a() { tracing::info!(x) }", 1),
            ("src/inject/expression/mod.rs", "use std::thread;", 0),
            ("src/inject/expression/mod.rs", "fn a() { std::thread::sleep(d) }", 1),
            ("src/inject/pod.rs", "// std::fs\nconst A: &str = \"std::fs::read\";", 0),
            ("src/server/mod.rs", "use std::net::TcpListener;", 0),
        ];
        for (path, text, expected) in table {
            assert_eq!(faults(purity, path, text).len(), expected, "{path}: {text}");
        }
    }

    #[test]
    fn the_header_rule_finds_missing_descriptions() {
        assert_eq!(faults(header, "src/a.rs", "//! What this file does.\n"), [""; 0]);
        assert_eq!(faults(header, "src/a.rs", "#![no_main]\n//! What this file does.\n"), [""; 0]);
        assert_eq!(faults(header, "src/a.rs", "use std::fmt;\n").len(), 1);
        assert_eq!(faults(header, "src/a.rs", "").len(), 1);
        assert_eq!(faults(header, "src/a.rs", "//! (to be written)\n").len(), 1);
    }

    #[test]
    fn the_length_rule_finds_long_files() {
        let long = "\n".repeat(501);
        assert_eq!(faults(file_length, "src/a.rs", &long).len(), 1);
        assert_eq!(
            faults(file_length, "src/a.rs", &format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{{long}}}")),
            [""; 0]
        );
    }

    #[test]
    fn the_rule_on_disabled_tests_finds_ignored_tests() {
        assert_eq!(faults(disabled_tests, "tests/a.rs", "#[ignore = \"slow\"]\nfn a() {}"), ["`#[ignore`"]);
        assert_eq!(faults(disabled_tests, "src/a.rs", "// #[ignore]\nfn a() { \"#[ignore]\" }"), [""; 0]);
    }

    #[test]
    fn the_listing_rule_finds_unlisted_tests() {
        assert_eq!(faults(listed_tests, "tests/apiserver/a.rs", "#[test]\nfn a() {}").len(), 1);
        assert_eq!(faults(listed_tests, "tests/it/a.rs", "#[test]\nfn a() {}"), [""; 0]);
        assert_eq!(faults(listed_tests, "tests/tools/a.rs", "// #[test]\ntests! { a }\nfn a() {}"), [""; 0]);
    }

    #[test]
    fn the_assertion_rule_finds_assertions_outside_tests() {
        assert_eq!(
            faults(assertions, "src/a.rs", "fn a() { assert!(b); assert_eq!(c, d); debug_assert!(e) }").len(),
            2
        );
        assert_eq!(
            faults(assertions, "src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests { fn d() { assert!(e) } }"),
            [""; 0]
        );
    }

    #[test]
    fn the_machine_path_rule_finds_paths_of_this_machine() {
        let line = format!("see {}/docs", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(faults(machine_path, "README.md", &line).len(), 1);
        assert_eq!(faults(machine_path, "README.md", "see docs/architecture.md"), [""; 0]);
    }
}
