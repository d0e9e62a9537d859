//! The problems of a configuration, each with its source.
//!
//! Invariant: the list is never empty and always complete, so that the operator can fix a
//! configuration in one go.

use std::fmt;
use std::path::PathBuf;

/// The source of a setting's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// A flag, without its dashes.
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// A line of the configuration file; line 0 means the whole file.
    File {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: u64,
    },
    /// The setting is not set.
    Default,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Environment(variable) => f.write_str(variable),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("configuration"),
        }
    }
}

/// One problem of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where the value was written.
    pub source: SettingSource,
    /// What is wrong and what is expected.
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.message)
    }
}

/// All problems of the configuration, printed one per line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblems(pub(super) Vec<ConfigProblem>);

impl ConfigProblems {
    /// All problems, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigProblem> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
