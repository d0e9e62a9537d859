//! Prints the result of `outrigger lint` as text with excerpts, as JSON and as SARIF.
//!
//! Invariant: texts of templates reach a terminal without control characters.

use annotate_snippets::{AnnotationKind, Group, Level as Shown, Renderer, Snippet};
use serde::Serialize;
use serde_json::json;

use crate::cli::terminal::{self, Colours};
use crate::inject::SourceText;
use crate::inject::text::is_unprintable;
use crate::lint::{self, Code, Finding};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Error,
    Warning,
}

/// One finding, as JSON prints it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Line {
    /// The code, such as `no_resources`.
    pub code: &'static str,
    pub level: Level,
    /// The file, or `FILE: KEY` for a template in the manifest of a ConfigMap.
    pub file: String,
    /// 1-based; 0 if the finding has no place in the text.
    pub line: usize,
    /// 1-based, in characters; 0 if the finding has no place in the text.
    pub column: usize,
    /// The field, such as `spec.sidecars[0].image`; empty if there is none.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The result, as JSON prints it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct JsonReport<'a> {
    findings: &'a [Line],
}

impl Line {
    pub(super) fn new(finding: Finding, strict: bool) -> Self {
        let Finding { code, origin, place, path, message, help } = finding;
        let level = if strict || code.is_error() { Level::Error } else { Level::Warning };
        Self { code: code.as_str(), level, file: origin, line: place.line, column: place.column, path, message, help }
    }
}

/// An excerpt of the text for each finding.
pub(super) fn text(texts: &[SourceText], lines: &[Line], colours: Colours) -> String {
    let renderer = if colours == Colours::Shown { Renderer::styled() } else { Renderer::plain() };
    let shown = lines.iter().map(|line| {
        let source = texts.iter().find(|text| text.origin == line.file).map_or("", |text| text.text.as_str());
        excerpt(&renderer, line, source) + "\n\n"
    });
    shown.collect()
}

fn excerpt(renderer: &Renderer, line: &Line, source: &str) -> String {
    let level = if line.level == Level::Error { Shown::ERROR } else { Shown::WARNING };
    let place = if line.path.is_empty() { String::new() } else { format!("{}: ", line.path) };
    let message = terminal::printable(&format!("{place}{}", line.message));
    let file = terminal::printable(&line.file);
    let help = terminal::printable(&line.help);
    let source: String = source.chars().map(|c| if c != '\n' && is_unprintable(c) { ' ' } else { c }).collect();
    let title = level.primary_title(message.as_str()).id(line.code);
    let report = match span(&source, line.line, line.column) {
        Some(span) => title.element(
            Snippet::source(source.as_str()).path(file.as_str()).annotation(AnnotationKind::Primary.span(span)),
        ),
        None => Group::with_title(title).element(Shown::NOTE.message(file.as_str())),
    };
    let more = format!("outrigger lint --explain {}", line.code);
    let report = report.element(Shown::HELP.message(help.as_str()));
    renderer.render(&[report.element(Shown::NOTE.message(more.as_str()))])
}

/// The bytes from a place to the end of its word; `None` if the text has no such place.
fn span(source: &str, line: usize, column: usize) -> Option<std::ops::Range<usize>> {
    let (line, column) = (line.checked_sub(1)?, column.checked_sub(1)?);
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let text = source.split_inclusive('\n').nth(line)?.trim_end();
    let from = text.char_indices().nth(column)?.0;
    let rest = text.get(from..)?;
    let length = rest.find([':', ' ', ',', '}', ']']).filter(|length| *length > 0).unwrap_or(rest.len());
    Some(start + from..start + from + length)
}

pub(super) fn json(findings: &[Line]) -> anyhow::Result<String> {
    terminal::json(&JsonReport { findings })
}

/// SARIF 2.1.0 with one rule for each code.
pub(super) fn sarif(lines: &[Line]) -> anyhow::Result<String> {
    let rule = |code: &Code| {
        json!({
            "id": code.as_str(),
            "shortDescription": {"text": code.meaning()},
            "fullDescription": {"text": code.why()},
            "help": {"text": code.help(), "markdown": lint::page(*code)},
            "defaultConfiguration": {"level": if code.is_error() { Level::Error } else { Level::Warning }},
        })
    };
    let rules: Vec<_> = Code::ALL.iter().map(rule).collect();
    let results: Vec<_> = lines.iter().map(result).collect();
    terminal::json(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "outrigger", "version": env!("CARGO_PKG_VERSION"), "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    }))
}

fn result(line: &Line) -> serde_json::Value {
    let uri = line.file.trim_start_matches("./");
    let mut location = json!({"artifactLocation": {"uri": uri}});
    // A finding of a whole file is shown at its beginning.
    location["region"] = json!({"startLine": line.line.max(1), "startColumn": line.column.max(1)});
    json!({
        "ruleId": line.code,
        "level": line.level,
        "message": {"text": format!("{}; {}", line.message, line.help)},
        "locations": [{"physicalLocation": location}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::schemas;

    #[test]
    fn published_schema_is_that_of_the_findings() {
        schemas::tests::assert_published::<JsonReport<'_>>("lint");
    }

    #[test]
    fn a_span_is_the_key_and_no_place_is_no_span() {
        let text = "é: 1\nspec:\n  image: x\n";
        assert_eq!(span(text, 3, 3).map(|span| &text[span]), Some("image"));
        assert_eq!(span(text, 1, 1).map(|span| &text[span]), Some("é"));
        assert_eq!((span(text, 0, 0), span(text, 9, 1), span(text, 1, 40)), (None, None, None));
    }
}
