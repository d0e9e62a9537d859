//! Secrets that stand in a template: values of variables, flags, and URLs with a password.
//!
//! Invariant: no finding repeats the secret, and `masked` hides each that has a finding.

use super::code::Code;
use super::finding::Finding;
use super::scan::scan;
use super::view::{View, at};
use crate::inject::SourceText;
use crate::inject::template::document::{self, Place};
use crate::inject::text::json::items;
use crate::inject::text::{FieldError, FieldPath, Spot};
use serde_json::Value;

/// The last words of names of secrets.
const WORDS: [&str; 12] = [
    "PASSWORD",
    "PASSWD",
    "PASS",
    "PASSPHRASE",
    "PWD",
    "TOKEN",
    "SECRET",
    "CREDENTIAL",
    "CREDENTIALS",
    "APIKEY",
    "SECRETKEY",
    "PRIVATEKEY",
];

/// Words before KEY in the names of secrets.
const KEYS: [&str; 8] = ["API", "SECRET", "PRIVATE", "ACCESS", "ENCRYPTION", "SIGNING", "MASTER", "LICENSE"];

struct Secret {
    path: FieldPath,
    message: String,
}

/// A warning for each secret in the template.
pub(super) fn findings(view: View<'_>) -> Vec<Finding> {
    let secrets = secrets(view).into_iter();
    secrets.map(|secret| Finding::new(Code::SecretInEnv, view, &secret.path, secret.message)).collect()
}

/// The text with `*` for each character of its secrets. Where it is no YAML, or has a key twice, every
/// `value:` may be one.
pub(crate) fn masked(text: &SourceText) -> String {
    let text = text.text.as_str();
    let documents = document::parse(text);
    let is_faulty = documents.iter().any(|one| one.as_ref().map_or(true, |document| !document.problems.is_empty()));
    let documents: Vec<_> = documents.into_iter().flatten().collect();
    let hidden: Vec<Place> = documents.iter().flat_map(|document| hidden(View { origin: "", document })).collect();
    let mut masked = String::with_capacity(text.len());
    let mut end = 0;
    for (place, range) in scan(text).scalars {
        if hidden.contains(&place) && range.start >= end {
            masked += &text[end..range.start];
            masked.extend(text[range.clone()].chars().map(|c| if c == '\n' { c } else { '*' }));
            end = range.end;
        }
    }
    masked += &text[end..];
    if is_faulty { masked.split_inclusive('\n').map(masked_line).collect() } else { masked }
}

/// A line without the letters after `value:`; the signs of YAML remain, since one of them is wrong.
fn masked_line(line: &str) -> String {
    let Some(at) = line.find("value:") else { return line.to_owned() };
    let (key, value) = line.split_at(at + "value:".len());
    key.chars().chain(value.chars().map(|c| if c.is_alphanumeric() { '*' } else { c })).collect()
}

/// The places of all scalars that contain a secret, also as the default of a parameter.
fn hidden(view: View<'_>) -> Vec<Place> {
    let value_at =
        |path: FieldPath| view.document.place_of(&FieldError { spot: Spot::Value, ..FieldError::new(path, "") });
    let mut places = Vec::new();
    for secret in secrets(view) {
        let text = view.text_at(&secret.path);
        for (path, parameter) in view.items("parameters") {
            if at(parameter, &["name"]).as_str().is_some_and(|name| View::names_parameter(text, name)) {
                places.push(value_at(path.child("default")));
            }
        }
        places.push(value_at(secret.path));
    }
    places
}

fn secrets(view: View<'_>) -> Vec<Secret> {
    let mut found = Vec::new();
    for container in view.containers() {
        of_variables(view, container.value, &container.path, &container.name(), &mut found);
        for field in ["command", "args"] {
            for (index, word) in items(container.value, field).iter().enumerate() {
                let path = container.path.child(field).index(index);
                let text = word.as_str().and_then(|text| view.resolve(text));
                if let Some(message) = text.and_then(|text| of_word(&text, &container.name())) {
                    found.push(Secret { path, message });
                }
            }
        }
    }
    let path = View::spec_path().child("app");
    of_variables(view, at(view.spec(), &["app"]), &path, "the app", &mut found);
    found
}

