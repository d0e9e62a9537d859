//! Prints findings as text and as JSON.
//!
//! Invariant: a finding is one line of limited length and its hint another, without characters that
//! control a terminal, whatever text the objects of the cluster contain.

use std::fmt::Write;

use clap::ValueEnum;
use serde::Serialize;

use super::finding::{Finding, Severity};
use crate::inject::text::is_unprintable;
use crate::inject::text::quote;

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    /// A line for each finding, with what to do below it
    Text,
    /// One object
    Json,
}

/// Whether text carries colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    Shown,
    Hidden,
}

/// Whether anything has failed.
pub(super) fn is_healthy(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.severity != Severity::Failed)
}

#[derive(Serialize)]
struct JsonReport<'f> {
    healthy: bool,
    findings: &'f [Finding],
}

pub(super) fn json(findings: &[Finding]) -> serde_json::Result<String> {
    let report = JsonReport { healthy: is_healthy(findings), findings };
    serde_json::to_string_pretty(&report).map(|text| visible(&text) + "\n")
}

/// Escapes the control characters that JSON allows in strings: a terminal would obey them.
fn visible(json: &str) -> String {
    let mut visible = String::with_capacity(json.len());
    for character in json.chars() {
        if character != '\n' && is_unprintable(character) {
            // They occur in strings only. Writing to a String cannot fail.
            for unit in character.encode_utf16(&mut [0; 2]) {
                _ = write!(visible, "\\u{unit:04x}");
            }
        } else {
            visible.push(character);
        }
    }
    visible
}

pub(super) fn text(findings: &[Finding], colours: Colours) -> String {
    let mut text = String::new();
    for finding in findings {
        let severity = coloured(finding.severity, colours);
        // Writing to a String cannot fail.
        _ = writeln!(text, "{severity} {}: {}", finding.code, printable(&finding.message));
        if let Some(hint) = &finding.hint {
            _ = writeln!(text, "         hint: {}", printable(hint));
        }
    }
    _ = writeln!(text, "{}", summary(findings));
    text
}

/// The severity, padded to the width of the longest one.
fn coloured(severity: Severity, colours: Colours) -> String {
    let word = format!("{:<8}", severity.as_str());
    let colour = match severity {
        Severity::Ok => "32",
        Severity::Warning => "33",
        Severity::Failed => "31",
    };
    if colours == Colours::Shown { format!("\x1b[{colour}m{word}\x1b[0m") } else { word }
}

/// The last line: the verdict and the counts.
pub(super) fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let verdict = if is_healthy(findings) { "healthy" } else { "not healthy" };
    let (failed, warning, ok) = (count(Severity::Failed), count(Severity::Warning), count(Severity::Ok));
    format!("{verdict}: {failed} failed, {warning} warning, {ok} ok")
}

/// Maximum length of a line. Messages of the API server are long, and quote texts of tenants.
const LONGEST: usize = 4096;

/// The text on one line of bounded length.
pub(super) fn printable(text: &str) -> String {
    quote::one_line(text.trim(), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Code;
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![Code::Endpoints.good("2 ready"), Code::WebhookDeleted.found("none\n\x1b[2J here", "apply\nit")]
    }

    #[test]
    fn a_finding_is_one_line_and_its_hint_another() {
        let expected = "ok       endpoints: 2 ready\n\
                        failed   webhook_deleted: none\\n\\u{1b}[2J here\n         hint: apply\\nit\n\
                        not healthy: 1 failed, 0 warning, 1 ok\n";
        assert_eq!(text(&findings(), Colours::Hidden), expected);
        assert!(text(&findings(), Colours::Shown).contains("\x1b[31mfailed  \x1b[0m webhook_deleted"));
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let hostile = format!("a\u{9b}31mb\u{202e}c\u{2028}d\u{7f}\u{e0041}{}", "x".repeat(1 << 20));
        let findings = [Code::Drift.found(&hostile, &hostile)];
        let text = text(&findings, Colours::Hidden);
        assert!(text.len() < 20_000 && text.lines().count() == 3, "{}", text.len());
        let json = json(&findings).expect("JSON");
        for shown in [text, json.clone()] {
            assert!(!shown.chars().any(|c| c != '\n' && is_unprintable(c)));
        }
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["findings"][0]["message"], hostile);
    }

    #[test]
    fn json_says_whether_it_is_healthy() {
        let value: serde_json::Value = serde_json::from_str(&json(&findings()).expect("JSON")).expect("JSON");
        assert_eq!(value["healthy"], false);
        assert_eq!(value["findings"][1]["severity"], "failed");
        assert_eq!(value["findings"][1]["hint"], "apply\nit");
        assert!(value["findings"][0].get("hint").is_none());
        assert!(is_healthy(&findings()[..1]) && is_healthy(&[Code::Drift.found("a", "b")]));
    }
}
