//! Writes what became of the pods into files of cases, where it differs from what they expect.
//!
//! Invariant: everything but `expect` of the cases that failed stays byte for byte, and so do all
//! comments; the text reads back as what it should; a file that changed since it was read stays.

use anyhow::Context;
use json_patch::jsonptr::PointerBuf;
use serde_json::{Value, json};

use super::files::CaseContent;
use super::format::{Refusals, Verdict};
use super::judge::{Actual, End};
use super::run::RanFile;
use crate::cli::documents;
use crate::cli::terminal::printable;
use crate::cli::write_file;
use crate::cli::yaml::{self, edit};
use crate::workload::difference::{self, Step};

/// What was done with the cases of a file that failed.
#[derive(Debug, Default)]
pub(super) struct Updated {
    /// Names of the cases that were changed.
    pub changed: Vec<String>,
    /// Names of those that are as they were, and why.
    pub left: Vec<(String, &'static str)>,
}

const AUTHOR: &str = "an excerpt (`includes`) is changed by its author";
const NO_RESULT: &str = "a case that cannot be run has no result";
const BY_HAND: &str = "its text cannot be replaced without a change elsewhere or a lost comment; edit it by hand";

/// Updates a file: one case after the other, each with nothing but its own `expect`.
pub(super) fn file(ran: &RanFile) -> anyhow::Result<Updated> {
    let mut updated = Updated::default();
    let Some(read) = &ran.read else { return Ok(updated) };
    let mut text = read.input.text.clone();
    // UTF-16 would become UTF-8.
    let is_utf_8 = read.input.bytes.ends_with(text.as_bytes());
    for case in ran.cases.iter().filter(|case| !case.faults.is_empty()) {
        let found = read.cases.iter().find(|read| read.index == case.index);
        let content = found.and_then(|found| found.content.as_ref().ok());
        let result = match (content, &case.actual) {
            (Some(content), Some(actual)) => expected(content, actual).ok_or(AUTHOR),
            _ => Err(NO_RESULT),
        };
        match result.and_then(|expect| replaced(&text, case.index, &expect).filter(|_| is_utf_8).ok_or(BY_HAND)) {
            Ok(after) => {
                text = after;
                updated.changed.push(case.name.clone());
            }
            Err(why) => updated.left.push((case.name.clone(), why)),
        }
    }
    if !updated.changed.is_empty() {
        let mark = if read.input.has_byte_order_mark() { "\u{feff}" } else { "" };
        let path = &read.path;
        let context = || format!("{}: cannot be written", printable(&path.display().to_string()));
        let text = format!("{mark}{text}");
        write_file::replace_unchanged(path, &read.input.bytes, text.as_bytes()).with_context(context)?;
    }
    Ok(updated)
}

/// The text with another `expect` of one case and everything else, and all comments, as they are.
fn replaced(text: &str, index: usize, expect: &Value) -> Option<String> {
    // JSON is YAML.
    let documents = yaml::read(text).ok()?;
    let [(document, before)] = documents.as_slice() else { return None };
    let at = PointerBuf::parse(format!("/tests/{index}/expect")).ok()?;
    let mut after = before.clone();
    *after.pointer_mut(at.as_str())? = expect.clone();
    let whole = [Step::Replace { at: at.clone(), value: expect.clone() }];
    let span = edit::span_of(text, document, at.as_str())?;
    let is_right = |result: &String| {
        let is_same_around = result.len() >= span.start + (text.len() - span.end)
            && result.starts_with(&text[..span.start])
            && result.ends_with(&text[span.end..]);
        is_same_around && yaml::comments(result) == yaml::comments(text) && reads_as(result, &after)
    };
    let edited = |steps: &[Step]| edit::apply(text, edit::edits(text, document, steps)?).filter(is_right);
    edited(&difference::steps(before, &after)).or_else(|| edited(&whole))
}

/// What the case should expect. An excerpt is written by its author, who knows what matters.
fn expected(read: &CaseContent, actual: &Actual) -> Option<Value> {
    let mut expect = match (&actual.end, &read.verdict) {
        (End::Injected, Verdict::Includes(excerpt)) => {
            let is_met = crate::workload::excerpt::differences(&actual.object, excerpt).is_empty();
            is_met.then(|| json!({"includes": excerpt}))?
        }
        // That nothing is injected any more must not become what is expected.
        (End::Skipped(_) | End::Refused(_), Verdict::Includes(_)) => return None,
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
    if !warnings.is_empty() && !matches!(actual.end, End::Refused(_)) {
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

fn reads_as(text: &str, expected: &Value) -> bool {
    let read = documents::input_file(String::new(), text.as_bytes().to_vec(), "outrigger.dev");
    read.is_ok_and(|file| matches!(file.documents.as_slice(), [document] if document.value == *expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_expect_of_one_case_is_replaced() {
        let around = |expect: &str| {
            format!(
                "# Cases.\nx: &x {{a:   1}} # odd\ntests:\n- name: a\n  pod:   *x\n{expect}\n  # b\n- {{ name: 'b',  \
                 pod: *x, expect: {{injected: *x}} }}\n"
            )
        };
        let injected = json!({"injected": {"a": 2, "b": ["c"]}});
        let block = "  expect:\n    injected:\n      a: 2\n      b:\n      - c";
        for before in [
            "  expect: {skipped: [not_requested]}",
            "  expect:\n    skipped: [not_requested]",
            "  expect:\n    skipped:\n    - not_requested",
            "  expect:\n    injected: *x",
            "  expect:\n    refused: {code: conflict}",
        ] {
            assert_eq!(replaced(&around(before), 0, &injected).as_deref(), Some(&*around(block)), "{before}");
        }
        let flow = around(block).replace("expect: {injected: *x}", "expect: {\"skipped\": [\"opted_out\"]}");
        assert_eq!(replaced(&around(block), 1, &json!({"skipped": ["opted_out"]})), Some(flow));
        for (before, after) in [
            ("  expect: # why\n    skipped: [opted_out]", format!("  expect: # why{}", &block[9..])),
            ("  expect:\n    # why\n    skipped: [opted_out]", format!("  expect:\n    # why{}", &block[9..])),
            ("  expect:\n    skipped: [opted_out] # why", block.to_owned() + " # why"),
            ("  expect: {skipped: [opted_out]} # why", block.to_owned() + " # why"),
        ] {
            assert_eq!(replaced(&around(before), 0, &injected), Some(around(&after)), "{before}");
        }
    }

    #[test]
    fn a_text_that_cannot_be_changed_alone_is_left_as_it_is() {
        let injected = json!({"injected": {"a": 2}});
        for text in [
            "tests:\n- name: a\n  expect:\n    injected:\n      # why\n      a: 1\n- name: b\n",
            "tests:\n- name: a\n  expect: &e\n    skipped: [opted_out]\n- {name: b, expect: *e}\n",
            "tests:\n- &e {name: a, expect: {skipped: []}}\n- {<<: *e, name: b}\n",
            "tests: &t\n- name: a\n  expect: {skipped: []}\nmore: *t\n",
            "tests:\n- name: a\n  expect:\n    skipped:\n    # why\n    - opted_out\n",
        ] {
            let expect = if text.contains("# why\n      a: 1") { json!({"skipped": []}) } else { injected.clone() };
            assert_eq!(replaced(text, 0, &expect), None, "{text}");
        }
        assert_eq!(
            replaced("tests:\n- &e {name: a, expect: {skipped: []}}\n- {<<: *e, name: b}\n", 1, &injected),
            None
        );
    }

    #[test]
    fn json_stays_json() {
        let text = "{\n  \"tests\": [\n    {\"name\": \"a\", \"expect\": {\"skipped\": [ \"opted_out\" ]}}\n  ]\n}\n";
        let expected = text.replace("{\"skipped\": [ \"opted_out\" ]}", "{\"injected\": {\"a\": [2]}}");
        assert_eq!(replaced(text, 0, &json!({"injected": {"a": [2]}})), Some(expected));
    }

    #[test]
    fn an_excerpt_does_not_become_a_skip_or_a_refusal() {
        let content = |verdict| CaseContent {
            case: serde_json::from_value(json!({"name": "a", "expect": {}})).expect("a case"),
            verdict,
            warnings: Vec::new(),
            object: Value::Null,
            templates: Vec::new(),
        };
        let refused = End::Refused(vec![("conflict", "two".to_owned())]);
        for end in [End::Skipped(vec!["opted_out"]), refused] {
            let warnings = vec!["a finding".to_owned()];
            let actual = Actual { object: Value::Null, patch: Vec::new(), end, warnings };
            assert_eq!(expected(&content(Verdict::Includes(json!({"a": 1}))), &actual), None);
            let written = expected(&content(Verdict::Injected(json!({"a": 1}))), &actual).expect("a result");
            assert_eq!(written.get("warnings").is_some(), written.get("skipped").is_some(), "{written}");
        }
    }
}
