//! Combines flags, environment and file: finds the text that applies to a setting, and its source.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::args::{CONFIG_VARIABLE, SettingsArgs};
use super::file::{self, FileLayer};
use super::given::GivenTexts;
use super::otlp;
use super::problem::{ConfigProblem, SettingSource};
use super::settings::{ALL, Arity, OTLP_ENDPOINT, Setting};

/// The text that applies to each setting that is set.
pub(super) struct Layers {
    given: BTreeMap<&'static str, GivenTexts>,
    are_complete: bool,
}

impl Layers {
    /// Reads all layers. Also returns the problems of the file.
    pub(super) fn gather(
        args: &SettingsArgs,
        environment: impl Fn(&str) -> Option<String>,
    ) -> (Self, Vec<ConfigProblem>) {
        let path = args
            .config
            .clone()
            .or_else(|| environment(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from));
        let FileLayer { mut given, problems, is_unread } = path.map(|path| file::read(&path)).unwrap_or_default();
        for setting in ALL {
            if let Some(given_here) = from_flag(args, setting).or_else(|| from_environment(&environment, setting)) {
                given.insert(setting.key, given_here);
            }
        }
        (Self { given, are_complete: !is_unread }, problems)
    }

    /// Whether all layers could be read; false if the file could not.
    pub(super) fn are_complete(&self) -> bool {
        self.are_complete
    }

    /// The texts of a setting, or `None` if it is not set.
    pub(super) fn get(&self, setting: &Setting) -> Option<&GivenTexts> {
        self.given.get(setting.key)
    }
}

fn from_flag(args: &SettingsArgs, setting: &Setting) -> Option<GivenTexts> {
    let values = args.values(setting)?.iter().flat_map(|value| split(setting, value)).collect();
    Some(GivenTexts { values, source: SettingSource::Flag(setting.flag) })
}

/// The texts of a setting's variable. An empty variable counts as unset.
fn from_environment(environment: &impl Fn(&str) -> Option<String>, setting: &Setting) -> Option<GivenTexts> {
    match environment(setting.variable).filter(|value| !value.is_empty()) {
        Some(value) => {
            Some(GivenTexts { values: split(setting, &value), source: SettingSource::Environment(setting.variable) })
        }
        None if *setting == OTLP_ENDPOINT => otlp::from_standard_variables(environment),
        None => None,
    }
}

/// Splits the text of a list at commas.
pub(super) fn split(setting: &Setting, value: &str) -> Vec<String> {
    match setting.arity {
        Arity::Switch | Arity::One => vec![value.to_owned()],
        Arity::Many => value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect(),
    }
}
