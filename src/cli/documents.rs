//! Reads Kubernetes objects from files and stdin.
//!
//! Invariant: either every document of every file was read, or
//! all problems of all files are reported.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::errors::ErrorList;
use super::stdio;
use crate::inject::template::document::{self, ParseProblem, Place};
use crate::workload::{self, Note, PodLocation};

/// The files that a command reads.
#[derive(Args, Debug)]
pub(super) struct InputArgs {
    /// File with one or more objects in YAML or JSON; `-` is stdin
    #[arg(short, long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    pub files: Vec<PathBuf>,
}

/// One object of the input.
#[derive(Debug)]
pub(super) struct InputDocument {
    pub value: Value,
    /// The pods and pod templates in the object.
    pub pods: Vec<PodLocation>,
    /// What is to be said about the object before it is looked at.
    pub notes: Vec<Note>,
}

impl InputDocument {
    /// `Deployment/web`, for headings.
    pub(super) fn title(&self) -> String {
        let text = |pointer| self.value.pointer(pointer).and_then(Value::as_str);
        let kind = text("/kind").unwrap_or("object");
        text("/metadata/name").map_or_else(|| kind.to_owned(), |name| format!("{kind}/{name}"))
    }
}

/// Reads all objects of all files, in order.
pub(super) fn read(input: &InputArgs, domain: &str) -> Result<Vec<InputDocument>, ErrorList> {
    let mut problems = ErrorList::default();
    if input.files.iter().filter(|path| is_stdin(path)).count() > 1 {
        problems.push("stdin (-) is named twice, but can be read only once");
        return problems.or(Vec::new());
    }
    let read = input.files.iter().filter_map(|path| problems.keep(read_file(path, domain)));
    let documents: Vec<_> = read.collect::<Vec<_>>().into_iter().flatten().collect();
    let documents = problems.or(documents)?;
    if documents.is_empty() {
        return Err(ErrorList::from("the input contains no object, expected YAML or JSON".to_owned()));
    }
    Ok(documents)
}

fn read_file(path: &Path, domain: &str) -> Result<Vec<InputDocument>, ErrorList> {
    let document = |value| {
        let found = workload::find(&value, domain);
        InputDocument { value, pods: found.pods, notes: found.notes }
    };
    Ok(values(path)?.into_iter().map(document).collect())
}

/// The documents of a file, except empty ones.
pub(super) fn values(path: &Path) -> Result<Vec<Value>, ErrorList> {
    parse(&origin(path), &text(path)?)
}

/// The name of a file in messages.
pub(super) fn origin(path: &Path) -> String {
    if is_stdin(path) { "stdin".to_owned() } else { path.display().to_string() }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn text(path: &Path) -> Result<String, ErrorList> {
    let origin = origin(path);
    let bytes = if is_stdin(path) { stdio::read_stdin() } else { read_regular(path) };
    let bytes = bytes.map_err(|error| format!("{origin}: cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        ErrorList::from(format!("{origin}: byte {place} is not UTF-8, expected YAML or JSON as text"))
    })
}

fn read_regular(path: &Path) -> std::io::Result<Vec<u8>> {
    if path.is_dir() {
        return Err(std::io::Error::other("it is a directory; name the files in it"));
    }
    std::fs::read(path)
}

fn parse(origin: &str, text: &str) -> Result<Vec<Value>, ErrorList> {
    document::values(text).map_err(|problems| problems.iter().map(|problem| located(origin, problem)).collect())
}

/// `app.yaml:3:1: …`
fn located(origin: &str, problem: &ParseProblem) -> String {
    match problem.place {
        Place { line: 0, .. } => format!("{origin}: {}", problem.message),
        Place { line, column } => format!("{origin}:{line}:{column}: {}", problem.message),
    }
}
