//! Prints what became of cases: as text, as JSON, and as JUnit XML for CI systems.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;

use super::judge::Fault;
use super::run::{Ran, RanFile};
use crate::cli::output;
use crate::cli::terminal::{Colour, Colours};

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
            writeln!(text, "{} {problem}", colours.paint(Colour::Red, "error"))?;
        }
        for case in &file.cases {
            if !case.faults.is_empty() {
                writeln!(text, "{} {}: {}", colours.paint(Colour::Red, "FAIL"), case.place, case.name)?;
                for fault in &case.faults {
                    text += &indented(&shown(fault, colours)?);
                }
            } else if is_verbose {
                writeln!(text, "{} {}: {}", colours.paint(Colour::Green, "ok"), case.place, case.name)?;
            }
        }
    }
    writeln!(text, "{}", Counts::of(files).summary())?;
    Ok(text)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
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

/// A test suite for each file, and a test case for each case.
pub(super) fn junit(files: &[RanFile]) -> anyhow::Result<String> {
    let mut report = Report::new("outrigger test");
    let mut total = Duration::ZERO;
    for file in files {
        let path = file.path.display().to_string();
        let mut suite = TestSuite::new(path.clone());
        let (mut time, case_name) = (Duration::ZERO, "the file can be read");
        if !file.problems.is_empty() {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(file.problems.join("; ")).set_type("error");
            let mut case = TestCase::new(case_name, status);
            case.set_classname(path.clone());
            suite.add_test_case(case);
        }
        for ran in &file.cases {
            let mut case = TestCase::new(ran.name.clone(), status(ran)?);
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
    status.set_message(first).set_type("failure").set_description(format!("{}\n{}", ran.place, faults.join("\n")));
    Ok(status)
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
