//! Parses the texts of settings into values, and collects the problems with their sources.

use super::from_text::FromText;
use super::layers::{Layers, split};
use super::problem::{ConfigProblem, SettingSource};
use super::settings::{Arity, Setting};
use crate::inject::text::quote;

/// Reads settings one after the other, and does not stop at a problem.
pub(super) struct SettingsReader {
    layers: Layers,
    problems: Vec<ConfigProblem>,
}

impl SettingsReader {
    pub(super) fn new(layers: Layers, problems: Vec<ConfigProblem>) -> Self {
        Self { layers, problems }
    }

    /// The layers, and all problems.
    pub(super) fn into_parts(self) -> (Layers, Vec<ConfigProblem>) {
        (self.layers, self.problems)
    }

    pub(super) fn source(&self, setting: &Setting) -> SettingSource {
        self.layers.get(setting).map_or(SettingSource::Default, |given| given.source.clone())
    }

    pub(super) fn add_problem(&mut self, setting: &Setting, message: impl Into<String>) {
        let source = self.source(setting);
        self.problems.push(ConfigProblem { source, message: message.into() });
    }

    /// Adds a problem about a missing setting, unless the file cannot be read, which may set it.
    pub(super) fn report_missing(&mut self, setting: &Setting, message: impl Into<String>) {
        if self.layers.are_complete() {
            self.add_problem(setting, message);
        }
    }

    /// The value of a setting, or its default. `None` if the setting has neither, or if its text is
    /// not valid.
    pub(super) fn get<T: FromText>(&mut self, setting: &Setting) -> Option<T> {
        let text = self.text(setting)?;
        let value = T::from_text(&text);
        if value.is_none() {
            self.add_text_problem(setting, &text, T::EXPECTED);
        }
        value
    }

    /// The valid values of a list, or of its default.
    pub(super) fn list<T: FromText>(&mut self, setting: &Setting) -> Vec<T> {
        let texts = self.values(setting);
        let mut values = Vec::with_capacity(texts.len());
        for text in texts {
            match T::from_text(&text) {
                Some(value) => values.push(value),
                None => self.add_text_problem(setting, &text, T::EXPECTED),
            }
        }
        values
    }

    /// The texts of a list, or of its default.
    pub(super) fn values(&self, setting: &Setting) -> Vec<String> {
        match self.layers.get(setting) {
            Some(given) => given.values.clone(),
            None => split(setting, setting.default),
        }
    }

    /// Whether the setting is set.
    pub(super) fn is_given(&self, setting: &Setting) -> bool {
        self.layers.get(setting).is_some()
    }

    fn text(&self, setting: &Setting) -> Option<String> {
        debug_assert!(setting.arity != Arity::Many);
        match self.layers.get(setting) {
            Some(given) => given.values.last().cloned(),
            None => Some(setting.default.to_owned()).filter(|default| !default.is_empty()),
        }
    }

    fn add_text_problem(&mut self, setting: &Setting, text: &str, expected: &str) {
        let name = match self.source(setting) {
            SettingSource::File { .. } | SettingSource::Default => format!("{} ", setting.key),
            SettingSource::Flag(_) | SettingSource::Environment(_) => String::new(),
        };
        self.add_problem(setting, format!("{name}{}: expected {expected}", quote(text)));
    }
}
