//! Prints findings as text and as JSON.
//!
//! Invariant: a finding is one line of limited length and its hint another, without characters that
//! control a terminal, whatever text the objects of the cluster contain.

use std::fmt::Write;

use clap::ValueEnum;
use serde::Serialize;

use super::super::terminal::{self, Colour, Colours, printable};
use super::finding::{Finding, Severity};

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    /// A line for each finding, with what to do below it
    Text,
    /// One object
    Json,
}

/// Whether anything has failed.
pub(super) fn is_healthy(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.severity != Severity::Failed)
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct JsonReport<'f> {
    /// Whether nothing has failed.
    healthy: bool,
    findings: &'f [Finding],
}

pub(super) fn json(findings: &[Finding]) -> anyhow::Result<String> {
    terminal::json(&JsonReport { healthy: is_healthy(findings), findings })
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
    let colour = match severity {
        Severity::Ok => Colour::Green,
        Severity::Warning => Colour::Yellow,
        Severity::Failed => Colour::Red,
    };
    colours.paint(colour, &format!("{:<8}", severity.as_str()))
}

/// The last line: the verdict and the counts.
pub(super) fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let verdict = if is_healthy(findings) { "healthy" } else { "not healthy" };
    let (failed, warning, ok) = (count(Severity::Failed), count(Severity::Warning), count(Severity::Ok));
    let plural = if warning == 1 { "" } else { "s" };
    format!("{verdict}: {failed} failed, {warning} warning{plural}, {ok} ok")
}

#[cfg(test)]
mod tests {
    use super::super::super::schemas;
    use super::super::finding::Code;
    use super::*;
    use crate::inject::text::is_unprintable;

    fn findings() -> Vec<Finding> {
        vec![Code::Endpoints.good("2 ready"), Code::WebhookDeleted.found("none\n\x1b[2J here", "apply\nit")]
    }

    #[test]
    fn a_finding_is_one_line_and_its_hint_another() {
        let expected = "ok       endpoints: 2 ready\n\
                        failed   webhook_deleted: none\\n\\u{1b}[2J here\n         hint: apply\\nit\n\
                        not healthy: 1 failed, 0 warnings, 1 ok\n";
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
    fn published_schema_is_that_of_the_report() {
        schemas::tests::assert_published::<JsonReport<'_>>("check");
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
