//! `outrigger lint`: the errors of templates, and warnings about what a reviewer would send back.
//!
//! Invariant: the exit code is 1 exactly if an error is printed; with `--strict` warnings are errors.

mod report;

use anyhow::Context;
use clap::{Args, ValueEnum, ValueHint};

use super::engine;
use super::errors::ErrorList;
use super::stdio;
use super::terminal::Colours;
use super::values::ClusterVersion;
use crate::config::TemplateSource;
use crate::inject::text::suggest;
use crate::inject::{CompiledSource, LoadProblem, SourceText, TemplateSet};
use crate::lint::{self, Code, Finding};
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

    /// Leaves out the warnings of this code; may be repeated
    #[arg(long, value_name = "CODE", value_parser = code)]
    allow: Vec<Code>,

    /// Warns of fields that this Kubernetes version does not serve by default, such as 1.30
    #[arg(long, value_name = "VERSION", value_parser = kubernetes)]
    kubernetes: Option<ClusterVersion>,
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
  In a pipeline: warnings fail it too, but for one code:
    outrigger lint --strict --allow image_tag ./templates
  Find fields that an older cluster does not serve:
    outrigger lint --kubernetes 1.30 ./templates
  For code scanning:
    outrigger lint -o sarif ./templates > lint.sarif

A comment `# outrigger-lint: allow CODE` silences a warning: at the end of its line, on the line before, or before the \
first field of a document for the whole document. The exit code is 1 if there is an error.";

/// Runs `outrigger lint`.
pub(super) fn run(args: &LintArgs) -> anyhow::Result<()> {
    let texts = texts(&args.paths)?;
    let lines = check(args, &texts);
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

/// The texts of all places; an error if there is none, since a wrong path must not pass.
fn texts(paths: &[TemplateSource]) -> anyhow::Result<Vec<SourceText>> {
    let mut problems = ErrorList::default();
    let mut texts = Vec::new();
    for path in paths {
        match path {
            TemplateSource::BuiltIn => texts.extend(built_in::texts()),
            TemplateSource::Directory(path) if path.as_os_str() == "-" => {
                let bytes = stdio::read_stdin().context("cannot read stdin")?;
                let text = String::from_utf8(bytes).context("stdin is no UTF-8")?;
                texts.push(SourceText { origin: "stdin".to_owned(), text });
            }
            source => {
                texts.extend(problems.keep(engine::template_texts(std::slice::from_ref(source))).unwrap_or_default())
            }
        }
    }
    let texts = problems.or(texts)?;
    if texts.is_empty() {
        anyhow::bail!("no template found; name a directory with *.yaml, *.yml or *.json files, or a file");
    }
    Ok(texts)
}

fn check(args: &LintArgs, texts: &[SourceText]) -> Vec<Line> {
    let loaded = TemplateSet::assemble(&CompiledSource::compile_all(texts), &TemplateSet::default());
    let minor = args.kubernetes.as_ref().map(|version| version.minor);
    let mut lines: Vec<Line> = loaded.problems.iter().map(Line::of_problem).collect();
    for text in texts {
        let of_text = loaded.warnings.iter().filter(|warning| warning.origin == text.origin).map(warning).collect();
        let found = lint::lint(&text.text, minor, of_text);
        let found = found.into_iter().filter(|finding| !args.allow.contains(&finding.code));
        lines.extend(found.map(|finding| Line::of_finding(&text.origin, finding, args.strict)));
    }
    lines.sort_by(|one, other| (&one.file, one.line, one.column).cmp(&(&other.file, other.line, other.column)));
    lines
}

/// A warning of loading as one of the linter.
fn warning(problem: &LoadProblem) -> Finding {
    let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
    let place = crate::inject::template::document::Place { line: problem.line, column: problem.column };
    let message = format!("{}{hint}", problem.message);
    Finding { code: Code::TemplateWarning, place, path: problem.path.clone(), message }
}

fn code(text: &str) -> Result<Code, String> {
    let names = || Code::ALL.iter().map(|code| code.as_str());
    Code::find(text).ok_or_else(|| match suggest::nearest(text, names()) {
        Some(nearest) => format!("no code of a warning; did you mean {nearest:?}?"),
        None => format!("no code of a warning; expected one of {}", names().collect::<Vec<_>>().join(", ")),
    })
}

fn kubernetes(text: &str) -> Result<ClusterVersion, String> {
    let version: ClusterVersion = text.parse()?;
    if version.major == 1 && version.minor >= 20 {
        return Ok(version);
    }
    Err("expected Kubernetes 1.20 or newer".to_owned())
}
