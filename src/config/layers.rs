//! Flags over environment over file: which text holds for a setting, and where it was written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::args::{CONFIG_VARIABLE, SettingsArgs};
use super::file::{self, FileLayer};
use super::given::GivenTexts;
use super::otlp;
use super::problem::{ConfigProblem, SettingSource};
use super::settings::{ALL, Arity, OTLP_ENDPOINT, Setting};

/// What holds for each setting that somebody spoke of.
pub struct Layers {
    given: BTreeMap<&'static str, GivenTexts>,
    are_complete: bool,
}

impl Layers {
    /// Also returns what is wrong with the file.
    pub fn gather(args: &SettingsArgs, environment: impl Fn(&str) -> Option<String>) -> (Self, Vec<ConfigProblem>) {
        let path = args
            .config
            .clone()
            .or_else(|| environment(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from));
        let FileLayer { mut given, problems, is_unread } = path.map(|path| file::read(&path)).unwrap_or_default();
        for setting in ALL {
            if let Some(stronger) = from_flag(args, setting).or_else(|| from_environment(&environment, setting)) {
                given.insert(setting.key, stronger);
            }
        }
        (Self { given, are_complete: !is_unread }, problems)
    }

    /// Whether everything that was said is known: not so when there is a file that cannot be read.
    pub fn are_complete(&self) -> bool {
        self.are_complete
    }

    /// What was said of a setting, `None` when nobody spoke of it.
    pub fn get(&self, setting: &Setting) -> Option<&GivenTexts> {
        self.given.get(setting.key)
    }
}

fn from_flag(args: &SettingsArgs, setting: &Setting) -> Option<GivenTexts> {
    let values = args.values(setting)?.iter().flat_map(|value| split(setting, value)).collect();
    Some(GivenTexts { values, source: SettingSource::Flag(setting.flag) })
}

/// An empty variable says nothing.
fn from_environment(environment: &impl Fn(&str) -> Option<String>, setting: &Setting) -> Option<GivenTexts> {
    match environment(setting.variable).filter(|value| !value.is_empty()) {
        Some(value) => {
            Some(GivenTexts { values: split(setting, &value), source: SettingSource::Environment(setting.variable) })
        }
        None if *setting == OTLP_ENDPOINT => otlp::from_standard_variables(environment),
        None => None,
    }
}

/// One text holds a list, where the setting is one.
pub fn split(setting: &Setting, value: &str) -> Vec<String> {
    match setting.arity {
        Arity::Switch | Arity::One => vec![value.to_owned()],
        Arity::Many => value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect(),
    }
}
