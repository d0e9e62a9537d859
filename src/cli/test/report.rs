//! Prints what became of cases: as text, as JSON, and as JUnit XML for CI systems.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;
use serde_json::Value;

use super::judge::Fault;
use super::run::{Ran, RanFile};
use crate::cli::output;
use crate::cli::terminal::{Colour, Colours, printable};
use crate::inject::text::push_printable;

/// What is printed as JSON.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct JsonReport {
    /// Number of cases that passed.
    passed: usize,
    /// Number of cases that failed, and of files that cannot be read.
    failed: usize,
    /// Number of cases that a filter left out.
    left_out: usize,
    files: Vec<JsonFile>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct JsonFile {
    /// Path of the file.
    file: String,
    /// Why the file cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    cases: Vec<JsonCase>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct JsonCase {
    name: String,
    /// `file:line`
    place: String,
    passed: bool,
    /// Why it failed; a diff has several lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
}

/// Numbers of all cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub files: usize,
    pub passed: usize,
    pub failed: usize,
    pub left_out: usize,
    /// Files that cannot be read.
    pub unread: usize,
}

impl Counts {
    pub(super) fn of(files: &[RanFile]) -> Self {
        let cases = || files.iter().flat_map(|file| &file.cases);
        Self {
            files: files.len(),
            passed: cases().filter(|case| case.faults.is_empty()).count(),
            failed: cases().filter(|case| !case.faults.is_empty()).count(),
            left_out: files.iter().map(|file| file.left_out).sum(),
            unread: files.iter().filter(|file| !file.problems.is_empty()).count(),
        }
    }

    /// `2 files, 5 cases: 4 passed, 1 failed`
    pub(super) fn summary(self) -> String {
        let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let (files, cases) = (plural(self.files, "file"), plural(self.passed + self.failed, "case"));
        let mut summary = format!("{files}, {cases}: {} passed, {} failed", self.passed, self.failed);
        if self.left_out > 0 {
            summary += &format!(", {} left out by the filter", self.left_out);
        }
        if self.unread > 0 {
            summary += &format!("; {} cannot be read", plural(self.unread, "file"));
        }
        summary
    }
}

/// A line for each case that failed (with `verbose`, for each case), and the summary.
pub(super) fn text(files: &[RanFile], is_verbose: bool, colours: Colours) -> anyhow::Result<String> {
    let mut text = String::new();
    for file in files {
        for problem in &file.problems {
            writeln!(text, "{} {}", colours.paint(Colour::Red, "error"), printable(problem))?;
        }
        for case in &file.cases {
            let (place, name) = (printable(&case.place), printable(&case.name));
            if !case.faults.is_empty() {
                writeln!(text, "{} {place}: {name}", colours.paint(Colour::Red, "FAIL"))?;
                for fault in &case.faults {
                    text += &indented(&shown(&visible(fault), colours)?);
                }
            } else if is_verbose {
                writeln!(text, "{} {place}: {name}", colours.paint(Colour::Green, "ok"))?;
            }
        }
    }
    writeln!(text, "{}", Counts::of(files).summary())?;
    Ok(text)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// The fault without characters that a terminal obeys.
fn visible(fault: &Fault) -> Fault {
    match fault {
        Fault::Said(lines) => Fault::Said(lines.lines().map(printable).collect::<Vec<_>>().join("\n")),
        Fault::Differs(objects) => Fault::Differs(Box::new((visible_value(&objects.0), visible_value(&objects.1)))),
    }
}

fn visible_value(value: &Value) -> Value {
    let visible = |text: &str| {
        text.chars().fold(String::with_capacity(text.len()), |mut visible, character| {
            // YAML shows these itself.
            if matches!(character, '\n' | '\t') {
                visible.push(character);
            } else {
                push_printable(&mut visible, character);
            }
            visible
        })
    };
    match value {
        Value::String(text) => Value::String(visible(text)),
        Value::Array(items) => items.iter().map(visible_value).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (visible(key), visible_value(value))).collect())
        }
        other => other.clone(),
    }
}

