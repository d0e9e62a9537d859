//! A list of errors that are reported together, one a line, and wrong usage.
//!
//! Invariant: a list that is returned as an error is not empty.

use std::{fmt, io};

/// Everything that is wrong with one input.
#[derive(Debug, Default)]
pub(super) struct ErrorList {
    problems: Vec<String>,
    /// Whether one of them is wrong usage.
    is_usage: bool,
}

/// Arguments that contradict each other, where clap cannot tell: the exit code is 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(String);

impl Usage {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }

    /// Whether the error is wrong usage, or has some among others.
    pub(super) fn is_in(error: &anyhow::Error) -> bool {
        error.is::<Self>() || error.downcast_ref::<ErrorList>().is_some_and(|list| list.is_usage)
    }
}

impl ErrorList {
    pub(super) fn push(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    pub(super) fn extend(&mut self, problems: impl IntoIterator<Item = String>) {
        self.problems.extend(problems);
    }

    /// The value of a step that worked; otherwise its problems are kept.
    pub(super) fn keep<T>(&mut self, result: Result<T, Self>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problems) => {
                self.is_usage |= problems.is_usage;
                self.extend(problems.problems);
                None
            }
        }
    }

    /// `value` when nothing was wrong, else all problems.
    pub(super) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.problems.is_empty() { Ok(value) } else { Err(self) }
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
        Self { problems: vec![problem], is_usage: false }
    }
}

impl From<Usage> for ErrorList {
    fn from(Usage(problem): Usage) -> Self {
        Self { problems: vec![problem], is_usage: true }
    }
}

impl FromIterator<String> for ErrorList {
    fn from_iter<I: IntoIterator<Item = String>>(problems: I) -> Self {
        Self { problems: problems.into_iter().collect(), is_usage: false }
    }
}

impl fmt::Display for ErrorList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for ErrorList {}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn wrong_usage_is_told_from_other_errors() {
        let usage = || Usage::new("two flags contradict each other");
        let mut among_others = ErrorList::from("a file is missing".to_owned());
        among_others.keep::<()>(Err(usage().into()));
        assert_eq!(among_others.to_string(), "a file is missing\ntwo flags contradict each other");
        for error in [usage().into(), among_others.into(), Err::<(), _>(usage()).context("first").expect_err("usage")] {
            assert!(Usage::is_in(&error), "{error:?}");
        }
        for error in [anyhow::anyhow!("other"), ErrorList::from("other".to_owned()).into()] {
            assert!(!Usage::is_in(&error), "{error:?}");
        }
    }
}
