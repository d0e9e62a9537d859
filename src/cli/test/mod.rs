//! `outrigger test`: runs cases of templates, `*.test.yaml`.
//!
//! Invariant: a case that cannot be run fails; a path without a case is an error.

mod excerpt_check;
mod files;
mod format;
mod judge;
mod report;
mod run;
#[cfg(test)]
mod schema;
mod shape;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use self::files::{FoundFiles, Reader, Stamp};
use self::report::Counts;
use self::run::RanFile;
use super::errors::{ErrorList, Usage, unreadable};
use super::terminal::{self, Colours, printable};
use super::{stdio, write_file};
use crate::inject::text::quote;

/// Between two looks at the files that are watched.
const LOOK: Duration = Duration::from_millis(300);

/// Run cases of templates, *.test.yaml
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct TestArgs {
    /// Files *.test.yaml, or directories of such files
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    /// Also look into the directories below a directory
    #[arg(short = 'R', long)]
    recursive: bool,

    /// Only cases whose names contain this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Also print the cases that pass
    #[arg(short, long)]
    verbose: bool,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: TestFormat,

    /// Also write the results as JUnit XML, for CI systems
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Write the actual results into the cases that fail
    #[arg(long)]
    update: bool,

    /// Run again whenever a file changes, until Ctrl-C
    #[arg(long, conflicts_with = "update")]
    watch: bool,
}

/// How the results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TestFormat {
    /// A line for each case that fails, with what differs
    Text,
    /// One object
    Json,
}

const LONG_ABOUT: &str = "\
Runs cases of templates: a pod, and what must become of it. Nothing but files is needed.

Examples:
  All cases of a directory:
    outrigger test ./templates
  While you edit:
    outrigger test ./templates --watch
  For a CI system:
    outrigger test ./templates --junit results.xml
  Take over the actual results, and look at them before you commit:
    outrigger test ./templates --update && git diff

A case in log.test.yaml, beside log.yaml:
    tests:
    - name: the app writes into the collected directory
      pod:
        apiVersion: v1
        kind: Pod
        metadata: {name: web, annotations: {outrigger.dev/inject: log}}
        spec: {containers: [{name: web, image: web:1}]}
      expect:
        includes: {spec: {initContainers: [{name: log}]}}

docs/testing.md describes the format; `outrigger generate schema test-file` prints its JSON Schema. Exit code 1 if a case \
fails.";

/// Runs the cases, once or until the user ends it.
pub(super) fn run(args: &TestArgs) -> anyhow::Result<()> {
    args.junit.as_deref().map_or(Ok(()), check_junit)?;
    loop {
        let mut reader = Reader::default();
        let found = paths(args);
        let listed = found.as_ref().map(|found| found.files.clone()).unwrap_or_default();
        let result = once(args, found, &mut reader);
        if !args.watch {
            return result;
        }
        if let Err(error) = result {
            stdio::print_message(&format!("error: {error:#}"));
        }
        stdio::print_message("waiting for a change; Ctrl-C ends");
        wait_for_change(args, (listed, reader.watched));
    }
}

fn once(args: &TestArgs, found: Result<FoundFiles, ErrorList>, reader: &mut Reader) -> anyhow::Result<()> {
    let files = found.map(|found| {
        let mut files = run::all(reader, &found.files, args.filter.as_deref());
        files.extend(found.unreadable.into_iter().map(|(path, problem)| RanFile::unread(path, vec![problem])));
        files
    });
    // A CI system takes a file that is missing for a failure of its own.
    let report = args.junit.as_deref().map_or(Ok(()), |path| match reader.has_read(path) {
        true => Err(Usage::new(would_be_replaced(path)).into()),
        false => write_junit(path, files.as_deref().unwrap_or_default()),
    });
    let tested = files.map_err(anyhow::Error::from).and_then(|files| show(args, &files));
    match (tested, report) {
        (Err(error), Err(report)) if !error.is::<TestsFailed>() => {
            let report = report.downcast::<Usage>().map_or_else(|other| format!("{other:#}").into(), ErrorList::from);
            let mut both = ErrorList::from(format!("{error:#}"));
            both.keep::<()>(Err(report));
            Err(both.into())
        }
        (tested, report) => report.and(tested),
    }
}

