//! Reads a shell script as far as its last command, traps and operators.
//!
//! Invariant: text in quotes, comments, expansions and here-documents is no command.

use super::script_lexer::{Token, tokens};

/// What is known of a script.
#[derive(Debug)]
pub(super) struct Script {
    /// Commands outside compound commands, each compound command being one.
    pub commands: usize,
    /// Whether it handles SIGTERM by `trap`.
    pub has_trap: bool,
    /// Whether it handles its own end by `trap`, for which bash handles SIGTERM too.
    pub has_exit_trap: bool,
    /// Whether it waits for background commands, during which a trap runs.
    pub waits: bool,
    /// Whether a command that takes long runs in the foreground, such as `sleep infinity`.
    pub is_long: bool,
    /// Names of its functions.
    pub functions: Vec<String>,
    pub last: Last,
}

/// The last command outside compound commands.
#[derive(Debug)]
pub(super) enum Last {
    /// The script is empty, or ends in a background command.
    None,
    /// The words of the program that runs last.
    Simple { words: Vec<String>, is_exec: bool },
    /// A command for which every shell waits: what it is.
    Compound(&'static str),
}

/// What keeps a shell: a pipeline, or a list in which another command may follow.
pub(super) const PIPELINE: &str = "a pipeline";
pub(super) const LIST: &str = "a list with ||";

/// Commands that only test something, or prepare for the main one.
const PREPARING: [&str; 15] =
    ["[", "[[", "test", "true", "false", ":", "cd", "chmod", "chown", "command", "cp", "export", "mkdir", "mv", "rm"];

/// Commands of the shell itself after which a script goes on or ends at once.
const IMMEDIATE: [&str; 18] = [
    ".", ":", "[", "[[", "cd", "echo", "eval", "exit", "export", "false", "kill", "printf", "read", "return", "set",
    "source", "test", "true",
];

/// The seconds of `sleep` from which on it takes the whole grace period.
const LONG_SLEEP: u32 = 30;

impl Script {
    pub(super) fn parse(script: &str) -> Self {
        let mut reader = Reader::default();
        for token in tokens(script) {
            match token {
                Token::Word(word) => reader.word(word),
                Token::Operator(operator) => reader.operator(operator),
            }
        }
        reader.end()
    }
}

/// Follows the commands of a script.
#[derive(Default)]
struct Reader {
    /// Words that opened compound commands which are not at their end.
    open: Vec<String>,
    /// The words of the current simple command.
    words: Vec<String>,
    commands: usize,
    has_trap: bool,
    has_exit_trap: bool,
    waits: bool,
    is_long: bool,
    functions: Vec<String>,
    /// The simple commands of the current list of `&&` and `||`, and whether each is part of a pipeline.
    list: Vec<(Vec<String>, bool)>,
    is_piped: bool,
    /// What keeps the shell in the list of the last command: a pipe or `||`.
    kept: Option<&'static str>,
    /// Whether the next command begins another list.
    is_separated: bool,
    /// Whether the next command belongs to the operator before it.
    is_continued: bool,
    last: Option<Vec<String>>,
    /// The compound command that came last; `None` in it if one of its commands is `exec`.
    compound: Option<Option<&'static str>>,
    has_exec: bool,
}

impl Reader {
    fn word(&mut self, word: String) {
        self.is_continued = false;
        match word.as_str() {
            "if" | "while" | "until" | "for" | "case" | "select" | "{" if self.words.is_empty() => self.open(word),
            "fi" | "done" | "esac" | "}" if self.words.is_empty() => self.close(),
            "then" | "do" | "else" | "elif" | "!" | "time" if self.words.is_empty() => {}
            _ => self.words.push(word),
        }
    }

    fn open(&mut self, word: String) {
        if self.open.is_empty() {
            self.begin();
            self.has_exec = false;
        }
        // The words after them are no command.
        if matches!(word.as_str(), "for" | "case" | "select") {
            self.words.push(word.clone());
        }
        self.open.push(word);
    }

    fn close(&mut self) {
        self.finish(false);
        let Some(opened) = self.open.pop() else { return };
        if self.open.is_empty() {
            let (what, may_exec) = match opened.as_str() {
                "if" => ("the command of an if", true),
                "case" => ("the command of a case", true),
                "{" => ("a group of commands", true),
                "(" => ("a subshell", false),
                _ => ("a loop", false),
            };
            self.compound = Some((!(may_exec && self.has_exec)).then_some(what));
            self.last = None;
            self.commands += 1;
        }
    }

    fn operator(&mut self, operator: &'static str) {
        match operator {
            // An operator of the condition `[[ a || b ]]`.
            _ if self.words.first().is_some_and(|word| word == "[[") && !self.words.iter().any(|word| word == "]]") => {
            }
            "(" if self.words.is_empty() => self.open("(".to_owned()),
            // The parentheses of a function's name.
            "(" => self.functions.extend(self.words.first().cloned()),
            ")" if self.open.last().is_some_and(|open| open == "(") => self.close(),
            // The end of a pattern of `case`, or of a function's name.
            ")" => self.words.clear(),
            _ if self.words.first().is_some_and(|word| word == "case") => {}
            _ => {
                self.finish(operator == "&");
                if self.open.is_empty() {
                    self.join(operator);
                }
            }
        }
    }

