//! Prints the effective configuration as a file, with the source of each value.
//!
//! Invariant: the output is a configuration file with the same effect. It contains no secrets,
//! because no setting is a secret.

use std::fmt::Write;

use super::layers::{Layers, split};
use super::problem::SettingSource;
use super::settings::{self, ALL, Arity, Setting};

/// The configuration file with the same effect as these layers.
pub(super) fn print(layers: &Layers) -> String {
    let mut text =
        "# The configuration of `outrigger serve`. The comment after each value names its source.\n".to_owned();
    for setting in ALL {
        let (values, source) = value(layers, setting);
        // Writing to a String cannot fail.
        _ = writeln!(text, "{}: {}  # {source}", setting.key, yaml(setting, &values));
    }
    text
}

/// The texts of a setting, and their source.
fn value(layers: &Layers, setting: &Setting) -> (Vec<String>, String) {
    if let Some(given) = layers.get(setting) {
        return (given.values.clone(), given.source.to_string());
    }
    if let Some((implied, source)) = implied(layers, setting) {
        return (vec![implied.to_owned()], source.to_string());
    }
    let default = if setting.default.is_empty() { Vec::new() } else { split(setting, setting.default) };
    (default, "default".to_owned())
}

/// The value that `--dev` implies for a setting that is not set.
fn implied(layers: &Layers, setting: &Setting) -> Option<(&'static str, SettingSource)> {
    let dev = layers.get(&settings::DEV).filter(|given| given.values.last().is_some_and(|value| value == "true"))?;
    let is = |other: &Setting| other.key == setting.key;
    let value = if is(&settings::STRICT) {
        "true"
    } else if is(&settings::SHUTDOWN_DELAY) {
        "0s"
    } else {
        return None;
    };
    Some((value, dev.source.clone()))
}

fn yaml(setting: &Setting, values: &[String]) -> String {
    match (setting.arity, values.last()) {
        (Arity::Many, _) => format!("[{}]", values.iter().map(|value| scalar(value)).collect::<Vec<_>>().join(", ")),
        (_, None) => "null".to_owned(),
        (Arity::Switch, Some(value)) => value.clone(),
        (Arity::One, Some(value)) => scalar(value),
    }
}

/// The text as a YAML string, quoted if YAML could read it as another type.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_yaml_could_read_as_another_type_are_quoted() {
        for (text, expected) in [
            ("info", "info"),
            ("/etc/outrigger/tls.crt", "/etc/outrigger/tls.crt"),
            ("kube-system", "kube-system"),
            ("on", "\"on\""),
            ("1.3", "\"1.3\""),
            ("10s", "\"10s\""),
            ("[::]:9443", "\"[::]:9443\""),
            ("a: b # c", "\"a: b # c\""),
            ("a\n\"b\"\\", "\"a\\n\\\"b\\\"\\\\\""),
            ("", "\"\""),
        ] {
            assert_eq!(scalar(text), expected, "{text:?}");
        }
    }
}