/// A line, or a diff from the expected to the actual object.
fn shown(fault: &Fault, colours: Colours) -> anyhow::Result<String> {
    match fault {
        Fault::Said(line) => Ok(line.clone()),
        Fault::Differs(objects) => {
            let mut text = String::new();
            let (expected, actual) = &**objects;
            output::diff_values(&mut text, ("expected", "actual"), expected, actual, colours == Colours::Shown)?;
            Ok(text)
        }
    }
}

pub(super) fn json(files: &[RanFile]) -> anyhow::Result<JsonReport> {
    let counts = Counts::of(files);
    let case = |case: &Ran| {
        let faults = case.faults.iter().map(|fault| shown(fault, Colours::Hidden)).collect::<anyhow::Result<_>>()?;
        let (name, place, passed) = (case.name.clone(), case.place.clone(), case.faults.is_empty());
        anyhow::Ok(JsonCase { name, place, passed, faults })
    };
    let file = |file: &RanFile| {
        let cases = file.cases.iter().map(case).collect::<anyhow::Result<_>>()?;
        anyhow::Ok(JsonFile { file: file.path.display().to_string(), problems: file.problems.clone(), cases })
    };
    let files = files.iter().map(file).collect::<anyhow::Result<_>>()?;
    Ok(JsonReport { passed: counts.passed, failed: counts.failed + counts.unread, left_out: counts.left_out, files })
}

/// Whether this is a JUnit report, of any program: its first element is of test suites.
pub(super) fn is_junit(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while let Some((end, inside)) =
        [("?>", "<?"), ("-->", "<!--")].into_iter().find_map(|(end, start)| Some((end, rest.strip_prefix(start)?)))
    {
        let Some((_, after)) = inside.split_once(end) else { return false };
        rest = after.trim_start();
    }
    let after = rest.strip_prefix("<testsuite").map(|after| after.strip_prefix('s').unwrap_or(after));
    after.is_some_and(|after| after.starts_with([' ', '\t', '\r', '\n', '>', '/']))
}

/// A test suite for each file, and a test case for each case.
pub(super) fn junit(files: &[RanFile]) -> anyhow::Result<String> {
    let mut report = Report::new("outrigger test");
    let mut total = Duration::ZERO;
    for file in files {
        let path = xml_text(&file.path.display().to_string());
        let mut suite = TestSuite::new(path.clone());
        let (mut time, case_name) = (Duration::ZERO, "the file can be read");
        if !file.problems.is_empty() {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(xml_text(&file.problems.join("; "))).set_type("error");
            let mut case = TestCase::new(case_name, status);
            case.set_classname(path.clone());
            suite.add_test_case(case);
        }
        for ran in &file.cases {
            let mut case = TestCase::new(xml_text(&ran.name), status(ran)?);
            case.set_classname(path.clone()).set_time(ran.duration);
            time += ran.duration;
            suite.add_test_case(case);
        }
        suite.set_time(time);
        total += time;
        report.add_test_suite(suite);
    }
    report.set_time(total);
    report.to_string().context("cannot write JUnit XML")
}

fn status(ran: &Ran) -> anyhow::Result<TestCaseStatus> {
    if ran.faults.is_empty() {
        return Ok(TestCaseStatus::success());
    }
    let faults = ran.faults.iter().map(|fault| shown(fault, Colours::Hidden)).collect::<anyhow::Result<Vec<_>>>()?;
    let first = match &ran.faults[..] {
        [Fault::Said(line), ..] => line.clone(),
        _ => "the result differs from what is expected".to_owned(),
    };
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    let description = xml_text(&format!("{}\n{}", ran.place, faults.join("\n")));
    status.set_message(xml_text(&first)).set_type("failure").set_description(description);
    Ok(status)
}

/// The text without the two characters that XML does not allow and the writer does not remove.
fn xml_text(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "")
}

#[cfg(test)]
mod tests {
    use super::super::super::schemas::tests::assert_published;
    use super::*;

    #[test]
    fn published_schema_is_that_of_the_report() {
        assert_published::<JsonReport>("test");
    }

