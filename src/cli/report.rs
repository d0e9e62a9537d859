//! What a command says on stderr about the objects of its input.
//!
//! Invariants: with `--strict` every warning is an error; after an error no line says that something was
//! injected, because nothing is printed.

use super::errors::ErrorList;
use super::stdio;
use crate::workload::Finding;

/// Collects lines and errors until all objects were looked at; prints warnings at once.
#[derive(Default)]
pub(super) struct Report {
    quiet: bool,
    strict: bool,
    lines: Vec<String>,
    errors: ErrorList,
}

impl Report {
    pub(super) fn new(quiet: bool, strict: bool) -> Self {
        Self { quiet, strict, ..Self::default() }
    }

    /// What went as expected.
    pub(super) fn info(&mut self, line: String) {
        if !self.quiet {
            self.lines.push(line);
        }
    }

    /// What may not be as the author expects.
    pub(super) fn warning(&mut self, line: &str) {
        if self.strict {
            self.errors.push(format!("{line} (a warning, which --strict refuses)"));
        } else {
            stdio::print_message(&format!("warning: {line}"));
        }
    }

    pub(super) fn finding(&mut self, object: &str, finding: &Finding) {
        let line = format!("{object}: {finding}");
        if finding.is_warning { self.warning(&line) } else { self.info(line) }
    }

    pub(super) fn error(&mut self, line: String) {
        self.errors.push(line);
    }

    /// All errors, or the lines about what was done.
    pub(super) fn finish(self) -> Result<(), ErrorList> {
        self.errors.or(())?;
        self.lines.iter().for_each(|line| stdio::print_message(line));
        Ok(())
    }
}
