//! Writes what became of the pods into files of cases, where it differs from what they expect.
//!
//! Invariant: everything else of the file stays byte for byte, and the text reads back as what it should.

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::files::{ReadCase, ReadFile};
use super::format::{Refusals, Verdict};
use super::judge::{Actual, End};
use super::run::{Ran, RanFile};
use crate::cli::documents::{self, Source};
use crate::cli::yaml::edit;
use crate::workload::difference;

/// Updates a file; the names of the cases that were changed, and of those that cannot be.
pub(super) fn file(ran: &RanFile) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let Some(read) = &ran.read else { return Ok((Vec::new(), Vec::new())) };
    let [document] = read.input.documents.as_slice() else { return Ok((Vec::new(), Vec::new())) };
    let mut after = document.value.clone();
    let (mut changed, mut left) = (Vec::new(), Vec::new());
    for case in ran.cases.iter().filter(|case| !case.faults.is_empty()) {
        let expect = read.cases.iter().find(|read| read.index == case.index).and_then(|read| expected(read, case));
        let place = after.pointer_mut(&format!("/tests/{}/expect", case.index));
        match (expect, place) {
            (Some(expect), Some(place)) => {
                *place = expect;
                changed.push(case.name.clone());
            }
            _ => left.push(case.name.clone()),
        }
    }
    if !changed.is_empty() {
        write(read, &document.value, &after, &document.source)?;
    }
    Ok((changed, left))
}

/// What the case should expect. An excerpt is written by its author, who knows what matters.
fn expected(read: &ReadCase, ran: &Ran) -> Option<Value> {
    let actual = ran.actual.as_ref()?;
    let mut expect = match (&actual.end, &read.verdict) {
        (End::Injected, Verdict::Includes(excerpt)) => {
            let is_met = crate::workload::excerpt::differences(&actual.object, excerpt).is_empty();
            is_met.then(|| json!({"includes": excerpt}))?
        }
        (End::Injected, Verdict::Patch(_)) => json!({"patch": actual.patch}),
        (End::Injected, _) => json!({"injected": actual.object}),
        (End::Skipped(codes), _) => json!({"skipped": codes}),
        (End::Refused(problems), Verdict::Refused(Refusals::All(before))) => {
            let part = |index: usize| before.get(index).map_or("", |refusal| refusal.message.as_str());
            let all = problems.iter().enumerate().map(|(index, problem)| refusal(problem, part(index)));
            json!({"refused": all.collect::<Vec<_>>()})
        }
        (End::Refused(problems), before) => {
            let part = match before {
                Verdict::Refused(Refusals::Any(refusal)) => refusal.message.as_str(),
                _ => "",
            };
            let same = problems.iter().find(|(_, message)| !part.is_empty() && message.contains(part));
            json!({"refused": refusal(same.or(problems.first())?, part)})
        }
    };
    let warnings = warnings(actual, &read.warnings);
    if !warnings.is_empty() {
        expect["warnings"] = json!(warnings);
    }
    Some(expect)
}

/// A part of a message that still holds stays as its author wrote it.
fn refusal((code, message): &(&'static str, String), part: &str) -> Value {
    let message = if !part.is_empty() && message.contains(part) { part } else { message };
    json!({"code": code, "message": message})
}

/// Parts that still hold stay as their author wrote them.
fn warnings(actual: &Actual, before: &[String]) -> Vec<String> {
    let kept = |(index, warning): (usize, &String)| {
        let part = before.get(index).filter(|part| warning.contains(part.as_str()));
        part.unwrap_or(warning).clone()
    };
    actual.warnings.iter().enumerate().map(kept).collect()
}

fn write(read: &ReadFile, before: &Value, after: &Value, source: &Source) -> anyhow::Result<()> {
    let path = &read.path;
    let text = match source {
        Source::Yaml(document) => {
            let text = &read.input.text;
            let edits = edit::edits(text, document, &difference::steps(before, after));
            let edited = edits.and_then(|edits| edit::apply(text, edits)).filter(|text| reads_as(text, after));
            let anew = || edit::apply(text, vec![edit::rewrite(text, document, after)?]);
            edited.or_else(anew)
        }
        Source::Json(_) => Some(serde_json::to_string_pretty(after)? + "\n"),
    };
    let Some(text) = text.filter(|text| reads_as(text, after)) else {
        bail!("{}: the result cannot be written into its text; edit it by hand", path.display());
    };
    std::fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
}

fn reads_as(text: &str, expected: &Value) -> bool {
    let read = documents::input_file(String::new(), text.as_bytes().to_vec(), "outrigger.dev");
    read.is_ok_and(|file| matches!(file.documents.as_slice(), [document] if document.value == *expected))
}