    fn file() -> RanFile {
        let case = |name: &str, faults| Ran {
            name: name.to_owned(),
            place: "a.test.yaml:3".to_owned(),
            index: 0,
            faults,
            actual: None,
            duration: Duration::from_millis(5),
        };
        let differs = Fault::Differs(Box::new((serde_json::json!({"a": 1}), serde_json::json!({"a": 2}))));
        let cases = vec![case("good", vec![]), case("bad", vec![Fault::Said("x < y".to_owned()), differs])];
        RanFile { path: "a.test.yaml".into(), read: None, problems: Vec::new(), cases, left_out: 1 }
    }

    #[test]
    fn failures_are_shown_with_their_place_and_a_diff() {
        let text = text(&[file()], false, Colours::Hidden).expect("text");
        let expected = "FAIL a.test.yaml:3: bad\n  x < y\n  --- expected\n  +++ actual\n  @@ -1,1 +1,1 @@\n  -a: 1\n  +a: 2\n\
                        1 file, 2 cases: 1 passed, 1 failed, 1 left out by the filter\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed() {
        const BAD: &str = "a\u{1b}[2J\u{7}\u{202e}b";
        let differs = Fault::Differs(Box::new((serde_json::json!({BAD: BAD}), serde_json::json!({BAD: "x\ny"}))));
        let mut file = RanFile { problems: vec![BAD.to_owned()], ..file() };
        file.cases[1].faults = vec![Fault::Said(format!("{BAD}\n{BAD}")), differs];
        for case in &mut file.cases {
            (case.name, case.place) = (BAD.to_owned(), format!("{BAD}:1"));
        }
        let text = text(&[file], true, Colours::Hidden).expect("text");
        let obeyed = |character: &char| *character != '\n' && crate::inject::text::is_unprintable(*character);
        assert_eq!(text.chars().find(obeyed), None, "{text:?}");
        assert!(text.contains("FAIL a\\u{1b}[2J\\u{7}\\u{202e}b:1: a\\u{1b}"), "{text}");
    }

    #[test]
    fn junit_has_no_character_that_xml_does_not_allow() {
        let bad = "a\u{fffe}\u{ffff}\u{1}b".to_owned();
        let mut file = RanFile { path: bad.clone().into(), problems: vec![bad.clone()], ..file() };
        file.cases[1].faults = vec![Fault::Said(bad.clone())];
        (file.cases[1].name, file.cases[1].place) = (bad.clone(), bad);
        let xml = junit(&[file]).expect("XML");
        assert!(!xml.contains(['\u{fffe}', '\u{ffff}', '\u{1}']) && xml.contains(r#"name="ab""#), "{xml}");
        let empty = junit(&[]).expect("XML");
        assert!(empty.contains(r#"tests="0""#) && empty.trim_end().ends_with('>'), "{empty}");
    }

    #[test]
    fn a_junit_report_is_known_by_its_first_element() {
        let own = junit(&[]).expect("XML");
        for text in [
            own.as_str(),
            "<testsuite/>",
            "<testsuite\tname='a'>",
            "\u{feff}\n<?xml version='1.0'?>\n<!-- a -->\n<testsuites>",
        ] {
            assert!(is_junit(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "notes",
            "<?xml version='1.0'?><project/>",
            "<?xml <testsuite/>",
            "a: <testsuite/>",
            "<testsuitesX>",
            "<testsuite-a/>",
        ] {
            assert!(!is_junit(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn junit_has_a_suite_for_each_file() {
        let unread = RanFile { problems: vec!["no YAML".to_owned()], cases: Vec::new(), left_out: 0, ..file() };
        let xml = junit(&[file(), unread]).expect("XML");
        for part in [
            r#"<testsuites name="outrigger test" tests="3" skipped="0" failures="1" errors="1""#,
            r#"<testcase name="good" classname="a.test.yaml" time="0.005""#,
            r#"<failure message="x &lt; y" type="failure">"#,
            r#"<error message="no YAML""#,
        ] {
            assert!(xml.contains(part), "{part} is missing in {xml}");
        }
    }
}
