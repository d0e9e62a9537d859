//! Comments that silence a warning: `# outrigger-lint: allow CODE[, CODE]`.
//!
//! Invariant: a comment that silences nothing is itself a warning.

use super::code::Code;
use super::finding::Finding;
use crate::inject::SourceText;
use crate::inject::template::document::Place;
use crate::inject::text::suggest;

const MARK: &str = "# outrigger-lint: allow ";

struct Allowance<'a> {
    code: &'a str,
    line: usize,
    column: usize,
    /// The lines for which it holds.
    from: usize,
    to: usize,
    is_used: bool,
}

/// Leaves out the warnings that comments allow, and adds one for each comment that allows none.
pub(super) fn filter(source: &SourceText, findings: Vec<Finding>) -> Vec<Finding> {
    let mut allowances = allowances(&source.text);
    let mut kept: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| {
            let mut is_allowed = false;
            for one in &mut allowances {
                let holds = one.code == finding.code.as_str()
                    && !finding.code.is_error()
                    && (one.from..=one.to).contains(&finding.place.line);
                one.is_used |= holds;
                is_allowed |= holds;
            }
            !is_allowed
        })
        .collect();
    kept.extend(allowances.iter().filter(|one| !one.is_used).map(|one| unused(&source.origin, one)));
    kept
}

/// A comment of its own holds for the next line that is none; before the document's first field, for the
/// whole document; at the end of a line, for that line.
fn allowances(text: &str) -> Vec<Allowance<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let is_end = |line: &str| line.trim_end() == "---";
    let mut found = Vec::new();
    let mut is_head = true;
    for (index, line) in lines.iter().enumerate() {
        if let Some((before, codes)) = line.split_once(MARK) {
            let rest = lines.iter().skip(index + 1);
            let (from, to) = if !is_comment(line) {
                (index + 1, index + 1)
            } else if is_head {
                (index + 1, index + 1 + rest.take_while(|line| !is_end(line)).count())
            } else {
                let next = index + 2 + rest.take_while(|line| is_comment(line)).count();
                (next, next)
            };
            let column = before.chars().count() + 1;
            let codes = codes.split(',').map(|code| code.split_whitespace().next().unwrap_or_default());
            found.extend(codes.map(|code| Allowance { code, line: index + 1, column, from, to, is_used: false }));
        }
        is_head = is_end(line) || is_head && is_comment(line);
    }
    found
}

fn unused(origin: &str, allowance: &Allowance<'_>) -> Finding {
    let code = allowance.code;
    let message = match Code::find(code) {
        Some(known) if known.is_error() => format!("{code:?} is an error, which no comment allows"),
        Some(_) => format!("the comment allows {code:?}, and there is no such warning here"),
        None => match suggest::nearest(code, Code::ALL.iter().map(|code| code.as_str())) {
            Some(nearest) => format!("unknown code {code:?}; did you mean {nearest:?}?"),
            None => format!("unknown code {code:?}"),
        },
    };
    let place = Place { line: allowance.line, column: allowance.column };
    let (code, help) = (Code::AllowUnused, Code::AllowUnused.help().to_owned());
    Finding { code, origin: origin.to_owned(), place, path: String::new(), message, help }
}