fn of_variables(view: View<'_>, container: &Value, path: &FieldPath, of: &str, found: &mut Vec<Secret>) {
    for (index, variable) in items(container, "env").iter().enumerate() {
        let name = at(variable, &["name"]).as_str().unwrap_or_default();
        let Some(value) = at(variable, &["value"]).as_str() else { continue };
        let path = path.child("env").index(index).child("value");
        let resolved = view.resolve(value);
        let text = resolved.as_deref().unwrap_or(value);
        let message = if resolved.is_some() && is_name(name) && is_literal(text) {
            format!("the variable {name:?} of {of} has its value in the template")
        } else if has_password(text) {
            format!("the variable {name:?} of {of} has a URL with a password")
        } else {
            continue;
        };
        found.push(Secret { path, message });
    }
}

fn of_word(word: &str, of: &str) -> Option<String> {
    let flag = word.split_once('=').filter(|(flag, value)| flag.starts_with('-') && is_name(flag) && is_literal(value));
    match flag {
        Some((flag, _)) => Some(format!("the flag {flag} of {of} has its value in the template")),
        None => has_password(word).then(|| format!("a word of the command of {of} has a URL with a password")),
    }
}

/// Whether a variable or a flag of this name contains a secret.
fn is_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let words: Vec<&str> =
        name.split(['_', '-', '.']).map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit())).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        // The shell's own variables.
        ["PWD" | "OLDPWD"] => false,
        [.., before, "KEY"] => KEYS.contains(before),
        [.., last] => WORDS.contains(last),
        [] => false,
    }
}

/// Whether it may be a secret: a text other than a switch, a number or a duration, without references.
fn is_literal(value: &str) -> bool {
    let value = value.trim();
    let is_switch = ["", "true", "false", "yes", "no", "on", "off", "none", "null"]
        .iter()
        .any(|switch| value.eq_ignore_ascii_case(switch));
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let is_quantity = unit.len() < value.len() && ["", "ms", "s", "m", "h", "d"].contains(&unit);
    !is_switch && !is_quantity && !value.contains("${") && !value.contains("$(")
}

/// Whether a text has a URL `SCHEME://USER:PASSWORD@HOST` whose password is written out.
fn has_password(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let end = rest.find(|c: char| c.is_whitespace() || "/?#'\"`".contains(c)).unwrap_or(rest.len());
        let user = rest[..end].rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
        user.is_some_and(|(_, password)| !password.is_empty() && !password.contains('$') && !password.starts_with('<'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_end_in_a_word_for_one() {
        for name in [
            "DB_PASSWORD",
            "DD_API_KEY",
            "APIKEY",
            "DB_PASS",
            "PASSPHRASE",
            "AWS_SECRET_ACCESS_KEY",
            "CREDENTIALS",
            "token",
            "--auth-token",
            "TOKEN_2",
            "PASSWORD1",
            "DB_PWD",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "TOKENIZERS_PARALLELISM",
            "MAX_TOKENS",
            "REFRESH_TOKEN_TTL",
            "TOKEN_ENDPOINT",
            "SECRET_NAMESPACE",
            "SECRETS_ENABLED",
            "TOKEN_AUDIENCE",
            "TOKEN_FILE",
            "PARTITION_KEY",
            "AWS_ACCESS_KEY_ID",
            "PWD",
            "KEY",
            "",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn each_value_of_a_text_that_is_no_yaml_is_masked() {
        let text = "env:\n- {name: TOKEN, value: s3: cret]\n".to_owned();
        let masked = masked(&SourceText { origin: String::new(), text });
        assert_eq!(masked, "env:\n- {name: TOKEN, value: **: ****]\n");
    }

    #[test]
    fn switches_numbers_durations_and_references_are_no_secrets() {
        for value in ["", "yes", "True", "100", "1.5", "1h", "30s", "$(TOKEN)", "a${b}"] {
            assert!(!is_literal(value), "{value}");
        }
        assert!(is_literal("hunter2") && is_literal("1hx") && is_literal("s"));
    }

    #[test]
    fn passwords_of_urls_are_found() {
        for text in ["postgres://u:p@h/d", "--url=http://u:p@h", "a://b c://:p@h"] {
            assert!(has_password(text), "{text}");
        }
        for text in ["http://h:80/a@b", "http://u@h", "a://u:$(P)@h", "a://u:${P}@h", "u:p@h", "a://u:<password>@h"] {
            assert!(!has_password(text), "{text}");
        }
    }
}