/// A forgotten value of `--junit` makes the next argument one, whose content must not be lost.
fn check_junit(path: &Path) -> anyhow::Result<()> {
    if files::is_named_as_cases(path) {
        return Err(Usage::new(would_be_replaced(path)).into());
    }
    // To read a pipe or a device may never end, and to an open file is appended.
    let is_file = path.metadata().is_ok_and(|metadata| metadata.is_file()) && write_file::handle(path).is_none();
    let content = match is_file.then(|| std::fs::read(path)) {
        Some(Err(error)) if error.kind() != ErrorKind::NotFound => {
            return Err(anyhow::Error::msg(unreadable(printable(&path.display().to_string()), &error)));
        }
        content => content.and_then(Result::ok).unwrap_or_default(),
    };
    if content.is_empty() || report::is_junit(&content) {
        return Ok(());
    }
    let path = printable(&path.display().to_string());
    let problem = "this file is no JUnit report, and would be replaced; name another file, or remove it";
    Err(Usage::new(format!("--junit {path}: {problem}")).into())
}

fn would_be_replaced(path: &Path) -> String {
    let path = printable(&path.display().to_string());
    format!("--junit {path}: this file has cases, a template or a pod, and would be replaced; name another file")
}

fn write_junit(path: &Path, files: &[RanFile]) -> anyhow::Result<()> {
    let context = || format!("{}: cannot be written", printable(&path.display().to_string()));
    write_file::replace(path, report::junit(files)?.as_bytes()).with_context(context)
}

/// Prints the results, and updates the cases if that is asked for.
fn show(args: &TestArgs, files: &[RanFile]) -> anyhow::Result<()> {
    let counts = Counts::of(files);
    if let Some(filter) = args.filter.as_ref().filter(|_| counts.passed + counts.failed + counts.unread == 0) {
        bail!("no case has {} in its name; there are {} cases", quote(filter), counts.left_out);
    }
    match args.output {
        TestFormat::Json => stdio::print(terminal::json(&report::json(files)?)?)?,
        TestFormat::Text if args.update => {}
        TestFormat::Text => stdio::print(report::text(files, args.verbose, Colours::of_stdout())?)?,
    }
    if args.update {
        return update(files);
    }
    if counts.failed + counts.unread > 0 { Err(TestsFailed.into()) } else { Ok(()) }
}

/// The failures were printed.
#[derive(Debug, thiserror::Error)]
#[error("not all cases passed")]
struct TestsFailed;

/// The files of all paths, each once.
fn paths(args: &TestArgs) -> Result<FoundFiles, ErrorList> {
    let mut problems = ErrorList::default();
    let mut all = FoundFiles::default();
    let mut seen = BTreeSet::new();
    for path in &args.paths {
        let found = files::find(path, args.recursive).map_err(ErrorList::from);
        let Some(found) = problems.keep(found) else { continue };
        all.files.extend(found.files.into_iter().filter(|file| seen.insert(canonical(file))));
        all.unreadable.extend(found.unreadable.into_iter().filter(|(path, _)| seen.insert(path.clone())));
    }
    all.files.sort();
    problems.or(all)
}

/// The file in the real path of its directory: a link to a file has a template of its own beside it.
fn canonical(file: &Path) -> PathBuf {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    directory.join(file.file_name().unwrap_or_default())
}

fn update(files: &[RanFile]) -> anyhow::Result<()> {
    let mut left_as_it_is = ErrorList::default();
    for file in files {
        left_as_it_is.extend(file.problems.iter().map(|problem| printable(problem)));
        let updated = update::file(file)?;
        let path = file.path.display();
        for name in updated.changed {
            stdio::print_message(&printable(&format!("{path}: updated: {name}")));
        }
        for (name, why) in updated.left {
            left_as_it_is.push(printable(&format!("{path}: {name}: is left as it is: {why}")));
        }
    }
    Ok(left_as_it_is.or(())?)
}

#[allow(clippy::disallowed_methods, reason = "nothing else runs while files are watched")]
fn pause() {
    std::thread::sleep(LOOK);
}

