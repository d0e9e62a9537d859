//! `outrigger lint`: the errors of templates, and warnings about what a reviewer would send back.
//!
//! Invariant: the exit code is 1 exactly if an error is printed; with `--strict` warnings are errors.

mod report;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum, ValueHint};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use super::documents;
use super::errors::ErrorList;
use super::stdio;
use super::template_texts::template_texts;
use super::terminal::{self, Colours};
use super::values::ClusterVersion;
use crate::config::TemplateSource;
use crate::inject::SourceText;
use crate::inject::text::suggest;
use crate::lint::{self, Code};
use crate::source::built_in;
use report::{Level, Line};

/// Check templates: errors, and warnings about what works but should be better.
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT)]
pub(super) struct LintArgs {
    /// Templates: directories (*.yaml, *.yml, *.json), files, manifests of ConfigMaps that hold
    /// templates, built-in for the built-in ones, or - for stdin
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath, default_value = ".")]
    paths: Vec<TemplateSource>,

    /// How the result is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,

    /// Makes every warning an error
    #[arg(long)]
    strict: bool,

    /// Leaves out the warnings of these codes; may be repeated
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = warning, add = codes(|code| !code.is_error()))]
    allow: Vec<Code>,

    /// Warns of fields that this Kubernetes version does not serve by default, such as 1.30
    #[arg(long, value_name = "VERSION", value_parser = kubernetes)]
    kubernetes: Option<ClusterVersion>,

    /// Prints the page of a code, and checks nothing
    #[arg(long, value_name = "CODE", value_parser = code, add = codes(|_| true))]
    explain: Option<Code>,
}

/// A format of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// An excerpt of the template for each finding
    Text,
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

const LONG_ABOUT: &str = "\
Checks templates: errors, and warnings about what works but should be better.

Examples:
  Check the templates of a directory:
    outrigger lint ./templates
  In a pipeline: warnings fail it too, but for two codes:
    outrigger lint --strict --allow image_tag,no_resources ./templates
  Find fields that an older cluster does not serve:
    outrigger lint --kubernetes 1.30 ./templates
  For code scanning:
    outrigger lint -o sarif ./templates > lint.sarif
  What a code means, with examples:
    outrigger lint --explain no_resources

A comment `# outrigger-lint: allow CODE` silences a warning: at the end of its line, on the line before, or before the \
first field of a document for the whole document. The exit code is 1 if there is an error.";

/// The newest minor version of Kubernetes of which `--kubernetes` knows the fields.
const NEWEST: u32 = 36;