    /// An operator between commands outside compound commands.
    fn join(&mut self, operator: &str) {
        match operator {
            "|" => {
                self.kept = Some(PIPELINE);
                self.is_piped = true;
                self.list.last_mut().into_iter().for_each(|(_, is_piped)| *is_piped = true);
            }
            "||" => self.kept = Some(LIST),
            "&&" => self.kept = self.kept.filter(|kept| *kept != PIPELINE),
            "&" => {
                (self.kept, self.last, self.compound) = (None, None, None);
                self.list.clear();
            }
            _ => {}
        }
        let continues = matches!(operator, "|" | "||" | "&&");
        self.is_separated |= !continues && !self.is_continued;
        self.is_continued |= continues;
    }

    /// The beginning of a command outside compound commands.
    fn begin(&mut self) {
        if std::mem::take(&mut self.is_separated) {
            self.kept = None;
            self.list.clear();
        }
    }

    /// The end of a simple command.
    fn finish(&mut self, is_background: bool) {
        let words = std::mem::take(&mut self.words);
        let words: Vec<String> = words.into_iter().skip_while(|word| is_assignment(word)).collect();
        let Some(first) = words.first() else { return };
        let is_term = |word: &String| matches!(word.to_ascii_uppercase().as_str(), "TERM" | "SIGTERM" | "15");
        // `trap '' TERM` ignores it, and `trap - TERM` takes the handler away.
        let sets = words.get(1).is_some_and(|command| !command.is_empty() && command != "-");
        self.has_trap |= first == "trap" && sets && words.iter().skip(2).any(is_term);
        let is_exit = |word: &String| word.eq_ignore_ascii_case("EXIT") || word == "0";
        self.has_exit_trap |= first == "trap" && sets && words.iter().skip(2).any(is_exit);
        self.has_exec |= first == "exec";
        self.waits |= first == "wait";
        self.is_long |= !is_background && is_long(&words);
        if self.open.is_empty() {
            self.begin();
            self.commands += 1;
            self.compound = None;
            self.list.push((words.clone(), std::mem::take(&mut self.is_piped)));
            self.last = Some(words);
        }
    }

    /// The command of a list with `||` that takes the place of the shell: one with `exec`, or the last one if
    /// those before it only test or prepare.
    fn replacing(&self) -> Option<Vec<String>> {
        let starts =
            |words: &[String], known: &[&str]| words.first().is_some_and(|word| known.contains(&word.as_str()));
        let (last, before) = self.list.split_last().filter(|_| self.compound.is_none())?;
        let is_exec = |(words, is_piped): &&(Vec<String>, bool)| !is_piped && starts(words, &["exec"]);
        let is_only = before.iter().all(|(words, _)| starts(words, &PREPARING)) && !ends_at_once(&last.0);
        self.list.iter().rev().find(is_exec).or(Some(last).filter(|_| is_only)).map(|(words, _)| words.clone())
    }

    fn end(mut self) -> Script {
        self.finish(false);
        if self.kept == Some(LIST)
            && let Some(words) = self.replacing()
        {
            (self.kept, self.last) = (None, Some(words));
        }
        let last = match (self.kept, self.compound, self.last) {
            (Some(what), ..) | (None, Some(Some(what)), _) => Last::Compound(what),
            (None, None, Some(words)) => {
                let is_exec = words.first().is_some_and(|word| word == "exec");
                Last::Simple { words: words.into_iter().skip(usize::from(is_exec)).collect(), is_exec }
            }
            (None, Some(None), _) | (None, None, None) => Last::None,
        };
        let Self { commands, has_trap, has_exit_trap, waits, is_long, functions, .. } = self;
        Script { commands, has_trap, has_exit_trap, waits, is_long, functions, last }
    }
}

/// The words of each simple command of a script.
pub(super) fn commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    for token in tokens(script) {
        match (token, commands.last_mut()) {
            (Token::Word(word), Some(words)) => words.push(word),
            (Token::Word(_) | Token::Operator(_), _) => commands.push(Vec::new()),
        }
    }
    commands
}

/// Whether a command ends at once: it is one of the shell itself, or a short `sleep`.
pub(super) fn ends_at_once(words: &[String]) -> bool {
    let first = words.first().map(String::as_str).unwrap_or_default();
    IMMEDIATE.contains(&first) || first == "trap" || first == "wait" || first == "sleep" && !is_long(words)
}

/// Whether a command is known to take longer than a grace period: `sleep infinity`, `tail -f`.
fn is_long(words: &[String]) -> bool {
    let words: Vec<&str> = words.iter().map(String::as_str).skip_while(|word| *word == "exec").collect();
    match words.as_slice() {
        ["sleep", duration, ..] => match duration.trim_end_matches('s').parse::<f64>() {
            Ok(seconds) => seconds >= f64::from(LONG_SLEEP),
            // An expansion is not known.
            Err(_) => !duration.contains('$'),
        },
        ["tail", flags @ ..] => flags.iter().any(|flag| matches!(*flag, "-f" | "-F" | "--follow") || is_follow(flag)),
        _ => false,
    }
}

/// Flags of one letter each with that of `tail` for following, such as `-Fn0`.
fn is_follow(flag: &str) -> bool {
    flag.starts_with('-') && !flag.starts_with("--") && flag.contains(['f', 'F'])
}

/// Whether a word is `NAME=VALUE`.
pub(super) fn is_assignment(word: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}
