//! The flags of `outrigger serve`, generated from the table of settings, with their values as text.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::settings::{ALL, Arity, Setting};

const CONFIG: &str = "config";
/// The variable that names the configuration file if `--config` does not.
pub const CONFIG_VARIABLE: &str = "OUTRIGGER_CONFIG";

/// The settings on the command line of `serve`, not yet checked.
///
/// It implements clap's traits from the table of settings, which the fields of a clap derive would
/// repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsArgs {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    given: Vec<(&'static str, Vec<String>)>,
}

impl SettingsArgs {
    /// Adds an argument, as if the command line had the flag of `setting`.
    #[must_use]
    pub fn with(mut self, setting: &Setting, value: impl Into<String>) -> Self {
        let value = value.into();
        match self.given.iter_mut().find(|(key, _)| *key == setting.key) {
            Some((_, values)) => values.push(value),
            None => self.given.push((setting.key, vec![value])),
        }
        self
    }

    /// The values of a setting's flag, or `None` if the flag is absent.
    pub(super) fn values(&self, setting: &Setting) -> Option<&[String]> {
        self.given.iter().find(|(key, _)| *key == setting.key).map(|(_, values)| values.as_slice())
    }
}

impl clap::Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(ValueParser::path_buf())
            .help(format!("Configuration file (YAML) with the settings below, named in camelCase. Flags take precedence over environment variables, and those over the file [env: {CONFIG_VARIABLE}]"));
        ALL.iter().map(flag).fold(command.arg(config), Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &Setting| Some((setting.key, matches.get_many(setting.key)?.cloned().collect()));
        Ok(Self { config: matches.get_one::<PathBuf>(CONFIG).cloned(), given: ALL.iter().filter_map(given).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flag(setting: &Setting) -> Arg {
    let arg = Arg::new(setting.key)
        .long(setting.flag)
        .value_name(setting.value_name)
        .value_parser(NonEmptyStringValueParser::new())
        .help(help(setting));
    match setting.arity {
        Arity::Switch => {
            arg.num_args(0..=1).require_equals(true).default_missing_value("true").hide_possible_values(true)
        }
        Arity::One => arg,
        Arity::Many => arg.action(ArgAction::Append),
    }
}

fn help(setting: &Setting) -> String {
    let default = match (setting.arity, setting.default) {
        (Arity::Switch, _) | (_, "") => String::new(),
        (_, default) => format!(" [default: {default}]"),
    };
    format!("{}{default} [env: {}]", setting.help, setting.variable)
}
