//! A list of errors that are reported together, one a line.
//!
//! Invariant: a list that is returned as an error is not empty.

use std::{fmt, io};

/// Everything that is wrong with one input.
#[derive(Debug, Default)]
pub(super) struct ErrorList(Vec<String>);

impl ErrorList {
    pub(super) fn push(&mut self, problem: impl Into<String>) {
        self.0.push(problem.into());
    }

    pub(super) fn extend(&mut self, problems: impl IntoIterator<Item = String>) {
        self.0.extend(problems);
    }

    /// The value of a step that worked; otherwise its problems are kept.
    pub(super) fn keep<T>(&mut self, result: Result<T, Self>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problems) => {
                self.extend(problems.0);
                None
            }
        }
    }

    /// `value` when nothing was wrong, else all problems.
    pub(super) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Both values, or the problems of both.
    pub(super) fn both<A, B>(first: Result<A, Self>, second: Result<B, Self>) -> Result<(A, B), Self> {
        match (first, second) {
            (Ok(first), Ok(second)) => Ok((first, second)),
            (first, second) => {
                let mut problems = Self::default();
                problems.keep(first);
                problems.keep(second);
                Err(problems)
            }
        }
    }
}

/// Why a file or a directory cannot be read, without numbers of the operating system where it is absent.
pub(super) fn unreadable(shown: impl fmt::Display, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{shown}: {ABSENT}"),
        _ => format!("{shown}: cannot be read: {error}"),
    }
}

/// What is said of a path that does not exist.
pub(super) const ABSENT: &str = "there is no such file or directory";

impl From<String> for ErrorList {
    fn from(problem: String) -> Self {
        Self(vec![problem])
    }
}

impl FromIterator<String> for ErrorList {
    fn from_iter<I: IntoIterator<Item = String>>(problems: I) -> Self {
        Self(problems.into_iter().collect())
    }
}

impl fmt::Display for ErrorList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ErrorList {}
