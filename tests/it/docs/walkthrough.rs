//! A document as a script: the files that it shows are written, its commands run, and their outputs compared.
//!
//! A block `yaml file=PATH` is a file. In a block `console`, a line that begins with `$ ` is a command
//! for sh, and the lines behind it are its output on both streams. `…` stands for any text, and the
//! amount of white space does not count, so that a document can wrap lines.
//!
//! Invariant: a command without a match, and a document without commands, fail the test.

use std::path::Path;
use std::process::{Command, Stdio};

use super::markdown::{self, Block};

/// What a reader does.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    Write { path: String, text: String },
    Run { command: String, output: String },
}

/// An action, its line, and the number in the heading above it.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    pub section: usize,
    pub line: usize,
    pub action: Action,
}

/// All steps of a document whose headings are `## 1. …`, `## 2. …`.
pub fn steps(markdown: &str) -> Vec<Step> {
    let section = |line: usize| {
        let headings = markdown.lines().take(line).filter_map(|line| line.strip_prefix("## ")?.split_once(". "));
        headings.last().and_then(|(number, _)| number.parse().ok()).unwrap_or_default()
    };
    let blocks = markdown::blocks(markdown);
    let actions = blocks.iter().flat_map(|block| actions(block).into_iter().map(|action| (block.line, action)));
    actions.map(|(line, action)| Step { section: section(line), line, action }).collect()
}

fn actions(block: &Block) -> Vec<Action> {
    if let Some(path) = block.role.strip_prefix("file=") {
        return vec![Action::Write { path: path.to_owned(), text: block.text.clone() }];
    }
    assert!(block.language == "console" || block.language == "sh", "line {}: a block that nobody reads", block.line);
    let mut actions: Vec<(String, String)> = Vec::new();
    for line in block.text.lines().filter(|_| block.language == "console") {
        match (line.strip_prefix("$ "), actions.last_mut()) {
            (Some(command), _) => actions.push((command.to_owned(), String::new())),
            (None, Some((_, output))) => *output += &format!("{line}\n"),
            (None, None) => panic!("line {}: output before the first command", block.line),
        }
    }
    actions.into_iter().map(|(command, output)| Action::Run { command, output }).collect()
}

/// The directory in which a reader works, and the programs that they have.
pub struct Shell<'a> {
    pub directory: &'a Path,
    /// The value of `PATH`.
    pub path: String,
    pub variables: Vec<(&'static str, String)>,
    /// The beginning of a line that only the test's surroundings make a command print.
    pub left_out: Option<&'static str>,
}

impl Shell<'_> {
    /// Does what the step says. Returns what is wrong.
    pub fn fault(&self, step: &Step) -> Option<String> {
        match &step.action {
            Action::Write { path, text } => {
                let path = self.directory.join(path);
                std::fs::create_dir_all(path.parent().expect("a file has a directory")).expect("a directory");
                std::fs::write(path, text).expect("a file");
                None
            }
            Action::Run { command, output } => {
                let actual = self.run(command);
                let line = step.line;
                (!matches(output, &actual))
                    .then(|| format!("line {line}: $ {command}\nprints\n{actual}\nthe document expects\n{output}"))
            }
        }
    }

    /// Runs a command that is not in the document, and must succeed.
    #[allow(dead_code, reason = "only tests with a cluster prepare something")]
    pub fn succeeds(&self, command: &str) {
        let output = self.run(&format!("{{ {command} ; }} && echo succeeded"));
        assert!(output.trim_end().ends_with("succeeded"), "{command}: {output}");
    }

    fn run(&self, command: &str) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1\n{command}")]).current_dir(self.directory).env("PATH", &self.path);
        shell.envs(self.variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        let output = shell.output().expect("sh runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let is_left_out = |line: &&str| self.left_out.is_some_and(|start| line.starts_with(start));
        text.split_inclusive('\n').filter(|line| !is_left_out(line)).collect()
    }
}

/// Whether the text is the expected one, in which `…` stands for any text.
fn matches(expected: &str, actual: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, actual) = (words(expected), words(actual));
    let pieces: Vec<&str> = expected.split('…').map(str::trim).collect();
    let [first, middle @ .., last] = &pieces[..] else { return expected == actual };
    let Some(mut rest) = actual.strip_prefix(first) else { return false };
    for piece in middle {
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[test]
fn a_document_is_read_as_steps() {
    let text = "# T\n## 1. A\n```yaml file=a/b.yaml\nx: 1\n```\n## 2. B\n```console\n$ one\n$ two\nout\n```\n";
    let run = |command: &str, output: &str| Action::Run { command: command.to_owned(), output: output.to_owned() };
    let write = Action::Write { path: "a/b.yaml".to_owned(), text: "x: 1\n".to_owned() };
    let expected = [(1, 3, write), (2, 7, run("one", "")), (2, 7, run("two", "out\n"))];
    assert_eq!(steps(text), expected.map(|(section, line, action)| Step { section, line, action }));
}

#[test]
fn an_output_must_match_as_a_whole() {
    assert!(matches("a  b\n  c", "a b c\n"));
    assert!(matches("a\n…\nd", "a\nb\nc\nd") && matches("a …", "a"));
    for (expected, actual) in [("a b", "a b c"), ("", "x"), ("a … d", "a d e"), ("a … c … b", "a b c"), ("b …", "a b")]
    {
        assert!(!matches(expected, actual), "{expected:?} {actual:?}");
    }
    let path = "/bin:/usr/bin".to_owned();
    let shell = Shell { directory: Path::new("/"), path, variables: Vec::new(), left_out: Some("left out") };
    let run = |command: &str| Action::Run { command: command.to_owned(), output: "hello\n".to_owned() };
    assert_eq!(shell.fault(&Step { section: 1, line: 1, action: run("echo left out; echo hello >&2") }), None);
    assert!(shell.fault(&Step { section: 1, line: 1, action: run("echo hell") }).is_some());
}
