//! Prints the result of `outrigger lint` as text with excerpts, as JSON and as SARIF.
//!
//! Invariants: texts of templates reach a terminal without control characters; no output has a secret.

use std::collections::BTreeMap;
use std::fmt::Write;

use annotate_snippets::{AnnotationKind, Group, Level as Severity, Renderer, Snippet};
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
    /// The file, or `FILE: KEY` for a template in the manifest of a ConfigMap; `FILE: CONFIGMAP/KEY` if
    /// several have the key.
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

/// A source as excerpts show it: without secrets and control characters, as lines.
struct Shown {
    text: String,
    /// The first byte of each line, and the end of the text.
    starts: Vec<usize>,
}

impl Shown {
    fn new(source: &SourceText) -> Self {
        let masked = lint::masked(source);
        let text: String = masked.chars().map(|c| if c != '\n' && is_unprintable(c) { ' ' } else { c }).collect();
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(ends).chain(std::iter::once(text.len())).collect();
        Self { text, starts }
    }

    /// The 1-based line.
    fn line(&self, line: usize) -> Option<&str> {
        let range = *self.starts.get(line.checked_sub(1)?)?..*self.starts.get(line)?;
        self.text.get(range).map(str::trim_end)
    }
}

/// An excerpt of the text for each finding.
pub(super) fn text(texts: &[SourceText], lines: &[Line], colours: Colours) -> String {
    let renderer = if colours == Colours::Shown { Renderer::styled() } else { Renderer::plain() };
    let mut sources: BTreeMap<&str, Shown> = BTreeMap::new();
    let by_origin: BTreeMap<&str, &SourceText> = texts.iter().map(|text| (text.origin.as_str(), text)).collect();
    let mut shown = String::new();
    for line in lines {
        let source = by_origin
            .get(line.file.as_str())
            .map(|text| &*sources.entry(line.file.as_str()).or_insert_with(|| Shown::new(text)));
        shown += &excerpt(&renderer, line, source);
        shown += "\n\n";
    }
    shown
}

fn excerpt(renderer: &Renderer, line: &Line, source: Option<&Shown>) -> String {
    let level = if line.level == Level::Error { Severity::ERROR } else { Severity::WARNING };
    let place = if line.path.is_empty() { String::new() } else { format!("{}: ", line.path) };
    let message = terminal::printable(&format!("{place}{}", line.message));
    let file = terminal::printable(&line.file);
    let help = terminal::printable(&line.help);
    let title = level.primary_title(message.as_str()).id(line.code);
    let text = source.and_then(|source| source.line(line.line)).unwrap_or_default();
    let report = match span(text, line.column) {
        // The line alone: the whole text would be read again for each finding.
        Some(span) => title.element(
            Snippet::source(text)
                .line_start(line.line)
                .path(file.as_str())
                .annotation(AnnotationKind::Primary.span(span)),
        ),
        None => Group::with_title(title).element(Severity::NOTE.message(file.as_str())),
    };
    let more = format!("outrigger lint --explain {}", line.code);
    let report = report.element(Severity::HELP.message(help.as_str()));
    renderer.render(&[report.element(Severity::NOTE.message(more.as_str()))])
}

/// The bytes of a line from a column to the end of its word; `None` if the line has no such column.
fn span(text: &str, column: usize) -> Option<std::ops::Range<usize>> {
    let from = text.char_indices().nth(column.checked_sub(1)?)?.0;
    let rest = text.get(from..)?;
    let length = rest.find([':', ' ', ',', '}', ']']).filter(|length| *length > 0).unwrap_or(rest.len());
    Some(from..from + length)
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
            "help": {"text": code.help(), "markdown": lint::explanation(*code)},
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

/// The manifest of a ConfigMap and the key of its data with the template, of such a file.
fn in_manifest(file: &str) -> Option<(&str, &str)> {
    file.rsplit_once(": ").filter(|(manifest, _)| has_template_name(manifest))
}

/// The file of a finding as a URI reference. The template in a ConfigMap's manifest has no address of its
/// own.
fn uri(file: &str) -> String {
    let path = in_manifest(file).map_or(file, |(manifest, _)| manifest).trim_start_matches("./");
    let mut uri = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => uri.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => _ = write!(uri, "%{byte:02X}"),
        }
    }
    uri
}

fn has_template_name(file: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|extension| file.ends_with(extension))
}

fn result(line: &Line) -> serde_json::Value {
    let mut location = json!({"artifactLocation": {"uri": uri(&line.file)}});
    let mut place = json!({});
    let mut message = format!("{}; {}", line.message, line.help);
    match in_manifest(&line.file) {
        // The line is that of the key's text, not of the manifest.
        Some((_, key)) => {
            place["logicalLocations"] = json!([{"name": key, "fullyQualifiedName": format!("data[{key:?}]")}]);
            message = format!("{key}:{}:{}: {message}", line.line, line.column);
        }
        // A finding of a whole file is shown at its beginning.
        None => location["region"] = json!({"startLine": line.line.max(1), "startColumn": line.column.max(1)}),
    }
    place["physicalLocation"] = location;
    json!({
        "ruleId": line.code,
        "ruleIndex": Code::ALL.iter().position(|code| code.as_str() == line.code),
        "level": line.level,
        "message": {"text": message},
        "locations": [place],
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
        assert_eq!(span("  image: x", 3).map(|span| &"  image: x"[span]), Some("image"));
        assert_eq!(span("é: 1", 1).map(|span| &"é: 1"[span]), Some("é"));
        assert_eq!((span("a", 0), span("", 1), span("a", 40)), (None, None, None));
        let shown = Shown::new(&SourceText { origin: String::new(), text: "a: 1\r\nb\u{202e}: 2".to_owned() });
        assert_eq!([0, 1, 2, 3].map(|line| shown.line(line)), [None, Some("a: 1"), Some("b : 2"), None]);
    }

    #[test]
    fn a_line_of_a_configmap_is_no_line_of_its_manifest() {
        let line = |file: &str| Line {
            code: "no_resources",
            level: Level::Warning,
            file: file.to_owned(),
            line: 7,
            column: 5,
            path: String::new(),
            message: "m".to_owned(),
            help: "h".to_owned(),
        };
        let found = result(&line("maps.yaml: agent.yaml"));
        let place = &found["locations"][0];
        assert_eq!(place["physicalLocation"], json!({"artifactLocation": {"uri": "maps.yaml"}}));
        assert_eq!(place["logicalLocations"][0]["name"], "agent.yaml");
        assert_eq!(found["message"]["text"], "agent.yaml:7:5: m; h");
        let found = result(&line("agent.yaml"));
        assert_eq!(found["locations"][0]["physicalLocation"]["region"]["startLine"], 7);
    }

    #[test]
    fn a_file_is_a_uri_reference() {
        for (file, expected) in [
            ("./a b/é#?.yaml", "a%20b/%C3%A9%23%3F.yaml"),
            ("/x/y.yaml", "file:///x/y.yaml"),
            ("maps.yaml: agent.yaml", "maps.yaml"),
            ("a: b.yaml", "a%3A%20b.yaml"),
            ("stdin", "stdin"),
        ] {
            assert_eq!(uri(file), expected);
        }
    }
}