/// Runs `outrigger lint`.
pub(super) fn run(args: &LintArgs) -> anyhow::Result<()> {
    if let Some(code) = args.explain {
        return stdio::print(lint::explanation(code));
    }
    let texts = texts(&args.paths)?;
    let minor = args.kubernetes.as_ref().map(|version| version.minor);
    if minor.is_some_and(|minor| minor > NEWEST) {
        stdio::print_message(&format!("the fields of Kubernetes 1.{NEWEST} are the newest that this version knows"));
    }
    let found = lint::lint(&texts, minor).into_iter().filter(|finding| !args.allow.contains(&finding.code));
    let lines: Vec<Line> = found.map(|finding| Line::new(finding, args.strict)).collect();
    let output = match args.output {
        Format::Text => report::text(&texts, &lines, Colours::of_stdout()),
        Format::Json => report::json(&lines)?,
        Format::Sarif => report::sarif(&lines)?,
    };
    stdio::print(output)?;
    let count = |level| lines.iter().filter(|line| line.level == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let summary =
        format!("{}: {}, {}", counted(texts.len(), "file"), counted(errors, "error"), counted(warnings, "warning"));
    if errors > 0 {
        return Err(anyhow::Error::msg(summary));
    }
    stdio::print_message(&summary);
    Ok(())
}

/// `1 file`, `2 files`.
fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// The texts of all places; an error if there is none, since a wrong path must not pass. A file that
/// several arguments name is read once, but of one argument every text counts, as in the server.
fn texts(paths: &[TemplateSource]) -> anyhow::Result<Vec<SourceText>> {
    let mut problems = ErrorList::default();
    let mut texts = Vec::new();
    let mut seen = BTreeSet::new();
    documents::stdin_once(paths.iter().filter_map(|path| match path {
        TemplateSource::Directory(path) => Some(path),
        TemplateSource::BuiltIn => None,
    }))?;
    for path in paths {
        let is_stdin = matches!(path, TemplateSource::Directory(path) if path.as_os_str() == "-");
        let is_file = !is_stdin && *path != TemplateSource::BuiltIn;
        let found = match path {
            TemplateSource::BuiltIn => built_in::texts(),
            TemplateSource::Directory(_) if is_stdin => {
                let bytes = stdio::read_stdin().context("cannot read stdin")?;
                let text = String::from_utf8(bytes).context("stdin is no UTF-8")?;
                vec![SourceText { origin: "stdin".to_owned(), text }]
            }
            source => {
                let found = template_texts(std::slice::from_ref(source)).map_err(printable);
                problems.keep(found).unwrap_or_default()
            }
        };
        // A file may be called like an origin that is none.
        let place = |origin: &str| (is_file, if is_file { canonical(origin) } else { origin.into() });
        let places: Vec<(bool, PathBuf)> = found.iter().map(|text| place(&text.origin)).collect();
        texts.extend(found.into_iter().filter(|text| !seen.contains(&place(&text.origin))));
        seen.extend(places);
    }
    let texts = problems.or(texts)?;
    if texts.iter().all(|text| is_empty(&text.text)) {
        anyhow::bail!("no template found; name a directory with *.yaml, *.yml or *.json files, or a file");
    }
    Ok(texts)
}

/// The file of a text, by whatever path it was named; other origins as they are.
fn canonical(origin: &str) -> PathBuf {
    let (file, key) = match origin.rsplit_once(": ") {
        Some((file, key)) if !Path::new(origin).exists() => (file, Some(key)),
        _ => (origin, None),
    };
    let path = Path::new(file).canonicalize().unwrap_or_else(|_| file.into());
    key.map_or_else(|| path.clone(), |key| format!("{}: {key}", path.display()).into())
}

/// Whether a text has nothing but comments and separators.
fn is_empty(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---" || line == "..."
    })
}

/// File names may contain what a terminal obeys.
fn printable(problems: ErrorList) -> ErrorList {
    problems.to_string().lines().map(terminal::printable).collect()
}

/// The codes that a flag takes, for shells.
fn codes(is_meant: fn(&Code) -> bool) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        let codes = Code::ALL.iter().copied().filter(is_meant);
        codes.map(|code| CompletionCandidate::new(code.as_str()).help(Some(code.meaning().into()))).collect()
    })
}

fn code(text: &str) -> Result<Code, String> {
    find(text, |_| true)
}

fn warning(text: &str) -> Result<Code, String> {
    match Code::find(text) {
        Some(code) if code.is_error() => Err("it is an error; correct the template".to_owned()),
        _ => find(text, |code| !code.is_error()),
    }
}

fn find(text: &str, is_meant: fn(Code) -> bool) -> Result<Code, String> {
    let names = || Code::ALL.iter().filter(|code| is_meant(**code)).map(|code| code.as_str());
    Code::find(text).ok_or_else(|| match suggest::nearest(text, names()) {
        Some(nearest) => format!("unknown code; did you mean {nearest:?}?"),
        None => format!("unknown code; expected one of {}", names().collect::<Vec<_>>().join(", ")),
    })
}

fn kubernetes(text: &str) -> Result<ClusterVersion, String> {
    let version: ClusterVersion = text.parse()?;
    if version.major == 1 && version.minor >= 20 {
        return Ok(version);
    }
    Err("expected Kubernetes 1.20 or newer".to_owned())
}
