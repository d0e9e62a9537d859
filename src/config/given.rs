//! What was written for one setting, and where.

use super::problem::SettingSource;

/// The texts of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenTexts {
    pub values: Vec<String>,
    pub source: SettingSource,
}
