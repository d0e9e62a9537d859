//! `outrigger test`: runs cases of templates, `*.test.yaml`.
//!
//! Invariant: a case that cannot be run fails; a path without a case is an error.

mod files;
mod format;
mod judge;
mod report;
mod run;
mod update;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use self::files::Reader;
use self::report::Counts;
use self::run::RanFile;
use super::errors::ErrorList;
use super::stdio;
use super::terminal::{self, Colours};

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
    loop {
        let mut reader = Reader::default();
        let result = once(args, &mut reader);
        if !args.watch {
            return result;
        }
        if let Err(error) = result {
            stdio::print_message(&format!("error: {error:#}"));
        }
        stdio::print_message("waiting for a change; Ctrl-C ends");
        wait_for_change(args, &reader.watched);
    }
}

fn once(args: &TestArgs, reader: &mut Reader) -> anyhow::Result<()> {
    let files = run::all(reader, &paths(args)?, args.filter.as_deref());
    let counts = Counts::of(&files);
    if let Some(filter) = args.filter.as_ref().filter(|_| counts.passed + counts.failed + counts.unread == 0) {
        bail!("no case has {filter:?} in its name; there are {} cases", counts.left_out);
    }
    if let Some(path) = &args.junit {
        let xml = report::junit(&files)?;
        std::fs::write(path, xml).with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    if args.update {
        return update(&files);
    }
    stdio::print(match args.output {
        TestFormat::Text => report::text(&files, args.verbose, Colours::of_stdout())?,
        TestFormat::Json => terminal::json(&report::json(&files)?)?,
    })?;
    if counts.failed + counts.unread > 0 { Err(TestsFailed.into()) } else { Ok(()) }
}

/// The failures were printed.
#[derive(Debug, thiserror::Error)]
#[error("not all cases passed")]
struct TestsFailed;

fn paths(args: &TestArgs) -> Result<Vec<PathBuf>, ErrorList> {
    let mut problems = ErrorList::default();
    let found: BTreeSet<PathBuf> = args
        .paths
        .iter()
        .filter_map(|path| problems.keep(files::find(path, args.recursive).map_err(ErrorList::from)))
        .flatten()
        .collect();
    problems.or(found.into_iter().collect())
}

fn update(files: &[RanFile]) -> anyhow::Result<()> {
    let mut left_as_it_is = ErrorList::default();
    for file in files {
        file.problems.iter().for_each(|problem| left_as_it_is.push(problem.clone()));
        let (changed, left) = update::file(file)?;
        let path = file.path.display();
        for name in changed {
            stdio::print_message(&format!("{path}: updated: {name}"));
        }
        for name in left {
            let why = "is left as it is: an excerpt (`includes`) is changed by its author, and a case that cannot be run \
                       has no result";
            left_as_it_is.push(format!("{path}: {name}: {why}"));
        }
    }
    Ok(left_as_it_is.or(())?)
}

#[allow(clippy::disallowed_methods, reason = "nothing else runs while files are watched")]
fn pause() {
    std::thread::sleep(LOOK);
}

/// Returns when a file of the last run, or the list of files, is another one.
fn wait_for_change(args: &TestArgs, watched: &BTreeSet<PathBuf>) {
    let state = || (paths(args).unwrap_or_default(), stamps(watched));
    let before = state();
    let mut now = before.clone();
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

/// When each file was changed last, and its size; `None` if it is not there.
fn stamps(paths: &BTreeSet<PathBuf>) -> Vec<Option<(Option<SystemTime>, u64)>> {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok(), metadata.len()))
    };
    paths.iter().map(stamp).collect()
}
