//! Comments that silence a warning: `# outrigger-lint: allow CODE[, CODE]`.
//!
//! Invariant: a comment that silences nothing is itself a warning, unless the rule was not applied.

use super::code::Code;
use super::finding::Finding;
use super::scan::{Comment, Scan, Section, scan};
use crate::inject::SourceText;
use crate::inject::template::document::Place;
use crate::inject::text::suggest;

const MARK: &str = "outrigger-lint";

/// One code of a comment.
struct Allowance<'t> {
    code: &'t str,
    place: Place,
    /// The lines for which it holds.
    from: usize,
    to: usize,
    is_used: bool,
}

impl Allowance<'_> {
    fn holds(&self, finding: &Finding) -> bool {
        self.code == finding.code.as_str()
            && !finding.code.is_error()
            && (self.from..=self.to).contains(&finding.place.line)
    }
}

/// Leaves out the warnings that comments allow, and adds one for each comment that allows none.
pub(super) fn filter(source: &SourceText, mut findings: Vec<Finding>, minor: Option<u32>) -> Vec<Finding> {
    let scan = scan(&source.text);
    let (mut allowances, mut about_comments) = (Vec::new(), Vec::new());
    for comment in &scan.comments {
        let Some((place, rest)) = marked(comment) else { continue };
        match codes(rest) {
            Some(codes) => {
                let (from, to) = lines(&scan, comment, &source.text);
                allowances.extend(codes.into_iter().map(|code| Allowance { code, place, from, to, is_used: false }));
            }
            None => {
                let message = format!("a comment {MARK:?} says something else than {:?}", "allow CODE");
                about_comments.push(finding(source, place, message));
            }
        }
    }
    let unloaded: Vec<&Section> =
        scan.sections.iter().filter(|section| findings.iter().any(|one| is_error_in(one, section))).collect();
    let has_lost_source = findings.iter().any(|one| one.code.is_error() && one.place.line == 0);
    let is_applied = |one: &Allowance<'_>| {
        let is_loaded = !has_lost_source && !unloaded.iter().any(|section| contains(section, one.place.line));
        let is_checked = minor.is_some() || one.code != Code::KubernetesVersion.as_str();
        Code::find(one.code).is_none_or(Code::is_error) || is_loaded && is_checked
    };
    findings.retain(|finding| !is_allowed(&mut allowances, finding));
    let unused = allowances.iter().filter(|one| !one.is_used && one.code != Code::AllowUnused.as_str());
    about_comments.extend(unused.filter(|one| is_applied(one)).map(|one| unused_finding(source, one)));
    about_comments.retain(|finding| !is_allowed(&mut allowances, finding));
    findings.extend(about_comments);
    findings
}

fn is_allowed(allowances: &mut [Allowance<'_>], finding: &Finding) -> bool {
    let mut is_allowed = false;
    for one in allowances.iter_mut().filter(|one| one.holds(finding)) {
        one.is_used = true;
        is_allowed = true;
    }
    is_allowed
}

fn contains(section: &Section, line: usize) -> bool {
    (section.first..=section.last).contains(&line)
}

fn is_error_in(finding: &Finding, section: &Section) -> bool {
    finding.code.is_error() && contains(section, finding.place.line)
}

/// The place of the mark in a comment, and what follows it. Another comment may precede it on the line.
fn marked<'t>(comment: &Comment<'t>) -> Option<(Place, &'t str)> {
    let mut places = comment.text.match_indices('#');
    places.find_map(|(at, _)| {
        let rest = comment.text[at + 1..].trim_start().strip_prefix(MARK)?;
        let column = comment.place.column + comment.text[..at].chars().count();
        Some((Place { column, ..comment.place }, rest))
    })
}

/// The codes of `: allow CODE[, CODE]`, without the words after them, which are for people; `None` if it
/// is something else.
fn codes(rest: &str) -> Option<Vec<&str>> {
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix("allow")?;
    let mut rest = rest.strip_prefix([' ', '\t', ':'])?.trim_start();
    let mut codes = Vec::new();
    loop {
        let end = rest.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(rest.len());
        let (code, after) = rest.split_at(end);
        if code.is_empty() {
            break;
        }
        codes.push(code);
        let after = after.trim_start();
        let next = after.split(|c: char| c.is_whitespace() || c == ',').next().unwrap_or_default();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            // A forgotten comma.
            None if Code::find(next).is_some() => after,
            None => break,
        };
    }
    (!codes.is_empty()).then_some(codes)
}

/// A comment of its own holds for the next line that is none; before the document's first field, for the
/// whole document; at the end of a line, for that line.
fn lines(scan: &Scan<'_>, comment: &Comment<'_>, text: &str) -> (usize, usize) {
    let line = comment.place.line;
    let section = scan.sections.iter().find(|section| contains(section, line));
    match section {
        _ if !comment.is_alone && !text.lines().nth(line - 1).is_some_and(|line| line.starts_with("---")) => {
            (line, line)
        }
        Some(section) if section.content.is_none_or(|content| line < content) => (section.first, section.last),
        _ => {
            let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
            (line, line + 1 + text.lines().skip(line).take_while(|line| is_comment(line)).count())
        }
    }
}

fn unused_finding(source: &SourceText, allowance: &Allowance<'_>) -> Finding {
    let code = allowance.code;
    let message = match Code::find(code) {
        Some(known) if known.is_error() => format!("{code:?} is an error, which no comment allows"),
        Some(_) => format!("the comment allows {code:?}, and there is no such warning here"),
        None => match suggest::nearest(code, Code::ALL.iter().map(|code| code.as_str())) {
            Some(nearest) => format!("unknown code {code:?}; did you mean {nearest:?}?"),
            None => format!("unknown code {code:?}"),
        },
    };
    finding(source, allowance.place, message)
}

fn finding(source: &SourceText, place: Place, message: String) -> Finding {
    let (code, help) = (Code::AllowUnused, Code::AllowUnused.help().to_owned());
    Finding { code, origin: source.origin.clone(), place, path: String::new(), message, help }
}

#[cfg(test)]
mod tests {
    use super::codes;

    #[test]
    fn codes_end_at_words_for_people() {
        for (rest, expected) in [
            (": allow a", Some(vec!["a"])),
            (":allow a,b", Some(vec!["a", "b"])),
            (" :  allow:  a , b (why, and why)", Some(vec!["a", "b"])),
            (": allow image_tag no_resources", Some(vec!["image_tag", "no_resources"])),
            (": allow", None),
            (": allow ", None),
            (": allowed a", None),
            (": ignore a", None),
            (" allow a", None),
        ] {
            assert_eq!(codes(rest), expected, "{rest}");
        }
    }
}
