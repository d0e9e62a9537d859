//! What was written for one setting, and where.

use super::problem::Source;

/// The texts of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub values: Vec<String>,
    pub source: Source,
}