/// The list of files, and what each file that was read or looked for was before that.
type Watched = (Vec<PathBuf>, BTreeMap<PathBuf, Stamp>);

/// Returns when a file of the last run, or the list of files, is another one than before it.
fn wait_for_change(args: &TestArgs, before: Watched) {
    let state = || -> Watched {
        let listed = paths(args).map(|found| found.files).unwrap_or_default();
        (listed, before.1.keys().map(|path| (path.clone(), files::stamp(path))).collect())
    };
    let mut now = state();
    while now == before {
        pause();
        now = state();
    }
    // An editor may still be writing.
    loop {
        pause();
        let next = state();
        if next == now {
            return;
        }
        now = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_do_not_replace_what_was_read() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        let args = |junit: &str| TestArgs {
            paths: vec![directory.path().to_owned()],
            recursive: false,
            // Nothing is printed if no case is run.
            filter: Some("of no case".to_owned()),
            verbose: false,
            output: TestFormat::Text,
            junit: Some(path(junit)),
            update: false,
            watch: false,
        };
        let files = [
            ("a.test.yaml", "tests:\n- {name: a, podFile: pod.yaml, expect: {skipped: []}}\n"),
            ("a.yaml", "a"),
            ("pod.yaml", "kind: Pod"),
            ("notes.txt", "notes"),
            ("pom.xml", "<?xml version=\"1.0\"?>\n<project/>"),
        ];
        for (name, text) in files {
            std::fs::write(path(name), text).expect("a file");
        }
        for name in ["a.test.yaml", "absent.test.yml", "a.yaml", "./pod.yaml", "notes.txt", "pom.xml"] {
            let problem = run(&args(name)).expect_err("it would be replaced");
            assert!(Usage::is_in(&problem) && problem.to_string().contains("would be replaced; name another file"));
        }
        for (name, text) in files {
            assert_eq!(std::fs::read_to_string(path(name)).expect("a file"), text);
        }
        std::fs::write(path("empty.xml"), "").expect("a file");
        // The second time it is a report.
        for name in ["results.xml", "results.xml", "empty.xml"] {
            let problem = run(&args(name)).expect_err("no case is run");
            assert!(!Usage::is_in(&problem), "{problem:#}");
            assert!(report::is_junit(&std::fs::read(path(name)).expect("a report")), "{name}");
        }
        // The kernel reads none of it, not even for the superuser.
        let problem = check_junit(Path::new("/proc/self/mem")).expect_err("what is in it is not known").to_string();
        assert!(problem.starts_with("/proc/self/mem: cannot be read: "), "{problem}");
        std::fs::write(path("a.yaml"), "").expect("a file");
        assert!(Usage::is_in(&run(&args("a.yaml")).expect_err("it was read")));
    }

    #[test]
    fn an_edit_made_while_the_cases_run_is_not_overwritten() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        let template = "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {name: a}\n\
                        spec: {app: {env: [{name: A, value: b}]}}\n";
        let pod = "{metadata: {name: web}, spec: {containers: [{name: web, image: 'web:1'}]}}";
        let cases = format!(
            "tests:\n- name: a\n  pod: {{apiVersion: v1, kind: Pod, {}\n  expect: {{skipped: [opted_out]}}\n",
            &pod[1..]
        );
        std::fs::write(path("a.yaml"), template).expect("a file");
        std::fs::write(path("a.test.yaml"), &cases).expect("a file");
        let ran = run::all(&mut Reader::default(), &[path("a.test.yaml")], None);
        let edited = format!("{cases}# edited\n");
        std::fs::write(path("a.test.yaml"), &edited).expect("a file");
        let problem = format!("{:#}", update(&ran).expect_err("it was changed"));
        assert!(problem.contains("changed while the command ran"), "{problem}");
        assert_eq!(std::fs::read_to_string(path("a.test.yaml")).expect("a file"), edited);
        std::fs::write(path("a.test.yaml"), &cases).expect("a file");
        update(&ran).expect("it is as it was");
        assert!(std::fs::read_to_string(path("a.test.yaml")).expect("a file").contains("not_requested"));
    }
}
