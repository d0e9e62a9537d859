//! The texts that flags, environment or file give for one setting, with their source.

use super::problem::SettingSource;

/// The texts of one setting, and their source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GivenTexts {
    pub values: Vec<String>,
    pub source: SettingSource,
}
